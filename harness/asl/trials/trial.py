"""One state, run by itself and looked at from inside: what TestState does.

A `probe.Probe` notes what goes through the state, a `mocks.Mock` stands in for its work, and a policy that
decides as the state's own does, but waits for no retry, says what would become of an error. All the rest is
the interpreter's doing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

from harness.asl import history as events
from harness.asl.errors import TIMEOUT, StatesError
from harness.asl.execution import CONTEXT_SIZE
from harness.asl.frame import Engine, Frame, advance, cancel
from harness.asl.history import History
from harness.asl.maps.distributed import DistributedMap
from harness.asl.maps.map import MapState
from harness.asl.maps.run import exceeds, too_many_failures
from harness.asl.parallel import Parallel
from harness.asl.retry import Catcher, Policy, Retrier, RetryingState
from harness.asl.state import State
from harness.asl.task import Task
from harness.asl.tasks import JSON, TaskRunner
from harness.asl.trials.mocks import Mock, MockedMap, MockedTasks, mock_branches
from harness.asl.trials.probe import Probe
from harness.asl.trials.under_test import StateUnderTest
from harness.asl.values import MISSING, json_size
from harness.clock import Clock

__all__ = ["Setting", "Verdict", "try_state"]

LIMIT: Final = 300.0
"""Seconds that a trial may take (API reference, TestState)."""

Status = Literal["SUCCEEDED", "FAILED", "RETRIABLE", "CAUGHT_ERROR"]


@dataclass(frozen=True)
class Setting:
    """What a state finds when it is tried.

    Attributes:
        input: Its input.
        variables: The workflow variables.
        context: The members ``Execution`` and ``StateMachine`` of the context object.
        whole_context: The whole context object, in place of what the interpreter would say; None for that.
        item: The member ``Map`` of the context object, for a state inside a Map without a `whole_context`.
        retries: How often the retrier that applies to an error has retried the state before.
        failures: How many iterations have failed of the Map that the state is, or is nested in; None when
            nothing is said about it.
        reader_data: What the ItemReader of a Map has read; None if the items are in the input.
    """

    input: JSON
    context: Mapping[str, JSON]
    variables: Mapping[str, JSON] = field(default_factory=dict)
    whole_context: Mapping[str, JSON] | None = None
    item: Mapping[str, JSON] | None = None
    retries: int = 0
    failures: int | None = None
    reader_data: str | None = None

    def room(self) -> int:
        """A bound of what an expression can refer to, as `Frame.room` has it."""
        return (
            CONTEXT_SIZE
            + 2 * json_size(self.input)
            + json_size(self.variables)
            + json_size(self.whole_context)
        )


@dataclass(frozen=True)
class Verdict:
    """What came of a trial.

    Attributes:
        status: As TestState calls it.
        seen: What the steps of the data flow made, as far as it got, by their names in TestState's
            InspectionData.
        variables: The variables afterwards.
        output: Of a state that succeeded or caught its error; `MISSING` otherwise.
        next: The state to go on with; None if there is none.
        error: What it failed with; None if it did not.
        retrier: Index of the retrier that would retry it.
        delay: Seconds that this one would wait first.
        catcher: Index of the catcher that caught the error.
    """

    status: Status
    seen: Mapping[str, JSON]
    variables: Mapping[str, JSON]
    output: JSON = MISSING
    next: str | None = None
    error: StatesError | None = None
    retrier: int | None = None
    delay: float | None = None
    catcher: int | None = None


async def try_state(
    subject: StateUnderTest,
    setting: Setting,
    *,
    clock: Clock,
    tasks: TaskRunner,
    entropy: random.Random,
    region: str,
    mock: Mock | None = None,
) -> Verdict:
    """Run a state once. An error that it leaves uncaught goes on to the states it is nested in.

    Args:
        subject: The state; it can be tried only once.
        setting: What it finds.
        clock: Time.
        tasks: Who does the work of a Task state that is not mocked.
        entropy: Where ids, jitter and random values come from.
        region: The region that TaskScheduled events name.
        mock: What takes the place of the work of a Task, Parallel or Map state.

    Raises:
        UnfitMock: The setting does not fit the items of the Map.
    """
    state = subject.state
    probe = Probe()
    probe.watch(state, jsonata=subject.jsonata)
    match state:
        case Task() if mock is not None:
            tasks = MockedTasks(mock)
        case Parallel() if mock is not None:
            mock_branches(state, mock)
        case MapState() if mock is not None:
            state = MockedMap(
                state, mock, probe.seen, failures=setting.failures, reader_data=setting.reader_data
            )
    engine = Engine(History(), setting.context, clock, tasks, entropy, region)
    thread = _Thread(engine, setting.input, dict(setting.variables), 0, setting.room())
    thread.start(setting)
    trial = _Trial(thread, probe, setting)
    work = asyncio.ensure_future(trial.run(state, subject.parents))
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        work.cancel()

    timer = clock.call_at(clock.now() + LIMIT, expire)
    try:
        return await work
    except asyncio.CancelledError:
        if not expired:
            raise
        return trial.verdict("FAILED", error=StatesError(TIMEOUT))
    finally:
        timer.cancel()
        await cancel([work])


class _Trial:
    """The state's only attempt, and those of the states around it."""

    def __init__(self, thread: _Thread, probe: Probe, setting: Setting) -> None:
        self._thread = thread
        self._probe = probe
        self._setting = setting

    def verdict(self, status: Status, **more: Any) -> Verdict:
        """How things stand."""
        return Verdict(status, self._probe.seen, self._thread.variables, **more)

    async def run(self, state: State, parents: Sequence[RetryingState]) -> Verdict:
        """Run the state, and let its error go on to those around it until one handles it."""
        verdict = await self._attempt(state)
        for parent in parents:
            error = verdict.error
            if verdict.status != "FAILED" or error is None or error.fatal:
                break
            try:
                verdict = await self._attempt(_Failing(parent, error, self._setting.failures or 0))
            except _Tolerated:
                break
        return verdict

    async def _attempt(self, state: State) -> Verdict:
        policy = None
        if isinstance(state, RetryingState):
            retries = state.first_retry = self._setting.retries
            policy = state.policy = _Once(state.policy, retries, self._thread.entropy)
        lone = _Lone(state)
        try:
            await advance(self._thread, lone)
        except _Retried as retried:
            return self.verdict(
                "RETRIABLE", error=retried.error, retrier=retried.retrier, delay=retried.delay
            )
        except StatesError as error:
            return self.verdict("FAILED", error=error)
        ended = {"output": self._thread.data, "next": None if lone.next is None else lone.next.name}
        if policy is not None and policy.caught is not None:
            catcher, caught = policy.caught
            return self.verdict("CAUGHT_ERROR", error=caught, catcher=catcher, **ended)
        return self.verdict("SUCCEEDED", **ended)


