"""SageMaker Runtime: InvokeEndpoint, InvokeEndpointWithResponseStream, InvokeEndpointAsync."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from harness.cloud.sagemaker.api import SageMaker
from harness.cloud.sagemaker.endpoints.endpoints import Endpoint
from harness.cloud.sagemaker.endpoints.instance import Instance
from harness.cloud.sagemaker.invocations.async_inference import AsyncInference
from harness.cloud.sagemaker.invocations.data_capture import DataCapture
from harness.cloud.sagemaker.invocations.invocation import Invocation, Invoker, Route, refused
from harness.cloud.sagemaker.invocations.streaming import STREAM_TIMEOUT, stream_parts
from harness.cloud.service import CloudContext, Request, Service

__all__ = ["SageMakerRuntime"]

INVOCATION_TIMEOUT = 60.0
"""Real seconds: a real container answers."""

COMMON = ("EndpointName", "Body", "ContentType", "Accept", "CustomAttributes", "InferenceId")
INVOKE = frozenset((*COMMON, "TargetVariant", "TargetModel", "TargetContainerHostname", "SessionId"))
STREAM = INVOKE - {"TargetModel"}
ASYNC = frozenset((*COMMON, "InputLocation", "RequestTTLSeconds", "InvocationTimeoutSeconds"))
"""The members of each operation's request that are acted upon."""


class SageMakerRuntime(Service):
    """The data plane: it invokes what `SageMaker` has brought up.

    Args:
        cloud: The cloud it belongs to.
        timeout: Real seconds a container has to answer.
        stream_timeout: Real seconds a container has for an answer that is streamed.
    """

    name = "sagemaker-runtime"

    def __init__(
        self,
        cloud: CloudContext,
        *,
        timeout: float = INVOCATION_TIMEOUT,
        stream_timeout: float = STREAM_TIMEOUT,
    ) -> None:
        super().__init__(cloud)
        self._timeout = timeout
        self._stream_timeout = stream_timeout
        self._sessions: dict[tuple[str, str], Instance] = {}
        self._capture = DataCapture(cloud)

    @cached_property
    def _invoker(self) -> Invoker:
        service = self.cloud.service("sagemaker")
        assert isinstance(service, SageMaker)  # by its name
        return Invoker(self.cloud, service.endpoints)

    @cached_property
    def _async(self) -> AsyncInference:
        return AsyncInference(self.cloud, self._invoker)

    async def close(self) -> None:
        self._capture.flush()

    async def invoke_endpoint(self, request: Request) -> dict[str, Any]:
        """InvokeEndpoint.

        Raises:
            ServiceError: ValidationError, ModelError, ThrottlingException.
        """
        params = request.params
        route, invocation = self._way(params, INVOKE, self._timeout)
        with self.cloud.clock.work("call"):
            response = await self._invoker.invoke(route, invocation)
        inference_id = params.get("InferenceId")
        if route.endpoint.data_capture is not None:
            self._capture.record(route, invocation, response, inference_id=inference_id)
        answer: dict[str, Any] = {"Body": response.body, "InvokedProductionVariant": route.variant.name}
        headers = response.headers
        if "content-type" in headers:
            answer["ContentType"] = headers["content-type"]
        if "x-amzn-sagemaker-custom-attributes" in headers:
            answer["CustomAttributes"] = headers["x-amzn-sagemaker-custom-attributes"]
        if "SessionId" in params:
            self._follow_session(route, headers, answer)
        return answer

    async def invoke_endpoint_with_response_stream(self, request: Request) -> dict[str, Any]:
        """InvokeEndpointWithResponseStream.

        Raises:
            ServiceError: ValidationError, ModelError, ThrottlingException. What goes wrong once the answer
                has begun is told in the stream.
        """
        route, invocation = self._way(request.params, STREAM, self._stream_timeout)
        if route.variant.model.multi_model:
            raise refused("Streaming responses are not supported for multi-model endpoints.")
        deadline = asyncio.get_running_loop().time() + self._stream_timeout
        opened = self._invoker.stream(route, invocation)
        with self.cloud.clock.work("call"):
            response = await opened.__aenter__()
        answer: dict[str, Any] = {
            "Body": stream_parts(self.cloud.clock, opened, response, deadline),
            "InvokedProductionVariant": route.variant.name,
        }
        if "content-type" in response.headers:
            answer["ContentType"] = response.headers["content-type"]
        if "x-amzn-sagemaker-custom-attributes" in response.headers:
            answer["CustomAttributes"] = response.headers["x-amzn-sagemaker-custom-attributes"]
        return answer

    async def invoke_endpoint_async(self, request: Request) -> dict[str, Any]:
        """InvokeEndpointAsync.

        Raises:
            ServiceError: ValidationError.
        """
        _only(request.params, ASYNC)
        endpoint = self._invoker.endpoint(request.params["EndpointName"], asynchronous=True)
        return self._async.submit(endpoint, request.params)

    def _way(
        self, params: Mapping[str, Any], supported: frozenset[str], timeout: float
    ) -> tuple[Route, Invocation]:
        """Where a request goes, and what goes there."""
        _only(params, supported)
        invoker = self._invoker
        endpoint = invoker.endpoint(params["EndpointName"])
        variant = invoker.variant(endpoint, params.get("TargetVariant"))
        body = params.get("Body", b"")
        body = body if isinstance(body, bytes) else body.read()
        invocation = invoker.prepare(variant, params, body, timeout)
        instance = None
        if "SessionId" in params:
            instance = self._session(endpoint, params["SessionId"])
        return Route(endpoint, variant, instance or variant.instance()), invocation

    # Sessions: what belongs together goes to one instance -----------------------------------------------

    def _session(self, endpoint: Endpoint, session: str) -> Instance | None:
        """The instance that began a session, while it is ready."""
        instance = self._sessions.get((endpoint.name, session))
        return instance if instance is not None and instance.ready else None

    def _follow_session(self, route: Route, headers: Mapping[str, str], answer: dict[str, Any]) -> None:
        """Note what the container says about sessions, and say it to the caller."""
        if new := headers.get("x-amzn-sagemaker-new-session-id"):
            answer["NewSessionId"] = new
            assert route.instance is not None  # it answered
            self._sessions[route.endpoint.name, new.partition(";")[0].strip()] = route.instance
        if closed := headers.get("x-amzn-sagemaker-closed-session-id"):
            answer["ClosedSessionId"] = closed
            self._sessions.pop((route.endpoint.name, closed), None)


def _only(params: Mapping[str, Any], supported: frozenset[str]) -> None:
    if not params.keys() <= supported:
        member = min(params.keys() - supported)
        raise refused(f"harness does not support {member} yet.")
