"""The HTTP face of the local cloud: one ASGI application for all of AWS."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from email.utils import formatdate
from typing import Any, Protocol
from urllib.parse import urlsplit

from harness.cloud.addressing import Address, host_name, is_local, is_relay, locate
from harness.cloud.messages import HttpRequest, HttpResponse, dump

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PREFIX = "/_harness/"
"""Paths that are the harness's own; no bucket can have that name."""

BODY_LIMIT = 5 * 1024**3
"""Bytes a request may carry: the largest object S3 takes in one request."""


class Backend(Protocol):
    """What stands behind the gateway."""

    async def answer(self, address: Address, request: HttpRequest) -> HttpResponse:
        """Carry out a request for a service."""

    def health(self) -> Mapping[str, Any]:
        """What ``GET /_harness/health`` answers."""


class Gateway:
    """The ASGI application.

    Args:
        backend: Carries out requests for AWS services.
        routes: Applications mounted under ``/_harness/<name>``, by path prefix; they see the full path.
    """

    def __init__(self, backend: Backend, routes: Mapping[str, App]) -> None:
        self._backend = backend
        self._routes = routes
        self._dated = (0, b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"  # neither lifespan nor websockets are configured
        request = HttpRequest(
            method=scope["method"],
            path=scope["raw_path"].decode("latin-1"),
            query=scope["query_string"].decode("latin-1"),
            headers=_headers(scope["headers"]),
            body=b"",
        )
        refusal = _refusal(request)
        if refusal is None and request.path.startswith(PREFIX):
            if route := self._route(request.path):
                await route(scope, receive, send)
                return
            await self._send(self._own(request), send)
            return
        if refusal is None:
            refusal = await _read_body(request, receive)
        response = refusal or await self._backend.answer(locate(request), request)
        await self._send(response, send)

    def _route(self, path: str) -> App | None:
        for prefix, app in self._routes.items():
            if path == prefix or path.startswith(prefix.rstrip("/") + "/"):
                return app
        return None

    def _own(self, request: HttpRequest) -> HttpResponse:
        if request.path.rstrip("/") == PREFIX + "health" and request.method in ("GET", "HEAD"):
            return _json(200, {"status": "ok", **self._backend.health()})
        return _json(404, {"message": f"nothing is at {request.path}"})

    async def _send(self, response: HttpResponse, send: Send) -> None:
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
            for name, value in response.headers
        ]
        headers.append((b"date", self._date()))
        body = response.body
        if isinstance(body, bytes):
            if not any(name == b"content-length" for name, _ in headers) and response.status not in (
                204,
                304,
            ):
                headers.append((b"content-length", b"%d" % len(body)))
            await send({"type": "http.response.start", "status": response.status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await _stream(body, send)

    def _date(self) -> bytes:
        """The Date header, made once a second. Real time: SDKs correct their clocks by it."""
        now = int(time.time())
        if now != self._dated[0]:
            self._dated = (now, formatdate(now, usegmt=True).encode())
        return self._dated[1]


async def _stream(body: AsyncIterator[bytes], send: Send) -> None:
    async for piece in body:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _headers(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    return headers


def _refusal(request: HttpRequest) -> HttpResponse | None:
    """The answer to a request that may come from a web page rather than from a program of the user's."""
    host = host_name(request)
    if not is_local(host) and not is_relay(host):
        return _denied(f"this cloud answers requests for 127.0.0.1 and localhost, not for {host}")
    origin = request.headers.get("origin")
    if origin is not None and not is_local(urlsplit(origin).hostname or origin):
        return _denied(f"this cloud answers no web page from {origin}")
    return None


async def _read_body(request: HttpRequest, receive: Receive) -> HttpResponse | None:
    """Read the body into the request; the answer to it when it is too large."""
    if int(request.headers.get("content-length", "0")) > BODY_LIMIT:
        return _too_large()
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return _json(
                400, {"__type": "RequestTimeout", "message": "the request ended before its body did"}
            )
        if piece := message.get("body"):
            size += len(piece)
            if size > BODY_LIMIT:
                return _too_large()
            pieces.append(piece)
        if not message.get("more_body"):
            break
    request.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    return None


def _too_large() -> HttpResponse:
    return _json(413, {"__type": "RequestEntityTooLargeException", "message": "the request is too large"})


def _denied(message: str) -> HttpResponse:
    return _json(403, {"__type": "AccessDeniedException", "message": message})


def _json(status: int, document: Mapping[str, Any]) -> HttpResponse:
    return HttpResponse(status, [("Content-Type", "application/json")], dump(document))
