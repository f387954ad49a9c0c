"""One instance of a production variant: the containers of its model, looked after."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from harness.cloud.sagemaker.endpoints.multi_model import LoadedModels
from harness.cloud.sagemaker.jobs import LogStream
from harness.cloud.sagemaker.models.models import Model, ModelContainer
from harness.cloud.sagemaker.serving import ModelData, ModelHost, ModelServer, NotServing, StartRefused
from harness.cloud.service import CloudContext

__all__ = ["Health", "Instance", "Setup", "StartFailed", "unhealthy"]

REPLACE_PAUSE = 1.0
REPLACE_PAUSE_LIMIT = 30.0
"""Real seconds before a container that died is replaced: none, then the first, doubling up to the second."""

DRAIN_LIMIT = 60.0
"""Real seconds an instance that is to stop waits for the invocations it has: as long as one may take."""


class StartFailed(Exception):
    """An endpoint cannot serve; the text is its FailureReason."""


@dataclass(frozen=True)
class Health:
    """When a container counts as healthy. SageMaker's interval and number of failures are unconfirmed.

    Attributes:
        startup_limit: Real seconds it has to answer ``/ping`` for the first time.
        interval: Real seconds between two pings while it serves.
        failures: Pings that fail one after another until it is replaced.
    """

    startup_limit: float = 480.0
    interval: float = 5.0
    failures: int = 3


@dataclass(frozen=True)
class Setup:
    """What the instances of a variant have in common.

    Attributes:
        cloud: Where they run.
        endpoint: The endpoint's name.
        variant: The variant's name.
        prefix: Begins the names of their containers; no other variant has it.
        model: What they serve.
        data: Its data, fetched.
        isolated: They reach nothing.
        health: When their containers count as healthy.
        memory: Bytes an instance has; None for no limit.
        cpus: Processors an instance has; None for no limit.
    """

    cloud: CloudContext
    endpoint: str
    variant: str
    prefix: str
    model: Model
    data: ModelData
    isolated: bool
    health: Health
    memory: int | None = None
    cpus: float | None = None


class Instance:
    """The containers of a model on one instance, each replaced when it dies or no longer answers ``/ping``.

    Args:
        setup: What it shares with its siblings.
        number: Which one it is.

    Attributes:
        in_flight: Invocations under way.
    """

    def __init__(self, setup: Setup, number: int) -> None:
        self._setup = setup
        self._name = f"{setup.prefix}-{number}"
        # Not drawn from the cloud's entropy: when an instance starts depends on how long its model takes to
        # come, and the ids of all that comes later would depend on that.
        stream = f"{setup.variant}/i-{hashlib.sha256(self._name.encode()).hexdigest()[:17]}"
        several = len(setup.model.containers) > 1
        self._logs = {
            container.hostname: LogStream(
                setup.cloud,
                f"/aws/sagemaker/Endpoints/{setup.endpoint}",
                f"{stream}/{container.hostname}" if several else stream,
                subject=setup.endpoint,
                kind="endpoint",
                host=f"{setup.variant}-{number}" + (f"/{container.hostname}" if several else ""),
            )
            for container in setup.model.containers
        }
        self._host = ModelHost(
            setup.cloud,
            setup.model,
            name=self._name,
            data=setup.data,
            labels={"type": "endpoint", "job": setup.endpoint},
            output=lambda hostname: self._logs[hostname].write,
            isolated=setup.isolated,
            memory=setup.memory,
            cpus=setup.cpus,
        )
        self._ready: set[str] = set()
        self._keepers: list[asyncio.Task[Any]] = []
        self._models: LoadedModels | None = None
        self._drained = asyncio.Event()
        self._stopping = False
        self.in_flight = 0

    @property
    def ready(self) -> bool:
        """Every container is ready to serve."""
        return len(self._ready) == len(self._setup.model.containers) and not self._stopping

    @property
    def servers(self) -> Mapping[str, ModelServer]:
        """The containers by host name, in the order of the model."""
        return self._host.servers

    @contextmanager
    def invocation(self) -> Iterator[None]:
        """Say that it is being invoked: it is not stopped before the context is closed."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._drained.set()

    def loaded(self, target: str) -> AbstractAsyncContextManager[str]:
        """See `LoadedModels.use`. The model is a multi-model one, and the instance is ready."""
        assert self._models is not None  # set with the container
        return self._models.use(target)

    # Its life ----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the containers, wait until they are ready, and look after them from then on.

        Raises:
            StartFailed: One of them did not become ready.
        """
        try:
            await self._host.start()
            await self._host.ready(self._setup.health.startup_limit)
        except StartRefused as error:
            raise self._refused(error) from error
        except NotServing as error:
            await self._host.kill()
            raise self._unhealthy(error) from error
        except BaseException:
            await self._host.kill()
            raise
        for container in self._setup.model.containers:
            self._serve(container, self._host.servers[container.hostname])
            keeper = self._setup.cloud.spawn(self._keep(container), f"keep {self._name} {container.hostname}")
            self._keepers.append(keeper)

    async def stop(self, grace: float) -> None:
        """Let the invocations it has end, stop the containers, and look after them no more.

        Args:
            grace: Real seconds between SIGTERM and SIGKILL; when 0, invocations are not waited for.
        """
        self._stopping = True
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        if grace and self.in_flight:
            self._drained.clear()
            try:
                async with asyncio.timeout(DRAIN_LIMIT):
                    await self._drained.wait()
            except TimeoutError:
                pass  # what still runs gets SIGTERM under way
        await self._host.stop(grace)
        for log in self._logs.values():
            log.flush()

    def _serve(self, container: ModelContainer, server: ModelServer) -> None:
        self._host.servers[container.hostname] = server
        self._ready.add(container.hostname)
        if container.multi_model:
            assert container.source is not None  # CreateModel has seen to it
            folder = self._host.models_folder(container)
            self._models = LoadedModels(self._setup.cloud.storage, container.source, folder, server)

    # Looking after a container -----------------------------------------------------------------------

    async def _keep(self, container: ModelContainer) -> None:
        """Replace a container whenever it dies or stays silent."""
        log = self._logs[container.hostname]
        pause = 0.0
        while True:
            server = self._host.servers[container.hostname]
            problem = await self._unwell(server)
            self._ready.discard(container.hostname)
            log.write(f"The container {problem}; it is being replaced.")
            await server.kill()
            while container.hostname not in self._ready:
                await asyncio.sleep(pause)
                pause = min(max(REPLACE_PAUSE, pause * 2), REPLACE_PAUSE_LIMIT)
                try:
                    self._serve(container, await self._replace(container))
                except StartFailed as error:
                    log.write(str(error))

    async def _unwell(self, server: ModelServer) -> str:
        """Wait until a container no longer serves; what is the matter with it."""
        health, failures = self._setup.health, 0
        while failures < health.failures:
            try:
                async with asyncio.timeout(health.interval):
                    code = await server.exited()
            except TimeoutError:
                failures = 0 if await server.ping() else failures + 1
            else:
                memory = " for want of memory" if server.out_of_memory else ""
                return f"ended with exit code {code}{memory}"
        return f"did not answer {health.failures} pings"

    async def _replace(self, container: ModelContainer) -> ModelServer:
        try:
            server = await self._host.start_one(container)
        except StartRefused as error:
            raise self._refused(error) from error
        try:
            await server.ready(self._setup.health.startup_limit)
        except NotServing as error:
            await server.kill()
            raise self._unhealthy(error) from error
        except BaseException:
            await server.kill()
            raise
        return server

    def _refused(self, error: StartRefused) -> StartFailed:
        self._logs[error.container.hostname].write(f"The container could not be started: {error}")
        if error.image:
            return StartFailed(
                "Please make sure all images included in the model for the production variant "
                f"{self._setup.variant} exist, and that the execution role used to create the model has "
                "permissions to access them."
            )
        return StartFailed(f"The container could not be started: {error}")

    def _unhealthy(self, error: NotServing) -> StartFailed:
        self._logs[error.hostname].write(f"The container did not become ready: {error}")
        return StartFailed(unhealthy(error.hostname, self._setup.variant))


def unhealthy(hostname: str, variant: str) -> str:
    """The FailureReason when a container does not answer ``/ping``."""
    return (
        f"The {hostname} container for production variant {variant} did not pass the ping health check. "
        "Please check CloudWatch logs for this endpoint."
    )
