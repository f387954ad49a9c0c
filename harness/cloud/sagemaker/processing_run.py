"""How one processing job runs: download, container, upload."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.data import pull, select
from harness.cloud.sagemaker.jobs import Job, Jobs, LogStream, pause, run_container, storage_failure
from harness.cloud.sagemaker.validation import S3Location, parse_s3
from harness.containers.contract.processing import ProcessingFolder, processing_spec
from harness.containers.contract.training import algorithm_error
from harness.containers.runtime import Image
from harness.errors import ContainerError, HarnessError

__all__ = ["ProcessingJob", "ProcessingRun"]


class ProcessingJob(Job):
    """A processing job as the API knows it."""

    started: float | None = None
    exit_message: str | None = None


@dataclass
class Result:
    """What came out of the container.

    Attributes:
        reason: Why the job fails, None when it does not.
        message: The ExitMessage, if there is one.
        objects: What is to be uploaded, and where to.
    """

    reason: str | None = None
    message: str | None = None
    objects: list[tuple[S3Location, bytes]] = field(default_factory=list)


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
        self._folder = ProcessingFolder(jobs.folder / job.name)
        self._log = LogStream(
            jobs.cloud,
            jobs.group,
            f"{job.name}/algo-1-{int(job.created):010d}",
            subject=job.name,
            kind="processing",
            host="algo-1",
        )

    async def live(self) -> None:
        """Run the job to its end."""
        job, clock = self._job, self._cloud.clock
        started = job.started = clock.now()
        self._jobs.announce(job)
        longest = job.request["StoppingCondition"]["MaxRuntimeInSeconds"]
        limit = clock.call_at(started + longest, self._out_of_time)
        try:
            with clock.work("job"):
                try:
                    result = await self._execute()
                finally:
                    self._log.flush()
            await pause(clock, started + job.fault.takes, job.interrupt)
        finally:
            limit.cancel()
        self._finish(result)
        self._jobs.sweep(self._folder.path)

    def _out_of_time(self) -> None:
        if self._job.status == "InProgress":
            self._job.stop()
            self._jobs.announce(self._job)

    async def _execute(self) -> Result:
        """Everything that takes real time."""
        job, fault = self._job, self._job.fault
        code = 0
        if fault.run:
            if self._image is None:
                uri = job.request["AppSpecification"]["ImageUri"]
                return Result(
                    f"ClientError: API error (404): manifest for {uri} not found: manifest unknown: "
                    "Requested image not found"
                )
            try:
                await self._download()
            except (ServiceError, ContainerError) as error:
                return Result(f"ClientError: Failed to download data. {storage_failure(error)}")
            if job.stopped_by is None:
                try:
                    code = await self._process(self._image)
                except HarnessError as error:
                    self._log.write(f"The container could not be started: {error}")
                    return Result(f"InternalServerError: The container could not be started: {error.message}")
        if fault.exit_code is not None:
            code = fault.exit_code
        if fault.failure is not None and not code:
            code = 1
        return await asyncio.to_thread(self._collect, code)

    async def _download(self) -> None:
        job, storage = self._job, self._cloud.storage
        await asyncio.to_thread(self._folder.prepare, job.request, arn=job.arn)
        for item in job.request["ProcessingInputs"]:
            source = item["S3Input"]
            objects = select(storage, source["S3DataType"], source["S3Uri"])
            await pull(storage, objects, partial(self._folder.write, source["LocalPath"]))
            if job.stopped_by is not None:
                return

    async def _process(self, image: Image) -> int:
        """Run the container to its end, or stop it when the job is stopped; its exit code."""
        job, cloud = self._job, self._cloud
        spec = processing_spec(job.request, image=image, folder=self._folder, region=cloud.region)
        return await run_container(cloud, spec, self._log.write, job.interrupt)

    def _collect(self, exit_code: int) -> Result:
        """Read what the container left, also when it failed. Runs in a thread."""
        result = Result()
        if exit_code:
            result.reason = algorithm_error(self._job.fault.failure, exit_code)
        try:
            result.message = self._folder.message()
        except ContainerError as error:
            result.reason = result.reason or f"ClientError: {error.message}"
        try:
            for output in self._job.request["ProcessingOutputConfig"]["Outputs"]:
                target = output["S3Output"]
                place = parse_s3(target["S3Uri"])
                result.objects += [
                    (place.child(name), content)
                    for name, content in self._folder.results(target["LocalPath"])
                ]
        except ContainerError as error:
            result.reason = result.reason or f"ClientError: Failed to upload data. {error.message}"
        return result

    def _finish(self, result: Result) -> None:
        """Upload and end. Not a coroutine: nothing may happen in between."""
        job, reason = self._job, result.reason
        try:
            for place, content in result.objects:
                self._cloud.storage.put(place.bucket, place.key, content)
        except ServiceError as error:
            reason = reason or f"ClientError: Failed to upload data. {storage_failure(error)}"
            job.stopped_by = None
        job.exit_message = result.message
        if job.stopped_by is not None:
            self._jobs.end(job, "Stopped")
        elif reason is not None:
            self._jobs.end(job, "Failed", reason)
        else:
            self._jobs.end(job, "Completed")
