"""How one training job runs, from Starting to its end."""

from __future__ import annotations

import asyncio
import math
import re
import struct
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.data import pull, select
from harness.cloud.sagemaker.jobs import Job, Jobs, LogStream, pause, run_container, storage_failure
from harness.cloud.sagemaker.records import moment
from harness.cloud.sagemaker.validation import S3Location, parse_s3
from harness.containers.archive import pack
from harness.containers.contract.training import JobFolder, algorithm_error, training_spec
from harness.containers.runtime import Image
from harness.errors import ContainerError, HarnessError

__all__ = ["MAX_RUNTIME", "TrainingJob", "TrainingRun", "single"]

MAX_RUNTIME = 86_400
"""MaxRuntimeInSeconds when the request does not say, virtual seconds."""

MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Stopping": "Stopping the training job",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}
"""StatusMessage of each SecondaryStatus, once it is over."""


@dataclass
class Transition:
    """An item of SecondaryStatusTransitions. Virtual seconds."""

    status: str
    start: float
    end: float | None = None

    def describe(self) -> dict[str, Any]:
        """As the API gives it."""
        item: dict[str, Any] = {"Status": self.status, "StartTime": moment(self.start)}
        if self.end is not None:
            item["EndTime"] = moment(self.end)
        return item | {"StatusMessage": MESSAGES[self.status]}


