"""The ``process`` runtime: containers without Docker.

An image is a folder of what its Dockerfile copies and a Python environment of what it installs
(`harness.containers.build`); the rest of it is this machine. A container is a process tree in namespaces of
its own (`harness.containers.sandbox`). Where this machine does not let an ordinary user make namespaces, the
program runs as it is, told by environment variables where its folders and its port are, and
`ProcessRuntime.warnings` says so.
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from harness.containers.build import build
from harness.containers.launch import (
    BASE_FOLDER,
    Plan,
    Support,
    plan_with_namespaces,
    plan_without_namespaces,
    probe,
)
from harness.containers.leftover import kill_marked
from harness.containers.output import Lines
from harness.containers.peers import Peers, tunnel_problem
from harness.containers.relay import relay
from harness.containers.runtime import ContainerSpec, Image, ImageSource, Output
from harness.containers.session import Session, remove_tree
from harness.errors import ContainerError

__all__ = ["ProcessContainer", "ProcessRuntime"]

KILL_PATIENCE = 5.0  # real seconds until a container that cannot be killed from inside is killed from outside


# The runtime ------------------------------------------------------------------------------------------


class ProcessRuntime:
    """Runs containers as processes of this machine.

    Args:
        session: Where running containers are recorded, so that they can be cleared away if we are killed.
        namespaces: Leave them out when False; use them where possible when None.

    Attributes:
        warnings: In what way containers here differ from containers on AWS, one sentence each.
    """

    name = "process"

    def __init__(
        self,
        *,
        session: Session | None = None,
        namespaces: bool | None = None,
    ) -> None:
        self.warnings: list[str] = []
        self._session = session
        self._support = probe() if namespaces is None else Support(namespaces, namespaces and probe().overlay)
        self._containers: set[ProcessContainer] = set()
        self._folder: Path | None = None
        if not self._support.namespaces:
            reason = f" ({self._support.reason})" if self._support.reason else ""
            self._warn(
                f"containers run without namespaces{reason}: they share this machine's network and files, "
                "and find their folders by SAGEMAKER_BASE_DIR and their port by SAGEMAKER_BIND_TO_PORT"
            )

    async def build(self, source: ImageSource, on_progress: Output | None = None) -> Image:
        """See `ContainerRuntime.build`."""
        image = await asyncio.to_thread(build, source, on_progress or (lambda line: None))
        for warning in image.payload.warnings:
            self._warn(f"image {source.name}: {warning}")
        return image

    async def network(self, name: str, hosts: Sequence[str]) -> Peers:
        """See `ContainerRuntime.network`."""
        problem = tunnel_problem() if self._support.namespaces else "containers run without namespaces"
        if problem is not None:
            raise ContainerError(
                f"this machine cannot make a network for {' and '.join(hosts)}: {problem}",
                hint="Use Docker, or let this user open /dev/net/tun.",
            )
        return Peers(name, hosts)

    async def start(self, spec: ContainerSpec, on_output: Output) -> ProcessContainer:
        """See `ContainerRuntime.start`."""
        plan = self._plan(spec)
        container = ProcessContainer(spec, plan, self._session)
        self._containers.add(container)
        try:
            await container.start(on_output, self._containers.discard)
        except BaseException:
            self._containers.discard(container)
            raise
        return container

    async def close(self) -> None:
        """See `ContainerRuntime.close`."""
        await asyncio.gather(*(container.kill() for container in tuple(self._containers)))
        if self._folder is not None:
            remove_tree(self._folder)
            self._folder = None

    def _warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)

    def _plan(self, spec: ContainerSpec) -> Plan:
        for mount in spec.mounts:
            if not mount.source.exists():
                raise ContainerError(
                    f"container {spec.name}: {mount.source} does not exist, so it cannot be mounted"
                )
        if not self._support.namespaces:
            folder = Path(tempfile.mkdtemp(prefix=f"{spec.name}-", dir=self._scratch()))
            return plan_without_namespaces(spec, folder)
        return plan_with_namespaces(spec, overlay=self._support.overlay)

    def _scratch(self) -> Path:
        if self._session is not None:
            return self._session.folder("containers")
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="harness-containers-"))
        return self._folder


# A running container ----------------------------------------------------------------------------------


class ProcessContainer:
    """A started container; see `harness.containers.runtime.Container`."""

    def __init__(self, spec: ContainerSpec, plan: Plan, session: Session | None) -> None:
        self.spec = spec
        self.out_of_memory = False
        self._plan = plan
        self._session = session
        self._process: asyncio.subprocess.Process
        self._channel: _Channel
        self._relay: asyncio.Future[None] | None = None
        self._ended: asyncio.Task[int]

    async def start(self, on_output: Output, on_end: Callable[[ProcessContainer], object]) -> None:
        """Start it; returns once the program runs."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            self._channel = _Channel(ours, self._receive)
            supervised = ("--control", str(theirs.fileno()), "--owner", str(os.getpid()))
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *self._plan.command(*supervised),
                    env=self._plan.process_environment(),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,  # Ctrl-C is for the harness, which then decides
                )
            except BaseException:
                self._channel.close()
                raise
        if self._session is not None:
            self._session.record(self._process.pid)
        self._ended = asyncio.create_task(self._run(on_output, on_end), name=f"container {self.spec.name}")
        try:
            problem = await self._channel.ready
        except BaseException:
            await asyncio.shield(self.kill())
            raise
        if problem is not None:
            await self._ended
            raise ContainerError(f"container {self.spec.name} cannot be set up: {problem}")

    def _receive(self, kind: bytes, descriptors: list[int]) -> None:
        """Something that the container's init says unasked; nothing at all when it has ended."""
        if kind == b"m":
            self.out_of_memory = True
        elif kind == b"t":
            assert isinstance(self.spec.network, Peers)  # only then there is an interface
            assert self.spec.hostname is not None
            self.spec.network.attach(self.spec.hostname, descriptors[0])
        elif kind == b"l":
            assert self.spec.gateway is not None  # only then it listens
            listening = socket.socket(fileno=descriptors[0])
            self._relay = asyncio.ensure_future(relay(listening, self.spec.gateway.port))
        elif not kind and not self._plan.namespaces:
            # Somebody may have killed the sandbox, and only it sees to it that the others end.
            kill_marked(f"{BASE_FOLDER}={self._plan.environment[BASE_FOLDER]}")

    async def _run(self, on_output: Output, on_end: Callable[[ProcessContainer], object]) -> int:
        assert self._process.stdout is not None
        try:
            lines = Lines(on_output)
            while chunk := await self._process.stdout.read(1 << 16):
                lines.feed(chunk)
            lines.end()
            code = await self._process.wait()
        except BaseException:
            self._process.kill()
            await self._process.wait()
            raise
        finally:
            self._channel.close()
            if self._relay is not None:
                self._relay.cancel()
            if isinstance(self.spec.network, Peers) and self.spec.hostname is not None:
                self.spec.network.detach(self.spec.hostname)
            if self._session is not None:
                self._session.forget(self._process.pid)
            on_end(self)
        return code if code >= 0 else 128 - code

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    async def refresh(self, target: PurePosixPath) -> None:
        """Nothing to do: mounts are this machine's own folders."""

    async def stop(self, grace: float) -> int:
        with suppress(ProcessLookupError):
            self._process.send_signal(self._plan.stop_signal)
        done, _ = await asyncio.wait({self._ended}, timeout=grace)
        return await self.wait() if done else await self.kill()

    async def kill(self) -> int:
        # Asked from inside, all of the container is gone when the sandbox reports the end.
        self._channel.ask_to_kill()
        done, _ = await asyncio.wait({self._ended}, timeout=KILL_PATIENCE)
        if not done:
            with suppress(ProcessLookupError):
                self._process.kill()
        return await self.wait()

    async def connect(self, port: int) -> socket.socket:
        if port not in self.spec.ports:
            raise ConnectionRefusedError(f"container {self.spec.name} does not offer port {port}")
        if self._ended.done():
            raise ConnectionError(f"container {self.spec.name} has ended")
        if self._plan.namespaces:
            connection = await self._channel.new_socket()
        else:
            connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            port = self._plan.ports.get(port, port)
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        except BaseException:
            connection.close()
            raise
        return connection

    def reproduce(self) -> str:
        return self._plan.shell_command()


