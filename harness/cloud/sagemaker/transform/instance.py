"""One instance of a transform job: the model's containers, and the objects that go through them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.data import InputObject
from harness.cloud.sagemaker.hosts import HostEnd
from harness.cloud.sagemaker.jobs import Job, LogStream, instance_id
from harness.cloud.sagemaker.models.models import Model
from harness.cloud.sagemaker.records import moment
from harness.cloud.sagemaker.serving import ModelData, ModelHost, NotServing, handed_on
from harness.cloud.sagemaker.transform.filters import DataProcessing, FilterError
from harness.cloud.sagemaker.transform.records import Payload, RecordError, opened, payloads, records
from harness.cloud.sagemaker.transform.settings import Settings, offered
from harness.cloud.sagemaker.validation import parse_s3
from harness.cloud.service import CloudContext
from harness.containers.contract.serving import batch_environment
from harness.containers.instances import limits
from harness.errors import ContainerError

__all__ = ["ALGORITHM_ERROR", "TransformInstance", "side_by_side"]

CLIENT_ERROR = "ClientError: See job logs for more information"
ALGORITHM_ERROR = "AlgorithmError: See job logs for more information"

NO_ANSWER = "Unable to get response from algorithm"


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

    @classmethod
    def of_client(cls, code: int | str, message: str) -> ObjectFailed:
        """The caller's fault: what it gave cannot be read, sent or stored."""
        return cls(CLIENT_ERROR, f"ClientError: {code}", "", "Message:", *message.splitlines())


@dataclass(frozen=True)
class Client:
    """ModelClientConfig.

    Attributes:
        timeout: Real seconds a request may take, through all containers.
        retries: How many times a request is sent again.
    """

    timeout: float
    retries: int


