"""What serves a model: its containers, side by side, for an instance of an endpoint or of a transform job."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.access import access
from harness.cloud.sagemaker.hosts import HostEnd
from harness.cloud.sagemaker.http import HttpClient, Response, StreamedResponse
from harness.cloud.sagemaker.images import require_model_image
from harness.cloud.sagemaker.jobs import storage_failure
from harness.cloud.sagemaker.models.models import Model, ModelContainer
from harness.cloud.service import CloudContext, Storage
from harness.containers.archive import SIZE_LIMIT, ArchiveError
from harness.containers.contract.serving import bound_port, serving_spec
from harness.containers.runtime import Container, Output
from harness.errors import HarnessError

__all__ = [
    "WAITING",
    "DataFailed",
    "ModelData",
    "ModelHost",
    "ModelServer",
    "NotServing",
    "StartRefused",
    "handed_on",
]

WAITING = "Waiting for an answer to /ping"
"""What a job or endpoint tells meanwhile: a container that never answers is given up only after minutes."""

PING_TIMEOUT = 2.0
PING_PAUSE = 0.03
ENDING = 0.5
LOAD_TIMEOUT = 360.0
"""Real seconds a multi-model container has to load a model."""

AGENT = "Go-http-client/1.1"
"""What containers see on AWS, recorded from a transform job."""


class DataFailed(Exception):
    """The data of a model cannot be had.

    Attributes:
        container: Whose data.
        url: Where it should be.
        archive: It was there, but is no archive that can be unpacked.
    """

    def __init__(self, message: str, container: ModelContainer, url: str, *, archive: bool) -> None:
        super().__init__(message)
        self.container = container
        self.url = url
        self.archive = archive


class StartRefused(Exception):
    """A container could not be started at all.

    Attributes:
        container: Which.
        image: Its image is not there (any more).
    """

    def __init__(self, message: str, container: ModelContainer, *, image: bool) -> None:
        super().__init__(message)
        self.container = container
        self.image = image


class NotServing(Exception):
    """A container never became ready.

    Attributes:
        hostname: Which.
        exit_code: Its exit code, None when it runs but did not answer ``/ping`` in time.
    """

    def __init__(self, message: str, hostname: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.hostname = hostname
        self.exit_code = exit_code


class ModelData:
    """The model data of every container of a model, unpacked: a folder each.

    Args:
        path: A folder that does not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def folder(self, hostname: str) -> Path:
        """Where the data of a container is."""
        return self._path / hostname

    async def fetch(self, storage: Storage, model: Model, *, limit: int = SIZE_LIMIT) -> None:
        """Fetch and unpack what there is.

        Args:
            storage: Where it lies.
            model: Whose data.
            limit: Bytes an archive may unpack to.

        Raises:
            DataFailed: Some of it cannot be had.
        """
        for container in model.containers:
            folder = self.folder(container.hostname)
            await asyncio.to_thread(folder.mkdir, parents=True)
            if container.source is None:
                continue
            try:
                await container.source.fetch(storage, folder, limit=limit)
            except ServiceError as error:
                raise DataFailed(
                    storage_failure(error), container, container.source.url, archive=False
                ) from error
            except ArchiveError as error:
                raise DataFailed(error.message, container, container.source.url, archive=True) from error

    async def remove(self) -> None:
        """Delete all of it."""
        await asyncio.to_thread(shutil.rmtree, self._path, ignore_errors=True)


