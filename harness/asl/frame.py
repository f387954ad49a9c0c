"""One thread of control through the states, and what all threads of an execution share."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self, cast

from harness.asl import history as events
from harness.asl.errors import DATA_LIMIT_EXCEEDED, RUNTIME, Fault, QueryFault, StatesError
from harness.asl.history import History, HistoryFull
from harness.asl.maps.services import ALONE, MapServices
from harness.asl.payload import UNBOUNDED, Template
from harness.asl.tasks import JSON, TaskRunner
from harness.asl.values import PAYLOAD_LIMIT, ensure_fits, json_size, timestamp_text
from harness.clock import Clock

if TYPE_CHECKING:
    from harness.asl.state import State

__all__ = ["Engine", "Frame", "advance", "together"]

TURN: Final = 256
"""Transitions after which an execution lets others have the event loop."""

VARIABLES_LIMIT: Final = 10 * 1024 * 1024
"""Bytes of all variables (AWS developer guide, "Passing data between states with variables")."""


class Engine:
    """What all frames of one execution share.

    Args:
        history: Where events are recorded.
        context: The members ``Execution`` and ``StateMachine`` of the context object.
        clock: Time.
        tasks: Who does the work of Task states.
        entropy: Where ids, jitter and random values come from.
        region: The region that TaskScheduled events name.
        maps: Serves distributed Maps.
    """

    def __init__(
        self,
        history: History,
        context: Mapping[str, JSON],
        clock: Clock,
        tasks: TaskRunner,
        entropy: random.Random,
        region: str,
        maps: MapServices = ALONE,
    ) -> None:
        self.history = history
        self.root_context = context
        self.clock = clock
        self.tasks = tasks
        self.entropy = entropy
        self.region = region
        self.maps = maps
        self.turn = TURN
        self.failure: StatesError | None = None

    def fail(self, error: StatesError, previous: int) -> None:
        """End the execution with an error, unless it has ended already."""
        if not self.history.sealed:
            self.failure = error
            self.history.seal(previous, self.clock.now(), events.EXECUTION_FAILED, (error.error, error.cause))


class Frame:
    """One thread of control: the execution itself, a branch of a Parallel, or an iteration of a Map.

    Attributes:
        data: What goes into the next state, and is the input of the one that is being run.
        variables: Workflow variables in scope. A branch starts with a copy of its parent's.
        previous: Id of the last event of this thread.
        room: An upper bound, in bytes, of the JSON size of anything an expression can refer to just now. A
            template with n references yields at most n times that, so that the size of most results need
            not be measured to know that it is within the limit. Measured results bring it down again.
        stored: An upper bound of the JSON size of `variables`, in bytes.
        retries: How often the state that is being run has been retried; None in states without Retry.
        token: Task token, while a Task waits for one.
        item: The member ``Map`` of the context object, inside a Map.
        at: Where the thread stands once it has come to rest: the state it failed or was stopped in, or would
            have gone to next; None at its end.
        inside: Whether `at` has been entered, so that a redrive picks it up instead of entering it again.
        threads: The threads of the Parallel or Map that is being run, in the order of its branches or items.
            A redrive goes on with those that have not ended.
        visit: What a Map keeps of the visit that is under way, for a redrive to go on with.
    """

    __slots__ = (
        "_before",
        "_entered",
        "_entered_at",
        "_floor",
        "at",
        "data",
        "engine",
        "inside",
        "item",
        "previous",
        "retries",
        "room",
        "state",
        "stored",
        "threads",
        "token",
        "variables",
        "visit",
    )

    def __init__(
        self, engine: Engine, data: JSON, variables: dict[str, JSON], previous: int, room: int
    ) -> None:
        self.engine = engine
        self.data = data
        self.variables = variables
        self.previous = previous
        self.room = self._floor = room
        self.stored = 0
        self.item: Mapping[str, JSON] | None = None
        self.token: str | None = None
        self.retries: int | None = None
        self.state: State | None = None
        self.at: State | None = None
        self.inside = False
        self.threads: Sequence[Frame] = ()
        self.visit: object = None
        self._before = self._entered = previous
        self._entered_at = 0.0

    def fork(self, data: JSON, first: State | None = None) -> Self:
        """A thread that starts at this one's place, with its own variables, and goes to `first`."""
        child = type(self)(self.engine, data, dict(self.variables), self.previous, self.room)
        child.stored = self.stored
        child.item = self.item
        child.at = first
        child.state = self.state
        child.retries = self.retries
        child._before = self._before
        child._entered = self._entered
        child._entered_at = self._entered_at
        return child

    def rejoin(self, engine: Engine, previous: int) -> None:
        """Make the thread, and what it waits for, ready to go on in a redriven execution.

        Args:
            engine: The execution's new engine.
            previous: The event that says that it was redriven.
        """
        self.engine = engine
        if self.at is not None:
            self.previous = previous
        for thread in self.threads:
            thread.rejoin(engine, previous)

    def forget(self) -> None:
        """Let go of what was kept for a redrive of the state: it has ended, or is tried anew."""
        self.threads = ()
        self.visit = None

    # Scope of expressions ------------------------------------------------------------------------------

    @property
    def entropy(self) -> random.Random:
        return self.engine.entropy

    def now(self) -> float:
        return self.engine.clock.now()

    def context(self) -> dict[str, JSON]:
        """The context object."""
        context: dict[str, JSON] = dict(self.engine.root_context)
        if self.state is not None:
            state: dict[str, JSON] = {
                "Name": self.state.name,
                "EnteredTime": timestamp_text(self._entered_at),
            }
            if self.retries is not None:
                state["RetryCount"] = self.retries
            context["State"] = state
        if self.item is not None:
            context["Map"] = self.item
        if self.token is not None:
            context["Task"] = {"Token": self.token}
        return context

    # Sizes ---------------------------------------------------------------------------------------------

    def fill(self, template: Template, document: JSON) -> tuple[JSON, int]:
        """Fill a template in; the value, and a bound of its size.

        Raises:
            Fault: It cannot be evaluated.
            StatesError: States.DataLimitExceeded.
        """
        value = template.read(document, self)
        if template.references == UNBOUNDED:
            return value, self.measure(value)
        return value, self.admit(value, template.size + template.references * self.room)

    def assignment(self, template: Template | None, document: JSON) -> dict[str, JSON] | None:
        """The variables that an Assign gives values; None if there is none.

        Raises:
            Fault: It cannot be evaluated.
            StatesError: States.DataLimitExceeded, of this Assign or of all variables.
        """
        if template is None:
            return None
        value, bound = self.fill(template, document)
        assigned = cast("dict[str, JSON]", value)  # the compiler has looked
        stored = self.stored + bound
        if stored > VARIABLES_LIMIT:
            stored = json_size({**self.variables, **assigned})
            if stored > VARIABLES_LIMIT:
                raise StatesError(
                    DATA_LIMIT_EXCEEDED,
                    f"The total size of all variables exceeds the maximum of {VARIABLES_LIMIT} bytes.",
                )
        self.stored = stored
        return assigned

    def admit(self, value: JSON, bound: int) -> int:
        """Make sure that a value is within the limit, given a bound of its size; a perhaps better bound.

        Raises:
            StatesError: States.DataLimitExceeded.
        """
        if bound > PAYLOAD_LIMIT:
            return self.measure(value)
        if bound > self.room:
            self.room = bound
        return bound

    def measure(self, value: JSON, source: str | None = None) -> int:
        """The exact size of a value, which `source` has returned, the state itself if None.

        Raises:
            StatesError: States.DataLimitExceeded.
        """
        if source is None:
            source = self.state.name if self.state is not None else ""
        size = ensure_fits(value, source)
        if size > self.room:
            self.room = size
        return size

    # States --------------------------------------------------------------------------------------------

    def enter(self, state: State) -> None:
        """Record that a state is entered, unless a redrive picks it up."""
        if self.inside:
            self.inside = False
            self.retries = state.first_retry
            return
        engine = self.engine
        now = engine.clock.now()
        self.state = state
        self.retries = state.first_retry
        self._before = previous = self.previous
        self._entered_at = now
        self._entered = self.previous = engine.history.add(previous, now, state.entered, self.data)

    def leave(self, state: State, output: JSON, bound: int, assigned: dict[str, JSON] | None = None) -> None:
        """Record that a state is exited.

        Args:
            state: The state.
            output: Its output, which is the next state's input.
            bound: A bound of the output's size in bytes.
            assigned: Variables to assign; None when the state has no Assign.
        """
        engine = self.engine
        now = engine.clock.now()
        if assigned is None:
            self.previous = engine.history.add(self.previous, now, state.exited, output)
        else:
            self.previous = engine.history.add(self.previous, now, state.exited_assigning, (output, assigned))
            self.variables.update(assigned)
            self._floor = self.room
        self.data = output
        self.room = max(bound, self._floor)

    def record(self, kind: events.EventType, payload: Any = None) -> None:
        """Record an event that the next one follows from."""
        self.previous = self.note(kind, payload)

    def note(self, kind: events.EventType, payload: Any = None) -> int:
        """Record an event that nothing follows from; its id."""
        engine = self.engine
        return engine.history.add(self.previous, engine.clock.now(), kind, payload)

    def abort(self) -> None:
        """Record that the state that is being run is aborted, if it is of a type that can be."""
        if self.state is not None and self.state.aborted is not None:
            self.note(self.state.aborted)

    def explain(self, fault: Fault) -> StatesError:
        """The error that a fault in the current state is.

        Records EvaluationFailed if it is due. A fatal error ends the execution here and now.
        """
        name = self.state.name if self.state is not None else ""
        cause = (
            f"An error occurred while executing the state '{name}' (entered at the event id "
            f"#{self._entered}). {fault.message}"
        )
        if isinstance(fault, QueryFault):
            # Recorded: directly after a state is entered, the event follows from what the entering does.
            if self.previous == self._entered:
                self.previous = self._before
            self.record(events.EVALUATION_FAILED, (fault.error, cause, fault.location, name))
        error = StatesError(fault.error, cause)
        if error.fatal:
            self.engine.fail(error, self.previous)
        return error


