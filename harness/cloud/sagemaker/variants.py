"""What an endpoint runs: a fleet of production variants, each of one or more serving containers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.endpoint_configs import EndpointConfig
from harness.cloud.sagemaker.images import require_model_image
from harness.cloud.sagemaker.jobs import LogStream, instance_id, storage_failure
from harness.cloud.sagemaker.models import Model
from harness.cloud.sagemaker.serving import ModelFolder, ModelServer, NotServing
from harness.cloud.service import CloudContext
from harness.containers.archive import ArchiveError
from harness.containers.runtime import Image
from harness.errors import HarnessError

__all__ = ["Fleet", "StartFailed", "Variant"]

STOP_GRACE = 30.0
"""Real seconds between SIGTERM and SIGKILL when an endpoint's container is stopped."""

REPLACE_PAUSE = 1.0
REPLACE_PAUSE_LIMIT = 30.0
"""Real seconds before a container that died is replaced: none, then the first, doubling up to the second."""


class StartFailed(Exception):
    """An endpoint cannot serve; the text is its FailureReason."""


class Instance:
    """One instance of a variant: a serving container, replaced when it dies.

    Args:
        variant: What it is an instance of.
        number: Which one.
    """

    def __init__(self, variant: Variant, number: int) -> None:
        self._variant = variant
        self._name = f"endpoint-{variant.endpoint}-{variant.deployment}-{variant.name}-{number}"
        self._starts = itertools.count(1)
        self._log = LogStream(
            variant.cloud,
            f"/aws/sagemaker/Endpoints/{variant.endpoint}",
            f"{variant.name}/{instance_id(variant.cloud)}",
            subject=variant.endpoint,
            kind="endpoint",
            host=f"{variant.name}-{number}",
        )
        self._stopping = False
        self._keeper: asyncio.Task[Any] | None = None
        self.server: ModelServer | None = None
        """The container, while it is ready."""

    async def start(self, image: Image, folder: Path) -> None:
        """Start the container, wait until it is ready, and look after it from then on.

        Raises:
            StartFailed: It did not become ready.
        """
        await self._start(image, folder)
        self._keeper = self._variant.cloud.spawn(self._keep(image, folder), f"keep {self._name}")

    async def _start(self, image: Image, folder: Path) -> None:
        variant = self._variant
        try:
            server = await ModelServer.start(
                variant.cloud,
                name=f"{self._name}-{next(self._starts)}",
                image=image,
                environment=variant.model.container.get("Environment", {}),
                model=folder,
                labels={"type": "endpoint", "job": variant.endpoint},
                on_output=self._log.write,
            )
        except HarnessError as error:
            self._log.write(f"The container could not be started: {error}")
            raise StartFailed(f"The container could not be started: {error.message}") from error
        try:
            await server.ready(variant.startup_limit)
        except NotServing as error:
            self._log.write(f"The container did not become ready: {error}")
            await server.kill()
            raise StartFailed(
                f"The {variant.model.hostname} container for production variant {variant.name} did not pass "
                "the ping health check. Please check CloudWatch logs for this endpoint."
            ) from error
        except BaseException:
            await server.kill()
            raise
        self.server = server

    async def _keep(self, image: Image, folder: Path) -> None:
        """Replace the container whenever it dies."""
        pause = 0.0
        while self.server is not None:
            code = await self.server.exited()
            if self._stopping:
                return
            self.server = None
            self._log.write(f"The container ended with exit code {code}; it is being replaced.")
            while self.server is None:
                await asyncio.sleep(pause)
                pause = min(max(REPLACE_PAUSE, pause * 2), REPLACE_PAUSE_LIMIT)
                try:
                    await self._start(image, folder)
                except StartFailed as error:
                    self._log.write(str(error))

    async def stop(self, grace: float) -> None:
        """Stop the container and look after it no more."""
        self._stopping = True
        if self._keeper is not None and self.server is None:  # in the middle of a replacement
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        if self.server is not None:
            await self.server.stop(grace)
            self.server = None
        self._log.flush()


