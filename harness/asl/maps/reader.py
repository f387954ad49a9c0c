"""ItemReader: the items of a distributed Map, from S3."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from harness.asl.errors import ITEM_READER_FAILED, StatesError
from harness.asl.frame import Frame
from harness.asl.maps.formats import (
    DataFormat,
    MalformedDataset,
    athena_manifest,
    decompress,
    inventory_manifest,
)
from harness.asl.maps.map import Dataset, Item, Number, items_of
from harness.asl.maps.services import Caller, MapServices, StorageError
from harness.asl.payload import Template
from harness.asl.scope import Reader
from harness.asl.tasks import JSON

__all__ = ["MAX_ITEMS", "ItemReader", "ReadRequest"]

MAX_ITEMS: Final = 100_000_000
"""Items that a Map reads at most (AWS developer guide)."""

Source = Literal["listing", "objects", "file", "inventory", "athena"]
"""What a reader iterates over: the metadata of the objects under a prefix; what is in these objects
(``LOAD_AND_FLATTEN``); what is in one object; the rows of an S3 Inventory; what is in the files that a
manifest of Athena names."""


@dataclass(frozen=True)
class ReadRequest:
    """What one visit of the state is to read.

    Attributes:
        arguments: The request to S3.
        limit: MaxItems in force.
    """

    arguments: Mapping[str, JSON]
    limit: int

    @property
    def bucket(self) -> str:
        bucket: str = self.arguments["Bucket"]
        return bucket


@dataclass(frozen=True)
class ItemReader:
    """ItemReader (AWS developer guide, "ItemReader (Map)").

    Attributes:
        source: What it iterates over.
        arguments: Parameters or Arguments.
        document: What they work on, from the effective input.
        required: The members that the request must have; they are strings.
        format: How the items of a file are written.
        max_items: MaxItems; None for no limit of the user's.
    """

    source: Source
    arguments: Template
    document: Reader
    required: tuple[str, ...]
    format: DataFormat
    max_items: Number | None

    def request(self, frame: Frame, data: JSON) -> ReadRequest:
        """Evaluate the fields.

        Raises:
            Fault: One cannot be evaluated.
            StatesError: States.ItemReaderFailed: they do not make a request.
        """
        limit = MAX_ITEMS if self.max_items is None else min(MAX_ITEMS, int(self.max_items(data, frame)))
        arguments = frame.fill(self.arguments, self.document(data, frame))[0]
        for name in self.required:
            if not isinstance(arguments, dict) or not isinstance(arguments.get(name), str):
                raise StatesError(ITEM_READER_FAILED, f"The value for the field '{name}' must be a STRING")
        return ReadRequest(arguments, limit)

    async def read(self, services: MapServices, request: ReadRequest, caller: Caller) -> list[Item]:
        """Read the items.

        Raises:
            StatesError: States.ItemReaderFailed.
        """
        items: list[Item] = []
        try:
            async for dataset, source in self._datasets(_Bucket(services, request, caller)):
                items += items_of(dataset, source, len(items))
                if len(items) >= request.limit:
                    del items[request.limit :]
                    break
        except (StorageError, MalformedDataset) as error:
            raise StatesError(ITEM_READER_FAILED, str(error)) from None
        return items

    async def _datasets(self, bucket: _Bucket) -> AsyncIterator[tuple[Dataset, str]]:
        """The items, in portions, and where each portion comes from."""
        match self.source:
            case "listing":
                async for objects in bucket.pages():
                    yield objects, f"S3://{bucket.name}"
            case "objects":
                async for objects in bucket.pages():
                    for entry in objects:
                        if entry["Size"] or not entry["Key"].endswith("/"):  # no folder made by the console
                            yield await self._file(bucket, {"Bucket": bucket.name, "Key": entry["Key"]})
            case "file":
                yield await self._file(bucket, bucket.arguments)
            case "inventory":
                manifest = inventory_manifest(await bucket.get(bucket.arguments))
                rows = replace(self.format, headers=manifest.headers)
                for key in manifest.keys:
                    content = await bucket.get({"Bucket": manifest.bucket, "Key": key})
                    yield rows.parse(content), f"S3://{manifest.bucket}/{key}"
            case "athena":
                for name, key in athena_manifest(await bucket.get(bucket.arguments)):
                    yield await self._file(bucket, {"Bucket": name, "Key": key})

    async def _file(self, bucket: _Bucket, arguments: Mapping[str, JSON]) -> tuple[Dataset, str]:
        dataset = self.format.parse(await bucket.get(arguments))
        return dataset, f"S3://{arguments['Bucket']}/{arguments['Key']}"


class _Bucket:
    """S3, in the name of one execution and for one request."""

    def __init__(self, services: MapServices, request: ReadRequest, caller: Caller) -> None:
        self._services = services
        self._caller = caller
        self.arguments = request.arguments
        self.name = request.bucket

    async def pages(self) -> AsyncIterator[list[dict[str, JSON]]]:
        """The listing, page by page."""
        token: str | None = None
        while True:
            page = await self._services.list_objects(self.arguments, token, self._caller)
            yield page.objects
            token = page.next
            if token is None:
                return

    async def get(self, arguments: Mapping[str, JSON]) -> bytes:
        """An object's content, decompressed."""
        return decompress(arguments["Key"], await self._services.get_object(arguments, self._caller))
