"""What an endpoint runs: a fleet of production variants, each of one or more instances."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from harness.cloud.sagemaker.endpoints.configs import EndpointConfig
from harness.cloud.sagemaker.endpoints.instance import Health, Instance, Setup, StartFailed
from harness.cloud.sagemaker.images import require_model_image, resolved
from harness.cloud.sagemaker.models.models import Model
from harness.cloud.sagemaker.records import moment
from harness.cloud.sagemaker.serving import DataFailed, ModelData
from harness.cloud.service import CloudContext
from harness.containers.archive import SIZE_LIMIT
from harness.containers.instances import limits

__all__ = ["Fleet", "StartFailed", "Variant"]

STOP_GRACE = 30.0
"""Real seconds between SIGTERM and SIGKILL when an endpoint's container is stopped."""

DOWNLOAD_LIMIT = 1200.0
"""Real seconds the model data has to arrive, unless the configuration says. SageMaker's own is not known."""

GB = 2**30
MB = 2**20


class Variant:
    """A production variant of a running endpoint.

    Args:
        cloud: Where it runs.
        endpoint: The endpoint's name.
        deployment: Number of the deployment, which no other has.
        config: An item of the configuration's ProductionVariants.
        model: Its model.
        health: When its containers count as healthy, as far as the configuration does not say.
        isolated: Its containers reach nothing.

    Attributes:
        weight: Its share of the traffic, relative to its siblings'.
        desired_weight: What the weight is about to be.
        desired_count: How many instances it is about to have.
        serverless: ServerlessConfig, None when it has instances.
        instances: Its instances, starting or not.
    """

    def __init__(
        self,
        cloud: CloudContext,
        endpoint: str,
        deployment: int,
        config: Mapping[str, Any],
        model: Model,
        *,
        health: Health,
        isolated: bool,
    ) -> None:
        self.cloud = cloud
        self.endpoint = endpoint
        self.name: str = config["VariantName"]
        self.model = model
        self.config = config
        self.weight: float = config["InitialVariantWeight"]
        self.desired_weight = self.weight
        self.serverless: Mapping[str, Any] | None = config.get("ServerlessConfig")
        self.desired_count: int = config.get("InitialInstanceCount", 1)
        self.ready_at: float | None = None
        self.instances: list[Instance] = []
        name = f"{endpoint}-{deployment}-{self.name}"
        memory: int | None = None
        cpus: float | None = None
        if self.serverless is not None:
            memory = self.serverless["MemorySizeInMB"] * MB
        else:
            memory, cpus = limits(config["InstanceType"])
        self._data = ModelData(cloud.folder / "sagemaker" / "endpoint" / name)
        self._setup = Setup(
            cloud=cloud,
            endpoint=endpoint,
            variant=self.name,
            prefix=f"endpoint-{name}",
            model=model,
            data=self._data,
            isolated=isolated or model.isolated,
            health=replace(
                health,
                startup_limit=config.get("ContainerStartupHealthCheckTimeoutInSeconds", health.startup_limit),
            ),
            memory=memory,
            cpus=cpus,
        )
        self._numbers = itertools.count(1)
        self._turn = itertools.count()
        self._images: list[dict[str, str]] = []

    # Its life ----------------------------------------------------------------------------------------

    async def start(self, count: int | None = None) -> None:
        """Fetch the model and start the instances.

        Args:
            count: How many; all that are desired when None.

        Raises:
            StartFailed: One does not get ready.
        """
        await self._fetch()
        await self.scale(self.desired_count if count is None else count)
        self._images = [
            {
                "SpecifiedImage": container.image,
                "ResolvedImage": resolved(
                    container.image, require_model_image(self.cloud.images, container.image)
                ),
            }
            for container in self.model.containers
        ]
        self.ready_at = self.cloud.clock.now()

    async def _fetch(self) -> None:
        limit = self.config.get("VolumeSizeInGB")
        seconds = self.config.get("ModelDataDownloadTimeoutInSeconds", DOWNLOAD_LIMIT)
        try:
            async with asyncio.timeout(seconds):
                await self._data.fetch(
                    self.cloud.storage, self.model, limit=limit * GB if limit else SIZE_LIMIT
                )
        except TimeoutError:
            raise StartFailed(
                f"The model data for the production variant {self.name} was not downloaded within "
                f"{seconds:g} s."
            ) from None
        except DataFailed as error:
            hostname, url = error.container.hostname, error.url
            if not error.archive:
                raise StartFailed(
                    f'Failed to download model data for container "{hostname}" from URL "{url}". Please '
                    f"ensure that there is an object located at the URL. {error}"
                ) from error
            self.cloud.events.publish("warning", self.endpoint, message=f"{url}: {error}")
            raise StartFailed(
                f'Failed to extract model data archive for container "{hostname}" from URL "{url}". Please '
                "ensure that the object located at the URL is a valid tar.gz archive."
            ) from error

    async def scale(self, count: int) -> None:
        """Start or stop instances until there are `count`.

        Raises:
            StartFailed: A new one does not get ready; there are as many as before.
        """
        added = [Instance(self._setup, next(self._numbers)) for _ in range(count - len(self.instances))]
        self.instances += added
        try:
            await start_all(instance.start() for instance in added)
        except BaseException:
            self.instances = [instance for instance in self.instances if instance not in added]
            await asyncio.gather(*(instance.stop(0) for instance in added))
            raise
        surplus = self.instances[count:]
        del self.instances[count:]
        await asyncio.gather(*(instance.stop(STOP_GRACE) for instance in surplus))

    async def stop(self, grace: float) -> None:
        """Stop every instance."""
        await asyncio.gather(*(instance.stop(grace) for instance in self.instances))
        await self._data.remove()

    # Its traffic -------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Invocations under way."""
        return sum(instance.in_flight for instance in self.instances)

    @property
    def concurrency(self) -> int | None:
        """How many invocations a serverless variant takes at a time; None for any number."""
        return self.serverless["MaxConcurrency"] if self.serverless else None

    def instance(self) -> Instance | None:
        """An instance that is ready; None when there is none just now.

        They take turns, unless the configuration's RoutingConfig wants a random one or the least busy.
        """
        ready = [instance for instance in self.instances if instance.ready]
        if not ready:
            return None
        strategy = self.config.get("RoutingConfig", {}).get("RoutingStrategy")
        if strategy == "LEAST_OUTSTANDING_REQUESTS":
            return min(ready, key=lambda instance: instance.in_flight)
        if strategy == "RANDOM":
            return self.cloud.entropy.choice(ready)
        return ready[next(self._turn) % len(ready)]

    def describe(self) -> dict[str, Any]:
        """Its ProductionVariantSummary."""
        described: dict[str, Any] = {"VariantName": self.name}
        if self.ready_at is not None:
            at = moment(self.ready_at)
            described["DeployedImages"] = [image | {"ResolutionTime": at} for image in self._images]
        described |= {"CurrentWeight": self.weight, "DesiredWeight": self.desired_weight}
        if self.serverless is not None:
            described |= {"CurrentInstanceCount": 0, "CurrentServerlessConfig": dict(self.serverless)}
        else:
            described |= {
                "CurrentInstanceCount": len(self.instances),
                "DesiredInstanceCount": self.desired_count,
            }
        if "RoutingConfig" in self.config:
            described["RoutingConfig"] = self.config["RoutingConfig"]
        return described


