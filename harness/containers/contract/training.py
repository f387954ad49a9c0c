"""What SageMaker promises a training container.

It finds ``/opt/ml/input`` filled and leaves its results in ``/opt/ml/model`` and ``/opt/ml/output``.

Source: SageMaker developer guide, "How Amazon SageMaker AI Runs Your Training Image"; contents of
``resourceconfig.json`` as recorded in jobs since 2022.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from harness.containers.contract.folder import FAILURE_LIMIT, HOST, ROOT, ContractFolder
from harness.containers.instances import limits
from harness.containers.runtime import ContainerSpec, Gateway, Image, Mount

__all__ = [
    "Command",
    "InstanceGroup",
    "JobFolder",
    "algorithm_error",
    "channel_groups",
    "checkpoint_path",
    "group_of",
    "input_mode",
    "instance_groups",
    "training_command",
    "training_environment",
    "training_spec",
]


CHECKPOINTS = ROOT / "checkpoints"
"""Where checkpoints lie unless the request says otherwise."""

HOMOGENEOUS = "homogeneousCluster"
"""The name of the only instance group of a job that names none."""


@dataclass(frozen=True)
class InstanceGroup:
    """Hosts of one instance type.

    Attributes:
        name: Its name.
        instance_type: E.g. ``ml.m5.xlarge``.
        hosts: Their names.
    """

    name: str
    instance_type: str
    hosts: tuple[str, ...]


def instance_groups(resources: Mapping[str, Any]) -> list[InstanceGroup]:
    """The hosts of a ResourceConfig: ``algo-1``, ``algo-2``, ... through all groups."""
    groups, number = [], 1
    for item in resources.get("InstanceGroups") or ({**resources, "InstanceGroupName": HOMOGENEOUS},):
        end = number + item["InstanceCount"]
        hosts = tuple(f"algo-{host}" for host in range(number, end))
        groups.append(InstanceGroup(item["InstanceGroupName"], item["InstanceType"], hosts))
        number = end
    return groups


def group_of(resources: Mapping[str, Any], host: str) -> InstanceGroup:
    """The group that a host belongs to."""
    return next(group for group in instance_groups(resources) if host in group.hosts)


class JobFolder(ContractFolder):
    """The folder of a host of a training job.

    Args:
        path: See `ContractFolder`.
        host: The host's name.
    """

    def __init__(self, path: Path, host: str = HOST) -> None:
        super().__init__(path)
        self.host = host

    def prepare(self, request: Mapping[str, Any], hook: Mapping[str, Any] | None = None) -> None:
        """Make the folders and write ``input/config``.

        Args:
            request: A CreateTrainingJob request.
            hook: What Debugger's hook is to do; None when there is none.
        """
        for part in ("input/config", "input/data", "model", "output/data"):
            self.make(self.path / part)
        groups = instance_groups(request["ResourceConfig"])
        here = group_of(request["ResourceConfig"], self.host)
        channels = {
            channel["ChannelName"]: channel
            for channel in request.get("InputDataConfig", ())
            if here.name in (channel_groups(channel) or (here.name,))
        }
        for name, channel in channels.items():
            if input_mode(request, channel) != "Pipe":
                self.make(self._channel(name))
        self._config("hyperparameters", dict(request.get("HyperParameters", {})))
        described = {name: _describe_channel(request, channel) for name, channel in channels.items()}
        self._config("inputdataconfig", described)
        self._config("resourceconfig", _resource_config(groups, here, self.host))
        if hook is not None:
            self._config("debughookconfig", hook)

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


def input_mode(request: Mapping[str, Any], channel: Mapping[str, Any]) -> str:
    """How a channel is read: ``File``, ``FastFile`` or ``Pipe``; its own word counts before the job's."""
    mode: str = channel.get("InputMode") or request["AlgorithmSpecification"]["TrainingInputMode"]
    return mode


def channel_groups(channel: Mapping[str, Any]) -> Sequence[str]:
    """The instance groups that get a channel; empty when all do."""
    groups: Sequence[str] = channel["DataSource"].get("S3DataSource", {}).get("InstanceGroupNames", ())
    return groups


