"""How one transform job runs: a serving container, and one request after another."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.data import InputObject, select
from harness.cloud.sagemaker.jobs import (
    STOP_GRACE,
    Job,
    Jobs,
    LogStream,
    instance_id,
    pause,
    storage_failure,
)
from harness.cloud.sagemaker.models import Model
from harness.cloud.sagemaker.records import moment
from harness.cloud.sagemaker.serving import WAITING, ModelFolder, ModelServer, NotServing
from harness.cloud.sagemaker.validation import parse_s3
from harness.containers.archive import ArchiveError
from harness.containers.contract.serving import batch_environment
from harness.containers.runtime import Image
from harness.errors import HarnessError

__all__ = ["TransformJob", "TransformRun"]

MB = 2**20
CLIENT_ERROR = "ClientError: See job logs for more information"
ALGORITHM_ERROR = "AlgorithmError: See job logs for more information"
NO_PING = (
    "AlgorithmError: Model container failed to respond to ping. Please ensure /ping endpoint is implemented "
    "and responds with an HTTP 200 status code"
)


class TransformJob(Job):
    """A transform job as the API knows it."""

    started: float | None = None


@dataclass(frozen=True)
class Settings:
    """How to send the data: the request's word, else the container's, else SageMaker's default.

    Attributes:
        concurrent: Requests at a time.
        payload: Bytes a request may have; 0 for no limit, and then the body is sent in chunks.
        multi_record: Put as many records into a request as fit.
    """

    concurrent: int
    payload: int
    multi_record: bool

    @classmethod
    def decide(cls, request: Mapping[str, Any], container: Mapping[str, Any]) -> Settings:
        """Put both together. What the container says and makes no sense is passed over."""
        concurrent = request.get("MaxConcurrentTransforms") or _count(container, "MaxConcurrentTransforms", 1)
        payload = request.get("MaxPayloadInMB")
        if payload is None:
            payload = _count(container, "MaxPayloadInMB", 6, least=0)
        strategy = request.get("BatchStrategy")
        if strategy is None:
            strategy = {"SINGLE_RECORD": "SingleRecord"}.get(
                str(container.get("BatchStrategy")), "MultiRecord"
            )
        return cls(concurrent, payload * MB, strategy == "MultiRecord")

    def __str__(self) -> str:
        strategy = "MULTI_RECORD" if self.multi_record else "SINGLE_RECORD"
        return (
            f"MaxConcurrentTransforms={self.concurrent}, MaxPayloadInMB={self.payload // MB}, "
            f"BatchStrategy={strategy}"
        )


def _count(container: Mapping[str, Any], name: str, default: int, *, least: int = 1) -> int:
    value = container.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= least else default


class ObjectFailed(Exception):
    """An object could not be transformed.

    Attributes:
        reason: The job's FailureReason.
        lines: For the data log.
    """

    def __init__(self, reason: str, *lines: str) -> None:
        super().__init__(lines[0])
        self.reason = reason
        self.lines = lines


class TransformRun:
    """Runs one transform job.

    Args:
        jobs: Where it belongs.
        job: The job.
        model: Its model.
        image: The model's image.
        startup_limit: Real seconds the container has to answer ``/ping``.
    """

    def __init__(
        self, jobs: Jobs[TransformJob], job: TransformJob, model: Model, image: Image, *, startup_limit: float
    ) -> None:
        self._jobs = jobs
        self._cloud = jobs.cloud
        self._job = job
        self._model = model
        self._image = image
        self._startup_limit = startup_limit
        self._folder = ModelFolder(jobs.folder / job.name)
        stream = f"{job.name}/{instance_id(jobs.cloud)}-{int(job.created):010d}"
        self._log = self._stream(stream)
        self._data_log = self._stream(f"{stream}/data-log")
        self._input = job.request["TransformInput"]
        self._output = job.request["TransformOutput"]
        client = job.request.get("ModelClientConfig", {})
        self._timeout: int = client.get("InvocationsTimeoutInSeconds", 600)
        self._retries: int = client.get("InvocationsMaxRetries", 3)

    def _stream(self, name: str) -> LogStream:
        return LogStream(
            self._cloud, self._jobs.group, name, subject=self._job.name, kind="transform", host="algo-1"
        )

    async def live(self) -> None:
        """Run the job to its end."""
        job, clock = self._job, self._cloud.clock
        started = job.started = clock.now()
        self._jobs.announce(job)
        with clock.work("job"):
            try:
                reason = await self._execute() if job.fault.run else None
            finally:
                self._log.flush()
                self._data_log.flush()
        await pause(clock, started + job.fault.takes, job.interrupt)
        if job.fault.failure is not None or job.fault.exit_code:
            reason = job.fault.failure or ALGORITHM_ERROR
        if job.stopped_by is not None:
            self._jobs.end(job, "Stopped")
        elif reason is not None:
            self._jobs.end(job, "Failed", reason)
        else:
            self._jobs.end(job, "Completed")
        self._jobs.sweep(self._folder.path)

    async def _execute(self) -> str | None:
        """Everything that takes real time.

        Returns:
            Why the job fails, None when it does not.
        """
        url = self._model.container.get("ModelDataUrl")
        source = self._input["DataSource"]["S3DataSource"]
        try:
            objects = select(self._cloud.storage, source["S3DataType"], source["S3Uri"])
            await self._folder.fill(self._cloud.storage, self._model.container)
        except ArchiveError as error:
            self._log.write(f"{url}: {error.message}")
            return (
                f'ClientError: Failed to extract model data archive from URL "{url}". Please ensure that the '
                "object located at the URL is a valid tar.gz archive."
            )
        except ServiceError as error:
            return f"ClientError: Data download failed: {storage_failure(error)}"
        try:
            server = await ModelServer.start(
                self._cloud,
                name=f"transform-{self._job.name}",
                image=self._image,
                environment=batch_environment(
                    self._model.container.get("Environment", {}), self._job.request
                ),
                model=self._folder.path,
                labels={"type": "transform", "job": self._job.name},
                on_output=self._log.write,
            )
        except HarnessError as error:
            self._log.write(f"The container could not be started: {error}")
            return f"InternalServerError: The container could not be started: {error.message}"
        work = asyncio.ensure_future(self._serve(server, objects))
        interrupted = asyncio.ensure_future(self._job.interrupt.wait())
        try:
            await asyncio.wait({work, interrupted}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            return None  # stopped
        finally:
            interrupted.cancel()
            work.cancel()
            await asyncio.wait({work})
            if self._job.stopped_by is None:
                await server.kill()  # it has done its work, and nobody looks at how it ends
            else:
                await server.stop(STOP_GRACE)

    async def _serve(self, server: ModelServer, objects: list[InputObject]) -> str | None:
        self._jobs.announce(self._job, WAITING)
        try:
            await server.ready(self._startup_limit)
        except NotServing as error:
            self._log.write(f"The container did not become ready: {error}")
            return NO_PING
        self._jobs.announce(self._job, f"Transforming {len(objects)} objects")
        settings = Settings.decide(self._job.request, await _offer(server))
        self._data_log.write(f"{self._now()}:[sagemaker logs]: {settings}")
        wanted = iter([item for item in objects if not item.path.endswith("/")])
        reasons: dict[InputObject, str] = {}

        async def work() -> None:
            for item in wanted:
                try:
                    await self._transform(server, settings, item)
                except ObjectFailed as failure:
                    reasons[item] = failure.reason
                    head, *rest = failure.lines
                    self._data_log.write(f"{self._now()}:[sagemaker logs]: {_key(item)}: {head}")
                    self._data_log.extend(rest)
                    if server.ended:
                        return

        async with asyncio.TaskGroup() as group:
            for _ in range(settings.concurrent):
                group.create_task(work())
        return next((reasons[item] for item in objects if item in reasons), None)

    async def _transform(self, server: ModelServer, settings: Settings, item: InputObject) -> None:
        """Transform one object; its output appears only if all its records succeeded.

        Raises:
            ObjectFailed: It did not work.
        """
        storage = self._cloud.storage
        try:
            content = storage.get(item.location.bucket, item.location.key)
        except ServiceError as error:
            raise ObjectFailed(
                CLIENT_ERROR, f"ClientError: {error.code}", "Message:", error.message
            ) from None
        answers = [
            await self._ask(server, settings, payload) for payload in self._payloads(content, settings)
        ]
        if self._output.get("AssembleWith") == "Line":
            answers = [answer if answer.endswith(b"\n") else answer + b"\n" for answer in answers]
        target = parse_s3(self._output["S3OutputPath"]).child(f"{item.path}.out")
        try:
            storage.put(target.bucket, target.key, b"".join(answers))
        except ServiceError as error:
            raise ObjectFailed(
                CLIENT_ERROR, f"ClientError: {error.code}", "Message:", error.message
            ) from None

    def _payloads(self, content: bytes, settings: Settings) -> Iterator[bytes]:
        """The requests an object makes.

        Raises:
            ObjectFailed: A record is larger than a request may be.
        """
        if self._input.get("SplitType", "None") == "None":
            records = [content]
        else:
            records = re.findall(rb"[^\n]*\n|[^\n]+", content)
        batch: list[bytes] = []
        size = 0
        for record in records:
            if settings.payload and len(record) > settings.payload:
                raise ObjectFailed(CLIENT_ERROR, "ClientError: Too much data for max payload size")
            full = settings.payload and size + len(record) > settings.payload
            if batch and (full or not settings.multi_record):
                yield b"".join(batch)
                batch, size = [], 0
            batch.append(record)
            size += len(record)
        if batch:
            yield b"".join(batch)

    async def _ask(self, server: ModelServer, settings: Settings, payload: bytes) -> bytes:
        headers = {}
        if self._input.get("ContentType"):
            headers["Content-Type"] = self._input["ContentType"]
        if self._output.get("Accept"):
            headers["Accept"] = self._output["Accept"]
        problem = ""
        for _ in range(1 + self._retries):
            try:
                response = await server.invoke(
                    payload, headers, timeout=self._timeout, chunked=not settings.payload
                )
            except (ConnectionError, TimeoutError) as error:
                problem = "Unable to get response from algorithm"
                if isinstance(error, ConnectionError) and await server.ending():
                    break
                continue
            if response.status < 300:
                return response.body
            text = response.body.decode(errors="replace")
            if response.status < 500:
                raise ObjectFailed(
                    CLIENT_ERROR, f"ClientError: {response.status}", "", "Message:", *text.splitlines()
                )
            problem = f"AlgorithmError: {response.status}: {text}"
        raise ObjectFailed(ALGORITHM_ERROR, *problem.splitlines())

    def _now(self) -> str:
        return moment(self._cloud.clock.now()).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]


async def _offer(server: ModelServer) -> dict[str, Any]:
    """What the container says of itself at ``/execution-parameters``; nothing unless it is a JSON object."""
    response = await server.execution_parameters()
    try:
        offer = json.loads(response.body) if response is not None else {}
    except ValueError:
        offer = {}
    return offer if isinstance(offer, dict) else {}


def _key(item: InputObject) -> str:
    return f"{item.location.bucket}/{item.location.key}"
