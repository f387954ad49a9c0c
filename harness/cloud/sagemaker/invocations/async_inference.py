"""Asynchronous inference: requests that wait in a queue, and whose answers go to S3.

Source: SageMaker developer guide, "Asynchronous inference".
"""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.endpoints.endpoints import Endpoint
from harness.cloud.sagemaker.endpoints.instance import Instance
from harness.cloud.sagemaker.endpoints.variants import Variant
from harness.cloud.sagemaker.http import Response
from harness.cloud.sagemaker.invocations.invocation import Invoker, Route, refused
from harness.cloud.sagemaker.validation import S3Location, parse_s3
from harness.cloud.service import Caller, CloudContext

__all__ = ["AsyncInference"]

REQUEST_TTL = 21_600
"""Virtual seconds a request may wait, unless it says."""

INVOCATION_TIMEOUT = 900
"""Real seconds a container has to answer, unless the request says: a real container answers."""

CONCURRENCY = 4
"""Invocations of an instance at a time when the configuration leaves it to SageMaker. What it takes there is
not known."""

INPUT_LIMIT = 2**30
"""Bytes of a request's input."""

INCLUDED_LIMIT = 128 * 1024
"""Bytes of an answer that a notice may include."""

LOOK_AGAIN = 0.05
"""Real seconds after which a waiting request looks again for an instance that has been started meanwhile."""


@dataclass(frozen=True)
class _Queued:
    """A request that has been accepted.

    Attributes:
        params: The request.
        inference_id: The caller's name for it, or one of ours.
        received: Virtual time.
        variant: Where it goes.
        output: Where the answer goes, None when it only goes into the notice.
        failure: Where the reason of a failure goes.
    """

    params: Mapping[str, Any]
    inference_id: str
    received: float
    variant: Variant
    output: S3Location | None
    failure: S3Location | None


class _Failed(Exception):
    """The request has failed; the text says why."""


