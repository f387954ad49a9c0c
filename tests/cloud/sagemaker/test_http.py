from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from harness.clock import run
from harness.cloud.sagemaker.http import HttpClient

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def against(script: Script, scenario: Callable[[HttpClient], Awaitable[None]]) -> list[int]:
    """Run a scenario against a server that follows a script; the number of each connection."""
    connections: list[int] = []

    async def main() -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(len(connections))
            try:
                await script(reader, writer)
            finally:
                writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]

        async def connect() -> socket.socket:
            sock = socket.socket()
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
            return sock

        client = HttpClient(connect, agent="test/1")
        try:
            await scenario(client)
        finally:
            client.close()
            server.close()

    run(main())
    return connections


def answers(*responses: bytes, keep: bool = True) -> Script:
    """One connection after another gets the responses in turn."""
    left = list(responses)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while left:
            if not await reader.readuntil(b"\r\n\r\n"):
                return
            writer.write(left.pop(0))
            if not keep:
                return
        await reader.read()

    return script


async def get(client: HttpClient) -> tuple[int, bytes]:
    response = await client.request("GET", "/", timeout=5)
    return response.status, response.body


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3\r\n ho\r\n0\r\n\r\n", b"hi ho"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    ],
)
def test_forms_of_answers(raw: bytes, body: bytes) -> None:
    async def scenario(client: HttpClient) -> None:
        assert await get(client) == (200, body)
        assert await get(client) == (200, body)

    assert against(answers(raw, raw), scenario) == [0]


def test_an_answer_may_end_with_the_connection() -> None:
    async def scenario(client: HttpClient) -> None:
        assert await get(client) == (200, b"until the end")

    against(answers(b"HTTP/1.0 200 OK\r\n\r\nuntil the end", keep=False), scenario)


def test_headers_are_sent_and_read() -> None:
    sent: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent.append(await reader.readuntil(b"\r\n\r\n"))
        sent.append(await reader.readexactly(4))
        writer.write(b"HTTP/1.1 201 Made\r\nX-Thing: a b\r\nContent-Length: 0\r\n\r\n")

    async def scenario(client: HttpClient) -> None:
        response = await client.request("POST", "/x", headers={"Accept": "a/b"}, body=b"body", timeout=5)
        assert (response.status, response.headers["x-thing"]) == (201, "a b")

    against(script, scenario)
    assert sent == [
        b"POST /x HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: test/1\r\nAccept: a/b\r\n"
        b"Content-Length: 4\r\n\r\n",
        b"body",
    ]


def test_a_connection_the_server_does_not_keep_is_not_reused() -> None:
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"

    async def scenario(client: HttpClient) -> None:
        assert await get(client) == (200, b"hi")
        assert await get(client) == (200, b"hi")

    assert against(answers(closing, closing), scenario) == [0, 1]


def test_a_kept_connection_that_the_server_dropped_is_replaced() -> None:
    dropped = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        await writer.drain()
        if not dropped.is_set():  # read the next request on this connection, and drop it
            dropped.set()
            await reader.readuntil(b"\r\n\r\n")

    async def scenario(client: HttpClient) -> None:
        assert await get(client) == (200, b"hi")
        assert await get(client) == (200, b"hi")

    assert against(script, scenario) == [0, 1]


@pytest.mark.parametrize(
    "raw", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", b"SSH-2.0-OpenSSH\r\n\r\n"]
)
def test_an_answer_that_breaks_off_or_is_no_http(raw: bytes) -> None:
    async def scenario(client: HttpClient) -> None:
        with pytest.raises(ConnectionError):
            await get(client)

    assert against(answers(raw, raw, keep=False), scenario) == [0]


def test_the_time_for_an_answer_is_limited() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def scenario(client: HttpClient) -> None:
        with pytest.raises(TimeoutError):
            await client.request("GET", "/", timeout=0.05)

    against(script, scenario)


def test_a_large_body_in_chunks() -> None:
    body = bytes(range(256)) * 20_000

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Transfer-Encoding: chunked" in head
        assert b"Content-Length" not in head
        received = b""
        while size := int(await reader.readline(), 16):
            received += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + (b"y" if received == body else b"n"))

    async def scenario(client: HttpClient) -> None:
        response = await client.request("POST", "/", body=body, chunked=True, timeout=5)
        assert response.body == b"y"

    against(script, scenario)
