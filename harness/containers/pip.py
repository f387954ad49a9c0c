"""The ``pip install`` commands of a Dockerfile, for uv."""

from __future__ import annotations

import hashlib
import itertools
import posixpath
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.containers.environments import Installation
from harness.containers.tree import Tree

__all__ = ["PipProblem", "install_words", "installation"]

PIP = re.compile(r"(/usr/local/bin/|/usr/bin/)?pip(3(\.\d+)?)?")
PYTHON = re.compile(r"(/usr/local/bin/|/usr/bin/)?python(3(\.\d+)?)?")

# Options without a value that change nothing here.
NEUTRAL = frozenset(
    [
        "--no-cache-dir",
        "--no-cache",
        "--disable-pip-version-check",
        "--no-input",
        "--no-color",
        "--no-warn-script-location",
        "--no-warn-conflicts",
        "--break-system-packages",
        "--root-user-action",
        "--prefer-binary",
        "--system",
        "--compile",
        "--no-compile",
        "--compile-bytecode",
        "-q",
        "-qq",
        "-qqq",
        "--quiet",
        "-v",
        "-vv",
        "-vvv",
        "--verbose",
    ]
)
# Options with a value that change nothing here.
NEUTRAL_WITH_VALUE = frozenset(
    ["--progress-bar", "--timeout", "--default-timeout", "--retries", "--root-user-action"]
)
# Options without a value, and what uv calls them.
PASSED = {
    "-U": "--upgrade",
    "--upgrade": "--upgrade",
    "--no-deps": "--no-deps",
    "--no-index": "--no-index",
    "--require-hashes": "--require-hashes",
    "--no-build-isolation": "--no-build-isolation",
    "--pre": "--prerelease=allow",
    "-I": "--reinstall",
    "--ignore-installed": "--reinstall",
    "--force-reinstall": "--reinstall",
    "--reinstall": "--reinstall",
}
# Options with a value, and what uv calls them.
PASSED_WITH_VALUE = {
    "-i": "--default-index",
    "--index-url": "--default-index",
    "--default-index": "--default-index",
    "--extra-index-url": "--index",
    "--index": "--index",
    "--trusted-host": "--allow-insecure-host",
    "--no-binary": "--no-binary",
    "--only-binary": "--only-binary",
}
FILES = {"-r": "-r", "--requirement": "-r", "--requirements": "-r", "-c": "-c", "--constraint": "-c"}

# Settings in the environment, and uv's name for them; None for those that change nothing here.
VARIABLES = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_TRUSTED_HOST": "UV_INSECURE_HOST",
    "PIP_NO_CACHE_DIR": None,
    "PIP_DISABLE_PIP_VERSION_CHECK": None,
    "PIP_DEFAULT_TIMEOUT": None,
    "PIP_ROOT_USER_ACTION": None,
    "PIP_NO_INPUT": None,
    "PIP_PROGRESS_BAR": None,
    "PIP_BREAK_SYSTEM_PACKAGES": None,
    "PIP_PREFER_BINARY": None,
}


class PipProblem(ValueError):
    """An option or requirement that is not supported; the text names it."""


def install_words(words: list[str]) -> list[str] | None:
    """What follows ``pip install`` in a command, however pip is called; None when it is another command."""
    rest = words
    if rest[:1] == ["uv"]:
        rest = rest[1:]
        if rest[:1] != ["pip"]:
            return None
    elif PYTHON.fullmatch(rest[0]):
        if rest[1:2] != ["-m"]:
            return None
        rest = rest[2:]
    if not rest or not PIP.fullmatch(rest[0]):
        return None
    return rest[2:] if rest[1:2] == ["install"] else None


