"""RedriveExecution."""

from __future__ import annotations

from harness.cloud.errors import ServiceError
from harness.cloud.service import Request
from harness.cloud.stepfunctions.map_runs import ChildRecord
from harness.cloud.stepfunctions.operations.base import Answer, Operations, moment
from harness.cloud.stepfunctions.redrive import obstacle

__all__ = ["RedriveOperations"]


class RedriveOperations(Operations):
    """Executions that ended without success, and go on."""

    async def redrive_execution(self, request: Request) -> Answer:
        """The clientToken of the last redrive again is that redrive, and not another one."""
        record = self.executions.get(request.params["executionArn"])
        token = request.params.get("clientToken")
        if isinstance(record, ChildRecord):
            raise ServiceError(
                "ExecutionNotRedrivable",
                "A child workflow execution is redriven with its Map Run: redrive the execution "
                f"{record.run.execution_arn}",
            )
        if token is None or token != record.redrive_token:
            machine = self.machines.find(record.machine_arn)
            reason = obstacle(record, machine, self.cloud.clock.now())
            if machine is None or reason is not None:
                raise ServiceError("ExecutionNotRedrivable", reason or "")
            self.executions.redrive(machine, record, token)
        assert record.redriven is not None
        return {"redriveDate": moment(record.redriven)}
