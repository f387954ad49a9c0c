"""Transform jobs: the API. How one runs is in `harness.cloud.sagemaker.transform_run`."""

from __future__ import annotations

from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.faults import JobFault
from harness.cloud.sagemaker.data import require_objects
from harness.cloud.sagemaker.images import require_model_image
from harness.cloud.sagemaker.jobs import BatchJobs, times
from harness.cloud.sagemaker.models import Model, Models
from harness.cloud.sagemaker.records import Listing, Tags, moment
from harness.cloud.sagemaker.transform_run import TransformJob, TransformRun
from harness.cloud.sagemaker.validation import invalid, one_of, only, parse_s3, unsupported
from harness.cloud.service import CloudContext

__all__ = ["TransformJobs"]

MAX_PAYLOAD_MB = 100
"""The limit of MaxPayloadInMB, and of it times MaxConcurrentTransforms."""

SUPPORTED = (
    "TransformJobName",
    "ModelName",
    "MaxConcurrentTransforms",
    "ModelClientConfig.InvocationsTimeoutInSeconds",
    "ModelClientConfig.InvocationsMaxRetries",
    "MaxPayloadInMB",
    "BatchStrategy",
    "Environment",
    "TransformInput.DataSource.S3DataSource.S3DataType",
    "TransformInput.DataSource.S3DataSource.S3Uri",
    "TransformInput.ContentType",
    "TransformInput.CompressionType",
    "TransformInput.SplitType",
    "TransformOutput.S3OutputPath",
    "TransformOutput.Accept",
    "TransformOutput.AssembleWith",
    "TransformResources.InstanceType",
    "TransformResources.InstanceCount",
    "DataProcessing.InputFilter",
    "DataProcessing.OutputFilter",
    "DataProcessing.JoinSource",
    "Tags",
)


class TransformJobs(BatchJobs[TransformJob]):
    """CreateTransformJob, DescribeTransformJob, ListTransformJobs, StopTransformJob."""

    def __init__(self, cloud: CloudContext, models: Models, tags: Tags, *, startup_limit: float) -> None:
        super().__init__(
            cloud,
            kind="transform",
            group="/aws/sagemaker/TransformJobs",
            listing=Listing("TransformJobSummaries", _summary, descending=True),
            description=_description,
        )
        self._models = models
        self._tags = tags
        self._startup_limit = startup_limit

    def create(self, params: dict[str, Any]) -> dict[str, Any]:
        """Start a job.

        Raises:
            ServiceError: ValidationException, ResourceInUse.
        """
        cloud = self.cloud
        name = params["TransformJobName"]
        _check(params)
        arn = cloud.arn("sagemaker", f"transform-job/{name}")
        if name in self.jobs:
            raise ServiceError(
                "ResourceInUse",
                "Job name must be unique within an AWS account and region, and a job with this name already "
                f"exists ({arn})",
            )
        model = self._models.get(params["ModelName"])
        _check_model(model)
        image = require_model_image(cloud.images, model.container["Image"])
        source = params["TransformInput"]["DataSource"]["S3DataSource"]
        require_objects(
            cloud.storage,
            source["S3DataType"],
            source["S3Uri"],
            region=cloud.region,
            role=model.request.get("ExecutionRoleArn", ""),
        )
        job = TransformJob(
            name=name,
            arn=arn,
            request=params,
            number=len(self.jobs),
            clock=cloud.clock,
            fault=cloud.faults.job("transform", name, params) or JobFault(),
        )
        self._tags.start(arn, params.get("Tags", ()))
        self.launch(job, TransformRun(self, job, model, image, startup_limit=self._startup_limit).live)
        return {"TransformJobArn": arn}


def _check_model(model: Model) -> None:
    """Refuse models that batch transform cannot serve, on AWS or here."""
    if len(model.containers) > 1:
        raise unsupported("a transform job with an inference pipeline")
    if model.multi_model:
        raise invalid("A model in MultiModel mode cannot be used in a transform job.")
    source = model.containers[0].source
    if source is not None and source.form != "archive":
        raise invalid("ModelDataSource is not supported for a transform job.")


def _check(params: dict[str, Any]) -> None:
    """Raise for what is contradictory or not supported."""
    only(params, SUPPORTED)
    source, output = params["TransformInput"], params["TransformOutput"]
    one_of(source["DataSource"]["S3DataSource"]["S3DataType"], ("S3Prefix", "ManifestFile"), "S3DataType")
    one_of(source.get("CompressionType"), ("None",), "TransformInput.CompressionType")
    one_of(source.get("SplitType"), ("None", "Line"), "TransformInput.SplitType")
    parse_s3(output["S3OutputPath"])
    if params["TransformResources"]["InstanceCount"] > 1:
        raise unsupported("TransformResources.InstanceCount greater than 1")
    processing = params.get("DataProcessing", {})
    one_of(processing.get("InputFilter"), ("", "$"), "DataProcessing.InputFilter")
    one_of(processing.get("OutputFilter"), ("", "$"), "DataProcessing.OutputFilter")
    one_of(processing.get("JoinSource"), ("None",), "DataProcessing.JoinSource")
    payload = params.get("MaxPayloadInMB", 6)
    if payload > MAX_PAYLOAD_MB:
        raise invalid(f"MaxPayloadInMB must not be greater than {MAX_PAYLOAD_MB}.")
    if params.get("MaxConcurrentTransforms", 1) * payload > MAX_PAYLOAD_MB:
        raise invalid(
            f"MaxConcurrentTransforms times MaxPayloadInMB must not be greater than {MAX_PAYLOAD_MB} MB."
        )


def _summary(job: TransformJob) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "TransformJobName": job.name,
        "TransformJobArn": job.arn,
        "CreationTime": moment(job.created),
        **times(TransformEndTime=job.modified if job.terminal else None, LastModifiedTime=job.modified),
        "TransformJobStatus": job.status,
    }
    if job.failure_reason is not None:
        summary["FailureReason"] = job.failure_reason
    return summary


def _description(job: TransformJob) -> dict[str, Any]:
    request = job.request
    described: dict[str, Any] = {
        "TransformJobName": job.name,
        "TransformJobArn": job.arn,
        "TransformJobStatus": job.status,
    }
    if job.failure_reason is not None:
        described["FailureReason"] = job.failure_reason
    described["ModelName"] = request["ModelName"]
    for member in (
        *("MaxConcurrentTransforms", "ModelClientConfig", "MaxPayloadInMB", "BatchStrategy"),
        "Environment",
    ):
        if member in request:
            described[member] = request[member]
    return described | {
        "TransformInput": {"CompressionType": "None", "SplitType": "None", **request["TransformInput"]},
        "TransformOutput": {"AssembleWith": "None", "KmsKeyId": "", **request["TransformOutput"]},
        "TransformResources": request["TransformResources"],
        "CreationTime": moment(job.created),
        **times(TransformStartTime=job.started, TransformEndTime=job.modified if job.terminal else None),
        "DataProcessing": {
            "InputFilter": "$",
            "OutputFilter": "$",
            "JoinSource": "None",
            **request.get("DataProcessing", {}),
        },
    }
