"""Retry and Catch: what Task, Parallel and Map states do when they fail."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.asl.errors import Fault, StatesError
from harness.asl.frame import Frame
from harness.asl.history import EventType
from harness.asl.jsonpath.path import Key
from harness.asl.payload import Template
from harness.asl.state import Flow, State, insert
from harness.asl.tasks import JSON
from harness.asl.values import json_size

__all__ = ["Catcher", "Retrier", "RetryingState"]


@dataclass(frozen=True)
class Retrier:
    """One entry of Retry.

    Attributes:
        names: ErrorEquals.
        interval: IntervalSeconds.
        attempts: MaxAttempts.
        backoff: BackoffRate.
        max_delay: MaxDelaySeconds; None for no limit.
        jitter: Whether JitterStrategy is FULL.
    """

    names: frozenset[str]
    interval: float = 1
    attempts: int = 3
    backoff: float = 2.0
    max_delay: float | None = None
    jitter: bool = False

    def delay(self, attempt: int, entropy: random.Random) -> float:
        """Seconds to wait before retry number `attempt`, which counts from 0."""
        try:
            delay = self.interval * self.backoff**attempt
        except OverflowError:
            delay = float("inf")
        delay = min(delay, self.max_delay if self.max_delay is not None else 99_999_999.0)
        return entropy.uniform(0, delay) if self.jitter else delay


@dataclass
class Catcher:
    """One entry of Catch.

    Attributes:
        names: ErrorEquals.
        next: The state to go on with, linked later.
        result_path: Where a JSONPath state puts the error output: ``()`` in place of the input, None nowhere.
        result_path_text: As written.
        assign: Template of Assign.
        output: Template of a JSONata catcher's Output.
        jsonata: Whether the state is a JSONata state.
    """

    names: frozenset[str]
    next: State | None = None
    result_path: tuple[Key, ...] | None = ()
    result_path_text: str = "$"
    assign: Template | None = None
    output: Template | None = None
    jsonata: bool = False

    def catch(self, frame: Frame, state: State, error: StatesError) -> None:
        """Exit a state with what is made of the error.

        Raises:
            Fault: Something in the catcher cannot be evaluated.
        """
        thrown: JSON = {"Error": error.error or "", "Cause": error.cause or ""}
        document = {"errorOutput": thrown} if self.jsonata else thrown
        size = json_size(thrown)
        output: JSON
        if self.output is not None:
            output, bound = frame.fill(self.output, document)
        elif self.result_path is None:
            output, bound = frame.data, frame.room
        else:
            output = insert(frame.data, self.result_path, thrown, self.result_path_text)
            bound = size if self.result_path == () else frame.room + size + len(self.result_path_text) + 8
        assigned = frame.assignment(self.assign, document)
        frame.leave(state, output, frame.admit(output, bound), assigned)


@dataclass
class Policy:
    """A state's Retry and Catch."""

    retriers: Sequence[Retrier] = ()
    catchers: list[Catcher] = field(default_factory=list)

    def retrier(self, error: StatesError, taken: Mapping[Retrier, int]) -> Retrier | None:
        """The retrier that an error is retried by; None if it is not.

        Args:
            error: The error.
            taken: How often each has retried the state before.
        """
        for retrier in self.retriers:
            if error.matches(retrier.names):
                return retrier if taken.get(retrier, 0) < retrier.attempts else None
        return None

    def catcher(self, error: StatesError) -> Catcher | None:
        """The catcher that an error is caught by; None if it is not."""
        return next((catcher for catcher in self.catchers if error.matches(catcher.names)), None)


class RetryingState(State):
    """A state whose work can fail, be retried, and be caught.

    Attributes:
        failed: Type of the event that records that the state as a whole failed; None where the failure is
            recorded by the work itself.
    """

    immediate = False
    first_retry = 0
    failed: EventType | None = None

    def __init__(self, name: str, flow: Flow, policy: Policy) -> None:
        super().__init__(name)
        self.flow = flow
        self.policy = policy

    async def attempt(self, frame: Frame) -> None:
        """Do the work once and exit the state.

        Raises:
            Fault: Something cannot be evaluated.
            StatesError: The work failed.
        """
        raise NotImplementedError

    async def run(self, frame: Frame) -> State | None:
        frame.enter(self)
        taken: dict[Retrier, int] = {}
        while True:
            try:
                await self.attempt(frame)
            except Fault as fault:
                error = frame.explain(fault)
            except StatesError as failure:
                error = failure
            else:
                frame.forget()
                return self.next
            if error.fatal:
                raise error
            retrier = self.policy.retrier(error, taken)
            if retrier is None:
                break
            delay = retrier.delay(taken.get(retrier, 0), frame.entropy)
            taken[retrier] = taken.get(retrier, 0) + 1
            frame.retries = (frame.retries or 0) + 1
            frame.forget()
            await frame.engine.clock.sleep(delay)
        if self.failed is not None:
            frame.record(self.failed)
        catcher = self.policy.catcher(error)
        if catcher is None:
            raise error
        catcher.catch(frame, self, error)
        frame.forget()
        return catcher.next
