"""Scenario runs on a terminal: progress while they go on, and the report of each when it is over.

Where the output is not a terminal the same lines are printed, one after another, without colour and without
the live part below them.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from harness.cloud.events import Event
from harness.report.text import compact_path, duration, offset, relative, value
from harness.scenarios.observe import ENDED
from harness.scenarios.record import ExecutionRecord, FunctionFailure, JobRecord, RunRecord, Verdict

__all__ = ["TerminalReporter", "report"]

LIVE_LOG_LINES = 10
_JOB_DONE = frozenset({"Completed", "InService"})
_JOB_FAILED = frozenset({"Failed", "Stopped", "RollingBack", "OutOfService"})
_GOING = frozenset({"Deleting", "Deleted"})


class TerminalReporter:
    """Shows scenario runs as they happen. Use it as a context manager.

    Args:
        console: Where to.
        logs: Show what jobs and functions log.
    """

    def __init__(self, console: Console, *, logs: bool = False) -> None:
        self._console = console
        self._logs = logs
        self._live = Live(_Renderable(self._now), console=console, refresh_per_second=8, transient=True)
        self._is_live = console.is_terminal
        self._doing = ""
        self._doing_since = time.monotonic()
        self._executions: dict[str, _ExecutionProgress] = {}
        self._count = 0
        self._jobs: dict[str, _JobProgress] = {}
        self._tail: deque[str] = deque(maxlen=LIVE_LOG_LINES)

    def __enter__(self) -> TerminalReporter:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._is_live:
            self._live.stop()

    # What is told ------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        self._doing, self._doing_since = text, time.monotonic()
        if not self._is_live:
            self._print(Text(text))

    def started(self, name: str, file: str) -> None:
        self._doing = ""
        self._executions.clear()
        self._count = 0
        self._jobs.clear()
        self._tail.clear()
        self._print(Text.assemble(("▸ ", "bold cyan"), (name, "bold"), (f"  {relative(file)}", "dim")))

    def event(self, event: Event) -> None:
        match event.kind:
            case "execution":
                self._execution(event)
            case "history":
                self._history(event)
            case "job":
                self._job(event)
            case "job.log" | "function.log":
                self._log(event)
            case "function" if event.data["phase"] == "end" and event.data.get("error"):
                self._print(_line("", f"function {event.subject} failed: {event.data['error']}", "red"))
            case "call" if event.data.get("fault"):
                error = event.data.get("error")
                self._print(_line("", f"{event.subject} was answered with {error} (fault)", "yellow"))

    def finished(self, record: RunRecord) -> None:
        self._executions.clear()
        self._jobs.clear()
        self._print(report(record))

    # What is shown of it -----------------------------------------------------------------------------

    def _print(self, line: RenderableType) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)

    def _label(self, progress: _ExecutionProgress) -> str:
        """Which execution, where there are several."""
        return progress.label if self._count > 1 else ""

    def _execution(self, event: Event) -> None:
        if event.data["status"] in ENDED:
            progress = self._executions.pop(event.subject, None)
            if progress is not None and event.data["status"] != "SUCCEEDED":
                error = event.data.get("error") or ""
                text = f"{self._label(progress)}{event.data['status']} {error}".rstrip()
                self._print(_line(offset(event.at - progress.started), text, "red"))
        elif event.subject not in self._executions:
            self._count += 1
            self._executions[event.subject] = _ExecutionProgress(f"[{self._count}] ", event.at)

    def _history(self, event: Event) -> None:
        progress = self._executions.get(event.subject)
        history = event.data["event"]
        if progress is None or not history["type"].endswith("StateEntered"):
            return
        state = history["stateEnteredEventDetails"]["name"]
        progress.enter(state)
        # A state that is entered again is one round more of a loop: the live part counts it.
        if progress.visits[state] == 1:
            self._print(_line(offset(event.at - progress.started), f"{self._label(progress)}{state}"))

    def _job(self, event: Event) -> None:
        status, kind = event.data["status"], event.data["type"]
        what = kind if kind == "endpoint" else f"{kind} job"
        if status in _GOING:  # an endpoint that is cleared away after its run
            return
        job = self._jobs.get(event.subject)
        if job is None:
            self._jobs[event.subject] = _JobProgress(what, status, event.data.get("message"))
            self._print(_line("", f"{what} {event.subject}: {status}", "cyan"))
            return
        job.message = event.data.get("message")
        if status == job.status:
            return
        job.status = status
        if status in _JOB_DONE or status in _JOB_FAILED:
            del self._jobs[event.subject]
            reason = event.data.get("reason")
            took = duration(time.monotonic() - job.since)
            text = f"{what} {event.subject}: {status} after {took}" + (f": {reason}" if reason else "")
            self._print(_line("", text, "red" if status in _JOB_FAILED else "cyan"))

    def _log(self, event: Event) -> None:
        if not self._logs:
            return
        line = f"{event.subject} | {event.data['line'].rstrip()}"
        if self._is_live:
            self._tail.append(line)
        else:
            self._print(_line("", line))

    def _now(self) -> Iterator[RenderableType]:
        """The live part: what goes on just now. Called by rich's own thread, so it works on copies."""
        for log_line in tuple(self._tail):
            yield Text(f"            {log_line}", style="dim", overflow="ellipsis", no_wrap=True)
        if self._doing:
            text = f"{self._doing} {duration(time.monotonic() - self._doing_since)}"
            yield Spinner("dots", Text(text, style="dim"))
        for progress in tuple(self._executions.values()):
            if progress.state:
                rounds = progress.visits[progress.state]
                again = f" (round {rounds})" if rounds > 1 else ""
                yield Spinner("dots", Text(f"{self._label(progress)}{progress.state}{again}", style="dim"))
        for name, job in tuple(self._jobs.items()):
            text = f"{job.what} {name}: {job.status} {duration(time.monotonic() - job.since)}"
            text += f": {job.message}" if job.message else ""
            yield Spinner("dots", Text(text, style="cyan"))


