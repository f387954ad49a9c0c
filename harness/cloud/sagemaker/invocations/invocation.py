"""An invocation on its way: to a variant, an instance, and there through one container or several.

Sources: SageMaker developer guide, "Real-time predictions with an inference pipeline", "Invoke a
multi-container endpoint with direct invocation", "Custom containers contract for multi-model endpoints"; for
the texts of errors what callers of AWS have reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.endpoints.endpoints import Endpoint, Endpoints
from harness.cloud.sagemaker.endpoints.instance import Instance
from harness.cloud.sagemaker.endpoints.multi_model import ModelLoadFailed
from harness.cloud.sagemaker.endpoints.variants import Variant
from harness.cloud.sagemaker.http import Response, StreamedResponse
from harness.cloud.sagemaker.models.models import Model
from harness.cloud.sagemaker.serving import ModelServer, handed_on
from harness.cloud.service import CloudContext

__all__ = ["Invocation", "Invoker", "Route", "refused"]

MESSAGE_LIMIT = 2048
"""Characters of a ModelError's texts."""

MB = 2**20
PAYLOAD_LIMIT = 25 * MB
SERVERLESS_LIMIT = 4 * MB
"""Bytes of a request (SageMaker developer guide, "Inference options")."""

EXITED = "An error occurred while handling request as the model process exited."
TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container {}. Review the latency metrics "
    "for each container in Amazon CloudWatch, resolve the issue, and try again."
)

INVOCATIONS = "/invocations"

