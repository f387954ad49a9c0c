"""How one transform job runs: its model's data, its instances, the objects spread over them."""

from __future__ import annotations

import asyncio

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.data import InputObject, select
from harness.cloud.sagemaker.jobs import STOP_GRACE, Job, Jobs, pause, storage_failure
from harness.cloud.sagemaker.models.models import Model
from harness.cloud.sagemaker.serving import WAITING, DataFailed, ModelData, NotServing, StartRefused
from harness.cloud.sagemaker.transform.capture import capture
from harness.cloud.sagemaker.transform.instance import ALGORITHM_ERROR, TransformInstance, side_by_side
from harness.errors import HarnessError

__all__ = ["TransformJob", "TransformRun"]

NO_PING = (
    "AlgorithmError: Model container failed to respond to ping. Please ensure /ping endpoint is implemented "
    "and responds with an HTTP 200 status code"
)


class TransformJob(Job):
    """A transform job as the API knows it."""

    started: float | None = None


class TransformRun:
    """Runs one transform job.

    Args:
        jobs: Where it belongs.
        job: The job.
        model: Its model.
        startup_limit: Real seconds a container has to answer ``/ping``.
    """

    def __init__(
        self, jobs: Jobs[TransformJob], job: TransformJob, model: Model, *, startup_limit: float
    ) -> None:
        self._jobs = jobs
        self._cloud = jobs.cloud
        self._job = job
        self._model = model
        self._startup_limit = startup_limit
        self._folder = jobs.folder / job.name
        self._data = ModelData(self._folder)
        self._instances = [
            TransformInstance(jobs.cloud, job, group=jobs.group, model=model, data=self._data, number=number)
            for number in range(1, job.request["TransformResources"]["InstanceCount"] + 1)
        ]

    async def live(self) -> None:
        """Run the job to its end."""
        job, clock = self._job, self._cloud.clock
        started = job.started = clock.now()
        reason = message = None
        self._jobs.announce(job)
        with clock.work("job"):
            try:
                if job.fault.run:
                    reason = await self._execute()
                if reason is not None and job.stopped_by is None:
                    message = await self._explain()
            finally:
                for instance in self._instances:
                    instance.flush()
        await pause(clock, started + job.fault.takes, job.interrupt)
        if job.fault.failure is not None or job.fault.exit_code:
            reason = job.fault.failure or ALGORITHM_ERROR
        if job.stopped_by is not None:
            self._jobs.end(job, "Stopped")
        elif reason is not None:
            self._jobs.end(job, "Failed", reason, message)
        else:
            self._jobs.end(job, "Completed")
        self._jobs.sweep(self._folder)

    async def _explain(self) -> str | None:
        """How to run the containers by hand; it is also logged."""
        ends = [end for instance in self._instances for end in instance.ends()]
        message = await self._jobs.explain(self._job, self._folder, ends)
        if message is not None:
            for line in message.splitlines():
                self._instances[0].log(line)
        return message

    async def _execute(self) -> str | None:
        """Everything that takes real time.

        Returns:
            Why the job fails, None when it does not.
        """
        source = self._job.request["TransformInput"]["DataSource"]["S3DataSource"]
        try:
            objects = select(self._cloud.storage, source["S3DataType"], source["S3Uri"])
            await self._data.fetch(self._cloud.storage, self._model)
        except DataFailed as error:
            self._instances[0].log(f"{error.url}: {error}", error.container.hostname)
            if not error.archive:
                return f"ClientError: Data download failed: {error}"
            return (
                f'ClientError: Failed to extract model data archive from URL "{error.url}". Please ensure '
                "that the object located at the URL is a valid tar.gz archive."
            )
        except (ServiceError, OSError) as error:
            return f"ClientError: Data download failed: {storage_failure(error)}"
        if self._job.stopped_by is not None:
            return None
        return await self._serve([item for item in objects if not item.path.endswith("/")])

    async def _serve(self, objects: list[InputObject]) -> str | None:
        """Transform objects; no container is left running, however this ends."""
        instances = self._instances
        try:
            # A start is never cut short: what it has begun could not be told from what it has not.
            starting = (instance.start() for instance in instances)
            for problem in await asyncio.gather(*starting, return_exceptions=True):
                if problem is not None:
                    raise problem
            return await self._until_stopped(objects)
        except StartRefused as error:
            instances[0].log(f"The container could not be started: {error}", error.container.hostname)
            return f"InternalServerError: The container could not be started: {error}"
        except NotServing:
            return NO_PING
        except HarnessError as error:
            instances[0].log(f"The container could not be run: {error}")
            return f"InternalServerError: The container could not be run: {error.message}"
        finally:
            # Those that have done their work are killed: nobody looks at how they end. What is raised where
            # an engine is gone has been told by whoever waited for it.
            grace = STOP_GRACE if self._job.stopped_by is not None else 0
            ending = (instance.stop(grace) for instance in instances)
            await asyncio.gather(*ending, return_exceptions=True)

    async def _until_stopped(self, objects: list[InputObject]) -> str | None:
        """As `_transform`; it ends, and gives no reason, when the job is told to stop."""
        work = asyncio.ensure_future(self._transform(objects))
        interrupted = asyncio.ensure_future(self._job.interrupt.wait())
        try:
            await asyncio.wait({work, interrupted}, return_when=asyncio.FIRST_COMPLETED)
            return work.result() if work.done() else None
        finally:
            interrupted.cancel()
            work.cancel()
            await asyncio.wait({work})

    async def _transform(self, objects: list[InputObject]) -> str | None:
        """Put all objects through the instances, which have been started.

        Returns:
            Why the job fails, None when it does not.

        Raises:
            NotServing: A container never became ready.
            ContainerError: How a container ended cannot be known.
        """
        instances = self._instances
        self._jobs.announce(self._job, WAITING)
        await side_by_side(instance.ready(self._startup_limit) for instance in instances)
        self._jobs.announce(self._job, f"Transforming {len(objects)} objects")
        # SageMaker spreads objects by key; which instance gets which is not known.
        shares = [objects[number :: len(instances)] for number in range(len(instances))]
        await side_by_side(
            instance.transform(share) for instance, share in zip(instances, shares, strict=True)
        )
        failures = {item: reason for instance in instances for item, reason in instance.failures.items()}
        done = {item for instance in instances for item in instance.done}
        try:
            capture(self._cloud, self._job.request, [item for item in objects if item in done])
        except ServiceError as error:
            return f"ClientError: Data capture failed: {storage_failure(error)}"
        return next((failures[item] for item in objects if item in failures), None)
