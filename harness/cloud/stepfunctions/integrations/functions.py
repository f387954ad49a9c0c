"""Lambda functions as tasks: a function's bare ARN, and ``lambda:invoke``."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from harness.asl.tasks import JSON, TaskError, TaskRequest
from harness.asl.values import json_text, parse_json
from harness.cloud.errors import ServiceError
from harness.cloud.service import CloudContext
from harness.cloud.stepfunctions.integrations.base import (
    CALLBACK,
    Params,
    ServiceCall,
    http_metadata,
    java_error,
    stage_of,
)
from harness.cloud.stepfunctions.integrations.shapes import SDK_V1

__all__ = ["LambdaInvoke"]

# Those of AWS's developer guide, and LogType, which it does not name but takes.
_FIELDS = ("ClientContext", "FunctionName", "InvocationType", "LogType", "Payload", "Qualifier")


class LambdaInvoke(ServiceCall):
    """Invokes a function; the state's Payload is any JSON, and so is the answer."""

    dialect = SDK_V1
    patterns = CALLBACK
    label = "Lambda"

    def __init__(self, cloud: CloudContext) -> None:
        super().__init__(cloud, "lambda", "Invoke", _FIELDS)

    async def invoke_arn(self, request: TaskRequest) -> JSON:
        """A function's bare ARN as the resource: its answer alone is the result.

        Raises:
            TaskError: The function, or Lambda, failed.
        """
        params = {"FunctionName": request.resource.arn, "Payload": json_text(request.arguments).encode()}
        answer = self._payload(await self.call(request, params), request)
        return _parse(answer) if answer else None

    def parameters(self, request: TaskRequest) -> Params:
        arguments = request.arguments
        if not isinstance(arguments, dict) or "Payload" not in arguments:
            return {**self.read(arguments, request), "Payload": b"{}"}
        # Unlike other blobs, a Payload is JSON even where it is a string. It may be large: write it once.
        others = {name: value for name, value in arguments.items() if name != "Payload"}
        return {**self.read(others, request), "Payload": json_text(arguments["Payload"]).encode()}

    async def submit(self, request: TaskRequest, params: Params) -> JSON:
        response = await self.call(request, params)
        answer = self._payload(response, request)
        now = self.cloud.clock.now()
        headers = {
            "Content-Type": "application/json",
            "x-amzn-Remapped-Content-Length": "0",
            "X-Amzn-Trace-Id": _trace_id(int(now)),
        }
        result: dict[str, Any] = {}
        if response.get("ExecutedVersion"):
            headers["X-Amz-Executed-Version"] = response["ExecutedVersion"]
            result["ExecutedVersion"] = response["ExecutedVersion"]
        if response.get("LogResult"):
            result["LogResult"] = response["LogResult"]
        if answer:
            result["Payload"] = _parse(answer)
        status = response["StatusCode"]
        metadata = http_metadata(
            headers, now=now, entropy=self.cloud.entropy, length=len(answer or b""), status=status
        )
        return {**result, **metadata, "StatusCode": status}

    def _payload(self, response: dict[str, Any], request: TaskRequest) -> bytes | None:
        """What the function returned, as JSON text.

        Raises:
            TaskError: It raised, exited or took too long.
        """
        payload: bytes | None = response.get("Payload")
        if "FunctionError" not in response:
            return payload
        text = (payload or b"").decode(errors="replace")
        try:
            name = json.loads(text).get("errorType")
        except (ValueError, AttributeError):
            name = None
        if name:
            raise TaskError(str(name), text, stage_of(request))
        raise TaskError(
            "Lambda.Unknown",
            "The cause could not be determined because Lambda did not return an error type. "
            f"Returned payload: {text}",
            stage_of(request),
        )

    def describe_error(self, error: ServiceError, request_id: str) -> tuple[str, str]:
        name = self.api.exception(error.code) or "AWSLambdaException"
        return f"Lambda.{name}", java_error("Lambda", error, request_id, version=2)


def _parse(answer: bytes) -> JSON:
    """What a function returned.

    Raises:
        TaskError: States.Runtime, it is not JSON: Python writes NaN and Infinity, which no state can hold.
    """
    try:
        return parse_json(answer)
    except (ValueError, RecursionError) as error:
        raise TaskError("States.Runtime", f"The function's answer is not valid JSON: {error}") from error


@lru_cache(maxsize=64)
def _trace_id(now: int) -> str:
    """An X-Ray trace id that is not sampled, made up of the time alone: histories keep many, and share it."""
    return f"Root=1-{now:08x}-{now:024x};Sampled=0"
