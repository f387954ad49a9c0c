"""``states:startExecution``: an execution that starts another one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from harness.asl.tasks import JSON, TaskError, TaskRequest
from harness.asl.values import json_text
from harness.cloud.errors import ServiceError
from harness.cloud.service import CloudContext
from harness.cloud.stepfunctions.integrations.base import Later, Params, caller_of
from harness.cloud.stepfunctions.integrations.messaging import OptimizedCall
from harness.cloud.stepfunctions.integrations.shapes import Api

__all__ = ["Finished", "StartExecution"]

Finished = Callable[[str], Awaitable[dict[str, Any]]]
"""Waits until the execution of an ARN has ended; answers its description."""


class StartExecution(OptimizedCall):
    """Starts an execution; with ``.sync`` or ``.sync:2`` waits for its end, and stops it when cancelled.

    Args:
        finished: Waits for an execution.
        later: Runs what is to happen after a task was cancelled.
    """

    def __init__(self, cloud: CloudContext, finished: Finished, later: Later) -> None:
        super().__init__(
            cloud,
            "stepfunctions",
            "StartExecution",
            label="StepFunctions",
            client="AWSStepFunctions",
            patterns=("request_response", "sync", "sync:2", "waitForTaskToken"),
            fields=("stateMachineArn", "name", "input"),
        )
        self._finished = finished
        self._later = later
        self._description = Api("stepfunctions", "DescribeExecution")

    async def finish(self, request: TaskRequest, params: Params, submitted: JSON) -> JSON:
        arn = submitted["ExecutionArn"]
        try:
            response = await self._finished(arn)
        except ServiceError as error:  # an Express execution cannot be asked about
            raise self.failure(error, "run") from error
        except asyncio.CancelledError:
            self._later(self._stop(arn, request), f"stop {arn}")
            raise
        description = self.dialect.to_json(self._description, response)
        if description["Status"] != "SUCCEEDED":
            raise TaskError("States.TaskFailed", json_text(description))
        if request.resource.pattern == "sync:2":
            for member in ("Input", "Output"):
                description[member] = json.loads(description[member])
        return description

    async def _stop(self, arn: str, request: TaskRequest) -> None:
        try:
            await self.cloud.call(
                "stepfunctions", "StopExecution", {"executionArn": arn}, caller=caller_of(request)
            )
        except ServiceError as error:
            self.cloud.events.publish(
                "warning", arn, message=f"could not be stopped with its parent: {error}"
            )
