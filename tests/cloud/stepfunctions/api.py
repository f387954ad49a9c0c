"""The Step Functions service over a fake cloud, as tests talk to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from harness.clock import Clock
from harness.cloud.errors import ServiceError
from harness.cloud.stepfunctions import StepFunctions

from .fakes import ROLE, FakeCloud

DONE = json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}})


class Api:
    """The service over a fake cloud; every operation is a coroutine: ``await api.start_execution(...)``."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.cloud = FakeCloud(clock)
        self.service = StepFunctions(self.cloud)
        self.cloud.services["stepfunctions"] = self.service

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        async def call(**params: Any) -> dict[str, Any]:
            return await self.cloud.call("stepfunctions", operation.replace("_", ""), params)

        return call

    async def machine(self, definition: str = DONE, **more: Any) -> str:
        params = {"name": "machine", "definition": definition, "roleArn": ROLE, **more}
        return (await self.create_state_machine(**params))["stateMachineArn"]

    async def refusal(self, operation: str, **params: Any) -> tuple[str, str]:
        """Code and message of the error that a call gets."""
        with pytest.raises(ServiceError) as caught:
            await getattr(self, operation)(**params)
        return caught.value.code, caught.value.message

    async def start(self, arn: str, **more: Any) -> str:
        return (await self.start_execution(stateMachineArn=arn, **more))["executionArn"]

    async def finished(self, arn: str) -> dict[str, Any]:
        """The description of an execution that has ended."""
        return await self.service.wait_for_execution(arn)

    async def history(self, arn: str, **more: Any) -> list[dict[str, Any]]:
        return (await self.get_execution_history(executionArn=arn, **more))["events"]
