"""What it means to run a container, whoever runs it.

A `ContainerRuntime` turns a build context into an `Image` and an image into a running `Container`. It knows
nothing of SageMaker: which command, which folders and which environment a job needs is decided above it
(`harness.containers.contract`).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol


@dataclass(frozen=True)
class ImageSource:
    """A build context.

    Attributes:
        name: What the project calls the image, e.g. ``training``.
        context: The context, as a folder or a tar archive.
        dockerfile: Path of the Dockerfile inside the context.
        build_args: Values for the Dockerfile's ARG instructions.
        ignore: Dockerfile steps to leave out where they cannot be honoured without Docker: shell patterns for
            the text of an instruction, or of one command of a RUN, e.g. ``RUN apt-get install *``.
    """

    name: str
    context: Path
    dockerfile: str = "Dockerfile"
    build_args: Mapping[str, str] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True)
class Image:
    """Something that can be run.

    Attributes:
        name: As in its `ImageSource`.
        digest: ``sha256:...`` over everything that decides what the image contains.
        entrypoint: ENTRYPOINT, or empty.
        command: CMD, or empty.
        environment: ENV.
        labels: LABEL.
        payload: What the runtime that made the image needs to run it; opaque to everybody else.
    """

    name: str
    digest: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    payload: Any = None


@dataclass(frozen=True)
class Mount:
    """A folder of this machine inside the container."""

    source: Path
    target: PurePosixPath
    read_only: bool = False


@dataclass(frozen=True)
class Gateway:
    """A port of this machine that a container may connect to: the local cloud's.

    Attributes:
        port: It is open on 127.0.0.1.
        variables: Environment variables that the runtime sets to ``http://HOST:PORT``, as the container
            reaches it.
    """

    port: int
    variables: tuple[str, ...]


class PrivateNetwork(Protocol):
    """Hosts that reach one another by name, and nobody else.

    Attributes:
        hosts: Their names.
    """

    hosts: tuple[str, ...]

    async def close(self) -> None:
        """Remove it. Its containers have ended."""


@dataclass(frozen=True)
class ContainerSpec:
    """A container to start.

    Without `ports`, `gateway` and `network` it has no network but its own loopback.

    Attributes:
        name: Unique within the session; also its host name unless `hostname` is given.
        image: What to run.
        arguments: Replace the image's CMD when not None (as ``docker run IMAGE ARGS``).
        entrypoint: Replaces the image's ENTRYPOINT (and drops its CMD) when not None.
        environment: Added to the image's ENV. Nothing of the caller's environment is inherited.
        mounts: Folders to mount. They may lie in one another.
        ports: Ports that the harness connects to (`Container.connect`). Nobody else reaches them.
        gateway: What of this machine the container reaches, if anything.
        network: Where it finds its peers; `hostname` is then one of the network's hosts.
        hostname: The host name inside.
        memory: Limit in bytes; none when None.
        cpus: Limit in processors; none when None.
        labels: Who the container belongs to: session, job.
    """

    name: str
    image: Image
    arguments: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    ports: tuple[int, ...] = ()
    gateway: Gateway | None = None
    network: PrivateNetwork | None = None
    hostname: str | None = None
    memory: int | None = None
    cpus: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


Output = Callable[[str], object]
"""Called with each line, without its line end, that the container writes to stdout or stderr."""


class Container(Protocol):
    """A container that has been started.

    Attributes:
        spec: What it was started from.
        out_of_memory: It was killed because it used more memory than its limit.
    """

    spec: ContainerSpec
    out_of_memory: bool

    async def wait(self) -> int:
        """Wait for its end, with all output delivered and all it wrote in the sources of its mounts.

        Returns:
            The exit code (128 + signal when killed).

        Raises:
            ContainerError: How it ended cannot be known: the engine that ran it is gone.
        """

    async def refresh(self, target: PurePosixPath) -> None:
        """Bring the source of a mount up to date with what the running container has written so far.

        Args:
            target: Of one of its mounts, or a folder in one.
        """

    async def stop(self, grace: float) -> int:
        """SIGTERM, SIGKILL after `grace` real seconds, then as `wait`. Harmless when it has ended."""

    async def kill(self) -> int:
        """SIGKILL, then as `wait`."""

    async def connect(self, port: int) -> socket.socket:
        """A new non-blocking TCP socket connected to `port` inside the container.

        Raises:
            ConnectionRefusedError: Nothing listens there (yet), or it is not one of the spec's ports.
            ConnectionError: The container has ended.
        """

    def reproduce(self) -> str:
        """A shell command that starts the same container by hand."""


class ContainerRuntime(Protocol):
    """A way to build images and run containers.

    Attributes:
        name: ``docker`` or ``process``.
        warnings: In what way containers here differ from containers on AWS, one sentence each.
    """

    name: str
    warnings: list[str]

    async def build(self, source: ImageSource, on_progress: Output | None = None) -> Image:
        """Build the image, or take it from the cache when nothing changed.

        Raises:
            DockerfileError: The Dockerfile is missing, malformed or not runnable here, or a step failed; the
                message then ends with the step's output.
        """

    async def network(self, name: str, hosts: Sequence[str]) -> PrivateNetwork:
        """Make a private network.

        Args:
            name: Unique within the session.
            hosts: The names of the containers that will be on it.

        Raises:
            ContainerError: It cannot be made here.
        """

    async def start(self, spec: ContainerSpec, on_output: Output) -> Container:
        """Start a container.

        Raises:
            ContainerError: It could not be started at all (a program that does not exist is exit code 127).
        """

    async def close(self) -> None:
        """Kill every container this runtime started and that still runs."""