async def advance(frame: Frame, state: State | None) -> None:
    """Run states from `state` until the thread ends.

    Raises:
        StatesError: A state failed and nothing caught it. If the error is fatal, the execution has ended.
        HistoryFull: Likewise.
    """
    engine = frame.engine
    try:
        while state is not None:
            engine.turn -= 1
            if engine.turn < 0:
                engine.turn = TURN
                frame.state = None  # between states: the last one cannot be aborted any more
                await asyncio.sleep(0)
            state = state.step(frame) if state.immediate else await state.run(frame)
    except Fault as fault:
        raise frame.explain(fault) from None
    except RecursionError:
        raise frame.explain(Fault("The data or an expression is nested too deeply.")) from None
    except HistoryFull:
        limit = len(engine.history) + 1
        cause = f"The execution reached the maximum number of history events ({limit})."
        engine.fail(StatesError(RUNTIME, cause), limit - 1)
        raise
    except asyncio.CancelledError:
        frame.abort()
        raise
    finally:
        frame.at = state
        frame.inside = state is not None and frame.state is state


async def together(threads: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run threads concurrently until all are done or one fails; then the others are cancelled.

    Returns or raises only after all have come to rest.

    Raises:
        Exception: Of the first that failed.
    """
    if not threads:
        return
    failures: list[Exception] = []

    async def guard(thread: Coroutine[Any, Any, None]) -> None:
        try:
            await thread
        except Exception as failure:
            failures.append(failure)
            raise

    tasks = [asyncio.ensure_future(guard(thread)) for thread in threads]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await cancel(tasks)
    if failures:
        raise failures[0]


async def cancel(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel what is still running and wait until all of it has come to rest, whatever happens meanwhile."""
    for task in tasks:
        task.cancel()
    interrupted: asyncio.CancelledError | None = None
    while pending := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            interrupted = error
    for task in tasks:
        if not task.cancelled():
            task.exception()  # looked at, so that the loop does not report it as lost
    if interrupted is not None:
        raise interrupted
