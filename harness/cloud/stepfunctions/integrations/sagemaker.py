"""``sagemaker:*``: jobs that a state starts, and waits for with ``.sync``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from harness.asl.tasks import JSON, TaskError, TaskRequest
from harness.asl.values import json_text
from harness.cloud.errors import ServiceError
from harness.cloud.service import CloudContext
from harness.cloud.stepfunctions.integrations.base import Later, Params, caller_of
from harness.cloud.stepfunctions.integrations.job_document import job_document
from harness.cloud.stepfunctions.integrations.messaging import OptimizedCall
from harness.cloud.stepfunctions.integrations.shapes import Api

__all__ = ["PROCESSING", "TRAINING", "TRANSFORM", "TUNING", "JobKind", "SageMakerCall", "SageMakerJob"]


@dataclass(frozen=True)
class JobKind:
    """A kind of job.

    Attributes:
        name: What `Jobs.wait_for_job` calls it.
        noun: What the API calls it: ``TrainingJob`` in CreateTrainingJob and TrainingJobName.
    """

    name: str
    noun: str


TRAINING = JobKind("training", "TrainingJob")
TRANSFORM = JobKind("transform", "TransformJob")
PROCESSING = JobKind("processing", "ProcessingJob")
TUNING = JobKind("tuning", "HyperParameterTuningJob")


class Jobs(Protocol):
    """What is asked of the SageMaker service beside its API."""

    async def wait_for_job(self, kind: str, name: str) -> dict[str, Any]:
        """The Describe response of a job, once it has ended.

        Raises:
            ServiceError: There is no such job.
        """


# Step Functions tags what it starts and waits for. The history shows the first tag, the job has both
# (recorded on AWS, 2020).
_MANAGED = {"Key": "MANAGED_BY_AWS", "Value": "STARTED_BY_STEP_FUNCTIONS"}
_EXECUTION = "AWS_STEP_FUNCTIONS_EXECUTION_ARN"


class SageMakerCall(OptimizedCall):
    """One SageMaker call that nothing waits for: models, endpoint configs, endpoints."""

    def __init__(self, cloud: CloudContext, operation: str) -> None:
        super().__init__(cloud, "sagemaker", operation, label="SageMaker", client="AmazonSageMaker")


class SageMakerJob(SageMakerCall):
    """A job.

    Args:
        cloud: Where SageMaker is.
        kind: Its kind.
        later: Runs what is to happen after a task was cancelled.
    """

    def __init__(self, cloud: CloudContext, kind: JobKind, later: Later) -> None:
        super().__init__(cloud, f"Create{kind.noun}")
        self.patterns = ("request_response", "sync")
        self._kind = kind
        self._later = later
        self._description = Api("sagemaker", f"Describe{kind.noun}")

    def parameters(self, request: TaskRequest) -> Params:
        params = super().parameters(request)
        if request.resource.pattern == "sync":
            execution = {"Key": _EXECUTION, "Value": request.context["Execution"]["Id"]}
            params["Tags"] = [*params.get("Tags", ()), _MANAGED, execution]
        return params

    def shown(self, request: TaskRequest, params: Params) -> JSON:
        if request.resource.pattern != "sync":
            return request.arguments
        return {**request.arguments, "Tags": [tag for tag in params["Tags"] if tag["Key"] != _EXECUTION]}

    async def finish(self, request: TaskRequest, params: Params, submitted: JSON) -> JSON:
        name = params[f"{self._kind.noun}Name"]
        jobs = cast("Jobs", self.cloud.service("sagemaker"))
        try:
            description = await jobs.wait_for_job(self._kind.name, name)
        except ServiceError as error:
            raise self.failure(error, "run") from error
        except asyncio.CancelledError:
            self._later(self._stop(name, request), f"stop {self._kind.name} job {name}")
            raise
        document = job_document(self._kind.noun, self._description, description)
        document["Tags"] = {tag["Key"]: tag["Value"] for tag in params["Tags"]}
        if document[f"{self._kind.noun}Status"] != "Completed":
            # What AWS does for a job that was stopped is not recorded; it is no success in any case.
            raise TaskError("States.TaskFailed", json_text(document))
        return document

    async def _stop(self, name: str, request: TaskRequest) -> None:
        params: Mapping[str, Any] = {f"{self._kind.noun}Name": name}
        try:
            await self.cloud.call("sagemaker", f"Stop{self._kind.noun}", params, caller=caller_of(request))
        except ServiceError as error:
            self.cloud.events.publish("warning", name, message=f"could not be stopped: {error}")
