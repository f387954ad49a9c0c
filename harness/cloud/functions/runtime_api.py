"""The Lambda Runtime API, as one environment sees it.

The runtime interface client asks for the next invocation (and waits), posts a response or an error, and asks
again; or it reports that initialising failed. Each environment has a server of its own on the loopback
interface, so whoever speaks is that environment.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Protocol

import httptools

PREFIX = "/2018-06-01/runtime"
LARGEST_RESPONSE = 6_291_556
"""Bytes a function may answer with; the number in AWS's own message."""


class Runtime(Protocol):
    """Who is told what the environment says."""

    def on_next(self) -> None:
        """It is ready for an invocation: answer with `RuntimeApi.deliver`."""

    def on_response(self, request_id: str, body: bytes) -> bool:
        """It has a result; False if no such invocation is under way."""

    def on_error(self, request_id: str, body: bytes) -> bool:
        """The handler raised; False if no such invocation is under way."""

    def on_init_error(self, body: bytes) -> None:
        """The function could not be loaded."""

    def on_oversize(self, request_id: str, size: int) -> None:
        """It has a result that is larger than `LARGEST_RESPONSE`."""


class RuntimeApi:
    """Serves the Runtime API to one environment.

    Args:
        runtime: Is told what the environment says.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.address = ""
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._waiting: _Connection | None = None

    async def start(self) -> None:
        """Listen; `address` is ``host:port`` afterwards."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"

    def close(self) -> None:
        """Stop listening and drop the connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in tuple(self._connections):
            connection.close()

    def deliver(self, headers: Mapping[str, str], body: bytes) -> None:
        """Answer the environment's request for the next invocation.

        Nothing happens when it no longer waits for an answer: it has ended, or is about to.
        """
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.respond(200, body, headers)

    # Called by the connections -----------------------------------------------------------------------

    def opened(self, connection: _Connection) -> None:
        self._connections.add(connection)

    def lost(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        if self._waiting is connection:
            self._waiting = None

    def handle(self, connection: _Connection, method: str, path: str, body: bytes, size: int) -> None:
        match method, path.removeprefix(PREFIX).split("/")[1:]:
            case "GET", ["invocation", "next"]:
                self._waiting = connection
                self.runtime.on_next()
            case "POST", ["invocation", request_id, "response"] if size > LARGEST_RESPONSE:
                self.runtime.on_oversize(request_id, size)
                connection.respond_error(413, "RequestEntityTooLarge", "Exceeded maximum payload size")
            case "POST", ["invocation", request_id, "response"]:
                self._accept(connection, self.runtime.on_response(request_id, body))
            case "POST", ["invocation", request_id, "error"]:
                self._accept(connection, self.runtime.on_error(request_id, body))
            case "POST", ["init", "error"]:
                self.runtime.on_init_error(body)
                self._accept(connection, True)
            case _:
                connection.respond_error(404, "NotFound", f"{method} {path} is not part of the Runtime API")

    @staticmethod
    def _accept(connection: _Connection, known: bool) -> None:
        if known:
            connection.respond(202, b'{"status":"OK"}')
        else:
            connection.respond_error(400, "InvalidRequestID", "Invalid request ID")


class _Connection(asyncio.Protocol):
    """One HTTP/1.1 connection of the environment; the callbacks are httptools'."""

    def __init__(self, api: RuntimeApi) -> None:
        self._api = api
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._body = bytearray()
        self._size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._api.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._api.lost(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"expect" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size <= LARGEST_RESPONSE:
            self._body += body

    def on_message_complete(self) -> None:
        method, path = self._parser.get_method().decode(), self._url.decode("latin-1")
        body, size = bytes(self._body), self._size
        self._reset()
        self._api.handle(self, method, path, body, size)

    def respond(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        if self._transport is None:
            return
        lines = [f"HTTP/1.1 {status} {'OK' if status == 200 else 'Accepted' if status == 202 else 'Error'}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
        self._transport.write("\r\n".join(lines).encode() + body)

    def respond_error(self, status: int, kind: str, message: str) -> None:
        self.respond(status, json.dumps({"errorType": kind, "errorMessage": message}).encode())

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
