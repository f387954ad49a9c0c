"""State machines."""

from __future__ import annotations

from harness.cloud.service import Request
from harness.cloud.stepfunctions.names import machine_name
from harness.cloud.stepfunctions.operations.base import Answer, Operations, listed, moment, without_data
from harness.cloud.stepfunctions.pagination import page

__all__ = ["MachineOperations"]


class MachineOperations(Operations):
    """CreateStateMachine to DeleteStateMachine."""

    async def create_state_machine(self, request: Request) -> Answer:
        machine = self.machines.create(request.params)
        return {"stateMachineArn": machine.arn, "creationDate": moment(machine.created)}

    async def update_state_machine(self, request: Request) -> Answer:
        revision = self.machines.update(request.params).revision
        return {"updateDate": moment(revision.updated), "revisionId": revision.id}

    async def describe_state_machine(self, request: Request) -> Answer:
        machine = self.machines.get(request.params["stateMachineArn"])
        revision = machine.revision
        answer: Answer = {
            "stateMachineArn": machine.arn,
            "name": machine.name,
            "status": machine.status,
            "definition": revision.definition,
            "roleArn": revision.role_arn,
            "type": machine.type,
            "creationDate": moment(machine.created),
            "loggingConfiguration": revision.logging,
            "tracingConfiguration": revision.tracing,
            "encryptionConfiguration": revision.encryption,
        }
        if revision.id:
            answer["revisionId"] = revision.id
        return without_data(answer, request, "definition")

    async def list_state_machines(self, request: Request) -> Answer:
        machines, token = page(
            list(self.machines),
            scope="state machines",
            limit=request.params.get("maxResults"),
            token=request.params.get("nextToken"),
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
        name = machine_name(request.params["stateMachineArn"])
        for machine in list(self.machines):
            if machine.name == name and machine.arn == request.params["stateMachineArn"]:
                machine.status = "DELETING"
                for record in list(machine.running.values()):
                    self.cloud.spawn(self.executions.stop(record), f"stop execution {record.name}")
                self.forget_deleted(machine)
        return {}
