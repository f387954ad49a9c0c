"""Running a state machine."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

from harness.asl import history as events
from harness.asl.errors import StatesError
from harness.asl.frame import Engine, Frame, advance, cancel
from harness.asl.history import EXPRESS_LIMIT, STANDARD_LIMIT, Event, EventType, History, HistoryFull
from harness.asl.maps.services import ALONE, MapServices
from harness.asl.tasks import JSON, TaskRunner
from harness.asl.values import json_size, timestamp_text
from harness.clock import Clock

if TYPE_CHECKING:
    from harness.asl.state import State

__all__ = ["Execution", "Outcome", "Program"]

EXPRESS_SECONDS: Final = 300.0
"""How long an execution of an EXPRESS state machine may take (AWS developer guide)."""

Status = Literal["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]


@dataclass(frozen=True)
class Outcome:
    """How an execution ended.

    Attributes:
        status: ``SUCCEEDED``, ``FAILED``, ``TIMED_OUT`` or ``ABORTED``.
        output: Of an execution that succeeded.
        error: Error name of one that failed or was stopped; None if there is none. One that timed out has
            none, as on AWS.
        cause: The same for the cause.
    """

    status: Status
    output: JSON = None
    error: str | None = None
    cause: str | None = None


class Program(Protocol):
    """What an execution runs: a state machine, or the item processor of a distributed Map."""

    @property
    def workflow_type(self) -> Literal["STANDARD", "EXPRESS"]:
        """What limits there are."""

    @property
    def start(self) -> State:
        """The first state."""

    @property
    def timeout(self) -> float | None:
        """TimeoutSeconds; None for no limit."""


class Execution:
    """One execution of a state machine.

    Args:
        machine: What to run.
        input: The input.
        context: What the context object is to say: ``{"Execution": {"Id", "Name", "RoleArn"}, "StateMachine":
            {"Id", "Name"}}``. Input, StartTime and RedriveCount are added.
        clock: Time.
        tasks: Who does the work of Task states.
        entropy: Where ids, jitter and random values come from; seeded alike, two executions are alike.
        on_event: Called with every event as it is recorded.
        region: The region that TaskScheduled events name.
        maps: Serves distributed Maps.

    Attributes:
        machine: What is run.
        input: The input.
        history: The events so far.
        started: When `run` was called, in seconds since the epoch; None before.
        stopped: When the execution ended; None before.
        outcome: How it ended; None before, and while it is redriven.
        redrives: How often it has been redriven.
        redriven: When it was last redriven; None if it never was.
    """

    def __init__(
        self,
        machine: Program,
        input: JSON,  # noqa: A002  # the API's word
        *,
        context: Mapping[str, Mapping[str, JSON]],
        clock: Clock,
        tasks: TaskRunner,
        entropy: random.Random,
        on_event: Callable[[Event], object] | None = None,
        region: str = "us-east-1",
        maps: MapServices = ALONE,
    ) -> None:
        self.machine = machine
        self.input = input
        limit = STANDARD_LIMIT if machine.workflow_type == "STANDARD" else EXPRESS_LIMIT
        self.history = History(limit, on_event)
        self.started: float | None = None
        self.stopped: float | None = None
        self.outcome: Outcome | None = None
        self.redrives = 0
        self.redriven: float | None = None
        self._context = context
        self._clock = clock
        self._tasks = tasks
        self._entropy = entropy
        self._region = region
        self._maps = maps
        self._threads: asyncio.Task[None] | None = None
        self._frame: Frame | None = None

    async def run(self) -> Outcome:
        """Run to the end. To be called once.

        If the caller is cancelled, so is everything the execution does, and the execution stays unfinished.
        """
        started = self._begin()
        engine = self._engine(started)
        frame = Frame(engine, self.input, {}, 0, json_size(self.input) + CONTEXT_SIZE)
        frame.at = self.machine.start
        return await self._drive(engine, frame, started)

    async def redrive(self) -> Outcome:
        """Go on where an execution that did not succeed came to its end, and run to the end again.

        What succeeded is kept; the states that failed or were stopped are run once more, with the same input.
        Their entries are not recorded again (but for Fail states, which are entered anew), retries count from
        the start, and so does the machine's time limit. (AWS developer guide, "Redriving executions".)

        Raises:
            RuntimeError: It has not ended, or it succeeded.
        """
        frame = self._frame
        if frame is None:
            raise RuntimeError("only an execution that has ended without success can be redriven")
        now = self._clock.now()
        self.outcome = self.stopped = None
        self.redrives += 1
        self.redriven = now
        assert self.started is not None
        engine = self._engine(self.started)
        self.history.reopen()
        last = len(self.history)
        frame.rejoin(engine, self.history.add(last, now, events.EXECUTION_REDRIVEN, self.redrives))
        return await self._drive(engine, frame, now)

    def _engine(self, started: float) -> Engine:
        context = self._root_context(started)
        return Engine(
            self.history, context, self._clock, self._tasks, self._entropy, self._region, self._maps
        )

    async def _drive(self, engine: Engine, frame: Frame, since: float) -> Outcome:
        """Run all threads to their ends.

        Args:
            engine: What they share.
            frame: The first of them.
            since: When the machine's time limit began to count.
        """
        self._frame = frame
        if self.outcome is not None:  # stopped before its first turn
            return self.outcome
        threads = self._threads = asyncio.ensure_future(advance(frame, frame.at))
        limit = self._time_limit()
        timer = None if limit is None else self._clock.call_at(since + limit, self._time_out)
        try:
            await threads
        except StatesError as failure:
            engine.fail(failure, frame.previous)
        except HistoryFull:
            pass
        except asyncio.CancelledError:
            if self.outcome is None:
                raise
        finally:
            if timer is not None:
                timer.cancel()
            await cancel([threads])
            self._threads = None
        return self._conclude(engine, frame)

    def _conclude(self, engine: Engine, frame: Frame) -> Outcome:
        """The outcome, now that all threads have come to rest."""
        if self.outcome is not None:
            return self.outcome
        if engine.failure is not None:
            error = engine.failure
            return self._end(Outcome("FAILED", error=error.error, cause=error.cause))
        self._frame = None
        self.history.seal(frame.previous, self._clock.now(), events.EXECUTION_SUCCEEDED, frame.data)
        return self._end(Outcome("SUCCEEDED", frame.data))

    def stop(self, error: str | None = None, cause: str | None = None) -> None:
        """Abort the execution: its history ends here, and `run` returns once what it has under way has been
        cleaned up. Does nothing once it has ended."""
        self._break_off(
            Outcome("ABORTED", error=error, cause=cause), events.EXECUTION_ABORTED, (error, cause)
        )

    def _time_out(self) -> None:
        self._break_off(Outcome("TIMED_OUT"), events.EXECUTION_TIMED_OUT, ("States.Timeout", None))

    def _break_off(self, outcome: Outcome, kind: EventType, payload: tuple[str | None, str | None]) -> None:
        if self.history.sealed:
            return
        self._begin()
        self.history.seal(0, self._clock.now(), kind, payload)
        self._end(outcome)
        if self._threads is not None:
            self._threads.cancel()

    def _end(self, outcome: Outcome) -> Outcome:
        self.stopped = self._clock.now()
        self.outcome = outcome
        return outcome

    def _time_limit(self) -> float | None:
        limits = [self.machine.timeout]
        if self.machine.workflow_type == "EXPRESS":
            limits.append(EXPRESS_SECONDS)
        return min((limit for limit in limits if limit is not None), default=None)

    def _begin(self) -> float:
        """Record the start, unless it has been; when it was."""
        if self.started is None:
            self.started = self._clock.now()
            role = self._context["Execution"].get("RoleArn")
            self.history.add(0, self.started, events.EXECUTION_STARTED, (self.input, role))
        return self.started

    def _root_context(self, started: float) -> dict[str, JSON]:
        return {
            "Execution": {
                "StartTime": timestamp_text(started),
                **self._context["Execution"],
                "Input": self.input,
                "RedriveCount": self.redrives,
                **({} if self.redriven is None else {"RedriveTime": timestamp_text(self.redriven)}),
            },
            "StateMachine": dict(self._context["StateMachine"]),
        }


CONTEXT_SIZE: Final = 2048
"""More than the context object has besides the input: names and ARNs are limited in length."""
