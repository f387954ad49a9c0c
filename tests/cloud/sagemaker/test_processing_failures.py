"""What makes a processing job fail: programs, data, engines, disks."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from harness.containers.contract.folder import ContractFolder
from harness.errors import ContainerError
from tests.cloud.sagemaker.fakes import (
    PROCESSING,
    Box,
    FakeCloud,
    cleans,
    image,
    processing_output,
    processing_request,
    with_cloud,
)


async def process(cloud: FakeCloud, **changes: Any) -> dict[str, Any]:
    """Create a job and wait for its end."""
    cloud.put(raw__a=b"one")
    await cloud.do("create_processing_job", **processing_request(**changes))
    return await cloud.sagemaker.wait_for_job("processing", "process-1")


async def fails(box: Box) -> int:
    return await cleans(box) or 1


def test_what_a_failed_container_left_is_uploaded_all_the_same() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[PROCESSING] = image(fails)
        job = await process(cloud)
        assert job["FailureReason"] == "AlgorithmError: , exit code: 1"
        assert cloud.storage.get("data", "clean/a") == b"ONE"

    with_cloud(scenario)


def test_a_bucket_that_is_not_there_fails_the_upload() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        outputs = [processing_output(uri="s3://nowhere/x")]
        job = await process(cloud, ProcessingOutputConfig={"Outputs": outputs})
        assert job["FailureReason"].startswith("ClientError: Failed to upload data. NoSuchBucket")

    with_cloud(scenario)


def test_an_object_that_vanishes_fails_the_download() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(raw__a=b"1")
        await cloud.do("create_processing_job", **processing_request())
        cloud.storage.list = lambda bucket, prefix="": [("raw/gone", 1)]  # type: ignore[method-assign]
        job = await cloud.sagemaker.wait_for_job("processing", "process-1")
        assert job["FailureReason"].startswith("ClientError: Failed to download data. NoSuchKey")
        assert cloud.containers.started == []

    with_cloud(scenario)


def test_keys_that_lead_out_of_the_input_fail_the_download() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.storage.put("data", "raw/../../../../etc/passwd", b"mine")
        job = await process(cloud)
        assert job["FailureReason"].startswith("ClientError: Failed to download data. ")
        assert not (cloud.folder / "etc").exists()

    with_cloud(scenario)


def test_a_container_that_cannot_be_started_fails_the_job_with_the_reason() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.containers.refuse = "no namespaces here"
        job = await process(cloud)
        assert job["FailureReason"] == (
            "InternalServerError: The container could not be run: no namespaces here"
        )

    with_cloud(scenario)


def test_an_image_that_is_not_there_fails_the_job_and_one_that_is_none_is_refused() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        uri = "123456789012.dkr.ecr.us-east-1.amazonaws.com/other:1"
        job = await process(cloud, AppSpecification={"ImageUri": uri})
        assert job["FailureReason"] == (
            f"ClientError: API error (404): manifest for {uri} not found: manifest unknown: "
            "Requested image not found"
        )
        request = processing_request("process-2", AppSpecification={"ImageUri": "python:3.12"})
        error = await cloud.error("create_processing_job", **request)
        assert error.message.startswith(
            "Invalid image URI python:3.12. Please provide a valid Amazon Elastic"
        )

    with_cloud(scenario)


def test_a_failed_jobs_folder_is_kept_and_the_way_to_run_it_again_is_told(tmp_path: Path) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.failed = tmp_path / "failed"
        cloud.images[PROCESSING] = image(fails)
        job = await process(cloud)
        assert job["FailureReason"] == "AlgorithmError: , exit code: 1"
        told = "Run it again by hand: true"
        assert [event.data["message"] for event in cloud.events_of("job")] == [None, told]
        [lines] = cloud.logs.values()
        assert lines == ["cleaned a", told]
        await cloud.settle()
        kept = cloud.failed / "processing-process-1" / "algo-1"
        assert (kept / "processing" / "raw" / "a").read_bytes() == b"one"
        assert (kept / "processing" / "clean" / "a").read_bytes() == b"ONE"

    with_cloud(scenario)


@pytest.mark.parametrize("hosts", [1, 2])
def test_an_engine_that_dies_fails_the_job_and_the_next_one_runs(hosts: int) -> None:
    async def dies(box: Box) -> int:
        if box.spec.hostname == f"algo-{hosts}":
            raise ContainerError("the engine is gone")
        await box.terminated.wait()
        return 143

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[PROCESSING] = image(dies)
        cluster = {"InstanceType": "ml.m5.large", "InstanceCount": hosts, "VolumeSizeInGB": 10}
        job = await process(cloud, ProcessingResources={"ClusterConfig": cluster})
        assert job["ProcessingJobStatus"] == "Failed"
        assert job["FailureReason"] == (
            "InternalServerError: The container could not be run: the engine is gone"
        )
        assert all(container.ended for container in cloud.containers.started)
        cloud.images[PROCESSING] = image(cleans)
        await cloud.do("create_processing_job", **processing_request("process-2"))
        job = await cloud.sagemaker.wait_for_job("processing", "process-2")
        assert job["ProcessingJobStatus"] == "Completed"

    with_cloud(scenario)


def test_a_full_disk_fails_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(folder: ContractFolder, path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    async def scenario(cloud: FakeCloud) -> None:
        monkeypatch.setattr(ContractFolder, "make", make)
        job = await process(cloud)
        assert job["FailureReason"].startswith("ClientError: Failed to download data. ")
        assert "No space left on device" in job["FailureReason"]
        assert cloud.containers.started == []

    with_cloud(scenario)


def test_a_job_that_is_stopped_before_its_container_runs_starts_none() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(raw__a=b"one")
        await cloud.do("create_processing_job", **processing_request())
        await cloud.do("stop_processing_job", ProcessingJobName="process-1")
        job = await cloud.sagemaker.wait_for_job("processing", "process-1")
        assert job["ProcessingJobStatus"] == "Stopped"
        assert cloud.containers.started == []

    with_cloud(scenario)


@pytest.mark.parametrize("mode", ["EndOfJob", "Continuous"])
def test_a_stopped_job_whose_results_are_lost_fails(mode: str) -> None:
    async def obeys(box: Box) -> int:
        (box.path("/opt/ml/processing/clean") / "part").write_bytes(b"so far")
        await box.terminated.wait()
        return 143

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[PROCESSING] = image(obeys)
        cloud.put(raw__a=b"one")
        target = processing_output(uri="s3://nowhere/x", S3UploadMode=mode)
        outputs = {"Outputs": [target]}
        await cloud.do("create_processing_job", **processing_request(ProcessingOutputConfig=outputs))
        await cloud.containers.first.wait()
        await cloud.do("stop_processing_job", ProcessingJobName="process-1")
        job = await cloud.sagemaker.wait_for_job("processing", "process-1")
        assert job["ProcessingJobStatus"] == "Failed"
        assert job["FailureReason"].startswith("ClientError: Failed to upload data. NoSuchBucket")

    with_cloud(scenario)
