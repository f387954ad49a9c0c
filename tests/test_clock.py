"""The clocks: what they promise to everything that waits, times out or stamps an event."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from harness.clock import IdleEventLoop, RealClock, SkippingClock, run

DAY = 86_400.0


def test_a_day_costs_nothing() -> None:
    async def main() -> float:
        clock = SkippingClock(0.0)
        await clock.sleep(DAY)
        return clock.now()

    began = time.monotonic()
    assert run(main()) == DAY
    assert time.monotonic() - began < 5


def test_timers_fire_in_order_of_time_then_of_request() -> None:
    async def main() -> list[str]:
        clock = SkippingClock(0.0)
        order: list[str] = []
        for name, when in (("c", 2.0), ("a", 1.0), ("d", 2.0), ("b", 1.0)):
            clock.call_at(when, lambda name=name: order.append(name))
        await clock.sleep(3)
        return order

    assert run(main()) == ["a", "b", "c", "d"]


def test_what_a_timer_sets_off_is_finished_before_the_next_timer() -> None:
    async def main() -> list[tuple[str, float]]:
        clock = SkippingClock(0.0)
        seen: list[tuple[str, float]] = []

        async def worker(name: str, when: float) -> None:
            await clock.sleep_until(when)
            for _ in range(5):
                await asyncio.sleep(0)
            seen.append((name, clock.now()))

        await asyncio.gather(worker("first", 1), worker("second", 1), worker("third", 2))
        return seen

    assert run(main()) == [("first", 1), ("second", 1), ("third", 2)]


def test_a_cancelled_timer_never_fires_and_is_not_jumped_to() -> None:
    async def main() -> tuple[float, list[str]]:
        clock = SkippingClock(0.0)
        fired: list[str] = []
        clock.call_at(10, lambda: fired.append("cancelled")).cancel()
        await clock.sleep(1)
        await asyncio.sleep(0.01)
        return clock.now(), fired

    assert run(main()) == (1.0, [])


def test_cancelling_a_sleeper_cancels_its_timer() -> None:
    async def main() -> float:
        clock = SkippingClock(0.0)
        sleeper = asyncio.create_task(clock.sleep(DAY))
        await asyncio.sleep(0)
        sleeper.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sleeper
        await clock.sleep(1)
        return clock.now()

    assert run(main()) == 1.0


@pytest.mark.parametrize("kind", ["job", "call"])
def test_a_hold_stops_time_whatever_it_lasts(kind: str) -> None:
    async def main() -> tuple[float, bool]:
        clock = SkippingClock(0.0)
        waiter = asyncio.create_task(clock.sleep(60))
        await asyncio.sleep(0)
        with clock.work(kind):  # type: ignore[arg-type]
            await asyncio.sleep(0.05)
            during = (clock.now(), waiter.done())
        await waiter
        assert clock.now() == 60
        return during

    assert run(main()) == (0.0, False)


@pytest.mark.parametrize(("takes", "asked"), [(0.0, 1), (45 * 60.0, 45), (45 * 60.0 - 1, 45)])
def test_a_poll_loop_asks_as_often_as_the_scenario_says(takes: float, asked: int) -> None:
    """`Wait 60 -> describe` asks once more after the container's end, and 45 times in 45 minutes."""

    async def main() -> int:
        clock = SkippingClock(0.0)

        async def job() -> None:
            started = clock.now()
            with clock.work("job"):
                await asyncio.sleep(0.03)
            await clock.sleep_until(started + takes)

        running = asyncio.create_task(job())
        await asyncio.sleep(0)
        polls = 0
        while not running.done():
            await clock.sleep(60)
            polls += 1
        return polls

    assert run(main()) == asked


def test_time_runs_at_wall_speed_while_a_function_runs() -> None:
    async def main() -> tuple[float, float, bool]:
        clock = SkippingClock(0.0)
        due: list[float] = []
        clock.call_at(0.02, lambda: due.append(clock.now()))
        far = asyncio.create_task(clock.sleep(DAY))
        began = time.monotonic()
        with clock.work("function"):
            await asyncio.sleep(0.06)
            real = time.monotonic() - began
            virtual = clock.now()
            fired_during = bool(due)
        far.cancel()
        return virtual, real, fired_during

    virtual, real, fired_during = run(main())
    assert virtual == pytest.approx(real, abs=0.02)
    assert fired_during


def test_timers_fall_due_at_wall_speed_even_when_the_loop_never_idles() -> None:
    async def main() -> bool:
        clock = SkippingClock(0.0)
        due: list[float] = []
        clock.call_at(0.01, lambda: due.append(clock.now()))
        with clock.work("function"):
            until = time.monotonic() + 0.2
            while not due and time.monotonic() < until:  # noqa: ASYNC110  keeping the loop busy is the point
                await asyncio.sleep(0)
        return bool(due)

    assert run(main())


def test_a_job_beats_a_function() -> None:
    async def main() -> float:
        clock = SkippingClock(0.0)
        with clock.work("job"), clock.work("function"):
            await asyncio.sleep(0.03)
            return clock.now()

    assert run(main()) == 0.0


