"""Debugger's hook: its configuration in the container, its tensors in S3."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cloud.sagemaker.fakes import TRAINING, Box, FakeCloud, image, training_request, trains, with_cloud


async def hooked(box: Box) -> int:
    config = json.loads((box.path("/opt/ml/input/config") / "debughookconfig.json").read_text())
    box.say(json.dumps(config))
    folder = box.path(config["LocalPath"]) / "events"
    folder.mkdir(parents=True)
    (folder / "0.tfevents").write_bytes(b"tensors")
    (folder / "link").symlink_to("/etc/passwd")
    return await trains(box)


@pytest.mark.parametrize("local", ["/opt/ml/output/tensors", "/opt/ml/output/mine"])
def test_the_hook_is_told_where_to_write_and_its_tensors_go_to_s3(local: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(hooked)
        config: dict[str, Any] = {"S3OutputPath": "s3://data/debug", "CollectionConfigurations": []}
        if local != "/opt/ml/output/tensors":
            config["LocalPath"] = local
        await cloud.do("create_training_job", **training_request(DebugHookConfig=config))
        job = await cloud.sagemaker.wait_for_job("training", "train-1")
        assert (job["TrainingJobStatus"], job["DebugHookConfig"]) == ("Completed", config)
        (lines,) = cloud.logs.values()
        assert json.loads(lines[0]) == {"LocalPath": local, **config}
        tensors = [key for key in cloud.storage.buckets["data"] if key.startswith("debug/")]
        assert tensors == ["debug/train-1/debug-output/events/0.tfevents"]

    with_cloud(scenario)


def test_tensors_that_cannot_be_stored_do_not_spoil_the_job() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(hooked)
        await cloud.do(
            "create_training_job", **training_request(DebugHookConfig={"S3OutputPath": "s3://none/d"})
        )
        job = await cloud.sagemaker.wait_for_job("training", "train-1")
        assert job["TrainingJobStatus"] == "Completed"
        assert "could not be stored at s3://none/d" in cloud.events_of("warning")[0].data["message"]

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"S3OutputPath": "s3://data/d", "LocalPath": "/tmp"}, "The LocalPath of DebugHookConfig must lie"),
        (
            {"S3OutputPath": "s3://data/d", "LocalPath": "/opt/ml/output/../.."},
            "The LocalPath of DebugHookConfig must lie",
        ),
        ({"S3OutputPath": "data"}, '"data" is not a valid S3 URI.'),
    ],
)
def test_a_hook_that_cannot_be_followed_is_refused(config: dict[str, Any], message: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        error = await cloud.error("create_training_job", **training_request(DebugHookConfig=config))
        assert error.message.startswith(message)

    with_cloud(scenario)
