"""The services a Task state can call.

`Integrations` is the interpreter's `TaskRunner`. It names every resource there is; any other is refused when
a state machine is created, never when it runs.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, assert_never

from harness.asl.diagnostics import SCHEMA_VALIDATION_FAILED, UNSUPPORTED_FEATURE
from harness.asl.tasks import JSON, Resource, TaskProgress, TaskRequest
from harness.cloud.service import CloudContext
from harness.cloud.stepfunctions.integrations.aws_sdk import SdkCall, find_operation, find_service
from harness.cloud.stepfunctions.integrations.base import CALLBACK, Integration
from harness.cloud.stepfunctions.integrations.functions import LambdaInvoke
from harness.cloud.stepfunctions.integrations.messaging import OptimizedCall, PutEvents
from harness.cloud.stepfunctions.integrations.sagemaker import SageMakerCall, SageMakerJob
from harness.cloud.stepfunctions.integrations.states import Finished, StartExecution
from harness.cloud.stepfunctions.tokens import TaskTokens

__all__ = ["Integrations", "Refused"]

# Optimized integrations that AWS has and this does not, to tell them from what exists nowhere.
_ELSEWHERE = frozenset(
    {
        "apigateway",
        "athena",
        "batch",
        "bedrock",
        "codebuild",
        "databrew",
        "ecs",
        "eks",
        "elasticmapreduce",
        "emr-containers",
        "emr-serverless",
        "glue",
        "http",
        "mediaconvert",
    }
)
_SAGEMAKER_ELSEWHERE = frozenset(
    {"createProcessingJob", "createHyperParameterTuningJob", "createLabelingJob"}
)


class Refused(Exception):
    """A resource that cannot be called.

    Attributes:
        code: The code of the finding: ``SCHEMA_VALIDATION_FAILED`` where AWS refuses the resource too,
            ``UNSUPPORTED_FEATURE`` where it would not.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _unrecognized(resource: Resource) -> Refused:
    return Refused(
        SCHEMA_VALIDATION_FAILED,
        f"The resource provided {resource.arn} is not recognized. The value is not a valid resource ARN, or "
        "the resource is not available in this region.",
    )


def _unsupported(resource: Resource, why: str) -> Refused:
    return Refused(
        UNSUPPORTED_FEATURE,
        f"The resource {resource.arn} exists on AWS but is not supported locally yet: {why}",
    )


