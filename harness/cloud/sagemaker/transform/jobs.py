"""Transform jobs: the API. How one runs is in `harness.cloud.sagemaker.transform.run`."""

from __future__ import annotations

from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.faults import JobFault
from harness.cloud.sagemaker.data import require_objects
from harness.cloud.sagemaker.jobs import BatchJobs, times
from harness.cloud.sagemaker.models.models import Models
from harness.cloud.sagemaker.records import Listing, Tags, moment
from harness.cloud.sagemaker.transform.check import check, check_model
from harness.cloud.sagemaker.transform.run import TransformJob, TransformRun
from harness.cloud.service import CloudContext

__all__ = ["TransformJobs"]

ECHOED = (
    "MaxConcurrentTransforms",
    "ModelClientConfig",
    "MaxPayloadInMB",
    "BatchStrategy",
    "Environment",
    "DataCaptureConfig",
)
"""What DescribeTransformJob repeats of a request; members that were not sent are left out."""


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
        check(params)
        arn = cloud.arn("sagemaker", f"transform-job/{name}")
        if name in self.jobs:
            raise ServiceError(
                "ResourceInUse",
                "Job name must be unique within an AWS account and region, and a job with this name already "
                f"exists ({arn})",
            )
        model = self._models.get(params["ModelName"])
        check_model(cloud, model)
        source = params["TransformInput"]["DataSource"]["S3DataSource"]
        require_objects(
            cloud.storage,
            source["S3DataType"],
            source["S3Uri"],
            region=cloud.region,
            role=model.role or "",
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
        self.launch(job, TransformRun(self, job, model, startup_limit=self._startup_limit).live)
        return {"TransformJobArn": arn}


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
    for member in ECHOED:
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
