"""The harness's side of the template process (`zygote`, where the protocol is described).

One `TemplateProcess` serves all environments of one interpreter. It lies outside the harness's process, so
whatever ends the harness also ends it, and with it every environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.cloud.functions import runtimes, zygote
from harness.cloud.functions.runtimes import Runtime
from harness.cloud.functions.zygote import layout
from harness.containers import sandbox
from harness.errors import EnvironmentFault

READ_AHEAD = (
    "sagemaker",
    "s3",
    "stepfunctions",
    "sagemaker-runtime",
    "sts",
    "dynamodb",
    "sqs",
    "sns",
    "logs",
)
"""Services whose models are read before anybody asks, the likeliest first."""

PLACEHOLDER = "harness"
"""Credentials of clients that the template makes to warm up and never uses."""


@dataclass
class EnvironmentProcess:
    """A process forked from the template.

    Attributes:
        started: Done once the process is there: (its id, bytes resident as it begins).
        exited: Done once it has ended: its exit code, negative for a signal.
    """

    number: int
    started: asyncio.Future[tuple[int, int]] = field(repr=False)
    exited: asyncio.Future[int] = field(repr=False)


class TemplateProcess:
    """A process with boto3 loaded, from which environments are forked.

    Args:
        runtime: The interpreter.
        folder: Scratch space of its own.
        packages: Folder under which code and layers lie unpacked.
        cache: The cache of this machine, see `harness.project.cache`.
        warn: Told, in a sentence, how environments will differ from AWS's.
    """

    def __init__(
        self, runtime: Runtime, folder: Path, packages: Path, cache: Path, warn: Callable[[str], object]
    ) -> None:
        self.runtime = runtime
        self.packages = packages
        self.bytecode = cache / "bytecode" / f"python{runtime.version}"
        self.isolated = False
        self._folder = folder
        self._cache = cache
        self._warn = warn
        self._numbers = itertools.count()
        self._environments: dict[int, EnvironmentProcess] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._socket: socket.socket | None = None
        self._received = bytearray()
        self._sending = asyncio.Lock()
        self._ready: asyncio.Future[str] | None = None

    @property
    def running(self) -> bool:
        return self._socket is not None

    async def start(self) -> None:
        """Start it, isolated if this machine allows it.

        Raises:
            EnvironmentFault: It does not start.
        """
        installed = await asyncio.to_thread(runtimes.packages, self.runtime, self._cache)
        await asyncio.to_thread(self.bytecode.mkdir, parents=True, exist_ok=True)
        root = self._folder / "root"
        root.mkdir(parents=True, exist_ok=True)
        config: dict[str, Any] = {
            "stage": "serve",
            "sandbox": str(Path(sandbox.__file__).parent),
            "runtime": str(installed),
            "warm": READ_AHEAD,
            "prefix": str(self.runtime.prefix),
            "packages": str(self.packages),
            "cache": str(self.bytecode),
            "root": str(root),
            "isolated": False,
            "host_proc": None,
        }
        reason = "only Linux has what it takes"
        if sys.platform == "linux":
            reason = await self._launch({**config, "stage": "isolate"}) or ""
            if not reason:
                self.isolated = True
                return
        self._warn(
            "functions run without a file system of their own: /var/task, /opt and /tmp are not Lambda's, "
            f"and code is not protected from writes ({reason})"
        )
        failure = await self._launch(config)
        if failure:
            raise EnvironmentFault(
                f"the template process of Python {self.runtime.version} does not start: {failure}"
            )

    async def _launch(self, config: dict[str, Any]) -> str | None:
        """Start the process and wait until it answers; says why it did not."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        self._socket = ours
        self._received.clear()
        self._ready = loop.create_future()
        loop.add_reader(ours, self._read)
        errors = self._folder / f"{config['stage']}.log"
        command = [
            str(self.runtime.executable),
            *layout.FLAGS,
            str(Path(zygote.__file__).with_name("__main__.py")),
            json.dumps({**config, "socket": theirs.fileno()}),
        ]
        with theirs, errors.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C is the harness's to handle
                cwd="/",
                env=self._environment(),
            )
        try:
            await self._ready
        except ConnectionError:
            await self._process.wait()
            return errors.read_text(errors="replace").strip().rpartition("\n")[2] or "it said nothing"
        return None

    @staticmethod
    def _environment() -> dict[str, str]:
        """The template's own environment variables, built from nothing like those of its environments."""
        return {
            "PATH": os.defpath,
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "LD_LIBRARY_PATH": layout.LIBRARIES,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": PLACEHOLDER,
            "AWS_SECRET_ACCESS_KEY": PLACEHOLDER,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    async def spawn(
        self,
        *,
        code: str,
        layers: str | None,
        bytecode: str,
        handler: str,
        environment: dict[str, str],
        storage: int,
        log: int,
    ) -> EnvironmentProcess:
        """Fork an environment.

        Args:
            code: Folder of the code, relative to the packages.
            layers: Folder of the merged layers, likewise.
            bytecode: Folder for compiled bytecode, relative to `self.bytecode`.
            handler: ``module.function``.
            environment: All its environment variables.
            storage: Bytes of /tmp.
            log: File descriptor for stdout and stderr; the caller may close it afterwards.

        Raises:
            ConnectionError: The template process is gone.
        """
        loop = asyncio.get_running_loop()
        process = EnvironmentProcess(next(self._numbers), loop.create_future(), loop.create_future())
        (self.bytecode / bytecode).mkdir(parents=True, exist_ok=True)
        self._environments[process.number] = process
        request = {
            "spawn": process.number,
            "code": code,
            "layers": layers,
            "cache": bytecode,
            "handler": handler,
            "environment": environment,
            "storage": storage,
        }
        try:
            await self._send(request, log)
        except BaseException:
            self._environments.pop(process.number, None)
            raise
        return process

    async def kill(self, process: EnvironmentProcess) -> None:
        """End an environment and everything it has started; harmless when it has ended."""
        with contextlib.suppress(ConnectionError):
            if process.number in self._environments:
                await self._send({"kill": process.number})
            await asyncio.shield(process.exited)

    async def stop(self) -> None:
        """End the template and all its environments."""
        self._lose()
        process, self._process = self._process, None
        if process is None:
            return
        # The end of the socket has told it; this is for one that does not listen.
        try:
            async with asyncio.timeout(2):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    # The socket ------------------------------------------------------------------------------------------

    async def _send(self, message: dict[str, Any], descriptor: int | None = None) -> None:
        body = json.dumps(message).encode()
        data = memoryview(struct.pack("!I", len(body)) + body)
        descriptors = [] if descriptor is None else [descriptor]
        async with self._sending:
            while data:
                if self._socket is None:
                    raise ConnectionError("the template process is gone")
                try:
                    sent = socket.send_fds(self._socket, [data], descriptors)
                except BlockingIOError:
                    await self._writable(self._socket)
                else:
                    data, descriptors = data[sent:], []

    @staticmethod
    async def _writable(end: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        free: asyncio.Event = asyncio.Event()
        loop.add_writer(end, free.set)
        try:
            await free.wait()
        finally:
            loop.remove_writer(end)

    def _read(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose()
            return
        self._received += data
        while len(self._received) >= 4:
            (length,) = struct.unpack_from("!I", self._received)
            if len(self._received) < 4 + length:
                return
            message = json.loads(self._received[4 : 4 + length])
            del self._received[: 4 + length]
            self._dispatch(message)

    def _dispatch(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            assert self._ready is not None
            self._ready.set_result(message["ready"])
        elif "spawned" in message:
            process = self._environments[message["spawned"]]
            process.started.set_result((message["pid"], message["resident"]))
        else:
            process = self._environments.pop(message["exited"])
            _settle(process, message["status"])

    def _lose(self) -> None:
        """The socket has ended: nobody is there any more."""
        if self._socket is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._socket = None
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(ConnectionError("the template process has ended"))
        while self._environments:
            _, process = self._environments.popitem()
            _settle(process, -9)


def _settle(process: EnvironmentProcess, status: int) -> None:
    if not process.started.done():
        process.started.set_exception(ConnectionError("the environment ended before it began"))
        process.started.exception()  # nobody may be waiting
    process.exited.set_result(status)