class _ExecutionProgress:
    """How far an execution has come."""

    def __init__(self, label: str, started: float) -> None:
        self.label = label
        self.started = started
        self.state = ""
        self.visits: dict[str, int] = {}

    def enter(self, state: str) -> None:
        self.state = state
        self.visits[state] = self.visits.get(state, 0) + 1


class _JobProgress:
    """A job that runs."""

    def __init__(self, what: str, status: str, message: str | None) -> None:
        self.what = what
        self.status = status
        self.message = message
        self.since = time.monotonic()


class _Renderable:
    """Asks for the live part anew at each refresh."""

    def __init__(self, parts: object) -> None:
        self._parts = parts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Group(*self._parts())  # type: ignore[operator]


def _line(left: str, text: str, style: str = "") -> Text:
    return Text.assemble((f"  {left:>9} ", "dim"), (text, style))


# The report of a run ---------------------------------------------------------------------------------


def report(record: RunRecord) -> RenderableType:
    """What is to be known of a run that is over."""
    return Group(*_report(record))


def _report(record: RunRecord) -> Iterator[Text]:
    for number, execution in enumerate(record.executions, 1):
        yield from _execution_report(execution, f" {number}" if len(record.executions) > 1 else "")
    yield from _failures_report(record.failures)
    for job in record.jobs:
        yield from _job_report(job)
    for verdict in record.verdicts:
        yield _verdict_line(verdict)
    for warning in record.warnings:
        yield Text(f"  ! {warning}", style="yellow")
    virtual, real = duration(record.virtual_seconds), duration(record.real_seconds)
    word, style = ("passed", "bold green") if record.passed else ("failed", "bold red")
    yield Text.assemble("  ", (word, style), f": {virtual} of virtual time in {real}")
    yield Text(f"  record: {relative(record.folder)}", style="dim")


def _execution_report(execution: ExecutionRecord, number: str) -> Iterator[Text]:
    yield Text.assemble((f"  path{number}: ", "dim"), compact_path(execution.path))
    if isinstance(execution.output, dict):
        yield Text(f"  output{number}:", style="dim")
        for name, member in execution.output.items():
            yield Text.assemble((f"    {name}: ", "dim"), value(member, limit=120))
    elif execution.output is not None:
        yield Text.assemble((f"  output{number}: ", "dim"), value(execution.output))
    if execution.error is not None or execution.cause is not None:
        yield Text.assemble(
            (f"  error{number}: ", "dim"), f"{execution.error or ''}: {execution.cause or ''}"
        )
    for state, count in execution.retries.items():
        yield Text.assemble((f"  retried{number}: ", "dim"), f"{state} ×{count}")


def _failures_report(failures: Sequence[FunctionFailure]) -> Iterator[Text]:
    """Each function's failures with the log of the last one: earlier ones were retried, mostly alike."""
    last = {(failure.function, failure.error): failure for failure in failures}
    counts = Counter((failure.function, failure.error) for failure in failures)
    for key, failure in last.items():
        times = f" {counts[key]} times" if counts[key] > 1 else ""
        yield Text(f"  function {failure.function} failed{times}: {failure.error}", style="red")
        yield from _log_tail(failure.log)


def _job_report(job: JobRecord) -> Iterator[Text]:
    if job.status in _JOB_FAILED:
        yield Text(f"  {job.type} {job.name}: {job.status}: {job.reason or 'no reason given'}", style="red")
        yield from _log_tail(job.log)


def _log_tail(lines: tuple[str, ...]) -> Iterator[Text]:
    for entry in lines:
        for line in entry.rstrip().splitlines():
            yield Text(f"    | {line}", style="dim")


def _verdict_line(verdict: Verdict) -> Text:
    if verdict.passed:
        return Text.assemble(("  ✓ ", "green"), f"{verdict.expectation}: {verdict.expected}")
    return Text.assemble(("  ✗ ", "bold red"), (f"{verdict.expectation}: {verdict.message}", "red"))
