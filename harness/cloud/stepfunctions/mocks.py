"""Mocked results of Task states, checked against the models of the services they stand for.

A mock is checked as AWS checks it with TestState: members that the model does not know are let through, and
what a ``.sync`` integration yields is described by the operation that Step Functions polls, not by the one
that starts the job (AWS developer guide, "Testing state machines with TestState API").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal

from harness.asl.tasks import JSON, Resource
from harness.cloud.constraints import constraints_of
from harness.cloud.models import Shape
from harness.cloud.stepfunctions.integrations.aws_sdk import find_operation, find_service
from harness.cloud.stepfunctions.integrations.shapes import SDK_V1, SDK_V2, Api, Dialect

__all__ = ["Mode", "problem_with"]

Mode = Literal["STRICT", "PRESENT", "NONE"]
"""STRICT asks for the required members too, PRESENT looks only at those that are there, NONE at nothing."""

_SERVICES: Final[Mapping[str, str]] = {
    "bedrock": "bedrock-runtime",
    "elasticmapreduce": "emr",
    "states": "stepfunctions",
}
"""botocore's names of the services that optimized integrations call otherwise."""

_WITHOUT_MODEL: Final = frozenset(
    {("apigateway", "invoke"), ("eks", "call"), ("eks", "runJob"), ("http", "invoke")}
)
"""AWS does not check these either."""

_POLLED: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    ("athena", "startQueryExecution"): ("athena", "GetQueryExecution"),
    ("batch", "submitJob"): ("batch", "DescribeJobs"),
    ("bedrock", "createModelCustomizationJob"): ("bedrock", "GetModelCustomizationJob"),
    ("codebuild", "retryBuildBatch"): ("codebuild", "BatchGetBuildBatches"),
    ("codebuild", "startBuild"): ("codebuild", "BatchGetBuilds"),
    ("codebuild", "startBuildBatch"): ("codebuild", "BatchGetBuildBatches"),
    ("databrew", "startJobRun"): ("databrew", "DescribeJobRun"),
    ("ecs", "runTask"): ("ecs", "DescribeTasks"),
    ("eks", "createCluster"): ("eks", "DescribeCluster"),
    ("eks", "createFargateProfile"): ("eks", "DescribeFargateProfile"),
    ("eks", "createNodegroup"): ("eks", "DescribeNodegroup"),
    ("eks", "deleteCluster"): ("eks", "DescribeCluster"),
    ("eks", "deleteFargateProfile"): ("eks", "DescribeFargateProfile"),
    ("eks", "deleteNodegroup"): ("eks", "DescribeNodegroup"),
    ("elasticmapreduce", "addStep"): ("emr", "DescribeStep"),
    ("elasticmapreduce", "createCluster"): ("emr", "DescribeCluster"),
    ("elasticmapreduce", "terminateCluster"): ("emr", "DescribeCluster"),
    ("emr-containers", "deleteVirtualCluster"): ("emr-containers", "DescribeVirtualCluster"),
    ("emr-containers", "startJobRun"): ("emr-containers", "DescribeJobRun"),
    ("emr-serverless", "cancelJobRun"): ("emr-serverless", "GetJobRun"),
    ("emr-serverless", "createApplication"): ("emr-serverless", "GetApplication"),
    ("emr-serverless", "deleteApplication"): ("emr-serverless", "GetApplication"),
    ("emr-serverless", "startApplication"): ("emr-serverless", "GetApplication"),
    ("emr-serverless", "startJobRun"): ("emr-serverless", "GetJobRun"),
    ("emr-serverless", "stopApplication"): ("emr-serverless", "GetApplication"),
    ("glue", "startJobRun"): ("glue", "GetJobRun"),
    ("mediaconvert", "createJob"): ("mediaconvert", "GetJob"),
    ("sagemaker", "createHyperParameterTuningJob"): ("sagemaker", "DescribeHyperParameterTuningJob"),
    ("sagemaker", "createLabelingJob"): ("sagemaker", "DescribeLabelingJob"),
    ("sagemaker", "createProcessingJob"): ("sagemaker", "DescribeProcessingJob"),
    ("sagemaker", "createTrainingJob"): ("sagemaker", "DescribeTrainingJob"),
    ("sagemaker", "createTransformJob"): ("sagemaker", "DescribeTransformJob"),
    ("states", "startExecution"): ("stepfunctions", "DescribeExecution"),
}
"""The operation that tells how the job of a ``.sync`` integration is doing."""

