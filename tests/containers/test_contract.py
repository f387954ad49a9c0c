from __future__ import annotations

import json
import os
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from harness.containers.contract.folder import relative_path
from harness.containers.contract.serving import batch_environment, serving_spec
from harness.containers.contract.training import (
    JobFolder,
    algorithm_error,
    checkpoint_path,
    training_command,
    training_spec,
)
from harness.containers.runtime import Gateway, Image, Mount
from harness.errors import ContainerError

IMAGE = Image("training", "sha256:" + "0" * 64)


def request(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "TrainingJobName": "job",
        "AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "File"},
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
    }
    return made | changes


def folder(tmp_path: Path, **changes: Any) -> JobFolder:
    made = JobFolder(tmp_path / "ml")
    made.prepare(request(**changes))
    return made


def config(made: JobFolder, name: str) -> Any:
    return json.loads((made.path / "input" / "config" / f"{name}.json").read_text())


CHANNELS = [
    {"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": {}}},
    {
        "ChannelName": "test",
        "RecordWrapperType": "RecordIO",
        "DataSource": {"S3DataSource": {"S3DataDistributionType": "ShardedByS3Key"}},
    },
]


def test_the_folder_of_a_training_job(tmp_path: Path) -> None:
    made = folder(tmp_path, HyperParameters={"epochs": "10"}, InputDataConfig=CHANNELS)
    assert config(made, "hyperparameters") == {"epochs": "10"}
    assert config(made, "inputdataconfig") == {
        "train": {
            "TrainingInputMode": "File",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
            "ContentType": "text/csv",
        },
        "test": {
            "TrainingInputMode": "File",
            "S3DistributionType": "ShardedByS3Key",
            "RecordWrapperType": "RecordIO",
        },
    }
    assert config(made, "resourceconfig") == {
        "current_host": "algo-1",
        "current_instance_type": "ml.m5.xlarge",
        "current_group_name": "homogeneousCluster",
        "hosts": ["algo-1"],
        "instance_groups": [
            {
                "instance_group_name": "homogeneousCluster",
                "instance_type": "ml.m5.xlarge",
                "hosts": ["algo-1"],
            }
        ],
        "network_interface_name": "eth0",
        "topology": None,
    }
    for path in ("input/data/train", "input/data/test", "model", "output/data"):
        assert (made.path / path).is_dir()


def test_without_hyperparameters_and_channels_the_files_are_empty_objects(tmp_path: Path) -> None:
    made = folder(tmp_path)
    assert config(made, "hyperparameters") == {}
    assert config(made, "inputdataconfig") == {}


def test_objects_keep_their_relative_paths(tmp_path: Path) -> None:
    made = folder(tmp_path)
    made.write("train", [("a/b/c", b"1"), ("a/d", b"2"), ("empty/", b""), ("e", b"")])
    root = made.path / "input" / "data" / "train"
    assert (root / "a" / "b" / "c").read_bytes() == b"1"
    assert (root / "a" / "d").read_bytes() == b"2"
    assert (root / "empty").is_dir()
    assert (root / "e").read_bytes() == b""


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "a\0b", "..", "x" * 300])
def test_paths_that_cannot_be_are_refused(tmp_path: Path, name: str) -> None:
    made = folder(tmp_path)
    with pytest.raises(ContainerError):
        made.write("train", [(name, b"1")])
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a")])
def test_a_key_that_is_file_and_folder_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    made = folder(tmp_path)
    with pytest.raises(ContainerError, match="both an object and the folder"):
        made.write("train", [(name, b"1") for name in names])


@pytest.mark.parametrize(
    ("prefix", "key", "path"),
    [
        ("data/train/", "data/train/3/a.png", "3/a.png"),
        ("data/train", "data/train/3/a.png", "3/a.png"),
        ("data/train", "data/train_more/a.png", "_more/a.png"),
        ("data/a.csv", "data/a.csv", "a.csv"),
        ("", "a/b", "a/b"),
        ("data/", "data/sub/", "sub/"),
    ],
)
def test_relative_paths(prefix: str, key: str, path: str) -> None:
    assert relative_path(prefix, key) == path


@pytest.mark.parametrize(
    ("algorithm", "entrypoint", "arguments"),
    [
        ({}, None, ("train",)),
        ({"ContainerEntrypoint": ["python", "t.py"]}, ("python", "t.py"), None),
        ({"ContainerArguments": ["--fast"]}, None, ("--fast",)),
        ({"ContainerEntrypoint": ["sh"], "ContainerArguments": ["-c", "x"]}, ("sh",), ("-c", "x")),
    ],
)
def test_what_a_training_container_runs(
    algorithm: dict[str, Any], entrypoint: tuple[str, ...] | None, arguments: tuple[str, ...] | None
) -> None:
    command = training_command(algorithm)
    assert (command.entrypoint, command.arguments) == (entrypoint, arguments)


def test_a_training_container(tmp_path: Path) -> None:
    made = folder(tmp_path)
    spec = training_spec(
        request(Environment={"MINE": "1", "TRAINING_JOB_NAME": "forged"}),
        image=IMAGE,
        folder=made,
        arn="arn:job",
        region="eu-west-1",
    )
    assert spec.arguments == ("train",)
    assert spec.hostname == "algo-1"
    assert spec.ports == ()
    [mount] = spec.mounts
    assert (mount.source, mount.target, mount.read_only) == (made.path, PurePosixPath("/opt/ml"), False)
    assert spec.environment["MINE"] == "1"
    assert spec.environment["TRAINING_JOB_NAME"] == "job"
    assert spec.environment["TRAINING_JOB_ARN"] == "arn:job"
    assert spec.environment["AWS_REGION"] == "eu-west-1"
    assert not {
        name for name in spec.environment if name.startswith(("AWS_ACCESS", "AWS_SECRET", "AWS_SESSION"))
    }


