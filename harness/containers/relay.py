"""Passing connections on from a socket that a container reaches to the local cloud."""

from __future__ import annotations

import asyncio
from contextlib import suppress

__all__ = ["pass_on"]

CHUNK = 1 << 16


async def pass_on(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass a connection on to a port of 127.0.0.1, until both sides have said all.

    Args:
        port: Where it goes.
        reader: What comes from the container.
        writer: What goes to it.
    """
    try:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        writer.close()
        return
    try:
        await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))
    finally:
        inner_writer.close()
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction to its end, and say there that it has ended."""
    with suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()