class TransformInstance:
    """One instance of a transform job.

    Args:
        cloud: Where it runs.
        job: The job.
        group: The log group of its logs.
        model: The job's model.
        data: The model's data, fetched.
        number: Which instance it is, from 1.

    Attributes:
        failures: Objects that failed, and the FailureReason that each gives the job.
        done: Objects whose output has been stored.
    """

    def __init__(
        self, cloud: CloudContext, job: Job, *, group: str, model: Model, data: ModelData, number: int
    ) -> None:
        self._cloud = cloud
        self._job = job
        self._input = job.request["TransformInput"]
        self._output = job.request["TransformOutput"]
        client = job.request.get("ModelClientConfig", {})
        self._client = Client(
            client.get("InvocationsTimeoutInSeconds", 600), client.get("InvocationsMaxRetries", 3)
        )
        self._processing = DataProcessing.of(job.request)
        name = f"{job.name}/{instance_id(cloud)}-{int(job.created):010d}"

        def stream(end: str = "") -> LogStream:
            return LogStream(
                cloud, group, name + end, subject=job.name, kind="transform", host=f"algo-{number}"
            )

        several = len(model.containers) > 1
        self._logs = {
            container.hostname: stream(f"/{container.hostname}" if several else "")
            for container in model.containers
        }
        self._data_log = stream("/data-log")
        memory, cpus = limits(job.request["TransformResources"]["InstanceType"])
        self._host = ModelHost(
            cloud,
            model,
            name=f"transform-{job.name}-{number}",
            data=data,
            labels={"type": "transform", "job": job.name},
            output=lambda hostname: self._logs[hostname].write,
            environment=lambda container: batch_environment(container.environment, job.request),
            memory=memory,
            cpus=cpus,
        )
        self._mourned: set[str] = set()
        self.failures: dict[InputObject, str] = {}
        self.done: list[InputObject] = []

    # Its life ----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the containers; they are not ready yet.

        Raises:
            StartRefused: One could not be started.
        """
        await self._host.start()

    async def ready(self, limit: float) -> None:
        """Wait until the containers answer ``/ping``.

        Args:
            limit: Real seconds.

        Raises:
            NotServing: One ended, or the limit passed.
            ContainerError: How one ended cannot be known.
        """
        try:
            await self._host.ready(limit)
        except NotServing as error:
            self.log(f"The container did not become ready: {error}", error.hostname)
            raise

    async def stop(self, grace: float) -> None:
        """SIGTERM to the containers, SIGKILL after `grace` real seconds; at once when it is 0.

        Raises:
            ContainerError: How one ended cannot be known.
        """
        await (self._host.stop(grace) if grace else self._host.kill())

    def ends(self) -> list[HostEnd]:
        """How the containers that were started ended. They have been stopped, unless their engine is gone."""
        found = []
        for server in self._host.servers.values():
            with suppress(ContainerError):  # the engine is gone, and so is what it knew
                if server.ended:
                    found.append(server.end())
        return found

    def log(self, line: str, hostname: str | None = None) -> None:
        """Write into the log of a container, the first unless told otherwise."""
        log = self._logs[hostname] if hostname is not None else next(iter(self._logs.values()))
        log.write(line)

    def flush(self) -> None:
        """Write what has been logged."""
        for log in (*self._logs.values(), self._data_log):
            log.flush()

    # Its objects -------------------------------------------------------------------------------------

    async def transform(self, objects: Sequence[InputObject]) -> None:
        """Transform objects: as many requests at a time as the job or the container says, never more.

        An object that fails does not keep the others from being transformed; a container that ends does.

        Args:
            objects: This instance's share.

        Raises:
            ContainerError: How a container ended cannot be known.
        """
        first = next(iter(self._host.servers.values()))
        settings = Settings.decide(self._job.request, offered(await first.execution_parameters()))
        self._data_log.write(f"{self._now()}:[sagemaker logs]: {settings}")
        slots = asyncio.Semaphore(settings.concurrent)
        left = iter(objects)

        async def work() -> None:
            for item in left:
                try:
                    await self._transform(item, settings, slots)
                    self.done.append(item)
                except ObjectFailed as failure:
                    self._fail(item, failure)
                    if self._host.ended:
                        return

        await side_by_side(work() for _ in range(settings.concurrent))  # small objects go side by side, too

    def _fail(self, item: InputObject, failure: ObjectFailed) -> None:
        self.failures[item] = failure.reason
        place = f"{self._now()}:[sagemaker logs]: {item.location.bucket}/{item.location.key}"
        self._data_log.extend(f"{place}: {line}" for line in failure.lines)

    async def _transform(self, item: InputObject, settings: Settings, slots: asyncio.Semaphore) -> None:
        """Transform one object; its output appears only if all its records succeeded.

        Its requests are made when there is a slot for them, so that only so many are held in memory.

        Raises:
            ObjectFailed: It did not work.
            ContainerError: How a container ended cannot be known.
        """
        try:
            content = self._cloud.storage.get(item.location.bucket, item.location.key)
        except ServiceError as error:
            raise ObjectFailed.of_client(error.code, error.message) from None
        answers: list[bytes] = []

        async def answer(number: int, payload: Payload) -> None:
            answers[number] = await self._answer(payload, settings)

        requests = self._payloads(content, settings)
        try:
            async with asyncio.TaskGroup() as group:
                while (payload := await self._next(requests, settings, slots)) is not None:
                    answers.append(b"")
                    task = group.create_task(answer(len(answers) - 1, payload))
                    task.add_done_callback(lambda _: slots.release())
        except ExceptionGroup as failures:
            expected, others = failures.split(ObjectFailed)
            raise (others or expected or failures).exceptions[0] from None
        if self._output.get("AssembleWith") == "Line":
            answers = [answer if answer.endswith(b"\n") else answer + b"\n" for answer in answers]
        target = parse_s3(self._output["S3OutputPath"]).child(f"{item.path}.out")
        try:
            self._cloud.storage.put(target.bucket, target.key, b"".join(answers))
        except ServiceError as error:
            raise ObjectFailed.of_client(error.code, error.message) from None

    async def _next(
        self, requests: Iterator[Payload], settings: Settings, slots: asyncio.Semaphore
    ) -> Payload | None:
        """The next request, with a slot taken for it; None when there is none, and no slot taken.

        Raises:
            ObjectFailed: The rest of the object cannot be read.
        """
        await slots.acquire()
        payload = None
        try:
            if settings.multi_record:  # it may be large, and to unpack and parse it takes its time
                payload = await asyncio.to_thread(next, requests, None)
            else:
                payload = next(requests, None)
        except (RecordError, FilterError) as error:
            raise ObjectFailed.of_client(400, str(error)) from None
        finally:
            if payload is None:
                slots.release()
        return payload

    def _payloads(self, content: bytes, settings: Settings) -> Iterator[Payload]:
        """The requests an object makes, as they are asked for."""
        parts = records(
            opened(content, self._input.get("CompressionType", "None")),
            self._input.get("SplitType", "None"),
            limit=settings.limit,
            framed=settings.multi_record,
        )
        prepare = self._processing.prepare if self._processing is not None else _as_it_is
        return payloads(map(prepare, parts), limit=settings.limit, multi_record=settings.multi_record)

    async def _answer(self, payload: Payload, settings: Settings) -> bytes:
        """What is stored for a request.

        Raises:
            ObjectFailed: There was no answer, or none that can be used.
            ContainerError: How a container ended cannot be known.
        """
        body = await self._ask(payload.body, settings)
        if self._processing is None:
            return body
        try:
            return await asyncio.to_thread(self._processing.finish, payload.values, body)
        except FilterError as error:
            raise ObjectFailed.of_client(400, str(error)) from None

    async def _ask(self, body: bytes, settings: Settings) -> bytes:
        """The containers' answer. Which answers SageMaker asks again for is not known: here 5xx and none.

        Raises:
            ObjectFailed: No success, in as many attempts as there are.
            ContainerError: How a container ended cannot be known.
        """
        problem = [NO_ANSWER]
        for _ in range(1 + self._client.retries):
            try:
                status, answer = await self._pass_through(body, settings)
            except TimeoutError:
                problem = [NO_ANSWER]
                continue
            except ConnectionError:
                problem = [NO_ANSWER]
                if await self._ending():
                    break
                continue
            if 200 <= status < 300:
                return answer
            text = answer.decode(errors="replace")
            if status < 500:
                raise ObjectFailed.of_client(status, text)
            problem = [f"AlgorithmError: {status}", "", "Message:", *text.splitlines()]
        raise ObjectFailed(ALGORITHM_ERROR, *problem)

    async def _pass_through(self, body: bytes, settings: Settings) -> tuple[int, bytes]:
        """Send a request through the containers, each with the answer of the last.

        Returns:
            Status and body of the last container's answer, or of the first that is not a success.

        Raises:
            TimeoutError: They took too long.
            ConnectionError: One does not accept connections, or ended before it answered.
        """
        headers = {}
        if self._input.get("ContentType"):
            headers["Content-Type"] = self._input["ContentType"]
        accept = {"Accept": self._output["Accept"]} if self._output.get("Accept") else {}
        *before, last = self._host.servers.values()
        chunked = settings.chunked
        async with asyncio.timeout(self._client.timeout):
            for server in before:
                answer = await server.invoke(body, headers, timeout=self._client.timeout, chunked=chunked)
                if not 200 <= answer.status < 300:
                    return answer.status, answer.body
                body, headers, chunked = answer.body, handed_on(headers, answer), False
            answer = await last.invoke(body, headers | accept, timeout=self._client.timeout, chunked=chunked)
        return answer.status, answer.body

    async def _ending(self) -> bool:
        """Whether a container has ended, or does so in a moment; then the log says how.

        Raises:
            ContainerError: How it ended cannot be known.
        """
        servers = self._host.servers.values()
        await asyncio.gather(*(server.ending() for server in servers))
        for server in servers:
            if server.ended and server.hostname not in self._mourned:
                end = server.end()
                self._mourned.add(server.hostname)
                memory = " for want of memory" if end.out_of_memory else ""
                self.log(f"The container ended with exit code {end.exit_code}{memory}", server.hostname)
        return self._host.ended

    def _now(self) -> str:
        return moment(self._cloud.clock.now()).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]


def _as_it_is(record: bytes) -> tuple[bytes, list[Any]]:
    return record, []


async def side_by_side(steps: Iterable[Awaitable[None]]) -> None:
    """Take steps at the same time. The first that fails ends the others, and what it raised is raised."""
    taken = [asyncio.ensure_future(step) for step in steps]
    try:
        for step in asyncio.as_completed(taken):
            await step
    finally:
        for future in taken:
            future.cancel()
        await asyncio.gather(*taken, return_exceptions=True)
