"""The models that one multi-model container has loaded.

They come when they are first asked for and go, the least recently used first, when the container says that it
has no memory for another.

Source: SageMaker developer guide, "Custom containers contract for multi-model endpoints".
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.http import Response
from harness.cloud.sagemaker.models.data import ModelSource
from harness.cloud.sagemaker.serving import ModelServer
from harness.cloud.service import Storage
from harness.containers.archive import ArchiveError, unpack
from harness.containers.contract.folder import ROOT

__all__ = ["LoadedModels", "ModelLoadFailed"]

LOADED = 409
NO_ROOM = 507


class ModelLoadFailed(Exception):
    """The container did not load a model.

    Attributes:
        status: HTTP status of its answer to ``POST /models``.
        text: What it said.
    """

    def __init__(self, answer: Response) -> None:
        self.status = answer.status
        self.text = answer.body.decode(errors="replace")
        super().__init__(f"{self.status}: {self.text}")


class _Loaded:
    """A model the container has, or is being given."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.users = 0
        self.lock = asyncio.Lock()
        self.ready = False


class LoadedModels:
    """The models of one container.

    Args:
        storage: Where the artifacts are.
        source: The prefix they are below.
        folder: What the container sees as ``/opt/ml/models``.
        server: The container.
    """

    def __init__(self, storage: Storage, source: ModelSource, folder: Path, server: ModelServer) -> None:
        self._storage = storage
        self._source = source
        self._folder = folder
        self._server = server
        self._models: dict[str, _Loaded] = {}  # by target; the least recently used first

    @asynccontextmanager
    async def use(self, target: str) -> AsyncIterator[str]:
        """Keep a model loaded as long as the context is open; the context gives its name in the container.

        Args:
            target: TargetModel: the artifact's key below the prefix.

        Raises:
            ServiceError: ValidationError: there is no such artifact, or it cannot be unpacked.
            ModelLoadFailed: The container did not load it.
            ConnectionError: The container is gone.
            TimeoutError: It did not answer.
        """
        target = target.lstrip("/")
        model = self._models.pop(target, None) or _Loaded(_name(target))
        self._models[target] = model
        model.users += 1
        try:
            async with model.lock:
                if not model.ready:
                    await self._load(model, target)
                    model.ready = True
            yield model.name
        finally:
            model.users -= 1
            if not model.ready and not model.users:
                self._models.pop(target, None)

    async def _load(self, model: _Loaded, target: str) -> None:
        await self._fetch(model, target)
        while True:
            answer = await self._server.load_model(model.name, str(ROOT / "models" / model.name / "model"))
            if 200 <= answer.status < 300 or answer.status == LOADED:
                return
            if answer.status != NO_ROOM or not await self._unload_one():
                await asyncio.to_thread(shutil.rmtree, self._folder / model.name, ignore_errors=True)
                raise ModelLoadFailed(answer)

    async def _fetch(self, model: _Loaded, target: str) -> None:
        place = self._source.place.child(target)
        bucket, key = place.bucket, place.key
        try:
            content = self._storage.get(bucket, key)
        except ServiceError as error:
            raise ServiceError(
                "ValidationError",
                f"Failed to download model data(bucket: {bucket}, key: {key}). Please ensure that "
                "there is an object located at the URL and that the role passed to CreateModel has "
                "permissions to download the model.",
            ) from error
        try:
            await asyncio.to_thread(_unpack, content, self._folder / model.name)
        except ArchiveError as error:
            raise ServiceError(
                "ValidationError",
                f"Failed to extract model data archive from URL {place}. Please ensure "
                f"that the object located at the URL is a valid tar.gz archive: {error.message}",
            ) from error

    async def _unload_one(self) -> bool:
        """Unload the least recently used model; False when all are in use."""
        for target, model in self._models.items():
            if model.ready and not model.users:
                del self._models[target]
                await self._server.unload_model(model.name)
                await asyncio.to_thread(shutil.rmtree, self._folder / model.name, ignore_errors=True)
                return True
        return False


def _name(target: str) -> str:
    """What the container calls a model: something opaque that is safe in paths."""
    return hashlib.sha256(target.encode()).hexdigest()[:32]


def _unpack(content: bytes, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # what a load left that was cut short
    (folder / "model").mkdir(parents=True)
    try:
        unpack(content, folder / "model")
    except ArchiveError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
