from __future__ import annotations

import asyncio
import gzip
import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from harness.cloud.sagemaker.channels import Channel, channels_of, recordio
from tests.cloud.sagemaker.fakes import (
    TRAINING,
    Box,
    FakeCloud,
    MemoryStorage,
    channel,
    image,
    training_request,
    with_cloud,
)

ALGORITHM = {"TrainingImage": TRAINING, "TrainingInputMode": "File"}
PIPE = {"AlgorithmSpecification": ALGORITHM | {"TrainingInputMode": "Pipe"}}


def source(uri: str = "s3://data/train", **changes: Any) -> dict[str, Any]:
    return {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri} | changes}}


def augmented(**changes: Any) -> dict[str, Any]:
    return source("s3://data/list", S3DataType="AugmentedManifestFile", AttributeNames=["image-ref", "cat"])


async def train(cloud: FakeCloud, **changes: Any) -> dict[str, Any]:
    await cloud.do("create_training_job", **training_request(**changes))
    return await cloud.sagemaker.wait_for_job("training", "train-1")


async def read(box: Box, name: str) -> bytes:
    """Read a FIFO to its end, as soon as it is there."""
    path = box.path(f"/opt/ml/input/data/{name}")
    async with asyncio.timeout(10):
        while not path.exists():  # noqa: ASYNC110 as a container finds out, too
            await asyncio.sleep(0.002)
    return await asyncio.to_thread(path.read_bytes)


def read_some(path: Path, size: int) -> bytes:
    """Read the beginning only."""
    with open(path, "rb", buffering=0) as fifo:
        return fifo.read(size)


def reads(seen: list[bytes], *names: str) -> Any:
    """A program that reads FIFOs one after another."""

    async def program(box: Box) -> int:
        seen.extend([await read(box, name) for name in names])
        (box.path("/opt/ml/model") / "m").touch()
        return 0

    return program


# Pipe mode --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, b"onetwo"),
        ({"RecordWrapperType": "RecordIO"}, recordio(b"one") + recordio(b"two")),
        (source("s3://data/list-of-two", S3DataType="ManifestFile"), b"twoone"),
        (augmented(), b'one1two{"a": 2}'),
        (
            augmented() | {"RecordWrapperType": "RecordIO"},
            recordio(b"one") + recordio(b"1") + recordio(b"two") + recordio(b'{"a": 2}'),
        ),
        (source("s3://data/packed") | {"CompressionType": "Gzip"}, b"zipped and more"),
        (
            source("s3://data/packed") | {"CompressionType": "Gzip", "RecordWrapperType": "RecordIO"},
            recordio(b"zipped and more"),
        ),
    ],
    ids=["prefix", "recordio", "manifest", "augmented", "augmented-recordio", "gzip", "gzip-recordio"],
)
def test_what_comes_through_a_pipe(changes: dict[str, Any], expected: bytes) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        seen: list[bytes] = []
        cloud.images[TRAINING] = image(reads(seen, "train_0", "train_1"))
        cloud.put(train__a=b"one", train__b=b"two")
        cloud.storage.put("data", "list-of-two", b'[{"prefix": "s3://data/train/"}, "b", "a"]')
        lines = [
            {"image-ref": "s3://data/train/a", "other": 0, "cat": "1"},
            {"cat": {"a": 2}, "image-ref": "s3://data/train/b"},
        ]
        cloud.storage.put("data", "list", "\n".join(map(json.dumps, lines)).encode() + b"\n")
        cloud.storage.put("data", "packed", gzip.compress(b"zipped") + gzip.compress(b" and more"))
        job = await train(cloud, **PIPE, InputDataConfig=[channel(**changes)])
        assert job["TrainingJobStatus"] == "Completed", job
        assert seen == [expected, expected]

    with_cloud(scenario)


def test_a_channels_own_mode_counts_before_the_jobs() -> None:
    seen: list[bytes] = []

    async def program(box: Box) -> int:
        data = box.path("/opt/ml/input/data")
        config = json.loads(box.path("/opt/ml/input/config/inputdataconfig.json").read_text())
        assert {name: item["TrainingInputMode"] for name, item in config.items()} == {
            "train": "Pipe",
            "test": "File",
        }
        assert sorted(os.listdir(data)) == ["test", "train_0"]
        assert (data / "test" / "a").read_bytes() == b"one"
        return await reads(seen, "train_0")(box)  # type: ignore[no-any-return]

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(program)
        cloud.put(train__a=b"one")
        channels = [channel(), channel("test", InputMode="File")]
        job = await train(cloud, **PIPE, InputDataConfig=channels)
        assert job["TrainingJobStatus"] == "Completed", job
        assert seen == [b"one"]

    with_cloud(scenario)


