"""Map Runs: the child executions of one visit of a distributed Map."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Literal

from harness.asl.errors import EXCEED_TOLERATED_FAILURE_THRESHOLD, StatesError
from harness.asl.tasks import JSON

if TYPE_CHECKING:
    from harness.asl.execution import Execution, Outcome

__all__ = [
    "CONCURRENCY",
    "Child",
    "ChildStatus",
    "MapRun",
    "MapRunStatus",
    "exceeds",
    "too_many_failures",
]

CONCURRENCY: Final = 10_000
"""Child executions at once when MaxConcurrency does not say (AWS developer guide)."""

MapRunStatus = Literal["RUNNING", "SUCCEEDED", "FAILED", "ABORTED"]
ChildStatus = Literal["PENDING", "PENDING_REDRIVE", "RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]
WAITING: Final[tuple[ChildStatus, ...]] = ("PENDING", "PENDING_REDRIVE")


class Child:
    """A child execution, or what is to become one.

    Attributes:
        name: Its name.
        arn: Its ARN.
        input: Its input.
        items: How many items it processes: 1, or those of a batch.
        status: How far it has come.
        outcome: How it ended; None before.
        started: When it started, in seconds since the epoch; None before.
        stopped: When it ended; None before.
        execution: Does the running; None before, and after the end of one that is over for good.
    """

    __slots__ = ("arn", "execution", "input", "items", "name", "outcome", "started", "status", "stopped")

    def __init__(self, name: str, arn: str, input: JSON, items: int) -> None:  # noqa: A002  # the API's word
        self.name = name
        self.arn = arn
        self.input = input
        self.items = items
        self.status: ChildStatus = "PENDING"
        self.outcome: Outcome | None = None
        self.started: float | None = None
        self.stopped: float | None = None
        self.execution: Execution | None = None


def exceeds(failed: int, total: int, count: float | None, percentage: float | None) -> bool:
    """Whether more items of a Map have failed than may ("If you specify both values, the workflow fails when
    it exceeds either value": AWS developer guide).

    Args:
        failed: How many have failed.
        total: How many there are.
        count: ToleratedFailureCount; None if there is none.
        percentage: ToleratedFailurePercentage; None if there is none. Without either, none may fail.
    """
    if count is None and percentage is None:
        return failed > 0
    return (count is not None and failed > count) or (
        percentage is not None and failed * 100 > percentage * total
    )


def too_many_failures() -> StatesError:
    """What a Map fails with when `exceeds`."""
    return StatesError(
        EXCEED_TOLERATED_FAILURE_THRESHOLD, "The specified tolerated failure threshold was exceeded"
    )


class MapRun:
    """One Map Run.

    Args:
        arn: Its ARN.
        label: Label of the Map state.
        execution_arn: The execution that has the Map state.
        machine: ARN of the state machine of that execution.
        definition: The item processor.
        express: Whether the child executions are EXPRESS.
        started: When it started, in seconds since the epoch.
        concurrency: How many child executions may run at once; 0 for the default.
        tolerated_count: How many items may fail; None if that is not limited by itself.
        tolerated_percentage: The same, in percent of all items. Where both are None, none may.

    Attributes:
        children: The child executions, in the order of their items. None are left once the run is of no
            further interest: it succeeded, and its results have been taken.
        status: How far it has come.
        stopped: When it ended; None before.
        executions: How many child executions there are, by status.
        items: How many items they process, by their status.
        results_written: Of how many (child executions, items) the results have been collected.
        prepared: All child executions are known.
        too_large: Its result was beyond the limit.
        redrives: How often it has been redriven.
        redriven: When it was last redriven; None if it never was.
    """

    def __init__(
        self,
        arn: str,
        label: str,
        *,
        execution_arn: str,
        machine: str,
        definition: Mapping[str, JSON],
        express: bool,
        started: float,
        concurrency: int,
        tolerated_count: float | None,
        tolerated_percentage: float | None,
    ) -> None:
        self.arn = arn
        self.label = label
        self.execution_arn = execution_arn
        self.machine = machine
        self.definition = definition
        self.express = express
        self.started = started
        self.concurrency = concurrency
        self.tolerated_count = tolerated_count
        self.tolerated_percentage = tolerated_percentage
        self.children: list[Child] = []
        self.status: MapRunStatus = "RUNNING"
        self.stopped: float | None = None
        self.executions: Counter[ChildStatus] = Counter()
        self.items: Counter[ChildStatus] = Counter()
        self.results_written = (0, 0)
        self.prepared = False
        self.too_large = False
        self.redrives = 0
        self.redriven: float | None = None
        self._pending: deque[Child] = deque()
        self._tasks: dict[asyncio.Task[None], Child] = {}
        self._over: asyncio.Future[None] | None = None

    @property
    def machine_arn(self) -> str:
        """State machine ARN of the child executions."""
        return f"{self.machine}/{self.label}"

    def prepare(self, children: list[Child]) -> None:
        """Take on the child executions that are to be run: all there will be."""
        self.children = children
        self.prepared = True
        self.executions["PENDING"] = len(children)
        self.items["PENDING"] = sum(child.items for child in children)

    def update(
        self,
        concurrency: int | None = None,
        tolerated_count: float | None = None,
        tolerated_percentage: float | None = None,
    ) -> None:
        """Change settings, while it runs; None leaves one as it is."""
        if concurrency is not None:
            self.concurrency = concurrency
        if tolerated_count is not None:
            self.tolerated_count = tolerated_count
        if tolerated_percentage is not None:
            self.tolerated_percentage = tolerated_percentage
        self._go_on()

    def end(self, status: MapRunStatus, now: float) -> None:
        """Note the end."""
        self.status = status
        self.stopped = now

    def redrive(self, now: float, *, everything: bool) -> None:
        """Make it ready to go on with the child executions that did not succeed.

        Args:
            now: Seconds since the epoch.
            everything: Run those that succeeded again, too.
        """
        self.status, self.stopped = "RUNNING", None
        self.redrives += 1
        self.redriven = now
        self.results_written = (0, 0)
        for child in self.children:
            if child.status != "PENDING" and (everything or child.status != "SUCCEEDED"):
                self._move(child, "PENDING_REDRIVE")
                child.outcome = child.stopped = None

    def collected(self) -> None:
        """Note that the results have been collected, of everything that ran."""
        self.results_written = (
            sum(self.executions.values()) - sum(self.executions[status] for status in WAITING),
            sum(self.items.values()) - sum(self.items[status] for status in WAITING),
        )

    # Running -------------------------------------------------------------------------------------------

    async def run(
        self,
        make: Callable[[Child], Execution],
        on_start: Callable[[Child], object],
        on_end: Callable[[Child], object],
    ) -> None:
        """Run the child executions that are pending, until all have ended or too many items have failed.

        Those that are running when it is cut short are stopped; it returns or raises once they have come to
        rest.

        Args:
            make: Makes the execution of a child.
            on_start: Called with each child that is about to make its first step.
            on_end: Called with each child that has ended.

        Raises:
            StatesError: States.ExceedToleratedFailureThreshold.
        """
        self._pending.extend(child for child in self.children if child.status in WAITING)
        self._over = asyncio.get_running_loop().create_future()
        self._make, self._on_start, self._on_end = make, on_start, on_end
        try:
            self._go_on()
            await self._over
        finally:
            self._over = None
            self._pending.clear()
            await self._halt()

    @property
    def _exceeded(self) -> bool:
        """Whether more items have failed than may."""
        failed = self.items["FAILED"] + self.items["TIMED_OUT"]
        return exceeds(failed, sum(self.items.values()), self.tolerated_count, self.tolerated_percentage)

    def _go_on(self) -> None:
        """Start what may start, or see that there is nothing left to do."""
        over = self._over
        if over is None or over.done():
            return
        if self._exceeded:
            over.set_exception(too_many_failures())
            return
        room = (self.concurrency or CONCURRENCY) - len(self._tasks)
        while self._pending and room > 0:
            self._launch(self._pending.popleft())
            room -= 1
        if not self._tasks and not self._pending:
            over.set_result(None)

    def _launch(self, child: Child) -> None:
        task = asyncio.ensure_future(self._carry_out(child))
        self._tasks[task] = child
        task.add_done_callback(self._done)

    async def _carry_out(self, child: Child) -> None:
        kept = child.execution  # of a STANDARD one that is redriven; an EXPRESS one is run anew
        execution = child.execution = kept or self._make(child)
        self._move(child, "RUNNING")
        self._on_start(child)
        child.outcome = outcome = await (execution.run() if kept is None else execution.redrive())
        child.started, child.stopped = execution.started, execution.stopped
        self._move(child, outcome.status)
        if self.express or outcome.status == "SUCCEEDED":
            child.execution = None
        self._on_end(child)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        over = self._over
        failure = None if task.cancelled() else task.exception()
        if failure is not None and over is not None and not over.done():
            over.set_exception(failure)  # a fault of ours, which ends everything
        self._go_on()

    def _move(self, child: Child, status: ChildStatus) -> None:
        for counts, number in ((self.executions, 1), (self.items, child.items)):
            counts[child.status] -= number
            counts[status] += number
        child.status = status

    async def _halt(self) -> None:
        """Stop what is running, and wait until it has come to rest, whatever happens meanwhile."""
        for task, child in self._tasks.items():
            if child.execution is None:
                task.cancel()  # it has not had its first turn, and stays pending
            else:
                child.execution.stop()
        interrupted: asyncio.CancelledError | None = None
        while pending := [task for task in self._tasks if not task.done()]:
            try:
                await asyncio.wait(pending)
            except asyncio.CancelledError as error:
                interrupted = error
        if interrupted is not None:
            raise interrupted