FORWARDED = {
    "ContentType": "Content-Type",
    "Accept": "Accept",
    "CustomAttributes": "X-Amzn-SageMaker-Custom-Attributes",
    "InferenceId": "X-Amzn-SageMaker-Inference-Id",
    "SessionId": "X-Amzn-SageMaker-Session-Id",
}
"""Member of a request -> header the container sees. Whatever else the caller sent, it does not."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """What goes to a container.

    Attributes:
        body: The request's body.
        headers: The headers of it.
        timeout: Real seconds that all containers together have.
        target_model: Of a multi-model endpoint, the model.
        target_container: Of a model in Direct mode, the container's host name.
    """

    body: bytes
    headers: Mapping[str, str]
    timeout: float
    target_model: str | None = None
    target_container: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """Where an invocation goes.

    Attributes:
        endpoint: The endpoint.
        variant: One of its variants.
        instance: One of the variant's instances; None when none is ready.
    """

    endpoint: Endpoint
    variant: Variant
    instance: Instance | None


class Invoker:
    """Finds the way of invocations, and takes them there.

    Args:
        cloud: Where the endpoints are.
        endpoints: The endpoints.
    """

    def __init__(self, cloud: CloudContext, endpoints: Endpoints) -> None:
        self._cloud = cloud
        self._endpoints = endpoints

    # The way -----------------------------------------------------------------------------------------

    def endpoint(self, name: str, *, asynchronous: bool = False) -> Endpoint:
        """An endpoint that can be invoked in this way. Its name must be given in the right case.

        Raises:
            ServiceError: ValidationError.
        """
        endpoint = self._endpoints.serving(name)
        if endpoint is None:
            raise refused(f"Endpoint {name} of account {self._cloud.account} not found.")
        if ("AsyncInferenceConfig" in endpoint.config.request) is not asynchronous:
            kind, operation = (
                ("a real-time", "InvokeEndpoint")
                if asynchronous
                else ("an asynchronous", "InvokeEndpointAsync")
            )
            raise refused(f"Endpoint {name} is {kind} endpoint. Use {operation} to invoke it.")
        return endpoint

    def variant(self, endpoint: Endpoint, target: str | None) -> Variant:
        """The variant that is asked for, else one according to the weights.

        Raises:
            ServiceError: ValidationError.
        """
        variant = endpoint.choose(self._cloud.entropy.random, target)
        if variant is None:
            if target is not None:
                raise refused(f"Variant {target} not found for endpoint {endpoint.name}.")
            raise refused(f"No variant of endpoint {endpoint.name} has a weight greater than 0.")
        return variant

    def prepare(
        self,
        variant: Variant,
        params: Mapping[str, Any],
        body: bytes,
        timeout: float,
        *,
        limit: int | None = None,
    ) -> Invocation:
        """What a request becomes on its way to the containers of a variant.

        Args:
            variant: Where it goes.
            params: The request.
            body: Its body.
            timeout: Real seconds the containers have.
            limit: Bytes the body may have; what the variant takes when None.

        Raises:
            ServiceError: ValidationError; ThrottlingException: a serverless variant has
                as many invocations as it takes.
        """
        if limit is None:
            limit = PAYLOAD_LIMIT if variant.serverless is None else SERVERLESS_LIMIT
        if len(body) > limit:
            raise refused(
                "1 validation error detected: Value at 'body' failed to satisfy constraint: "
                f"Member must have length less than or equal to {limit}"
            )
        if variant.concurrency is not None and variant.in_flight >= variant.concurrency:
            raise ServiceError("ThrottlingException", "Rate exceeded", status=429)
        headers: dict[str, str] = {}
        for member, header in FORWARDED.items():
            if (value := params.get(member)) is not None:
                if "\r" in value or "\n" in value:
                    raise refused("A header must not contain a line break.")
                headers[header] = value
        model, container = params.get("TargetModel"), params.get("TargetContainerHostname")
        _check_targets(variant.model, model, container)
        return Invocation(body, headers, timeout, model, container)

    # The journey -------------------------------------------------------------------------------------

    async def invoke(self, route: Route, invocation: Invocation) -> Response:
        """Take an invocation through the containers.

        Returns:
            The last one's answer, a success.

        Raises:
            ServiceError: ModelError; of a multi-model endpoint ValidationError, too.
        """
        instance = self._ready(route)
        with instance.invocation():
            server, invocation = await self._lead(route, instance, invocation)
            async with self._path(route, instance, server, invocation) as path:
                return await self._ask(route, server, invocation, path)

    @asynccontextmanager
    async def stream(self, route: Route, invocation: Invocation) -> AsyncIterator[StreamedResponse]:
        """As `invoke`; the last container's answer is read as it comes, for as long as the context is open.

        Raises:
            ServiceError: ModelError.
        """
        instance = self._ready(route)
        with instance.invocation():
            server, invocation = await self._lead(route, instance, invocation)
            try:
                answering = server.stream(invocation.body, invocation.headers, timeout=invocation.timeout)
                answer = await answering.__aenter__()
            except (TimeoutError, ConnectionError) as error:
                raise self._unanswered(route, server.hostname, error) from None
            try:
                if not 200 <= answer.status < 300:
                    whole = b"".join([part async for part in answer.parts()])
                    raise self._model_error(route, server.hostname, answer.status, whole)
                yield answer
            finally:
                await answering.__aexit__(None, None, None)

    async def _lead(
        self, route: Route, instance: Instance, invocation: Invocation
    ) -> tuple[ModelServer, Invocation]:
        """Take an invocation to its last container; that, and what it is sent."""
        servers = instance.servers
        if invocation.target_container is not None:
            return servers[invocation.target_container], invocation
        *before, last = servers.values()
        if not before:
            return last, invocation
        clock = asyncio.get_running_loop().time
        deadline = clock() + invocation.timeout
        accept = invocation.headers.get("Accept")
        for server in before:
            headers = {name: value for name, value in invocation.headers.items() if name != "Accept"}
            invocation = replace(invocation, headers=headers, timeout=deadline - clock())
            answer = await self._ask(route, server, invocation, INVOCATIONS)
            headers = handed_on(headers, answer)
            invocation = replace(invocation, body=answer.body, headers=headers)
        if accept is not None:  # it is the pipeline's answer that the caller wants in that form
            headers["Accept"] = accept
        return last, replace(invocation, headers=headers, timeout=deadline - clock())

    @asynccontextmanager
    async def _path(
        self, route: Route, instance: Instance, server: ModelServer, invocation: Invocation
    ) -> AsyncIterator[str]:
        """What to POST to; a multi-model container has the model for as long as the context is open."""
        if invocation.target_model is None:
            yield INVOCATIONS
            return
        try:
            loading = instance.loaded(invocation.target_model)
            name = await loading.__aenter__()
        except ModelLoadFailed as error:
            raise self._model_error(route, server.hostname, error.status, error.text.encode()) from error
        except (TimeoutError, ConnectionError) as error:
            raise self._unanswered(route, server.hostname, error) from None
        try:
            yield f"/models/{name}/invoke"
        finally:
            await loading.__aexit__(None, None, None)

    async def _ask(self, route: Route, server: ModelServer, invocation: Invocation, path: str) -> Response:
        """One container's answer, a success."""
        try:
            answer = await server.invoke(
                invocation.body, invocation.headers, timeout=invocation.timeout, path=path
            )
        except (TimeoutError, ConnectionError) as error:
            raise self._unanswered(route, server.hostname, error) from None
        if not 200 <= answer.status < 300:
            raise self._model_error(route, server.hostname, answer.status, answer.body)
        return answer

    def _ready(self, route: Route) -> Instance:
        if route.instance is None:
            raise self._unanswered(route, route.variant.model.containers[0].hostname, ConnectionError())
        return route.instance

    # What goes wrong ---------------------------------------------------------------------------------

    def _unanswered(self, route: Route, hostname: str, error: Exception) -> ServiceError:
        text = TIMED_OUT.format(hostname) if isinstance(error, TimeoutError) else EXITED
        return self._model_error(route, hostname, 0, text.encode())

    def _model_error(self, route: Route, hostname: str, status: int, body: bytes) -> ServiceError:
        """ModelError: a container answered with no success, or not at all (status 0)."""
        cloud = self._cloud
        text = body.decode(errors="replace")
        group = f"/aws/sagemaker/Endpoints/{route.endpoint.name}"
        kind = "client" if 400 <= status < 500 else "server"
        before = f'Received {kind} error ({status}) from {hostname} with message "'
        after = (
            f'". See https://{cloud.region}.console.aws.amazon.com/cloudwatch/home?region={cloud.region}'
            f"#logEventViewer:group={group} in account {cloud.account} for more information."
        )
        room = MESSAGE_LIMIT - len(before) - len(after)
        return ServiceError(
            "ModelError",
            before + text[:room] + after,
            status=424,
            fields={
                "OriginalStatusCode": status,
                "OriginalMessage": text[:MESSAGE_LIMIT],
                "LogStreamArn": cloud.arn("logs", f"log-group:{group}"),
            },
        )


def _check_targets(model: Model, target: str | None, container: str | None) -> None:
    """Refuse targets that a model does not have, and invocations that lack one.

    Raises:
        ServiceError: ValidationError.
    """
    if model.multi_model and target is None:
        raise refused("TargetModel is required to invoke a multi-model endpoint.")
    if not model.multi_model and target is not None:
        raise refused("TargetModel can only be specified for a multi-model endpoint.")
    direct = len(model.containers) > 1 and model.mode == "Direct"
    if not direct:
        if container is not None:
            raise refused(
                "TargetContainerHostname can only be specified for an endpoint whose "
                "InferenceExecutionConfig is Direct."
            )
        return
    if container is None:
        raise refused("TargetContainerHostname is required to invoke an endpoint in Direct mode.")
    if container not in (one.hostname for one in model.containers):
        raise refused(f"Container {container} not found for model {model.name}.")


def refused(message: str) -> ServiceError:
    """What the data plane answers to a request it does not take."""
    return ServiceError("ValidationError", message)
