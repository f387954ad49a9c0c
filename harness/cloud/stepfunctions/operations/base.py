"""What all operations share: what the service keeps, and how answers are put together."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from harness.cloud.service import CloudContext, Request, Service
from harness.cloud.stepfunctions.activities import Activities
from harness.cloud.stepfunctions.executions import Executions
from harness.cloud.stepfunctions.integrations import Integrations
from harness.cloud.stepfunctions.machines import Machine, Machines
from harness.cloud.stepfunctions.map_runs import MapRuns
from harness.cloud.stepfunctions.tokens import TaskTokens

__all__ = ["EXECUTION_DATA", "Answer", "Operations", "listed", "moment", "without_data", "without_definition"]

Answer = dict[str, Any]

EXECUTION_DATA: Final = ("input", "inputDetails", "output", "outputDetails", "error", "cause")
"""What includedData METADATA_ONLY leaves out of an execution."""


class Operations(Service):
    """What there is in this cloud's Step Functions.

    Attributes:
        machines: State machines.
        executions: Their executions.
        map_runs: The Map Runs of these, and child executions.
        integrations: Does the work of Task states.
        tokens: The tasks that wait for a callback.
        activities: Activities, and the tasks that workers do.
    """

    def __init__(self, cloud: CloudContext) -> None:
        super().__init__(cloud)
        self.tokens = TaskTokens()
        self.activities = Activities(cloud, self.tokens)
        self.integrations = Integrations(cloud, self.tokens, self.activities, self.wait_for_execution)
        self.machines = Machines(cloud, self.integrations)
        self.map_runs = MapRuns(cloud)
        self.executions = Executions(cloud, self.integrations, self.map_runs, self.forget_deleted)

    async def wait_for_execution(self, arn: str) -> Answer:
        """What DescribeExecution answers once the execution has ended. Not an operation of the API.

        Raises:
            ServiceError: InvalidArn, ExecutionDoesNotExist.
        """
        raise NotImplementedError

    def forget_deleted(self, machine: Machine) -> None:
        """Let go of a deleted machine once its last execution has ended."""
        if machine.status == "DELETING" and not machine.running:
            self.machines.remove(machine)


def moment(seconds: float) -> datetime:
    """A virtual time as the wire carries it."""
    return datetime.fromtimestamp(seconds, UTC)


def listed(items: list[Answer], key: str, token: str | None) -> Answer:
    """One page of a list."""
    return {key: items, "nextToken": token} if token else {key: items}


def without_data(answer: Answer, request: Request, *members: str) -> Answer:
    """The answer, or for includedData METADATA_ONLY what is left without the data."""
    if request.params.get("includedData") == "METADATA_ONLY":
        for member in members:
            answer.pop(member, None)
    return answer


def without_definition(answer: Answer, request: Request) -> Answer:
    """The answer, for includedData METADATA_ONLY with ``{}`` for the definition (DescribeStateMachine)."""
    if request.params.get("includedData") == "METADATA_ONLY":
        answer["definition"] = "{}"
    return answer
