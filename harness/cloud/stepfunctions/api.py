"""The Step Functions API."""

from __future__ import annotations

from harness.cloud.stepfunctions.operations.activities import ActivityOperations
from harness.cloud.stepfunctions.operations.aliases import AliasOperations
from harness.cloud.stepfunctions.operations.executions import ExecutionOperations
from harness.cloud.stepfunctions.operations.machines import MachineOperations
from harness.cloud.stepfunctions.operations.map_runs import MapRunOperations
from harness.cloud.stepfunctions.operations.redrive import RedriveOperations
from harness.cloud.stepfunctions.operations.tags import TagOperations
from harness.cloud.stepfunctions.operations.testing import TestingOperations
from harness.cloud.stepfunctions.operations.tokens import TokenOperations
from harness.cloud.stepfunctions.operations.validation import ValidationOperations
from harness.cloud.stepfunctions.operations.versions import VersionOperations

__all__ = ["StepFunctions"]


class StepFunctions(
    ActivityOperations,
    AliasOperations,
    ExecutionOperations,
    MachineOperations,
    MapRunOperations,
    RedriveOperations,
    TagOperations,
    TestingOperations,
    TokenOperations,
    ValidationOperations,
    VersionOperations,
):
    """AWS Step Functions. The gateway refuses operations that have no method here."""

    name = "stepfunctions"

    async def close(self) -> None:
        self.integrations.close()
        self.map_runs.close()
