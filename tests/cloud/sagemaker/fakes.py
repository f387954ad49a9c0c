"""Stand-ins for the cloud and for containers: everything in memory, containers are coroutines."""

from __future__ import annotations

import asyncio
import random
import socket
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from harness.clock import Clock, SkippingClock, run
from harness.cloud.errors import ServiceError
from harness.cloud.events import Event, EventBus
from harness.cloud.faults import JobFault
from harness.cloud.sagemaker import SageMaker, SageMakerRuntime
from harness.cloud.service import USER, Caller, Request, Service
from harness.containers.runtime import ContainerSpec, Image, ImageSource, Output
from harness.errors import ContainerError

START = 1_750_000_000.0
ROLE = "arn:aws:iam::123456789012:role/mlops-sm-s3"
TRAINING = "123456789012.dkr.ecr.us-east-1.amazonaws.com/training:1"
PROCESSING = "123456789012.dkr.ecr.us-east-1.amazonaws.com/processing:1"
SERVING = "123456789012.dkr.ecr.us-east-1.amazonaws.com/serving:1"


# Containers -------------------------------------------------------------------------------------------


class Box:
    """What a program in a fake container sees."""

    def __init__(self, container: FakeContainer) -> None:
        self._container = container
        self.spec = container.spec
        self.terminated = asyncio.Event()  # SIGTERM

    def say(self, line: str) -> None:
        self._container.on_output(line)

    def path(self, inside: str) -> Path:
        """Where a path of the container lies on this machine."""
        wanted = PurePosixPath(inside)
        deepest_first = sorted(self.spec.mounts, key=lambda mount: -len(mount.target.parts))
        for mount in deepest_first:
            if wanted.is_relative_to(mount.target):
                return mount.source / wanted.relative_to(mount.target)
        raise FileNotFoundError(inside)

    async def listen(self, handler: Handler) -> None:
        """Serve HTTP on 8080 until SIGTERM."""
        clients: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            clients.add(asyncio.ensure_future(_serve(handler, reader, writer)))

        server = await asyncio.start_server(connected, "127.0.0.1", 0, start_serving=False)
        try:
            await server.start_serving()
            self._container.port = server.sockets[0].getsockname()[1]
            await self.terminated.wait()
        finally:
            server.close()
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)


Program = Callable[[Box], Awaitable[int]]
Handler = Callable[[str, str, Mapping[str, str], bytes], Awaitable[tuple[int, dict[str, str], bytes]]]


class FakeContainer:
    def __init__(self, spec: ContainerSpec, on_output: Output) -> None:
        self.spec = spec
        self.on_output = on_output
        self.out_of_memory = False
        self.refreshed: list[PurePosixPath] = []
        self.port: int | None = None
        self.signals: list[str] = []
        self.connections = 0
        self._box = Box(self)
        self._task = asyncio.ensure_future(self._run(spec.image.payload))

    async def _run(self, program: Program) -> int:
        try:
            return await program(self._box)
        except asyncio.CancelledError:
            return 137

    @property
    def ended(self) -> bool:
        return self._task.done()

    async def wait(self) -> int:
        return await asyncio.shield(self._task)

    async def refresh(self, target: PurePosixPath) -> None:
        self.refreshed.append(target)

    async def stop(self, grace: float) -> int:
        self.signals.append(f"TERM {grace:g}")
        self._box.terminated.set()
        await asyncio.wait({self._task}, timeout=min(grace, 0.05))
        return await self.wait() if self._task.done() else await self.kill()

    async def kill(self) -> int:
        if not self._task.done():
            self.signals.append("KILL")
            self._task.cancel()
        return await self.wait()

    async def connect(self, port: int) -> socket.socket:
        if self._task.done():
            raise ConnectionError("ended")
        if port not in self.spec.ports or self.port is None:
            raise ConnectionRefusedError
        self.connections += 1
        sock = socket.socket()
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        except BaseException:
            sock.close()
            raise
        return sock

    def reproduce(self) -> str:
        return "true"


