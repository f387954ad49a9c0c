"""Aliases of state machine versions."""

from __future__ import annotations

from harness.cloud.errors import ServiceError
from harness.cloud.service import Request
from harness.cloud.stepfunctions import errors
from harness.cloud.stepfunctions.aliases import Alias, parse_routes
from harness.cloud.stepfunctions.machines import Machine
from harness.cloud.stepfunctions.names import parse_machine_arn
from harness.cloud.stepfunctions.operations.base import Answer, Operations, listed, moment
from harness.cloud.stepfunctions.pagination import page
from harness.cloud.stepfunctions.versions import Version

__all__ = ["AliasOperations"]


class AliasOperations(Operations):
    """CreateStateMachineAlias to DeleteStateMachineAlias."""

    def _version(self, arn: str) -> Version:
        try:
            version = self.machines.resolve(arn).version
        except ServiceError as error:
            if error.code != "StateMachineDoesNotExist":
                raise
            version = None
        if version is None:
            raise errors.resource_not_found(arn)
        return version

    def _alias(self, arn: str) -> tuple[Machine, Alias]:
        if parse_machine_arn(arn).alias is None:
            raise errors.invalid_arn(arn)
        try:
            reference = self.machines.resolve(arn)
        except ServiceError as error:
            raise errors.resource_not_found(arn) from error
        assert reference.alias is not None
        return reference.machine, reference.alias

    async def create_state_machine_alias(self, request: Request) -> Answer:
        params = request.params
        name = params["name"]
        routes = parse_routes(params["routingConfiguration"], self._version)
        machine = self.machines.get(routes[0].version.machine_arn)
        if machine.status == "DELETING":
            raise errors.state_machine_deleting(machine.arn)
        alias = machine.aliases.create(name, routes, params.get("description"), self.cloud.clock.now())
        return {"stateMachineAliasArn": alias.arn, "creationDate": moment(alias.created)}

    async def update_state_machine_alias(self, request: Request) -> Answer:
        params = request.params
        machine, alias = self._alias(params["stateMachineAliasArn"])
        if machine.status == "DELETING":
            raise errors.state_machine_deleting(machine.arn)
        if not params.keys() & {"description", "routingConfiguration"}:
            raise errors.validation_failed(
                "Either the description or the routing configuration must be specified",
                "MISSING_REQUIRED_PARAMETER",
            )
        if "routingConfiguration" in params:
            routes = parse_routes(params["routingConfiguration"], self._version)
            if routes[0].version.machine_arn != machine.arn:
                raise errors.validation_failed(
                    f"Routing configuration must contain versions of the state machine '{machine.arn}'",
                    "INVALID_ROUTING_CONFIGURATION",
                )
            alias.routes = routes
        if "description" in params:
            alias.description = params["description"]
        alias.updated = self.cloud.clock.now()
        return {"updateDate": moment(alias.updated)}

    async def describe_state_machine_alias(self, request: Request) -> Answer:
        _, alias = self._alias(request.params["stateMachineAliasArn"])
        answer: Answer = {
            "stateMachineAliasArn": alias.arn,
            "name": alias.name,
            "routingConfiguration": [
                {"stateMachineVersionArn": route.version.arn, "weight": route.weight}
                for route in alias.routes
            ],
            "creationDate": moment(alias.created),
            "updateDate": moment(alias.updated),
        }
        if alias.description is not None:
            answer["description"] = alias.description
        return answer

    async def list_state_machine_aliases(self, request: Request) -> Answer:
        """Of a state machine, or those that lead to one version."""
        params = request.params
        arn = params["stateMachineArn"]
        reference = self.machines.resolve(arn)
        if reference.alias is not None:
            raise errors.invalid_arn(arn)
        version = reference.version
        aliases, token = page(
            list(reference.machine.aliases),
            scope=f"aliases {arn}",
            limit=params.get("maxResults"),
            token=params.get("nextToken"),
            newest_first=True,
            keep=lambda alias: version is None or alias.leads_to(version),
            serial=lambda alias: alias.serial,
        )
        items = [
            {"stateMachineAliasArn": alias.arn, "creationDate": moment(alias.created)} for alias in aliases
        ]
        return listed(items, "stateMachineAliases", token)

    async def delete_state_machine_alias(self, request: Request) -> Answer:
        machine, alias = self._alias(request.params["stateMachineAliasArn"])
        machine.aliases.delete(alias.name)
        return {}
