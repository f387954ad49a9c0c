"""Pass, Succeed, Fail and Wait states."""

from __future__ import annotations

from collections.abc import Callable

from harness.asl.errors import StatesError
from harness.asl.frame import Frame
from harness.asl.history import EventType
from harness.asl.payload import Template
from harness.asl.state import Flow, State
from harness.asl.tasks import JSON

__all__ = ["Fail", "Pass", "Succeed", "Wait"]


class Pass(State):
    """Hands its input on, or a fixed result.

    Args:
        name: Its name.
        flow: Its data flow; None for a state that changes nothing.
        result: Result of a JSONPath state.
    """

    kind = "Pass"

    def __init__(self, name: str, flow: Flow | None, result: Template | None = None) -> None:
        super().__init__(name)
        self.flow = flow
        self.result = result

    def step(self, frame: Frame) -> State | None:
        frame.enter(self)
        if self.flow is None:
            frame.leave(self, frame.data, frame.room)
        elif self.result is None:
            self.flow.leave(frame, self, self.flow.arguments(frame), frame.room)
        else:
            self.flow.leave(frame, self, *frame.fill(self.result, None))
        return self.next


class Succeed(Pass):
    """Ends the thread well."""

    kind = "Succeed"


class Fail(State):
    """Ends the thread with an error.

    Args:
        name: Its name.
        error: What yields the error name; None for none.
        cause: What yields the cause; None for none.
    """

    kind = "Fail"

    def __init__(
        self,
        name: str,
        error: Callable[[Frame], str] | None,
        cause: Callable[[Frame], str] | None,
    ) -> None:
        super().__init__(name)
        self.error = error
        self.cause = cause

    def step(self, frame: Frame) -> State | None:
        frame.inside = False  # a redrive enters it anew
        frame.enter(self)
        error = self.error(frame) if self.error is not None else None
        cause = self.cause(frame) if self.cause is not None else None
        raise StatesError(error, cause)


class Wait(State):
    """Waits.

    Args:
        name: Its name.
        flow: Its data flow.
        until: From the effective input to the time at which the wait is over.
    """

    kind = "Wait"
    immediate = False

    def __init__(self, name: str, flow: Flow, until: Callable[[JSON, Frame], float]) -> None:
        super().__init__(name)
        self.aborted = EventType("WaitStateAborted")
        self.flow = flow
        self.until = until

    async def run(self, frame: Frame) -> State | None:
        frame.enter(self)
        data = self.flow.arguments(frame)
        until = self.until(data, frame)
        if until > frame.now():
            await frame.engine.clock.sleep_until(until)
        self.flow.leave(frame, self, data, frame.room)
        return self.next
