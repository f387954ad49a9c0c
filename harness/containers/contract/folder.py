"""The folder that a container sees as ``/opt/ml``."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from harness.errors import ContainerError

__all__ = ["FAILURE_LIMIT", "HOST", "ROOT", "ContractFolder", "read_file", "relative_path"]

ROOT = PurePosixPath("/opt/ml")
HOST = "algo-1"

FAILURE_LIMIT = 1024
"""Characters of ``/opt/ml/output/failure`` that SageMaker reads, and the longest FailureReason."""


class ContractFolder:
    """The folder that a container sees as ``/opt/ml``.

    The container may do what it likes in there, so nothing it leaves behind is trusted: no link of its making
    is followed.

    Args:
        path: A folder that does not exist yet or is empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made: set[Path] = set()

    def fill(self, folder: PurePosixPath, objects: Iterable[tuple[str, bytes]]) -> None:
        """Write S3 objects.

        Args:
            folder: Where, relative to ``/opt/ml``.
            objects: (path relative to that, content). A path that ends in ``/`` is a folder.

        Raises:
            ContainerError: A path leads out of the folder, or two paths exclude each other.
        """
        base = os.fspath(self.path / folder)
        for name, content in objects:
            if name.startswith("/") or "\0" in name or ".." in name.split("/"):
                raise ContainerError(f'the S3 key "{name}" cannot be a path below {ROOT / folder}')
            target = f"{base}/{name}"
            above = target.rpartition("/")[0]
            try:
                self.make(Path(above))
                if not name.endswith("/"):
                    with open(target, "wb", buffering=0) as file:
                        file.write(content)
            except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
                raise ContainerError(
                    f'the S3 key "{name}" is both an object and the folder of another object'
                ) from error
            except OSError as error:
                raise ContainerError(f'the S3 key "{name}" cannot be written: {error.strerror}') from error

    def make(self, path: Path) -> None:
        """Make a folder, and those above it."""
        if path not in self._made:
            path.mkdir(parents=True, exist_ok=True)
            self._made.add(path)

    def kept(self, *parts: str) -> Path | None:
        """A folder of ours, None when the container replaced it, or one above it, by something else."""
        path = self.path
        for part in parts:
            path = path / part
            if path.is_symlink() or not path.is_dir():
                return None
        return path

    def head(self, folder: str, name: str, size: int) -> bytes | None:
        """The first bytes of a file that the container may have left, None when there is no such file."""
        above = self.kept(folder)
        return read_file(above / name, size) if above is not None else None


def read_file(path: Path, size: int = -1) -> bytes | None:
    """The content of a file of the container's making; None unless it is a regular file.

    Args:
        path: The file. The folders above it are known to be none of the container's links.
        size: Bytes to read at most; all when negative.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(size)
    finally:
        os.close(descriptor)


def relative_path(prefix: str, key: str) -> str:
    """Where an object lies below its channel's folder, or below an output path: the key without its prefix.

    A prefix that is itself a whole key leaves the key's last segment. S3 prefixes are plain strings:
    ``data/test`` also selects ``data/test_output/x``, which then lies at ``_output/x``.
    """
    rest = key.removeprefix(prefix).lstrip("/")
    return rest or key.rstrip("/").rpartition("/")[2]
