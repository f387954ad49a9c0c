"""What a run looks like on a terminal, and where there is none."""

from __future__ import annotations

import io
import re
from typing import Any

from rich.console import Console

from harness.cloud.events import Event
from harness.report.terminal import TerminalReporter, report
from harness.scenarios.record import ExecutionRecord, FunctionFailure, JobRecord, RunRecord, Verdict


def record(**changes: Any) -> RunRecord:
    execution = ExecutionRecord(
        arn="arn:1",
        status="SUCCEEDED",
        input={},
        output={"f1score": 0.93},
        error=None,
        cause=None,
        path=("Start", "Wait", "Check", "Wait", "Check", "Done"),
        retries={"Check": 1},
        started=0.0,
        ended=185.0,
    )
    base: dict[str, Any] = {
        "id": "r1",
        "scenario": "the happy path",
        "file": "happy.yaml",
        "folder": ".harness/runs/r1",
        "bundle": "b1",
        "target": "embedded",
        "containers": "process",
        "executions": (execution,),
        "jobs": (),
        "failures": (),
        "answers": (),
        "verdicts": (Verdict("status", True, "SUCCEEDED", "SUCCEEDED"),),
        "warnings": (),
        "started": 0.0,
        "virtual_seconds": 185.0,
        "real_seconds": 2.5,
    }
    return RunRecord(**{**base, **changes})


def shown(run: RunRecord) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(report(run))
    return out.getvalue()


def test_the_report_of_a_run():
    text = shown(record())
    assert "Start → (Wait → Check) ×2 → Done" in text
    assert "    f1score: 0.93\n" in text
    assert "retried: Check ×1" in text
    assert "✓ status: SUCCEEDED" in text
    assert "passed: 3 min 5 s of virtual time in 2.5 s" in text
    assert "record: .harness/runs/r1" in text


def test_the_report_of_a_failure_shows_the_logs():
    text = shown(
        record(
            failures=(
                FunctionFailure("mlops_eval", "r1", "ValueError: no", ("the first",)),
                FunctionFailure("mlops_eval", "r2", "ValueError: no", ("Traceback\n  ValueError: no",)),
            ),
            jobs=(
                JobRecord("t1", "training", "Failed", "AlgorithmError: x", 0, 1.0, ("out of data",)),
                JobRecord("t2", "training", "Completed", None, 0, 1.0, ("all well",)),
            ),
            verdicts=(Verdict("status", False, "SUCCEEDED", "FAILED", "expected SUCCEEDED, got FAILED"),),
            warnings=("clock: ran late",),
        )
    )
    assert "function mlops_eval failed 2 times: ValueError: no" in text
    assert "| Traceback\n    |   ValueError: no\n" in text
    assert "the first" not in text
    assert "training t1: Failed: AlgorithmError: x" in text
    assert "| out of data" in text
    assert "all well" not in text
    assert "✗ status: expected SUCCEEDED, got FAILED" in text
    assert "! clock: ran late" in text
    assert "failed: 3 min" in text


def events() -> list[Event]:
    def entered(at: float, name: str) -> Event:
        details = {"type": "TaskStateEntered", "stateEnteredEventDetails": {"name": name}}
        return Event(at, 0.0, "history", "arn:1", {"event": details})

    def job(status: str, reason: str | None = None) -> Event:
        return Event(0.0, 0.0, "job", "t1", {"type": "training", "status": status, "reason": reason})

    return [
        Event(0.0, 0.0, "execution", "arn:1", {"status": "RUNNING"}),
        entered(0.0, "Start"),
        job("InProgress"),
        job("InProgress"),
        Event(0.0, 0.0, "job.log", "t1", {"type": "training", "host": "algo-1", "line": "epoch 1"}),
        job("Failed", "AlgorithmError"),
        entered(60.0, "Check"),
        Event(60.0, 0.0, "call", "lambda.Invoke", {"error": "TooManyRequestsException", "fault": True}),
        entered(120.0, "Check"),
        Event(120.0, 0.0, "function", "f", {"phase": "end", "error": "ValueError"}),
        Event(120.0, 0.0, "execution", "arn:1", {"status": "FAILED", "error": "ValueError"}),
    ]


def progress(*, logs: bool, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=terminal, color_system=None, _environ={})
    with TerminalReporter(console, logs=logs) as reporter:
        reporter.note("packing")
        reporter.started("the happy path", "happy.yaml")
        for event in events():
            reporter.event(event)
        reporter.finished(record())
    return out.getvalue()


def test_plain_lines_where_there_is_no_terminal():
    lines = progress(logs=True, terminal=False).splitlines()
    assert [line.strip() for line in lines[:10]] == [
        "packing",
        "▸ the happy path  happy.yaml",
        "+0:00:00 Start",
        "training job t1: InProgress",
        "t1 | epoch 1",
        "training job t1: Failed after 0.0 s: AlgorithmError",
        "+0:01:00 Check",
        "lambda.Invoke was answered with TooManyRequestsException (fault)",
        "function f failed: ValueError",
        "+0:02:00 FAILED ValueError",
    ]
    assert "\x1b" not in "".join(lines)


def test_logs_only_when_asked_for():
    assert "epoch 1" not in progress(logs=False, terminal=False)


def test_a_terminal_gets_a_live_part():
    text = progress(logs=True, terminal=True)
    assert "+0:01:00 Check" in text
    assert "\x1b[" in text  # the cursor moves, also without colour


def test_the_live_part_tells_what_a_job_is_doing():
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=True, color_system=None, _environ={})
    job = {"type": "transform", "status": "InProgress", "reason": None}
    with TerminalReporter(console) as reporter:
        reporter.event(Event(0.0, 0.0, "job", "t1", job))
        reporter.event(Event(0.0, 0.0, "job", "t1", {**job, "message": "Waiting for an answer to /ping"}))
    assert re.search(r"transform job t1: InProgress \S+ s: Waiting for an answer to /ping", out.getvalue())