class ModelHost:
    """The containers of a model, side by side on one instance.

    Args:
        cloud: Where they run.
        model: The model.
        name: Unique among what runs at a time; the containers' names begin with it.
        data: The model's data, fetched.
        labels: Who the containers belong to: ``job``, in whose name they reach the local cloud, and ``type``.
        output: Where a container's output goes, by its host name.
        environment: The environment of a container; the model's own when None.
        isolated: They reach nothing; when None the model decides.
        memory: Bytes each may use.
        cpus: Processors each may use.

    Attributes:
        servers: The containers that have been started, by host name, in the order of the model.
    """

    def __init__(
        self,
        cloud: CloudContext,
        model: Model,
        *,
        name: str,
        data: ModelData,
        labels: Mapping[str, str],
        output: Callable[[str], Output],
        environment: Callable[[ModelContainer], Mapping[str, str]] | None = None,
        isolated: bool | None = None,
        memory: int | None = None,
        cpus: float | None = None,
    ) -> None:
        self._cloud = cloud
        self._model = model
        self._name = name
        self._data = data
        self._labels = labels
        self._output = output
        self._environment = environment or (lambda container: container.environment)
        self._isolated = model.isolated if isolated is None else isolated
        self._memory = memory
        self._cpus = cpus
        self._starts = 0
        self.servers: dict[str, ModelServer] = {}

    async def start(self) -> None:
        """Start all containers; none of them is ready yet.

        Raises:
            StartRefused: One could not be started; the others have been killed.
        """
        try:
            for container in self._model.containers:
                self.servers[container.hostname] = await self.start_one(container)
        except BaseException:
            await self.kill()
            raise

    async def start_one(self, container: ModelContainer) -> ModelServer:
        """Start one container, which is not ready yet and not yet one of `servers`.

        Raises:
            StartRefused: It could not be started.
        """
        number = 1 + self._model.containers.index(container)
        self._starts += 1
        folder = self._data.folder(container.hostname)
        if container.multi_model:
            folder = self.models_folder(container)
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        try:
            image = require_model_image(self._cloud.images, container.image)
        except ServiceError as error:
            raise StartRefused(error.message, container, image=True) from error
        several = len(self._model.containers) > 1
        reach = access(self._cloud, name=self._labels["job"], role=self._model.role, isolated=self._isolated)
        spec = serving_spec(
            name=f"{self._name}-{self._starts}",
            image=image,
            environment={**reach.environment, **self._environment(container)},
            model=folder,
            region=self._cloud.region,
            labels=self._labels,
            bind_to=bound_port(image, number) if several else None,
            multi_model=container.multi_model,
            gateway=reach.gateway,
            memory=self._memory,
            cpus=self._cpus,
        )
        try:
            started = await self._cloud.containers.start(spec, self._output(container.hostname))
        except HarnessError as error:
            raise StartRefused(error.message, container, image=False) from error
        return ModelServer(started, container.hostname)

    def models_folder(self, container: ModelContainer) -> Path:
        """What a multi-model container of this instance sees as ``/opt/ml/models``."""
        return self._data.folder(container.hostname) / self._name

    async def ready(self, limit: float) -> None:
        """Wait until every container answers ``/ping`` with 200.

        Args:
            limit: Real seconds; a container that ends is given up at once.

        Raises:
            NotServing: One ended, or the limit passed.
        """
        waiting = [asyncio.ensure_future(server.ready(limit)) for server in self.servers.values()]
        try:
            for answered in asyncio.as_completed(waiting):
                await answered
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    @property
    def ended(self) -> bool:
        """One of the containers has ended."""
        return any(server.ended for server in self.servers.values())

    async def stop(self, grace: float) -> None:
        """SIGTERM to all, SIGKILL after `grace` real seconds."""
        await asyncio.gather(*(server.stop(grace) for server in self.servers.values()))

    async def kill(self) -> None:
        """SIGKILL to all."""
        await asyncio.gather(*(server.kill() for server in self.servers.values()))


def handed_on(headers: Mapping[str, str], answer: Response) -> dict[str, str]:
    """The headers of the next request in a pipeline: those of the last one, but its answer's Content-Type."""
    following = {name: value for name, value in headers.items() if name != "Content-Type"}
    if "content-type" in answer.headers:
        following["Content-Type"] = answer.headers["content-type"]
    return following