def _describe_channel(request: Mapping[str, Any], channel: Mapping[str, Any]) -> dict[str, Any]:
    mode = input_mode(request, channel)
    source = channel["DataSource"].get("S3DataSource", {})
    description = {
        "TrainingInputMode": "File" if mode == "FastFile" else mode,  # a program cannot tell the two
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
    if channel.get("ContentType"):
        description["ContentType"] = channel["ContentType"]
    return description


def _resource_config(groups: Sequence[InstanceGroup], here: InstanceGroup, host: str) -> dict[str, Any]:
    return {
        "current_host": host,
        "current_instance_type": here.instance_type,
        "current_group_name": here.name,
        "hosts": sorted(name for group in groups for name in group.hosts),
        "instance_groups": [
            {
                "instance_group_name": group.name,
                "instance_type": group.instance_type,
                "hosts": sorted(group.hosts),
            }
            for group in groups
        ],
        "network_interface_name": "eth0",
        "topology": None,
    }


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


def training_environment(
    requested: Mapping[str, str], *, name: str, arn: str, region: str, access: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The environment of a training container: the request's, and what the platform adds.

    Args:
        requested: The request's.
        name: The job's.
        arn: The job's.
        region: Where the job is said to run.
        access: The credentials its role gives it; the request's own go before them.
    """
    return {
        **(access or {}),
        **requested,
        "AWS_EXECUTION_ENV": "AWS_ECS_EC2",
        "AWS_REGION": region,
        "DMLC_INTERFACE": "eth0",
        "SAGEMAKER_METRICS_DIRECTORY": f"{ROOT}/output/metrics/sagemaker",
        "TRAINING_JOB_ARN": arn,
        "TRAINING_JOB_NAME": name,
    }


def checkpoint_path(request: Mapping[str, Any]) -> PurePosixPath | None:
    """Where the container keeps its checkpoints; None when the job has none."""
    config = request.get("CheckpointConfig")
    return PurePosixPath(config.get("LocalPath") or CHECKPOINTS) if config else None


def training_spec(
    request: Mapping[str, Any],
    *,
    image: Image,
    folder: JobFolder,
    arn: str,
    region: str,
    checkpoints: Path | None = None,
    gateway: Gateway | None = None,
    access: Mapping[str, str] | None = None,
) -> ContainerSpec:
    """The container of a host of a training job.

    Args:
        request: A CreateTrainingJob request.
        image: What its TrainingImage names.
        folder: The host's, prepared and filled.
        arn: The job's.
        region: Where the job is said to run.
        checkpoints: The folder behind `checkpoint_path`, where that does not lie in ``/opt/ml``.
        gateway: What it reaches.
        access: See `training_environment`.
    """
    name, host = request["TrainingJobName"], folder.host
    command = training_command(request["AlgorithmSpecification"])
    group = group_of(request["ResourceConfig"], host)
    memory, processors = limits(group.instance_type)
    mounts = [Mount(folder.path, ROOT)]
    for channel in request.get("InputDataConfig", ()):
        place = PurePosixPath("input/data", channel["ChannelName"])
        if input_mode(request, channel) == "FastFile" and (folder.path / place).is_dir():
            mounts.append(Mount(folder.path / place, ROOT / place, read_only=True))
    target = checkpoint_path(request)
    if checkpoints is not None and target is not None:
        mounts.append(Mount(checkpoints, target))
    return ContainerSpec(
        name=f"training-{name}" if host == HOST else f"training-{name}-{host}",
        image=image,
        entrypoint=command.entrypoint,
        arguments=command.arguments,
        environment=training_environment(
            request.get("Environment", {}), name=name, arn=arn, region=region, access=access
        ),
        mounts=tuple(mounts),
        gateway=gateway,
        hostname=host,
        memory=memory,
        cpus=processors,
        labels={"type": "training", "job": name},
    )


def algorithm_error(failure: str | None, exit_code: int) -> str:
    """The FailureReason of a training job whose container ended with a code other than 0.

    Of a text that is too long the end is cut, never the exit code.
    """
    end = f", exit code: {exit_code}"
    return f"AlgorithmError: {failure or ''}"[: FAILURE_LIMIT - len(end)] + end
