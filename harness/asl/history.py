"""The event history of an execution.

Events hold references to the data that went through the execution; JSON is made only when somebody asks
(`Event.as_dict`). `previous` is the event that led to this one, not the one before it in the list: each
branch of a Parallel and each iteration of a Map has a chain of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, overload

from harness.asl.tasks import JSON
from harness.asl.values import json_text

__all__ = ["Event", "EventType", "History", "HistoryFull"]

STANDARD_LIMIT: Final = 25_000
"""Events an execution of a STANDARD state machine can have. The last one it can have is its failure."""

EXPRESS_LIMIT: Final = 500_000
"""The same for EXPRESS. There AWS only limits the time, but where time is virtual a loop that never waits
takes none and would go on for ever."""

TRUNCATED: Final = {"truncated": False}

Write = Callable[[Any], dict[str, Any]]


class EventType:
    """A type of event, and how its details are written.

    Attributes:
        name: ``PassStateEntered``.
        state: Name of the state that events of this type are about, if they always are about one.
        details: Name of the member for the details; None for events that have none.
        write: From an event's payload to the value of that member.
    """

    __slots__ = ("details", "name", "state", "write")

    def __init__(
        self, name: str, details: str | None = None, write: Write | None = None, state: str | None = None
    ) -> None:
        self.name = name
        self.state = state
        self.details = details
        self.write = write


class Event:
    """One event.

    Attributes:
        id: 1 for the first, and so on.
        previous: The id of the event that led to this one, or 0.
        time: Seconds since the epoch.
        kind: Its type.
        payload: What its details are made of.
    """

    __slots__ = ("id", "kind", "payload", "previous", "time")

    def __init__(self, number: int, previous: int, time: float, kind: EventType, payload: Any) -> None:
        self.id = number
        self.previous = previous
        self.time = time
        self.kind = kind
        self.payload = payload

    @property
    def type(self) -> str:
        """``TaskStateEntered``, ``ExecutionSucceeded`` and so on."""
        return self.kind.name

    @property
    def state(self) -> str | None:
        """The state that was entered or exited; None for other events."""
        return self.kind.state

    def as_dict(self) -> dict[str, Any]:
        """The event as GetExecutionHistory gives it, the time in seconds since the epoch."""
        event: dict[str, Any] = {
            "timestamp": self.time,
            "type": self.kind.name,
            "id": self.id,
            "previousEventId": self.previous,
        }
        if self.kind.details is not None and self.kind.write is not None:
            event[self.kind.details] = self.kind.write(self.payload)
        return event

    def __repr__(self) -> str:
        return f"<{self.previous}->{self.id} {self.kind.name}>"


class HistoryFull(Exception):
    """The execution has all the events it can have."""


class History(Sequence[Event]):
    """The events of one execution, in order.

    Args:
        limit: Most events there can be; None for no limit.
        on_event: Called with every event as it is added.
    """

    __slots__ = ("_events", "_limit", "_on_event", "_room", "sealed")

    def __init__(self, limit: int | None = None, on_event: Callable[[Event], object] | None = None) -> None:
        self._events: list[Event] = []
        self._limit: float = float("inf") if limit is None else limit - 1  # the last place is for the end
        self._room = self._limit
        self._on_event = on_event
        self.sealed = False

    def add(self, previous: int, time: float, kind: EventType, payload: Any = None) -> int:
        """Add an event and return its id. Once the history is sealed, nothing happens.

        Raises:
            HistoryFull: The limit is reached.
        """
        events = self._events
        number = len(events) + 1
        if number > self._room:
            if self.sealed:
                return previous
            raise HistoryFull
        event = Event(number, previous, time, kind, payload)
        events.append(event)
        if self._on_event is not None:
            self._on_event(event)
        return number

    def seal(self, previous: int, time: float, kind: EventType, payload: Any = None) -> None:
        """Add the event that ends the execution. What its states still have to say is not recorded."""
        self._room = float("inf")
        self.add(previous, time, kind, payload)
        self._room = 0
        self.sealed = True

    def reopen(self) -> None:
        """Take further events after the end: the execution is redriven."""
        self.sealed = False
        self._room = self._limit

    def describe(self, *, include_execution_data: bool = True) -> list[dict[str, Any]]:
        """All events as GetExecutionHistory gives them."""
        events = [event.as_dict() for event in self._events]
        return events if include_execution_data else [self.without_data(event) for event in events]

    @staticmethod
    def without_data(event: dict[str, Any]) -> dict[str, Any]:
        """An event as GetExecutionHistory gives it, without the data that includeExecutionData=false leaves
        out."""
        return {
            name: {field: value for field, value in member.items() if field not in _DATA}
            if name.endswith("EventDetails")
            else member
            for name, member in event.items()
        }

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        return self._events[index]


_DATA: Final = frozenset({"input", "output", "parameters", "assignedVariables"})


# Types of events, and their details ------------------------------------------------------------------------


def present(**members: Any) -> dict[str, Any]:
    """The members that are not None."""
    return {name: value for name, value in members.items() if value is not None}


def _input(payload: JSON, **others: Any) -> dict[str, Any]:
    return {"input": json_text(payload), "inputDetails": dict(TRUNCATED), **others}


def _output(payload: JSON, **others: Any) -> dict[str, Any]:
    return {"output": json_text(payload), "outputDetails": dict(TRUNCATED), **others}


def _failure(payload: tuple[str | None, str | None]) -> dict[str, Any]:
    error, cause = payload
    return present(error=error, cause=cause)


def entered(kind: str, name: str) -> EventType:
    """``<kind>StateEntered`` of the state `name`; its payload is the input."""
    return EventType(
        f"{kind}StateEntered", "stateEnteredEventDetails", lambda data: _input(data, name=name), name
    )


def exited(kind: str, name: str) -> EventType:
    """``<kind>StateExited`` of the state `name`; its payload is the output."""
    return EventType(
        f"{kind}StateExited", "stateExitedEventDetails", lambda data: _output(data, name=name), name
    )


def exited_assigning(kind: str, name: str) -> EventType:
    """``<kind>StateExited`` of a state with Assign; its payload is (output, assigned variables)."""

    def write(payload: tuple[JSON, Mapping[str, JSON]]) -> dict[str, Any]:
        output, assigned = payload
        return _output(
            output,
            name=name,
            assignedVariables={key: json_text(value) for key, value in assigned.items()},
            assignedVariablesDetails=dict(TRUNCATED),
        )

    return EventType(f"{kind}StateExited", "stateExitedEventDetails", write, name)


def failing(name: str, details: str) -> EventType:
    """A type whose payload is (error, cause)."""
    return EventType(name, details, _failure)


EXECUTION_STARTED: Final = EventType(
    "ExecutionStarted",
    "executionStartedEventDetails",
    lambda payload: _input(payload[0], roleArn=payload[1]),
)
EXECUTION_REDRIVEN: Final = EventType(
    "ExecutionRedriven", "executionRedrivenEventDetails", lambda count: {"redriveCount": count}
)
EXECUTION_SUCCEEDED: Final = EventType("ExecutionSucceeded", "executionSucceededEventDetails", _output)
EXECUTION_FAILED: Final = failing("ExecutionFailed", "executionFailedEventDetails")
EXECUTION_TIMED_OUT: Final = failing("ExecutionTimedOut", "executionTimedOutEventDetails")
EXECUTION_ABORTED: Final = failing("ExecutionAborted", "executionAbortedEventDetails")
EVALUATION_FAILED: Final = EventType(
    "EvaluationFailed",
    "evaluationFailedEventDetails",
    lambda payload: present(error=payload[0], cause=payload[1], location=payload[2], state=payload[3]),
)

PARALLEL_STARTED: Final = EventType("ParallelStateStarted")
PARALLEL_SUCCEEDED: Final = EventType("ParallelStateSucceeded")
PARALLEL_FAILED: Final = EventType("ParallelStateFailed")

MAP_STARTED: Final = EventType(
    "MapStateStarted", "mapStateStartedEventDetails", lambda length: {"length": length}
)
MAP_SUCCEEDED: Final = EventType("MapStateSucceeded")
MAP_FAILED: Final = EventType("MapStateFailed")


def _iteration(name: str, details: str) -> EventType:
    return EventType(name, details, lambda payload: {"name": payload[0], "index": payload[1]})


ITERATION_STARTED: Final = _iteration("MapIterationStarted", "mapIterationStartedEventDetails")
ITERATION_SUCCEEDED: Final = _iteration("MapIterationSucceeded", "mapIterationSucceededEventDetails")
ITERATION_FAILED: Final = _iteration("MapIterationFailed", "mapIterationFailedEventDetails")
ITERATION_ABORTED: Final = _iteration("MapIterationAborted", "mapIterationAbortedEventDetails")

MAP_RUN_STARTED: Final = EventType(
    "MapRunStarted", "mapRunStartedEventDetails", lambda arn: {"mapRunArn": arn}
)
MAP_RUN_REDRIVEN: Final = EventType(
    "MapRunRedriven",
    "mapRunRedrivenEventDetails",
    lambda payload: {"mapRunArn": payload[0], "redriveCount": payload[1]},
)
MAP_RUN_SUCCEEDED: Final = EventType("MapRunSucceeded")
MAP_RUN_FAILED: Final = failing("MapRunFailed", "mapRunFailedEventDetails")
MAP_RUN_ABORTED: Final = EventType("MapRunAborted")