class _Channel:
    """The harness's end of the socket to a container's init.

    Attributes:
        ready: Done when the program is started, with None, or with the reason why it is not.
    """

    def __init__(self, end: socket.socket, on_message: Callable[[bytes, list[int]], object]) -> None:
        end.setblocking(False)
        self._on_message = on_message
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._problem: bytes | None = None
        self._waiting: deque[asyncio.Future[socket.socket]] = deque()
        self._sending = asyncio.Lock()
        self.ready: asyncio.Future[str | None] = self._loop.create_future()
        self._loop.add_reader(end, self._receive)

    async def new_socket(self) -> socket.socket:
        """A TCP socket, not connected, of the container's network."""
        answer: asyncio.Future[socket.socket] = self._loop.create_future()
        async with self._sending:
            self._waiting.append(answer)
            with suppress(BrokenPipeError, ConnectionResetError):  # then `answer` gets its error, too
                await self._loop.sock_sendall(self._end, b"s")
        return await answer

    def ask_to_kill(self) -> None:
        with suppress(OSError):  # it has ended, or is about to
            self._end.send(b"k")

    def close(self) -> None:
        if self._end.fileno() < 0:
            return
        while self._receive():  # what was said last may decide how it ended
            pass
        self._loop.remove_reader(self._end)
        self._end.close()
        if not self.ready.done():
            problem = self._problem or b"the process that was to set it up has died"
            self.ready.set_result(problem.decode(errors="replace"))
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(ConnectionError("the container has ended"))

    def _receive(self) -> bool:
        """Take one message; whether there was one."""
        try:
            message, descriptors, _, _ = socket.recv_fds(self._end, 1 if self._problem is None else 4096, 1)
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionResetError:
            message, descriptors = b"", []
        if not message:
            if self._loop.remove_reader(self._end):
                self._on_message(b"", [])
        elif self._problem is not None:
            self._problem += message
        elif message == b"r":
            if not self.ready.done():  # whoever waited has gone away
                self.ready.set_result(None)
        elif message in (b"l", b"m", b"t"):
            self._on_message(message, descriptors)
        elif message == b"e":
            self._problem = b""
        else:
            self._answer(descriptors)
        return bool(message)

    def _answer(self, descriptors: list[int]) -> None:
        answer = self._waiting.popleft()
        received = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        if answer.done():  # whoever asked has gone away
            for unused in received:
                unused.close()
        elif received:
            answer.set_result(received[0])
        else:
            answer.set_exception(
                ConnectionError("the container has no file descriptor left for a connection")
            )
