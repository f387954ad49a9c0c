"""Time: real, scaled, and skipping.

Everything in the harness that waits, times out or stamps an event asks a `Clock`. There are two:

* `RealClock` runs at wall speed, or at a multiple of it (``scale``).
* `SkippingClock` is virtual. When nothing but timers is left to wait for, it jumps to the earliest one,
  so a 24-hour Wait costs nothing. While real work is under way it does not jump; see `Work`.

"Nothing is left to do" is not guessed. An asyncio loop blocks in its selector exactly when no callback is
ready to run, so `IdleEventLoop` looks at the clocks there, and only there. Code that leaves the loop (a
thread, a subprocess, a socket) and that an execution is waiting for must say so with `Clock.work`.

Virtual times are seconds since the Unix epoch, as `float`.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, Protocol, TypeVar

__all__ = ["Clock", "IdleEventLoop", "RealClock", "SkippingClock", "Timer", "Work", "run"]

Work = Literal["function", "job", "call"]
"""What is being done off the event loop, and what it does to virtual time:

``function``  a user's function runs: time runs at wall speed, so timeouts on real code mean what they say.
``job``       a container runs or an endpoint starts: time is held, so the history does not depend on how
              fast this machine is.
``call``      a service call is carried out in a thread or a process: held, like a job.
"""

PATIENCE = 600.0
"""Real seconds after which a hold is released, so that something that hangs meets its virtual time limits."""

T = TypeVar("T")


class Timer(Protocol):
    """A callback that has been scheduled."""

    def cancel(self) -> None:
        """Forget the callback. Harmless when it has already run."""


class Clock(Protocol):
    """The one source of time."""

    def now(self) -> float:
        """The time, in seconds since the epoch."""

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        """Run `callback` on the event loop once the time is `when` or later."""

    async def sleep(self, seconds: float) -> None:
        """Return `seconds` from now (at once, but after everything that is ready, when not positive)."""

    async def sleep_until(self, when: float) -> None:
        """Return once the time is `when`."""

    def work(self, kind: Work, *, patience: float | None = None) -> AbstractContextManager[None]:
        """Say that work goes on outside the event loop for as long as the context is open.

        Args:
            kind: What sort of work, see `Work`.
            patience: Real seconds a hold may last before time runs on; the clock's own limit when None.
        """


class _Sleeping:
    """`sleep` and `sleep_until` on top of `now` and `call_at`."""

    def now(self) -> float:
        raise NotImplementedError

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        await self.sleep_until(self.now() + max(0.0, seconds))

    async def sleep_until(self, when: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        timer = self.call_at(when, wake)
        try:
            await woken
        finally:
            timer.cancel()


class RealClock(_Sleeping):
    """Wall time, or a multiple of it.

    Args:
        scale: Virtual seconds per real second. 60 makes a minute's Wait take one second.

    Raises:
        ValueError: `scale` is not positive.
    """

    def __init__(self, scale: float = 1.0) -> None:
        if scale <= 0:
            raise ValueError(f"scale must be positive, not {scale}")
        self._scale = scale
        self._start = time.time()
        self._anchor = time.monotonic()

    def now(self) -> float:
        return self._start + (time.monotonic() - self._anchor) * self._scale

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        delay = max(0.0, when - self.now()) / self._scale
        return asyncio.get_running_loop().call_later(delay, callback)

    def work(self, kind: Work, *, patience: float | None = None) -> AbstractContextManager[None]:
        return nullcontext()


class _SkipTimer:
    """An entry of the heap: ordered by time, then by the order in which it was asked for."""

    __slots__ = ("callback", "order", "when")

    def __init__(self, when: float, order: int, callback: Callable[[], object]) -> None:
        self.when = when
        self.order = order
        self.callback: Callable[[], object] | None = callback

    def __lt__(self, other: _SkipTimer) -> bool:
        return (self.when, self.order) < (other.when, other.order)

    def cancel(self) -> None:
        self.callback = None


class _Hold:
    """One piece of work that holds time still, until `deadline` (monotonic)."""

    __slots__ = ("deadline", "released")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.released = False


class SkippingClock(_Sleeping):
    """Virtual time that jumps whenever only timers are left.

    In order of precedence, time

    1. stands still while a job or a call holds it (`Work`), until the hold's patience ends;
    2. runs at wall speed while a function runs, or while a released hold is still open;
    3. otherwise jumps, when the loop is idle, to the earliest timer: one timer at a time, and everything
       that it sets off is finished before the next, so the order of events never depends on the machine.

    It must be used on an `IdleEventLoop` (see `run`).

    Args:
        start: The time at the start; wall time when None.
        drift: Let time pass at wall speed while there is neither a timer nor work, so that the clock of a
            long-lived local cloud does not go stale. Leave it off where runs must be repeatable.
        patience: Real seconds a hold may last.
        on_release: Called with a sentence when a hold outlasts its patience: from there on the order of
            events may depend on this machine.
    """

    def __init__(
        self,
        start: float | None = None,
        *,
        drift: bool = False,
        patience: float = PATIENCE,
        on_release: Callable[[str], object] | None = None,
    ) -> None:
        self._virtual = time.time() if start is None else start
        self._running_since: float | None = None
        self._drift = drift
        self._patience = patience
        self._on_release = on_release
        self._timers: list[_SkipTimer] = []
        self._order = itertools.count()
        self._functions = 0
        self._holds: set[_Hold] = set()
        self._loop: IdleEventLoop | None = None
        self._settle()

    def now(self) -> float:
        if self._running_since is None:
            return self._virtual
        return self._virtual + (time.monotonic() - self._running_since)

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        timer = _SkipTimer(when, next(self._order), callback)
        heapq.heappush(self._timers, timer)
        if self._loop is None:
            self._attach()
        if self._drift:
            self._settle()
        return timer

    @contextmanager
    def work(self, kind: Work, *, patience: float | None = None) -> Iterator[None]:
        self._attach()
        if kind == "function":
            self._functions += 1
            self._settle()
            try:
                yield
            finally:
                self._functions -= 1
                self._settle()
            return
        hold = _Hold(time.monotonic() + (self._patience if patience is None else patience))
        self._holds.add(hold)
        self._settle()
        try:
            yield
        finally:
            self._holds.discard(hold)
            self._settle()

    # How time passes just now ------------------------------------------------------------------------

    def _held(self) -> bool:
        return any(not hold.released for hold in self._holds)

    def _settle(self) -> None:
        """Bank the time that has passed at wall speed, and decide whether it goes on passing."""
        self._virtual = self.now()
        if self._held():
            runs = False
        elif self._functions or self._holds:
            runs = True
        else:
            runs = self._drift and not self._timers
        self._running_since = time.monotonic() if runs else None

    def _release_overdue(self) -> float | None:
        """Release the holds whose patience is over; return the seconds until the next one's is."""
        now = time.monotonic()
        overdue = [hold for hold in self._holds if not hold.released and hold.deadline <= now]
        for hold in overdue:
            hold.released = True
            if self._on_release is not None:
                self._on_release(
                    "a container or call outlasted the clock's patience; virtual time now runs at wall "
                    "speed, so the order of events may depend on this machine"
                )
        if overdue:
            self._settle()
        remaining = [hold.deadline - now for hold in self._holds if not hold.released]
        return min(remaining) if remaining else None

    # Called by the event loop ------------------------------------------------------------------------

    def _attach(self) -> None:
        if self._loop is None:
            loop = asyncio.get_running_loop()
            if not isinstance(loop, IdleEventLoop):
                raise RuntimeError("a SkippingClock needs an IdleEventLoop: start with harness.clock.run()")
            self._loop = loop
            loop.clocks[self] = None
            self._settle()

    def _detach(self) -> None:
        if self._loop is not None:
            self._loop.clocks.pop(self, None)
            self._loop = None
            self._settle()

    def _next(self) -> _SkipTimer | None:
        timers = self._timers
        while timers and timers[0].callback is None:
            heapq.heappop(timers)
        return timers[0] if timers else None

    def _fire(self) -> None:
        timer = heapq.heappop(self._timers)
        callback, timer.callback = timer.callback, None
        assert callback is not None  # _next() has skipped the cancelled ones
        callback()

    def busy(self) -> bool:
        """The loop has callbacks to run. Timers that fall due at wall speed fire all the same."""
        if self._running_since is None:
            return False
        timer = self._next()
        if timer is None or timer.when > self.now():
            return False
        self._fire()
        return True

    def idle(self) -> float | None:
        """The loop is about to block: fire a timer if one is due or can be jumped to.

        Returns:
            0 when a timer fired; otherwise the real seconds after which to ask again, None for never.
        """
        impatience = self._release_overdue()
        timer = self._next()
        if timer is None:
            if self._drift:
                self._settle()
            if not self._holds and not self._functions:
                self._detach()
            return impatience
        now = self.now()
        if timer.when > now:
            if self._held():
                return impatience
            if self._running_since is not None:
                return timer.when - now
            self._virtual = timer.when
        self._fire()
        return 0.0


class _IdleSelector(selectors.BaseSelector):
    """A selector that asks the loop's clocks before it blocks."""

    def __init__(self) -> None:
        self._inner = selectors.DefaultSelector()
        self.clocks: dict[SkippingClock, None] = {}

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if not self.clocks:
            return self._inner.select(timeout)
        if timeout is not None and timeout <= 0:
            for clock in tuple(self.clocks):
                clock.busy()
            return self._inner.select(0)
        events = self._inner.select(0)
        if events:
            return events
        for clock in tuple(self.clocks):
            wait = clock.idle()
            if wait is not None and (timeout is None or wait < timeout):
                timeout = wait
        return self._inner.select(timeout)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._inner.get_map()

    def close(self) -> None:
        self._inner.close()


class IdleEventLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop that tells skipping clocks when it has nothing left to run."""

    def __init__(self) -> None:
        selector = _IdleSelector()
        super().__init__(selector)
        self.clocks = selector.clocks


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on an `IdleEventLoop`."""
    with asyncio.Runner(loop_factory=IdleEventLoop) as runner:
        return runner.run(main)
