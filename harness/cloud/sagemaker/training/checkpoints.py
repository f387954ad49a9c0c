"""Checkpoints: from S3 once, before a container starts; to S3 as it writes them, and once more at its end.

Source: SageMaker developer guide, "Use checkpoints in Amazon SageMaker AI".
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import PurePath, PurePosixPath

from harness.cloud.sagemaker.data import pull, select
from harness.cloud.sagemaker.mirror import Mirror
from harness.cloud.sagemaker.validation import S3Location
from harness.cloud.service import Storage
from harness.containers.contract.folder import ContractFolder

__all__ = ["Checkpoints"]


class Checkpoints(Mirror):
    """The checkpoints of one host; see `Mirror`."""

    def __init__(self, storage: Storage, place: S3Location, folder: ContractFolder, below: PurePath) -> None:
        super().__init__(storage, place, folder, below, deletions=True)

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
