"""SageMaker Runtime: InvokeEndpoint."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.api import SageMaker
from harness.cloud.sagemaker.endpoints import Endpoint, Endpoints
from harness.cloud.sagemaker.http import Response
from harness.cloud.sagemaker.variants import Variant
from harness.cloud.service import CloudContext, Request, Service

__all__ = ["SageMakerRuntime"]

INVOCATION_TIMEOUT = 60.0
"""Real seconds: a real container answers."""

MESSAGE_LIMIT = 2048
SUPPORTED = frozenset(
    (
        *("EndpointName", "Body", "ContentType", "Accept", "CustomAttributes"),
        *("TargetVariant", "InferenceId"),
    )
)
FORWARDED = {
    "ContentType": "Content-Type",
    "Accept": "Accept",
    "CustomAttributes": "X-Amzn-SageMaker-Custom-Attributes",
    "InferenceId": "X-Amzn-SageMaker-Inference-Id",
}


class SageMakerRuntime(Service):
    """The data plane: it invokes what `SageMaker` has brought up.

    Args:
        cloud: The cloud it belongs to.
        timeout: Real seconds a container has to answer.
    """

    name = "sagemaker-runtime"

    def __init__(self, cloud: CloudContext, *, timeout: float = INVOCATION_TIMEOUT) -> None:
        super().__init__(cloud)
        self._timeout = timeout

    @cached_property
    def _endpoints(self) -> Endpoints:
        service = self.cloud.service("sagemaker")
        assert isinstance(service, SageMaker)  # by its name
        return service.endpoints

    async def invoke_endpoint(self, request: Request) -> dict[str, Any]:
        """InvokeEndpoint.

        Raises:
            ServiceError: ValidationError, ModelError.
        """
        params = request.params
        for member in params.keys() - SUPPORTED:
            raise _refused(f"harness does not support {member} yet.")
        name = params["EndpointName"]
        endpoint = self._endpoints.serving(name)
        if endpoint is None:
            raise _refused(f"Endpoint {name} of account {self.cloud.account} not found.")
        variant = self._variant(endpoint, params.get("TargetVariant"))
        headers = {
            header: params[member] for member, header in FORWARDED.items() if params.get(member) is not None
        }
        for value in headers.values():
            if "\r" in value or "\n" in value:
                raise _refused("A header must not contain a line break.")
        body = params.get("Body", b"")
        body = body if isinstance(body, bytes) else body.read()
        with self.cloud.clock.work("call"):
            response = await self._ask(endpoint, variant, body, headers)
        if not 200 <= response.status < 300:
            raise self._model_error(
                endpoint, variant, response.status, response.body.decode(errors="replace")
            )
        answer: dict[str, Any] = {"Body": response.body, "InvokedProductionVariant": variant.name}
        if "content-type" in response.headers:
            answer["ContentType"] = response.headers["content-type"]
        if "x-amzn-sagemaker-custom-attributes" in response.headers:
            answer["CustomAttributes"] = response.headers["x-amzn-sagemaker-custom-attributes"]
        return answer

    def _variant(self, endpoint: Endpoint, target: str | None) -> Variant:
        assert endpoint.fleet is not None  # it serves
        if target is not None:
            variant = endpoint.fleet.variants.get(target)
            if variant is None:
                raise _refused(f"Variant {target} not found for endpoint {endpoint.name}.")
            return variant
        variant = endpoint.fleet.choose(self.cloud.entropy.random)
        if variant is None:
            raise _refused(f"No variant of endpoint {endpoint.name} has a weight greater than 0.")
        return variant

    async def _ask(
        self, endpoint: Endpoint, variant: Variant, body: bytes, headers: dict[str, str]
    ) -> Response:
        server = variant.server()
        try:
            if server is None:
                raise ConnectionError
            return await server.invoke(body, headers, timeout=self._timeout)
        except TimeoutError:
            raise self._model_error(
                endpoint,
                variant,
                0,
                f"Your invocation timed out while waiting for a response from container "
                f"{variant.model.hostname}. Review the latency metrics for each container in Amazon "
                "CloudWatch, resolve the issue, and try again.",
            ) from None
        except ConnectionError:
            raise self._model_error(
                endpoint,
                variant,
                0,
                "An error occurred while handling request as the model process exited.",
            ) from None

    def _model_error(self, endpoint: Endpoint, variant: Variant, status: int, text: str) -> ServiceError:
        cloud = self.cloud
        group = f"/aws/sagemaker/Endpoints/{endpoint.name}"
        kind = "client" if 400 <= status < 500 else "server"
        message = (
            f'Received {kind} error ({status}) from {variant.model.hostname} with message "{{}}". See '
            f"https://{cloud.region}.console.aws.amazon.com/cloudwatch/home?region={cloud.region}"
            f"#logEventViewer:group={group} in account {cloud.account} for more information."
        )
        room = MESSAGE_LIMIT - len(message) + len("{}")
        return ServiceError(
            "ModelError",
            message.replace("{}", text[:room], 1),
            status=424,
            fields={
                "OriginalStatusCode": status,
                "OriginalMessage": text[:MESSAGE_LIMIT],
                "LogStreamArn": cloud.arn("logs", f"log-group:{group}"),
            },
        )


def _refused(message: str) -> ServiceError:
    return ServiceError("ValidationError", message)
