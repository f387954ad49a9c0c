"""What is known of a replay once it is over, and the folder it is kept in.

``.harness/runs/<id>/`` holds ``record.json`` (a `RunRecord`), ``events.jsonl`` (every event of the cloud),
``history.json`` (the event history of each execution) and ``logs/`` (one file a job or function).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.cloud.events import Event
from harness.errors import InputError

__all__ = [
    "Answer",
    "ExecutionRecord",
    "FunctionFailure",
    "JobRecord",
    "RunRecord",
    "Verdict",
    "event_dict",
    "write",
]

FORMAT = 1
"""Version of ``record.json``; a reader refuses others."""


@dataclass(frozen=True)
class Verdict:
    """Whether one expectation held.

    Attributes:
        expectation: Which one, e.g. ``status`` or ``output.f1score``.
        passed: Whether it held.
        expected: What was expected, in words.
        actual: What was found, in words.
        message: Why it did not hold; empty when it did.
    """

    expectation: str
    passed: bool
    expected: str
    actual: str
    message: str = ""


@dataclass(frozen=True)
class ExecutionRecord:
    """One execution.

    Attributes:
        arn: Its ARN.
        status: SUCCEEDED, FAILED, TIMED_OUT or ABORTED.
        input: Its input.
        output: Its output; None unless it succeeded.
        error: Error name.
        cause: Cause.
        path: The states it entered, in order.
        retries: Retries by state, for states that retried.
        started: Virtual time of its start.
        ended: Virtual time of its end.
    """

    arn: str
    status: str
    input: Any
    output: Any
    error: str | None
    cause: str | None
    path: tuple[str, ...]
    retries: Mapping[str, int]
    started: float
    ended: float


@dataclass(frozen=True)
class JobRecord:
    """One job, or one endpoint.

    Attributes:
        name: Its name.
        type: training, transform, processing, tuning or endpoint.
        status: Its last status.
        reason: Why it failed, if it did.
        virtual: Virtual seconds from its first to its last status.
        real: Real seconds of the same.
        log: Last lines of its log.
    """

    name: str
    type: str
    status: str
    reason: str | None
    virtual: float
    real: float
    log: tuple[str, ...] = ()


@dataclass(frozen=True)
class FunctionFailure:
    """An invocation that ended badly.

    Attributes:
        function: The function.
        request_id: Which invocation.
        error: What the function, or the platform, said.
        log: Last lines of the invocation's log.
    """

    function: str
    request_id: str
    error: str
    log: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What an endpoint answered.

    Attributes:
        endpoint: Its name.
        body: The answer: a JSON value, or text; None when it did not answer.
        error: Why it did not answer.
    """

    endpoint: str
    body: Any
    error: str | None = None


@dataclass(frozen=True)
class RunRecord:
    """One replay of one scenario.

    Attributes:
        id: Unique; the name of its folder.
        scenario: The scenario's name.
        file: The scenario's file.
        folder: Where the record lies.
        bundle: Id of the bundle that ran.
        target: Where it ran.
        containers: The container runtime.
        executions: The executions.
        jobs: The jobs they started.
        failures: The invocations of functions that ended badly.
        answers: What the endpoints answered.
        verdicts: Whether each expectation held.
        warnings: Where this run may differ from one on AWS.
        started: Real time of the start, seconds since the epoch.
        virtual_seconds: From the first execution's start to the last one's end.
        real_seconds: The same in real time.
    """

    id: str
    scenario: str
    file: str
    folder: str
    bundle: str
    target: str
    containers: str
    executions: tuple[ExecutionRecord, ...]
    jobs: tuple[JobRecord, ...]
    failures: tuple[FunctionFailure, ...]
    answers: tuple[Answer, ...]
    verdicts: tuple[Verdict, ...]
    warnings: tuple[str, ...]
    started: float
    virtual_seconds: float
    real_seconds: float
    format: int = field(default=FORMAT)

    @property
    def passed(self) -> bool:
        """Every expectation held."""
        return all(verdict.passed for verdict in self.verdicts)

    def as_dict(self) -> dict[str, Any]:
        """The record as JSON, with whether it passed."""
        return {**asdict(self), "passed": self.passed}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunRecord:
        """The record that `as_dict` gave.

        Raises:
            InputError: It is of another version.
        """
        if data.get("format") != FORMAT:
            raise InputError(
                f"a run record of format {data.get('format')!r} cannot be read; this is {FORMAT}"
            )

        def each(kind: type[Any], key: str, *tuples: str) -> tuple[Any, ...]:
            entries: Iterable[Mapping[str, Any]] = data[key]
            return tuple(
                kind(**{**entry, **{name: tuple(entry[name]) for name in tuples}}) for entry in entries
            )

        return cls(
            **{
                **{name: value for name, value in data.items() if name != "passed"},
                "executions": each(ExecutionRecord, "executions", "path"),
                "jobs": each(JobRecord, "jobs", "log"),
                "failures": each(FunctionFailure, "failures", "log"),
                "answers": each(Answer, "answers"),
                "verdicts": each(Verdict, "verdicts"),
                "warnings": tuple(data["warnings"]),
            }
        )


def event_dict(event: Event) -> dict[str, Any]:
    """An event of the cloud as JSON."""
    return {
        "at": event.at,
        "wall": event.wall,
        "kind": event.kind,
        "subject": event.subject,
        "data": event.data,
    }


def write(
    record: RunRecord,
    events: Sequence[Event],
    histories: Mapping[str, Sequence[Mapping[str, Any]]],
    logs: Mapping[str, Sequence[str]],
) -> None:
    """Write a run's folder; ``record.json`` comes last, so a folder that has one is complete.

    Args:
        record: The record.
        events: Every event of the cloud during the run.
        histories: Event histories by execution ARN.
        logs: Lines by log name, such as ``function-mlops_train``.
    """
    folder = Path(record.folder)
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    lines = (_json(event_dict(event)) + "\n" for event in events)
    (folder / "events.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "history.json").write_text(_json(histories, indent=1), encoding="utf-8")
    for name, log in logs.items():
        safe = re.sub(r"[^\w.-]+", "-", name)
        (folder / "logs" / f"{safe}.log").write_text("".join(f"{line}\n" for line in log), encoding="utf-8")
    (folder / "record.json").write_text(_json(record.as_dict(), indent=1), encoding="utf-8")


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False, default=str)