class TrainingJob(Job):
    """A training job as the API knows it."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self.transitions = [Transition("Starting", self.created)]
        self.downloading: float | None = None
        self.metrics: dict[str, tuple[float, int]] = {}
        """Last value of each metric, and when it was logged, in whole seconds."""
        self.tuning_job: str | None = None
        """ARN of the tuning job that started it."""

    @property
    def secondary(self) -> str:
        """SecondaryStatus."""
        return self.transitions[-1].status

    @property
    def finished(self) -> float:
        """When the terminal status began (the last one, if there is none yet)."""
        return self.transitions[-1].start

    def enter(self, secondary: str) -> None:
        """Go to a secondary status: where the last one ends, the next begins."""
        now = self.modified = self._clock.now()
        self.transitions[-1].end = now
        terminal = secondary in ("Completed", "Failed", "Stopped", "MaxRuntimeExceeded")
        self.transitions.append(Transition(secondary, now, now if terminal else None))
        if secondary == "Downloading":
            self.downloading = now

    def stop(self, secondary: str = "Stopped") -> None:
        """Begin to stop; the job will end with this secondary status."""
        if self.status == "InProgress":
            self.stopped_by = secondary
            self.status = "Stopping"
            self.enter("Stopping")
            self.interrupt.set()

    def finish(self, status: str, reason: str | None = None) -> None:
        self.enter(self.stopped_by if status == "Stopped" and self.stopped_by else status)
        super().finish(status, reason)

    def artifact(self, name: str) -> S3Location:
        """Where an artifact goes."""
        base = parse_s3(self.request["OutputDataConfig"]["S3OutputPath"])
        return base.child(f"{self.name}/output/{name}")


@dataclass
class Result:
    """What came out of the container.

    Attributes:
        reason: Why the job fails, None when it does not.
        artifacts: Name and content of each archive to upload.
    """

    reason: str | None = None
    artifacts: dict[str, bytes] = field(default_factory=dict)


class TrainingRun:
    """Runs one training job.

    Args:
        jobs: Where it belongs.
        job: The job.
        image: Its image.
    """

    def __init__(self, jobs: Jobs[TrainingJob], job: TrainingJob, image: Image) -> None:
        self._jobs = jobs
        self._cloud = jobs.cloud
        self._job = job
        self._image = image
        self._folder = JobFolder(jobs.folder / job.name)
        self._log = LogStream(
            jobs.cloud,
            jobs.group,
            f"{job.name}/algo-1-{int(job.created):010d}",
            subject=job.name,
            kind="training",
            host="algo-1",
        )
        self._metrics = [
            (definition["Name"], re.compile(definition["Regex"]))
            for definition in job.request["AlgorithmSpecification"].get("MetricDefinitions", ())
        ]

    async def live(self) -> None:
        """Run the job to its end."""
        job, clock = self._job, self._cloud.clock
        started = clock.now()
        longest = job.request["StoppingCondition"].get("MaxRuntimeInSeconds", MAX_RUNTIME)
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
        self._job.stop("MaxRuntimeExceeded")
        self._jobs.announce(self._job)

    async def _execute(self) -> Result:
        """Everything that takes real time: download, container, packing."""
        job, fault = self._job, self._job.fault
        self._enter("Starting")
        self._enter("Downloading")
        code: int | None = None
        if fault.run:
            try:
                await self._download()
            except (ServiceError, ContainerError) as error:
                return Result(f"ClientError: Data download failed: {storage_failure(error)}")
            if job.stopped_by is None:
                self._enter("Training")
                try:
                    code = await self._train()
                except HarnessError as error:
                    self._log.write(f"The container could not be started: {error}")
                    return Result(f"InternalServerError: The container could not be started: {error.message}")
        else:
            self._enter("Training")
        failed = fault.exit_code if fault.exit_code is not None else code
        if fault.failure is not None and not failed:
            failed = 1
        try:
            return await asyncio.to_thread(self._collect, failed or 0)
        except ContainerError as error:
            return Result(f"ClientError: Artifact upload failed: {error.message}")

    async def _download(self) -> None:
        request, storage = self._job.request, self._cloud.storage
        await asyncio.to_thread(self._folder.prepare, request)
        for channel in request.get("InputDataConfig", ()):
            source = channel["DataSource"]["S3DataSource"]
            objects = select(storage, source["S3DataType"], source["S3Uri"])
            name = channel["ChannelName"]
            await pull(storage, objects, partial(self._folder.write, name))
            if self._job.stopped_by is not None:
                return

    async def _train(self) -> int:
        """Run the container to its end, or stop it when the job is stopped; its exit code."""
        job, cloud = self._job, self._cloud
        spec = training_spec(
            job.request, image=self._image, folder=self._folder, arn=job.arn, region=cloud.region
        )
        return await run_container(cloud, spec, self._line, job.interrupt)

    def _line(self, line: str) -> None:
        self._log.write(line)
        for name, pattern in self._metrics:
            match = pattern.search(line)
            if match is None or not pattern.groups:
                continue
            try:
                value = single(float(match.group(1)))
            except (TypeError, ValueError, OverflowError):
                continue  # not a number
            if not math.isfinite(value):
                continue  # CloudWatch does not take these
            self._job.metrics[name] = (value, int(self._cloud.clock.now()))

    def _collect(self, exit_code: int) -> Result:
        """Pack what the container left. Runs in a thread.

        Raises:
            ArchiveError: It cannot be packed.
        """
        folder, fault = self._folder, self._job.fault
        result = Result()
        if exit_code:
            failure = fault.failure if fault.failure is not None else folder.failure()
            result.reason = algorithm_error(failure, exit_code)
        model, output = folder.model(), folder.output()
        if model is not None or not (fault.run or exit_code):
            result.artifacts["model.tar.gz"] = pack(model)
        elif result.reason is None and self._job.stopped_by is None:
            result.reason = "ClientError: Artifact upload failed: No model artifacts found in /opt/ml/model"
        if output is not None:
            result.artifacts["output.tar.gz"] = pack(output)
        return result

    def _finish(self, result: Result) -> None:
        """Upload and end. Not a coroutine: nothing may happen in between."""
        job = self._job
        reason = result.reason
        if result.artifacts:
            self._enter("Uploading")
        try:
            for name, content in result.artifacts.items():
                place = job.artifact(name)
                self._cloud.storage.put(place.bucket, place.key, content)
        except ServiceError as error:
            reason = reason or f"ClientError: Artifact upload failed: {storage_failure(error)}"
            job.stopped_by = None
        if job.stopped_by is not None:
            self._jobs.end(job, "Stopped")
        elif reason is not None:
            self._jobs.end(job, "Failed", reason)
        else:
            self._jobs.end(job, "Completed")

    def _enter(self, secondary: str) -> None:
        if secondary != self._job.secondary:
            self._job.enter(secondary)
        self._jobs.announce(self._job, MESSAGES[secondary])


def single(value: float) -> float:
    """What is left of a number that has been a 32-bit float, as metric values have."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])
