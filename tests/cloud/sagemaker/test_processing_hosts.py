"""Processing jobs on several hosts, and the ways data comes in and goes out."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import PurePosixPath
from typing import Any

import pytest

from harness.cloud.sagemaker.jobs import OUT_OF_MEMORY
from tests.cloud.sagemaker.fakes import (
    PROCESSING,
    Box,
    FakeCloud,
    image,
    processing_input,
    processing_output,
    processing_request,
    with_cloud,
)


def on(hosts: int, kind: str = "ml.m5.large") -> dict[str, Any]:
    cluster = {"InstanceType": kind, "InstanceCount": hosts, "VolumeSizeInGB": 10}
    return {"ProcessingResources": {"ClusterConfig": cluster}}


def host(box: Box) -> str:
    assert box.spec.hostname is not None
    return box.spec.hostname


async def process(cloud: FakeCloud, **changes: Any) -> dict[str, Any]:
    """Create a job and wait for its end."""
    await cloud.do("create_processing_job", **processing_request(**changes))
    return await cloud.sagemaker.wait_for_job("processing", "process-1")


# Hosts ------------------------------------------------------------------------------------------------


def test_every_host_gets_its_shard_and_all_results_are_uploaded() -> None:
    async def program(box: Box) -> int:
        names = sorted(path.name for path in box.path("/opt/ml/processing/raw").iterdir())
        everything = sorted(path.name for path in box.path("/opt/ml/processing/whole").iterdir())
        clean = box.path("/opt/ml/processing/clean")
        (clean / host(box)).write_text(f"{names} of {everything}")
        (clean / "same").write_text(host(box))
        box.say(host(box))
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[PROCESSING] = image(program)
        cloud.put(raw__a=b"1", raw__b=b"2", raw__c=b"3")
        inputs = [processing_input(S3DataDistributionType="ShardedByS3Key"), processing_input("whole")]
        job = await process(cloud, **on(2), ProcessingInputs=inputs)
        assert job["ProcessingJobStatus"] == "Completed"
        assert cloud.storage.get("data", "clean/algo-1") == b"['a', 'c'] of ['a', 'b', 'c']"
        assert cloud.storage.get("data", "clean/algo-2") == b"['b'] of ['a', 'b', 'c']"
        assert cloud.storage.get("data", "clean/same") == b"algo-2"  # the last host's stays
        [network] = cloud.containers.networks
        assert (network.hosts, network.closed) == (("algo-1", "algo-2"), True)
        assert {container.spec.network for container in cloud.containers.started} == {network}
        assert {stream.rpartition("-")[0]: lines for (_, stream), lines in cloud.logs.items()} == {
            "process-1/algo-1": ["algo-1"],
            "process-1/algo-2": ["algo-2"],
        }

    with_cloud(scenario)


def test_messages_of_several_hosts_are_put_together_then_cut() -> None:
    async def program(box: Box) -> int:
        text = "ä" * 400 if host(box) == "algo-1" else "b" * 400
        (box.path("/opt/ml/output") / "message").write_text(text)
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[PROCESSING] = image(program)
        cloud.put(raw__a=b"1")
        job = await process(cloud, **on(2))
        assert job["ExitMessage"] == "ä" * 400 + "b" * 224  # 1024 bytes

    with_cloud(scenario)


def test_the_host_that_fails_first_fails_the_job_and_stops_the_others() -> None:
    async def program(box: Box) -> int:
        (box.path("/opt/ml/processing/clean") / host(box)).write_text("so far")
        if host(box) == "algo-2":
            return 9
        await box.terminated.wait()
        return 143

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[PROCESSING] = image(program)
        cloud.put(raw__a=b"1")
        job = await process(cloud, **on(2))
        assert job["FailureReason"] == "AlgorithmError: , exit code: 9"
        assert [key for key, _ in cloud.storage.list("data", "clean/")] == ["clean/algo-1", "clean/algo-2"]

    with_cloud(scenario)


def test_a_stop_reaches_every_host() -> None:
    async def program(box: Box) -> int:
        await box.terminated.wait()
        return 143

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[PROCESSING] = image(program)
        cloud.put(raw__a=b"1")
        await cloud.do("create_processing_job", **processing_request(**on(3)))
        await cloud.containers.first.wait()
        await cloud.do("stop_processing_job", ProcessingJobName="process-1")
        job = await cloud.sagemaker.wait_for_job("processing", "process-1")
        assert job["ProcessingJobStatus"] == "Stopped"
        assert [container.signals for container in cloud.containers.started] == [["TERM 120"]] * 3

    with_cloud(scenario)


def test_a_container_may_use_what_its_instance_has(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"ml.t3.medium": (4096, 0.5)}
    monkeypatch.setattr("harness.containers.contract.processing.limits", known.__getitem__)

    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(raw__a=b"1")
        await process(cloud, **on(1, "ml.t3.medium"))
        spec = cloud.containers.started[0].spec
        assert (spec.memory, spec.cpus) == (4096, 0.5)

    with_cloud(scenario)


def test_a_job_that_runs_out_of_memory_says_so() -> None:
    async def program(box: Box) -> int:
        cloud_of[0].containers.started[0].out_of_memory = True
        return 137

    cloud_of: list[FakeCloud] = []

    async def scenario(cloud: FakeCloud) -> None:
        cloud_of.append(cloud)
        cloud.images[PROCESSING] = image(program)
        cloud.put(raw__a=b"1")
        job = await process(cloud)
        assert job["FailureReason"] == OUT_OF_MEMORY

    with_cloud(scenario)


# In and out -------------------------------------------------------------------------------------------


def reading(path: str) -> Any:
    """A program that writes what it reads from a FIFO."""

    async def program(box: Box) -> int:
        fifo = box.path(path)
        content = await asyncio.to_thread(fifo.read_bytes)
        (box.path("/opt/ml/processing/clean") / host(box)).write_bytes(content)
        return 0

    return program


@pytest.mark.parametrize("packed", [False, True])
def test_an_input_may_be_streamed(packed: bool) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[PROCESSING] = image(reading("/opt/ml/processing/deep/raw_0"))
        pack = gzip.compress if packed else bytes
        cloud.put(raw__a=pack(b"one"), raw__b=pack(b"two"), raw__c=pack(b"three"))
        source = processing_input(
            LocalPath="/opt/ml/processing/deep/raw",
            S3InputMode="Pipe",
            S3CompressionType="Gzip" if packed else "None",
            S3DataDistributionType="ShardedByS3Key",
        )
        job = await process(cloud, **on(2), ProcessingInputs=[source])
        assert job["ProcessingJobStatus"] == "Completed"
        assert cloud.storage.get("data", "clean/algo-1") == b"onethree"
        assert cloud.storage.get("data", "clean/algo-2") == b"two"

    with_cloud(scenario)


def test_a_stream_that_is_not_what_it_is_said_to_be_fails_the_job() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[PROCESSING] = image(reading("/opt/ml/processing/raw_0"))
        cloud.put(raw__a=b"not packed")
        source = processing_input(S3InputMode="Pipe", S3CompressionType="Gzip")
        job = await process(cloud, ProcessingInputs=[source])
        assert job["FailureReason"].startswith("ClientError: Failed to download data. ")
        assert "gzip" in job["FailureReason"]

    with_cloud(scenario)


CONTINUOUS = {"Outputs": [processing_output(S3UploadMode="Continuous")]}


def test_a_continuous_output_is_uploaded_while_the_container_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.cloud.sagemaker.processing.run.UPLOAD_INTERVAL", 0.001)

    async def scenario(cloud: FakeCloud) -> None:
        uploads: list[tuple[str, bytes]] = []
        uploaded = asyncio.Event()
        store, loop = cloud.storage.put, asyncio.get_running_loop()

        def put(bucket: str, key: str, body: bytes) -> None:
            store(bucket, key, body)
            uploads.append((key, body))
            loop.call_soon_threadsafe(uploaded.set)

        async def program(box: Box) -> int:
            clean = box.path("/opt/ml/processing/clean")
            (clean / "part").write_text("1")
            await uploaded.wait()
            (clean / "part").unlink()
            (clean / "last").write_text("2")
            return 0

        cloud.images[PROCESSING] = image(program)
        cloud.put(raw__a=b"1")
        cloud.storage.put = put  # type: ignore[method-assign]
        job = await process(cloud, ProcessingOutputConfig=CONTINUOUS)
        assert job["ProcessingJobStatus"] == "Completed"
        assert uploads == [("clean/part", b"1"), ("clean/last", b"2")]
        assert cloud.storage.get("data", "clean/part") == b"1"  # what is deleted here stays there
        assert PurePosixPath("/opt/ml/processing/clean") in cloud.containers.started[0].refreshed

    with_cloud(scenario)


def test_a_continuous_output_without_its_bucket_fails_the_job() -> None:
    async def program(box: Box) -> int:
        (box.path("/opt/ml/processing/clean") / "part").write_text("1")
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[PROCESSING] = image(program)
        cloud.put(raw__a=b"1")
        target = processing_output(uri="s3://nowhere/x", S3UploadMode="Continuous")
        job = await process(cloud, ProcessingOutputConfig={"Outputs": [target]})
        assert job["FailureReason"].startswith("ClientError: Failed to upload data. NoSuchBucket")

    with_cloud(scenario)


# Network ----------------------------------------------------------------------------------------------


def test_an_isolated_job_gets_neither_gateway_nor_keys() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(raw__a=b"1")
        network = {"EnableNetworkIsolation": True, "EnableInterContainerTrafficEncryption": True}
        job = await process(cloud, NetworkConfig=network)
        assert job["NetworkConfig"] == network
        spec = cloud.containers.started[0].spec
        assert spec.gateway is None
        assert not spec.environment.keys() & {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}

    with_cloud(scenario)


# Deleting ---------------------------------------------------------------------------------------------


def test_a_job_that_has_ended_may_be_deleted_and_its_name_used_again() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(raw__a=b"1")
        await cloud.do("create_processing_job", **processing_request(Tags=[{"Key": "a", "Value": "b"}]))
        error = await cloud.error("delete_processing_job", ProcessingJobName="process-1")
        assert (error.code, "InProgress" in error.message) == ("ResourceInUse", True)
        job = await cloud.sagemaker.wait_for_job("processing", "process-1")
        assert await cloud.do("delete_processing_job", ProcessingJobName="process-1") == {}
        assert await cloud.do("list_processing_jobs") == {"ProcessingJobSummaries": []}
        error = await cloud.error("describe_processing_job", ProcessingJobName="process-1")
        assert error.message == "Could not find requested job with name: process-1"
        again = await process(cloud)
        assert again["ProcessingJobArn"] == job["ProcessingJobArn"]
        assert await cloud.do("list_tags", ResourceArn=again["ProcessingJobArn"]) == {"Tags": []}

    with_cloud(scenario)