def test_the_next_epoch_appears_when_the_last_has_been_closed() -> None:
    async def program(box: Box) -> int:
        data = box.path("/opt/ml/input/data")
        descriptor = await asyncio.to_thread(os.open, data / "train_0", os.O_RDONLY)
        while await asyncio.to_thread(os.read, descriptor, 100):
            pass
        assert not (data / "train_1").exists()  # read to the end, but still open
        os.close(descriptor)
        assert await read(box, "train_1") == b"one"
        (box.path("/opt/ml/model") / "m").touch()
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(program)
        cloud.put(train__a=b"one")
        job = await train(cloud, **PIPE, InputDataConfig=[channel()])
        assert job["TrainingJobStatus"] == "Completed", job

    with_cloud(scenario)


def test_a_container_may_stop_reading_early_or_never_read() -> None:
    async def program(box: Box) -> int:
        data = box.path("/opt/ml/input/data")
        assert await asyncio.to_thread(read_some, data / "train_0", 10) == b"x" * 10
        assert (await read(box, "train_1"))[:3] == b"xxx"
        assert (data / "unread_0").is_fifo()
        (box.path("/opt/ml/model") / "m").touch()
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(program)
        cloud.put(train__a=b"x" * 1_000_000)
        job = await train(cloud, **PIPE, InputDataConfig=[channel(), channel("unread")])
        assert job["TrainingJobStatus"] == "Completed", job

    with_cloud(scenario)


def test_stopping_a_job_that_waits_for_an_epoch_ends_it() -> None:
    async def program(box: Box) -> int:
        await box.terminated.wait()
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(program)
        cloud.put(train__a=b"1")
        await cloud.do("create_training_job", **training_request(**PIPE, InputDataConfig=[channel()]))
        await cloud.containers.first.wait()
        await cloud.do("stop_training_job", TrainingJobName="train-1")
        job = await cloud.sagemaker.wait_for_job("training", "train-1")
        assert job["TrainingJobStatus"] == "Stopped"

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("changes", "content", "reason"),
    [
        ({"CompressionType": "Gzip"}, b"plain", 'An object of the channel "train" is not valid gzip'),
        ({"CompressionType": "Gzip"}, gzip.compress(b"half")[:-4], "it ends too early"),
        (augmented(), b"", "is not a JSON object with the attributes ['image-ref', 'cat']"),
    ],
    ids=["not-gzip", "half-gzip", "attribute"],
)
def test_what_cannot_be_streamed_fails_the_job(changes: dict[str, Any], content: bytes, reason: str) -> None:
    async def program(box: Box) -> int:
        await read(box, "train_0")
        await box.terminated.wait()
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(program)
        cloud.put(train__a=content, list=b'{"image-ref": "s3://data/train/a"}')
        job = await train(cloud, **PIPE, InputDataConfig=[channel(**changes)])
        assert job["TrainingJobStatus"] == "Failed"
        assert job["FailureReason"].startswith("ClientError: Data download failed: ")
        assert reason in job["FailureReason"]
        assert cloud.containers.started[0].ended

    with_cloud(scenario)


def test_a_fifo_that_the_container_replaces_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_bytes(b"precious")

    async def program(box: Box) -> int:
        data = box.path("/opt/ml/input/data")
        (data / "train_1").symlink_to(target)
        await read(box, "train_0")
        await box.terminated.wait()
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(program)
        cloud.put(train__a=b"1")
        job = await train(cloud, **PIPE, InputDataConfig=[channel()])
        assert "the FIFO train_1 cannot be made: File exists" in job["FailureReason"]
        assert target.read_bytes() == b"precious"

    with_cloud(scenario)


def test_a_recordio_record() -> None:
    assert recordio(b"hello") == struct.pack("<II", 0xCED7230A, 5) + b"hello\0\0\0"
    assert len(recordio(b"four")) == 12


# FastFile mode ----------------------------------------------------------------------------------------


def test_a_fast_file_channel_is_a_read_only_mount_of_a_folder() -> None:
    async def program(box: Box) -> int:
        [mount] = [mount for mount in box.spec.mounts if mount.read_only]
        assert str(mount.target) == "/opt/ml/input/data/train"
        assert sorted(os.listdir(mount.source)) == ["a"]
        config = json.loads(box.path("/opt/ml/input/config/inputdataconfig.json").read_text())
        assert config["train"]["TrainingInputMode"] == "File"
        (box.path("/opt/ml/model") / "m").touch()
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(program)
        cloud.put(train__a=b"one", train_too__b=b"beyond the folder")
        job = await train(cloud, InputDataConfig=[channel(InputMode="FastFile")])
        assert job["TrainingJobStatus"] == "Completed", job

    with_cloud(scenario)


