"""What ends a transform job early, or some of its objects."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from harness.cloud.faults import JobFault
from harness.containers.archive import pack
from harness.containers.runtime import ContainerSpec, Output
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

ALGORITHM_ERROR = "AlgorithmError: See job logs for more information"


async def make_model(cloud: FakeCloud, containers: int = 1) -> None:
    folder = cloud.folder / "model-source"
    folder.mkdir()
    (folder / "weights").write_bytes(b"w")
    cloud.put(**{"model.tar.gz": pack(folder)})
    container = {"Image": SERVING, "ModelDataUrl": "s3://data/model.tar.gz"}
    await cloud.do(
        "create_model", ModelName="digits", Containers=[container] * containers, ExecutionRoleArn=ROLE
    )


def instances(count: int) -> dict[str, Any]:
    return {"TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": count}}


async def transform(cloud: FakeCloud, name: str = "batch-1", **changes: Any) -> dict[str, Any]:
    await cloud.do("create_transform_job", **transform_request(name, **changes))
    return await cloud.sagemaker.wait_for_job("transform", name)


def stored(cloud: FakeCloud) -> list[str]:
    return [key for key, _ in cloud.storage.list("data", "out/")]


def lines(cloud: FakeCloud) -> list[str]:
    return [line for lines in cloud.logs.values() for line in lines]


def hangs(reached: asyncio.Event) -> Program:
    """A server that never answers an invocation, and says when it has one."""

    async def program(box: Box) -> int:
        async def handler(
            method: str, path: str, headers: Mapping[str, str], body: bytes
        ) -> tuple[int, dict[str, str], bytes]:
            if path == "/invocations":
                reached.set()
                await asyncio.Event().wait()
            return 200, {}, b""

        await box.listen(handler)
        return 0

    return program


class Lost(FakeContainer):
    """A container whose engine is gone: nobody learns how it ended."""

    async def wait(self) -> int:
        await asyncio.Event().wait()
        raise AssertionError

    async def kill(self) -> int:
        self._task.cancel()
        raise ContainerError("the engine does not answer")


class LosingRuntime(FakeRuntime):
    async def start(self, spec: ContainerSpec, on_output: Output) -> FakeContainer:
        container = Lost(spec, on_output)
        self.started.append(container)
        return container


def test_an_engine_that_cannot_say_how_a_container_ended_does_not_keep_the_job() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.failed = cloud.folder / "failed"
        await make_model(cloud)
        cloud.put(in__a=b"x")
        cloud.containers = LosingRuntime()
        cloud.images[SERVING] = image(serves(lambda body: (500, b"lost")))
        async with asyncio.timeout(10):
            job = await transform(cloud, ModelClientConfig={"InvocationsMaxRetries": 0})
        assert (job["TransformJobStatus"], job["FailureReason"]) == ("Failed", ALGORITHM_ERROR)

    with_cloud(scenario)


def test_a_container_that_cannot_be_started_fails_the_job_and_the_others_are_ended() -> None:
    class Full(FakeRuntime):
        async def start(self, spec: ContainerSpec, on_output: Output) -> FakeContainer:
            if "-2-" in spec.name:
                raise ContainerError("no space is left")
            return await super().start(spec, on_output)

    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"x")
        cloud.containers = Full()
        job = await transform(cloud, **instances(3))
        assert job["TransformJobStatus"] == "Failed"
        assert job["FailureReason"] == (
            "InternalServerError: The container could not be started: no space is left"
        )
        assert all(container.ended for container in cloud.containers.started)
        assert stored(cloud) == []

    with_cloud(scenario)


def test_a_stop_ends_every_container_of_every_instance() -> None:
    reached = asyncio.Event()

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(hangs(reached))
        await make_model(cloud, containers=2)
        cloud.put(in__a=b"x", in__b=b"y")
        await cloud.do("create_transform_job", **transform_request(**instances(2)))
        await reached.wait()
        await cloud.do("stop_transform_job", TransformJobName="batch-1")
        job = await cloud.sagemaker.wait_for_job("transform", "batch-1")
        assert job["TransformJobStatus"] == "Stopped"
        assert [container.signals for container in cloud.containers.started] == [["TERM 120"]] * 4
        assert stored(cloud) == []

    with_cloud(scenario)


def test_a_job_that_is_stopped_at_once_starts_nothing() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"x")
        await cloud.do("create_transform_job", **transform_request())
        await cloud.do("stop_transform_job", TransformJobName="batch-1")
        job = await cloud.sagemaker.wait_for_job("transform", "batch-1")
        assert job["TransformJobStatus"] == "Stopped"
        assert cloud.containers.started == []

    with_cloud(scenario)


def test_what_is_captured_draws_nothing_that_others_draw_from() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"x")
        await cloud.do(
            "create_transform_job", **transform_request(DataCaptureConfig={"DestinationS3Uri": "s3://data/c"})
        )
        before = cloud.entropy.getstate()
        await cloud.sagemaker.wait_for_job("transform", "batch-1")
        assert len(cloud.storage.list("data", "c/")) == 2
        assert cloud.entropy.getstate() == before

    with_cloud(scenario)


def test_a_job_that_has_done_its_work_can_be_stopped_while_virtual_time_passes() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"x")
        cloud.faults.jobs["transform"] = JobFault(takes=600)
        await cloud.do("create_transform_job", **transform_request())
        await cloud.clock.sleep(60)
        await cloud.do("stop_transform_job", TransformJobName="batch-1")
        job = await cloud.sagemaker.wait_for_job("transform", "batch-1")
        assert job["TransformJobStatus"] == "Stopped"
        assert job["TransformEndTime"].timestamp() == START + 60

    with_cloud(scenario)


def test_an_object_that_goes_before_it_is_read_fails_the_job() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        def answer(body: bytes) -> tuple[int, bytes]:
            cloud.storage.delete("data", "in/b")
            return 200, body

        cloud.images[SERVING] = image(serves(answer))
        await make_model(cloud)
        cloud.put(in__a=b"1", in__b=b"2", in__c=b"3")
        job = await transform(cloud)
        assert job["FailureReason"] == "ClientError: See job logs for more information"
        assert stored(cloud) == ["out/a.out", "out/c.out"]
        assert any("data/in/b: ClientError: NoSuchKey" in line for line in lines(cloud))

    with_cloud(scenario)


def test_a_manifest_that_is_none_fails_the_job() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(manifest=b"{}")
        data = {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": "s3://data/manifest"}}
        job = await transform(cloud, TransformInput={"DataSource": data})
        assert job["TransformJobStatus"] == "Failed"
        assert job["FailureReason"].startswith("ClientError: Data download failed: ValidationException")

    with_cloud(scenario)