class _Thread(Frame):
    """A thread whose context object can be given as a whole."""

    __slots__ = ("_given",)

    def __init__(
        self, engine: Engine, data: JSON, variables: dict[str, JSON], previous: int, room: int
    ) -> None:
        super().__init__(engine, data, variables, previous, room)
        self._given: Mapping[str, JSON] | None = None

    def start(self, setting: Setting) -> None:
        """Record the start, and take what the setting says."""
        role = setting.context["Execution"].get("RoleArn")
        self.record(events.EXECUTION_STARTED, (setting.input, role))
        self._given = setting.whole_context
        self.item = setting.item

    def fork(self, data: JSON, first: State | None = None) -> Self:
        child = super().fork(data, first)
        child._given = self._given
        return child

    def context(self) -> dict[str, JSON]:
        if self._given is None:
            return super().context()
        return dict(self._given) if self.item is None else {**self._given, "Map": self.item}


class _Lone(State):
    """Runs a state and ends the thread after it; `next` is then where it would have gone."""

    kind = "Pass"
    immediate = False

    def __init__(self, state: State) -> None:
        super().__init__(state.name)
        self._state = state

    async def run(self, frame: Frame) -> State | None:
        state = self._state
        self.next = state.step(frame) if state.immediate else await state.run(frame)
        return None


# Errors ---------------------------------------------------------------------------------------------------


class _Retried(Exception):
    """The state would be retried."""

    def __init__(self, error: StatesError, retrier: int, delay: float) -> None:
        super().__init__(error, retrier, delay)
        self.error = error
        self.retrier = retrier
        self.delay = delay


class _Once(Policy):
    """Decides as a state's own policy does, and ends the trial where that would wait for a retry.

    Args:
        policy: The state's own.
        retries: How often the retrier that applies has retried the state before.
        entropy: Where jitter comes from.

    Attributes:
        caught: (index of the catcher, error), once one is caught.
    """

    def __init__(self, policy: Policy, retries: int, entropy: random.Random) -> None:
        super().__init__(policy.retriers, policy.catchers)
        self.caught: tuple[int, StatesError] | None = None
        self._retries = retries
        self._entropy = entropy

    def retrier(self, error: StatesError, taken: Mapping[Retrier, int]) -> Retrier | None:
        retrier = super().retrier(error, dict.fromkeys(self.retriers, self._retries))
        if retrier is not None:
            delay = retrier.delay(self._retries, self._entropy)
            raise _Retried(error, self.retriers.index(retrier), delay)
        return None

    def catcher(self, error: StatesError) -> Catcher | None:
        catcher = super().catcher(error)
        if catcher is not None:
            self.caught = (self.catchers.index(catcher), error)
        return catcher


class _Tolerated(Exception):
    """The Map around the state goes on in spite of its failure."""


class _Failing(RetryingState):
    """Stands for a Map or Parallel in which a state has failed.

    Args:
        state: The Map or Parallel.
        error: What the state inside it failed with.
        failures: How many iterations of a distributed Map had failed before.
    """

    def __init__(self, state: RetryingState, error: StatesError, failures: int) -> None:
        self.kind = state.kind
        super().__init__(state.name, state.flow, state.policy)
        self._state = state
        self._error = error
        self._failures = failures

    async def attempt(self, frame: Frame) -> None:
        if not isinstance(self._state, DistributedMap):
            raise self._error
        # The failure is a child execution's, and one more that the Map tolerates or not. How many items there
        # are is not said: those that failed, at least.
        failed = self._failures + 1
        if not exceeds(failed, failed, *self._state.tolerance(frame, frame.data)):
            raise _Tolerated
        raise too_many_failures()
