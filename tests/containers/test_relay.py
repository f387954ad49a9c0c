from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from harness.clock import run
from harness.containers.relay import relay

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Cloud:
    """What the relay leads to: it notes its connections and leaves them alone."""

    def __init__(self) -> None:
        self.connections: asyncio.Queue[Streams] = asyncio.Queue()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.connections.put((reader, writer))


def relayed(body: Callable[[Streams, Streams, asyncio.Task[None]], Awaitable[None]]) -> None:
    """Run a test with both outer ends of a relayed connection, and with the relay."""

    async def main() -> None:
        problems: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, problem: problems.append(problem))
        cloud = Cloud()
        listening = socket.create_server(("127.0.0.1", 0))
        address = listening.getsockname()
        server = await asyncio.start_server(cloud.connected, "127.0.0.1")
        task = asyncio.create_task(relay(listening, server.sockets[0].getsockname()[1]))
        client = await asyncio.open_connection(*address)
        async with asyncio.timeout(10):
            inner = await cloud.connections.get()
            await body(client, inner, task)
        for _, writer in (client, inner):
            writer.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)
        server.close()
        assert problems == []

    run(main())


def test_one_side_may_end_before_the_other() -> None:
    async def body(client: Streams, cloud: Streams, task: asyncio.Task[None]) -> None:
        client[1].write(b"question")
        client[1].write_eof()
        assert await cloud[0].read() == b"question"
        cloud[1].write(b"answer")
        cloud[1].write_eof()
        assert await client[0].read() == b"answer"

    relayed(body)


@pytest.mark.parametrize("broken", [0, 1], ids=["the container", "the cloud"])
def test_when_one_side_breaks_off_the_other_ends(broken: int) -> None:
    async def body(client: Streams, cloud: Streams, task: asyncio.Task[None]) -> None:
        ends = (client, cloud)
        linger = struct.pack("ii", 1, 0)  # closing then resets the connection
        ends[broken][1].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        ends[broken][1].transport.abort()
        with suppress(ConnectionError):
            assert await ends[1 - broken][0].read() == b""

    relayed(body)


def test_both_sides_end_with_the_relay() -> None:
    async def body(client: Streams, cloud: Streams, task: asyncio.Task[None]) -> None:
        task.cancel()
        assert [await reader.read() for reader, _ in (client, cloud)] == [b"", b""]

    relayed(body)


def test_when_nobody_listens_the_connection_ends() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        listening = socket.create_server(("127.0.0.1", 0))
        address = listening.getsockname()
        task = asyncio.create_task(relay(listening, port))
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection(*address)
            assert await reader.read() == b""
        writer.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(main())