class Fleet:
    """All variants of one version of an endpoint.

    Args:
        cloud: Where they run.
        endpoint: The endpoint's name.
        deployment: As for `Variant`.
        config: Its configuration.
        health: As for `Variant`.

    Attributes:
        stage: What goes on with it while it is deployed: a VariantStatus; empty when nothing does.
        stage_since: Virtual seconds.
    """

    def __init__(
        self,
        cloud: CloudContext,
        endpoint: str,
        deployment: int,
        config: EndpointConfig,
        health: Health,
    ) -> None:
        self._clock = cloud.clock
        self.config = config
        self.variants = {
            variant["VariantName"]: Variant(
                cloud,
                endpoint,
                deployment,
                variant,
                config.models[variant["VariantName"]],
                health=health,
                isolated=config.isolated,
            )
            for variant in config.variants
        }
        self.enter("Creating")

    def enter(self, stage: str) -> None:
        """Begin a stage of its deployment."""
        self.stage = stage
        self.stage_since = self._clock.now()

    async def start(self, count: Callable[[Variant], int] | None = None) -> None:
        """Start every variant; stop all of them when one fails.

        Args:
            count: How many instances of a variant; all that are desired when None.

        Raises:
            StartFailed: One does not get ready.
        """
        try:
            await start_all(
                variant.start(count(variant) if count is not None else None)
                for variant in self.variants.values()
            )
        except BaseException:
            await self.stop(grace=0)
            raise

    async def scale(self, count: Callable[[Variant], int]) -> None:
        """Give every variant another number of instances.

        Raises:
            StartFailed: One does not get ready.
        """
        await start_all(variant.scale(count(variant)) for variant in self.variants.values())

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


async def start_all(starts: Iterable[Any]) -> None:
    """Await all; with the first failure cancel the others, wait for their end, and raise it.

    Raises:
        StartFailed: The first.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for start in starts:
                group.create_task(start)
    except* StartFailed as failures:
        first: BaseException = failures.exceptions[0]
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
