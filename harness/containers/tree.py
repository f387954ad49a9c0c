"""The files an image has of its own: a folder that mirrors the image's root.

Paths are those inside the image. Links are followed as they would be inside, so nothing is ever written
outside the folder.
"""

from __future__ import annotations

import io
import os
import posixpath
import re
import shutil
import stat
import tarfile
from collections.abc import Iterable
from pathlib import Path

from harness.containers.context import Entry, glob_pattern

__all__ = ["BASE_FOLDERS", "Tree", "change_mode"]

BASE_FOLDERS = frozenset(
    [
        "/",
        "/bin",
        "/boot",
        "/etc",
        "/home",
        "/lib",
        "/lib64",
        "/media",
        "/mnt",
        "/opt",
        "/root",
        "/run",
        "/sbin",
        "/srv",
        "/tmp",
        "/usr",
        "/usr/bin",
        "/usr/lib",
        "/usr/local",
        "/usr/local/bin",
        "/usr/local/lib",
        "/usr/local/share",
        "/usr/sbin",
        "/usr/share",
        "/usr/src",
        "/var",
        "/var/cache",
        "/var/lib",
        "/var/log",
        "/var/tmp",
    ]
)
"""Folders that every base image has, although they are not in the tree."""

KERNEL_FOLDERS = ("proc", "sys", "dev")
LINK_LIMIT = 40  # as the kernel's

MODE_CLAUSE = re.compile(r"([ugoa]*)([-+=])([rwxX]*)")


class Tree:
    """An image's files.

    Args:
        root: The folder that mirrors the image's ``/``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def on_disk(self, path: str, *, follow: bool = True) -> Path:
        """Where a path of the image lies on this machine, whether it exists or not.

        Args:
            path: Absolute.
            follow: Follow a link at the end of the path, too.

        Raises:
            ValueError: It lies in /proc, /sys or /dev, or leads round in circles.
        """
        pending = [part for part in posixpath.normpath(path).split("/") if part][::-1]
        done: list[str] = []
        links = 0
        while pending:
            part = pending.pop()
            if part == "..":
                done[-1:] = []
                continue
            target = self._link([*done, part]) if pending or follow else None
            if target is None:
                done.append(part)
                continue
            links += 1
            if links > LINK_LIMIT:
                raise ValueError(f"{path}: too many links")
            if target.startswith("/"):
                done = []
            pending += [piece for piece in target.split("/") if piece not in ("", ".")][::-1]
        if done and done[0] in KERNEL_FOLDERS:
            raise ValueError(f"{path}: an image has no files in /{done[0]}")
        return self.root.joinpath(*done)

    def _link(self, parts: list[str]) -> str | None:
        place = self.root.joinpath(*parts)
        if place.is_symlink():
            return os.readlink(place)
        # /bin and the like are links into /usr in the system that stands in for the base image
        if len(parts) == 1 and not place.exists() and os.path.islink(f"/{parts[0]}"):
            return os.readlink(f"/{parts[0]}") if parts[0] in ("bin", "sbin", "lib", "lib64") else None
        return None

    def is_folder(self, path: str) -> bool:
        """Whether the image has a folder there, be it from its base."""
        return posixpath.normpath(path) in BASE_FOLDERS or self.on_disk(path).is_dir()

    def make_folder(self, path: str) -> Path:
        """Make a folder and those above it."""
        folder = self.on_disk(path)
        folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        return folder

    def put(self, path: str, entry: Entry, mode: int | None = None) -> None:
        """Write an entry of the context to a path; a folder without what is in it."""
        if entry.kind == "folder":
            self.make_folder(path)
            if mode is not None:
                self.on_disk(path).chmod(mode)
            return
        self.make_folder(posixpath.dirname(path))
        place = self.on_disk(path, follow=False)
        if place.is_symlink() or place.is_file():
            place.unlink()
        if entry.kind == "link":
            place.symlink_to(entry.target)
            return
        place.write_bytes(entry.read())
        place.chmod((0o755 if entry.executable else 0o644) if mode is None else mode)

    def unpack(self, path: str, archive: bytes) -> bool:
        """Unpack a tar archive into a folder; False when it is none.

        Raises:
            ValueError: This Python cannot do so safely.
        """
        if not hasattr(tarfile, "data_filter"):
            raise ValueError("unpacking an archive needs Python 3.11.4 or newer")
        try:
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                tar.extractall(self.make_folder(path), filter="data")
        except tarfile.ReadError:
            return False
        return True

    def matches(self, pattern: str) -> list[str]:
        """The paths of the tree that match a shell pattern, sorted; links at their end are not followed."""
        if not re.search(r"[*?[]", pattern):
            return [pattern] if os.path.lexists(self.on_disk(pattern, follow=False)) else []
        expression = re.compile(glob_pattern(pattern.replace("**", "*")))
        hidden = posixpath.basename(pattern).startswith(".")
        found = (f"/{path.relative_to(self.root)}" for path in self.root.rglob("*"))
        return sorted(
            path
            for path in found
            if expression.fullmatch(path) and (hidden or not posixpath.basename(path).startswith("."))
        )

    def remove(self, path: str) -> None:
        place = self.on_disk(path, follow=False)
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink()

    def link(self, path: str, target: str, *, replace: bool) -> None:
        """Make a symbolic link.

        Raises:
            FileExistsError: Something is there already.
        """
        self.make_folder(posixpath.dirname(path))
        place = self.on_disk(path, follow=False)
        if replace and place.is_symlink():
            place.unlink()
        place.symlink_to(target)

    def change_modes(self, paths: Iterable[str], mode: str, *, recursive: bool) -> None:
        """chmod.

        Raises:
            ValueError: `mode` is malformed.
        """
        for path in paths:
            place = self.on_disk(path)
            inside = place.rglob("*") if recursive and place.is_dir() else ()
            for item in (place, *inside):
                if not item.is_symlink():
                    state = item.stat().st_mode
                    item.chmod(change_mode(stat.S_IMODE(state), mode, is_folder=stat.S_ISDIR(state)))


def change_mode(old: int, change: str, *, is_folder: bool) -> int:
    """Permission bits after a chmod argument: octal, or symbolic such as ``u=rwX,go-w``.

    Raises:
        ValueError: `change` is neither.
    """
    if re.fullmatch(r"[0-7]{1,4}", change):
        return int(change, 8)
    new = old
    for clause in change.split(","):
        match = MODE_CLAUSE.fullmatch(clause)
        if match is None:
            raise ValueError(f"{change!r} is not a file mode")
        who = match[1] if match[1] and "a" not in match[1] else "ugo"
        runs = is_folder or bool(old & 0o111)
        values = {"r": 4, "w": 2, "x": 1, "X": 1 if runs else 0}
        bits = 0
        for permission in match[3]:
            bits |= values[permission]
        for letter in who:
            shift = {"u": 6, "g": 3, "o": 0}[letter]
            if match[2] == "+":
                new |= bits << shift
            else:
                new &= ~((7 if match[2] == "=" else bits) << shift)
                new |= bits << shift if match[2] == "=" else 0
    return new
