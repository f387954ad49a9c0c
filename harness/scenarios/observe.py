"""What is to be learned about a run from the events of the cloud."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from harness.cloud.events import Event
from harness.scenarios.record import FunctionFailure, JobRecord

__all__ = ["ENDED", "Observer"]

ENDED = frozenset({"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"})
"""The final statuses of an execution."""

TAIL = 20
"""Lines of a log that a record keeps; the whole log is in a file beside it."""


class Observer:
    """A listener that keeps the events of one run, and what they say of jobs, functions and endpoints."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.histories: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        self.logs: dict[str, list[str]] = defaultdict(list)
        self.warnings: list[str] = []
        self.ended: set[str] = set()  # ARNs of executions
        self._jobs: dict[tuple[str, str], list[Event]] = defaultdict(list)
        self._invocation_logs: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._failed: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        data = event.data
        match event.kind:
            case "execution" if data["status"] in ENDED:
                self.ended.add(event.subject)
            case "history":
                self.histories[event.subject].append(data["event"])
            case "function" if data["phase"] == "end" and data.get("error"):
                self._failed.append(event)
            case "function.log":
                self.logs[f"function-{event.subject}"].append(data["line"])
                self._invocation_logs[event.subject, data.get("request_id") or ""].append(data["line"])
            case "job":
                self._jobs[data["type"], event.subject].append(event)
            case "job.log":
                self.logs[f"{data['type']}-{event.subject}"].append(data["line"])
            case "warning":
                self.warnings.append(f"{event.subject}: {data['message']}")

    def jobs(self) -> tuple[JobRecord, ...]:
        """The jobs and endpoints of the run, in the order of their first event."""
        return tuple(self._job(kind, name, events) for (kind, name), events in self._jobs.items())

    def _job(self, kind: str, name: str, events: Sequence[Event]) -> JobRecord:
        first, last = events[0], events[-1]
        return JobRecord(
            name=name,
            type=kind,
            status=last.data["status"],
            reason=last.data.get("reason"),
            virtual=last.at - first.at,
            real=last.wall - first.wall,
            log=tuple(self.logs.get(f"{kind}-{name}", ())[-TAIL:]),
        )

    def endpoints(self) -> list[str]:
        """Endpoints that the run created or updated and did not delete."""
        return [
            name
            for (kind, name), events in self._jobs.items()
            if kind == "endpoint" and events[-1].data["status"] not in ("Deleting", "Deleted")
        ]

    def status(self, kind: str, name: str) -> str:
        """The last that was heard of a job or endpoint."""
        status: str = self._jobs[kind, name][-1].data["status"]
        return status

    def unfinished(self, *, endpoints: bool) -> list[tuple[str, str]]:
        """(type, name) of the jobs that still run, and of the endpoints the run created if wanted."""
        return [
            (kind, name)
            for (kind, name), events in self._jobs.items()
            if (
                endpoints
                and events[0].data["status"] == "Creating"
                and events[-1].data["status"] != "Deleted"
                if kind == "endpoint"
                else events[-1].data["status"] in ("InProgress", "Stopping")
            )
        ]

    def failures(self) -> tuple[FunctionFailure, ...]:
        """The invocations that ended badly, with what they logged."""
        found = []
        for event in self._failed:
            request_id = event.data.get("request_id") or ""
            log = self._invocation_logs.get((event.subject, request_id)) or self.logs.get(
                f"function-{event.subject}", []
            )
            found.append(
                FunctionFailure(event.subject, request_id, str(event.data["error"]), tuple(log[-TAIL:]))
            )
        return tuple(found)
