"""CloudWatch Logs of the functions and jobs, kept aside until somebody asks for them."""

from __future__ import annotations

from typing import Any

LogEvent = dict[str, Any]
"""``timestamp`` (milliseconds since the epoch, virtual) and ``message``."""


class LogBuffer:
    """Lines that moto's CloudWatch Logs does not have yet.

    Most runs never call the Logs API; these should not pay for loading moto.
    """

    def __init__(self) -> None:
        self._streams: dict[tuple[str, str], list[LogEvent]] = {}

    def append(self, group: str, stream: str, lines: list[str], at: float) -> None:
        """Add lines, all at one time (seconds since the epoch)."""
        timestamp = round(at * 1000)
        events = self._streams.setdefault((group, stream), [])
        events += [{"timestamp": timestamp, "message": line} for line in lines]

    def take(self) -> dict[tuple[str, str], list[LogEvent]]:
        """All lines by (group, stream); the buffer is empty afterwards."""
        taken, self._streams = self._streams, {}
        return taken
