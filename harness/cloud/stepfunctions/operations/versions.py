"""Versions of state machines."""

from __future__ import annotations

from harness.cloud.service import Request
from harness.cloud.stepfunctions import errors
from harness.cloud.stepfunctions.names import parse_machine_arn
from harness.cloud.stepfunctions.operations.base import Answer, Operations, listed, moment
from harness.cloud.stepfunctions.pagination import page

__all__ = ["VersionOperations"]


class VersionOperations(Operations):
    """PublishStateMachineVersion to DeleteStateMachineVersion."""

    async def publish_state_machine_version(self, request: Request) -> Answer:
        params = request.params
        machine = self.machines.get(params["stateMachineArn"])
        if machine.status == "DELETING":
            raise errors.state_machine_deleting(machine.arn)
        version = machine.versions.publish(
            machine.revision,
            self.cloud.clock.now(),
            params.get("description"),
            expected=params.get("revisionId"),
        )
        return {"stateMachineVersionArn": version.arn, "creationDate": moment(version.created)}

    async def list_state_machine_versions(self, request: Request) -> Answer:
        params = request.params
        machine = self.machines.get(params["stateMachineArn"])
        versions, token = page(
            list(machine.versions),
            scope=f"versions {machine.arn}",
            limit=params.get("maxResults"),
            token=params.get("nextToken"),
            newest_first=True,
            serial=lambda version: version.number,
        )
        items = [
            {"stateMachineVersionArn": version.arn, "creationDate": moment(version.created)}
            for version in versions
        ]
        return listed(items, "stateMachineVersions", token)

    async def delete_state_machine_version(self, request: Request) -> Answer:
        """Deleting one that is not there is no error. Executions of it go on."""
        arn = request.params["stateMachineVersionArn"]
        number = parse_machine_arn(arn).version
        if number is None:
            raise errors.invalid_arn(arn)
        machine = self.machines.find(arn.rpartition(":")[0])
        version = None if machine is None else machine.versions.get(number)
        if machine is None or version is None or version.arn != arn:
            return {}
        names = [alias.name for alias in machine.aliases if alias.leads_to(version)]
        if names:
            raise errors.conflict(
                "Version to be deleted must not be referenced by an alias. Current list of aliases "
                f"referencing this version: [{', '.join(names)}]"
            )
        machine.versions.delete(number)
        return {}
