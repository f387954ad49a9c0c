"""The local cloud in this process, with a project's bundle deployed on it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Hashable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from harness.clock import Clock, RealClock, SkippingClock
from harness.cloud import Cloud
from harness.cloud.cloud import SERVICES
from harness.cloud.events import Event, EventBus
from harness.cloud.faults import Faults
from harness.cloud.service import CloudContext, Service
from harness.containers.runtime import ContainerRuntime, ImageSource
from harness.containers.session import Session
from harness.errors import DockerfileError
from harness.project.bundle import Bundle, ImageContext
from harness.project.settings import FILE_NAME, Settings
from harness.targets.base import Deployment, Machine, Progress
from harness.targets.runtimes import RuntimeChoice, choose
from harness.targets.stack import LocalStack

__all__ = ["EmbeddedTarget"]

ClockKind = Literal["skip", "real"]

SEED = 0
"""Of a cloud that is brought up for one replay: the same scenario gets the same ids."""


class EmbeddedTarget:
    """See `harness.targets.base.Target`. Use `start`.

    Attributes:
        cloud: The cloud itself.
        chosen: One sentence on how containers run, and why so.
    """

    name = "embedded"

    def __init__(self, root: Path, cloud: Cloud, runtime: ContainerRuntime, chosen: str) -> None:
        self.cloud = cloud
        self.chosen = chosen
        self._root = root
        self._runtime = runtime
        self._stack = LocalStack(self.call, self.put, cloud.account, cloud.region)
        self._differences: dict[str, None] = {}  # in the order in which they were announced

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        root: Path,
        *,
        port: int = 0,
        clock: ClockKind = "skip",
        lasting: bool = False,
        containers: RuntimeChoice = "auto",
    ) -> AsyncIterator[EmbeddedTarget]:
        """Bring up a cloud for as long as the context is open; nothing of it is left afterwards.

        Args:
            root: The project's folder.
            port: On 127.0.0.1; 0 for any that is free.
            clock: How time passes.
            lasting: It is kept for many runs: time does not stand still between them, and ids never repeat.
            containers: What runs them.

        Raises:
            EnvironmentFault: The port is taken, or Docker was asked for and no engine answers.
            SettingsError: harness.toml is missing or wrong.
        """

        def released(message: str) -> None:
            cloud.events.publish("warning", "clock", message=message)

        settings = Settings.load(root / FILE_NAME).containers

        def sagemaker(cloud: CloudContext) -> Service:
            from harness.cloud.sagemaker import SageMaker

            return SageMaker(cloud, startup_limit=settings.startup_limit)

        with Session(root) as session:
            runtime, chosen = choose(containers, session=session, internet=settings.internet)
            try:
                timing = RealClock() if clock == "real" else SkippingClock(drift=lasting, on_release=released)
                cloud = Cloud(
                    clock=timing,
                    containers=runtime,
                    folder=session.folder("cloud"),
                    failed=root / ".harness" / "failed",
                    entropy=random.Random() if lasting else random.Random(SEED),
                    services={**SERVICES, "sagemaker": sagemaker},
                )
                await cloud.start(port)
                try:
                    yield cls(root, cloud, runtime, chosen)
                finally:
                    await cloud.stop()
            finally:
                await runtime.close()

    @property
    def clock(self) -> Clock:
        return self.cloud.clock

    @property
    def events(self) -> EventBus:
        return self.cloud.events

    @property
    def containers(self) -> str:
        return self._runtime.name

    async def deploy(self, bundle: Bundle, on_progress: Progress) -> Deployment:
        def announced(event: Event) -> None:
            if event.kind == "warning":
                self._differences[f"{event.subject}: {event.data['message']}"] = None

        on_progress(self.chosen)
        parameters = Settings.load(self._root / FILE_NAME).local
        await self._build_images(bundle, on_progress)
        unsubscribe = self.events.subscribe(announced)
        try:
            await self._stack.deploy(bundle, parameters, on_progress)
        finally:
            unsubscribe()
        return self._described(bundle)

    async def call(self, service: str, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        return await self.cloud.call(service, operation, params)

    def put(self, bucket: str, key: str, body: bytes) -> None:
        self.cloud.storage.put(bucket, key, body)

    def versions(self, bucket: str, prefix: str) -> Mapping[str, Hashable]:
        return self.cloud.storage.versions(bucket, prefix)

    def inject(self, faults: Faults) -> None:
        self.cloud.faults = faults

    async def _build_images(self, bundle: Bundle, on_progress: Progress) -> None:
        """Build the images that are not there yet, at the same time."""
        loop = asyncio.get_running_loop()
        images = Settings.load(self._root / FILE_NAME).images

        async def build(context: ImageContext, uri: str) -> None:
            def from_thread(line: str) -> None:
                loop.call_soon_threadsafe(on_progress, f"image {context.name}: {line}")

            source = ImageSource(
                name=context.name,
                context=bundle.file(context.path),
                dockerfile=context.dockerfile,
                build_args=context.build_args,
                ignore=images[context.name].ignore,
            )
            try:
                self.cloud.images[uri] = await self._runtime.build(source, from_thread)
            except DockerfileError as error:
                # The file that the user can mend is the one the bundle's was made from.
                settings = images[context.name]
                error.file = self._root / settings.context / settings.dockerfile
                raise

        wanted = {
            context.uri(self.cloud.account, self.cloud.region): context for context in bundle.images.values()
        }
        missing = [(uri, context) for uri, context in wanted.items() if uri not in self.cloud.images]
        try:
            async with asyncio.TaskGroup() as group:
                for uri, context in missing:
                    group.create_task(build(context, uri))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures

    def _described(self, bundle: Bundle) -> Deployment:
        resources = self._stack.resources
        physical = {logical_id: resource.physical_id for logical_id, resource in resources.items()}
        of_type = {
            kind: {name: item for name, item in resources.items() if item.type == f"AWS::{kind}"}
            for kind in ("Lambda::Function", "StepFunctions::StateMachine")
        }
        return Deployment(
            bundle=bundle.id,
            names={**physical, **self._stack.parameters, **self._stack.outputs},
            functions={name: item.name for name, item in of_type["Lambda::Function"].items()},
            machines={
                name: Machine(item.physical_id, json.loads(item.properties["DefinitionString"]))
                for name, item in of_type["StepFunctions::StateMachine"].items()
            },
            warnings=(*bundle.warnings, *self._runtime.warnings, *self._differences),
        )
