"""``sagemaker:*``: jobs that a state starts, and waits for with ``.sync``."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol, cast

from harness.asl.tasks import JSON, TaskError, TaskRequest
from harness.asl.values import json_text
from harness.cloud.errors import ServiceError
from harness.cloud.service import CloudContext
from harness.cloud.stepfunctions.integrations.base import Later, Params, caller_of
from harness.cloud.stepfunctions.integrations.messaging import OptimizedCall
from harness.cloud.stepfunctions.integrations.shapes import Api

__all__ = ["SageMakerCall", "SageMakerJob", "job_document"]


class Jobs(Protocol):
    """What is asked of the SageMaker service beside its API."""

    async def wait_for_job(self, kind: str, name: str) -> dict[str, Any]:
        """The Describe response of a ``training`` or ``transform`` job, once it has ended."""


class SageMakerCall(OptimizedCall):
    """One SageMaker call that nothing waits for: models, endpoint configs, endpoints."""

    def __init__(self, cloud: CloudContext, operation: str) -> None:
        super().__init__(cloud, "sagemaker", operation, label="SageMaker", client="AmazonSageMaker")


class SageMakerJob(SageMakerCall):
    """A job.

    Args:
        kind: What `Jobs.wait_for_job` calls it.
        noun: What the API calls it: ``TrainingJob``.
        later: Runs what is to happen after a task was cancelled.
    """

    def __init__(self, cloud: CloudContext, kind: str, noun: str, later: Later) -> None:
        super().__init__(cloud, f"Create{noun}")
        self.patterns = ("request_response", "sync")
        self._kind = kind
        self._noun = noun
        self._later = later
        self._description = Api("sagemaker", f"Describe{noun}")

    def parameters(self, request: TaskRequest) -> Params:
        params = super().parameters(request)
        if request.resource.pattern == "sync":
            params["Tags"] = [
                *params.get("Tags", ()),
                {"Key": "MANAGED_BY_AWS", "Value": "STARTED_BY_STEP_FUNCTIONS"},
                {"Key": "AWS_STEP_FUNCTIONS_EXECUTION_ARN", "Value": request.context["Execution"]["Id"]},
            ]
        return params

    async def finish(self, request: TaskRequest, params: Params, submitted: JSON) -> JSON:
        name = params[f"{self._noun}Name"]
        jobs = cast("Jobs", self.cloud.service("sagemaker"))
        try:
            description = await jobs.wait_for_job(self._kind, name)
        except asyncio.CancelledError:
            self._later(self._stop(name, request), f"stop {self._kind} job {name}")
            raise
        document = job_document(self._description, description)
        document["Tags"] = {tag["Key"]: tag["Value"] for tag in params["Tags"]}
        if document[f"{self._noun}Status"] != "Completed":
            # What AWS does for a job that was stopped is not recorded; it is no success in any case.
            raise TaskError("States.TaskFailed", json_text(document))
        return document

    async def _stop(self, name: str, request: TaskRequest) -> None:
        try:
            await self.cloud.call(
                "sagemaker", f"Stop{self._noun}", {f"{self._noun}Name": name}, caller=caller_of(request)
            )
        except ServiceError as error:
            self.cloud.events.publish("warning", name, message=f"could not be stopped: {error}")


# The document of a job that has ended -------------------------------------------------------------------

# DescribeTrainingJob's answer has these, the recorded document has not.
_LEFT_OUT = frozenset({"TrainingTimeInSeconds", "BillableTimeInSeconds", "ResponseMetadata"})
# Enums that keep their spelling: states of the job, and what is a name rather than a constant.
_AS_IS = re.compile(r"Status$|^InstanceType$|Region")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def job_document(api: Api, description: Mapping[str, Any]) -> dict[str, Any]:
    """A finished job as ``.sync`` hands it on: the document of SageMaker's EventBridge event.

    It differs from the Describe response (recorded on AWS, 2020): times are milliseconds since the epoch,
    enum values that were in the request are in UPPER_SNAKE_CASE, and the flags and billing members are left
    out.

    Args:
        api: The Describe operation; the order of its members is the document's.
        description: The Describe response in botocore's form.
    """
    assert api.output is not None
    document = {
        name: _document_value(api, member["shape"], name, description[name])
        for name, member in api.shapes[api.output]["members"].items()
        if description.get(name) is not None and name not in _LEFT_OUT and not name.startswith("Enable")
    }
    for channel in document.get("InputDataConfig", ()):
        channel.setdefault("CompressionType", "NONE")
        channel.setdefault("RecordWrapperType", "NONE")
    return document


def _document_value(api: Api, of: str, name: str, value: Any) -> Any:
    shape = api.shapes[of]
    match shape["type"]:
        case "structure":
            members = shape["members"]
            return {
                key: _document_value(api, members[key]["shape"], key, item)
                for key, item in value.items()
                if item is not None and key in members
            }
        case "list":
            return [_document_value(api, shape["member"]["shape"], name, item) for item in value]
        case "timestamp" if isinstance(value, datetime):
            return round(value.timestamp() * 1000)
        case "string" if "enum" in shape and not _AS_IS.search(name):
            return _HUMP.sub("_", value).upper()
        case _:
            return value
