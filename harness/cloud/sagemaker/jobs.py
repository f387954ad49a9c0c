"""What jobs have in common: a life, a log, an end.

Every job that runs a container is one background task:

    started = now
    with clock.work("job"):        # virtual time is held while the container really runs
        everything that takes real time
    wait until started + takes     # or until somebody stops the job
    set the terminal status        # without giving up the event loop in between

so a job ends at the virtual time its scenario says, whatever the speed of this machine.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from harness.clock import Clock
from harness.cloud.errors import ServiceError
from harness.cloud.faults import JobFault
from harness.cloud.sagemaker.hosts import STOP_GRACE, HostEnd
from harness.cloud.sagemaker.records import Listing, moment
from harness.cloud.sagemaker.validation import invalid
from harness.cloud.service import CloudContext
from harness.containers.contract.folder import FAILURE_LIMIT
from harness.containers.contract.training import algorithm_error

__all__ = [
    "INTERNAL_ERROR",
    "STOP_GRACE",
    "BatchJobs",
    "Job",
    "Jobs",
    "LogStream",
    "failure_of",
    "instance_id",
    "pause",
    "storage_failure",
    "times",
]

INTERNAL_ERROR = "InternalServerError: We encountered an internal error. Please try again."


class Job:
    """A job as the API knows it.

    Args:
        name: Its name.
        arn: Its ARN.
        request: The Create request.
        number: How many jobs there were before it.
        clock: Stamps its changes.
        fault: How it is to misbehave.
    """

    def __init__(
        self, *, name: str, arn: str, request: dict[str, Any], number: int, clock: Clock, fault: JobFault
    ) -> None:
        self.name = name
        self.arn = arn
        self.request = request
        self.number = number
        self.fault = fault
        self.created = clock.now()
        self.modified = self.created
        self.status = "InProgress"
        self.failure_reason: str | None = None
        self.stopped_by: str | None = None
        """The terminal secondary status of a job that has been told to stop."""
        self.interrupt = asyncio.Event()
        """Ends whatever the job waits for."""
        self.ended = asyncio.Event()
        self._clock = clock

    @property
    def secondary(self) -> str | None:
        """SecondaryStatus, for the kinds of job that have one."""
        return None

    @property
    def terminal(self) -> bool:
        """The job has ended."""
        return self.status in ("Completed", "Failed", "Stopped")

    def stop(self) -> None:
        """Begin to stop."""
        self.stopped_by = "Stopped"
        self.status = "Stopping"
        self.modified = self._clock.now()
        self.interrupt.set()

    def expire(self) -> None:
        """Begin to stop because MaxRuntimeInSeconds is over."""
        self.stop()

    def finish(self, status: str, reason: str | None = None) -> None:
        """Enter a terminal status."""
        self.status = status
        self.modified = self._clock.now()
        self.failure_reason = reason[:FAILURE_LIMIT] if reason is not None else None


J = TypeVar("J", bound=Job)
T = TypeVar("T")


class Jobs(Generic[J]):
    """All jobs of one kind.

    Args:
        cloud: Where they run.
        kind: ``training``, ``transform``, ``processing`` or ``tuning``; also the type in events.
        group: Their log group; empty when they log nothing themselves.
    """

    def __init__(self, cloud: CloudContext, *, kind: str, group: str = "") -> None:
        self.cloud = cloud
        self.kind = kind
        self.group = group
        self.jobs: dict[str, J] = {}
        self.launched = 0
        """How many there have been, also of those that are forgotten."""
        self.folder = cloud.folder / "sagemaker" / kind

    def launch(self, job: J, life: Callable[[], Awaitable[None]]) -> None:
        """Let a new job live, until `life` returns."""
        self.jobs[job.name] = job
        self.launched += 1
        self.cloud.spawn(self._live(job, life), f"{self.kind} job {job.name}")

    async def _live(self, job: J, life: Callable[[], Awaitable[None]]) -> None:
        try:
            await life()
        except Exception:
            # A mistake of ours. The job must end, and the mistake must be seen.
            self.end(job, "Failed", INTERNAL_ERROR)
            raise

    def forget(self, job: J) -> None:
        """Delete a job that has ended. Its name may be used again.

        Raises:
            ServiceError: ResourceInUse.
        """
        if not job.terminal:
            message = f"The {self.kind} job {job.name} cannot be deleted: it is in status {job.status}."
            raise ServiceError("ResourceInUse", message)
        del self.jobs[job.name]

    def describe(self, name: str) -> dict[str, Any]:
        """The Describe response.

        Raises:
            ServiceError: ValidationException: there is no such job.
        """
        raise NotImplementedError

    async def wait(self, name: str) -> dict[str, Any]:
        """The Describe response, once the job has ended.

        Raises:
            ServiceError: ValidationException: there is no such job.
        """
        self.describe(name)
        await self.jobs[name].ended.wait()
        return self.describe(name)

    def end(self, job: J, status: str, reason: str | None = None, message: str | None = None) -> None:
        """Give a job its terminal status and wake who waits for it.

        Args:
            job: The job.
            status: Its terminal status.
            reason: Its FailureReason.
            message: What else there is to say, e.g. by `explain`.
        """
        job.finish(status, reason)
        job.ended.set()
        self.announce(job, message)

    def announce(self, job: J, message: str | None = None) -> None:
        """Publish the job's status."""
        self.cloud.events.publish(
            "job",
            job.name,
            type=self.kind,
            status=job.status,
            secondary=job.secondary,
            reason=job.failure_reason,
            message=message,
        )

    async def carry_out(
        self, job: J, work: Callable[[], Awaitable[T]], *, limit: float, until: Callable[[T], float]
    ) -> T:
        """Do what takes real time, then let virtual time pass.

        Args:
            job: It is told to stop when the limit is reached.
            work: Everything that takes real time. Virtual time is held meanwhile.
            limit: The virtual time that is the job's last.
            until: The virtual time to wait for, given what came of the work; a stop ends the wait.

        Returns:
            What `work` returned.
        """
        timer = self.cloud.clock.call_at(limit, partial(self._out_of_time, job))
        try:
            with self.cloud.clock.work("job"):
                result = await work()
            await pause(self.cloud.clock, until(result), job.interrupt)
        finally:
            timer.cancel()
        return result

    def _out_of_time(self, job: J) -> None:
        if job.status == "InProgress":
            job.expire()
            self.announce(job)

    async def explain(self, job: J, folder: Path, ends: Iterable[HostEnd]) -> str | None:
        """Keep the folder of a job that failed, out of reach of `sweep`.

        Args:
            job: The job.
            folder: Its folder, which may not exist.
            ends: How its containers ended.

        Returns:
            How to run its containers again by hand; None when folders are not kept, or no container ran.
        """
        place, ends = self.cloud.failed, list(ends)
        if place is None or not ends:
            return None
        try:
            kept = await asyncio.to_thread(_keep, folder, place / f"{self.kind}-{job.name}")
        except OSError as error:  # the job has failed anyway
            warning = f"The job's folder could not be kept in {place}: {error.strerror or error}"
            self.cloud.events.publish("warning", job.name, message=warning)
            return None
        commands = (end.reproduce.replace(str(folder), str(kept)) for end in ends)
        return "Run it again by hand: " + "\n".join(commands)

    def sweep(self, folder: Path) -> None:
        """Delete a job's folder, in the background."""
        self.cloud.spawn(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True), f"delete {folder}")


