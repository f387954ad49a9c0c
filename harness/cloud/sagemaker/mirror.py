"""A folder that a container writes, brought to S3 again and again while it does."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path, PurePath

from harness.cloud.sagemaker.validation import S3Location
from harness.cloud.service import Storage
from harness.containers.contract.folder import ContractFolder, read_file

__all__ = ["Mirror"]

_Stamp = tuple[int, int, int]
"""What changes when a file is written: inode, size, time of the last change in nanoseconds."""


class Mirror:
    """One folder, and what S3 has of it.

    Args:
        storage: Where it is brought.
        place: The prefix below which it is brought.
        folder: A folder of the container's.
        below: Where in it the files are, without ``..``.
        deletions: What the container deletes is deleted in S3, too.
    """

    def __init__(
        self,
        storage: Storage,
        place: S3Location,
        folder: ContractFolder,
        below: PurePath,
        *,
        deletions: bool = False,
    ) -> None:
        self._storage = storage
        self._place = place
        self._folder = folder
        self._below = below
        self._deletions = deletions
        self._known: dict[str, _Stamp] = {}
        """What S3 has of what the container has, or had when it was last looked at."""
        self._storing = threading.Lock()

    def store(self) -> None:
        """Bring S3 up to date. Runs in a thread.

        Raises:
            ServiceError: NoSuchBucket.
        """
        # A thread cannot be cancelled: the last look may come while the one before it is still at work, which
        # must not then put what it has read over what is newer.
        with self._storing:
            self._store()

    def _store(self) -> None:
        files = dict(self._files())
        for path, stamp in files.items():
            if self._known.get(path) == stamp:
                continue
            content = read_file(self._folder.path / self._below / path)
            if content is not None:
                target = self._place.child(path)
                self._storage.put(target.bucket, target.key, content)
                self._known[path] = stamp
        if not self._deletions:
            return
        for path in self._known.keys() - files.keys():
            target = self._place.child(path)
            self._storage.delete(target.bucket, target.key)
            del self._known[path]

    def _files(self) -> Iterator[tuple[str, _Stamp]]:
        """(path, stamp) of the regular files in the folder; links are passed over."""
        root = self._folder.kept(*self._below.parts)
        if root is None:
            return
        for above, _, names in os.walk(root):
            for name in names:
                file = Path(above, name)
                try:
                    found = file.lstat()
                except OSError:
                    continue  # it, or a folder above it, was there a moment ago
                if stat.S_ISREG(found.st_mode):
                    path = file.relative_to(root).as_posix()
                    yield path, (found.st_ino, found.st_size, found.st_mtime_ns)
