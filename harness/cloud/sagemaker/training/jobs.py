"""Training jobs: the API. How one runs is in `harness.cloud.sagemaker.training.run`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.faults import JobFault
from harness.cloud.sagemaker.data import require_objects
from harness.cloud.sagemaker.images import require_training_image
from harness.cloud.sagemaker.jobs import Jobs, times
from harness.cloud.sagemaker.records import Listing, Tags, moment
from harness.cloud.sagemaker.training import profiler
from harness.cloud.sagemaker.training.check import check_training
from harness.cloud.sagemaker.training.job import MAX_RUNTIME, TrainingJob
from harness.cloud.sagemaker.training.run import TrainingRun
from harness.cloud.sagemaker.validation import invalid, only
from harness.cloud.service import CloudContext
from harness.containers.contract.training import input_mode
from harness.containers.runtime import Image

__all__ = ["TrainingJobs"]


class TrainingJobs(Jobs[TrainingJob]):
    """CreateTrainingJob, DescribeTrainingJob, ListTrainingJobs, StopTrainingJob, DeleteTrainingJob."""

    def __init__(self, cloud: CloudContext, tags: Tags) -> None:
        super().__init__(cloud, kind="training", group="/aws/sagemaker/TrainingJobs")
        self._tags = tags
        self._listing = Listing("TrainingJobSummaries", _summary, descending=False, page_before_status=True)

    def create(self, params: dict[str, Any], *, tuning_job: str | None = None) -> dict[str, Any]:
        """Start a job.

        Args:
            params: The request.
            tuning_job: ARN of the tuning job that starts it.

        Raises:
            ServiceError: ValidationException, ResourceInUse.
        """
        cloud, name = self.cloud, params["TrainingJobName"]
        image = self.check(params)
        arn = self._arn(name)
        job = TrainingJob(
            name=name,
            arn=arn,
            request=params,
            number=self.launched,
            clock=cloud.clock,
            fault=cloud.faults.job("training", name, params) or JobFault(),
        )
        job.tuning_job = tuning_job
        self._tags.start(arn, params.get("Tags", ()))
        self.launch(job, TrainingRun(self, job, image).live)
        return {"TrainingJobArn": arn}

    def check(self, params: dict[str, Any]) -> Image:
        """Refuse a request that makes no job; the image of one that does.

        Raises:
            ServiceError: ValidationException, ResourceInUse.
        """
        cloud, name, role = self.cloud, params["TrainingJobName"], params["RoleArn"]
        check_training(params)
        if name in self.jobs:
            raise ServiceError(
                "ResourceInUse",
                "Training job names must be unique within an AWS account and region, and a training job with "
                f"this name already exists ({self._arn(name)})",
            )
        image = require_training_image(cloud.images, params["AlgorithmSpecification"]["TrainingImage"], role)
        for channel in params.get("InputDataConfig", ()):
            source = channel["DataSource"]["S3DataSource"]
            uri: str = source["S3Uri"]
            if input_mode(params, channel) == "FastFile" and not uri.endswith("/"):
                uri += "/"  # a folder is mounted: the prefix has to end where one does
            require_objects(cloud.storage, source["S3DataType"], uri, region=cloud.region, role=role)
        return image

    def describe(self, name: str) -> dict[str, Any]:
        """DescribeTrainingJob.

        Raises:
            ServiceError: ValidationException.
        """
        return _description(self._find(name))

    def documents(self) -> Iterator[dict[str, Any]]:
        """What Search looks through: the descriptions of all training jobs."""
        return map(_description, self.jobs.values())

    def list(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListTrainingJobs.

        Raises:
            ServiceError: ValidationException.
        """
        only(
            params,
            (
                *("NextToken", "MaxResults", "NameContains", "StatusEquals", "SortBy", "SortOrder"),
                *("CreationTimeAfter", "CreationTimeBefore"),
                *("LastModifiedTimeAfter", "LastModifiedTimeBefore"),
            ),
        )
        return self._listing.page(self.jobs.values(), params)

    def stop(self, name: str) -> None:
        """StopTrainingJob: returns before the job ends.

        Raises:
            ServiceError: ValidationException.
        """
        job = self._find(name)
        if job.status != "InProgress":
            raise invalid(f"The request was rejected because the training job is in status {job.status}.")
        job.stop()
        self.announce(job)

    def delete(self, name: str) -> None:
        """DeleteTrainingJob: forget a job that has ended. What it left in S3 stays.

        Raises:
            ServiceError: ValidationException, ResourceInUse.
        """
        job = self._find(name)
        self.forget(job)
        self._tags.forget(job.arn)

    def _arn(self, name: str) -> str:
        return self.cloud.arn("sagemaker", f"training-job/{name}")

    def _find(self, name: str) -> TrainingJob:
        job = self.jobs.get(name)
        if job is None:
            raise invalid("Requested resource not found.")
        return job


