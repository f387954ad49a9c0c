"""What every service integration is made of: a call, and what comes back in Step Functions' form."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Coroutine, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

from harness.asl.jsonata import expression_in
from harness.asl.tasks import JSON, Pattern, TaskError, TaskRequest
from harness.asl.values import json_text, make_uuid
from harness.cloud.errors import ServiceError
from harness.cloud.service import Caller, CloudContext
from harness.cloud.stepfunctions.integrations.shapes import Api, Dialect

__all__ = [
    "CALLBACK",
    "REQUEST_RESPONSE",
    "Integration",
    "Later",
    "ServiceCall",
    "caller_of",
    "http_metadata",
    "java_error",
    "stage_of",
]

Params = dict[str, Any]

Later = Callable[[Coroutine[Any, Any, None], str], object]
"""Runs a coroutine, by a name, when nobody is left to wait for it."""

REQUEST_RESPONSE: tuple[Pattern, ...] = ("request_response",)
CALLBACK: tuple[Pattern, ...] = ("request_response", "waitForTaskToken")

Stage = Literal["run", "submit"]


def caller_of(request: TaskRequest) -> Caller:
    """The execution in whose name a task calls, in the role that its Credentials name, else in its own."""
    execution = request.context["Execution"]
    return Caller("execution", execution["Id"], request.role or execution.get("RoleArn"))


def stage_of(request: TaskRequest) -> Stage:
    """Which event records that the call was refused: a task that goes on waiting was never submitted."""
    return "run" if request.resource.pattern == "request_response" else "submit"


class Integration(ABC):
    """The work of one Task resource, apart from how its end is waited for.

    Attributes:
        patterns: The integration patterns it has on AWS and here.
    """

    patterns: Collection[Pattern] = REQUEST_RESPONSE

    def problems(self, parameters: JSON) -> list[str]:
        """What is wrong with a state's Parameters or Arguments, as far as can be told before it runs.

        Args:
            parameters: As written in the definition: keys may end in ``.$``, values may be expressions.
        """
        return []

    @abstractmethod
    def parameters(self, request: TaskRequest) -> Params:
        """The request in botocore's form. Made before the history says that the task is scheduled.

        Raises:
            TaskError: States.Runtime, the arguments do not fit the API.
        """

    def shown(self, request: TaskRequest, params: Params) -> JSON:
        """The parameters that the history says the task was scheduled with.

        Args:
            request: The task.
            params: What `parameters` has made of its arguments.
        """
        return request.arguments

    @abstractmethod
    async def submit(self, request: TaskRequest, params: Params) -> JSON:
        """Make the call; answers its output.

        Raises:
            TaskError: The call was refused.
        """

    async def finish(self, request: TaskRequest, params: Params, submitted: JSON) -> JSON:
        """Wait for the job that `submit` has started (``.sync``), and stop it when cancelled.

        Raises:
            TaskError: The job failed.
        """
        raise NotImplementedError(f"{request.resource.arn} has no job to wait for")


def java_error(
    service: str,
    error: ServiceError,
    request_id: str,
    *,
    version: Literal[1, 2],
    extended_request_id: str | None = None,
) -> str:
    """An error message as the AWS SDK for Java prints it, which is what a state's cause shows."""
    if version == 1:
        return (
            f"{error.message} (Service: {service}; Status Code: {error.status}; "
            f"Error Code: {error.code}; Request ID: {request_id}; Proxy: null)"
        )
    ids = f"Request ID: {request_id}"
    if extended_request_id is not None:
        ids += f", Extended Request ID: {extended_request_id}"
    return f"{error.message} (Service: {service}, Status Code: {error.status}, {ids})"


def http_metadata(
    headers: Mapping[str, str], *, now: float, entropy: random.Random, length: int, status: int = 200
) -> dict[str, Any]:
    """SdkHttpMetadata and SdkResponseMetadata: optimized integrations show what came over the wire.

    There is no wire here, so the headers are those AWS sends, with a made-up request id.
    """
    request_id = make_uuid(entropy)
    shown = {
        "Connection": "keep-alive",
        "Content-Length": _digits(length),
        **headers,
        "Date": _http_date(int(now)),
        "x-amzn-RequestId": request_id,
    }
    every = {name: shown[name] for name in _in_order(tuple(shown))}
    # Histories keep these by the ten thousand: what is equal is shared.
    return {
        "SdkHttpMetadata": {
            "AllHttpHeaders": {
                name: [value] if value is request_id else _alone(value) for name, value in every.items()
            },
            "HttpHeaders": every,
            "HttpStatusCode": status,
        },
        "SdkResponseMetadata": {"RequestId": request_id},
    }


@lru_cache(maxsize=256)
def _in_order(names: tuple[str, ...]) -> list[str]:
    return sorted(names, key=str.lower)


@lru_cache(maxsize=1024)
def _alone(value: str) -> list[str]:
    return [value]


@lru_cache(maxsize=1024)
def _digits(number: int) -> str:
    return str(number)


@lru_cache(maxsize=64)
def _http_date(now: int) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")


class ServiceCall(Integration):
    """A call of one API operation, spelt in a dialect of the AWS SDK for Java.

    Args:
        cloud: Where the service is.
        service: botocore's name.
        operation: The API operation.
        fields: The members of the request that Step Functions takes; None for all.

    Attributes:
        label: What error names begin with: ``SQS`` in ``SQS.QueueDoesNotExistException``.
    """

    dialect: Dialect
    label: str

    def __init__(
        self, cloud: CloudContext, service: str, operation: str, fields: Collection[str] | None = None
    ) -> None:
        self.cloud = cloud
        self.service = service
        self.operation = operation
        self.api = Api(service, operation, fields)

    def problems(self, parameters: JSON) -> list[str]:
        if isinstance(parameters, Mapping):
            return self.dialect.problems(self.api, parameters)
        if parameters is None or (isinstance(parameters, str) and expression_in(parameters) is not None):
            return []
        return ["The value for the field 'Parameters' must be an OBJECT"]

    def parameters(self, request: TaskRequest) -> Params:
        return self.read(request.arguments, request)

    def read(self, arguments: JSON, request: TaskRequest) -> Params:
        """The botocore form of a task's arguments, or of a part of them.

        Raises:
            TaskError: States.Runtime, they do not fit the API.
        """
        params, problems = self.dialect.to_request(self.api, arguments)
        if problems:
            raise TaskError(
                "States.Runtime",
                f"The Parameters '{json_text(request.arguments)}' could not be used to start the Task: "
                f"[{', '.join(problems)}]",
            )
        return params

    async def call(self, request: TaskRequest, params: Params) -> dict[str, Any]:
        """The response in botocore's form.

        Raises:
            TaskError: As the service refuses it.
        """
        try:
            return await self.cloud.call(self.service, self.operation, params, caller=caller_of(request))
        except ServiceError as error:
            raise self.failure(error, stage_of(request)) from error

    def failure(self, error: ServiceError, stage: Stage) -> TaskError:
        """How the state fails of a refused call."""
        if error.code == _NO_ANSWER:
            return TaskError(f"{self.label}.{_NO_ANSWER}", error.message, stage)
        name, cause = self.describe_error(error, make_uuid(self.cloud.entropy))
        return TaskError(name, cause, stage)

    @abstractmethod
    def describe_error(self, error: ServiceError, request_id: str) -> tuple[str, str]:
        """Error name and cause of an error that the service has answered with."""


_NO_ANSWER = "SdkClientException"
"""What the SDK throws when it cannot reach a service; there is no request id then. Scenarios ask for it."""
