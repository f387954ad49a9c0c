"""Reading an execution's event history: which states it entered, and how often it retried them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["entered_states", "retries"]

History = Sequence[Mapping[str, Any]]
"""History events as GetExecutionHistory returns them, oldest first."""

_TASK_ATTEMPTS = frozenset({"TaskScheduled", "LambdaFunctionScheduled", "ActivityScheduled"})
_CONTAINERS = {"MapState": "MapStateStarted", "ParallelState": "ParallelStateStarted"}
_CLOSING = ("Exited", "Failed", "Aborted", "TimedOut")


@dataclass
class _Visit:
    """One time a state was entered."""

    state: str
    kind: str  # MapState, ParallelState, TaskState ...
    parent: _Visit | None  # the visit of the Map or Parallel state around it
    attempts: int = 0
    closed: bool = False


def entered_states(history: History) -> tuple[str, ...]:
    """The states an execution entered, in the order of its history; those of branches and iterations too."""
    return tuple(_name(event) for event in history if event["type"].endswith("StateEntered"))


def retries(history: History) -> dict[str, int]:
    """How often each state was retried: its attempts beyond the first of each time it was entered.

    A retry has no event of its own: it shows as another attempt. One of a Map or Parallel state follows the
    last event of the iteration or branch that failed, so which state it belongs to is read from the nesting.
    """
    visits: dict[int, _Visit] = {}  # by event id
    entered: list[_Visit] = []
    types: dict[int, str] = {}
    for event in history:
        number, kind, previous = event["id"], event["type"], event.get("previousEventId", 0)
        types[number] = kind
        before = visits.get(previous)
        if kind.endswith("StateEntered"):
            inside = types.get(previous) in (*_CONTAINERS.values(), "MapIterationStarted")
            parent = before if inside or before is None else before.parent
            visit = _Visit(_name(event), kind.removesuffix("Entered"), parent)
            entered.append(visit)
        elif before is None:
            continue
        else:
            visit = _around(before, kind)
            visit.attempts += kind in _TASK_ATTEMPTS or kind == _CONTAINERS.get(visit.kind)
            visit.closed = visit.closed or (kind.startswith(visit.kind) and kind.endswith(_CLOSING))
        visits[number] = visit
    counts: Counter[str] = Counter()
    for visit in entered:
        if visit.attempts > 1:
            counts[visit.state] += visit.attempts - 1
    return dict(counts)


def _around(visit: _Visit, kind: str) -> _Visit:
    """The visit an event belongs to that follows an event of `visit`."""
    if kind.startswith("MapIteration"):
        wanted = "MapState"
    else:
        wanted = next((container for container in _CONTAINERS if kind.startswith(container)), "")
    found: _Visit | None = visit
    while wanted and found is not None and (found.kind != wanted or found.closed):
        found = found.parent
    return found or visit


def _name(event: Mapping[str, Any]) -> str:
    name: str = event["stateEnteredEventDetails"]["name"]
    return name
