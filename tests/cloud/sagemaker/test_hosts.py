from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from harness.cloud.sagemaker.hosts import HostEnd, HostRun, run_hosts
from harness.containers.runtime import Container, ContainerSpec
from harness.errors import ContainerError
from tests.cloud.sagemaker.fakes import Box, FakeCloud, FakeContainer, Program, image, with_cloud


async def succeeds(box: Box) -> int:
    return 0


async def fails(box: Box) -> int:
    return 7


async def waits(box: Box) -> int:
    await box.terminated.wait()
    return 143


async def hangs(box: Box) -> int:
    await asyncio.Event().wait()
    return 0


def hosts(*programs: Program) -> list[HostRun]:
    return [
        HostRun(ContainerSpec(name=f"c{n}", image=image(program), hostname=f"algo-{n}"), lambda line: None)
        for n, program in enumerate(programs, 1)
    ]


def outcomes(ends: list[HostEnd]) -> list[tuple[int, bool]]:
    return [(end.exit_code, end.stopped) for end in ends]


def with_hosts(scenario: Callable[[FakeCloud, asyncio.Event], Awaitable[None]]) -> None:
    async def run(cloud: FakeCloud) -> None:
        await scenario(cloud, asyncio.Event())
        assert all(container.ended for container in cloud.containers.started)
        assert all(network.closed for network in cloud.containers.networks)

    with_cloud(run)


def test_one_host_needs_no_network() -> None:
    async def scenario(cloud: FakeCloud, interrupt: asyncio.Event) -> None:
        ends = await run_hosts(cloud, hosts(succeeds), interrupt, network_name="n")
        assert ends == [HostEnd(0, False, "true")]
        assert cloud.containers.networks == []

    with_hosts(scenario)


def test_several_hosts_share_a_private_network() -> None:
    async def scenario(cloud: FakeCloud, interrupt: asyncio.Event) -> None:
        ends = await run_hosts(cloud, hosts(succeeds, succeeds, succeeds), interrupt, network_name="n")
        assert outcomes(ends) == [(0, False)] * 3
        [network] = cloud.containers.networks
        assert network.hosts == ("algo-1", "algo-2", "algo-3")
        assert {container.spec.network for container in cloud.containers.started} == {network}

    with_hosts(scenario)


def test_the_first_failure_stops_the_others() -> None:
    async def scenario(cloud: FakeCloud, interrupt: asyncio.Event) -> None:
        ends = await run_hosts(cloud, hosts(waits, fails, hangs), interrupt, network_name="n", grace=0.01)
        assert outcomes(ends) == [(143, True), (7, False), (137, True)]
        signals = [container.signals for container in cloud.containers.started]
        assert signals[0] == ["TERM 0.01"]
        assert signals[2] == ["TERM 0.01", "KILL"]

    with_hosts(scenario)


def test_a_host_that_is_done_leaves_the_others_alone() -> None:
    async def scenario(cloud: FakeCloud, interrupt: asyncio.Event) -> None:
        running = asyncio.ensure_future(run_hosts(cloud, hosts(succeeds, waits), interrupt, network_name="n"))
        await cloud.containers.first.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not running.done()
        assert cloud.containers.started[1].signals == []
        interrupt.set()
        assert outcomes(await running) == [(0, False), (143, True)]

    with_hosts(scenario)


def test_an_engine_that_dies_is_told_when_the_others_are_gone() -> None:
    async def scenario(cloud: FakeCloud, interrupt: asyncio.Event) -> None:
        async def dies(box: Box) -> int:
            raise ContainerError("the engine is gone")

        with pytest.raises(ContainerError, match="the engine is gone"):
            await run_hosts(cloud, hosts(hangs, dies), interrupt, network_name="n")

    with_hosts(scenario)


def test_a_host_that_cannot_start_takes_the_others_with_it() -> None:
    async def scenario(cloud: FakeCloud, interrupt: asyncio.Event) -> None:
        start, runtime = cloud.containers.start, cloud.containers

        async def second_refused(spec: ContainerSpec, on_output: Callable[[str], object]) -> FakeContainer:
            if spec.hostname == "algo-2":
                raise ContainerError("no room")
            return await start(spec, on_output)

        runtime.start = second_refused  # type: ignore[method-assign]
        with pytest.raises(ContainerError, match="no room"):
            await run_hosts(cloud, hosts(hangs, succeeds), interrupt, network_name="n")

    with_hosts(scenario)


def test_cancelling_leaves_nothing_running() -> None:
    async def scenario(cloud: FakeCloud, interrupt: asyncio.Event) -> None:
        running = asyncio.ensure_future(run_hosts(cloud, hosts(hangs, hangs), interrupt, network_name="n"))
        await cloud.containers.first.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert running.cancelled()

    with_hosts(scenario)


def test_what_fails_beside_them_ends_them() -> None:
    async def scenario(cloud: FakeCloud, interrupt: asyncio.Event) -> None:
        async def broken(containers: Sequence[Container]) -> None:
            assert len(containers) == 2
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await run_hosts(cloud, hosts(hangs, hangs), interrupt, network_name="n", beside=[broken])

    with_hosts(scenario)