class ModelServer:
    """A serving container that has been started.

    Args:
        container: The container.
        hostname: What the model calls it.
    """

    def __init__(self, container: Container, hostname: str) -> None:
        [port] = container.spec.ports
        self.hostname = hostname
        self._container = container
        self._exit = asyncio.ensure_future(container.wait())
        self._http = HttpClient(lambda: container.connect(port), agent=AGENT)

    @property
    def ended(self) -> bool:
        """The container has ended."""
        return self._exit.done()

    @property
    def out_of_memory(self) -> bool:
        """It was killed because it used more memory than its instance has."""
        return self._container.out_of_memory

    async def ending(self) -> bool:
        """Whether the container has ended, or does so in a moment: its connections go before it does."""
        await asyncio.wait({self._exit}, timeout=ENDING)
        return self._exit.done()

    async def exited(self) -> int:
        """Wait for the container's end; its exit code."""
        return await asyncio.shield(self._exit)

    def end(self) -> HostEnd:
        """How the container ended; it has.

        Raises:
            ContainerError: How it ended cannot be known.
        """
        return HostEnd(self._exit.result(), self.out_of_memory, self._container.reproduce())

    async def ready(self, limit: float) -> None:
        """Wait until ``/ping`` answers 200.

        Args:
            limit: Real seconds; a container that ends is given up at once.

        Raises:
            NotServing: It ended, or the limit passed.
        """
        try:
            async with asyncio.timeout(limit):
                while not await self.ping():
                    await asyncio.wait({self._exit}, timeout=PING_PAUSE)
                    if self._exit.done():
                        code = self._exit.result()
                        raise NotServing(f"the container ended with exit code {code}", self.hostname, code)
        except TimeoutError:
            raise NotServing(f"no answer to /ping within {limit:g} s", self.hostname) from None

    async def ping(self) -> bool:
        """Whether ``/ping`` answers 200, within 2 s."""
        try:
            response = await self._http.request("GET", "/ping", timeout=PING_TIMEOUT)
        except (ConnectionError, TimeoutError):
            return False
        return response.status == 200

    async def execution_parameters(self) -> Response | None:
        """What the container says it can do, for a transform job; None when it does not say."""
        try:
            response = await self._http.request("GET", "/execution-parameters", timeout=PING_TIMEOUT)
        except (ConnectionError, TimeoutError):
            return None
        return response if response.status == 200 else None

    async def invoke(
        self,
        body: bytes,
        headers: Mapping[str, str],
        *,
        timeout: float,
        chunked: bool = False,
        path: str = "/invocations",
    ) -> Response:
        """``POST /invocations``, or ``/models/NAME/invoke`` of a multi-model container.

        Raises:
            TimeoutError: No answer within `timeout` real seconds.
            ConnectionError: The container does not accept connections, or died before it answered.
        """
        return await self._http.request(
            "POST", path, headers=headers, body=body, chunked=chunked, timeout=timeout
        )

    def stream(
        self, body: bytes, headers: Mapping[str, str], *, timeout: float
    ) -> AbstractAsyncContextManager[StreamedResponse]:
        """As `invoke`, for an answer that is read as it comes: see `HttpClient.stream`."""
        return self._http.stream("POST", "/invocations", headers=headers, body=body, timeout=timeout)

    async def load_model(self, name: str, path: str) -> Response:
        """``POST /models``: tell a multi-model container to load a model.

        Raises:
            TimeoutError: No answer within `LOAD_TIMEOUT` real seconds.
            ConnectionError: As for `invoke`.
        """
        return await self._http.request(
            "POST",
            "/models",
            headers={"Content-Type": "application/json", "Accept": "application/json"},
            body=json.dumps({"model_name": name, "url": path}).encode(),
            timeout=LOAD_TIMEOUT,
        )

    async def unload_model(self, name: str) -> Response:
        """``DELETE /models/NAME``.

        Raises:
            TimeoutError: As for `load_model`.
            ConnectionError: As for `invoke`.
        """
        return await self._http.request("DELETE", f"/models/{name}", timeout=LOAD_TIMEOUT)

    async def stop(self, grace: float) -> None:
        """SIGTERM, SIGKILL after `grace` real seconds."""
        self._http.close()
        await self._container.stop(grace)
        await self._exit

    async def kill(self) -> None:
        """SIGKILL."""
        self._http.close()
        await self._container.kill()
        await self._exit
