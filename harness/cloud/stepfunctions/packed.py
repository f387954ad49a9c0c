"""Histories of executions that are over, packed.

The events of an execution hold the data that went through it, as Python objects: an execution of some 15
calls takes about 45 kB. Packed it takes a tenth of that. What was run last stays as it is, for it is what
somebody will look at; the rest is packed, the oldest first, as others end.
"""

from __future__ import annotations

import json
import zlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from harness.asl import History
from harness.asl.values import json_text

if TYPE_CHECKING:
    from harness.cloud.stepfunctions.executions import Record

__all__ = ["PackedHistory", "Packer"]

LEFT: Final = 250_000
"""Events of finished executions that are left as they are: 150 MiB at the most, as long as they hold no large
data."""
LEVEL: Final = 1
"""Of the compression: the quickest; more would save little, for the events are short and alike."""


class PackedHistory:
    """The events of an execution that is over.

    Args:
        history: What to pack.
    """

    __slots__ = ("_length", "_packed")

    def __init__(self, history: History) -> None:
        text = json_text(history.describe())
        self._packed = zlib.compress(text.encode("utf-8", "surrogatepass"), LEVEL)
        self._length = len(history)

    def __len__(self) -> int:
        return self._length

    def describe(self, *, include_execution_data: bool = True) -> list[dict[str, Any]]:
        """See `History.describe`."""
        text = zlib.decompress(self._packed).decode("utf-8", "surrogatepass")
        events: list[dict[str, Any]] = json.loads(text)
        return events if include_execution_data else [History.without_data(event) for event in events]


class Packer:
    """Packs the histories of all but the executions that ended last."""

    def __init__(self) -> None:
        self._left: deque[Record] = deque()
        self._events = 0

    def ended(self, record: Record) -> None:
        """Take note of an execution that is over for good."""
        self._left.append(record)
        self._events += len(record.history)
        while self._events > LEFT:
            oldest = self._left.popleft()
            self._events -= len(oldest.history)
            if isinstance(oldest.history, History):
                oldest.history = PackedHistory(oldest.history)
