"""Checkpoints: from S3 once, before a container starts; to S3 as it writes them, and once more at its end.

Source: SageMaker developer guide, "Use checkpoints in Amazon SageMaker AI".
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePath, PurePosixPath

from harness.cloud.sagemaker.data import pull, select
from harness.cloud.sagemaker.validation import S3Location
from harness.cloud.service import Storage
from harness.containers.contract.folder import ContractFolder, read_file

__all__ = ["Checkpoints"]

_Stamp = tuple[int, int, int]
"""What changes when a file is written: inode, size, time of the last change in nanoseconds."""


class Checkpoints:
    """The checkpoints of one host.

    Args:
        storage: Where they are kept.
        place: The prefix below which they are kept.
        folder: A folder of the container's.
        below: Where in it the checkpoints are, without ``..``.
    """

    def __init__(self, storage: Storage, place: S3Location, folder: ContractFolder, below: PurePath) -> None:
        self._storage = storage
        self._place = place
        self._folder = folder
        self._below = below
        self._known: dict[str, _Stamp] = {}
        """What S3 has of what this host has, or had when it was last looked at."""

    async def restore(self) -> None:
        """Bring what S3 has into the folder.

        Raises:
            ServiceError: NoSuchBucket.
            ContainerError: A key cannot be a path.
        """
        prefix = self._place.child("")
        objects = select(self._storage, "S3Prefix", str(prefix))
        await asyncio.to_thread(self._folder.make, self._folder.path / self._below)
        await pull(self._storage, objects, partial(self._folder.fill, PurePosixPath(self._below)))
        self._known = dict(self._files())

    def store(self) -> None:
        """Bring S3 up to date: what is new or changed, and what was deleted. Runs in a thread.

        Raises:
            ServiceError: NoSuchBucket.
        """
        files = dict(self._files())
        for path, stamp in files.items():
            if self._known.get(path) == stamp:
                continue
            content = read_file(self._folder.path / self._below / path)
            if content is not None:
                target = self._place.child(path)
                self._storage.put(target.bucket, target.key, content)
                self._known[path] = stamp
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
                except FileNotFoundError:
                    continue  # it was there a moment ago
                if stat.S_ISREG(found.st_mode):
                    path = file.relative_to(root).as_posix()
                    yield path, (found.st_ino, found.st_size, found.st_mtime_ns)