_CALLED: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    ("bedrock", "createModelCustomizationJob"): ("bedrock", "CreateModelCustomizationJob"),
    ("elasticmapreduce", "addStep"): ("emr", "AddJobFlowSteps"),
    ("elasticmapreduce", "cancelStep"): ("emr", "CancelSteps"),
    ("elasticmapreduce", "createCluster"): ("emr", "RunJobFlow"),
    ("elasticmapreduce", "modifyInstanceFleetByName"): ("emr", "ModifyInstanceFleet"),
    ("elasticmapreduce", "modifyInstanceGroupByName"): ("emr", "ModifyInstanceGroups"),
    ("elasticmapreduce", "setClusterTerminationProtection"): ("emr", "SetTerminationProtection"),
    ("elasticmapreduce", "terminateCluster"): ("emr", "TerminateJobFlows"),
}
"""The operation behind an action that is not called like it."""


def problem_with(result: JSON, resource: Resource, mode: Mode) -> str | None:
    """What keeps a mocked result from being one of a Task's, as AWS words it; None if it may be one.

    Any JSON may come from a function's or an activity's own resource, and from a callback.
    """
    if mode == "NONE" or resource.kind != "service" or resource.pattern == "waitForTaskToken":
        return None
    described = _described(resource)
    if described is None:
        return None
    api, dialect = described
    if api.output is None:
        return None
    if not isinstance(result, dict):
        return "Mock result must be a valid JSON object"
    result = {name: value for name, value in result.items() if name != _ANY_JSON.get(resource.service)}
    found = next(_problems(api, dialect, api.output, result, "", strict=mode == "STRICT"), None)
    return None if found is None else f"Mock result schema validation error: {found}"


def _described(resource: Resource) -> tuple[Api, Dialect] | None:
    """The operation whose response a resource's result is, and how it is spelt."""
    namespace, _, name = resource.service.partition(":")
    if namespace == "aws-sdk":
        service = find_service(name)
        operation = None if service is None else find_operation(service, resource.action)
        return None if service is None or operation is None else (Api(service, operation), SDK_V2)
    action = (resource.service, resource.action)
    if action in _WITHOUT_MODEL:
        return None
    if resource.pattern in ("sync", "sync:2"):
        service, operation = _POLLED[action]
    else:
        plain = (
            _SERVICES.get(resource.service, resource.service),
            resource.action[0].upper() + resource.action[1:],
        )
        service, operation = _CALLED.get(action, plain)
    return Api(service, operation), SDK_V1


def _problems(api: Api, dialect: Dialect, of: str, value: JSON, field: str, *, strict: bool) -> Iterator[str]:
    """What in a value does not fit a shape.

    Args:
        api: The operation.
        dialect: How its members are spelt.
        of: The shape's name.
        value: The value.
        field: The member it is the value of.
        strict: Whether required members must be there.
    """
    shape = api.shapes[of]
    kind = shape["type"]
    if shape.get("document"):
        return
    expected, accepts = _KINDS[kind]
    fits = isinstance(value, accepts) and (kind == "boolean" or not isinstance(value, bool))
    if not fits:
        yield f"Field '{field}' must be {expected}"
        return
    match kind:
        case "structure":
            names = dialect.members(api, of)
            present = {names[key]: (key, item) for key, item in value.items() if key in names}
            if strict:
                for member in shape.get("required", ()):
                    if member not in present or present[member][1] is None:
                        yield f"Required field '{dialect.name(member)}' is missing"
            for member, (key, item) in present.items():
                if item is not None:
                    inner = shape["members"][member]["shape"]
                    yield from _problems(api, dialect, inner, item, key, strict=strict)
        case "list":
            for item in value:
                yield from _problems(api, dialect, shape["member"]["shape"], item, field, strict=strict)
        case "map":
            for item in value.values():
                yield from _problems(api, dialect, shape["value"]["shape"], item, field, strict=strict)
        case "string" if "enum" in shape and value not in shape["enum"]:
            yield f"Field '{field}' is not an expected value"
    yield from _out_of_bounds(shape, value, field)


def _out_of_bounds(shape: Shape, value: JSON, field: str) -> Iterator[str]:
    """The limits of length and range that a value breaks. Patterns are not looked at."""
    limits = {name: shape[name] for name in ("type", "min", "max") if name in shape}
    for satisfied, rule in constraints_of(limits):
        if not satisfied(value):
            yield f"Field '{field}' {rule.removeprefix('Member ')}"


_ANY_JSON: Final[Mapping[str, str]] = {"bedrock": "Body", "lambda": "Payload"}
"""The member of an optimized integration's result that is JSON in Step Functions and bytes to the service."""

_KINDS: Final[Mapping[str, tuple[str, type | tuple[type, ...]]]] = {
    "blob": ("a string", str),
    "boolean": ("a boolean", bool),
    "double": ("a number", (int, float)),
    "float": ("a number", (int, float)),
    "integer": ("a number", int),
    "list": ("an array", list),
    "long": ("a number", int),
    "map": ("an object", dict),
    "string": ("a string", str),
    "structure": ("an object", dict),
    "timestamp": ("a string", str),
}
"""By the type of a shape: AWS's word for it, and the Python types of its JSON."""
