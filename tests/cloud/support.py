"""A cloud with small services in it, and boto3 clients for it."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import boto3
from botocore.config import Config

from harness import clock
from harness.cloud import Cloud, Request, Service, ServiceError

T = TypeVar("T")


class Machines(Service):
    """Just enough of Step Functions to be asked something."""

    name = "stepfunctions"

    def __init__(self, cloud: Any) -> None:
        super().__init__(cloud)
        self.requests: list[Request] = []
        self.closed = False

    async def describe_state_machine(self, request: Request) -> dict[str, Any]:
        self.requests.append(request)
        arn = request.params["stateMachineArn"]
        if arn.endswith("missing"):
            raise ServiceError("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{arn}'")
        return {
            "stateMachineArn": arn,
            "name": arn.rpartition(":")[2],
            "definition": '{"é": 1}',
            "roleArn": "arn:aws:iam::123456789012:role/r",
            "type": "STANDARD",
            "creationDate": 1_700_000_000.1234,
            "description": None,
        }

    async def start_execution(self, request: Request) -> dict[str, Any]:
        self.requests.append(request)
        return {"executionArn": "arn:e", "startDate": self.cloud.clock.now()}

    async def stop_execution(self, request: Request) -> dict[str, Any]:
        raise KeyError("a mistake in the service")

    async def list_executions(self, request: Request) -> dict[str, Any]:
        return {"executions": [], "surprise": 1}

    async def close(self) -> None:
        self.closed = True


def in_cloud(body: Callable[[Cloud], Coroutine[Any, Any, T]], *services: type[Service], **options: Any) -> T:
    """Run a test body with a cloud that has a port."""

    async def main() -> T:
        async with Cloud(services=services, **options) as cloud:
            return await body(cloud)

    return clock.run(main())


def client(cloud: Cloud, service: str, **options: Any) -> Any:
    """A boto3 client as a user makes one, without retries."""
    options = {
        "endpoint_url": cloud.endpoint_url,
        "region_name": "us-east-1",
        "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "aws_secret_access_key": "secret",
        "config": Config(retries={"total_max_attempts": 1}),
        **options,
    }
    return boto3.session.Session().client(service, **options)


async def blocking(function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """boto3 blocks, and the cloud runs on this loop: call it in a thread."""
    return await asyncio.to_thread(function, *arguments, **options)


def send(
    cloud: Cloud,
    method: str,
    path: str,
    *,
    body: Any = None,
    headers: dict[str, str] | None = None,
    **options: Any,
) -> tuple[int, dict[str, str], bytes]:
    """A plain HTTP request: (status, headers in lower case, body)."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", int(cloud.endpoint_url.rpartition(":")[2]), timeout=20
    )
    try:
        connection.request(method, path, body=body, headers=headers or {}, **options)
        response = connection.getresponse()
        return (
            response.status,
            {name.lower(): value for name, value in response.getheaders()},
            response.read(),
        )
    finally:
        connection.close()
