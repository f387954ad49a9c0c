"""The Docker engine: which one, what it can do, and what it says in our words."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import docker
import requests
from docker.context import ContextAPI
from docker.errors import APIError, DockerException

from harness.errors import ContainerError, EnvironmentFault

__all__ = ["LABEL_ROOT", "LABEL_SESSION", "THREADS", "Engine", "connect", "explanation", "is_here"]

LABEL_SESSION = "harness.session"
LABEL_ROOT = "harness.root"

PATIENCE = 60.0
"""Real seconds an engine has to answer a call that does not wait for anything."""

THREADS = 32
"""Calls to an engine at a time."""

CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")
"""Files that Docker and Podman put into every container."""

FAILURES = (DockerException, requests.exceptions.RequestException, OSError)
"""What the SDK raises when an engine refuses or is not there."""

T = TypeVar("T")


@dataclass
class Engine:
    """A Docker engine that answers.

    Attributes:
        api: The SDK's low-level client; its methods block.
        address: As DOCKER_HOST has it.
        local: It runs on this machine and sees its files, so that it can mount folders.
        here: It shares this machine's network: what it publishes on loopback can be reached.
        desktop: It runs in a virtual machine on this machine, which forwards ``host.docker.internal``.
        owned: What a container writes into a mounted folder belongs to us.
        rootless: It runs without root, in a network of its own.
        memory: Of the machine it runs on, in bytes.
        processors: Of the machine it runs on.
    """

    api: docker.APIClient
    address: str
    local: bool
    here: bool
    desktop: bool
    owned: bool
    rootless: bool
    memory: int
    processors: int
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="docker"), repr=False
    )

    async def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call a method that blocks.

        Raises:
            ContainerError: The engine refused, or does not answer.
        """
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, lambda: function(*args, **kwargs))
        except FAILURES as error:
            reason = explanation(error)
        # Out here: a chained exception would keep the SDK's connection, and its socket, alive.
        raise ContainerError(reason)

    def close(self) -> None:
        """Let go of the connection."""
        self._threads.shutdown(wait=False)
        self.api.close()


def explanation(error: BaseException) -> str:
    """One sentence on what an engine refused, or why it does not answer."""
    if isinstance(error, APIError):
        return f"the Docker engine refused: {error.explanation or error}"
    return f"the Docker engine does not answer: {error}"


def connect(timeout: float = PATIENCE, address: str | None = None) -> Engine:
    """Connect to the engine that the ``docker`` command would use.

    That is DOCKER_HOST, else the context that DOCKER_CONTEXT or the Docker configuration names, else the
    engine of this machine.

    Args:
        timeout: Real seconds it has to answer a call.
        address: Another engine, as DOCKER_HOST has it.

    Raises:
        EnvironmentFault: No engine answers there.
    """
    options: dict[str, Any] = {"base_url": address}
    if address is None:
        options = _chosen()
    where = options["base_url"] or "unix:///var/run/docker.sock"
    options |= {"timeout": timeout, "max_pool_size": 2 * THREADS, "num_pools": 2 * THREADS}
    try:
        version = _version(options, where)
        api = docker.APIClient(**options, version=version)
        info = api.info()
        api.timeout = PATIENCE
        return _examined(api, where, info)
    except FAILURES as error:
        reason = str(error)
    # Out here: see Engine.call.
    raise EnvironmentFault(
        f"no Docker engine answers at {where}: {reason}",
        hint="Start Docker, or set DOCKER_HOST; without Docker use: --containers process",
    )


def _version(options: Mapping[str, Any], address: str) -> str:
    """The newest version of the API that the engine speaks.

    Found out before the SDK's client proper is made: where no engine answers, that would leave sockets open.
    """
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(address.removeprefix("unix://"))
    api = docker.APIClient(**options, version=docker.constants.MINIMUM_DOCKER_API_VERSION)
    try:
        return str(api.version(api_version=False)["ApiVersion"])
    finally:
        api.close()


def _chosen() -> dict[str, Any]:
    """Address and certificates, as options of the SDK's client."""
    if os.environ.get("DOCKER_HOST"):
        return {"base_url": None, **docker.utils.kwargs_from_env()}
    name = os.environ.get("DOCKER_CONTEXT") or None
    try:
        context = ContextAPI.get_context(name)
    except DockerException as error:
        raise EnvironmentFault(f"the Docker context {name or ''} cannot be read: {error}") from error
    if context is None:
        raise EnvironmentFault(
            f"there is no Docker context {name}", hint="docker context ls lists those there are."
        )
    host = context.Host
    if not host or host == "npipe:////./pipe/docker_engine":
        return {"base_url": host or None}
    return {"base_url": host, "tls": context.TLSConfig or False}


def _examined(api: docker.APIClient, address: str, info: dict[str, Any]) -> Engine:
    security = " ".join(info.get("SecurityOptions") or ())
    local = address.startswith(("unix:", "http+unix:", "npipe:"))
    desktop = "Docker Desktop" in str(info.get("OperatingSystem")) or (local and sys.platform != "linux")
    if local and not desktop and any(map(os.path.exists, CONTAINER_MARKS)):
        # In a container: the engine is in here as well, or the machine's outside, whose files are not ours.
        local = os.path.exists(info.get("DockerRootDir") or "")
    rootless = "name=rootless" in security
    superuser = os.geteuid() == 0 and "name=userns" not in security
    return Engine(
        api=api,
        address=address,
        local=local,
        here=is_here(address),
        desktop=desktop,
        owned=local and (desktop or rootless or superuser),
        rootless=rootless and not desktop,
        memory=int(info.get("MemTotal") or 0),
        processors=int(info.get("NCPU") or 0),
    )


def is_here(address: str) -> bool:
    """The address is one of this machine's own, as far as can be told without asking the engine."""
    place = urlsplit(address)
    if place.scheme == "ssh":
        return False
    if place.scheme not in ("tcp", "http", "https"):
        return True
    try:
        family, kind, protocol, _, name = socket.getaddrinfo(place.hostname, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(name)
    except OSError:
        return False
    return True