def test_a_fast_file_prefix_must_end_where_a_folder_does() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(training__a=b"one")
        request = training_request(InputDataConfig=[channel(InputMode="FastFile")])
        error = await cloud.error("create_training_job", **request)
        assert error.message.startswith('No S3 objects found under S3 URL "s3://data/train/"')

    with_cloud(scenario)


# Shares and order -------------------------------------------------------------------------------------


def objects(channel: Channel, *keys: str) -> list[str]:
    storage = MemoryStorage("data")
    for key in keys:
        storage.put("data", f"train/{key}", b"")
    return [item.path for item in channel.objects(storage)]


def of_hosts(count: int, **changes: Any) -> list[Channel]:
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": count, "VolumeSizeInGB": 1}
    request = training_request(
        ResourceConfig=resources, InputDataConfig=[channel(uri="s3://data/train/", **changes)]
    )
    return [channels_of(request, f"algo-{number}")[0] for number in range(1, count + 1)]


def test_replicated_objects_go_to_every_host_and_shards_to_one() -> None:
    keys = ("a", "b", "c", "d", "e")
    assert [objects(item, *keys) for item in of_hosts(2)] == [list(keys)] * 2
    sharded = source("s3://data/train/", S3DataDistributionType="ShardedByS3Key")
    assert [objects(item, *keys) for item in of_hosts(2, **sharded)] == [["a", "c", "e"], ["b", "d"]]
    assert [objects(item, "a") for item in of_hosts(2, **sharded)] == [["a"], []]


def test_a_seed_decides_the_order_and_each_epoch_has_its_own() -> None:
    storage = MemoryStorage("data")
    for number in range(10):
        storage.put("data", f"train/{number}", b"%d" % number)
    [shuffled] = of_hosts(1, ShuffleConfig={"Seed": 5})
    [other] = of_hosts(1, ShuffleConfig={"Seed": 6})
    first, again = (b"".join(shuffled.stream(storage, 0)) for _ in range(2))
    assert first == again
    assert sorted(first) == sorted(b"0123456789")
    orders = {first, b"".join(shuffled.stream(storage, 1)), b"".join(other.stream(storage, 0)), b"0123456789"}
    assert len(orders) == 4


def test_a_channel_of_an_instance_group_goes_to_its_hosts_only() -> None:
    groups = [
        {"InstanceGroupName": "cpu", "InstanceType": "ml.c5.large", "InstanceCount": 1},
        {"InstanceGroupName": "gpu", "InstanceType": "ml.p3.2xlarge", "InstanceCount": 2},
    ]
    request = training_request(
        ResourceConfig={"InstanceGroups": groups, "VolumeSizeInGB": 1},
        InputDataConfig=[
            channel(**source(InstanceGroupNames=["gpu"], S3DataDistributionType="ShardedByS3Key"))
        ],
    )
    found = [channels_of(request, f"algo-{number}") for number in (1, 2, 3)]
    assert found[0] == []
    assert [channel.shard for [channel] in found[1:]] == [(0, 2), (1, 2)]


# Refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"CompressionType": "Gzip"}, "CompressionType Gzip is only valid with Pipe mode."),
        (augmented(), "AugmentedManifestFile is only valid with Pipe mode"),
        (source(AttributeNames=["a"]), "AttributeNames are only valid with"),
        (
            source(S3DataType="AugmentedManifestFile") | {"InputMode": "Pipe"},
            "AugmentedManifestFile needs AttributeNames",
        ),
        (
            source(S3DataType="ManifestFile") | {"InputMode": "FastFile"},
            "FastFile mode is only valid with S3DataType S3Prefix",
        ),
        (source(InstanceGroupNames=["gpu"]), 'names the instance group "gpu", which is not there'),
        (source("ftp://data/train"), '"ftp://data/train" is not a valid S3 URI.'),
        (source(S3DataType="Converse"), "harness does not support S3DataType Converse yet."),
    ],
)
def test_channels_that_cannot_be_are_refused(changes: dict[str, Any], text: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(train__a=b"1")
        error = await cloud.error(
            "create_training_job", **training_request(InputDataConfig=[channel(**changes)])
        )
        assert error.code == "ValidationException"
        assert text in error.message

    with_cloud(scenario)


@pytest.mark.parametrize(
    "uri", ["https://s3.amazonaws.com/data/train", "https://data.s3.eu-west-1.amazonaws.com/train"]
)
def test_https_addresses_of_s3_are_understood(uri: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(train__a=b"1")
        job = await train(cloud, InputDataConfig=[channel(uri=uri)])
        assert job["TrainingJobStatus"] == "Completed"
        assert list(cloud.logs.values()) == [["trained on 1 files"]]

    with_cloud(scenario)
