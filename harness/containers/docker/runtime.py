"""The ``docker`` runtime: containers on a Docker engine."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress

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
        self._id = session.id if session is not None else secrets.token_hex(6)
        self._labels = {LABEL_SESSION: self._id}
        if session is not None:
            self._labels[LABEL_ROOT] = str(session.root)
            session.uses_engine(self._engine.address)
        self._session = session
        self._copied = copied
        self._builds = BuildSettings.of_environment()
        self._containers: set[DockerContainer] = set()
        self._networks = Networks(self._engine, self._id, self._labels, internet=internet, warn=self._warn)

    async def build(self, source: ImageSource, on_progress: Output | None = None) -> Image:
        """See `ContainerRuntime.build`."""
        progress = on_progress or (lambda line: None)
        image = await asyncio.to_thread(build, self._engine, source, self._builds, progress)
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
            await asyncio.to_thread(clear, self._engine, self._id)
            if self._session is not None:
                self._session.has_left_engine()
        self._engine.close()

    def _warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)