def test_holds_nest() -> None:
    async def main() -> float:
        clock = SkippingClock(0.0)
        timer = asyncio.create_task(clock.sleep(60))
        with clock.work("job"):
            with clock.work("call"):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
            assert not timer.done()
        await timer
        return clock.now()

    assert run(main()) == 60.0


def test_a_hold_that_outlasts_its_patience_lets_time_run_and_says_so() -> None:
    async def main() -> tuple[float, list[str]]:
        warnings: list[str] = []
        clock = SkippingClock(0.0, patience=0.02, on_release=warnings.append)
        with clock.work("job"):
            await clock.sleep(0.05)  # as a MaxRuntimeInSeconds would
        return clock.now(), warnings

    now, warnings = run(main())
    assert now == pytest.approx(0.05, abs=0.03)
    assert len(warnings) == 1
    assert "patience" in warnings[0]


def test_patience_can_be_given_for_one_piece_of_work() -> None:
    async def main() -> float:
        clock = SkippingClock(0.0)
        with clock.work("job", patience=0.01):
            await clock.sleep(0.02)
        return clock.now()

    assert run(main()) >= 0.02


def test_time_stands_still_between_jumps_so_that_runs_repeat() -> None:
    async def main() -> list[float]:
        clock = SkippingClock(1000.0)
        seen = []
        for _ in range(3):
            await asyncio.sleep(0.005)
            seen.append(clock.now())
            await clock.sleep(1)
        return seen

    assert run(main()) == [1000.0, 1001.0, 1002.0]


def test_a_drifting_clock_follows_the_wall_when_nothing_is_pending() -> None:
    async def main() -> tuple[float, float]:
        clock = SkippingClock(0.0, drift=True)
        await asyncio.sleep(0.03)
        before = clock.now()
        await clock.sleep(DAY)
        return before, clock.now()

    before, after = run(main())
    assert 0.02 < before < 5
    assert after == pytest.approx(before + DAY, abs=1)


def test_two_clocks_on_one_loop_do_not_hold_each_other() -> None:
    async def main() -> tuple[float, float]:
        held, free = SkippingClock(0.0), SkippingClock(0.0)
        pending = asyncio.create_task(held.sleep(60))
        with held.work("job"):
            await free.sleep(DAY)
            seen = held.now(), free.now()
        await pending
        return seen

    assert run(main()) == (0.0, DAY)


def test_input_and_output_go_on_while_a_clock_skips() -> None:
    """A socket that is ready is served before time jumps: the reader below hears all before its timeout."""

    async def main() -> bytes:
        clock = SkippingClock(0.0)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for part in (b"one", b"two", b"three"):
                writer.write(part)
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with clock.work("call"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            text = await reader.read(-1)
            writer.close()
        server.close()
        await clock.sleep(DAY)
        return text

    assert run(main()) == b"onetwothree"


def test_the_same_program_twice_makes_the_same_history() -> None:
    async def main() -> list[tuple[str, float]]:
        clock = SkippingClock(0.0)
        history: list[tuple[str, float]] = []

        async def worker(name: str, step: float, count: int) -> None:
            for _ in range(count):
                await clock.sleep(step)
                history.append((name, clock.now()))

        await asyncio.gather(*(worker(f"w{n}", 1 + n % 3, 20) for n in range(10)))
        return history

    assert run(main()) == run(main())


def test_a_skipping_clock_needs_a_loop_that_knows_when_it_is_idle() -> None:
    async def main() -> None:
        await SkippingClock(0.0).sleep(1)

    with pytest.raises(RuntimeError, match=r"harness\.clock\.run"):
        asyncio.run(main())


def test_finished_clocks_leave_the_loop() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, IdleEventLoop)
        for _ in range(5):
            await SkippingClock(0.0).sleep(1)
        await asyncio.sleep(0.001)
        return len(loop.clocks)

    assert run(main()) == 0


@pytest.mark.parametrize("make", [RealClock, lambda: RealClock(scale=50)], ids=["real", "scaled"])
def test_real_time_passes(make: Callable[[], RealClock]) -> None:
    async def main() -> tuple[float, float]:
        clock = make()
        began, started = time.monotonic(), clock.now()
        await clock.sleep(0.05)
        return time.monotonic() - began, clock.now() - started

    real, virtual = run(main())
    assert virtual >= 0.05
    assert real < 5


def test_scaled_time_is_quicker_than_real() -> None:
    async def main() -> float:
        clock = RealClock(scale=1000)
        began = time.monotonic()
        await clock.sleep(30)
        return time.monotonic() - began

    assert 0.02 < run(main()) < 5


def test_the_real_clock_shows_wall_time() -> None:
    assert RealClock().now() == pytest.approx(time.time(), abs=5)


@pytest.mark.parametrize("scale", [0, -1])
def test_a_scale_must_be_positive(scale: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        RealClock(scale=scale)
