"""Task tokens: what a worker sends back."""

from __future__ import annotations

from harness.cloud.service import Request
from harness.cloud.stepfunctions.operations.base import Answer, Operations

__all__ = ["TokenOperations"]


class TokenOperations(Operations):
    """SendTaskSuccess, SendTaskFailure and SendTaskHeartbeat."""

    async def send_task_success(self, request: Request) -> Answer:
        self.tokens.succeed(request.params["taskToken"], request.params["output"])
        return {}

    async def send_task_failure(self, request: Request) -> Answer:
        params = request.params
        self.tokens.fail(params["taskToken"], params.get("error", ""), params.get("cause", ""))
        return {}

    async def send_task_heartbeat(self, request: Request) -> Answer:
        self.tokens.heartbeat(request.params["taskToken"])
        return {}
