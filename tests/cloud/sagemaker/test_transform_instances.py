"""The instances of a transform job: their containers, what they reach, and what happens when they fail."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.containers.archive import pack
from harness.containers.instances import limits
from harness.containers.runtime import ContainerSpec, Gateway, Output
from harness.errors import ContainerError
from tests.cloud.sagemaker.fakes import (
    ROLE,
    SERVING,
    START,
    Box,
    FakeCloud,
    FakeContainer,
    FakeRuntime,
    Program,
    image,
    serves,
    transform_request,
    with_cloud,
)
from tests.cloud.sagemaker.test_transform import PING_FAILED, Seen, make_model, outputs, source, transform

SECOND = SERVING.replace("serving", "second")
INTERNAL = "InternalServerError: The container could not be "


def resources(count: int, instance_type: str = "ml.m5.large") -> dict[str, Any]:
    return {"InstanceType": instance_type, "InstanceCount": count}


def data_logs(cloud: FakeCloud) -> list[list[str]]:
    return [lines for (_, stream), lines in cloud.logs.items() if stream.endswith("/data-log")]


# Several ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 7])
def test_objects_are_spread_over_the_instances(count: int) -> None:
    async def program(box: Box) -> int:
        return await serves(lambda body: (200, f"{box.spec.name}: {body.decode()}".encode()))(box)

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(program)
        await make_model(cloud)
        for number in range(5):
            cloud.storage.put("data", f"in/{number}", b"%d" % number)
        job = await transform(cloud, TransformResources=resources(count))
        assert job["TransformJobStatus"] == "Completed"
        names = [f"transform-batch-1-{number}-1" for number in range(1, count + 1)]
        assert outputs(cloud) == {
            f"{number}.out": f"{names[number % count]}: {number}".encode() for number in range(5)
        }
        assert sorted(container.spec.name for container in cloud.containers.started) == names
        assert all(container.ended for container in cloud.containers.started)
        assert len(data_logs(cloud)) == count
        assert len({stream.split("/")[1] for _, stream in cloud.logs}) == count
        assert {event.data["host"] for event in cloud.events_of("job.log")} == {
            f"algo-{number}" for number in range(1, count + 1)
        }

    with_cloud(scenario)


def test_an_instance_that_does_not_get_ready_fails_the_job_and_ends_the_others() -> None:
    async def program(box: Box) -> int:
        if box.spec.name == "transform-batch-1-2-1":
            return 1
        return await serves()(box)

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(program)
        await make_model(cloud)
        cloud.put(in__a=b"x")
        job = await asyncio.wait_for(transform(cloud, TransformResources=resources(3)), 2)
        assert (job["TransformJobStatus"], job["FailureReason"]) == ("Failed", PING_FAILED)
        assert all(container.ended for container in cloud.containers.started)
        assert outputs(cloud) == {}

    with_cloud(scenario, startup_limit=60)


def test_an_instance_that_dies_does_not_keep_the_others_from_their_work() -> None:
    async def program(box: Box) -> int:
        async def handler(
            method: str, path: str, headers: Mapping[str, str], body: bytes
        ) -> tuple[int, dict[str, str], bytes]:
            if body == b"deadly":
                box.terminated.set()
                return 200, {"Connection": "close"}, b""
            return (404 if path == "/execution-parameters" else 200), {}, body

        await box.listen(handler)
        return 137

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(program)
        await make_model(cloud)
        cloud.put(in__a=b"deadly", in__b=b"1", in__c=b"lost", in__d=b"2")
        await cloud.do("create_transform_job", **transform_request(TransformResources=resources(2)))
        await cloud.containers.first.wait()
        cloud.containers.started[0].out_of_memory = True
        job = await cloud.sagemaker.wait_for_job("transform", "batch-1")
        assert job["FailureReason"] == "AlgorithmError: See job logs for more information"
        found = outputs(cloud)
        assert (found["b.out"], found["d.out"]) == (b"1", b"2")
        assert "c.out" not in found
        lines = [line for lines in cloud.logs.values() for line in lines]
        assert "The container ended with exit code 137 for want of memory" in lines

    with_cloud(scenario)


# Pipelines --------------------------------------------------------------------------------------------


def stage(seen: Seen, answer: bytes, kind: str, *, status: int = 200) -> Program:
    async def program(box: Box) -> int:
        box.say((box.path("/opt/ml/model") / "name").read_text())

        async def handler(
            method: str, path: str, headers: Mapping[str, str], body: bytes
        ) -> tuple[int, dict[str, str], bytes]:
            if path == "/invocations":
                seen.append((method, path, dict(headers), body))
                return status, {"Content-Type": kind}, body + answer
            return (404 if path == "/execution-parameters" else 200), {}, b""

        await box.listen(handler)
        return 0

    return program


async def make_pipeline(cloud: FakeCloud, **model: Any) -> None:
    containers = []
    for uri, name in ((SERVING, "one"), (SECOND, "two")):
        folder = cloud.folder / name
        folder.mkdir()
        (folder / "name").write_text(f"I am {name}")
        cloud.storage.put("data", f"{name}.tar.gz", pack(folder))
        containers.append(
            {"Image": uri, "ModelDataUrl": f"s3://data/{name}.tar.gz", "Environment": {"NAME": name}}
        )
    await cloud.do("create_model", ModelName="digits", Containers=containers, ExecutionRoleArn=ROLE, **model)


def test_a_pipeline() -> None:
    first: Seen = []
    second: Seen = []

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(stage(first, b"-1", "application/x-features"))
        cloud.images[SECOND] = image(stage(second, b"-2", "application/json"))
        await make_pipeline(cloud)
        cloud.put(in__a=b"x")
        job = await transform(
            cloud,
            Environment={"JOB": "j"},
            TransformInput=source(ContentType="text/csv"),
            TransformOutput={"S3OutputPath": "s3://data/out", "Accept": "application/json"},
        )
        assert job["TransformJobStatus"] == "Completed"
        assert outputs(cloud) == {"a.out": b"x-1-2"}
        [(_, _, headers, body)] = first
        assert (headers["content-type"], headers.get("accept"), body) == ("text/csv", None, b"x")
        [(_, _, headers, body)] = second
        assert headers["content-type"] == "application/x-features"
        assert headers["accept"] == "application/json"
        assert body == b"x-1"
        for container, name in zip(cloud.containers.started, ("one", "two"), strict=True):
            environment = container.spec.environment
            assert (environment["NAME"], environment["JOB"]) == (name, "j")
            assert environment["SAGEMAKER_BATCH"] == "true"
        told = {tuple(stream.split("/")[2:]): lines for (_, stream), lines in cloud.logs.items()}
        assert told.keys() == {("container-1",), ("container-2",), ("data-log",)}
        assert (told["container-1",], told["container-2",]) == (["I am one"], ["I am two"])

    with_cloud(scenario)


@pytest.mark.parametrize("bad", [1, 2])
def test_a_pipeline_ends_at_the_first_refusal(bad: int) -> None:
    first: Seen = []
    second: Seen = []

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(stage(first, b" 1", "a/b", status=400 if bad == 1 else 200))
        cloud.images[SECOND] = image(stage(second, b" 2", "a/b", status=400 if bad == 2 else 200))
        await make_pipeline(cloud)
        cloud.put(in__a=b"x")
        job = await transform(cloud)
        assert job["FailureReason"] == "ClientError: See job logs for more information"
        assert (len(first), len(second)) == (1, bad - 1)
        [lines] = data_logs(cloud)
        assert lines[-1].endswith("data/in/a: x 1" if bad == 1 else "data/in/a: x 1 2")

    with_cloud(scenario)


def test_models_that_batch_transform_cannot_serve_are_refused() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        multi = {"com.amazonaws.sagemaker.capabilities.multi-models": "true"}
        plain = image(serves())
        cloud.images[SERVING] = type(plain)(plain.name, plain.digest, payload=plain.payload, labels=multi)
        cloud.images[SECOND] = plain
        cloud.put(in__a=b"x", models__a=b"m")
        prefix = {"S3Uri": "s3://data/models/", "S3DataType": "S3Prefix", "CompressionType": "None"}
        models = {
            "many": {
                "PrimaryContainer": {
                    "Image": SERVING,
                    "Mode": "MultiModel",
                    "ModelDataUrl": "s3://data/models/",
                }
            },
            "direct": {
                "Containers": [{"Image": SERVING}, {"Image": SECOND}],
                "InferenceExecutionConfig": {"Mode": "Direct"},
            },
            "plain": {"PrimaryContainer": {"Image": SECOND, "ModelDataSource": {"S3DataSource": prefix}}},
        }
        complaints = {
            "many": "MultiModel mode",
            "direct": "harness does not support a transform job with a model whose InferenceExecutionConfig",
            "plain": "SageMaker Batch currently doesn't support Model entity with container definitions "
            "which use ModelDataSource attribute",
        }
        for name, model in models.items():
            await cloud.do("create_model", ModelName=name, ExecutionRoleArn=ROLE, **model)
            error = await cloud.error("create_transform_job", **transform_request(ModelName=name))
            assert error.code == "ValidationException"
            assert complaints[name] in error.message

    with_cloud(scenario)


# What a container may use -----------------------------------------------------------------------------


@pytest.mark.parametrize("isolated", [True, False])
def test_the_model_says_whether_its_containers_reach_the_local_cloud(isolated: bool) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await cloud.do(
            "create_model",
            ModelName="digits",
            PrimaryContainer={"Image": SERVING},
            ExecutionRoleArn=ROLE,
            EnableNetworkIsolation=isolated,
        )
        cloud.put(in__a=b"x")
        await transform(cloud)
        [container] = cloud.containers.started
        environment = container.spec.environment
        assert environment["AWS_REGION"] == "us-east-1"
        assert container.spec.labels == {"type": "transform", "job": "batch-1"}
        if isolated:
            assert container.spec.gateway is None
            assert not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} & environment.keys()
        else:
            assert container.spec.gateway == Gateway(1, ("AWS_ENDPOINT_URL", "S3_ENDPOINT_URL"))
            assert environment["AWS_ACCESS_KEY_ID"] == "AKIAbatch-1"
            assert environment["AWS_SECRET_ACCESS_KEY"] == f"secret of batch-1 as {ROLE}"

    with_cloud(scenario)


def test_the_instance_type_limits_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 64)

    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"x")
        await transform(cloud, TransformResources=resources(1, "ml.m5.xlarge"))
        [container] = cloud.containers.started
        assert container.spec.cpus == 4
        assert (container.spec.memory, container.spec.cpus) == limits("ml.m5.xlarge")

    with_cloud(scenario)


# Data capture -----------------------------------------------------------------------------------------


def test_what_was_read_and_written_is_captured_as_manifests() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(serves(lambda body: (400, b"") if body == b"bad" else (200, body)))
        await make_model(cloud)
        cloud.put(in__3__a=b"good", in__b=b"bad", in__c=b"good")
        config = {"DestinationS3Uri": "s3://data/captured/"}
        job = await transform(cloud, DataCaptureConfig=config, TransformResources=resources(2))
        assert job["TransformJobStatus"] == "Failed"
        assert job["DataCaptureConfig"] == config
        manifests = {
            key.rpartition("/")[0]: (key.rpartition(".")[2], json.loads(body))
            for key, body in cloud.storage.buckets["data"].items()
            if key.startswith("captured/")
        }
        assert manifests == {
            "captured/input/2025/06/15/15": ("jsonl", [{"prefix": "s3://data/in/"}, "3/a", "c"]),
            "captured/output/2025/06/15/15": ("jsonl", [{"prefix": "s3://data/out/"}, "3/a.out", "c.out"]),
        }

    with_cloud(scenario)


def test_captured_data_that_cannot_be_stored_fails_the_job() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"x")
        job = await transform(cloud, DataCaptureConfig={"DestinationS3Uri": "s3://nowhere/c"})
        assert job["FailureReason"].startswith("ClientError: Data capture failed: NoSuchBucket")
        assert outputs(cloud) == {"a.out": b"X"}

    with_cloud(scenario)


# Stopping ---------------------------------------------------------------------------------------------


def test_what_was_done_before_a_stop_stays_and_what_was_not_leaves_nothing() -> None:
    reached = asyncio.Event()

    async def program(box: Box) -> int:
        async def handler(
            method: str, path: str, headers: Mapping[str, str], body: bytes
        ) -> tuple[int, dict[str, str], bytes]:
            if body == b"hang\n":
                reached.set()
                await asyncio.Event().wait()
            return (404 if path == "/execution-parameters" else 200), {}, body

        await box.listen(handler)
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(program)
        await make_model(cloud)
        cloud.put(in__a=b"1\n", in__b=b"2\n", in__c=b"3\nhang\n4\n")
        await cloud.do(
            "create_transform_job",
            **transform_request(
                BatchStrategy="SingleRecord",
                TransformInput=source(SplitType="Line"),
                TransformResources=resources(2),
            ),
        )
        await reached.wait()
        while len(outputs(cloud)) < 2:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)
        await cloud.do("stop_transform_job", TransformJobName="batch-1")
        job = await cloud.sagemaker.wait_for_job("transform", "batch-1")
        assert job["TransformJobStatus"] == "Stopped"
        assert outputs(cloud) == {"a.out": b"1\n", "b.out": b"2\n"}
        assert [container.signals for container in cloud.containers.started] == [["TERM 120"]] * 2
        [event] = [event for event in cloud.events_of("job") if event.data["status"] == "Stopped"]
        assert event.data["reason"] is None

    with_cloud(scenario)


def test_a_stop_ends_the_wait_for_a_container_that_is_not_ready() -> None:
    async def deaf(box: Box) -> int:
        await box.terminated.wait()
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(deaf)
        await make_model(cloud)
        cloud.put(in__a=b"x")
        await cloud.do("create_transform_job", **transform_request())
        await cloud.containers.first.wait()
        await cloud.do("stop_transform_job", TransformJobName="batch-1")
        job = await asyncio.wait_for(cloud.sagemaker.wait_for_job("transform", "batch-1"), 2)
        assert job["TransformJobStatus"] == "Stopped"
        assert all(container.ended for container in cloud.containers.started)

    with_cloud(scenario, startup_limit=60)


def test_a_stop_while_containers_start_waits_for_them_and_leaves_none() -> None:
    class Slow(FakeRuntime):
        def __init__(self) -> None:
            super().__init__()
            self.starting, self.go_on = asyncio.Event(), asyncio.Event()

        async def start(self, spec: ContainerSpec, on_output: Output) -> FakeContainer:
            self.starting.set()
            await self.go_on.wait()
            return await super().start(spec, on_output)

    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"x")
        cloud.containers = runtime = Slow()
        await cloud.do("create_transform_job", **transform_request(TransformResources=resources(2)))
        await runtime.starting.wait()
        await cloud.do("stop_transform_job", TransformJobName="batch-1")
        runtime.go_on.set()
        job = await cloud.sagemaker.wait_for_job("transform", "batch-1")
        assert job["TransformJobStatus"] == "Stopped"
        assert [container.ended for container in runtime.started] == [True, True]
        assert outputs(cloud) == {}

    with_cloud(scenario)


# What goes wrong --------------------------------------------------------------------------------------


async def works_again(cloud: FakeCloud) -> None:
    """The control plane goes on: another job completes."""
    cloud.containers.refuse = None
    cloud.images[SERVING] = image(serves())
    await cloud.do("create_transform_job", **transform_request("again"))
    job = await cloud.sagemaker.wait_for_job("transform", "again")
    assert job["TransformJobStatus"] == "Completed"


def test_an_engine_that_starts_nothing_fails_the_job() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"x")
        cloud.containers.refuse = "no engine answers"
        job = await transform(cloud, TransformResources=resources(2))
        assert job["FailureReason"] == INTERNAL + "started: no engine answers"
        await works_again(cloud)

    with_cloud(scenario)


@pytest.mark.parametrize("when", ["/ping", "/invocations"])
def test_an_engine_that_dies_fails_the_job(when: str) -> None:
    async def program(box: Box) -> int:
        async def handler(
            method: str, path: str, headers: Mapping[str, str], body: bytes
        ) -> tuple[int, dict[str, str], bytes]:
            if path == when:
                box.terminated.set()
                return 503, {"Connection": "close"}, b""
            return (404 if path == "/execution-parameters" else 200), {}, b""

        await box.listen(handler)
        raise ContainerError("the engine is gone")

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(program)
        await make_model(cloud)
        cloud.put(in__a=b"x", in__b=b"y")
        job = await asyncio.wait_for(transform(cloud), 5)
        assert job["TransformJobStatus"] == "Failed"
        assert job["FailureReason"] == INTERNAL + "run: the engine is gone"
        cloud.containers.started.clear()
        await works_again(cloud)

    with_cloud(scenario)


def test_a_disk_that_takes_nothing_fails_the_job() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"x")
        blocked = cloud.folder / "sagemaker"
        blocked.write_bytes(b"")
        job = await transform(cloud)
        assert job["TransformJobStatus"] == "Failed"
        assert job["FailureReason"].startswith("ClientError: Data download failed: ")
        blocked.unlink()
        await works_again(cloud)

    with_cloud(scenario)


def hostile(name: str, **link: Any) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.type = link.get("type", tarfile.REGTYPE)
        member.linkname = link.get("to", "")
        archive.addfile(member, io.BytesIO())
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        hostile("../evil"),
        hostile("/tmp/evil"),
        hostile("link", type=tarfile.SYMTYPE, to="/etc/passwd"),
        hostile("pipe", type=tarfile.FIFOTYPE),
        b"\x1f\x8b broken",
    ],
    ids=["above", "absolute", "link", "pipe", "no-archive"],
)
def test_a_hostile_model_fails_the_job(content: bytes) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        good = cloud.storage.get("data", "model.tar.gz")
        cloud.put(in__a=b"x", **{"model.tar.gz": content})
        job = await transform(cloud)
        assert job["FailureReason"] == (
            'ClientError: Failed to extract model data archive from URL "s3://data/model.tar.gz". Please '
            "ensure that the object located at the URL is a valid tar.gz archive."
        )
        assert cloud.containers.started == []
        assert not list(cloud.folder.rglob("evil"))
        cloud.put(**{"model.tar.gz": good})
        await works_again(cloud)

    with_cloud(scenario)


def test_a_failed_job_says_how_to_run_its_containers_by_hand(tmp_path: Path) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.failed = tmp_path / "failed"
        cloud.images[SERVING] = image(serves(lambda body: (400, b"no")))
        await make_model(cloud)
        cloud.put(in__a=b"x")
        await transform(cloud)
        message = "Run it again by hand: true"
        [lines] = [lines for (_, stream), lines in cloud.logs.items() if not stream.endswith("data-log")]
        assert lines == ["listening", message]
        last = cloud.events_of("job")[-1]
        assert (last.data["status"], last.data["message"]) == ("Failed", message)
        kept = cloud.failed / "transform-batch-1" / "primary" / "weights"
        assert kept.read_text() == "w"
        await works_again(cloud)
        assert cloud.events_of("job")[-1].data["message"] is None
        await cloud.settle()
        assert list((cloud.folder / "sagemaker" / "transform").iterdir()) == []

    with_cloud(scenario)


def test_the_stream_of_a_log_is_named_after_the_instance() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"x")
        await transform(cloud)
        groups = {group for group, _ in cloud.logs}
        assert groups == {"/aws/sagemaker/TransformJobs"}
        assert all(stream.split("/")[1].endswith(f"-{int(START)}") for _, stream in cloud.logs)

    with_cloud(scenario)
