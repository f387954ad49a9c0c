"""A container that serves a model: for an endpoint's variant or a transform job."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.cloud.sagemaker.http import HttpClient, Response
from harness.cloud.sagemaker.validation import parse_s3
from harness.cloud.service import CloudContext, Storage
from harness.containers.archive import unpack
from harness.containers.contract.serving import SERVING_PORT, serving_spec
from harness.containers.runtime import Container, ContainerSpec, Image, Output

__all__ = ["WAITING", "ModelFolder", "ModelServer", "NotServing"]

WAITING = "Waiting for an answer to /ping"
"""What a job or endpoint tells meanwhile: a container that never answers is given up only after minutes."""

PING_TIMEOUT = 2.0
PING_PAUSE = 0.03
ENDING = 0.5
AGENT = "Go-http-client/1.1"
"""What containers see on AWS, recorded from a transform job."""


class NotServing(Exception):
    """A container never became ready.

    Attributes:
        exit_code: Its exit code, None when it runs but did not answer ``/ping`` in time.
    """

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class ModelFolder:
    """The model of one or more serving containers, unpacked.

    Args:
        path: A folder that does not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    async def fill(self, storage: Storage, container: Mapping[str, Any]) -> None:
        """Fetch and unpack the model data of a ContainerDefinition, if it has any.

        Raises:
            ServiceError: NoSuchBucket, NoSuchKey.
            ArchiveError: The data cannot be unpacked.
        """
        url = container.get("ModelDataUrl")
        content = None
        if url:
            place = parse_s3(url)
            content = storage.get(place.bucket, place.key)
        await asyncio.to_thread(self._unpack, content)

    def _unpack(self, content: bytes | None) -> None:
        self.path.mkdir(parents=True)
        if content is not None:
            unpack(content, self.path)

    async def remove(self) -> None:
        """Delete it."""
        await asyncio.to_thread(shutil.rmtree, self.path, ignore_errors=True)


class ModelServer:
    """A serving container that has been started."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._exit = asyncio.ensure_future(container.wait())
        self._http = HttpClient(lambda: container.connect(SERVING_PORT), agent=AGENT)

    @classmethod
    async def start(
        cls,
        cloud: CloudContext,
        *,
        name: str,
        image: Image,
        environment: Mapping[str, str],
        model: Path,
        labels: Mapping[str, str],
        on_output: Output,
    ) -> ModelServer:
        """Start the container; it is not ready yet.

        Raises:
            ContainerError: It could not be started.
        """
        spec: ContainerSpec = serving_spec(
            name=name, image=image, environment=environment, model=model, region=cloud.region, labels=labels
        )
        return cls(await cloud.containers.start(spec, on_output))

    @property
    def ended(self) -> bool:
        """The container has ended."""
        return self._exit.done()

    async def ending(self) -> bool:
        """Whether the container has ended, or does so in a moment: its connections go before it does."""
        await asyncio.wait({self._exit}, timeout=ENDING)
        return self._exit.done()

    async def exited(self) -> int:
        """Wait for the container's end; its exit code."""
        return await asyncio.shield(self._exit)

    async def ready(self, limit: float) -> None:
        """Wait until ``/ping`` answers 200.

        Args:
            limit: Real seconds; a container that ends is given up at once.

        Raises:
            NotServing: It ended, or the limit passed.
        """
        try:
            async with asyncio.timeout(limit):
                while not await self._ping():
                    await asyncio.wait({self._exit}, timeout=PING_PAUSE)
                    if self._exit.done():
                        code = self._exit.result()
                        raise NotServing(f"the container ended with exit code {code}", code)
        except TimeoutError:
            raise NotServing(f"no answer to /ping within {limit:g} s") from None

    async def _ping(self) -> bool:
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
        self, body: bytes, headers: Mapping[str, str], *, timeout: float, chunked: bool = False
    ) -> Response:
        """``POST /invocations``.

        Raises:
            TimeoutError: No answer within `timeout` real seconds.
            ConnectionError: The container does not accept connections, or died before it answered.
        """
        return await self._http.request(
            "POST", "/invocations", headers=headers, body=body, chunked=chunked, timeout=timeout
        )

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
