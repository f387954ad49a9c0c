"""How one training job runs, from Starting to its end."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePath

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.access import access
from harness.cloud.sagemaker.channels import channels_of
from harness.cloud.sagemaker.data import pull
from harness.cloud.sagemaker.hosts import Beside, HostEnd, HostRun, run_hosts
from harness.cloud.sagemaker.jobs import Jobs, LogStream, failure_of, pause, storage_failure
from harness.cloud.sagemaker.pipes import Pipes
from harness.cloud.sagemaker.training.checkpoints import Checkpoints
from harness.cloud.sagemaker.training.debugger import hook_config, store_tensors
from harness.cloud.sagemaker.training.job import MAX_RUNTIME, MESSAGES, TrainingJob
from harness.cloud.sagemaker.training.metrics import Metrics
from harness.cloud.sagemaker.training.output import Upload, empty_model, models, outputs
from harness.cloud.sagemaker.training.profiler import profiled
from harness.cloud.sagemaker.validation import parse_s3
from harness.containers.contract.folder import ROOT, ContractFolder
from harness.containers.contract.training import (
    JobFolder,
    checkpoint_path,
    instance_groups,
    training_spec,
)
from harness.containers.runtime import Container, ContainerSpec, Image
from harness.errors import ContainerError, HarnessError

__all__ = ["TrainingRun"]

SYNC_INTERVAL = 1.0
"""Real seconds between two looks for new checkpoints and metrics."""


@dataclass
class Result:
    """What came of an attempt to run a job.

    Attributes:
        reason: Why the job fails, None when it does not.
        uploads: What is to be stored, and where.
        again: The secondary status in which the job waits for its next attempt; None when this was the last.
        message: How to run the containers again by hand.
    """

    reason: str | None = None
    uploads: list[Upload] = field(default_factory=list)
    again: str | None = None
    message: str | None = None


class TrainingRun:
    """Runs one training job.

    Args:
        jobs: Where it belongs.
        job: The job.
        image: Its image.
    """

    def __init__(self, jobs: Jobs[TrainingJob], job: TrainingJob, image: Image) -> None:
        request = job.request
        self._jobs = jobs
        self._cloud = jobs.cloud
        self._job = job
        self._image = image
        self._folder = jobs.folder / job.name
        self._hosts = [host for group in instance_groups(request["ResourceConfig"]) for host in group.hosts]
        self._folders = [JobFolder(self._folder / host, host) for host in self._hosts]
        self._logs = {
            host: LogStream(
                jobs.cloud,
                jobs.group,
                f"{job.name}/{host}-{int(job.created):010d}",
                subject=job.name,
                kind="training",
                host=host,
            )
            for host in self._hosts
        }
        self._metrics = Metrics(jobs.cloud, request, job.measure)
        self._checkpoints: list[Checkpoints] = []
        self._retries: int = request.get("RetryStrategy", {}).get("MaximumRetryAttempts", 0)
        self._interruptions = job.fault.interruptions if request.get("EnableManagedSpotTraining") else 0
        self._reclaimed = False

    # Attempt after attempt ----------------------------------------------------------------------------

    async def live(self) -> None:
        """Run the job to its end."""
        job, clock, condition = self._job, self._cloud.clock, self._job.request["StoppingCondition"]
        started = clock.now()
        limit = started + condition.get("MaxRuntimeInSeconds", MAX_RUNTIME)

        def until(result: Result) -> float:
            return clock.now() if result.again else started + job.fault.takes

        longest_wait = condition.get("MaxWaitTimeInSeconds")
        wait = clock.call_at(started + longest_wait, self._waited_too_long) if longest_wait else None
        try:
            while True:
                result = await self._jobs.carry_out(job, self._attempt, limit=limit, until=until)
                if result.again is None or job.status != "InProgress":
                    break
                job.interrupt.clear()
                self._enter(result.again)
                limit += await self._capacity()  # without instances the clock of MaxRuntimeInSeconds stands
                if job.status != "InProgress":
                    break
                self._enter("Starting")
        finally:
            if wait is not None:
                wait.cancel()
        self._finish(result)
        self._jobs.sweep(self._folder)

    async def _capacity(self) -> float:
        """Wait for instances after an interruption, or for a stop; the virtual seconds that it took."""
        job, clock = self._job, self._cloud.clock
        if job.secondary != "Interrupted":
            return 0.0
        began = clock.now()
        await pause(clock, began + job.fault.capacity_after, job.interrupt)
        if job.stopped_by is None:
            job.interrupt.clear()
        return clock.now() - began

    def _waited_too_long(self) -> None:
        self._job.stop("MaxWaitTimeExceeded")
        self._jobs.announce(self._job)

    async def _attempt(self) -> Result:
        """Everything that takes real time: download, containers, packing."""
        try:
            async with profiled(self._cloud, self._job.request):
                return await self._execute()
        finally:
            await self._metrics.send()
            for log in self._logs.values():
                log.flush()

    async def _execute(self) -> Result:
        job, fault = self._job, self._job.fault
        self._enter("Starting")
        self._enter("Downloading")
        ends: list[HostEnd] = []
        if fault.run:
            try:
                await self._download()
            except (ServiceError, ContainerError, OSError) as error:
                return Result(f"ClientError: Data download failed: {storage_failure(error)}")
            if job.stopped_by is None:
                self._enter("Training")
                try:
                    ends = await self._train()
                except ServiceError as error:
                    return Result(f"ClientError: Data download failed: {storage_failure(error)}")
                except (HarnessError, OSError) as error:
                    return self._broken(error)
        else:
            self._enter("Training")
        if self._reclaimed and job.stopped_by is None:
            return Result(again="Interrupted")
        return await self._outcome(ends)

    def _broken(self, error: Exception) -> Result:
        """The container could not be started, or the engine that ran it is gone."""
        self._logs[self._hosts[0]].write(f"The container could not be run: {error}")
        if self._retries > 0 and self._job.stopped_by is None:
            self._retries -= 1
            return Result(again="Starting")
        text = error.message if isinstance(error, HarnessError) else str(error)
        return Result(f"InternalServerError: The container could not be run: {text}")

    # Before -------------------------------------------------------------------------------------------

    async def _download(self) -> None:
        job, request, storage = self._job, self._job.request, self._cloud.storage
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)  # of the attempt before
        self._checkpoints = []
        self._folders = [JobFolder(self._folder / host, host) for host in self._hosts]
        for folder in self._folders:
            await asyncio.to_thread(folder.prepare, request, hook_config(request))
            for channel in channels_of(request, folder.host):
                if channel.mode == "Pipe":
                    continue
                objects = channel.objects(storage)
                await pull(storage, objects, partial(folder.write, channel.name))
                if job.stopped_by is not None:
                    return
            await self._restore(folder)

    async def _restore(self, folder: JobFolder) -> None:
        """Bring the checkpoints of a host from S3."""
        path = checkpoint_path(self._job.request)
        if path is None:
            return
        place = parse_s3(self._job.request["CheckpointConfig"]["S3Uri"])
        if path.is_relative_to(ROOT):
            base, below = ContractFolder(folder.path), PurePath(path.relative_to(ROOT))
        else:
            base, below = ContractFolder(self._folder), PurePath(f"checkpoints-{folder.host}")
        checkpoints = Checkpoints(self._cloud.storage, place, base, below)
        await checkpoints.restore()
        self._checkpoints.append(checkpoints)

    # Meanwhile ----------------------------------------------------------------------------------------

    async def _train(self) -> list[HostEnd]:
        """Run the containers to their end, or stop them when the job is stopped.

        Raises:
            ServiceError: What is to be streamed, or where checkpoints go, is not there.
            ContainerError: A container could not be started, or how it ended cannot be known.
        """
        job, request, storage = self._job, self._job.request, self._cloud.storage
        pipes: list[Pipes] = []
        beside: list[Beside] = [self._look_after]
        reclaim, self._reclaimed = None, False
        try:
            for folder in self._folders:
                streamed = [
                    channel for channel in channels_of(request, folder.host) if channel.mode == "Pipe"
                ]
                if streamed:
                    fifos = Pipes(folder.path / "input" / "data")
                    pipes.append(fifos)
                    beside.append(fifos.watch)
                    for channel in streamed:
                        fifos.add(channel.name, partial(channel.stream, storage))
            if self._interruptions > 0:
                self._interruptions -= 1
                reclaim = asyncio.get_running_loop().call_later(job.fault.interrupted_after, self._reclaim)
            ends = await run_hosts(
                self._cloud,
                [HostRun(self._spec(folder), partial(self._line, folder.host)) for folder in self._folders],
                job.interrupt,
                network_name=f"training-{job.name}",
                beside=beside,
            )
        finally:
            if reclaim is not None:
                reclaim.cancel()
            await asyncio.gather(*(fifos.close() for fifos in pipes))
        for checkpoints in self._checkpoints:
            await asyncio.to_thread(checkpoints.store)
        return ends

    def _spec(self, folder: JobFolder) -> ContainerSpec:
        job, request, cloud = self._job, self._job.request, self._cloud
        path = checkpoint_path(request)
        apart = path is not None and not path.is_relative_to(ROOT)
        reach = access(
            cloud,
            name=job.name,
            role=request["RoleArn"],
            isolated=bool(request.get("EnableNetworkIsolation")),
        )
        return training_spec(
            request,
            image=self._image,
            folder=folder,
            arn=job.arn,
            region=cloud.region,
            checkpoints=self._folder / f"checkpoints-{folder.host}" if apart else None,
            gateway=reach.gateway,
            access=reach.environment,
        )

    def _line(self, host: str, line: str) -> None:
        self._logs[host].write(line)
        self._metrics.scan(line)

    def _reclaim(self) -> None:
        """Take the spot instances away."""
        self._reclaimed = True
        self._job.interrupt.set()

    async def _look_after(self, containers: Sequence[Container]) -> None:
        """Take to S3 and CloudWatch what the containers write, as they write it."""
        path = checkpoint_path(self._job.request)
        while True:
            await asyncio.sleep(SYNC_INTERVAL)
            await self._metrics.send()
            if path is None:
                continue
            for container, checkpoints in zip(containers, self._checkpoints, strict=True):
                # What keeps them from being stored now is told at the end, if it is still so.
                with suppress(ServiceError, ContainerError):
                    await container.refresh(path)
                    await asyncio.to_thread(checkpoints.store)

    # After --------------------------------------------------------------------------------------------

    async def _outcome(self, ends: list[HostEnd]) -> Result:
        """What the containers left, packed; and why the job fails, if it does."""
        reason = failure_of(ends, self._job.fault, lambda number: self._folders[number].failure())
        try:
            result = await asyncio.to_thread(self._collect, reason)
        except ContainerError as error:
            result = Result(reason or f"ClientError: Artifact upload failed: {error.message}")
        if result.reason is not None and self._job.stopped_by is None:
            result.message = await self._jobs.explain(self._job, self._folder, ends)
            if result.message is not None:
                self._logs[self._hosts[0]].extend(result.message.splitlines())
        return result

    def _collect(self, reason: str | None) -> Result:
        """Pack what the containers left. Runs in a thread.

        Raises:
            ContainerError: It cannot be packed.
        """
        job = self._job
        for folder in self._folders:
            store_tensors(self._cloud, job.request, folder)
        model = models(job, self._folders)
        if not model:
            if not job.fault.run and reason is None:
                model = empty_model(job)
            elif reason is None and job.stopped_by is None:
                reason = "ClientError: Artifact upload failed: No model artifacts found in /opt/ml/model"
        return Result(reason, [*model, *outputs(job, self._folders)])

    def _finish(self, result: Result) -> None:
        """Upload and end. Not a coroutine: nothing may happen in between."""
        job, reason = self._job, result.reason
        if result.uploads:
            self._enter("Uploading")
        try:
            for place, content in result.uploads:
                self._cloud.storage.put(place.bucket, place.key, content)
        except ServiceError as error:
            reason = reason or f"ClientError: Artifact upload failed: {storage_failure(error)}"
            job.stopped_by = None
        if job.stopped_by is not None:
            self._jobs.end(job, "Stopped")
        elif reason is not None:
            self._jobs.end(job, "Failed", reason, result.message)
        else:
            self._jobs.end(job, "Completed")

    def _enter(self, secondary: str) -> None:
        if secondary != self._job.secondary:
            self._job.enter(secondary)
        self._jobs.announce(self._job, MESSAGES[secondary])
