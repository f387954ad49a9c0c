"""What a CreateTrainingJob request may say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.cloud.sagemaker.channels import check_channels
from harness.cloud.sagemaker.quotas import require_quota
from harness.cloud.sagemaker.training import debugger, profiler
from harness.cloud.sagemaker.training.job import MAX_RUNTIME
from harness.cloud.sagemaker.validation import invalid, no_nul, null, one_of, only, parse_s3
from harness.containers.contract.folder import ROOT
from harness.containers.contract.training import checkpoint_path

__all__ = ["SUPPORTED", "check_training"]

SUPPORTED = (
    "TrainingJobName",
    "RoleArn",
    "HyperParameters",
    "AlgorithmSpecification.TrainingImage",
    "AlgorithmSpecification.TrainingInputMode",
    "AlgorithmSpecification.MetricDefinitions",
    "AlgorithmSpecification.EnableSageMakerMetricsTimeSeries",
    "AlgorithmSpecification.ContainerEntrypoint",
    "AlgorithmSpecification.ContainerArguments",
    "InputDataConfig.ChannelName",
    "InputDataConfig.DataSource.S3DataSource.S3DataType",
    "InputDataConfig.DataSource.S3DataSource.S3Uri",
    "InputDataConfig.DataSource.S3DataSource.S3DataDistributionType",
    "InputDataConfig.DataSource.S3DataSource.AttributeNames",
    "InputDataConfig.DataSource.S3DataSource.InstanceGroupNames",
    "InputDataConfig.ContentType",
    "InputDataConfig.CompressionType",
    "InputDataConfig.RecordWrapperType",
    "InputDataConfig.InputMode",
    "InputDataConfig.ShuffleConfig",
    "OutputDataConfig.S3OutputPath",
    "OutputDataConfig.CompressionType",
    "ResourceConfig.InstanceType",
    "ResourceConfig.InstanceCount",
    "ResourceConfig.InstanceGroups.InstanceType",
    "ResourceConfig.InstanceGroups.InstanceCount",
    "ResourceConfig.InstanceGroups.InstanceGroupName",
    "ResourceConfig.VolumeSizeInGB",
    "StoppingCondition.MaxRuntimeInSeconds",
    "StoppingCondition.MaxWaitTimeInSeconds",
    "CheckpointConfig.S3Uri",
    "CheckpointConfig.LocalPath",
    "RetryStrategy.MaximumRetryAttempts",
    "Tags",
    "Environment",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",  # what the hosts say to each other never leaves this machine
    "EnableManagedSpotTraining",
    *debugger.SUPPORTED,
    *profiler.SUPPORTED,
)


def check_training(params: Mapping[str, Any]) -> None:
    """Raise for what is missing, contradictory or not supported.

    Raises:
        ServiceError: ValidationException.
    """
    only(params, SUPPORTED)
    algorithm = params.get("AlgorithmSpecification")
    if not algorithm:
        raise null("algorithmSpecification")
    if not algorithm.get("TrainingImage"):
        raise null("algorithmSpecification.trainingImage")
    one_of(
        algorithm["TrainingInputMode"],
        ("File", "FastFile", "Pipe"),
        "AlgorithmSpecification.TrainingInputMode",
    )
    no_nul(algorithm, ("ContainerEntrypoint", "ContainerArguments"))
    no_nul(params, ("Environment", "CheckpointConfig"))
    for metric in algorithm.get("MetricDefinitions", ()):
        try:
            re.compile(metric["Regex"])
        except re.error as error:
            raise invalid(
                f'The regular expression "{metric["Regex"]}" of the metric {metric["Name"]} is not valid: '
                f"{error}."
            ) from error
    output = params["OutputDataConfig"]
    one_of(output.get("CompressionType"), ("GZIP", "NONE"), "OutputDataConfig.CompressionType")
    parse_s3(output["S3OutputPath"])
    _check_resources(params.get("ResourceConfig"))
    check_channels(params)
    _check_time(params)
    _check_checkpoints(params)
    debugger.check_hook(params)
    profiler.check_profiler(params)


def _check_resources(resources: Mapping[str, Any] | None) -> None:
    if not resources:
        raise null("resourceConfig")
    if not resources.get("VolumeSizeInGB"):
        raise null("resourceConfig.volumeSizeInGB")
    groups = resources.get("InstanceGroups")
    if not groups:
        for member in ("InstanceType", "InstanceCount"):
            if not resources.get(member):
                raise null(f"resourceConfig.{member[0].lower()}{member[1:]}")
        require_quota("training job", resources["InstanceType"], resources["InstanceCount"])
        return
    if resources.get("InstanceType") or resources.get("InstanceCount"):
        raise invalid("InstanceGroups cannot be given together with InstanceType and InstanceCount.")
    names = [group["InstanceGroupName"] for group in groups]
    for number, group in enumerate(groups, 1):
        if names.count(group["InstanceGroupName"]) > 1:
            raise invalid(f"Duplicate instance group name: {group['InstanceGroupName']}.")
        for member in ("InstanceType", "InstanceCount"):
            if not group.get(member):
                raise null(f"resourceConfig.instanceGroups.{number}.member.{member[0].lower()}{member[1:]}")
    require_quota("training job", groups[0]["InstanceType"], sum(group["InstanceCount"] for group in groups))


def _check_time(params: Mapping[str, Any]) -> None:
    if "StoppingCondition" not in params:
        raise null("stoppingCondition")
    condition = params["StoppingCondition"]
    wait = condition.get("MaxWaitTimeInSeconds")
    if not params.get("EnableManagedSpotTraining"):
        if wait is not None:
            raise invalid(
                "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is set to "
                "true"
            )
        return
    if wait is None or wait < condition.get("MaxRuntimeInSeconds", MAX_RUNTIME):
        raise invalid(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
            "MaxRuntimeInSeconds"
        )


def _check_checkpoints(params: Mapping[str, Any]) -> None:
    path = checkpoint_path(params)
    if path is None:
        return
    parse_s3(params["CheckpointConfig"]["S3Uri"])
    reserved = [ROOT / name for name in ("input", "model", "output", "code")]
    inside = any(path.is_relative_to(folder) for folder in reserved)
    if not path.is_absolute() or ".." in path.parts or path in (ROOT, *ROOT.parents) or inside:
        raise invalid(f'The LocalPath "{path}" of CheckpointConfig cannot be used for checkpoints.')