def test_a_host_among_several(tmp_path: Path) -> None:
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 11, "VolumeSizeInGB": 1}
    asked = request(
        ResourceConfig=resources,
        InputDataConfig=[CHANNELS[0] | {"InputMode": "Pipe"}, CHANNELS[1] | {"InputMode": "FastFile"}],
    )
    made = JobFolder(tmp_path / "ml", "algo-2")
    made.prepare(asked)
    found = config(made, "resourceconfig")
    assert found["current_host"] == "algo-2"
    assert found["hosts"][:3] == ["algo-1", "algo-10", "algo-11"]
    modes = {name: item["TrainingInputMode"] for name, item in config(made, "inputdataconfig").items()}
    assert modes == {"train": "Pipe", "test": "File"}
    assert [path.name for path in (made.path / "input" / "data").iterdir()] == ["test"]
    gateway = Gateway(1234, ("AWS_ENDPOINT_URL",))
    spec = training_spec(
        asked,
        image=IMAGE,
        folder=made,
        arn="a",
        region="r",
        gateway=gateway,
        access={"AWS_ACCESS_KEY_ID": "k"},
    )
    assert (spec.name, spec.hostname) == ("training-job-algo-2", "algo-2")
    assert spec.gateway == gateway
    assert spec.environment["AWS_ACCESS_KEY_ID"] == "k"
    assert [(str(mount.target), mount.read_only) for mount in spec.mounts] == [
        ("/opt/ml", False),
        ("/opt/ml/input/data/test", True),
    ]


def test_checkpoints_outside_of_the_contract_folder_are_a_mount(tmp_path: Path) -> None:
    asked = request(CheckpointConfig={"S3Uri": "s3://b/c", "LocalPath": "/var/checkpoints"})
    made = folder(tmp_path)
    spec = training_spec(asked, image=IMAGE, folder=made, arn="a", region="r", checkpoints=tmp_path)
    assert spec.mounts[-1] == Mount(tmp_path, PurePosixPath("/var/checkpoints"))
    asked["CheckpointConfig"].pop("LocalPath")
    assert checkpoint_path(asked) == PurePosixPath("/opt/ml/checkpoints")


def test_a_serving_container(tmp_path: Path) -> None:
    spec = serving_spec(
        name="n", image=IMAGE, environment={"A": "1"}, model=tmp_path, region="r", labels={"job": "j"}
    )
    assert spec.arguments == ("serve",)
    assert spec.ports == (8080,)
    [mount] = spec.mounts
    assert (mount.source, mount.target, mount.read_only) == (tmp_path, PurePosixPath("/opt/ml/model"), True)
    assert spec.environment == {"A": "1", "AWS_REGION": "r"}


def test_the_environment_of_a_transform_job_announces_only_what_was_asked_for() -> None:
    assert batch_environment({"A": "model", "B": "model"}, {"Environment": {"B": "job"}}) == {
        "A": "model",
        "B": "job",
        "SAGEMAKER_BATCH": "true",
    }
    asked = {"MaxPayloadInMB": 0, "BatchStrategy": "SingleRecord", "MaxConcurrentTransforms": 4}
    assert batch_environment({}, asked) == {
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "0",
        "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "4",
    }


# What the container leaves ----------------------------------------------------------------------------


def test_the_failure_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    made = folder(tmp_path)
    assert made.failure() is None
    place = made.path / "output" / "failure"
    place.write_text("ü" * 5000, encoding="utf-8")
    assert made.failure() == "ü" * 1024
    place.write_bytes(b"half \xff")
    assert made.failure() == "half �"


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_a_failure_that_is_no_file_is_not_read(tmp_path: Path, kind: str) -> None:
    made = folder(tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("secret")
    place = made.path / "output" / "failure"
    if kind == "link":
        place.symlink_to(secret)
    elif kind == "folder":
        place.mkdir()
    else:
        os.mkfifo(place)
    assert not made.failure()


def test_folders_that_the_container_replaced_by_links_are_not_followed(tmp_path: Path) -> None:
    made = folder(tmp_path)
    secrets = tmp_path / "secrets"
    (secrets / "data").mkdir(parents=True)
    (secrets / "data" / "key").write_text("secret")
    (secrets / "failure").write_text("secret")
    (made.path / "model").rmdir()
    (made.path / "model").symlink_to(secrets)
    (made.path / "output" / "data").rmdir()
    (made.path / "output").rmdir()
    (made.path / "output").symlink_to(secrets)
    assert made.model() is None
    assert made.output() is None
    assert made.failure() is None


def test_a_folder_without_files_is_empty(tmp_path: Path) -> None:
    made = folder(tmp_path)
    (made.path / "model" / "sub").mkdir()
    assert made.model() is None
    (made.path / "model" / "sub" / "weights").write_bytes(b"")
    assert made.model() == made.path / "model"


def test_reasons_keep_the_exit_code() -> None:
    assert algorithm_error("bad data", 1) == "AlgorithmError: bad data, exit code: 1"
    assert algorithm_error(None, 127) == "AlgorithmError: , exit code: 127"
    long = algorithm_error("x" * 1024, 137)
    assert len(long) == 1024
    assert long.endswith("x, exit code: 137")
