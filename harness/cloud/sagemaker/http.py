"""A small HTTP/1.1 client for containers, whose ports are reached through `Container.connect`.

Connections are kept and reused. The general-purpose clients spend several times longer on a request than the
loopback does; this one parses with httptools and does no more than the container contract needs.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httptools

__all__ = ["HttpClient", "Response", "StreamedResponse"]

CHUNK = 1 << 20

BUFFER = 1 << 20
"""Bytes of an answer read in parts that may wait to be taken."""


@dataclass(frozen=True)
class Response:
    """What a container answered.

    Attributes:
        status: HTTP status.
        headers: Names in lower case; of a repeated header the last.
        body: Whole body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class StreamedResponse:
    """What a container answers, whose body is read as it comes.

    Attributes:
        status: HTTP status.
        headers: As for `Response`.
    """

    def __init__(self, connection: _Connection, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        self.headers = headers
        self._connection = connection

    async def parts(self) -> AsyncIterator[bytes]:
        """The body, in the parts it arrives in.

        Raises:
            ConnectionError: The connection ended before the answer did.
        """
        while (part := await self._connection.next_part()) is not None:
            yield part


class _Connection(asyncio.Protocol):
    """One connection: one request at a time."""

    def __init__(self) -> None:
        self.open = True
        self.received = False
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Response] | None = None
        self._parts: asyncio.Queue[bytes | Exception | None] | None = None
        self._waiting = 0
        self._writable = asyncio.Event()
        self._writable.set()

    # asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # a socket's
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._parts is None and (self._answer is None or self._answer.done()):
            self.close()  # an answer nobody asked for: the connection is of no more use
            return
        self.received = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ConnectionError(f"the container does not speak HTTP: {error}"))

    def eof_received(self) -> None:
        self.connection_lost(None)

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        self._writable.set()
        if self._parts is None and (self._answer is None or self._answer.done()):
            return
        if self._until_close and self._in_body:
            self._complete()
        else:
            self._fail(ConnectionResetError("the container closed the connection"))

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # httptools calls these

    def on_message_begin(self) -> None:
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._in_body = True
        self._until_close = not {"content-length", "transfer-encoding"} & self._headers.keys()
        if self._streamed and self._parser.get_status_code() >= 200:
            assert self._answer is not None  # asked
            self._parts = asyncio.Queue()
            self._answer.set_result(Response(self._parser.get_status_code(), self._headers, b""))

    def on_body(self, body: bytes) -> None:
        if self._parts is None:
            self._body.append(body)
            return
        self._parts.put_nowait(body)
        self._waiting += len(body)
        if self._waiting > BUFFER and self._transport is not None:
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() >= 200:  # not "100 Continue"
            self.open = self.open and self._parser.should_keep_alive()
            self._complete()

    # used by the client

    async def ask(self, head: bytes, body: bytes, *, chunked: bool, streamed: bool = False) -> Response:
        """Send a request and wait for the answer; if `streamed`, only for its head.

        Raises:
            ConnectionError: The connection ended before the answer did.
        """
        assert self._transport is not None  # connected
        self._parser = httptools.HttpResponseParser(self)
        self._in_body = self._until_close = self.received = False
        self._streamed = streamed
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._answer = answer
        try:
            if chunked:
                await self._send_chunked(head, body)
            else:
                self._transport.write(head + body)
            return await answer
        except BaseException:  # a timeout, too: what comes now would be taken for the next answer
            self.close()
            raise
        finally:
            self._answer = None

    async def next_part(self) -> bytes | None:
        """The next part of the body of a streamed answer; None when it is over.

        Raises:
            ConnectionError: The connection ended before the answer did.
        """
        if self._parts is None:
            return None
        part = await self._parts.get()
        if isinstance(part, bytes):
            self._waiting -= len(part)
            if self._waiting <= BUFFER and self._transport is not None:
                self._transport.resume_reading()
            return part
        self._parts = None
        if part is not None:
            raise part
        return None

    @property
    def answered(self) -> bool:
        """The whole answer has been taken."""
        return self._parts is None

    async def _send_chunked(self, head: bytes, body: bytes) -> None:
        assert self._transport is not None  # connected
        self._transport.write(head)
        for start in range(0, len(body), CHUNK):
            part = body[start : start + CHUNK]
            self._transport.write(b"%x\r\n%b\r\n" % (len(part), part))
            await self._writable.wait()
        self._transport.write(b"0\r\n\r\n")

    def close(self) -> None:
        """Close the connection; harmless when it is."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    def _complete(self) -> None:
        if self._parts is not None:
            self._parts.put_nowait(None)
            return
        assert self._answer is not None  # asked
        response = Response(self._parser.get_status_code(), self._headers, b"".join(self._body))
        self._answer.set_result(response)

    def _fail(self, error: Exception) -> None:
        if self._parts is not None:
            self._parts.put_nowait(error)
        elif self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self.close()


class HttpClient:
    """Sends requests to one server.

    Args:
        connect: Makes a new, connected socket; raises ConnectionError when it cannot.
        agent: The User-Agent.
    """

    def __init__(self, connect: Callable[[], Awaitable[socket.socket]], *, agent: str) -> None:
        self._connect = connect
        self._agent = agent
        self._idle: deque[_Connection] = deque()
        self._closed = False

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        chunked: bool = False,
        timeout: float,
    ) -> Response:
        """Send a request and read the whole answer.

        Args:
            method: GET or POST.
            path: Begins with ``/``.
            headers: Sent besides Host, User-Agent and the body's length.
            body: The body.
            chunked: Send the body in chunks instead of telling its length.
            timeout: Real seconds for everything, connecting included.

        Raises:
            TimeoutError: No answer in time.
            ConnectionError: No connection, or it ended before the answer did.
        """
        head = self._head(method, path, headers or {}, None if chunked else len(body))
        async with asyncio.timeout(timeout):
            connection, response = await self._ask(head, body, chunked=chunked)
        self._release(connection)
        return response

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> AsyncIterator[StreamedResponse]:
        """Send a request, and read the answer's body as it comes, for as long as the context is open.

        Args:
            method: As for `request`, like the others.
            path: Begins with ``/``.
            headers: Sent besides Host, User-Agent and the body's length.
            body: The body.
            timeout: Real seconds until the body begins, connecting included.

        Raises:
            TimeoutError: No answer in time.
            ConnectionError: No connection, or it ended before the answer began.
        """
        head = self._head(method, path, headers, len(body))
        async with asyncio.timeout(timeout):
            connection, response = await self._ask(head, body, streamed=True)
        try:
            yield StreamedResponse(connection, response.status, response.headers)
        finally:
            if not connection.answered:  # what is still to come would be taken for the next answer
                connection.close()
            self._release(connection)

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._closed = True
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _ask(
        self, head: bytes, body: bytes, *, chunked: bool = False, streamed: bool = False
    ) -> tuple[_Connection, Response]:
        """Send a request over a connection that is idle, else over a new one."""
        connection = self._reuse()
        if connection is not None:
            try:
                return connection, await connection.ask(head, body, chunked=chunked, streamed=streamed)
            except ConnectionError:
                # A server may close a kept connection at any moment. If it has not begun to answer, it
                # has not taken the request, and a new connection may do.
                if connection.received:
                    raise
        sock = await self._connect()
        try:
            _, fresh = await asyncio.get_running_loop().create_connection(_Connection, sock=sock)
        except BaseException:
            sock.close()
            raise
        return fresh, await fresh.ask(head, body, chunked=chunked, streamed=streamed)

    def _release(self, connection: _Connection) -> None:
        """Keep a connection for the next request, if it can take one."""
        if connection.open and not self._closed:
            self._idle.append(connection)
        else:
            connection.close()

    def _reuse(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.popleft()  # in turn: a server's workers each have their own
            if connection.open:
                return connection
            connection.close()
        return None

    def _head(self, method: str, path: str, headers: Mapping[str, str], length: int | None) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost:8080", f"User-Agent: {self._agent}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if length is None:
            lines.append("Transfer-Encoding: chunked")
        elif length or method == "POST":
            lines.append(f"Content-Length: {length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
