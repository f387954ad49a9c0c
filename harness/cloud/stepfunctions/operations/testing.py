"""TestState."""

from __future__ import annotations

from harness.cloud.service import Request
from harness.cloud.stepfunctions.operations.base import Answer, Operations
from harness.cloud.stepfunctions.trials import run_trial

__all__ = ["TestingOperations"]


class TestingOperations(Operations):
    """States, tried without a state machine."""

    async def test_state(self, request: Request) -> Answer:
        return await run_trial(self.cloud, self.integrations, request.params)