KEPT = 5
"""Folders of failed jobs that are kept: the last ones."""


def _keep(folder: Path, kept: Path) -> Path:
    """Move a folder, and delete the oldest of those beside it. Runs in a thread."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(kept, ignore_errors=True)
    shutil.move(folder, kept)
    kept.touch()
    others = sorted(kept.parent.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in others[KEPT:]:
        shutil.rmtree(path, ignore_errors=True)
    return kept


class BatchJobs(Jobs[J]):
    """Jobs of a kind whose Describe, List and Stop are answered alike: transform and processing jobs.

    Args:
        cloud: Where they run.
        kind: See `Jobs`.
        group: See `Jobs`.
        listing: Their List operation.
        description: The Describe response of a job.
    """

    def __init__(
        self,
        cloud: CloudContext,
        *,
        kind: str,
        group: str,
        listing: Listing,
        description: Callable[[J], dict[str, Any]],
    ) -> None:
        super().__init__(cloud, kind=kind, group=group)
        self._listing = listing
        self._description = description

    def describe(self, name: str) -> dict[str, Any]:
        job = self.jobs.get(name)
        if job is None:
            raise invalid(f"Could not find requested job with name: {name}")
        return self._description(job)

    def list(self, params: dict[str, Any]) -> dict[str, Any]:
        """One page of the list.

        Raises:
            ServiceError: ValidationException.
        """
        return self._listing.page(self.jobs.values(), params)

    def stop(self, name: str) -> None:
        """Stop a job; returns before it ends.

        Raises:
            ServiceError: ValidationException.
        """
        job = self.jobs.get(name)
        if job is None:
            raise invalid(f"Could not find job to update with name: {name}")
        if job.status != "InProgress":
            raise invalid(f"The request was rejected because the {self.kind} job is in status {job.status}.")
        job.stop()
        self.announce(job)


async def pause(clock: Clock, until: float, interrupt: asyncio.Event) -> None:
    """Wait until a virtual time, or until `interrupt` is set.

    The timer stands when this coroutine first gives up the event loop, so that a clock that skips cannot
    jump over it.
    """
    timer = clock.call_at(until, interrupt.set)
    try:
        await interrupt.wait()
    finally:
        timer.cancel()


OUT_OF_MEMORY = (
    "ClientError: Please use an instance type with more memory, or reduce the size of job data processed on "
    "an instance."
)


def failure_of(ends: Sequence[HostEnd], fault: JobFault, left: Callable[[int], str | None]) -> str | None:
    """The FailureReason of a job whose containers have ended; None when they and the scenario give none.

    Args:
        ends: How its hosts ended. Of those that failed the first counts: it is why the others were stopped.
        fault: What the scenario says.
        left: The text that a host, given by its number, left about its failure.
    """
    failed = [(end.stopped, number) for number, end in enumerate(ends) if end.exit_code]
    number = min(failed)[1] if failed else 0
    code = ends[number].exit_code if failed else 0
    if fault.exit_code is not None:
        code = fault.exit_code
    if fault.failure is not None and not code:
        code = 1
    if not code:
        return None
    if fault.exit_code is None and any(end.out_of_memory for end in ends):
        return OUT_OF_MEMORY
    return algorithm_error(fault.failure if fault.failure is not None else left(number), code)


class LogStream:
    """A CloudWatch log stream that also tells the event bus.

    Lines that arrive together are written together.

    Args:
        cloud: Where the log is kept.
        group: Log group.
        stream: Log stream.
        subject: The job's or endpoint's name.
        kind: Its type.
        host: Which container writes.
    """

    def __init__(
        self, cloud: CloudContext, group: str, stream: str, *, subject: str, kind: str, host: str
    ) -> None:
        self._cloud = cloud
        self._group = group
        self._stream = stream
        self._subject = subject
        self._kind = kind
        self._host = host
        self._lines: list[str] = []

    def write(self, line: str) -> None:
        """Append a line."""
        if not self._lines:
            asyncio.get_running_loop().call_soon(self.flush)
        self._lines.append(line)
        self._cloud.events.publish("job.log", self._subject, type=self._kind, host=self._host, line=line)

    def extend(self, lines: Iterable[str]) -> None:
        """Append several."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what has been appended."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._cloud.log(self._group, self._stream, lines)


def instance_id(cloud: CloudContext) -> str:
    """The id of an instance, as it appears in log streams."""
    return f"i-{cloud.entropy.getrandbits(68):017x}"


def times(**seconds: float | None) -> dict[str, Any]:
    """Response members for the times that are known."""
    return {name: moment(value) for name, value in seconds.items() if value is not None}


def storage_failure(error: Exception) -> str:
    """One sentence on why an object could not be fetched, written or packed; it names the object."""
    if not isinstance(error, ServiceError):
        return str(error)
    named = next(
        (f" ({error.fields[field]})" for field in ("Key", "BucketName") if field in error.fields), ""
    )
    return f"{error.code}: {error.message}{named}"