def installation(
    words: list[str], tree: Tree, workdir: str, variables: Mapping[str, str], folder: Path
) -> Installation:
    """Translate a ``pip install``.

    Files it names are copied, for they may be gone from the image by the time uv runs.

    Args:
        words: What follows ``pip install``.
        tree: The image's files so far.
        workdir: The folder inside the image in which it would run.
        variables: The environment in which it would run.
        folder: A new folder for the copies.

    Raises:
        PipProblem: It says something that is not supported, or names a file that is not there.
    """
    folder.mkdir(parents=True)
    copies = _Copies(tree, workdir, folder, itertools.count())
    arguments: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if not word.startswith("-"):
            arguments.append(copies.requirement(word))
        elif name in NEUTRAL and (not equals or name in NEUTRAL_WITH_VALUE):
            continue
        elif name in PASSED and not equals:
            arguments.append(PASSED[name])
        elif (short := word[:2]) in FILES and len(word) > 2 and not word.startswith("--"):
            arguments += [short, copies.file(word[2:])]
        elif name in NEUTRAL_WITH_VALUE | PASSED_WITH_VALUE.keys() | FILES.keys() | {"-f", "--find-links"}:
            value = value if equals else next(rest, "")
            if not value:
                raise PipProblem(f"pip's option {name} has no value")
            if name in FILES:
                arguments += [FILES[name], copies.file(value)]
            elif name in ("-f", "--find-links"):
                arguments += ["--find-links", value if "://" in value else copies.path(value)]
            elif name in PASSED_WITH_VALUE:
                arguments += [PASSED_WITH_VALUE[name], value]
        else:
            raise PipProblem(f"pip's option {word} is not supported")
    if not arguments:
        raise PipProblem("pip install says nothing to install")
    settings = tuple(_settings(variables))
    identity = "\0".join([*arguments, *(f"{name}={value}" for name, value in settings), *copies.identity])
    return Installation(tuple(arguments), folder, identity, settings)


def _settings(variables: Mapping[str, str]) -> list[tuple[str, str]]:
    settings = []
    for name, value in sorted(variables.items()):
        if name.startswith("PIP_"):
            if name not in VARIABLES:
                raise PipProblem(f"the setting {name} is not supported")
            translated = VARIABLES[name]
            if translated is not None:
                settings.append((translated, value))
        elif name.startswith("UV_"):
            settings.append((name, value))
    return settings


class _Copies:
    """Copies of the files a command names, with numbers for names.

    Attributes:
        identity: Their content.
    """

    def __init__(self, tree: Tree, workdir: str, folder: Path, numbers: Iterator[int]) -> None:
        self._tree = tree
        self._workdir = workdir
        self._folder = folder
        self._numbers = numbers
        self.identity: list[str] = []

    def requirement(self, word: str) -> str:
        """A requirement given on the command line: a specifier, or a path."""
        path, bracket, extras = word.partition("[")
        looks_like_path = path.startswith((".", "/")) or path.endswith((".whl", ".tar.gz", ".zip"))
        if "://" in word or " @ " in word or not looks_like_path:
            return word
        return f"{self.path(path)}{bracket}{extras}"

    def path(self, path: str) -> str:
        """Copy a file or folder; a file keeps its name, which says what it is."""
        place = self._place(path)
        number = next(self._numbers)
        name = f"./{number}/{place.name}" if place.is_file() else f"./{number}"
        target = self._folder / name
        if place.is_dir():
            shutil.copytree(place, target, symlinks=True)
            files = sorted(item for item in target.rglob("*") if item.is_file())
        else:
            target.parent.mkdir()
            shutil.copyfile(place, target)
            files = [target]
        for file in files:
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            self.identity.append(f"{file.relative_to(self._folder)} {digest}")
        return name

    def file(self, path: str) -> str:
        """Copy a requirements or constraints file, and those it includes."""
        if "://" in path:
            raise PipProblem(f"requirements from {path} are not supported")
        place = self._place(path)
        if not place.is_file():
            raise PipProblem(f"{path} is not a file")
        inside = posixpath.dirname(posixpath.join(self._workdir, path))
        nested = _Copies(self._tree, inside, self._folder, self._numbers)
        text = place.read_text(encoding="utf-8-sig")
        lines = [nested._line(line, path) for line in text.splitlines()]
        name = f"{next(self._numbers)}.txt"
        copied = "\n".join(lines) + "\n"
        (self._folder / name).write_text(copied)
        self.identity += [*nested.identity, copied]
        return name

    def _line(self, line: str, file: str) -> str:
        include = re.match(r"\s*(-r|-c|--requirement|--constraint)(?:\s*=\s*|\s+|(?<=-[rc]))([^\s#]+)", line)
        if include is not None:
            return f"{FILES[include[1]]} {self.file(include[2])}"
        if re.match(r"\s*(-e|--editable)\b", line):
            raise PipProblem(f"{file}: editable requirements ({line.strip()}) are not supported")
        if re.match(r"\s*(\.{1,2}/|/|file:)|\s*\.\s*$", line):
            raise PipProblem(f"{file}: requirements that are paths ({line.strip()}) are not supported")
        return line

    def _place(self, path: str) -> Path:
        place = self._tree.on_disk(posixpath.join(self._workdir, path))
        if not place.exists():
            raise PipProblem(f"{path} has not been copied into the image")
        return place
