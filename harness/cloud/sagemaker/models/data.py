"""Model data: where it lies, whether it is there, and how it gets to a container."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.validation import S3Location, invalid, parse_s3
from harness.cloud.service import Storage
from harness.containers.archive import SIZE_LIMIT, unpack

__all__ = ["ModelSource", "model_source"]

Form = Literal["archive", "object", "prefix", "models"]


@dataclass(frozen=True)
class ModelSource:
    """Where the model data of a container lies in S3.

    Attributes:
        url: As the request names it.
        place: The same, taken apart.
        form: ``archive``: a tar.gz; ``object``: one file; ``prefix``: every object below it, a file each;
            ``models``: archives below it, one a model, fetched when they are first asked for.
    """

    url: str
    place: S3Location
    form: Form

    def require(self, storage: Storage) -> None:
        """Refuse model data that is not there.

        Raises:
            ServiceError: ValidationException.
        """
        try:
            keys = [key for key, _ in storage.list(self.place.bucket, self.place.key)]
        except ServiceError as error:
            raise invalid(f"Could not access model data at {self.url}. {error.message}") from error
        if not keys or (self.form in ("archive", "object") and self.place.key not in keys):
            raise invalid(f"Could not find model data at {self.url}.")

    async def fetch(self, storage: Storage, folder: Path, *, limit: int = SIZE_LIMIT) -> None:
        """Put the model into a folder that exists; nothing for ``models``.

        Args:
            storage: Where it lies.
            folder: An empty folder.
            limit: Bytes an archive may unpack to.

        Raises:
            ServiceError: NoSuchBucket, NoSuchKey.
            ArchiveError: An archive cannot be unpacked.
        """
        place = self.place
        if self.form == "archive":
            content = storage.get(place.bucket, place.key)
            await asyncio.to_thread(unpack, content, folder, limit=limit)
        elif self.form == "object":
            content = storage.get(place.bucket, place.key)
            await asyncio.to_thread((folder / place.key.rpartition("/")[2]).write_bytes, content)
        elif self.form == "prefix":
            keys = [key for key, _ in storage.list(place.bucket, place.key)]
            if not keys:
                raise ServiceError("NoSuchKey", "The specified key does not exist.", status=404)
            for key in keys:
                if not key.endswith("/"):
                    content = storage.get(place.bucket, key)
                    await asyncio.to_thread(_write, folder, key.removeprefix(place.key), content)


def _write(folder: Path, path: str, content: bytes) -> None:
    parts = [part for part in path.split("/") if part]
    if ".." in parts or not parts:
        raise ServiceError("InvalidKey", f'the key "{path}" would lie outside of the model folder')
    target = folder.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def model_source(container: Mapping[str, Any]) -> ModelSource | None:
    """The model data of a ContainerDefinition; None when it has none.

    Raises:
        ServiceError: ValidationException.
    """
    url, source = container.get("ModelDataUrl"), container.get("ModelDataSource", {}).get("S3DataSource")
    multi_model = container.get("Mode") == "MultiModel"
    if source is not None:
        if url:
            raise invalid("ModelDataUrl and ModelDataSource cannot both be specified.")
        if multi_model:
            raise invalid("ModelDataSource is not supported for a container in MultiModel mode.")
        return _uncompressed(source)
    if not url:
        return None
    place = parse_s3(url)
    if multi_model:
        return ModelSource(url, place, "models")
    _require_archive_name(url, place)
    return ModelSource(url, place, "archive")


def _uncompressed(source: Mapping[str, Any]) -> ModelSource:
    url, kind, gzip = source["S3Uri"], source["S3DataType"], source["CompressionType"] == "Gzip"
    place = parse_s3(url)
    if kind == "S3Object":
        return ModelSource(url, place, "archive" if gzip else "object")
    if gzip:
        raise invalid("CompressionType Gzip needs the S3DataType S3Object.")
    if place.key and not place.key.endswith("/"):
        raise invalid(f"The S3Uri {url} of the S3DataType S3Prefix must end with a slash.")
    return ModelSource(url, place, "prefix")


def _require_archive_name(url: str, place: S3Location) -> None:
    if not place.key.endswith(".tar.gz"):
        raise invalid(
            f"The model data at {url} is not a .tar.gz archive; uncompressed model data needs "
            "ModelDataSource."
        )
