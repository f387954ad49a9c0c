"""The hosts of a job: the same command in one container, or in several that see one another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.cloud.service import CloudContext
from harness.containers.runtime import Container, ContainerSpec, Output

__all__ = ["STOP_GRACE", "Beside", "HostEnd", "HostRun", "run_hosts"]

STOP_GRACE = 120.0
"""Real seconds between SIGTERM and SIGKILL when a job is stopped."""

PEER_GRACE = 10.0
"""The same when another host of the job has failed. Whether SageMaker lets them end at all is not known."""

Beside = Callable[[Sequence[Container]], Awaitable[None]]
"""Looks after containers while they run. It is cancelled when they have ended."""


@dataclass(frozen=True)
class HostRun:
    """One host to run.

    Attributes:
        spec: Its container; `network` is filled in here.
        on_output: Takes its lines.
    """

    spec: ContainerSpec
    on_output: Output


@dataclass(frozen=True)
class HostEnd:
    """How a host's container ended.

    Attributes:
        exit_code: 128 + signal when it was killed.
        out_of_memory: It was killed because it used more memory than its instance has.
        reproduce: A shell command that starts the same container by hand.
        stopped: It was still running when the others, or the interrupt, ended the job.
    """

    exit_code: int
    out_of_memory: bool
    reproduce: str
    stopped: bool = False


async def run_hosts(
    cloud: CloudContext,
    hosts: Sequence[HostRun],
    interrupt: asyncio.Event,
    *,
    network_name: str,
    grace: float = STOP_GRACE,
    beside: Sequence[Beside] = (),
) -> list[HostEnd]:
    """Run the containers of a job to their end; nothing is left running, however this ends.

    The first that ends with a code other than 0 stops the others, and so does `interrupt`: SIGTERM, SIGKILL
    after `grace` real seconds (`PEER_GRACE` at most, when it is for another's failure).

    Args:
        cloud: Where they run.
        hosts: What to run. Several get a private network, on which they find each other by host name.
        interrupt: Stops them all when set.
        network_name: Of the private network; unique within the session.
        grace: Real seconds.
        beside: What runs beside them, e.g. to copy what they write.

    Returns:
        How each ended, in the order of `hosts`.

    Raises:
        ContainerError: One could not be started, or how it ended cannot be known.
        Exception: Whatever `beside` raises.
    """
    if len(hosts) == 1:
        return await _run(cloud, hosts, interrupt, grace, beside)
    names = [host.spec.hostname or host.spec.name for host in hosts]
    network = await cloud.containers.network(network_name, names)
    try:
        joined = [replace(host, spec=replace(host.spec, network=network)) for host in hosts]
        return await _run(cloud, joined, interrupt, grace, beside)
    finally:
        await network.close()


async def _run(
    cloud: CloudContext,
    hosts: Sequence[HostRun],
    interrupt: asyncio.Event,
    grace: float,
    beside: Sequence[Beside],
) -> list[HostEnd]:
    started: dict[int, Container] = {}
    helpers: list[asyncio.Future[None]] = []

    async def start(number: int) -> None:
        host = hosts[number]
        started[number] = await cloud.containers.start(host.spec, host.on_output)

    try:
        starting = (start(number) for number in range(len(hosts)))
        for problem in await asyncio.gather(*starting, return_exceptions=True):
            if problem is not None:
                raise problem
        containers = [started[number] for number in range(len(hosts))]
        helpers += [asyncio.ensure_future(helper(containers)) for helper in beside]
        running = await _until_over(containers, interrupt, helpers)
        if not interrupt.is_set():
            grace = min(grace, PEER_GRACE)
        await asyncio.gather(*(container.stop(grace) for container in containers))
        codes = [await container.wait() for container in containers]
    finally:
        for helper in helpers:
            helper.cancel()
        # Harmless where a container has ended; an engine that is gone cannot say so any more.
        ending = (container.kill() for container in started.values())
        await asyncio.gather(*ending, *helpers, return_exceptions=True)
    return [
        HostEnd(code, container.out_of_memory, container.reproduce(), stopped=number in running)
        for number, (code, container) in enumerate(zip(codes, containers, strict=True))
    ]


async def _until_over(
    containers: Sequence[Container], interrupt: asyncio.Event, helpers: Sequence[asyncio.Future[None]]
) -> set[int]:
    """Wait until all have ended with 0, one has not, or `interrupt` is set.

    Returns:
        The numbers of those that still run.

    Raises:
        Exception: What a helper, or the wait for a container, raised.
    """
    waits = [asyncio.ensure_future(container.wait()) for container in containers]
    interrupted = asyncio.ensure_future(interrupt.wait())
    watched: set[asyncio.Future[Any]] = {*waits, *helpers, interrupted}
    try:
        while True:
            done, watched = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            codes = [wait.result() for wait in waits if wait in done]
            for helper in done.intersection(helpers):
                helper.result()
            running = {number for number, wait in enumerate(waits) if not wait.done()}
            if interrupted in done or any(codes) or not running:
                return running
    finally:
        for future in (*waits, interrupted):
            future.cancel()
        await asyncio.gather(*waits, interrupted, return_exceptions=True)
