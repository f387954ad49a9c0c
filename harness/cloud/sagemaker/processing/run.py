"""How one processing job runs: download, containers, upload."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.access import access
from harness.cloud.sagemaker.channels import Channel
from harness.cloud.sagemaker.data import pull
from harness.cloud.sagemaker.hosts import Beside, HostEnd, HostRun, run_hosts
from harness.cloud.sagemaker.jobs import Job, Jobs, LogStream, failure_of, storage_failure
from harness.cloud.sagemaker.mirror import Mirror
from harness.cloud.sagemaker.pipes import Pipes
from harness.cloud.sagemaker.validation import S3Location, parse_s3
from harness.containers.contract.processing import (
    ProcessingFolder,
    below_root,
    exit_message,
    processing_hosts,
    processing_spec,
)
from harness.containers.runtime import Container, ContainerSpec, Image
from harness.errors import ContainerError, HarnessError

__all__ = ["ProcessingJob", "ProcessingRun"]

UPLOAD_INTERVAL = 1.0
"""Real seconds between two looks for new files of an output that is uploaded while the job runs."""


class ProcessingJob(Job):
    """A processing job as the API knows it."""

    started: float | None = None
    exit_message: str | None = None


@dataclass
class Result:
    """What came out of the containers.

    Attributes:
        reason: Why the job fails, None when it does not.
        message: The ExitMessage, if there is one.
        objects: What is to be uploaded, and where to.
        explanation: How to run the containers again by hand.
        lost: Some of it cannot be uploaded, which fails even a job that has been stopped.
    """

    reason: str | None = None
    message: str | None = None
    objects: list[tuple[S3Location, bytes]] = field(default_factory=list)
    explanation: str | None = None
    lost: bool = False

    def lose(self, error: Exception) -> None:
        """Say that an upload failed."""
        self.reason = self.reason or f"ClientError: Failed to upload data. {storage_failure(error)}"
        self.lost = True


class ProcessingRun:
    """Runs one processing job.

    Args:
        jobs: Where it belongs.
        job: The job; its request has all defaults filled in.
        image: Its image, None when there is none of that name.
    """

    def __init__(self, jobs: Jobs[ProcessingJob], job: ProcessingJob, image: Image | None) -> None:
        self._jobs = jobs
        self._cloud = jobs.cloud
        self._job = job
        self._image = image
        self._folder = jobs.folder / job.name
        self._outputs = [item["S3Output"] for item in job.request["ProcessingOutputConfig"]["Outputs"]]
        self._folders = [
            ProcessingFolder(self._folder / host, host) for host in processing_hosts(job.request)
        ]
        self._mirrors: list[tuple[int, PurePosixPath, Mirror]] = []
        """Outputs that are uploaded while the job runs: a host's number, LocalPath, what S3 has of it."""
        self._logs = {
            folder.host: LogStream(
                jobs.cloud,
                jobs.group,
                f"{job.name}/{folder.host}-{int(job.created):010d}",
                subject=job.name,
                kind="processing",
                host=folder.host,
            )
            for folder in self._folders
        }

    async def live(self) -> None:
        """Run the job to its end."""
        job = self._job
        started = job.started = self._cloud.clock.now()
        self._jobs.announce(job)
        longest = job.request["StoppingCondition"]["MaxRuntimeInSeconds"]
        result = await self._jobs.carry_out(
            job, self._attempt, limit=started + longest, until=lambda _: started + job.fault.takes
        )
        self._finish(result)
        self._jobs.sweep(self._folder)

    async def _attempt(self) -> Result:
        """Everything that takes real time."""
        try:
            return await self._execute()
        finally:
            for log in self._logs.values():
                log.flush()

    async def _execute(self) -> Result:
        job = self._job
        ends: list[HostEnd] = []
        if job.fault.run:
            if self._image is None:
                uri = job.request["AppSpecification"]["ImageUri"]
                return Result(
                    f"ClientError: API error (404): manifest for {uri} not found: manifest unknown: "
                    "Requested image not found"
                )
            try:
                await self._download()
            except (ServiceError, ContainerError, OSError) as error:
                return Result(f"ClientError: Failed to download data. {storage_failure(error)}")
            if job.stopped_by is None:
                try:
                    ends = await self._process(self._image)
                except ServiceError as error:
                    return Result(f"ClientError: Failed to download data. {storage_failure(error)}")
                except (HarnessError, OSError) as error:
                    return self._broken(error)
        return await self._outcome(ends)

    def _broken(self, error: Exception) -> Result:
        """A container could not be started, or the engine that ran it is gone."""
        self._logs[self._folders[0].host].write(f"The container could not be run: {error}")
        text = error.message if isinstance(error, HarnessError) else str(error)
        return Result(f"InternalServerError: The container could not be run: {text}")

    # Before -------------------------------------------------------------------------------------------

    async def _download(self) -> None:
        job, storage = self._job, self._cloud.storage
        for number, folder in enumerate(self._folders):
            await asyncio.to_thread(folder.prepare, job.request, arn=job.arn)
            for output in self._outputs:
                if output["S3UploadMode"] == "Continuous":
                    place, local = parse_s3(output["S3Uri"]), PurePosixPath(output["LocalPath"])
                    mirror = Mirror(storage, place, folder, below_root(local))
                    self._mirrors.append((number, local, mirror))
            for path, source in self._inputs(number):
                if source.mode == "File":
                    await pull(storage, source.objects(storage), partial(folder.write, path))
                if job.stopped_by is not None:
                    return

    def _inputs(self, number: int) -> list[tuple[str, Channel]]:
        """What a host, given by its number, gets: LocalPath and source of each input."""
        return [
            (
                item["S3Input"]["LocalPath"],
                Channel(
                    name=item["InputName"],
                    mode=item["S3Input"]["S3InputMode"],
                    data_type=item["S3Input"]["S3DataType"],
                    uri=item["S3Input"]["S3Uri"],
                    gzip=item["S3Input"]["S3CompressionType"] == "Gzip",
                    shard=(number, len(self._folders))
                    if item["S3Input"]["S3DataDistributionType"] == "ShardedByS3Key"
                    else None,
                ),
            )
            for item in self._job.request["ProcessingInputs"]
        ]

    # Meanwhile ----------------------------------------------------------------------------------------

    async def _process(self, image: Image) -> list[HostEnd]:
        """Run the containers to their end, or stop them when the job is stopped.

        Raises:
            ServiceError: What is to be streamed is not there.
            ContainerError: A container could not be started, or how it ended cannot be known.
        """
        pipes: list[Pipes] = []
        beside: list[Beside] = [self._upload] if self._mirrors else []
        try:
            for number, folder in enumerate(self._folders):
                for path, source in self._inputs(number):
                    if source.mode == "Pipe":
                        place = folder.place(path)
                        fifos = Pipes(place.parent)
                        pipes.append(fifos)
                        beside.append(fifos.watch)
                        fifos.add(place.name, partial(source.stream, self._cloud.storage))
            return await run_hosts(
                self._cloud,
                [
                    HostRun(self._spec(image, folder), self._logs[folder.host].write)
                    for folder in self._folders
                ],
                self._job.interrupt,
                network_name=f"processing-{self._job.name}",
                beside=beside,
            )
        finally:
            await asyncio.gather(*(fifos.close() for fifos in pipes))

    def _spec(self, image: Image, folder: ProcessingFolder) -> ContainerSpec:
        request, cloud = self._job.request, self._cloud
        reach = access(
            cloud,
            name=self._job.name,
            role=request["RoleArn"],
            isolated=bool(request.get("NetworkConfig", {}).get("EnableNetworkIsolation")),
        )
        return processing_spec(
            request,
            image=image,
            folder=folder,
            region=cloud.region,
            gateway=reach.gateway,
            access=reach.environment,
        )

    async def _upload(self, containers: Sequence[Container]) -> None:
        """Take to S3 what the containers write into continuous outputs, as they write it."""
        while True:
            await asyncio.sleep(UPLOAD_INTERVAL)
            for number, path, mirror in self._mirrors:
                # What keeps them from being uploaded now is told at the end, if it is still so.
                with suppress(ServiceError, ContainerError):
                    await containers[number].refresh(path)
                    await asyncio.to_thread(mirror.store)

    # After --------------------------------------------------------------------------------------------

    async def _outcome(self, ends: list[HostEnd]) -> Result:
        """What the containers left, and why the job fails, if it does."""
        job = self._job
        # The exit code of a container that was told to stop is no failure.
        reason = failure_of(ends, job.fault, lambda _: None) if job.stopped_by is None else None
        result = await asyncio.to_thread(self._collect, reason)
        if result.reason is not None and job.stopped_by is None:
            result.explanation = await self._jobs.explain(job, self._folder, ends)
            if result.explanation is not None:
                self._logs[self._folders[0].host].extend(result.explanation.splitlines())
        return result

    def _collect(self, reason: str | None) -> Result:
        """Read what the containers left, also when they failed. Runs in a thread."""
        result = Result(reason)
        try:
            result.message = exit_message(self._folders)
        except ContainerError as error:
            result.reason = result.reason or f"ClientError: {error.message}"
        try:
            for _, _, mirror in self._mirrors:
                mirror.store()
            for output in self._outputs:
                if output["S3UploadMode"] == "EndOfJob":
                    place, path = parse_s3(output["S3Uri"]), output["LocalPath"]
                    for folder in self._folders:
                        result.objects += [(place.child(name), data) for name, data in folder.results(path)]
        except (ContainerError, ServiceError) as error:
            result.lose(error)
        return result

    def _finish(self, result: Result) -> None:
        """Upload and end. Not a coroutine: nothing may happen in between."""
        job = self._job
        try:
            for place, content in result.objects:
                self._cloud.storage.put(place.bucket, place.key, content)
        except ServiceError as error:
            result.lose(error)
        job.exit_message = result.message
        if job.stopped_by is not None and not result.lost:
            self._jobs.end(job, "Stopped")
        elif result.reason is not None:
            self._jobs.end(job, "Failed", result.reason, result.explanation)
        else:
            self._jobs.end(job, "Completed")