class FakeNetwork:
    def __init__(self, hosts: Sequence[str]) -> None:
        self.hosts = tuple(hosts)
        self.closed = False

    async def close(self) -> None:
        self.closed = True


class FakeRuntime:
    name = "fake"

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.networks: list[FakeNetwork] = []
        self.started: list[FakeContainer] = []
        self.first = asyncio.Event()
        self.refuse: str | None = None

    async def build(self, source: ImageSource, on_progress: Output | None = None) -> Image:
        raise NotImplementedError

    async def network(self, name: str, hosts: Sequence[str]) -> FakeNetwork:
        network = FakeNetwork(hosts)
        self.networks.append(network)
        return network

    async def start(self, spec: ContainerSpec, on_output: Output) -> FakeContainer:
        if self.refuse is not None:
            raise ContainerError(self.refuse)
        container = FakeContainer(spec, on_output)
        self.started.append(container)
        self.first.set()
        return container

    async def close(self) -> None:
        await asyncio.gather(*(container.kill() for container in self.started), return_exceptions=True)


async def _serve(handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A small HTTP/1.1 server with keep-alive."""
    try:
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            method, path, _ = head[0].split(" ")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            status, extra, body = await handler(method, path, headers, await _body(reader, headers))
            lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
            lines += [f"{name}: {value}" for name, value in extra.items()]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            if extra.get("Connection") == "close":
                return
    finally:
        writer.close()


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body


def image(program: Program, name: str = "image") -> Image:
    return Image(name, "sha256:" + "ab" * 32, payload=program)


# Programs ---------------------------------------------------------------------------------------------


async def trains(box: Box) -> int:
    """Write a model that says what it was trained on."""
    files = sorted(p for p in box.path("/opt/ml/input/data").rglob("*") if p.is_file())
    box.say(f"trained on {len(files)} files")
    (box.path("/opt/ml/model") / "model.txt").write_text(f"{len(files)}")
    return 0


async def cleans(box: Box) -> int:
    """Copy what is in one folder to the other, in capitals."""
    raw, clean = box.path("/opt/ml/processing/raw"), box.path("/opt/ml/processing/clean")
    for file in sorted(path for path in raw.rglob("*") if path.is_file()):
        target = clean / file.relative_to(raw)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes().upper())
        box.say(f"cleaned {file.name}")
    return 0


def serves(
    answer: Callable[[bytes], tuple[int, bytes]] = lambda body: (200, body.upper()),
    parameters: bytes | None = None,
    seen: list[tuple[str, str, dict[str, str], bytes]] | None = None,
) -> Program:
    """A serving program that answers each invocation with `answer(body)`."""

    async def program(box: Box) -> int:
        async def handler(
            method: str, path: str, headers: Mapping[str, str], body: bytes
        ) -> tuple[int, dict[str, str], bytes]:
            if seen is not None:
                seen.append((method, path, dict(headers), body))
            if path == "/ping":
                return 200, {}, b""
            if path == "/execution-parameters":
                return (200, {}, parameters) if parameters is not None else (404, {}, b"no")
            status, text = answer(body)
            return status, {"Content-Type": "text/plain"}, text

        box.say("listening")
        await box.listen(handler)
        return 0

    return program


# The cloud --------------------------------------------------------------------------------------------


class MemoryStorage:
    def __init__(self, *buckets: str) -> None:
        self.buckets: dict[str, dict[str, bytes]] = {bucket: {} for bucket in buckets}

    def _bucket(self, bucket: str) -> dict[str, bytes]:
        if bucket not in self.buckets:
            raise ServiceError(
                "NoSuchBucket",
                "The specified bucket does not exist",
                status=404,
                fields={"BucketName": bucket},
            )
        return self.buckets[bucket]

    def list(self, bucket: str, prefix: str = "") -> list[tuple[str, int]]:
        objects = self._bucket(bucket)
        return [(key, len(objects[key])) for key in sorted(objects) if key.startswith(prefix)]

    def get(self, bucket: str, key: str) -> bytes:
        try:
            return self._bucket(bucket)[key]
        except KeyError:
            raise ServiceError(
                "NoSuchKey", "The specified key does not exist.", status=404, fields={"Key": key}
            ) from None

    def put(self, bucket: str, key: str, body: bytes) -> None:
        self._bucket(bucket)[key] = body

    def delete(self, bucket: str, key: str) -> None:
        self._bucket(bucket).pop(key, None)


class ScriptedFaults:
    def __init__(self) -> None:
        self.jobs: dict[str, JobFault] = {}

    def call(self, service: str, operation: str, params: Mapping[str, Any]) -> None:
        return None

    def job(self, kind: str, name: str, request: Mapping[str, Any]) -> JobFault | None:
        return self.jobs.get(kind)


class FakeCloud:
    """A `CloudContext` with the two services and nothing else."""

    account = "123456789012"
    region = "us-east-1"
    partition = "aws"
    endpoint_url = "http://127.0.0.1:1"

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock | None = None,
        startup_limit: float = 5.0,
        ping_interval: float = 5.0,
    ) -> None:
        self.clock = clock or SkippingClock(START)
        self.events = EventBus(self.clock)
        self.faults = ScriptedFaults()
        self.entropy = random.Random(7)
        self.folder = folder
        self.storage = MemoryStorage("data")
        self.containers = FakeRuntime()
        self.images: dict[str, Image] = {
            TRAINING: image(trains),
            PROCESSING: image(cleans),
            SERVING: image(serves()),
        }
        self.failed: Path | None = None
        self.metrics: list[Mapping[str, Any]] = []
        """Requests to CloudWatch."""
        self.logs: dict[tuple[str, str], list[str]] = {}
        self.others: dict[tuple[str, str], Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            ("iam", "ListRoles"): lambda params: {"Roles": []},
            ("cloudwatch", "PutMetricData"): self._put_metrics,
        }
        """What other services answer, by service and operation."""
        self.seen: list[Event] = []
        self.errors: list[BaseException] = []
        self.sagemaker = SageMaker(self, startup_limit=startup_limit, ping_interval=ping_interval)
        self.runtime = SageMakerRuntime(self, timeout=0.5)
        self._tasks: set[asyncio.Task[Any]] = set()
        self.events.subscribe(self.seen.append)

    def _put_metrics(self, params: Mapping[str, Any]) -> dict[str, Any]:
        self.metrics.append(params)
        return {}

    def service(self, name: str) -> Service:
        return {"sagemaker": self.sagemaker, "sagemaker-runtime": self.runtime}[name]

    async def call(
        self, service: str, operation: str, params: Mapping[str, Any], *, caller: Caller = USER
    ) -> dict[str, Any]:
        return self.others[service, operation](params)

    def identify(self, caller: Caller) -> tuple[str, str]:
        return f"AKIA{caller.name}", f"secret of {caller.name} as {caller.role}"

    def spawn(self, coroutine: Any, name: str) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.errors.append(task.exception())  # type: ignore[arg-type]

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def log(self, group: str, stream: str, lines: list[str]) -> None:
        self.logs.setdefault((group, stream), []).extend(lines)

    # for tests

    async def do(self, operation: str, **params: Any) -> dict[str, Any]:
        """Call an operation by its Python name: ``create_training_job``."""
        service = self.runtime if operation.startswith("invoke_endpoint") else self.sagemaker
        handler = getattr(service, operation)
        result: dict[str, Any] = await handler(Request(operation, params, USER, "id"))
        return result

    async def error(self, operation: str, **params: Any) -> ServiceError:
        """Call an operation that must fail."""
        try:
            await self.do(operation, **params)
        except ServiceError as error:
            return error
        raise AssertionError(f"{operation} succeeded")

    def put(self, **objects: bytes) -> None:
        """Store objects of the bucket ``data``; ``__`` in a name stands for ``/``."""
        for name, content in objects.items():
            self.storage.put("data", name.replace("__", "/"), content)

    def events_of(self, kind: str) -> list[Event]:
        return [event for event in self.seen if event.kind == kind]

    async def settle(self) -> None:
        """Wait for every background task that is not looking after something."""
        while busy := {task for task in self._tasks if not task.get_name().startswith("keep ")}:
            await asyncio.wait(busy)

    async def close(self) -> None:
        await self.sagemaker.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.containers.close()


def with_cloud(scenario: Callable[[FakeCloud], Awaitable[None]], **options: Any) -> None:
    """Run a scenario in a fresh cloud; no background task may have failed."""

    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            cloud = FakeCloud(Path(folder), **options)
            try:
                await scenario(cloud)
                await cloud.settle()
            finally:
                await cloud.close()
            assert cloud.errors == []

    run(main())


# Requests ---------------------------------------------------------------------------------------------


def training_request(name: str = "train-1", **changes: Any) -> dict[str, Any]:
    request: dict[str, Any] = {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": TRAINING, "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://data/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    }
    return request | changes


def channel(name: str = "train", uri: str = "s3://data/train", **changes: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}} | changes


def transform_request(name: str = "batch-1", **changes: Any) -> dict[str, Any]:
    request: dict[str, Any] = {
        "TransformJobName": name,
        "ModelName": "digits",
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/in/"}},
            "ContentType": "text/plain",
        },
        "TransformOutput": {"S3OutputPath": "s3://data/out"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }
    return request | changes


def processing_request(name: str = "process-1", **changes: Any) -> dict[str, Any]:
    request: dict[str, Any] = {
        "ProcessingJobName": name,
        "RoleArn": ROLE,
        "AppSpecification": {"ImageUri": PROCESSING},
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10}
        },
        "ProcessingInputs": [processing_input()],
        "ProcessingOutputConfig": {"Outputs": [processing_output()]},
    }
    return request | changes


def processing_input(name: str = "raw", uri: str = "s3://data/raw", **changes: Any) -> dict[str, Any]:
    source = {"S3Uri": uri, "LocalPath": f"/opt/ml/processing/{name}", "S3DataType": "S3Prefix"}
    return {"InputName": name, "S3Input": source | changes}


def processing_output(name: str = "clean", uri: str = "s3://data/clean", **changes: Any) -> dict[str, Any]:
    target = {"S3Uri": uri, "LocalPath": f"/opt/ml/processing/{name}", "S3UploadMode": "EndOfJob"}
    return {"OutputName": name, "S3Output": target | changes}


def tuning_request(
    name: str = "tune-1",
    *,
    strategy: str = "Random",
    objective: str = "Maximize",
    most: int | None = 3,
    parallel: int = 1,
    ranges: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    **definition: Any,
) -> dict[str, Any]:
    """A request to tune `lr` from 0 to 1 by the metric `f1`; `definition` changes the training jobs'."""
    limits = {"MaxParallelTrainingJobs": parallel} | ({"MaxNumberOfTrainingJobs": most} if most else {})
    lr = {"Name": "lr", "MinValue": "0.0", "MaxValue": "1.0"}
    training = training_request()
    del training["TrainingJobName"]
    training["AlgorithmSpecification"] |= {"MetricDefinitions": [{"Name": "f1", "Regex": "f1=(.*?);"}]}
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": strategy,
            "HyperParameterTuningJobObjective": {"Type": objective, "MetricName": "f1"},
            "ResourceLimits": limits,
            "ParameterRanges": ranges or {"ContinuousParameterRanges": [lr]},
            **(config or {}),
        },
        "TrainingJobDefinition": training | definition,
    }


def variant(name: str = "AllTraffic", model: str = "digits", **changes: Any) -> dict[str, Any]:
    return {
        "VariantName": name,
        "ModelName": model,
        "InitialInstanceCount": 1,
        "InstanceType": "ml.t2.medium",
    } | changes
