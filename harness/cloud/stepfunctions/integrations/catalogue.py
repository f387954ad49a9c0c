"""Which resources a Task state can name: the optimized integrations AWS has, and which of them are here.

AWS's list, with the integration patterns of each action, is in its developer guide ("Integrating optimized
services"). What is not on it, AWS does not recognize. What is on it but would only pretend to work here is
refused too, before anything runs: moto keeps records of Glue jobs, Athena queries and ECS tasks and reports
them as succeeded, but it runs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.asl.diagnostics import SCHEMA_VALIDATION_FAILED, UNSUPPORTED_FEATURE
from harness.asl.tasks import Pattern, Resource

__all__ = ["OPTIMIZED", "Refused", "check_optimized", "unrecognized", "unsupported"]


class Refused(Exception):
    """A resource that cannot be called.

    Attributes:
        code: The code of the finding: ``SCHEMA_VALIDATION_FAILED`` where AWS refuses the resource too,
            ``UNSUPPORTED_FEATURE`` where it would not.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def unrecognized(resource: Resource) -> Refused:
    """AWS refuses it too, in these words."""
    return Refused(
        SCHEMA_VALIDATION_FAILED,
        f"The resource provided {resource.arn} is not recognized. The value is not a valid resource ARN, or "
        "the resource is not available in this region.",
    )


def unsupported(resource: Resource, why: str, instead: str) -> Refused:
    """AWS has it; here it would not do what it says."""
    return Refused(
        UNSUPPORTED_FEATURE,
        f"The resource {resource.arn} exists on AWS but is not supported locally: {why}. "
        f"Stub this state in the scenario, or {instead}.",
    )


# AWS's list ---------------------------------------------------------------------------------------------

Patterns = tuple[Pattern, ...]

_CALL: Patterns = ("request_response",)
_CALLBACK: Patterns = ("request_response", "waitForTaskToken")
_JOB: Patterns = ("request_response", "sync")
_EITHER: Patterns = ("request_response", "sync", "waitForTaskToken")

OPTIMIZED: Mapping[str, Mapping[str, Patterns]] = {
    "apigateway": {"invoke": _CALLBACK},
    "athena": {
        "startQueryExecution": _JOB,
        **dict.fromkeys(("stopQueryExecution", "getQueryExecution", "getQueryResults"), _CALL),
    },
    "batch": {"submitJob": _JOB},
    "bedrock": {"invokeModel": _CALLBACK, "createModelCustomizationJob": _JOB},
    "codebuild": {
        **dict.fromkeys(("startBuild", "startBuildBatch", "retryBuildBatch"), _JOB),
        **dict.fromkeys(
            ("stopBuild", "stopBuildBatch", "batchDeleteBuilds", "deleteBuildBatch", "batchGetReports"), _CALL
        ),
    },
    "databrew": {"startJobRun": _JOB},
    "dynamodb": dict.fromkeys(("getItem", "putItem", "updateItem", "deleteItem"), _CALL),
    "ecs": {"runTask": _EITHER},
    "eks": {
        "call": _EITHER,
        "runJob": _EITHER,
        **dict.fromkeys(
            (
                "createCluster",
                "deleteCluster",
                "createNodegroup",
                "deleteNodegroup",
                "createFargateProfile",
                "deleteFargateProfile",
            ),
            _JOB,
        ),
    },
    "elasticmapreduce": {
        **dict.fromkeys(("createCluster", "terminateCluster", "addStep"), _JOB),
        **dict.fromkeys(
            (
                "cancelStep",
                "setClusterTerminationProtection",
                "modifyInstanceFleetByName",
                "modifyInstanceGroupByName",
            ),
            _CALL,
        ),
    },
    "emr-containers": {"createVirtualCluster": _CALL, "deleteVirtualCluster": _JOB, "startJobRun": _JOB},
    "emr-serverless": dict.fromkeys(
        (
            "createApplication",
            "startApplication",
            "stopApplication",
            "deleteApplication",
            "startJobRun",
            "cancelJobRun",
        ),
        _JOB,
    ),
    "events": {"putEvents": _CALLBACK},
    "glue": {"startJobRun": _JOB},
    "http": {"invoke": _CALL},
    "lambda": {"invoke": _CALLBACK},
    "mediaconvert": {"createJob": _JOB},
    "sagemaker": {
        **dict.fromkeys(
            (
                "createTrainingJob",
                "createTransformJob",
                "createProcessingJob",
                "createHyperParameterTuningJob",
                "createLabelingJob",
            ),
            _JOB,
        ),
        **dict.fromkeys(("createModel", "createEndpointConfig", "createEndpoint", "updateEndpoint"), _CALL),
    },
    "sns": {"publish": _CALLBACK},
    "sqs": {"sendMessage": _CALLBACK},
    "states": {"startExecution": ("request_response", "sync", "sync:2", "waitForTaskToken")},
}
"""The integration patterns of each action, by service."""

_UNDOCUMENTED: Mapping[str, Patterns] = {"bedrock-agentcore": _CALL, "s3files": _EITHER}
"""Services with integrations whose actions are not known here: any action is taken for one of them."""

_NOTHING_RUNS = "the local {} keeps records but runs nothing, so that it would succeed with nothing done"
_NO_SERVICE = "there is no {} here"

_WHY: Mapping[str, str] = {
    "apigateway": "the local API Gateway keeps APIs but serves none",
    "athena": _NOTHING_RUNS.format("Athena"),
    "batch": (
        "the local Batch runs jobs on a Docker engine of its own, out of reach of the containers, the clock "
        "and the faults of the harness"
    ),
    "bedrock": _NO_SERVICE.format("model of Bedrock's"),
    "bedrock-agentcore": _NO_SERVICE.format("agent runtime"),
    "codebuild": _NOTHING_RUNS.format("CodeBuild"),
    "databrew": _NOTHING_RUNS.format("DataBrew"),
    "ecs": _NOTHING_RUNS.format("ECS"),
    "eks": _NO_SERVICE.format("Kubernetes cluster"),
    "elasticmapreduce": _NOTHING_RUNS.format("EMR"),
    "emr-containers": _NOTHING_RUNS.format("EMR"),
    "emr-serverless": _NOTHING_RUNS.format("EMR Serverless"),
    "glue": _NOTHING_RUNS.format("Glue"),
    "http": "HTTP endpoints outside are not called from here",
    "mediaconvert": _NO_SERVICE.format("MediaConvert"),
    "s3files": _NO_SERVICE.format("S3 Files"),
}

_INSTEAD: Mapping[str, str] = {
    "batch": "run the container as a SageMaker processing job",
    "ecs": "run the container as a SageMaker processing job",
    "http": "call the endpoint from a Lambda function",
}


def check_optimized(resource: Resource) -> None:
    """Check that an optimized integration exists on AWS, and here.

    Raises:
        Refused: It does not.
    """
    patterns = _UNDOCUMENTED.get(resource.service)
    if patterns is None:
        patterns = OPTIMIZED.get(resource.service, {}).get(resource.action, ())
    if resource.pattern not in patterns:
        raise unrecognized(resource)
    if resource.action == "createLabelingJob":
        raise unsupported(resource, "the local SageMaker has no labeling jobs", "label the data beforehand")
    why = _WHY.get(resource.service)
    if why is not None:
        raise unsupported(resource, why, _INSTEAD.get(resource.service, "let a Lambda function do the work"))
