"""The Lambda API.

The operations are in the modules named after what they are about; this one puts them together and invokes.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.functions.access import AccessOperations
from harness.cloud.functions.delivery import deliver
from harness.cloud.functions.environment import Invocation
from harness.cloud.functions.invocations import Result
from harness.cloud.functions.layers import LayerOperations
from harness.cloud.functions.model import Function, Version, invalid
from harness.cloud.functions.versions import VersionOperations
from harness.cloud.service import Request
from harness.errors import EnvironmentFault

LARGEST_REQUEST = 6_291_456
LARGEST_EVENT = 1_048_576
LARGEST_CLIENT_CONTEXT = 3583
"""Bytes of a payload for RequestResponse and for Event, and of the client context."""


class Lambda(VersionOperations, LayerOperations, AccessOperations):
    """AWS Lambda: Python functions from zip archives, each environment a process of its own."""

    name = "lambda"

    async def invoke(self, request: Request) -> dict[str, Any]:
        params = request.params
        for name in ("DurableExecutionName", "TenantId"):
            if params.get(name):
                raise invalid(f"{name} is not supported by the local cloud.")
        function, qualifier = self.registry.find(params["FunctionName"], params.get("Qualifier"))
        version = self.registry.version(function, qualifier)
        kind = params.get("InvocationType", "RequestResponse")
        invocation = Invocation(
            request.request_id,
            _payload(params.get("Payload"), LARGEST_EVENT if kind == "Event" else LARGEST_REQUEST),
            self.registry.function_arn(version.name, qualifier),
            self._trace_id(),
            _client_context(params.get("ClientContext")),
        )
        if kind == "DryRun":
            return {"StatusCode": 204, "Payload": b""}
        if kind == "Event":
            self.cloud.spawn(
                deliver(
                    self.cloud,
                    version,
                    invocation,
                    lambda: self._attempt(version.name, qualifier, invocation),
                ),
                f"deliver {request.request_id} to {version.name}",
            )
            return {"StatusCode": 202, "Payload": b""}
        result = await self._run(function, version, invocation)
        answer = {"StatusCode": 200, "ExecutedVersion": version.number, "Payload": result.payload}
        if result.failed:
            answer["FunctionError"] = "Unhandled"
        if params.get("LogType") == "Tail":
            answer["LogResult"] = base64.b64encode(result.log).decode()
        return answer

    async def _attempt(self, name: str, qualifier: str | None, invocation: Invocation) -> Result:
        """One attempt at an asynchronous invocation, of the function as it is by then."""
        function, _ = self.registry.find(name)
        return await self._run(function, self.registry.version(function, qualifier), invocation)

    async def _run(self, function: Function, version: Version, invocation: Invocation) -> Result:
        self.invoker.admit(function, self.registry.functions)
        try:
            return await self.invoker.invoke(version, invocation)
        except (EnvironmentFault, OSError) as error:
            raise ServiceError("ServiceException", str(error), status=500) from error

    def _trace_id(self) -> str:
        """X-Ray's header, not sampled."""
        entropy, now = self.cloud.entropy, int(self.cloud.clock.now())
        root, parent = f"1-{now:08x}-{entropy.getrandbits(96):024x}", f"{entropy.getrandbits(64):016x}"
        return f"Root={root};Parent={parent};Sampled=0"

    async def close(self) -> None:
        await self.invoker.close()


def _payload(given: Any, limit: int) -> bytes:
    """The event as bytes of JSON; nothing is an empty object.

    Raises:
        ServiceError: RequestTooLargeException; InvalidRequestContentException.
    """
    if hasattr(given, "read"):
        given = given.read()
    payload = given.encode() if isinstance(given, str) else bytes(given or b"")
    if len(payload) > limit:
        raise ServiceError(
            "RequestTooLargeException",
            f"Request must be smaller than {limit} bytes for the InvokeFunction operation",
            status=413,
            fields={"Type": "User"},
        )
    if not payload:
        return b"{}"
    try:
        json.loads(payload, parse_constant=_refuse_constant)
    except ValueError as error:
        raise ServiceError(
            "InvalidRequestContentException",
            f"Could not parse request body into json: Could not parse payload into json: {error}",
            fields={"Type": "User"},
        ) from error
    return payload


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _client_context(given: str | None) -> str | None:
    """The JSON in ClientContext.

    Raises:
        ServiceError: InvalidParameterValueException.
    """
    if not given:
        return None
    try:
        text = base64.b64decode(given, validate=True).decode()
        if len(given) > LARGEST_CLIENT_CONTEXT or not isinstance(json.loads(text), dict):
            raise ValueError("too long, or not an object")
    except ValueError as error:
        raise invalid("Client context must be a valid Base64-encoded JSON object.") from error
    return json.dumps(json.loads(text))  # on one line: it travels as a header
