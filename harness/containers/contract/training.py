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
from harness.containers.runtime import ContainerSpec, Image, Mount

__all__ = [
    "Command",
    "JobFolder",
    "algorithm_error",
    "training_command",
    "training_environment",
    "training_spec",
]


class JobFolder(ContractFolder):
    """The folder of a training job."""

    def prepare(self, request: Mapping[str, Any], hook: Mapping[str, Any] | None = None) -> None:
        """Make the folders and write ``input/config``.

        Args:
            request: A CreateTrainingJob request for one host.
            hook: What Debugger's hook is to do; None when there is none.
        """
        for part in ("input/config", "input/data", "model", "output/data"):
            self.make(self.path / part)
        for channel in request.get("InputDataConfig", ()):
            self.make(self._channel(channel["ChannelName"]))
        self._config("hyperparameters", dict(request.get("HyperParameters", {})))
        self._config("inputdataconfig", _input_data_config(request))
        self._config("resourceconfig", _resource_config(request["ResourceConfig"]))
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
        hostname=HOST,
        labels={"type": "training", "job": name},
    )


def algorithm_error(failure: str | None, exit_code: int) -> str:
    """The FailureReason of a training job whose container ended with a code other than 0.

    Of a text that is too long the end is cut, never the exit code.
    """
    end = f", exit code: {exit_code}"
    return f"AlgorithmError: {failure or ''}"[: FAILURE_LIMIT - len(end)] + end
