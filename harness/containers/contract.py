"""What SageMaker promises a container: the folders, files, environment and command it starts with.

A training container finds ``/opt/ml/input`` filled and leaves its results in ``/opt/ml/model`` and
``/opt/ml/output``; a serving container finds the unpacked model in ``/opt/ml/model`` and listens on 8080.
(Processing containers: `harness.containers.processing`.)
This module writes and reads those folders and describes the containers. It neither starts anything nor talks
to anybody: the jobs of `harness.cloud.sagemaker` do.

Source: SageMaker developer guide, "How Amazon SageMaker AI Runs Your Training Image", "Custom Inference Code
with Hosting Services", "Custom Inference Code with Batch Transform"; contents of ``resourceconfig.json`` as
recorded in jobs since 2022.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from harness.containers.runtime import ContainerSpec, Image, Mount
from harness.errors import ContainerError

__all__ = [
    "FAILURE_LIMIT",
    "HOST",
    "ROOT",
    "SERVING_PORT",
    "Command",
    "ContractFolder",
    "JobFolder",
    "algorithm_error",
    "batch_environment",
    "read_file",
    "relative_path",
    "serving_spec",
    "training_command",
    "training_environment",
    "training_spec",
]

ROOT = PurePosixPath("/opt/ml")
SERVING_PORT = 8080
HOST = "algo-1"

FAILURE_LIMIT = 1024
"""Characters of ``/opt/ml/output/failure`` that SageMaker reads, and the longest FailureReason."""


# The folder -------------------------------------------------------------------------------------------


class ContractFolder:
    """The folder that a container sees as ``/opt/ml``.

    The container may do what it likes in there, so nothing it leaves behind is trusted: no link of its making
    is followed.

    Args:
        path: A folder that does not exist yet or is empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made: set[Path] = set()

    def fill(self, folder: PurePosixPath, objects: Iterable[tuple[str, bytes]]) -> None:
        """Write S3 objects.

        Args:
            folder: Where, relative to ``/opt/ml``.
            objects: (path relative to that, content). A path that ends in ``/`` is a folder.

        Raises:
            ContainerError: A path leads out of the folder, or two paths exclude each other.
        """
        base = os.fspath(self.path / folder)
        for name, content in objects:
            if name.startswith("/") or "\0" in name or ".." in name.split("/"):
                raise ContainerError(f'the S3 key "{name}" cannot be a path below {ROOT / folder}')
            target = f"{base}/{name}"
            above = target.rpartition("/")[0]
            try:
                self.make(Path(above))
                if not name.endswith("/"):
                    with open(target, "wb", buffering=0) as file:
                        file.write(content)
            except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
                raise ContainerError(
                    f'the S3 key "{name}" is both an object and the folder of another object'
                ) from error
            except OSError as error:
                raise ContainerError(f'the S3 key "{name}" cannot be written: {error.strerror}') from error

    def make(self, path: Path) -> None:
        """Make a folder, and those above it."""
        if path not in self._made:
            path.mkdir(parents=True, exist_ok=True)
            self._made.add(path)

    def kept(self, *parts: str) -> Path | None:
        """A folder of ours, None when the container replaced it, or one above it, by something else."""
        path = self.path
        for part in parts:
            path = path / part
            if path.is_symlink() or not path.is_dir():
                return None
        return path

    def head(self, folder: str, name: str, size: int) -> bytes | None:
        """The first bytes of a file that the container may have left, None when there is no such file."""
        above = self.kept(folder)
        return read_file(above / name, size) if above is not None else None


