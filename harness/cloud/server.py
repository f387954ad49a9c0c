"""The one port of a local cloud: an ASGI application on a loopback socket, served by uvicorn's protocol.

uvicorn's own `Server` is not used: it installs signal handlers, wakes up ten times a second, and takes a few
tenths of a second to stop.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from harness.errors import EnvironmentFault

HOST = "127.0.0.1"
_KEEP_ALIVE = 75  # seconds an idle connection is kept; SDKs hold theirs for about a minute
_GRACE = 0.5  # seconds that requests under way get to finish when the server stops


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, with the head and the body of an answer in one piece on the wire.

    It writes them one after the other, which costs each side a system call, and the client a second look.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # a socket's
        super().connection_made(_Gathering(transport, self.loop))  # type: ignore[arg-type]  # it acts as one


class _Gathering:
    """A transport that holds a piece back until the next one comes, or the event loop's next turn."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._gathered: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._gathered.append(data)
        if len(self._gathered) == 1:
            self._loop.call_soon(self._flush)
        else:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._gathered:
            pieces, self._gathered = self._gathered, []
            self._transport.writelines(pieces)


class Server:
    """Serves an ASGI application on 127.0.0.1.

    Attributes:
        port: The port it listens on.
    """

    def __init__(self, listener: asyncio.Server, state: ServerState, port: int) -> None:
        self.port = port
        self._listener = listener
        self._state = state

    @classmethod
    async def start(cls, app: Any, port: int) -> Server:
        """Listen on a port, 0 for any that is free.

        Raises:
            EnvironmentFault: The port is taken, or may not be used.
        """
        config = uvicorn.Config(
            app,
            http=HttpToolsProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE,
        )
        config.load()
        state = ServerState()
        bound = _bind(port)
        listener = await asyncio.get_running_loop().create_server(
            lambda: _Protocol(config=config, server_state=state, app_state={}),
            sock=bound,
            backlog=2048,
        )
        return cls(listener, state, bound.getsockname()[1])

    async def stop(self) -> None:
        """Stop listening, give requests under way a moment, close every connection."""
        self._listener.close()
        for connection in tuple(self._state.connections):
            connection.shutdown()
        if tasks := tuple(self._state.tasks):
            _, late = await asyncio.wait(tasks, timeout=_GRACE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for connection in tuple(self._state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # the transports close on the next turn of the loop


def _bind(port: int) -> socket.socket:
    # The protocol is named for asyncio's sake: it switches Nagle's delay off for sockets that say TCP.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
        # A second listener may only bind on some systems, and is refused here.
        bound.listen(2048)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise EnvironmentFault(
                f"port {port} is in use", hint="stop what listens there, or choose another port"
            ) from error
        raise EnvironmentFault(f"cannot listen on port {port}: {error.strerror}") from error
    try:
        socket.create_connection(bound.getsockname(), timeout=1).close()
    except OSError as error:
        bound.close()
        raise EnvironmentFault(
            f"{HOST} cannot be reached: {error.strerror or error}",
            hint="bring the loopback interface up, e.g. with: ip link set lo up",
        ) from error
    bound.setblocking(False)
    return bound
