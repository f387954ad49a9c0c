"""Turn a build context into an image that the ``process`` runtime can run.

An image is a tree of the files its Dockerfile adds, a Python environment, and what the Dockerfile says about
starting it. Both are kept in the cache, so that building an unchanged context again takes milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness.containers.base import BaseImage, base_image
from harness.containers.context import Context, Entry, glob_pattern, open_context
from harness.containers.dockerfile import (
    Dockerfile,
    Instruction,
    Variables,
    assignments,
    parse,
    platform_arguments,
    substitute,
    words,
)
from harness.containers.environments import InstallationError, PythonEnvironment, environment
from harness.containers.run import USER_HINT, Refusal, RunSteps
from harness.containers.runtime import Image, ImageSource, Output
from harness.containers.session import remove_tree
from harness.containers.shellwords import SyntaxProblem, commands
from harness.containers.tree import Tree
from harness.errors import DockerfileError
from harness.project.cache import cache_folder, locked
from harness.project.pythons import Interpreter, nearest

__all__ = ["Rootfs", "build"]

FORMAT = "1"
"""Changed whenever images are built differently, so that old ones are not taken for new ones."""

STOP_SIGNALS = frozenset(["SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGTERM", "SIGWINCH"])
DOCKER_HINT = "If the image works without the step, name it in the image's `ignore` in harness.toml."


@dataclass(frozen=True)
class Rootfs:
    """What the process runtime needs to run an image; the `payload` of its `Image`.

    Attributes:
        tree: Folder with the files of the image.
        python: Its interpreter and packages.
        workdir: WORKDIR.
        stop_signal: STOPSIGNAL.
        warnings: In what way it differs from what Docker would build.
    """

    tree: Path
    python: PythonEnvironment
    workdir: str
    stop_signal: signal.Signals
    warnings: tuple[str, ...]


def build(source: ImageSource, progress: Output) -> Image:
    """Build an image, or take it from the cache.

    Args:
        source: The context.
        progress: Told what is being done; not called when the image is in the cache.

    Raises:
        DockerfileError: The Dockerfile is missing, malformed, cannot be honoured without Docker, or has a
            step that fails; the message then ends with the step's output.
    """
    context, text = open_context(source.context, source.dockerfile)
    dockerfile = parse(text, str(source.context / source.dockerfile))
    build_args = dict(source.build_args)
    digest = _sha256(FORMAT, text, json.dumps(sorted(build_args.items())), context.digest())
    variables = Variables(build_args, arguments=platform_arguments())
    for argument in dockerfile.arguments:
        variables.declare(dockerfile, argument, {})
    base = base_image(dockerfile, variables.arguments, source.ignore)
    interpreter = nearest(base.python)
    what = (FORMAT, digest, repr(sorted(source.ignore)), interpreter.path, repr(interpreter.version))
    key = _sha256(*what)[:32]

    folder = cache_folder() / "images" / key
    found = _load(folder, interpreter)
    if found is None:
        with locked(cache_folder() / "images", key) as folder:
            found = _load(folder, interpreter)
            if found is None:
                remove_tree(folder)
                unfinished = folder.with_name(f".{key}-unfinished")
                remove_tree(unfinished)
                unfinished.mkdir()
                builder = _Builder(dockerfile, context, source.ignore, variables, base, unfinished)
                recipe = builder.build(interpreter, progress)
                (unfinished / "image.json").write_text(json.dumps(recipe))
                unfinished.rename(folder)
                found = _load(folder, interpreter)
                assert found is not None
    recipe, python = found
    return Image(
        name=source.name,
        digest=f"sha256:{digest}",
        entrypoint=tuple(recipe["entrypoint"]),
        command=tuple(recipe["command"]),
        environment=recipe["environment"],
        labels=recipe["labels"],
        payload=Rootfs(
            tree=folder / "tree",
            python=python,
            workdir=recipe["workdir"],
            stop_signal=signal.Signals[recipe["stop_signal"]],
            warnings=tuple(recipe["warnings"]),
        ),
    )


def _sha256(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()


def _load(folder: Path, interpreter: Interpreter) -> tuple[dict[str, Any], PythonEnvironment] | None:
    """A built image, unless it or its environment is not there (any more)."""
    try:
        recipe = json.loads((folder / "image.json").read_text())
    except FileNotFoundError:
        return None
    python = PythonEnvironment(interpreter, cache_folder() / "environments" / recipe["python"])
    return (recipe, python) if python.complete else None


class _Builder:
    """Carries out a Dockerfile, one instruction after another."""

    def __init__(
        self,
        dockerfile: Dockerfile,
        context: Context,
        ignore: Sequence[str],
        variables: Variables,
        base: BaseImage,
        folder: Path,
    ) -> None:
        self._dockerfile = dockerfile
        self._context = context
        self._ignore = ignore
        self._base = base
        self._folder = folder
        self._tree = Tree(folder / "tree")
        self._tree.root.mkdir()
        self._run_steps = RunSteps(self._tree, folder / "installations")
        self._installing: list[Instruction] = []  # the step behind each of its installations
        self._before_from = dict(variables.arguments)
        self._variables = Variables(variables.build_args, dict(base.environment), used=variables.used)
        self._labels: dict[str, str] = {}
        self._workdir = "/"
        self._shell = ["/bin/sh", "-c"]
        self._entrypoint: list[str] | None = None
        self._command: list[str] | None = None
        self._stop_signal = "SIGTERM"
        self._warnings = list(base.warnings)
        self._handlers = {
            "ADD": self._add,
            "ARG": self._arg,
            "CMD": self._cmd,
            "COPY": self._copy,
            "ENTRYPOINT": self._set_entrypoint,
            "ENV": self._env,
            "EXPOSE": self._expose,
            "HEALTHCHECK": self._no_effect,  # SageMaker asks /ping instead
            "LABEL": self._label,
            "MAINTAINER": self._no_effect,
            "ONBUILD": self._no_effect,  # concerns images built upon this one
            "RUN": self._run,
            "SHELL": self._set_shell,
            "STOPSIGNAL": self._set_stop_signal,
            "USER": self._user,
            "VOLUME": self._volume,
            "WORKDIR": self._set_workdir,
        }

    def build(self, interpreter: Interpreter, progress: Output) -> dict[str, Any]:
        """Carry out everything; return what is to be remembered of it."""
        for step in self._dockerfile.steps:
            progress(f"line {step.line}: {step}")
            self._step(step)
        wanted = self._base.python
        if wanted is not None and interpreter.version[:2] != wanted:
            asked, version = ".".join(map(str, wanted)), ".".join(map(str, interpreter.version))
            self._warnings.append(
                f"it asks for Python {asked}, which is not installed here; it runs on Python {version}"
            )
        unused = sorted(self._variables.build_args.keys() - self._variables.used)
        if unused:
            self._warnings.append(f"no ARG takes the build arguments {', '.join(unused)}")
        for warning in self._warnings:
            progress(f"warning: {warning}")
        try:
            python = environment(interpreter, self._run_steps.installations, progress)
        except InstallationError as error:
            raise self._dockerfile.error(self._installing[error.number], error.message) from error
        remove_tree(self._folder / "installations")
        command = self._command
        if command is None:  # an ENTRYPOINT makes a base image's CMD void
            command = [] if self._entrypoint is not None else list(self._base.command)
        return {
            "python": python.root.name,
            "entrypoint": self._entrypoint or [],
            "command": command,
            "environment": self._variables.environment,
            "labels": self._labels,
            "workdir": self._workdir,
            "stop_signal": self._stop_signal,
            "warnings": self._warnings,
        }

    def _step(self, step: Instruction) -> None:
        if self._ignored(str(step)):
            self._warnings.append(f"line {step.line} is left out: {step}")
            return
        try:
            self._handlers[step.keyword](step)
        except DockerfileError:
            raise
        except (ValueError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            raise self._dockerfile.error(step, reason or str(error)) from error

    def _ignored(self, text: str) -> bool:
        return any(fnmatchcase(text, pattern) for pattern in self._ignore)

    def _substitute(self, step: Instruction, text: str) -> str:
        return substitute(self._dockerfile, step, text, self._variables.all())

    def _absolute(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self._workdir, path))

    # Instructions that say something about the image --------------------------------------------------

    def _no_effect(self, step: Instruction) -> None:
        """Nothing that concerns a container of SageMaker's."""

    def _arg(self, step: Instruction) -> None:
        self._variables.declare(self._dockerfile, step, self._before_from)

    def _env(self, step: Instruction) -> None:
        self._variables.environment |= assignments(self._dockerfile, step, self._variables.all())

    def _label(self, step: Instruction) -> None:
        self._labels |= assignments(self._dockerfile, step, self._variables.all())

    def _expose(self, step: Instruction) -> None:
        for word in words(self._dockerfile, step):
            port = self._substitute(step, word)
            if not re.fullmatch(r"\d+(-\d+)?(/(tcp|udp|sctp))?", port, re.IGNORECASE):
                raise self._dockerfile.error(step, f"{port!r} is not a port")

    def _cmd(self, step: Instruction) -> None:
        self._command = self._program(step)

    def _set_entrypoint(self, step: Instruction) -> None:
        self._entrypoint = self._program(step)

    def _program(self, step: Instruction) -> list[str]:
        listed = step.json_form()
        return [*self._shell, step.text] if listed is None else listed

    def _set_shell(self, step: Instruction) -> None:
        listed = step.json_form()
        if not listed:
            raise self._dockerfile.error(
                step, "SHELL must be a JSON array", 'Write SHELL ["/bin/bash", "-c"].'
            )
        self._shell = listed

    def _set_stop_signal(self, step: Instruction) -> None:
        text = self._substitute(step, step.text)
        known = {f"{number.value}": number.name for number in signal.Signals}
        name = known.get(text, text if text.startswith("SIG") else f"SIG{text}")
        if name not in STOP_SIGNALS:
            raise self._dockerfile.error(
                step,
                f"{text} cannot be forwarded to a container",
                f"Use one of {', '.join(sorted(STOP_SIGNALS))}.",
            )
        self._stop_signal = name

    def _user(self, step: Instruction) -> None:
        user = self._substitute(step, step.text)
        if user.split(":")[0] not in ("root", "0"):
            raise self._dockerfile.error(
                step,
                f"containers cannot run as {user} without Docker",
                USER_HINT,
            )

    def _set_workdir(self, step: Instruction) -> None:
        self._workdir = self._absolute(self._substitute(step, step.text))
        self._tree.make_folder(self._workdir)

    def _volume(self, step: Instruction) -> None:
        listed = step.json_form()
        for word in words(self._dockerfile, step) if listed is None else listed:
            self._tree.make_folder(self._absolute(self._substitute(step, word)))

    # Instructions that add files ----------------------------------------------------------------------

    def _copy(self, step: Instruction) -> None:
        for name, value in step.flags:
            if name == "from":
                raise self._dockerfile.error(
                    step, f"--from={value} takes files from another image, which needs Docker", DOCKER_HINT
                )
        self._copy_files(step, unpack=False)

    def _add(self, step: Instruction) -> None:
        for word in step.json_form() or words(self._dockerfile, step):
            source = self._substitute(step, word)
            if "://" in source or source.startswith("git@"):
                raise self._dockerfile.error(
                    step, f"{source} would be downloaded", "Put the file into the context and COPY it."
                )
        self._copy_files(step, unpack=True)

    def _copy_files(self, step: Instruction, *, unpack: bool) -> None:
        mode: int | None = None
        for name, value in step.flags:
            if name == "chmod":
                value = self._substitute(step, value)
                if not re.fullmatch(r"[0-7]{3,4}", value):
                    raise self._dockerfile.error(step, f"--chmod={value} is not an octal mode")
                mode = int(value, 8)
            elif name not in ("chown", "link"):  # everything belongs to root here; layers have no meaning
                raise self._dockerfile.error(step, f"the option --{name} needs Docker", DOCKER_HINT)
        listed = step.json_form()
        paths = words(self._dockerfile, step) if listed is None else listed
        *sources, target = (self._substitute(step, path) for path in paths)
        if not sources:
            raise self._dockerfile.error(step, "a source and a destination are needed")
        found = [path for source in sources for path in self._matching(step, source)]
        into_folder = target.endswith("/") or posixpath.basename(target) in (".", "..", "")
        target = self._absolute(target)
        if len(found) > 1 and not into_folder:
            raise self._dockerfile.error(
                step,
                f"{len(found)} sources cannot be copied to the one file {target}",
                "End the destination with /.",
            )
        for path in found:
            self._copy_one(path, target, mode, into_folder=into_folder, unpack=unpack)

    def _matching(self, step: Instruction, source: str) -> list[str]:
        """The paths of the context that a source of COPY names; empty for the context itself."""
        path = posixpath.normpath(source.lstrip("/") or ".")
        while path.startswith("../"):  # Docker, too, takes what is above the context for the context
            path = path[3:]
        if path in (".", ".."):
            return [""]
        entries = self._context.entries
        if re.search(r"[*?[]", path):
            pattern = re.compile(glob_pattern(path.replace("**", "*")))
            found = sorted(entry for entry in entries if pattern.fullmatch(entry))
        else:
            found = [path] if path in entries else []
        if not found:
            hidden = self._context.ignored(path)
            reason = "is excluded by .dockerignore" if hidden else "is not in the build context"
            raise self._dockerfile.error(step, f"{source} {reason}")
        return found

    def _copy_one(self, path: str, target: str, mode: int | None, *, into_folder: bool, unpack: bool) -> None:
        entry = self._resolved(path)
        if entry is None or entry.kind == "folder":
            prefix = f"{entry.path}/" if entry is not None else ""
            self._tree.make_folder(target)
            for inside in sorted(self._context.entries):
                if inside.startswith(prefix):
                    relative = inside.removeprefix(prefix)
                    self._tree.put(posixpath.join(target, relative), self._context.entries[inside], mode)
            return
        if unpack and self._tree.unpack(target, entry.read()):
            return
        if into_folder or self._tree.is_folder(target):
            target = posixpath.join(target, posixpath.basename(path))
        self._tree.put(target, entry, mode)

    def _resolved(self, path: str) -> Entry | None:
        """An entry of the context, links at its end followed; None for the context itself."""
        if not path:
            return None
        entry = self._context.entries[path]
        for _ in range(40):
            if entry.kind != "link":
                break
            following = posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), entry.target))
            if following not in self._context.entries:
                break
            entry = self._context.entries[following]
        return entry

    # RUN ----------------------------------------------------------------------------------------------

    def _run(self, step: Instruction) -> None:
        for name, value in step.flags:
            cache = name == "mount" and "type=cache" in value.split(",")
            if not cache and (name, value) != ("network", "default"):
                raise self._dockerfile.error(step, f"--{name}={value} needs Docker", DOCKER_HINT)
        listed = step.json_form()
        try:
            lines = commands(step.text, self._variables.all()) if listed is None else [listed]
        except SyntaxProblem as problem:
            raise self._dockerfile.error(
                step,
                f"{problem} cannot be run without Docker",
                "Only simple commands joined by && can be. Do it before the build and COPY the result.",
            ) from problem
        for line in lines:
            text = f"RUN {' '.join(line)}"
            if self._ignored(text):
                self._warnings.append(f"line {step.line} is left out: {text}")
                continue
            try:
                self._run_steps.run(line, self._workdir, self._variables.all())
            except Refusal as refusal:
                raise self._dockerfile.error(step, str(refusal), refusal.hint) from refusal
            self._installing += [step] * (len(self._run_steps.installations) - len(self._installing))
