"""What takes the place of a state's work when it is tried."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.asl.errors import ITEM_READER_FAILED, StatesError
from harness.asl.frame import Frame
from harness.asl.maps.distributed import DistributedMap
from harness.asl.maps.formats import MalformedDataset
from harness.asl.maps.map import Item, MapState, items_of
from harness.asl.maps.reader import ItemReader, ReadRequest
from harness.asl.maps.run import exceeds, too_many_failures
from harness.asl.parallel import Parallel
from harness.asl.state import JSONPathFlow, State
from harness.asl.tasks import JSON, TaskProgress, TaskRequest
from harness.asl.values import json_text

__all__ = ["Mock", "MockedMap", "MockedTasks", "UnfitMock", "mock_branches"]


@dataclass(frozen=True)
class Mock:
    """What takes the place of a state's work.

    Attributes:
        result: What the work yields: a Task's result, the array of a Parallel's or Map's outputs, or what a
            Map's ResultWriter says of them.
        error: What it fails with instead; None if it does not.
    """

    result: JSON = None
    error: StatesError | None = None

    def outcome(self) -> JSON:
        """The result.

        Raises:
            StatesError: It is to fail.
        """
        if self.error is not None:
            raise self.error
        return self.result


class MockedTasks:
    """The `TaskRunner` of a mocked Task."""

    def __init__(self, mock: Mock) -> None:
        self._mock = mock

    async def run(self, request: TaskRequest, progress: TaskProgress) -> JSON:
        return self._mock.outcome()


class _Branch(State):
    """Stands for the states of a branch, whose output or error is mocked."""

    kind = "Pass"

    def __init__(self, mock: Mock) -> None:
        super().__init__("")
        self._mock = mock

    def step(self, frame: Frame) -> State | None:
        frame.data = self._mock.outcome()
        frame.room = frame.measure(frame.data)
        return None


def mock_branches(state: Parallel, mock: Mock) -> None:
    """Let every branch yield its element of the mocked result, or fail."""
    outputs = [None] * len(state.branches) if mock.error is not None else mock.result
    pairs = zip(state.branches, outputs, strict=True)
    state.branches = [_Branch(replace(mock, result=output)) for _, output in pairs]


# Map --------------------------------------------------------------------------------------------------------


class UnfitMock(Exception):
    """A mock says something that cannot be, given the items of the Map it is for."""


class MockedMap(MapState):
    """A Map that selects its items and puts them into batches, and processes none of them.

    Args:
        state: The Map.
        mock: What its processing yields.
        seen: Where to note what TestState shows of a Map.
        failures: How many iterations are to have failed; None when nothing is said about it.
        reader_data: What ItemReader is to have read; None if the items are in the state's input.
    """

    def __init__(
        self,
        state: MapState,
        mock: Mock,
        seen: dict[str, JSON],
        *,
        failures: int | None,
        reader_data: str | None,
    ) -> None:
        super().__init__(state.name, state.flow, state.policy, state.fields)
        self.next = state.next
        self._own = state if isinstance(state, DistributedMap) else None
        self._mock = mock
        self._seen = seen
        self._failures = failures
        self._reader_data = reader_data

    async def attempt(self, frame: Frame) -> None:
        data = self.flow.arguments(frame)
        items = self._items(frame, data)
        if self.fields.concurrency is not None:
            self._seen["maxConcurrency"] = self.concurrency(frame, data)
        count, percentage = (None, None) if self._own is None else self._own.tolerance(frame, data)
        if count is not None:
            self._seen["toleratedFailureCount"] = int(count)
        if percentage is not None:
            self._seen["toleratedFailurePercentage"] = percentage
        self._select_all(frame, data, items)
        if self._failures is not None:
            if self._failures > len(items):
                raise UnfitMock("mapIterationFailureCount cannot exceed the number of items in the input")
            if exceeds(self._failures, len(items), count, percentage):
                raise too_many_failures()
        result = self._mock.outcome()
        self.flow.leave(frame, self, result, frame.measure(result))

    def _items(self, frame: Frame, data: JSON) -> list[Item]:
        reader = None if self._own is None else self._own.own.reader
        if reader is not None and self._reader_data is not None:
            return self._read(reader, reader.request(frame, data), self._reader_data)
        items = self.items(frame, data)
        if reader is None and isinstance(self.flow, JSONPathFlow):
            keyed = bool(items) and items[0].key is not None
            self._seen["afterItemsPath"] = (
                {item.key: item.value for item in items} if keyed else [item.value for item in items]
            )
        return items

    def _read(self, reader: ItemReader, request: ReadRequest, text: str) -> list[Item]:
        """The items in the data that a reader is to have read."""
        try:
            dataset = reader.format.parse(text.encode())
        except MalformedDataset as error:
            raise StatesError(ITEM_READER_FAILED, str(error)) from None
        if reader.format.pointer:
            self._seen["afterItemsPointer"] = dataset
        key = request.arguments.get("Key")
        source = f"S3://{request.bucket}" if key is None else f"S3://{request.bucket}/{key}"
        return items_of(dataset, source)[: request.limit]

    def _select_all(self, frame: Frame, data: JSON, items: list[Item]) -> None:
        """Make the input of every iteration."""
        selecting = frame.fork(frame.data)
        selected = [self.select(selecting, data, item) for item in items]
        if self.fields.selector is not None:
            self._seen["afterItemSelector"] = selected
        if self._own is not None and self._own.own.batcher is not None:
            selecting.item = frame.item
            batches = self._own.batches(selecting, data, selected)
            self._seen["afterItemBatcher"] = [_shown(batch.input) for batch in batches]


def _shown(batch: JSON) -> JSON:
    """A batch as TestState shows it: each of its items is a JSON text."""
    return {**batch, "Items": [json_text(item) for item in batch["Items"]]}
