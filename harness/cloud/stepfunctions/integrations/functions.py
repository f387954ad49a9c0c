"""Lambda functions as tasks: a function's bare ARN, and ``lambda:invoke``."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from harness.asl.tasks import JSON, TaskError, TaskRequest
from harness.asl.values import json_text
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


class LambdaInvoke(ServiceCall):
    """Invokes a function; the state's Payload is any JSON, and so is the answer."""

    dialect = SDK_V1
    patterns = CALLBACK

    def __init__(self, cloud: CloudContext) -> None:
        super().__init__(cloud, "lambda", "Invoke")

    async def invoke_arn(self, request: TaskRequest) -> JSON:
        """A function's bare ARN as the resource: its answer alone is the result.

        Raises:
            TaskError: The function, or Lambda, failed.
        """
        params = {"FunctionName": request.resource.arn, "Payload": json_text(request.arguments).encode()}
        payload = self._payload(await self.call(request, params), request)
        return None if payload is None else json.loads(payload)

    def parameters(self, request: TaskRequest) -> Params:
        arguments = request.arguments
        if not isinstance(arguments, dict) or "Payload" not in arguments:
            return {**super().parameters(request), "Payload": b"{}"}
        # Unlike other blobs, a Payload is JSON even where it is a string. It may be large: write it once.
        others = {name: value for name, value in arguments.items() if name != "Payload"}
        params = super().parameters(replace(request, arguments=others))
        return {**params, "Payload": json_text(arguments["Payload"]).encode()}

    async def submit(self, request: TaskRequest, params: Params) -> JSON:
        response = await self.call(request, params)
        answer = self._payload(response, request)
        headers = {"Content-Type": "application/json", "x-amzn-Remapped-Content-Length": "0"}
        result: dict[str, Any] = {}
        if response.get("ExecutedVersion"):
            headers["X-Amz-Executed-Version"] = response["ExecutedVersion"]
            result["ExecutedVersion"] = response["ExecutedVersion"]
        if response.get("LogResult"):
            result["LogResult"] = response["LogResult"]
        if answer:
            result["Payload"] = json.loads(answer)
        status = response["StatusCode"]
        metadata = http_metadata(
            headers,
            now=self.cloud.clock.now(),
            entropy=self.cloud.entropy,
            length=len(answer or b""),
            status=status,
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
