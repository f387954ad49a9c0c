"""Map states: what both modes share, and INLINE mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

__all__ = ["Dataset", "InlineMap", "Item", "Items", "MapState", "Number", "items_of"]

INLINE_CONCURRENCY = 40
"""Iterations that AWS runs at once when MaxConcurrency does not say (AWS developer guide)."""

STATE_DATA = "STATE_DATA"
"""``Map.Item.Source`` of items that come from the state's input."""

Number = Callable[[JSON, Frame], float]
"""From the effective input to a number a field asks for."""


@dataclass(slots=True)
class Item:
    """One item of a Map.

    Attributes:
        index: Its place, from 0.
        value: The element of the array, or the value of the object's member.
        key: Name of the member; None for elements of arrays.
        source: Where it comes from: ``STATE_DATA`` or the URI of a bucket or an object.
    """

    index: int
    value: JSON
    key: str | None = None
    source: str = STATE_DATA

    @property
    def input(self) -> JSON:
        """What the processor is given when there is no ItemSelector."""
        return self.value if self.key is None else {"Key": self.key, "Value": self.value}

    def context(self) -> dict[str, JSON]:
        """The member ``Map`` of the context object (AWS developer guide, "Context object data for Map
        states")."""
        key = {} if self.key is None else {"Key": self.key}
        return {"Item": {"Index": self.index, **key, "Value": self.value, "Source": self.source}}


Dataset = Sequence[JSON] | Mapping[str, JSON]
"""What a Map iterates over: the elements of an array, or the members of an object."""


def items_of(dataset: Dataset, source: str = STATE_DATA, start: int = 0) -> list[Item]:
    """The items of a dataset, numbered from `start`."""
    if isinstance(dataset, Mapping):
        return [Item(index, value, key, source) for index, (key, value) in enumerate(dataset.items(), start)]
    return [Item(index, value, None, source) for index, value in enumerate(dataset, start)]


Items = Callable[[JSON, Frame], list[Item]]
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

    def items(self, frame: Frame, data: JSON) -> list[Item]:
        """The items in the effective input `data`."""
        return self.fields.items(data, frame)

    def concurrency(self, frame: Frame, data: JSON) -> int:
        """MaxConcurrency; 0 for no limit of the user's."""
        return 0 if self.fields.concurrency is None else int(self.fields.concurrency(data, frame))

    def select(self, frame: Frame, data: JSON, item: Item) -> JSON:
        """What the processor is given for an item.

        Args:
            frame: The thread of the iteration, still in the Map state itself.
            data: The effective input of the Map state.
            item: The item.
        """
        frame.item = item.context()
        if self.fields.selector is None:
            return item.input
        return frame.fill(self.fields.selector, self.fields.selector_document(data, frame))[0]


class InlineMap(MapState):
    """Processes items in the execution itself, as threads of it."""

    async def attempt(self, frame: Frame) -> None:
        iterations = frame.visit
        if isinstance(iterations, _Iterations) and not iterations.over:
            iterations.go_on(frame)
        else:
            data = self.flow.arguments(frame)
            items = self.items(frame, data)
            limit = self.concurrency(frame, data) or INLINE_CONCURRENCY
            frame.record(events.MAP_STARTED, len(items))
            iterations = frame.visit = _Iterations(self, frame, data, items, limit)
        try:
            await iterations.run()
        except StatesError:
            frame.previous = iterations.failed_at[0]
            raise
        frame.previous = iterations.last
        frame.note(events.MAP_SUCCEEDED)
        result: list[JSON] = [thread.data for thread in iterations.threads]
        bound = frame.admit(result, sum(thread.room + 1 for thread in iterations.threads) + 2)
        self.flow.leave(frame, self, result, bound)


class _Iterations:
    """The iterations of one visit of an INLINE Map.

    Attributes:
        threads: A thread for each item, in their order. One that has not ended stands at a state.
        last: The last event of the iteration that ended last.
        failed_at: The last events of those that failed, the first to fail first.
    """

    def __init__(self, state: InlineMap, frame: Frame, data: JSON, items: list[Item], limit: int) -> None:
        self._state = state
        self._data = data
        self._limit = limit
        self._items = items
        self._started_at = self.last = frame.previous
        self.failed_at: list[int] = []
        first = state.fields.first
        self.threads = frame.threads = [frame.fork(frame.data, first) for _ in items]
        self._pending = iter(list(zip(items, self.threads, strict=True)))

    @property
    def over(self) -> bool:
        """All iterations have ended."""
        return all(thread.at is None for thread in self.threads)

    def go_on(self, frame: Frame) -> None:
        """Get ready to go on with those that have not ended, in a redriven execution."""
        self._started_at = self.last = frame.previous
        self.failed_at = []
        pairs = zip(self._items, self.threads, strict=True)
        self._pending = iter([(item, thread) for item, thread in pairs if thread.at is not None])

    async def run(self) -> None:
        """Run them, at most so many at once as there may be.

        Raises:
            StatesError: One failed.
        """
        workers = min(len(self.threads), self._limit)
        if workers == 1:
            await self._work()
        else:
            await together([self._work() for _ in range(workers)])

    async def _work(self) -> None:
        """Run one after the other.

        Recorded: an iteration follows from the last state of the one that made place for it.
        """
        previous = self._started_at
        for item, thread in self._pending:
            thread.previous = previous
            try:
                await self._iterate(item, thread)
            except StatesError:
                self.failed_at.append(thread.previous)
                raise
            self.last = thread.note(events.ITERATION_SUCCEEDED, (self._state.name, item.index))
            previous = thread.previous

    async def _iterate(self, item: Item, thread: Frame) -> None:
        label = (self._state.name, item.index)
        begins = thread.state is self._state  # otherwise a redrive picks it up
        if begins:
            try:
                thread.data = self._state.select(thread, self._data, item)
            except Fault as fault:
                raise thread.explain(fault) from None
        try:
            if begins:
                thread.record(events.ITERATION_STARTED, label)
            await advance(thread, thread.at)
        except StatesError:
            thread.note(events.ITERATION_FAILED, label)
            raise
        except BaseException:
            thread.note(events.ITERATION_ABORTED, label)
            raise