def _summary(job: TrainingJob) -> dict[str, Any]:
    return {
        "TrainingJobName": job.name,
        "TrainingJobArn": job.arn,
        "CreationTime": moment(job.created),
        **times(TrainingEndTime=job.finished if job.terminal else None),
        "LastModifiedTime": moment(job.modified),
        "TrainingJobStatus": job.status,
        "SecondaryStatus": job.secondary,
    }


def _description(job: TrainingJob) -> dict[str, Any]:
    request = job.request
    described: dict[str, Any] = {"TrainingJobName": job.name, "TrainingJobArn": job.arn}
    if job.tuning_job is not None:
        described["TuningJobArn"] = job.tuning_job
    if job.secondary != "Starting":
        described["ModelArtifacts"] = {"S3ModelArtifacts": str(job.model_place)}
    described |= {"TrainingJobStatus": job.status, "SecondaryStatus": job.secondary}
    if job.failure_reason is not None:
        described["FailureReason"] = job.failure_reason
    for member in ("HyperParameters", "Environment"):
        if request.get(member):
            described[member] = request[member]
    described |= {
        "AlgorithmSpecification": {
            "EnableSageMakerMetricsTimeSeries": False,
            **request["AlgorithmSpecification"],
        },
        "RoleArn": request["RoleArn"],
        "OutputDataConfig": {"KmsKeyId": "", "CompressionType": "GZIP", **request["OutputDataConfig"]},
        "ResourceConfig": request["ResourceConfig"],
        "StoppingCondition": {"MaxRuntimeInSeconds": MAX_RUNTIME, **request["StoppingCondition"]},
        "CreationTime": moment(job.created),
        **times(
            TrainingStartTime=job.downloading,
            TrainingEndTime=job.finished if job.terminal else None,
            LastModifiedTime=job.modified,
        ),
        "SecondaryStatusTransitions": [transition.describe() for transition in job.transitions],
        "EnableNetworkIsolation": request.get("EnableNetworkIsolation", False),
        "EnableInterContainerTrafficEncryption": request.get("EnableInterContainerTrafficEncryption", False),
        "EnableManagedSpotTraining": request.get("EnableManagedSpotTraining", False),
        "ProfilingStatus": "Enabled" if profiler.profiles(request) else "Disabled",
    }
    for member in ("CheckpointConfig", "RetryStrategy", "DebugHookConfig", "ProfilerConfig"):
        if request.get(member):
            described[member] = request[member]
    if request.get("InputDataConfig"):
        described["InputDataConfig"] = [
            {"CompressionType": "None", "RecordWrapperType": "None", **channel}
            for channel in request["InputDataConfig"]
        ]
    if job.metrics:
        described["FinalMetricDataList"] = [
            {"MetricName": name, "Value": value, "Timestamp": moment(at)}
            for name, (value, at) in job.metrics.items()
        ]
    if job.terminal and job.downloading is not None:
        described |= {
            "TrainingTimeInSeconds": int(job.finished - job.downloading),
            "BillableTimeInSeconds": int(job.billable()),
        }
    return described