class Integrations:
    """Carries out Task states.

    Args:
        cloud: Where the services are.
        tokens: Task tokens that are waited for.
        finished: Waits for an execution.
    """

    def __init__(self, cloud: CloudContext, tokens: TaskTokens, finished: Finished) -> None:
        self._cloud = cloud
        self._tokens = tokens
        self._finished = finished
        self._function: LambdaInvoke | None = None
        self._made: dict[tuple[str, str], Integration] = {}
        self._closed = False

    def close(self) -> None:
        """The cloud stops: jobs and executions that tasks wait for are not to be stopped one by one."""
        self._closed = True

    def _later(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        if self._closed:
            coroutine.close()
        else:
            self._cloud.spawn(coroutine, name)

    # At creation -----------------------------------------------------------------------------------------

    def check(self, resource: Resource, parameters: JSON) -> list[str]:
        """What is wrong with a Task's Parameters.

        Raises:
            Refused: The resource itself cannot be called.
        """
        match resource.kind:
            case "function":
                return []
            case "activity":
                raise _unsupported(resource, "use a Lambda function, or a resource with .waitForTaskToken.")
            case "service":
                integration = self._find(resource)
                if resource.pattern not in integration.patterns:
                    raise _unrecognized(resource)
                return integration.problems(parameters)
            case _:
                assert_never(resource.kind)

    def _find(self, resource: Resource) -> Integration:
        """The integration behind a service resource; made when first asked for.

        Raises:
            Refused: There is none.
        """
        key = (resource.service, resource.action)
        integration = self._made.get(key)
        if integration is None:
            integration = self._made[key] = self._make(resource)
        return integration

    def _make(self, resource: Resource) -> Integration:
        cloud = self._cloud
        match resource.service.split(":"), resource.action:
            case ["lambda"], "invoke":
                return LambdaInvoke(cloud)
            case ["sagemaker"], "createTrainingJob":
                return SageMakerJob(cloud, "training", "TrainingJob", self._later)
            case ["sagemaker"], "createTransformJob":
                return SageMakerJob(cloud, "transform", "TransformJob", self._later)
            case ["sagemaker"], (
                "createModel" | "createEndpointConfig" | "createEndpoint" | "updateEndpoint"
            ) as act:
                return SageMakerCall(cloud, act[0].upper() + act[1:])
            case ["states"], "startExecution":
                return StartExecution(cloud, self._finished, self._later)
            case ["sqs"], "sendMessage":
                return OptimizedCall(
                    cloud, "sqs", "SendMessage", label="SQS", client="AmazonSQS", patterns=CALLBACK
                )
            case ["sns"], "publish":
                return OptimizedCall(
                    cloud, "sns", "Publish", label="SNS", client="AmazonSNS", patterns=CALLBACK
                )
            case ["events"], "putEvents":
                return PutEvents(
                    cloud,
                    "events",
                    "PutEvents",
                    label="EventBridge",
                    client="AmazonEventBridge",
                    patterns=CALLBACK,
                )
            case ["dynamodb"], ("getItem" | "putItem" | "updateItem" | "deleteItem") as act:
                return OptimizedCall(
                    cloud,
                    "dynamodb",
                    act[0].upper() + act[1:],
                    label="DynamoDB",
                    client="AmazonDynamoDBv2",
                    base="AmazonDynamoDBException",
                )
            case ["aws-sdk", name], action:
                return self._sdk_call(resource, name, action)
            case ["sagemaker"], action if action in _SAGEMAKER_ELSEWHERE:
                raise _unsupported(resource, "the local SageMaker does not have such jobs.")
            case [service], _ if service in _ELSEWHERE:
                raise _unsupported(resource, "call the service from a Lambda function.")
            case _:
                raise _unrecognized(resource)

    def _sdk_call(self, resource: Resource, name: str, action: str) -> SdkCall:
        service = find_service(name)
        operation = find_operation(service, action) if service else None
        if service is None or operation is None:
            raise _unrecognized(resource)
        try:
            ours = self._cloud.service(service)
        except KeyError:
            return SdkCall(self._cloud, service, operation)
        methods = {method.replace("_", "") for method in dir(ours) if not method.startswith("_")}
        if operation.lower() not in methods:
            raise _unsupported(resource, f"the local {service} does not have the operation {operation}.")
        return SdkCall(self._cloud, service, operation)

    # At run time -----------------------------------------------------------------------------------------

    async def run(self, request: TaskRequest, progress: TaskProgress) -> JSON:
        """Carry out one attempt at a Task.

        Raises:
            TaskError: It failed.
        """
        resource = request.resource
        if resource.kind == "function":
            progress.started()
            if self._function is None:
                self._function = LambdaInvoke(self._cloud)
            return await self._function.invoke_arn(request)
        integration = self._find(resource)
        params = integration.parameters(request)
        progress.started()
        match resource.pattern:
            case "request_response":
                return await integration.submit(request, params)
            case "sync" | "sync:2":
                submitted = await integration.submit(request, params)
                progress.submitted(submitted)
                return await integration.finish(request, params, submitted)
            case "waitForTaskToken":
                with self._tokens.waiting(_token(request.context), progress) as callback:
                    progress.submitted(await integration.submit(request, params))
                    return await callback.result()
            case _:
                assert_never(resource.pattern)


def _token(context: Mapping[str, JSON]) -> str:
    token: str = context["Task"]["Token"]
    return token
