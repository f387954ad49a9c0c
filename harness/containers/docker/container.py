"""One container on the engine, from create to removed."""

from __future__ import annotations

import asyncio
import re
import shlex
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

from docker.errors import APIError, NotFound
from docker.utils.socket import STDERR, STDOUT, frames_iter

from harness.containers.docker.engine import FAILURES, Engine, explanation
from harness.containers.docker.folders import Folders
from harness.containers.docker.networks import Network, Peers
from harness.containers.output import Lines
from harness.containers.runtime import ContainerSpec, Output
from harness.errors import ContainerError

__all__ = ["DockerContainer"]

NOT_FOUND, NOT_EXECUTABLE = 127, 126  # a shell's exit codes for a program that cannot be started

REMOVED = "it was removed from outside"

SHARED_MEMORY = 2**31
"""Bytes of /dev/shm, at most: through it data loaders hand batches to the trainer, and 64 MiB, Docker's own
default, is too little for that. Of a container with a memory limit, half of it."""


class DockerContainer:
    """A started container; see `harness.containers.runtime.Container`.

    Args:
        engine: Where it runs.
        spec: What it runs.
        folders: Its mounts.
        name: Its name on the engine.
        on_output: Takes its lines.
    """

    def __init__(
        self, engine: Engine, spec: ContainerSpec, folders: Folders, name: str, on_output: Output
    ) -> None:
        self.spec = spec
        self.out_of_memory = False
        self._engine = engine
        self._folders = folders
        self._name = name
        self._lines = {stream: Lines(on_output) for stream in (STDOUT, STDERR)}  # each has lines of its own
        self._loop = asyncio.get_running_loop()
        self._id = ""
        self._ports: dict[int, int] = {}
        self._removed = False
        self._exited: asyncio.Future[int] = self._loop.create_future()
        self._ended: asyncio.Task[int]

    # Start --------------------------------------------------------------------------------------------

    async def start(
        self,
        network: Network | None,
        environment: Mapping[str, str],
        labels: Mapping[str, str],
        on_end: Callable[[DockerContainer], object],
    ) -> None:
        """Create and start it.

        Raises:
            ContainerError: The engine refuses, or does not answer.
        """
        call = self._engine.call
        try:
            await call(self._start, network, environment, labels)
        except BaseException:
            with suppress(ContainerError):
                await asyncio.shield(call(self._remove))
            raise
        self._ended = asyncio.create_task(self._end(on_end), name=f"container {self.spec.name}")

    def _start(
        self, network: Network | None, environment: Mapping[str, str], labels: Mapping[str, str]
    ) -> None:
        """Blocks."""
        api = self._engine.api
        created = api.create_container_from_config(
            self._config(network, environment, labels, self._folders.make()), self._name
        )
        self._id = created["Id"]
        stream = api.attach_socket(self._id, {"stdout": 1, "stderr": 1, "stream": 1})
        try:
            api.start(self._id)
        except BaseException as error:
            _close(stream)
            if not isinstance(error, APIError):
                raise
            code = _exit_code(str(error.explanation))
            if code is None:
                raise
            deliver = self._loop.call_soon_threadsafe
            deliver(self._lines[STDERR].feed, f"{_reason(str(error.explanation))}\n".encode())
            deliver(self._exited.set_result, code)
            return
        reader = threading.Thread(target=self._read, args=(stream,), name=self._name, daemon=True)
        reader.start()
        if self.spec.ports:
            found = api.inspect_container(self._id)["NetworkSettings"]["Ports"] or {}
            for port in self.spec.ports:
                if published := found.get(f"{port}/tcp"):
                    self._ports[port] = int(published[0]["HostPort"])
            self._check_ports()

    def _check_ports(self) -> None:
        """See to it that the published ports are ports of this machine: the engine holds them from the start.

        Where it runs elsewhere, or this process in a container of its own, nobody would ever answer there.

        Raises:
            ContainerError: They are not.
        """
        engine = self._engine
        if engine.desktop or (engine.here and not any(map(_is_free, self._ports.values()))):
            return
        if engine.api.inspect_container(self._id)["State"]["Running"]:  # else they are free again
            raise ContainerError(
                "its ports cannot be reached: they are published on the loopback address of the Docker "
                f"engine at {engine.address}, which is not this machine's",
                hint="Use one on this machine, or --containers process; in a container, --network=host.",
            )

    def _config(
        self,
        network: Network | None,
        environment: Mapping[str, str],
        labels: Mapping[str, str],
        mounts: list[dict[str, Any]],
    ) -> dict[str, Any]:
        spec, api = self.spec, self._engine.api
        host: dict[str, Any] = {
            "mounts": mounts,
            "network_mode": network.name if network is not None else "none",
            "port_bindings": dict.fromkeys(spec.ports, ("127.0.0.1", None)),
            "shm_size": SHARED_MEMORY if spec.memory is None else min(SHARED_MEMORY, spec.memory // 2),
        }
        if spec.memory is not None:
            host |= {"mem_limit": spec.memory, "memswap_limit": spec.memory}
        if spec.cpus is not None:
            host["nano_cpus"] = int(min(spec.cpus, self._engine.processors or spec.cpus) * 1e9)
        if self._engine.desktop and spec.gateway is not None:
            host["extra_hosts"] = {"host.docker.internal": "host-gateway"}
        options: dict[str, Any] = {}
        if isinstance(spec.network, Peers):
            assert network is not None  # seen to by Networks.of
            assert spec.hostname is not None
            peer = api.create_endpoint_config(aliases=[spec.hostname])
            options["networking_config"] = api.create_networking_config({network.name: peer})
        config: dict[str, Any] = api.create_container_config(
            image=spec.image.payload.id,
            command=None if spec.arguments is None else list(spec.arguments),
            entrypoint=None if spec.entrypoint is None else list(spec.entrypoint),
            environment={**spec.environment, **environment},
            hostname=(spec.hostname or spec.name)[:63],
            labels=dict(labels),
            ports=list(spec.ports),
            host_config=api.create_host_config(**host),
            user="0:0",  # as on SageMaker, whatever the image's USER
            **options,
        )
        if spec.entrypoint is not None and spec.arguments is None:
            config["Cmd"] = []  # the image's CMD belongs to the image's ENTRYPOINT
        return config

    # While it runs ------------------------------------------------------------------------------------

    def _read(self, stream: Any) -> None:
        """Deliver its output and its exit code. A thread of its own, until the container or the engine ends.

        Not one of the engine's threads: any number of containers may run, and each can be stopped.
        """
        deliver = self._loop.call_soon_threadsafe
        with suppress(RuntimeError):  # the event loop is closed: nobody listens any more
            try:
                for number, chunk in frames_iter(stream, tty=False):
                    deliver(self._lines[number].feed, chunk)
            except (*FAILURES, ValueError):
                pass  # waiting for its end finds out what that means
            finally:
                _close(stream)
            try:
                deliver(self._exited.set_result, self._follow())
            except ContainerError as error:
                deliver(self._exited.set_exception, error)

    def _follow(self) -> int:
        """Block until it has ended; its exit code.

        Raises:
            ContainerError: The engine does not say.
        """
        try:
            return int(self._engine.api.wait(self._id, timeout=None)["StatusCode"])
        except NotFound:
            if self._removed:  # by ourselves, while this was waiting
                return 128 + 9
            reason = REMOVED
        except FAILURES as error:
            reason = explanation(error)
        raise self._lost(reason)

    def _lost(self, reason: str) -> ContainerError:
        return ContainerError(f"container {self._name} cannot be followed to its end: {reason}")

    async def _end(self, on_end: Callable[[DockerContainer], object]) -> int:
        try:
            code = await self._exited
            for lines in self._lines.values():
                lines.end()
            await self._engine.call(self._finish, code)
            return code
        finally:
            with suppress(ContainerError):  # it is found by its label later
                await self._engine.call(self._remove)
            on_end(self)

    def _finish(self, code: int) -> None:
        """Take over what it leaves. Blocks.

        Raises:
            ContainerError: It was removed meanwhile, or the engine does not answer.
        """
        removed = False
        try:
            if code:
                state = self._engine.api.inspect_container(self._id)["State"]
                removed = state["Status"] in ("removing", "dead")
                self.out_of_memory = self.spec.memory is not None and bool(state["OOMKilled"])
            if not removed:
                self._folders.fetch(self._id)
                return
            reason = REMOVED
        except NotFound:
            reason = REMOVED
        except FAILURES as error:
            reason = explanation(error)
        if not self._removed:
            raise self._lost(reason)

    def _remove(self) -> None:
        """Remove it with its volumes. Blocks."""
        self._removed = True
        if self._id:
            with suppress(NotFound):
                self._engine.api.remove_container(self._id, force=True, v=True)
        self._folders.remove()

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    async def refresh(self, target: PurePosixPath) -> None:
        if not self._ended.done():
            await self._engine.call(self._folders.fetch, self._id, [target])

    async def stop(self, grace: float) -> int:
        await self._signal(self.spec.image.payload.stop_signal.value)
        done, _ = await asyncio.wait({self._ended}, timeout=grace)
        return await self.wait() if done else await self.kill()

    async def kill(self) -> int:
        await self._signal(9)
        return await self.wait()

    async def _signal(self, number: int) -> None:
        if not self._ended.done():
            with suppress(ContainerError):  # it has just ended, or `wait` says why nobody answers
                await self._engine.call(self._engine.api.kill, self._id, number)

    async def connect(self, port: int) -> socket.socket:
        if port not in self._ports:
            raise ConnectionRefusedError(f"container {self.spec.name} does not offer port {port}")
        if self._ended.done():
            raise ConnectionError(f"container {self.spec.name} has ended")
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            await self._loop.sock_connect(connection, ("127.0.0.1", self._ports[port]))
        except BaseException:
            connection.close()
            raise
        return connection

    def reproduce(self) -> str:
        """See `Container.reproduce`. A local cloud that it may reach is reached on this machine's network."""
        spec = self.spec
        words = ["docker", "run", "--rm", "--user=0:0", f"--hostname={spec.hostname or spec.name}"]
        environment = dict(spec.environment)
        if spec.gateway is not None:
            words.append("--network=host")
            words.remove(f"--hostname={spec.hostname or spec.name}")
            environment |= dict.fromkeys(spec.gateway.variables, f"http://127.0.0.1:{spec.gateway.port}")
        elif not spec.ports:
            words.append("--network=none")
        words += [f"--publish=127.0.0.1:{port}:{port}" for port in spec.ports if spec.gateway is None]
        words += [f"--env={name}={value}" for name, value in environment.items()]
        for mount in spec.mounts:
            words.append(f"--volume={mount.source}:{mount.target}{':ro' if mount.read_only else ''}")
        if spec.memory is not None:
            words.append(f"--memory={spec.memory}")
        if spec.cpus is not None:
            words.append(f"--cpus={spec.cpus:g}")
        entrypoint = list(spec.entrypoint or ())
        if entrypoint:
            words.append(f"--entrypoint={entrypoint[0]}")
        words += [spec.image.digest, *entrypoint[1:], *(spec.arguments or ())]
        return shlex.join(words)


def _close(stream: Any) -> None:
    """Close what `attach_socket` gave: over a Unix socket it is a file, whose end leaves the socket open."""
    with suppress(*FAILURES):
        getattr(stream, "_sock", stream).close()
        stream.close()


def _is_free(port: int) -> bool:
    """Nobody on this machine holds a port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _exit_code(explanation: str) -> int | None:
    """What a shell says when a program cannot be started; None when the engine means something else."""
    if re.search(r"executable file not found|no such file or directory", explanation):
        return NOT_FOUND if "exec" in explanation else None
    if "permission denied" in explanation and "exec" in explanation:
        return NOT_EXECUTABLE
    return None


def _reason(explanation: str) -> str:
    """The end of what the engine says, which names the program: ``exec: "trian": executable ...``."""
    match = re.search(r"exec: .*", explanation, re.DOTALL)
    return (match[0] if match else explanation).removesuffix(": unknown").strip()