class AsyncInference:
    """InvokeEndpointAsync, and what comes after its answer.

    Args:
        cloud: Where the input and the output are.
        invoker: Takes the requests to the containers.
    """

    def __init__(self, cloud: CloudContext, invoker: Invoker) -> None:
        self._cloud = cloud
        self._invoker = invoker
        self._freed = asyncio.Event()

    def submit(self, endpoint: Endpoint, params: Mapping[str, Any]) -> dict[str, Any]:
        """Accept a request.

        Returns:
            InvokeEndpointAsync's answer.

        Raises:
            ServiceError: ValidationError.
        """
        if ("InputLocation" in params) is ("Body" in params):
            raise refused("Exactly one of InputLocation and Body must be specified.")
        if "InputLocation" in params:
            try:
                parse_s3(params["InputLocation"])
            except ServiceError as error:
                raise refused(error.message) from error
        variant = self._invoker.variant(endpoint, None)
        output = endpoint.config.request["AsyncInferenceConfig"]["OutputConfig"]
        number = self._id()
        queued = _Queued(
            params,
            params.get("InferenceId") or self._id(),
            self._cloud.clock.now(),
            variant,
            _place(output.get("S3OutputPath"), f"{number}.out"),
            _place(output.get("S3FailurePath"), f"{number}-error.out"),
        )
        self._cloud.spawn(self._carry_out(endpoint, queued), f"async inference {queued.inference_id}")
        answer = {"InferenceId": queued.inference_id}
        if queued.output is not None:
            answer["OutputLocation"] = str(queued.output)
        if queued.failure is not None:
            answer["FailureLocation"] = str(queued.failure)
        return answer

    # After the answer --------------------------------------------------------------------------------

    async def _carry_out(self, endpoint: Endpoint, queued: _Queued) -> None:
        cloud = self._cloud
        answer: Response | None = None
        content = b""
        reason: str | None = None
        with cloud.clock.work("job"):
            try:
                answer = await self._answer(endpoint, queued)
                content = answer.body
                self._put(queued.output, content)
            except (_Failed, ServiceError) as error:
                reason = error.message if isinstance(error, ServiceError) else str(error)
                content = reason.encode()
                try:
                    self._put(queued.failure, content)
                except _Failed as second:
                    cloud.events.publish("warning", endpoint.name, message=str(second))
        await self._notify(endpoint, queued, answer, content, reason)

    async def _answer(self, endpoint: Endpoint, queued: _Queued) -> Response:
        """Wait for a turn and invoke.

        Raises:
            _Failed: It waited too long, or its input cannot be had.
            ServiceError: ModelError.
        """
        params = queued.params
        instance = await self._turn(endpoint, queued)
        try:
            route = Route(endpoint, queued.variant, instance)
            timeout = float(params.get("InvocationTimeoutSeconds", INVOCATION_TIMEOUT))
            invocation = self._invoker.prepare(
                queued.variant, params, self._input(params), timeout, limit=INPUT_LIMIT
            )
            return await self._invoker.invoke(route, invocation)
        finally:
            self._freed.set()

    async def _turn(self, endpoint: Endpoint, queued: _Queued) -> Instance:
        """An instance that has room for one more."""
        config = endpoint.config.request["AsyncInferenceConfig"]
        room = config.get("ClientConfig", {}).get("MaxConcurrentInvocationsPerInstance", CONCURRENCY)
        expires = queued.received + queued.params.get("RequestTTLSeconds", REQUEST_TTL)
        while True:
            if self._cloud.clock.now() > expires:
                raise _Failed("The request expired before it was processed.")
            if endpoint.fleet is None or endpoint.status == "Deleting":
                raise _Failed(f"Endpoint {endpoint.name} was deleted before the request was processed.")
            ready = [one for one in queued.variant.instances if one.ready and one.in_flight < room]
            if ready:
                return min(ready, key=lambda one: one.in_flight)
            self._freed.clear()
            try:
                async with asyncio.timeout(LOOK_AGAIN):
                    await self._freed.wait()
            except TimeoutError:
                pass

    def _input(self, params: Mapping[str, Any]) -> bytes:
        if "InputLocation" not in params:
            return bytes(params["Body"])
        place = parse_s3(params["InputLocation"])
        try:
            return self._cloud.storage.get(place.bucket, place.key)
        except ServiceError as error:
            raise _Failed(f"Failed to download the input {place}: {error.message}") from error

    def _put(self, place: S3Location | None, content: bytes) -> None:
        if place is None:
            return
        try:
            self._cloud.storage.put(place.bucket, place.key, content)
        except ServiceError as error:
            raise _Failed(f"Failed to write {place}: {error.message}") from error

    async def _notify(
        self,
        endpoint: Endpoint,
        queued: _Queued,
        answer: Response | None,
        content: bytes,
        reason: str | None,
    ) -> None:
        """Publish to the topic there is for this outcome."""
        output = endpoint.config.request["AsyncInferenceConfig"]["OutputConfig"]
        config = output.get("NotificationConfig", {})
        topic = config.get("SuccessTopic" if reason is None else "ErrorTopic")
        if not topic:
            return
        response: dict[str, Any] = {}
        if answer is not None and "content-type" in answer.headers:
            response["contentType"] = answer.headers["content-type"]
        if reason is None and queued.output is not None:
            response["outputLocation"] = str(queued.output)
        if reason is not None and queued.failure is not None:
            response["failureLocation"] = str(queued.failure)
        message: dict[str, Any] = {
            "awsRegion": self._cloud.region,
            "eventTime": _moment(self._cloud.clock.now()),
            "receivedTime": _moment(queued.received),
            "invocationStatus": "Completed" if reason is None else "Failed",
        }
        if reason is not None:
            message["failureReason"] = reason
        message["requestParameters"] = {
            "contentType": queued.params.get("ContentType"),
            "endpointName": endpoint.name,
            "inputLocation": queued.params.get("InputLocation"),
        }
        message["responseParameters"] = response
        included = "SUCCESS_NOTIFICATION_TOPIC" if reason is None else "ERROR_NOTIFICATION_TOPIC"
        if included in config.get("IncludeInferenceResponseIn", ()) and len(content) <= INCLUDED_LIMIT:
            message["responseBody"] = {"content": base64.b64encode(content).decode(), "encoding": "BASE64"}
        message |= {
            "inferenceId": queued.inference_id,
            "eventVersion": "1.0",
            "eventSource": "aws:sagemaker",
            "eventName": "InferenceResult",
        }
        caller = Caller("job", endpoint.name, queued.variant.model.role)
        try:
            publish = {"TopicArn": topic, "Message": json.dumps(message)}
            await self._cloud.call("sns", "Publish", publish, caller=caller)
        except ServiceError as error:
            self._cloud.events.publish(
                "warning", endpoint.name, message=f"no notice could be sent to {topic}: {error.message}"
            )

    def _id(self) -> str:
        return str(uuid.UUID(int=self._cloud.entropy.getrandbits(128), version=4))


def _place(folder: str | None, name: str) -> S3Location | None:
    return parse_s3(folder).child(name) if folder else None


def _moment(time: float) -> str:
    at = datetime.fromtimestamp(time, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"
