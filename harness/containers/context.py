"""Build contexts: the files a Dockerfile may copy, from a folder or a tar archive, after .dockerignore.

Source of the pattern rules: https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.errors import DockerfileError

__all__ = ["Context", "Entry", "Ignore", "glob_pattern", "open_context"]


@dataclass(frozen=True)
class Entry:
    """A file, folder or symbolic link of a context.

    Attributes:
        path: Relative to the context, with slashes.
        kind: What it is.
        executable: Whether a file has an execute bit. Of permissions only this counts: the others depend on
            the umask of whoever checked the files out.
        target: Where a link points to.
        read: The content of a file.
    """

    path: str
    kind: Literal["file", "folder", "link"]
    executable: bool
    target: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Context:
    """A build context.

    Attributes:
        entries: Everything in it, by path.
        ignored: What .dockerignore takes away, to explain why a file is missing.
    """

    entries: Mapping[str, Entry]
    ignored: Ignore

    def digest(self) -> str:
        """SHA-256 over paths, kinds, execute bits and content: not over times, owners or where it lies."""
        total = hashlib.sha256()
        for path in sorted(self.entries):
            entry = self.entries[path]
            content = hashlib.sha256(entry.read()).hexdigest() if entry.kind == "file" else entry.target
            total.update(
                f"{path}\0{entry.kind}\0{entry.executable:d}\0{content}\0".encode(errors="surrogateescape")
            )
        return total.hexdigest()


class Ignore:
    """The rules of a .dockerignore file: the last pattern that matches decides; ``!`` takes back."""

    def __init__(self, text: str) -> None:
        self._rules: list[tuple[re.Pattern[str], bool]] = []
        for raw in text.removeprefix("\ufeff").splitlines():
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            back = line.startswith("!")
            pattern = posixpath.normpath(line.removeprefix("!").strip().lstrip("/") or ".")
            if pattern != ".":
                # What is below a folder that matches is matched as well.
                self._rules.append((re.compile(f"{glob_pattern(pattern)}(?:/.*)?", re.DOTALL), back))

    def __call__(self, path: str) -> bool:
        """Whether a path is left out."""
        left_out = False
        for pattern, back in self._rules:
            if left_out == back and pattern.fullmatch(path):
                left_out = not back
        return left_out

    @property
    def takes_back(self) -> bool:
        """Some rule starts with ``!``, so that a folder left out may still have something in it."""
        return any(back for _, back in self._rules)


def glob_pattern(pattern: str) -> str:
    """A regular expression for a pattern of Go's filepath.Match, with ``**`` for any number of folders."""
    result = ""
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            result, at = result + "(?:.*/)?", at + 3
        elif pattern.startswith("**", at):
            result, at = result + ".*", at + 2
        elif pattern[at] == "*":
            result, at = result + "[^/]*", at + 1
        elif pattern[at] == "?":
            result, at = result + "[^/]", at + 1
        elif pattern[at] == "[" and (end := pattern.find("]", at + 2)) > 0:
            inside = pattern[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
            result, at = f"{result}[{inside}]", end + 1
        elif pattern[at] == "\\" and at + 1 < len(pattern):
            result, at = result + re.escape(pattern[at + 1]), at + 2
        else:
            result, at = result + re.escape(pattern[at]), at + 1
    return result


def open_context(path: Path, dockerfile: str) -> tuple[Context, str]:
    """Read a context.

    Args:
        path: A folder or a tar archive (compressed or not).
        dockerfile: Path of the Dockerfile inside. A file of that name with ``.dockerignore`` appended goes
            before the ``.dockerignore`` at the top.

    Returns:
        The context, and the Dockerfile's text.

    Raises:
        DockerfileError: There is no such context or Dockerfile, or one of the two is not readable.
    """
    if not path.exists():
        raise DockerfileError("the build context does not exist", file=path)
    source = _Folder(path) if path.is_dir() else _Archive(path)
    name = posixpath.normpath(dockerfile)

    def text(member: str) -> str | None:
        content = source.content(member)
        try:
            return None if content is None else content.decode()
        except UnicodeDecodeError as error:
            raise DockerfileError("it is not a text file", file=path / member) from error

    recipe = text(name)
    if recipe is None:
        raise DockerfileError(
            "there is no such file", file=path / name, hint="A build context needs a Dockerfile."
        )
    rules = text(f"{name}.dockerignore")
    ignore = Ignore((text(".dockerignore") or "") if rules is None else rules)
    entries = {entry.path: entry for entry in source.entries(ignore)}
    for entry in tuple(entries.values()):  # archives need not name the folders their files are in
        folder = posixpath.dirname(entry.path)
        while folder and folder not in entries:
            entries[folder] = _folder(folder)
            folder = posixpath.dirname(folder)
    return Context(entries, ignore), recipe


def _folder(path: str) -> Entry:
    return Entry(path, "folder", False, "", bytes)


class _Folder:
    """A context that is a folder. What is ignored is not even listed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def content(self, path: str) -> bytes | None:
        try:
            return (self._root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def entries(self, ignore: Ignore) -> Iterator[Entry]:
        return self._walk(os.fspath(self._root), "", ignore)

    def _walk(self, folder: str, prefix: str, ignore: Ignore) -> Iterator[Entry]:
        with os.scandir(folder) as found:
            for item in found:
                path = prefix + item.name
                left_out = ignore(path)
                if not left_out:
                    yield self._entry(item, path)
                if item.is_dir(follow_symlinks=False) and (not left_out or ignore.takes_back):
                    yield from self._walk(item.path, f"{path}/", ignore)

    def _entry(self, item: os.DirEntry[str], path: str) -> Entry:
        if item.is_dir(follow_symlinks=False):
            return _folder(path)
        if item.is_symlink():
            return Entry(path, "link", False, os.readlink(item.path), bytes)
        mode = item.stat(follow_symlinks=False).st_mode
        if not stat.S_ISREG(mode):
            raise DockerfileError(
                "neither a file, a folder nor a link", file=item.path, hint="Add it to .dockerignore."
            )
        return Entry(path, "file", bool(mode & 0o111), "", Path(item.path).read_bytes)


class _Archive:
    """A context that is a tar archive; it is read at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with tarfile.open(path) as tar:
                read = [self._entry(tar, member) for member in tar]
        except tarfile.TarError as error:
            raise DockerfileError(
                f"neither a folder nor a readable tar archive: {error}", file=path
            ) from error
        self._entries = {entry.path: entry for entry in read if entry.path != "."}

    def content(self, path: str) -> bytes | None:
        entry = self._entries.get(path)
        return entry.read() if entry is not None and entry.kind == "file" else None

    def entries(self, ignore: Ignore) -> Iterator[Entry]:
        return (entry for entry in self._entries.values() if not ignore(entry.path))

    def _entry(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
        path = posixpath.normpath(member.name).lstrip("/")
        if path.split("/")[0] == "..":
            raise DockerfileError(f"{member.name} lies outside the context", file=self._path)
        if member.isdir():
            return _folder(path)
        if member.issym():
            return Entry(path, "link", False, member.linkname, bytes)
        file = tar.extractfile(member) if member.isfile() or member.islnk() else None
        if file is None:
            raise DockerfileError(f"{member.name} is neither a file, a folder nor a link", file=self._path)
        content = file.read()
        return Entry(path, "file", bool(member.mode & 0o111), "", lambda: content)
