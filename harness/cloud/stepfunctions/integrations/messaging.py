"""Optimized integrations that make one API call: SQS, SNS, EventBridge, DynamoDB."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from harness.asl.tasks import JSON, Pattern, TaskError, TaskRequest
from harness.asl.values import json_text
from harness.cloud.errors import ServiceError
from harness.cloud.models import load_model
from harness.cloud.service import CloudContext
from harness.cloud.stepfunctions.integrations.base import (
    CALLBACK,
    REQUEST_RESPONSE,
    Params,
    ServiceCall,
    http_metadata,
    java_error,
    stage_of,
)
from harness.cloud.stepfunctions.integrations.shapes import SDK_V1

__all__ = ["OptimizedCall", "PutEvents"]


class OptimizedCall(ServiceCall):
    """One API call, spelt as version 1 of the AWS SDK for Java does; the output shows the HTTP metadata too.

    Args:
        service: botocore's name.
        operation: The API operation.
        label: What error names begin with: ``SQS`` in ``SQS.QueueDoesNotExistException``.
        client: The SDK's name of the service, ``AmazonSQS``: in causes, and of the base exception.
        base: The SDK's base exception, where it is not called after the client.
        patterns: Integration patterns.
        fields: The members of the request that Step Functions takes; None for all.
    """

    dialect = SDK_V1

    def __init__(
        self,
        cloud: CloudContext,
        service: str,
        operation: str,
        *,
        label: str,
        client: str,
        base: str | None = None,
        patterns: Collection[Pattern] = REQUEST_RESPONSE,
        fields: Collection[str] | None = None,
    ) -> None:
        super().__init__(cloud, service, operation, fields)
        self.patterns = patterns
        self.label = label
        self._client = client
        self._base = base or f"{client}Exception"

    async def submit(self, request: TaskRequest, params: Params) -> JSON:
        return self.output(await self.call(request, params))

    def output(self, response: dict[str, Any]) -> dict[str, Any]:
        """A response in Step Functions' form, with the metadata."""
        result = self.dialect.to_json(self.api, response)
        metadata = http_metadata(
            {"Content-Type": self._content_type()},
            now=self.cloud.clock.now(),
            entropy=self.cloud.entropy,
            length=len(json_text(result)),
        )
        return dict(sorted({**result, **metadata}.items()))

    def _content_type(self) -> str:
        model = load_model(self.service)
        return f"application/x-amz-json-{model.json_version}" if model.protocol == "json" else "text/xml"

    def describe_error(self, error: ServiceError, request_id: str) -> tuple[str, str]:
        name = self.api.exception(error.code) or self._base
        return f"{self.label}.{name}", java_error(self._client, error, request_id, version=1)


class PutEvents(OptimizedCall):
    """``events:putEvents``: entries carry the execution's ARNs, and one that is refused fails the task."""

    def __init__(self, cloud: CloudContext) -> None:
        super().__init__(
            cloud,
            "events",
            "PutEvents",
            label="EventBridge",
            client="AmazonEventBridge",
            patterns=CALLBACK,
            fields=("Entries",),
        )

    def parameters(self, request: TaskRequest) -> Params:
        params = super().parameters(request)
        origin = [request.context["Execution"]["Id"], request.context["StateMachine"]["Id"]]
        entries = [
            {**entry, "Resources": [*entry.get("Resources", ()), *origin]} for entry in params["Entries"]
        ]
        return {**params, "Entries": entries}

    async def submit(self, request: TaskRequest, params: Params) -> JSON:
        response = await self.call(request, params)
        output = self.output(response)
        if response.get("FailedEntryCount"):
            raise TaskError("EventBridge.FailedEntry", json_text(output), stage_of(request))
        return output
