"""The services a Task state can call.

`Integrations` is the interpreter's `TaskRunner`. It names every resource there is; any other is refused when
a state machine is created, never when it runs.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, assert_never

from harness.asl.tasks import JSON, Resource, TaskProgress, TaskRequest
from harness.cloud.service import CloudContext
from harness.cloud.stepfunctions.activities import Activities
from harness.cloud.stepfunctions.integrations.aws_sdk import sdk_call
from harness.cloud.stepfunctions.integrations.base import CALLBACK, Integration
from harness.cloud.stepfunctions.integrations.catalogue import Refused, check_optimized, unrecognized
from harness.cloud.stepfunctions.integrations.functions import LambdaInvoke
from harness.cloud.stepfunctions.integrations.messaging import OptimizedCall, PutEvents
from harness.cloud.stepfunctions.integrations.sagemaker import (
    PROCESSING,
    TRAINING,
    TRANSFORM,
    TUNING,
    SageMakerCall,
    SageMakerJob,
)
from harness.cloud.stepfunctions.integrations.states import Finished, StartExecution
from harness.cloud.stepfunctions.tokens import TaskTokens

__all__ = ["Integrations", "Refused"]

# Whole requests for what Step Functions takes only a part of (AWS developer guide, of 2022, the last edition
# that lists them; CDK's constructs since).
_SEND_MESSAGE = (
    "DelaySeconds",
    "MessageAttributes",
    "MessageBody",
    "MessageDeduplicationId",
    "MessageGroupId",
    "QueueUrl",
)

_JOBS = {
    "createTrainingJob": TRAINING,
    "createTransformJob": TRANSFORM,
    "createProcessingJob": PROCESSING,
    "createHyperParameterTuningJob": TUNING,
}


class Integrations:
    """Carries out Task states.

    Args:
        cloud: Where the services are.
        tokens: Task tokens that are waited for.
        activities: Have workers that do tasks.
        finished: Waits for an execution.
    """

    def __init__(
        self, cloud: CloudContext, tokens: TaskTokens, activities: Activities, finished: Finished
    ) -> None:
        self._cloud = cloud
        self._tokens = tokens
        self._activities = activities
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
            case "function" | "activity":  # whether it is there is seen when it is called, as on AWS
                return []
            case "service":
                region, account = resource.arn.split(":", 5)[3:5]  # left out, as a rule
                if region not in ("", self._cloud.region) or account not in ("", self._cloud.account):
                    raise unrecognized(resource)
                integration = self._find(resource)
                if resource.pattern not in integration.patterns:
                    raise unrecognized(resource)
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
        namespace, _, service = resource.service.partition(":")
        if namespace == "aws-sdk":
            return sdk_call(cloud, resource, service)
        check_optimized(resource)
        operation = resource.action[0].upper() + resource.action[1:]
        match resource.service, resource.action:
            case "lambda", _:
                return LambdaInvoke(cloud)
            case "sagemaker", action if action in _JOBS:
                return SageMakerJob(cloud, _JOBS[action], self._later)
            case "sagemaker", _:
                return SageMakerCall(cloud, operation)
            case "states", _:
                return StartExecution(cloud, self._finished, self._later)
            case "sqs", _:
                return OptimizedCall(
                    cloud,
                    "sqs",
                    operation,
                    label="SQS",
                    client="AmazonSQS",
                    patterns=CALLBACK,
                    fields=_SEND_MESSAGE,
                )
            case "sns", _:
                return OptimizedCall(
                    cloud, "sns", operation, label="SNS", client="AmazonSNS", patterns=CALLBACK
                )
            case "events", _:
                return PutEvents(cloud)
            case "dynamodb", _:
                return OptimizedCall(
                    cloud,
                    "dynamodb",
                    operation,
                    label="DynamoDB",
                    client="AmazonDynamoDBv2",
                    base="AmazonDynamoDBException",
                )
            case _:
                raise AssertionError(f"the catalogue lets {resource.arn} through")

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
        if resource.kind == "activity":
            return await self._activities.run(request, progress)
        integration = self._find(resource)
        params = integration.parameters(request)
        progress.scheduled(integration.shown(request, params))
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
