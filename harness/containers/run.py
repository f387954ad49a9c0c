"""What RUN steps may do without Docker: a small, explicit table.

Commands that change files are carried out in the image's tree; those that only tidy up after a package
manager have nothing to do; every other command is refused.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.containers.environments import Installation
from harness.containers.pip import PipProblem, install_words, installation
from harness.containers.tree import Tree

__all__ = ["Refusal", "RunSteps"]

INSTALL_HINT = (
    "The programs of this machine take its place: if the image works without the step, name it in the "
    "image's `ignore` in harness.toml."
)
COMPUTE_HINT = "Do it before the build and COPY the result."
USER_HINT = (
    "Containers run as root, as SageMaker expects. Name the step in the image's `ignore` in harness.toml."
)

NOT_MADE = "no earlier step has made it, and the base image's own files are out of reach"

REFUSED = {
    "apt-get": INSTALL_HINT,
    "apt": INSTALL_HINT,
    "apk": INSTALL_HINT,
    "yum": INSTALL_HINT,
    "dnf": INSTALL_HINT,
    "conda": INSTALL_HINT,
    "useradd": USER_HINT,
    "adduser": USER_HINT,
    "groupadd": USER_HINT,
    "addgroup": USER_HINT,
    "usermod": USER_HINT,
}

# Package managers' commands that leave nothing in the image but lists and caches.
TIDYING = frozenset({"update", "clean", "autoclean", "autoremove"})

# Below these a base image keeps only what may be deleted at any time.
CACHES = re.compile(
    r"(/var/lib/apt/lists|/var/cache|/var/log|/var/tmp|/tmp|/root/\.cache|/usr/share/(doc|man|info))(/.*)?"
)


class Refusal(Exception):
    """A command that cannot be carried out.

    Attributes:
        hint: What the user can do.
    """

    def __init__(self, message: str, hint: str = COMPUTE_HINT) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass
class RunSteps:
    """Carries out the commands of RUN steps.

    Attributes:
        tree: The image's files.
        scratch: Where files that installations need are kept.
        installations: What is to be installed, in order.
    """

    tree: Tree
    scratch: Path
    installations: list[Installation] = field(default_factory=list)

    def run(self, words: list[str], workdir: str, variables: Mapping[str, str]) -> None:
        """Carry out one command.

        Args:
            words: Program and arguments.
            workdir: The folder it would run in.
            variables: The environment it would run in.

        Raises:
            Refusal: It is not in the table, or cannot be carried out as written.
        """
        try:
            installed = install_words(words)
            if installed is not None:
                folder = self.scratch / str(len(self.installations))
                self.installations.append(installation(installed, self.tree, workdir, variables, folder))
                return
            program = posixpath.basename(words[0])
            if program in ("apt-get", "apt", "apk", "yum", "dnf") and self._only_tidies(words):
                return
            handler: Callable[[list[str], str], None] | None = {
                "mkdir": self._mkdir,
                "chmod": self._chmod,
                "ln": self._ln,
                "rm": self._rm,
                "set": self._set,
                "pip": self._pip,
                "pip3": self._pip,
                "true": self._nothing,
                ":": self._nothing,
            }.get(program)
            if handler is None:
                message = f"`{' '.join(words)}` cannot be run without Docker"
                raise Refusal(message, REFUSED.get(program, COMPUTE_HINT))
            handler(words[1:], workdir)
        except (PipProblem, ValueError) as problem:
            raise Refusal(str(problem)) from problem
        except OSError as problem:
            raise Refusal(f"`{' '.join(words)}`: {problem.strerror}") from problem

    def _only_tidies(self, words: list[str]) -> bool:
        return {word for word in words[1:] if not word.startswith("-")} <= TIDYING

    def _nothing(self, arguments: list[str], workdir: str) -> None:
        """`true`"""

    def _set(self, arguments: list[str], workdir: str) -> None:
        """Shell options: commands here stop at the first error anyway."""
        if any(not re.fullmatch(r"[-+][a-z]+|pipefail", argument) for argument in arguments):
            raise Refusal(f"`set {' '.join(arguments)}` cannot be run without Docker")

    def _pip(self, arguments: list[str], workdir: str) -> None:
        if arguments[:2] != ["cache", "purge"]:
            raise Refusal(
                f"`pip {' '.join(arguments)}`: of pip's commands only `install` can be run without Docker"
            )

    def _mkdir(self, arguments: list[str], workdir: str) -> None:
        options, paths = self._options(arguments, "mkdir", "pv", ("-m", "--mode"), ("--parents", "--verbose"))
        for path in self._paths(paths, workdir):
            if (
                "p" not in options
                and "--parents" not in options
                and not self.tree.is_folder(posixpath.dirname(path))
            ):
                raise Refusal(f"`mkdir {path}`: there is no folder above it", "Use mkdir -p.")
            self.tree.make_folder(path)
            mode = options.get("-m") or options.get("--mode")
            if mode:
                self.tree.change_modes([path], mode, recursive=False)

    def _chmod(self, arguments: list[str], workdir: str) -> None:
        # A mode may start with a minus sign: chmod -x
        modes = [
            a for a in arguments if re.fullmatch(r"[0-7]{1,4}|[ugoa]*[-+=][rwxX]*(,[ugoa]*[-+=][rwxX]*)*", a)
        ]
        if not modes:
            raise Refusal(f"`chmod {' '.join(arguments)}`: there is no mode that is understood")
        rest = [a for a in arguments if a != modes[0]]
        options, paths = self._options(rest, "chmod", "Rvf", (), ("--recursive", "--verbose"))
        recursive = "R" in options or "--recursive" in options
        self.tree.change_modes(self._existing(paths, workdir, "chmod"), modes[0], recursive=recursive)

    def _ln(self, arguments: list[str], workdir: str) -> None:
        options, paths = self._options(arguments, "ln", "sfnv", (), ("--symbolic", "--force"))
        if not ("s" in options or "--symbolic" in options) or len(paths) != 2:
            raise Refusal(f"`ln {' '.join(arguments)}`: only `ln -s TARGET LINK` can be run without Docker")
        target, link = paths[0], self._paths(paths[1:], workdir)[0]
        if self.tree.is_folder(link):
            link = posixpath.join(link, posixpath.basename(target))
        self.tree.link(link, target, replace="f" in options or "--force" in options)

    def _rm(self, arguments: list[str], workdir: str) -> None:
        _, paths = self._options(arguments, "rm", "rRfv", (), ("--recursive", "--force", "--verbose"))
        for path in self._paths(paths, workdir):
            found = self.tree.matches(path)
            if not found and not CACHES.fullmatch(path):
                raise Refusal(f"`rm {path}`: {NOT_MADE}")
            for match in found:
                self.tree.remove(match)

    def _existing(self, paths: list[str], workdir: str, program: str) -> list[str]:
        found: list[str] = []
        for path in self._paths(paths, workdir):
            matches = self.tree.matches(path)
            if not matches:
                raise Refusal(f"`{program} {path}`: {NOT_MADE}")
            found += matches
        return found

    def _paths(self, paths: list[str], workdir: str) -> list[str]:
        return [posixpath.normpath(posixpath.join(workdir, path)) for path in paths]

    def _options(
        self,
        arguments: list[str],
        program: str,
        letters: str,
        valued: tuple[str, ...],
        long: tuple[str, ...],
    ) -> tuple[dict[str, str], list[str]]:
        """Tell options from paths.

        Args:
            arguments: What follows the program.
            program: Its name, for messages.
            letters: One-letter options without a value.
            valued: Options with one.
            long: Long options without one.

        Returns:
            Options (letters without their minus sign) with their values, and the paths.
        """
        options: dict[str, str] = {}
        paths: list[str] = []
        rest = iter(arguments)
        for argument in rest:
            name, equals, value = argument.partition("=")
            if not argument.startswith("-") or argument == "-":
                paths.append(argument)
            elif name in valued:
                options[name] = value if equals else next(rest, "")
            elif argument in long:
                options[argument] = ""
            elif not argument.startswith("--") and set(argument[1:]) <= set(letters):
                options |= dict.fromkeys(argument[1:], "")
            else:
                raise Refusal(f"`{program} {argument}` is not understood")
        if not paths:
            raise Refusal(f"`{program}` names no file")
        return options, paths
