"""State machines."""

from __future__ import annotations

from harness.asl.references import variable_references
from harness.cloud.service import Request
from harness.cloud.stepfunctions import errors
from harness.cloud.stepfunctions.logs import check_log_group
from harness.cloud.stepfunctions.machines import Machine
from harness.cloud.stepfunctions.names import parse_machine_arn
from harness.cloud.stepfunctions.operations.base import Answer, Operations, listed, moment, without_definition
from harness.cloud.stepfunctions.pagination import page
from harness.cloud.stepfunctions.settings import logging_of

__all__ = ["MachineOperations"]


class MachineOperations(Operations):
    """CreateStateMachine to DeleteStateMachine."""

    async def create_state_machine(self, request: Request) -> Answer:
        params = request.params
        await check_log_group(self.cloud, logging_of(params))
        machine = self.machines.create(params)
        answer = {"stateMachineArn": machine.arn, "creationDate": moment(machine.created)}
        return _with_version(answer, machine, request)

    async def update_state_machine(self, request: Request) -> Answer:
        params = request.params
        await check_log_group(self.cloud, logging_of(params))
        machine = self.machines.update(params)
        answer: Answer = {"updateDate": moment(self.cloud.clock.now())}
        if machine.revision.id:
            answer["revisionId"] = machine.revision.id
        return _with_version(answer, machine, request)

    async def describe_state_machine(self, request: Request) -> Answer:
        """By the ARN of the state machine, of a version, or of an alias, which shows its main version."""
        arn = request.params["stateMachineArn"]
        reference = self.machines.resolve(arn)
        machine, version, revision = reference.machine, reference.version, reference.revision
        answer: Answer = {
            "stateMachineArn": arn,
            "name": machine.name,
            "status": machine.status,
            "definition": revision.definition,
            "roleArn": revision.role_arn,
            "type": machine.type,
            "creationDate": moment(machine.created if version is None else version.created),
            "loggingConfiguration": revision.logging,
            "tracingConfiguration": revision.tracing,
            "encryptionConfiguration": revision.encryption,
        }
        if revision.id:
            answer["revisionId"] = revision.id
        if version is not None and version.description is not None:
            answer["description"] = version.description
        if references := variable_references(revision.machine.definition):
            answer["variableReferences"] = references
        return without_definition(answer, request)

    async def list_state_machines(self, request: Request) -> Answer:
        machines, token = page(
            list(self.machines),
            scope="state machines",
            limit=request.params.get("maxResults"),
            token=request.params.get("nextToken"),
            serial=lambda machine: machine.serial,
        )
        items = [
            {
                "stateMachineArn": machine.arn,
                "name": machine.name,
                "type": machine.type,
                "creationDate": moment(machine.created),
            }
            for machine in machines
        ]
        return listed(items, "stateMachines", token)

    async def delete_state_machine(self, request: Request) -> Answer:
        """Deleting one that is not there is no error. Its executions are stopped, and then it is gone.

        AWS lets an execution go on until its next transition; here it ends at once.
        """
        arn = request.params["stateMachineArn"]
        if parse_machine_arn(arn).qualified:
            raise errors.invalid_arn(arn)
        machine = self.machines.find(arn)
        if machine is not None:
            machine.status = "DELETING"
            for record in list(machine.running.values()):
                self.cloud.spawn(self.executions.stop(record), f"stop execution {record.name}")
            self.forget_deleted(machine)
        return {}


def _with_version(answer: Answer, machine: Machine, request: Request) -> Answer:
    """The answer, with the version that a request published."""
    version = machine.versions.of(machine.revision) if request.params.get("publish") else None
    if version is not None:
        answer["stateMachineVersionArn"] = version.arn
    return answer
