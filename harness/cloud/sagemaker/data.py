"""Which S3 objects a job reads, and getting them out of storage."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.validation import S3Location, invalid, parse_s3, unsupported
from harness.cloud.service import Storage
from harness.containers.contract.folder import relative_path

__all__ = ["InputObject", "pull", "require_objects", "select"]

Batch = list[tuple[str, bytes]]
"""Path below the channel's folder, and content, of some objects."""

BATCH_OBJECTS = 250
BATCH_BYTES = 16 * 2**20
"""How much is taken out of storage, on the event loop, before a thread writes it to disk."""

WRITERS = 4
"""Threads at once. Where making a file is slow, it is the file system that is waited for."""


@dataclass(frozen=True)
class InputObject:
    """One object that a data source selects.

    Attributes:
        location: Where it is.
        path: Where it lies relative to the data source.
        size: In bytes; 0 when the data source does not tell (a manifest).
    """

    location: S3Location
    path: str
    size: int = 0


def select(storage: Storage, data_type: str, uri: str) -> list[InputObject]:
    """The objects of an S3DataSource, sorted by key (a manifest: in its order).

    Args:
        storage: Where they are.
        data_type: ``S3Prefix`` or ``ManifestFile``.
        uri: The prefix, or the manifest's address.

    Raises:
        ServiceError: NoSuchBucket; NoSuchKey and ValidationException for a manifest that does not exist or is
            malformed.
    """
    place = parse_s3(uri)
    if data_type == "S3Prefix":
        return [
            InputObject(S3Location(place.bucket, key), relative_path(place.key, key), size)
            for key, size in storage.list(place.bucket, place.key)
            if not _is_root(place.key, key)
        ]
    if data_type == "ManifestFile":
        return _manifest(uri, storage.get(place.bucket, place.key))
    raise unsupported(f"S3DataType {data_type}")


def _is_root(prefix: str, key: str) -> bool:
    """Whether this is the empty object with which S3 consoles mark the prefix itself as a folder."""
    return key.endswith("/") and not key.removeprefix(prefix).strip("/")


def _manifest(uri: str, content: bytes) -> list[InputObject]:
    try:
        head, *names = json.loads(content)
        prefix = parse_s3(head["prefix"])
    except (ValueError, TypeError, KeyError) as error:
        raise invalid(
            f'The manifest "{uri}" is not a JSON list that starts with {{"prefix": "s3://..."}}.'
        ) from error
    if not all(isinstance(name, str) for name in names):
        raise invalid(f'The manifest "{uri}" lists something that is not a string.')
    return [
        InputObject(S3Location(prefix.bucket, prefix.key + name), name.lstrip("/") or prefix.key)
        for name in names
    ]


def require_objects(storage: Storage, data_type: str, uri: str, *, region: str, role: str) -> None:
    """Refuse a data source that selects nothing, as SageMaker does when a job is created.

    An empty manifest passes.

    Raises:
        ServiceError: ValidationException.
    """
    place = parse_s3(uri)
    try:
        if data_type != "S3Prefix" or storage.list(place.bucket, place.key):
            return
    except ServiceError as error:
        if error.code != "NoSuchBucket":
            raise
    raise invalid(
        f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket '
        f"exists in the selected region ({region}), that objects exist under that S3 prefix, and that the "
        f'role "{role}" has "s3:ListBucket" permissions on bucket "{place.bucket}".'
    )


async def pull(
    storage: Storage,
    objects: Sequence[InputObject],
    write: Callable[[Batch], None],
) -> None:
    """Hand the objects' contents to `write`, batch by batch, in a few threads at a time.

    Raises:
        ServiceError: NoSuchKey, NoSuchBucket: an object has gone since it was listed.
        Exception: Whatever `write` raises.
    """
    batches: list[Batch] = [[]]
    size = 0
    for item in objects:
        content = storage.get(item.location.bucket, item.location.key)
        batches[-1].append((item.path, content))
        size += len(content)
        if len(batches[-1]) >= BATCH_OBJECTS or size >= BATCH_BYTES:
            if len(batches) == WRITERS:
                await _write(write, batches)
                batches = []
            batches.append([])
            size = 0
    await _write(write, batches)


async def _write(write: Callable[[Batch], None], batches: list[Batch]) -> None:
    """Write batches at the same time; when one fails, the others are over before that is said."""
    writing = (asyncio.to_thread(write, batch) for batch in batches)
    for outcome in await asyncio.gather(*writing, return_exceptions=True):
        if outcome is not None:
            raise outcome
