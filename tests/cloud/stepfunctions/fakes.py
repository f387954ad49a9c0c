"""Hand-written twins of what the Step Functions service works with."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from harness.asl.tasks import JSON, Pattern, Resource, TaskRequest
from harness.clock import Clock, SkippingClock
from harness.cloud.errors import ServiceError
from harness.cloud.events import EventBus
from harness.cloud.faults import NoFaults
from harness.cloud.service import USER, Caller, Request, Service, Storage
from harness.containers.runtime import ContainerRuntime

START = 1_700_000_000.0

Handler = Callable[[dict[str, Any]], Any]


class FakeCloud:
    """A cloud whose services are functions: ``cloud.handlers["sqs.SendMessage"] = lambda params: {...}``.

    Services of ours can be put into `services`. Calls that were made are in `calls`.
    """

    account = "123456789012"
    region = "us-east-1"
    partition = "aws"
    endpoint_url = "http://127.0.0.1:1"

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SkippingClock(START)
        self.events = EventBus(self.clock)
        self.faults = NoFaults()
        self.entropy = random.Random(7)
        self.handlers: dict[str, Handler] = {}
        self.services: dict[str, Service] = {}
        self.calls: list[tuple[str, dict[str, Any], Caller]] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.logged: list[tuple[str, str, list[str]]] = []
        self.images: Mapping[str, Any] = {}

    @property
    def folder(self) -> Path:
        raise AssertionError("not needed here")

    @property
    def storage(self) -> Storage:
        raise AssertionError("not needed here")

    @property
    def containers(self) -> ContainerRuntime:
        raise AssertionError("not needed here")

    def service(self, name: str) -> Service:
        return self.services[name]

    async def call(
        self, service: str, operation: str, params: Mapping[str, Any], *, caller: Caller = USER
    ) -> dict[str, Any]:
        self.calls.append((f"{service}.{operation}", dict(params), caller))
        handler = self.handlers.get(f"{service}.{operation}")
        if handler is not None:
            answer = handler(dict(params))
            return await answer if asyncio.iscoroutine(answer) else answer
        ours = self.services[service]
        method = next(name for name in dir(ours) if name.replace("_", "") == operation.lower())
        return await getattr(ours, method)(Request(operation, dict(params), caller, "request-1"))

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self.tasks.append(task)
        return task

    def identify(self, caller: Caller) -> tuple[str, str]:
        return "AKIDEXAMPLE", "secret"

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def log(self, group: str, stream: str, lines: list[str]) -> None:
        self.logged.append((group, stream, lines))


def refuse(code: str, message: str, status: int = 400) -> Handler:
    """A handler that answers an error."""

    def handler(params: dict[str, Any]) -> Any:
        raise ServiceError(code, message, status=status)

    return handler


class Progress:
    """Notes what a runner reports.

    Attributes:
        parameters: What the scheduled event is to show.
        reported: Everything else, in order.
    """

    def __init__(self) -> None:
        self.parameters: JSON = None
        self.reported: list[Any] = []

    def scheduled(self, parameters: JSON) -> None:
        self.parameters = parameters

    def started(self, worker: str | None = None) -> None:
        self.reported.append("started")

    def submitted(self, output: JSON) -> None:
        self.reported.append(("submitted", output))

    def heartbeat(self) -> None:
        self.reported.append("heartbeat")


EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:machine:run"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:machine"
ROLE = "arn:aws:iam::123456789012:role/machine"


def resource(arn: str) -> Resource:
    """A Resource from its ARN, as the interpreter takes it apart."""
    parts = arn.split(":")
    if parts[2] == "lambda":
        return Resource(arn, "function")
    if parts[5] == "activity":
        return Resource(arn, "activity")
    *service, action = parts[5:]
    pattern: Pattern = "request_response"
    if action == "2":
        action, pattern = service.pop().removesuffix(".sync"), "sync:2"
    elif action.endswith(".sync"):
        action, pattern = action.removesuffix(".sync"), "sync"
    elif action.endswith(".waitForTaskToken"):
        action, pattern = action.removesuffix(".waitForTaskToken"), "waitForTaskToken"
    return Resource(arn, "service", ":".join(service), action, pattern)


def task(arn: str, arguments: JSON, token: str | None = None) -> TaskRequest:
    """One attempt at a Task state."""
    context: dict[str, JSON] = {
        "Execution": {"Id": EXECUTION, "Name": "run", "RoleArn": ROLE},
        "StateMachine": {"Id": MACHINE, "Name": "machine"},
        "State": {"Name": "Work"},
    }
    if token is not None:
        context["Task"] = {"Token": token}
    return TaskRequest(resource(arn), arguments, "Work", context, None, None, 0)
