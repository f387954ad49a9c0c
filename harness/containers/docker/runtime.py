"""The ``docker`` runtime: containers on a Docker engine."""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from harness.containers.docker.container import DockerContainer
from harness.containers.docker.engine import LABEL_ROOT, LABEL_SESSION, Engine, connect
from harness.containers.docker.folders import Folders
from harness.containers.docker.images import BuildSettings, build
from harness.containers.docker.leftovers import NotRemoved, clear
from harness.containers.docker.networks import Networks, Peers
from harness.containers.runtime import ContainerSpec, Image, ImageSource, Output
from harness.containers.session import Session
from harness.errors import ContainerError

__all__ = ["DockerRuntime"]


class DockerRuntime:
    """Runs containers on a Docker engine.

    Args:
        engine: The engine; the one the ``docker`` command would use when None.
        session: Where it is noted that the engine is used: what we leave when we are killed is removed.
        internet: Containers that may reach the local cloud may reach the internet as well.
        copied: Copy folders that containers write to instead of mounting them, also where none needs it.

    Attributes:
        id: The value of the label that everything it makes bears.
        warnings: In what way containers here differ from containers on AWS, one sentence each.

    Raises:
        EnvironmentFault: No engine answers.
    """

    name = "docker"

    def __init__(
        self,
        *,
        engine: Engine | None = None,
        session: Session | None = None,
        internet: bool = False,
        copied: bool = False,
    ) -> None:
        self.warnings: list[str] = []
        self._engine = engine or connect()
        self.id = session.id if session is not None else secrets.token_hex(6)
        self._labels = {LABEL_SESSION: self.id}
        if session is not None:
            self._labels[LABEL_ROOT] = str(session.root)
            session.uses_engine(self._engine.address)
        self._session = session
        self._copied = copied
        self._builds = BuildSettings.of_environment()
        self._containers: set[DockerContainer] = set()
        self._networks = Networks(self._engine, self.id, self._labels, internet=internet, warn=self._warn)

    async def build(self, source: ImageSource, on_progress: Output | None = None) -> Image:
        """See `ContainerRuntime.build`."""
        progress = on_progress or (lambda line: None)
        image = await _apart(partial(build, self._engine, source, self._builds, progress))
        for name, value in self._builds.arguments.items():
            self._warn(f"images are built with {name}={value}, from HARNESS_DOCKER_BUILD_ARGS")
        return image

    async def network(self, name: str, hosts: Sequence[str]) -> Peers:
        """See `ContainerRuntime.network`."""
        return await self._networks.peers(name, hosts)

    async def start(self, spec: ContainerSpec, on_output: Output) -> DockerContainer:
        """See `ContainerRuntime.start`."""
        image = spec.image
        entrypoint = image.entrypoint if spec.entrypoint is None else spec.entrypoint
        default = image.command if spec.entrypoint is None else ()
        if not (*entrypoint, *(default if spec.arguments is None else spec.arguments)):
            raise ContainerError(
                f"container {spec.name} has no command: image {image.name} has neither ENTRYPOINT nor CMD"
            )
        network = await self._networks.of(spec)
        environment = {}
        if spec.gateway is not None and network is not None:
            environment = await self._networks.reach(network, spec.gateway)
        folders = Folders(self._engine, spec, self._labels, copied=self._copied)
        name = f"harness-{re.sub(r'[^a-zA-Z0-9_.-]', '-', spec.name)}-{secrets.token_hex(4)}"
        container = DockerContainer(self._engine, spec, folders, name, on_output)
        labels = {**self._labels, **{f"harness.{key}": value for key, value in spec.labels.items()}}
        try:
            await container.start(network, environment, labels, self._containers.discard)
        except ContainerError as error:
            raise ContainerError(f"container {spec.name}: {error.message}", hint=error.hint) from error
        self._containers.add(container)
        return container

    async def close(self) -> None:
        """See `ContainerRuntime.close`."""
        await asyncio.gather(
            *(container.kill() for container in tuple(self._containers)), return_exceptions=True
        )
        await self._networks.close()
        with suppress(NotRemoved):  # the session's note stays, for `reap`
            await asyncio.to_thread(clear, self._engine, self.id)
            if self._session is not None:
                self._session.has_left_engine()
        self._engine.close()

    def _warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)


async def _apart(function: Callable[[], Image]) -> Image:
    """Call a function that may block for many minutes.

    In a thread that nobody waits for: who is interrupted leaves at once, and the engine gives up a build
    whose client is gone.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Image] = loop.create_future()

    def settle(deliver: Callable[[Any], None], value: object) -> None:
        if not result.done():  # else it was cancelled
            deliver(value)

    def run() -> None:
        with suppress(RuntimeError):  # the event loop is closed
            try:
                value = function()
            except BaseException as error:
                loop.call_soon_threadsafe(settle, result.set_exception, error)
            else:
                loop.call_soon_threadsafe(settle, result.set_result, value)

    threading.Thread(target=run, name="docker build", daemon=True).start()
    return await result