def read_file(path: Path, size: int = -1) -> bytes | None:
    """The content of a file of the container's making; None unless it is a regular file.

    Args:
        path: The file. The folders above it are known to be none of the container's links.
        size: Bytes to read at most; all when negative.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(size)
    finally:
        os.close(descriptor)


# Training: the folder ---------------------------------------------------------------------------------


class JobFolder(ContractFolder):
    """The folder of a training job."""

    def prepare(self, request: Mapping[str, Any]) -> None:
        """Make the folders and write ``input/config``.

        Args:
            request: A CreateTrainingJob request for one host.
        """
        for part in ("input/config", "input/data", "model", "output/data"):
            self.make(self.path / part)
        for channel in request.get("InputDataConfig", ()):
            self.make(self._channel(channel["ChannelName"]))
        self._config("hyperparameters", dict(request.get("HyperParameters", {})))
        self._config("inputdataconfig", _input_data_config(request))
        self._config("resourceconfig", _resource_config(request["ResourceConfig"]))

    def write(self, channel: str, objects: Iterable[tuple[str, bytes]]) -> None:
        """Write objects of a channel; see `fill`."""
        self.fill(PurePosixPath("input/data", channel), objects)

    def failure(self) -> str | None:
        """The first `FAILURE_LIMIT` characters of ``output/failure``, None when there is no such file."""
        head = self.head("output", "failure", FAILURE_LIMIT * 4)  # a character has at most four bytes
        return head.decode(errors="replace")[:FAILURE_LIMIT] if head is not None else None

    def model(self) -> Path | None:
        """``model``, None when the container removed it or left no file in it."""
        return self._filled("model")

    def output(self) -> Path | None:
        """``output/data``, None when the container removed it or left no file in it."""
        return self._filled("output", "data")

    def _filled(self, *parts: str) -> Path | None:
        folder = self.kept(*parts)
        if folder is None:
            return None
        return folder if any(files for _, _, files in os.walk(folder)) else None

    def _channel(self, name: str) -> Path:
        return self.path / "input" / "data" / name

    def _config(self, name: str, content: Mapping[str, Any]) -> None:
        (self.path / "input" / "config" / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def _input_data_config(request: Mapping[str, Any]) -> dict[str, Any]:
    default_mode = request["AlgorithmSpecification"]["TrainingInputMode"]
    channels: dict[str, Any] = {}
    for channel in request.get("InputDataConfig", ()):
        source = channel["DataSource"].get("S3DataSource", {})
        description = {
            "TrainingInputMode": channel.get("InputMode", default_mode),
            "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
        }
        if channel.get("ContentType"):
            description["ContentType"] = channel["ContentType"]
        channels[channel["ChannelName"]] = description
    return channels


def _resource_config(resources: Mapping[str, Any]) -> dict[str, Any]:
    group = "homogeneousCluster"
    instance = resources["InstanceType"]
    return {
        "current_host": HOST,
        "current_instance_type": instance,
        "current_group_name": group,
        "hosts": [HOST],
        "instance_groups": [{"instance_group_name": group, "instance_type": instance, "hosts": [HOST]}],
        "network_interface_name": "eth0",
        "topology": None,
    }


def relative_path(prefix: str, key: str) -> str:
    """Where an object lies below its channel's folder, or below an output path: the key without its prefix.

    A prefix that is itself a whole key leaves the key's last segment. S3 prefixes are plain strings:
    ``data/test`` also selects ``data/test_output/x``, which then lies at ``_output/x``.
    """
    rest = key.removeprefix(prefix).lstrip("/")
    return rest or key.rstrip("/").rpartition("/")[2]


# Training: the container ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """What a container runs, in the terms of `ContainerSpec`."""

    entrypoint: tuple[str, ...] | None
    arguments: tuple[str, ...] | None


def training_command(algorithm: Mapping[str, Any]) -> Command:
    """What a training container runs: ``train``, unless the AlgorithmSpecification names something else."""
    entrypoint: Sequence[str] | None = algorithm.get("ContainerEntrypoint")
    arguments: Sequence[str] | None = algorithm.get("ContainerArguments")
    if not entrypoint and not arguments:
        return Command(None, ("train",))
    return Command(
        tuple(entrypoint) if entrypoint else None,
        tuple(arguments) if arguments else None,
    )


def training_environment(requested: Mapping[str, str], *, name: str, arn: str, region: str) -> dict[str, str]:
    """The environment of a training container: the request's, and what the platform adds. No credentials."""
    return {
        **requested,
        "AWS_EXECUTION_ENV": "AWS_ECS_EC2",
        "AWS_REGION": region,
        "DMLC_INTERFACE": "eth0",
        "SAGEMAKER_METRICS_DIRECTORY": f"{ROOT}/output/metrics/sagemaker",
        "TRAINING_JOB_ARN": arn,
        "TRAINING_JOB_NAME": name,
    }


def training_spec(
    request: Mapping[str, Any], *, image: Image, folder: JobFolder, arn: str, region: str
) -> ContainerSpec:
    """The container of a training job.

    Args:
        request: A CreateTrainingJob request.
        image: What its TrainingImage names.
        folder: Prepared and filled.
        arn: The job's.
        region: Where the job is said to run.
    """
    name = request["TrainingJobName"]
    command = training_command(request["AlgorithmSpecification"])
    return ContainerSpec(
        name=f"training-{name}",
        image=image,
        entrypoint=command.entrypoint,
        arguments=command.arguments,
        environment=training_environment(request.get("Environment", {}), name=name, arn=arn, region=region),
        mounts=(Mount(folder.path, ROOT),),
        network="none",
        hostname=HOST,
        labels={"type": "training", "job": name},
    )


def algorithm_error(failure: str | None, exit_code: int) -> str:
    """The FailureReason of a training job whose container ended with a code other than 0.

    Of a text that is too long the end is cut, never the exit code.
    """
    end = f", exit code: {exit_code}"
    return f"AlgorithmError: {failure or ''}"[: FAILURE_LIMIT - len(end)] + end


# Serving ----------------------------------------------------------------------------------------------


def serving_spec(
    *,
    name: str,
    image: Image,
    environment: Mapping[str, str],
    model: Path,
    region: str,
    labels: Mapping[str, str],
) -> ContainerSpec:
    """A container that serves a model, for an endpoint or a transform job.

    Args:
        name: Unique within the session.
        image: What the model's Image names.
        environment: The model's and, for a transform job, the job's.
        model: Folder with the unpacked model; empty when the model has no data.
        region: Where the container is said to run.
        labels: Who the container belongs to.
    """
    return ContainerSpec(
        name=name,
        image=image,
        arguments=("serve",),
        environment={**environment, "AWS_REGION": region},
        mounts=(Mount(model, ROOT / "model", read_only=True),),
        network="loopback",
        hostname="model.aws.local",
        labels=labels,
    )


_STRATEGIES = {"SingleRecord": "SINGLE_RECORD", "MultiRecord": "MULTI_RECORD"}


def batch_environment(model: Mapping[str, str], request: Mapping[str, Any]) -> dict[str, str]:
    """The environment of a transform job's container.

    Args:
        model: The model's own Environment. Where it and the job's clash, the job's holds.
        request: A CreateTransformJob request. What it does not set is not announced either.
    """
    environment = {**model, **request.get("Environment", {}), "SAGEMAKER_BATCH": "true"}
    if "MaxPayloadInMB" in request:
        environment["SAGEMAKER_MAX_PAYLOAD_IN_MB"] = str(request["MaxPayloadInMB"])
    if "BatchStrategy" in request:
        environment["SAGEMAKER_BATCH_STRATEGY"] = _STRATEGIES[request["BatchStrategy"]]
    if "MaxConcurrentTransforms" in request:
        environment["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] = str(request["MaxConcurrentTransforms"])
    return environment
