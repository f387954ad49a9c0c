"""Processing jobs: the API. How one runs is in `harness.cloud.sagemaker.processing.run`."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.faults import JobFault
from harness.cloud.sagemaker.data import require_objects
from harness.cloud.sagemaker.images import processing_image
from harness.cloud.sagemaker.jobs import BatchJobs, times
from harness.cloud.sagemaker.processing.run import ProcessingJob, ProcessingRun
from harness.cloud.sagemaker.records import Listing, Tags
from harness.cloud.sagemaker.validation import invalid, no_nul, null, one_of, only, parse_s3
from harness.cloud.service import CloudContext
from harness.containers.contract.processing import PROCESSING

__all__ = ["ProcessingJobs"]

MAX_RUNTIME = 86_400
"""MaxRuntimeInSeconds when the request does not say, virtual seconds."""

SUPPORTED = (
    "ProcessingJobName",
    "RoleArn",
    "ProcessingInputs.InputName",
    "ProcessingInputs.S3Input.S3Uri",
    "ProcessingInputs.S3Input.LocalPath",
    "ProcessingInputs.S3Input.S3DataType",
    "ProcessingInputs.S3Input.S3InputMode",
    "ProcessingInputs.S3Input.S3DataDistributionType",
    "ProcessingInputs.S3Input.S3CompressionType",
    "ProcessingOutputConfig.Outputs.OutputName",
    "ProcessingOutputConfig.Outputs.S3Output.S3Uri",
    "ProcessingOutputConfig.Outputs.S3Output.LocalPath",
    "ProcessingOutputConfig.Outputs.S3Output.S3UploadMode",
    "ProcessingResources.ClusterConfig.InstanceCount",
    "ProcessingResources.ClusterConfig.InstanceType",
    "ProcessingResources.ClusterConfig.VolumeSizeInGB",
    "StoppingCondition.MaxRuntimeInSeconds",
    "AppSpecification.ImageUri",
    "AppSpecification.ContainerEntrypoint",
    "AppSpecification.ContainerArguments",
    "Environment",
    "NetworkConfig.EnableNetworkIsolation",
    "NetworkConfig.EnableInterContainerTrafficEncryption",
    "Tags",
)


class ProcessingJobs(BatchJobs[ProcessingJob]):
    """Create, Describe, List, Stop and DeleteProcessingJob."""

    def __init__(self, cloud: CloudContext, tags: Tags) -> None:
        super().__init__(
            cloud,
            kind="processing",
            group="/aws/sagemaker/ProcessingJobs",
            listing=Listing("ProcessingJobSummaries", _summary, descending=False),
            description=_description,
        )
        self._tags = tags

    def create(self, params: dict[str, Any]) -> dict[str, Any]:
        """Start a job.

        Raises:
            ServiceError: ValidationException, ResourceInUse.
        """
        cloud = self.cloud
        name = params["ProcessingJobName"]
        _check(params)
        arn = cloud.arn("sagemaker", f"processing-job/{name}")
        if name in self.jobs:
            raise ServiceError(
                "ResourceInUse",
                "Job name must be unique within an AWS account and region, and a job with this name already "
                f"exists ({arn})",
            )
        image = processing_image(cloud.images, params["AppSpecification"]["ImageUri"])
        for item in params.get("ProcessingInputs", ()):
            source = item["S3Input"]
            require_objects(
                cloud.storage,
                source["S3DataType"],
                source["S3Uri"],
                region=cloud.region,
                role=params["RoleArn"],
            )
        job = ProcessingJob(
            name=name,
            arn=arn,
            request=_filled(params),
            number=self.launched,
            clock=cloud.clock,
            fault=cloud.faults.job("processing", name, params) or JobFault(),
        )
        self._tags.start(arn, params.get("Tags", ()))
        self.launch(job, ProcessingRun(self, job, image).live)
        return {"ProcessingJobArn": arn}

    def delete(self, name: str) -> None:
        """DeleteProcessingJob: forget a job that has ended.

        Raises:
            ServiceError: ValidationException, ResourceInUse.
        """
        self.describe(name)
        job = self.jobs[name]
        self.forget(job)
        self._tags.forget(job.arn)


def _check(params: dict[str, Any]) -> None:
    """Raise for what is missing, contradictory or not supported."""
    only(params, SUPPORTED)
    no_nul(params, ("AppSpecification", "Environment", "ProcessingInputs", "ProcessingOutputConfig"))
    if not params.get("RoleArn"):
        raise null("roleArn")
    cluster = params["ProcessingResources"]["ClusterConfig"]
    for member in ("InstanceCount", "InstanceType"):
        if not cluster.get(member):
            raise null(f"processingResources.clusterConfig.{member[0].lower()}{member[1:]}")
    _check_inputs(params.get("ProcessingInputs", ()))
    _check_outputs(params.get("ProcessingOutputConfig", {}).get("Outputs", ()))


def _check_inputs(inputs: Any) -> None:
    _unique([item["InputName"] for item in inputs], "input name")
    for number, item in enumerate(inputs, 1):
        path = f"processingInputs.{number}.member.s3Input"
        source = item.get("S3Input")
        if not source:
            raise null(path)
        _check_local_path(source.get("LocalPath"), f"{path}.localPath")
        mode = source.get("S3InputMode", "File")
        one_of(mode, ("File", "Pipe"), "S3InputMode")
        if mode != "Pipe" and source.get("S3CompressionType", "None") != "None":
            raise invalid("S3CompressionType Gzip is only valid with Pipe mode.")
    _unique([str(PurePosixPath(item["S3Input"]["LocalPath"])) for item in inputs], "LocalPath of an input")


def _check_outputs(outputs: Any) -> None:
    _unique([item["OutputName"] for item in outputs], "output name")
    for number, item in enumerate(outputs, 1):
        path = f"processingOutputConfig.outputs.{number}.member.s3Output"
        target = item.get("S3Output")
        if not target:
            raise null(path)
        _check_local_path(target.get("LocalPath"), f"{path}.localPath")
        one_of(target["S3UploadMode"], ("EndOfJob", "Continuous"), "S3UploadMode")
        parse_s3(target["S3Uri"])


def _check_local_path(path: str | None, member: str) -> None:
    if not path:
        raise null(member)
    place = PurePosixPath(path)
    if PROCESSING not in place.parents or ".." in place.parts:
        raise invalid(f'The LocalPath "{path}" does not lie below {PROCESSING}/.')


def _unique(values: list[str], what: str) -> None:
    for value in values:
        if values.count(value) > 1:
            raise invalid(f"Duplicate {what}: {value}.")


def _filled(params: dict[str, Any]) -> dict[str, Any]:
    """The request with the defaults that SageMaker fills in."""
    inputs = [
        {
            **item,
            "AppManaged": False,
            "S3Input": {
                "S3InputMode": "File",
                "S3DataDistributionType": "FullyReplicated",
                "S3CompressionType": "None",
                **item["S3Input"],
            },
        }
        for item in params.get("ProcessingInputs", ())
    ]
    outputs = [
        {**item, "AppManaged": False} for item in params.get("ProcessingOutputConfig", {}).get("Outputs", ())
    ]
    return {
        **params,
        "ProcessingInputs": inputs,
        "ProcessingOutputConfig": {"Outputs": outputs},
        "StoppingCondition": {"MaxRuntimeInSeconds": MAX_RUNTIME, **params.get("StoppingCondition", {})},
        "Environment": params.get("Environment", {}),
    }


def _outcome(job: ProcessingJob) -> dict[str, Any]:
    """What Describe and List both tell of how a job went."""
    told: dict[str, Any] = {"ProcessingJobStatus": job.status}
    if job.exit_message is not None:
        told["ExitMessage"] = job.exit_message
    if job.failure_reason is not None:
        told["FailureReason"] = job.failure_reason
    return told | times(
        ProcessingEndTime=job.modified if job.terminal else None,
        LastModifiedTime=job.modified,
        CreationTime=job.created,
    )


def _summary(job: ProcessingJob) -> dict[str, Any]:
    return {"ProcessingJobName": job.name, "ProcessingJobArn": job.arn, **_outcome(job)}


def _description(job: ProcessingJob) -> dict[str, Any]:
    request = job.request
    described: dict[str, Any] = {
        "ProcessingJobName": job.name,
        "ProcessingJobArn": job.arn,
        "ProcessingInputs": request["ProcessingInputs"],
    }
    if request["ProcessingOutputConfig"]["Outputs"]:
        described["ProcessingOutputConfig"] = request["ProcessingOutputConfig"]
    described |= {
        member: request[member]
        for member in ("ProcessingResources", "StoppingCondition", "AppSpecification", "Environment")
    }
    if request.get("NetworkConfig"):
        described["NetworkConfig"] = request["NetworkConfig"]
    described["RoleArn"] = request["RoleArn"]
    return described | _outcome(job) | times(ProcessingStartTime=job.started)