class Variant:
    """A production variant of a running endpoint.

    Args:
        cloud: Where it runs.
        endpoint: The endpoint's name.
        deployment: Number of the deployment, which no other has.
        config: An item of the configuration's ProductionVariants.
        model: Its model.
        startup_limit: Real seconds a container has to answer ``/ping``, unless the configuration says.
    """

    def __init__(
        self,
        cloud: CloudContext,
        endpoint: str,
        deployment: int,
        config: dict[str, Any],
        model: Model,
        startup_limit: float,
    ) -> None:
        self.cloud = cloud
        self.endpoint = endpoint
        self.deployment = deployment
        self.name: str = config["VariantName"]
        self.model = model
        self.weight: float = config["InitialVariantWeight"]
        self.image_uri: str = model.container["Image"]
        self.image: Image | None = None
        self.ready_at: float | None = None
        self.startup_limit: float = config.get("ContainerStartupHealthCheckTimeoutInSeconds", startup_limit)
        self.instances = [Instance(self, number) for number in range(1, config["InitialInstanceCount"] + 1)]
        self._turn = itertools.count()
        self._folder = ModelFolder(
            cloud.folder / "sagemaker" / "endpoint" / f"{endpoint}-{deployment}-{self.name}"
        )

    async def start(self) -> None:
        """Fetch the model and start every instance.

        Raises:
            StartFailed: One does not get ready.
        """
        url = self.model.container.get("ModelDataUrl")
        try:
            self.image = require_model_image(self.cloud.images, self.image_uri)
        except ServiceError as error:
            raise StartFailed(
                f"Please make sure all images included in the model for the production variant {self.name} "
                "exist, and that the execution role used to create the model has permissions to access them."
            ) from error
        try:
            await self._folder.fill(self.cloud.storage, self.model.container)
        except ServiceError as error:
            raise StartFailed(
                f'Failed to download model data for container "{self.model.hostname}" from URL "{url}". '
                f"Please ensure that there is an object located at the URL. {storage_failure(error)}"
            ) from error
        except ArchiveError as error:
            self.cloud.events.publish("warning", self.endpoint, message=f"{url}: {error.message}")
            raise StartFailed(
                f'Failed to extract model data archive for container "{self.model.hostname}" from URL '
                f'"{url}". Please ensure that the object located at the URL is a valid tar.gz archive.'
            ) from error
        await _all(instance.start(self.image, self._folder.path) for instance in self.instances)
        self.ready_at = self.cloud.clock.now()

    def server(self) -> ModelServer | None:
        """A container that is ready, in turn; None when there is none just now."""
        ready = [instance.server for instance in self.instances if instance.server is not None]
        return ready[next(self._turn) % len(ready)] if ready else None

    async def stop(self, grace: float) -> None:
        """Stop every instance."""
        await asyncio.gather(*(instance.stop(grace) for instance in self.instances))
        await self._folder.remove()


class Fleet:
    """All variants of one version of an endpoint.

    Args:
        cloud: Where they run.
        endpoint: The endpoint's name.
        deployment: As for `Variant`.
        config: Its configuration.
        startup_limit: As for `Variant`.
    """

    def __init__(
        self,
        cloud: CloudContext,
        endpoint: str,
        deployment: int,
        config: EndpointConfig,
        startup_limit: float,
    ) -> None:
        self.config = config
        self.variants = {
            variant["VariantName"]: Variant(
                cloud, endpoint, deployment, variant, config.models[variant["VariantName"]], startup_limit
            )
            for variant in config.variants
        }

    async def start(self) -> None:
        """Start every variant; stop all of them when one fails.

        Raises:
            StartFailed: One does not get ready.
        """
        try:
            await _all(variant.start() for variant in self.variants.values())
        except BaseException:
            await self.stop()
            raise

    async def stop(self, grace: float = STOP_GRACE) -> None:
        """Stop every variant.

        Args:
            grace: Real seconds between SIGTERM and SIGKILL.
        """
        await asyncio.gather(*(variant.stop(grace) for variant in self.variants.values()))

    def choose(self, draw: Callable[[], float]) -> Variant | None:
        """A variant according to the weights; None when all weights are 0.

        Args:
            draw: A random number in [0, 1); only asked when there is a choice.
        """
        weighted = [variant for variant in self.variants.values() if variant.weight > 0]
        if len(weighted) < 2:
            return weighted[0] if weighted else None
        mark = draw() * sum(variant.weight for variant in weighted)
        for variant in weighted:
            mark -= variant.weight
            if mark < 0:
                return variant
        return weighted[-1]


async def _all(starts: Any) -> None:
    """Await all; with the first failure cancel the others, wait for their end, and raise it."""
    try:
        async with asyncio.TaskGroup() as group:
            for start in starts:
                group.create_task(start)
    except* StartFailed as failures:
        first = failures.exceptions[0]
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
