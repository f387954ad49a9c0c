"""ItemBatcher: several items for one child execution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from harness.asl.frame import Frame
from harness.asl.maps.map import Number
from harness.asl.payload import Template
from harness.asl.scope import Reader
from harness.asl.tasks import JSON
from harness.asl.values import PAYLOAD_LIMIT, json_size

__all__ = ["Batch", "ItemBatcher"]

_EMPTY: Final = json_size({"Items": []})


@dataclass(frozen=True)
class Batch:
    """What one child execution processes.

    Attributes:
        input: Its input.
        items: How many items are in it.
        size: Size of the input in bytes.
    """

    input: JSON
    items: int
    size: int


@dataclass(frozen=True)
class ItemBatcher:
    """ItemBatcher (AWS developer guide, "ItemBatcher").

    Attributes:
        max_items: MaxItemsPerBatch; None for no limit.
        max_bytes: MaxInputBytesPerBatch; None for the payload limit.
        batch_input: BatchInput; None if there is none.
        document: What BatchInput works on, from the effective input.
    """

    max_items: Number | None
    max_bytes: Number | None
    batch_input: Template | None
    document: Reader

    def batches(self, frame: Frame, data: JSON, selected: Sequence[JSON]) -> Iterator[Batch]:
        """Put items together, in their order.

        A batch is closed when one more item would make it too long, or its input too large; an item that is
        too large by itself is a batch of its own.

        Args:
            frame: A thread that is in the Map state.
            data: The effective input of the Map state.
            selected: The items after ItemSelector.

        Raises:
            Fault: A limit or BatchInput cannot be evaluated.
        """
        most = float("inf") if self.max_items is None else self.max_items(data, frame)
        room = PAYLOAD_LIMIT if self.max_bytes is None else min(PAYLOAD_LIMIT, self.max_bytes(data, frame))
        common: dict[str, JSON] = {}
        if self.batch_input is not None:
            common = {"BatchInput": frame.fill(self.batch_input, self.document(data, frame))[0]}
        empty = json_size({**common, "Items": []}) if common else _EMPTY
        items: list[JSON] = []
        size = empty
        for item in selected:
            more = json_size(item)
            if items and (len(items) >= most or size + more + 1 > room):
                yield Batch({**common, "Items": items}, len(items), size)
                items, size = [], empty
            size += more + (1 if items else 0)
            items.append(item)
        if items:
            yield Batch({**common, "Items": items}, len(items), size)
