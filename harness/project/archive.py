"""Archives that are the same bytes for the same content, on any machine and day.

Names are sorted; times, owners and umask do not matter; of a file's mode only "executable" is kept. Nothing
is compressed, because no two versions of zlib promise the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.errors import InputError

__all__ = ["Member", "Tree", "file_digest", "read_tree", "tree_digest", "write_tar", "write_zip"]

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold

_NOISE = {"__pycache__", ".git", ".DS_Store", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".idea"}
"""Names of what tools and editors leave in a source folder."""


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    It holds the content itself, so that what was hashed is what is packed, even if somebody edits the file in
    the meantime.

    Attributes:
        content: What is in it.
        executable: It may be run.
        link: What it is a symbolic link to, instead of a file.
    """

    content: bytes
    executable: bool = False
    link: str | None = None


Tree = Mapping[str, Member]
"""Members by path: relative, with slashes."""


def read_tree(
    folder: Path,
    *,
    links: bool = False,
    skip: Callable[[str, bool], bool] = lambda path, is_folder: False,
) -> dict[str, Member]:
    """The files below a folder, without what tools and editors leave behind there.

    Args:
        folder: Where to look.
        links: Keep symbolic links as links. Otherwise links to files are followed.
        skip: Called with a path and whether it is a folder; what it accepts is left out.

    Raises:
        InputError: The folder does not exist or cannot be read, or has something that cannot be archived.
    """
    tree: dict[str, Member] = {}

    def walk(directory: Path, prefix: str) -> None:
        for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
            path = prefix + entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if entry.name in _NOISE or entry.name.endswith(".pyc"):
                continue
            if skip(path, is_folder):
                continue
            if is_folder:
                walk(Path(entry.path), path + "/")
            elif entry.is_symlink() and links:
                tree[path] = Member(b"", link=os.readlink(entry.path))
            elif entry.is_file():
                tree[path] = Member(Path(entry.path).read_bytes(), bool(entry.stat().st_mode & stat.S_IXUSR))
            else:
                raise InputError(
                    "is neither a file nor a folder, and cannot be packed",
                    file=entry.path,
                    hint="links to folders, dangling links, sockets and pipes have no place in an archive",
                )

    try:
        walk(folder, "")
    except FileNotFoundError:
        raise InputError("there is no such folder", file=folder) from None
    except NotADirectoryError:
        raise InputError("is not a folder", file=folder) from None
    except PermissionError as error:
        raise InputError("cannot be read", file=error.filename) from error
    return tree


def tree_digest(tree: Tree) -> str:
    """SHA-256, in hex, over the names, modes and content."""
    digest = hashlib.sha256()
    for path in sorted(tree):
        member = tree[path]
        kind = "l" if member.link is not None else "x" if member.executable else "-"
        content = member.link.encode() if member.link is not None else member.content
        digest.update(f"{kind} {len(path.encode())} {path} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256, in hex, of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_zip(tree: Tree, output: IO[bytes]) -> None:
    """Write a zip."""
    with zipfile.ZipFile(output, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(tree):
            member = tree[path]
            info = zipfile.ZipInfo(path, _EPOCH)
            info.create_system = 3  # Unix: the mode counts, whatever this machine is
            info.external_attr = (stat.S_IFREG | (0o755 if member.executable else 0o644)) << 16
            archive.writestr(info, member.content)


def write_tar(tree: Tree, output: IO[bytes]) -> None:
    """Write a tar."""
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(tree):
            member = tree[path]
            info = tarfile.TarInfo(path)
            if member.link is not None:
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, member.link, 0o777
                archive.addfile(info)
                continue
            info.size = len(member.content)
            info.mode = 0o755 if member.executable else 0o644
            archive.addfile(info, io.BytesIO(member.content))
