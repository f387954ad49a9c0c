"""The Step Functions API."""

from __future__ import annotations

from harness.cloud.stepfunctions.operations.executions import ExecutionOperations
from harness.cloud.stepfunctions.operations.machines import MachineOperations
from harness.cloud.stepfunctions.operations.redrive import RedriveOperations
from harness.cloud.stepfunctions.operations.tags import TagOperations
from harness.cloud.stepfunctions.operations.tokens import TokenOperations
from harness.cloud.stepfunctions.operations.validation import ValidationOperations

__all__ = ["StepFunctions"]


class StepFunctions(
    ExecutionOperations,
    MachineOperations,
    RedriveOperations,
    TagOperations,
    TokenOperations,
    ValidationOperations,
):
    """AWS Step Functions. The gateway refuses operations that have no method here."""

    name = "stepfunctions"

    async def close(self) -> None:
        self.integrations.close()
