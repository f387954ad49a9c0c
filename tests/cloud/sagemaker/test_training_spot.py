"""Checkpoints, and what they are for: interruptions and further attempts."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from harness.cloud.faults import JobFault
from harness.errors import ContainerError
from tests.cloud.sagemaker.fakes import TRAINING, Box, FakeCloud, image, training_request, with_cloud

CHECKPOINTS = {"CheckpointConfig": {"S3Uri": "s3://data/ckpt"}}
SPOT = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200},
}


async def train(cloud: FakeCloud, **changes: Any) -> dict[str, Any]:
    await cloud.do("create_training_job", **training_request(**changes))
    return await cloud.sagemaker.wait_for_job("training", "train-1")


def statuses(job: dict[str, Any]) -> list[str]:
    return [item["Status"] for item in job["SecondaryStatusTransitions"]]


def kept(cloud: FakeCloud) -> dict[str, bytes]:
    objects = cloud.storage.buckets["data"]
    return {key: objects[key] for key in objects if key.startswith("ckpt")}


async def counts(box: Box) -> int:
    """Go on from the checkpoint, if there is one; save one; wait to be interrupted the first time."""
    place = box.path("/opt/ml/checkpoints/steps")
    steps = int(place.read_text()) if place.exists() else 0
    place.write_text(str(steps + 1))
    if not steps:
        await box.terminated.wait()
        return 143
    (box.path("/opt/ml/model") / "steps").write_text(str(steps))
    return 0


# Checkpoints ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [None, "/opt/ml/checkpoints/mine", "/var/checkpoints"])
def test_checkpoints_come_from_s3_and_go_back_with_deletions(path: str | None) -> None:
    async def program(box: Box) -> int:
        folder = box.path(path or "/opt/ml/checkpoints")
        assert (folder / "old" / "a").read_bytes() == b"1"
        (folder / "old" / "a").unlink()
        (folder / "same").write_bytes(b"other")
        (folder / "new").write_bytes(b"3")
        (folder / "link").symlink_to("/etc/hostname")
        (box.path("/opt/ml/model") / "m").touch()
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(program)
        cloud.put(ckpt__old__a=b"1", ckpt__same=b"2", ckpt__kept=b"4", ckpt_else=b"5")
        config = {"S3Uri": "s3://data/ckpt"} | ({"LocalPath": path} if path else {})
        job = await train(cloud, CheckpointConfig=config)
        assert job["TrainingJobStatus"] == "Completed", job
        assert job["CheckpointConfig"] == config
        assert kept(cloud) == {
            "ckpt/same": b"other",
            "ckpt/new": b"3",
            "ckpt/kept": b"4",
            "ckpt_else": b"5",
        }

    with_cloud(scenario)


def test_checkpoints_are_stored_while_the_container_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.cloud.sagemaker.training.run.SYNC_INTERVAL", 0.001)
    stored = asyncio.Event()

    async def program(box: Box) -> int:
        (box.path("/opt/ml/checkpoints") / "first").write_bytes(b"1")
        await stored.wait()
        (box.path("/opt/ml/model") / "m").touch()
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(program)
        put = cloud.storage.put

        def watched(bucket: str, key: str, body: bytes) -> None:
            put(bucket, key, body)
            if key == "ckpt/first":
                loop.call_soon_threadsafe(stored.set)

        loop = asyncio.get_running_loop()
        cloud.storage.put = watched  # type: ignore[method-assign]
        job = await train(cloud, **CHECKPOINTS)
        assert job["TrainingJobStatus"] == "Completed", job
        assert [str(path) for path in cloud.containers.started[0].refreshed[:1]] == ["/opt/ml/checkpoints"]

    with_cloud(scenario)


def test_a_checkpoint_folder_that_became_a_link_is_not_followed() -> None:
    async def program(box: Box) -> int:
        folder = box.path("/opt/ml/checkpoints")
        folder.rmdir()
        folder.symlink_to("/etc")
        (box.path("/opt/ml/model") / "m").touch()
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(program)
        await train(cloud, **CHECKPOINTS)
        assert kept(cloud) == {}

    with_cloud(scenario)


@pytest.mark.parametrize("path", ["relative", "/", "/opt/ml", "/opt", "/opt/ml/model", "/a/../opt/ml"])
def test_checkpoints_need_a_place_of_their_own(path: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        config = {"S3Uri": "s3://data/ckpt", "LocalPath": path}
        error = await cloud.error("create_training_job", **training_request(CheckpointConfig=config))
        assert error.message == f'The LocalPath "{path}" of CheckpointConfig cannot be used for checkpoints.'

    with_cloud(scenario)


# Spot instances ---------------------------------------------------------------------------------------


def test_an_interrupted_job_goes_on_from_its_checkpoints() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(counts)
        cloud.faults.jobs["training"] = JobFault(interruptions=1, interrupted_after=0.0, capacity_after=600)
        job = await train(cloud, **SPOT, **CHECKPOINTS)
        assert job["TrainingJobStatus"] == "Completed", job
        assert job["EnableManagedSpotTraining"] is True
        assert statuses(job) == [
            *("Starting", "Downloading", "Training", "Interrupted"),
            *("Starting", "Downloading", "Training", "Uploading", "Completed"),
        ]
        assert cloud.containers.started[0].signals == ["TERM 120"]
        assert kept(cloud) == {"ckpt/steps": b"2"}
        assert (job["TrainingTimeInSeconds"], job["BillableTimeInSeconds"]) == (600, 0)
        assert job["TrainingEndTime"] - job["TrainingStartTime"] == timedelta(seconds=600)

    with_cloud(scenario)


def test_a_job_that_gets_no_instances_in_time_is_stopped() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(counts)
        cloud.faults.jobs["training"] = JobFault(interruptions=1, interrupted_after=0.0, capacity_after=9e9)
        job = await train(cloud, **SPOT, **CHECKPOINTS)
        assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
        assert statuses(job)[3:] == ["Interrupted", "Stopping", "MaxWaitTimeExceeded"]
        assert job["TrainingEndTime"] - job["CreationTime"] == timedelta(seconds=7200)
        assert len(cloud.containers.started) == 1

    with_cloud(scenario)


def test_waiting_for_instances_does_not_count_as_runtime() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(counts)
        cloud.faults.jobs["training"] = JobFault(interruptions=1, interrupted_after=0.0, capacity_after=5000)
        job = await train(cloud, **SPOT, **CHECKPOINTS)
        assert job["TrainingJobStatus"] == "Completed", job

    with_cloud(scenario)


def test_stopping_a_job_that_waits_for_instances() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(counts)
        cloud.faults.jobs["training"] = JobFault(interruptions=1, interrupted_after=0.0, capacity_after=3000)
        await cloud.do("create_training_job", **training_request(**SPOT, **CHECKPOINTS))
        await cloud.clock.sleep(100)
        waiting = await cloud.do("describe_training_job", TrainingJobName="train-1")
        assert waiting["SecondaryStatus"] == "Interrupted"
        await cloud.do("stop_training_job", TrainingJobName="train-1")
        job = await cloud.sagemaker.wait_for_job("training", "train-1")
        assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")

    with_cloud(scenario)


def test_only_spot_instances_are_taken_away() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.faults.jobs["training"] = JobFault(interruptions=1, interrupted_after=0.0)
        job = await train(cloud)
        assert "Interrupted" not in statuses(job)

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"StoppingCondition": {"MaxWaitTimeInSeconds": 9}},
            "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is set to "
            "true",
        ),
        (
            {"EnableManagedSpotTraining": True, "StoppingCondition": {"MaxRuntimeInSeconds": 60}},
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
            "MaxRuntimeInSeconds",
        ),
        (
            SPOT | {"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 59}},
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
            "MaxRuntimeInSeconds",
        ),
    ],
)
def test_the_wait_must_fit_the_kind_of_job(changes: dict[str, Any], text: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        error = await cloud.error("create_training_job", **training_request(**changes))
        assert (error.code, error.message) == ("ValidationException", text)

    with_cloud(scenario)


# Further attempts -------------------------------------------------------------------------------------


def broken(times: int) -> Any:
    """A program whose engine dies so many times."""
    left = times

    async def program(box: Box) -> int:
        nonlocal left
        left -= 1
        if left >= 0:
            raise ContainerError("the engine is gone")
        (box.path("/opt/ml/model") / "m").touch()
        return 0

    return program


@pytest.mark.parametrize(("times", "status"), [(2, "Completed"), (3, "Failed")])
def test_what_is_not_the_jobs_fault_is_tried_again(times: int, status: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(broken(times))
        job = await train(cloud, RetryStrategy={"MaximumRetryAttempts": 2})
        assert job["TrainingJobStatus"] == status
        assert job["RetryStrategy"] == {"MaximumRetryAttempts": 2}
        assert len(cloud.containers.started) == 3
        assert statuses(job)[:6] == ["Starting", "Downloading", "Training"] * 2
        if status == "Failed":
            assert job["FailureReason"] == (
                "InternalServerError: The container could not be run: the engine is gone"
            )

    with_cloud(scenario)


def test_a_failure_of_the_algorithm_is_not_tried_again() -> None:
    async def program(box: Box) -> int:
        return 1

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(program)
        job = await train(cloud, RetryStrategy={"MaximumRetryAttempts": 2})
        assert job["FailureReason"] == "AlgorithmError: , exit code: 1"
        assert len(cloud.containers.started) == 1

    with_cloud(scenario)
