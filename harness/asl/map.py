"""Map states: what both modes share, and INLINE mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.asl import history as events
from harness.asl.errors import Fault, StatesError
from harness.asl.frame import Frame, advance, together
from harness.asl.history import EventType
from harness.asl.payload import Template
from harness.asl.retry import Policy, RetryingState
from harness.asl.scope import Reader
from harness.asl.state import Flow, State
from harness.asl.tasks import JSON

__all__ = ["InlineMap", "Items", "MapState", "Number"]

INLINE_CONCURRENCY = 40
"""Iterations that AWS runs at once when MaxConcurrency does not say (AWS developer guide)."""

Number = Callable[[JSON, Frame], float]
"""From the effective input to a number a field asks for."""

Items = Callable[[JSON, Frame], list[JSON]]
"""From the effective input to the items."""


@dataclass
class MapFields:
    """The fields of a Map state that are its own.

    Attributes:
        items: What yields the items.
        selector: ItemSelector, or Parameters in old definitions; None if there is none.
        selector_document: What the selector works on, from the effective input.
        concurrency: MaxConcurrency; None for the default. 0 means no limit of the user's.
        first: First state of the item processor.
    """

    items: Items
    selector: Template | None
    selector_document: Reader
    concurrency: Number | None
    first: State


class MapState(RetryingState):
    """Runs an item processor for each item of an array."""

    kind = "Map"
    failed = events.MAP_FAILED

    def __init__(self, name: str, flow: Flow, policy: Policy, fields: MapFields) -> None:
        super().__init__(name, flow, policy)
        self.aborted = EventType("MapStateAborted")
        self.fields = fields

    async def attempt(self, frame: Frame) -> None:
        data = self.flow.arguments(frame)
        items = self.fields.items(data, frame)
        limit = 0 if self.fields.concurrency is None else int(self.fields.concurrency(data, frame))
        frame.record(events.MAP_STARTED, len(items))
        results, bound = await self.process(frame, data, items, limit)
        self.flow.leave(frame, self, results, frame.admit(results, bound))

    async def process(
        self, frame: Frame, data: JSON, items: list[JSON], limit: int
    ) -> tuple[list[JSON], int]:
        """Process all items and record success; their outputs in order, and a bound of the size of these.

        Args:
            frame: The thread.
            data: The effective input.
            items: The items.
            limit: How many to process at once; 0 for no limit.

        Raises:
            StatesError: The Map failed.
        """
        raise NotImplementedError

    def select(self, frame: Frame, data: JSON, index: int, item: JSON) -> JSON:
        """What the processor is given for an item.

        Args:
            frame: The thread of the iteration, still in the Map state itself.
            data: The effective input of the Map state.
            index: The item's index.
            item: The item.
        """
        frame.item = {"Item": {"Index": index, "Value": item}}
        if self.fields.selector is None:
            return item
        return frame.fill(self.fields.selector, self.fields.selector_document(data, frame))[0]


class InlineMap(MapState):
    """Processes items in the execution itself, as threads of it."""

    async def process(
        self, frame: Frame, data: JSON, items: list[JSON], limit: int
    ) -> tuple[list[JSON], int]:
        results: list[JSON] = [None] * len(items)
        started_at = frame.previous
        pending = iter(enumerate(items))
        last = started_at
        bound = 2
        failed_at: list[int] = []

        async def worker() -> None:
            """Processes one item after the other.

            Recorded: an iteration follows from the last state of the one that made place for it.
            """
            nonlocal last, bound
            previous = started_at
            for index, item in pending:
                thread = frame.fork(frame.data)
                thread.previous = previous
                try:
                    await self._iterate(thread, data, index, item)
                except StatesError:
                    failed_at.append(thread.previous)
                    raise
                last = thread.note(events.ITERATION_SUCCEEDED, (self.name, index))
                results[index] = thread.data
                bound += thread.room + 1
                previous = thread.previous

        workers = min(len(items), limit or INLINE_CONCURRENCY)
        try:
            if workers == 1:
                await worker()
            else:
                await together([worker() for _ in range(workers)])
        except StatesError:
            frame.previous = failed_at[0]
            raise
        frame.previous = last
        frame.note(events.MAP_SUCCEEDED)
        return results, bound

    async def _iterate(self, thread: Frame, data: JSON, index: int, item: JSON) -> None:
        label = (self.name, index)
        try:
            thread.data = self.select(thread, data, index, item)
        except Fault as fault:
            raise thread.explain(fault) from None
        try:
            thread.record(events.ITERATION_STARTED, label)
            await advance(thread, self.fields.first)
        except StatesError:
            thread.note(events.ITERATION_FAILED, label)
            raise
        except BaseException:
            thread.note(events.ITERATION_ABORTED, label)
            raise
