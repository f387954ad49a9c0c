"""Passing connections on from a socket that a container reaches to the local cloud."""

from __future__ import annotations

import asyncio
import socket

__all__ = ["pass_on", "relay"]

CHUNK = 1 << 16


async def relay(listening: socket.socket, port: int) -> None:
    """Pass on what connects to a listening socket, until cancelled: then all its connections end, too.

    Args:
        listening: It is closed at the end.
        port: Of 127.0.0.1, where connections go.
    """
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.ensure_future(pass_on(port, reader, writer))
        connections.add(connection)
        connection.add_done_callback(connections.discard)

    server = await asyncio.start_server(connected, sock=listening)
    try:
        await asyncio.get_running_loop().create_future()  # until cancelled
    finally:
        server.close()
        for connection in connections:
            connection.cancel()


async def pass_on(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass a connection on to a port of 127.0.0.1, until both sides have said all or one breaks off.

    Args:
        port: Where it goes.
        reader: What comes from the container.
        writer: What goes to it.
    """
    ends = [writer]
    try:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        ends.append(inner_writer)
        async with asyncio.TaskGroup() as directions:
            directions.create_task(_copy(reader, inner_writer))
            directions.create_task(_copy(inner_reader, writer))
    except* OSError:  # nobody listens there, or one side broke off: the other must not wait for it
        pass
    finally:
        for end in ends:
            end.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction to its end, and say there that it has ended."""
    while chunk := await reader.read(CHUNK):
        writer.write(chunk)
        await writer.drain()
    writer.write_eof()
