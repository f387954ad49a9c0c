"""What happens in a local cloud, as it happens.

Services publish to one `EventBus`; the terminal, run records and live pages listen. Nothing in the cloud
depends on anybody listening.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.clock import Clock

Kind = Literal[
    "execution",  # subject: execution ARN; status, error, cause
    "history",  # subject: execution ARN; event: one history event as the API returns it
    "function",  # subject: function name; phase (init, start, end), request_id, status, duration, error
    "function.log",  # subject: function name; request_id, line
    "call",  # subject: "service.Operation"; caller {kind, name}, error (code or None), seconds (real), fault
    "job",  # subject: job name; type (training, transform, processing, tuning, endpoint), status, secondary,
    # reason, message
    "job.log",  # subject: job name; type, host, line
    "warning",  # subject: what it is about; message. Local behaviour differs from AWS, and how
]


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes:
        at: Virtual time, seconds since the epoch.
        wall: Real time, seconds since the epoch.
        kind: What sort of thing, see `Kind`.
        subject: What it happened to.
        data: The rest, JSON-able.
    """

    at: float
    wall: float
    kind: Kind
    subject: str
    data: dict[str, Any] = field(default_factory=dict)


Listener = Callable[[Event], object]


class EventBus:
    """Delivers events to listeners, in order, on the event loop's thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._listeners: list[Listener] = []

    @property
    def wanted(self) -> bool:
        """Somebody listens; publishers may skip costly work when nobody does."""
        return bool(self._listeners)

    def publish(self, kind: Kind, subject: str, **data: Any) -> None:
        if self._listeners:
            event = Event(self._clock.now(), time.time(), kind, subject, data)
            for listener in tuple(self._listeners):
                listener(event)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Add a listener; returns the function that removes it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)
