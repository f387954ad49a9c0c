"""Aliases: names for one or two versions of a state machine, between which executions are shared out."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from harness.cloud.errors import ServiceError
from harness.cloud.stepfunctions import errors
from harness.cloud.stepfunctions.names import parse_machine_arn
from harness.cloud.stepfunctions.versions import Version

__all__ = ["Alias", "Aliases", "Route", "parse_routes"]

LIMIT: Final = 100
"""Aliases a state machine can have (API reference, CreateStateMachineAlias)."""


@dataclass(frozen=True)
class Route:
    """A version that an alias leads to.

    Attributes:
        version: The version.
        weight: Percentage of the executions that it gets.
    """

    version: Version
    weight: int


@dataclass
class Alias:
    """An alias.

    Attributes:
        arn: The state machine's ARN and the name.
        name: Unique in the state machine.
        serial: What aliases are listed by.
        routes: One or two; their weights add up to 100.
        description: As given.
        created: Virtual time.
        updated: Virtual time.
    """

    arn: str
    name: str
    serial: int
    routes: Sequence[Route]
    description: str | None
    created: float
    updated: float

    def leads_to(self, version: Version) -> bool:
        """Whether it routes to a version, if only with weight 0."""
        return any(route.version is version for route in self.routes)

    def choose(self, entropy: random.Random) -> Version:
        """The version that the next execution is of."""
        first = self.routes[0]
        if first.weight == 100 or entropy.random() * 100 < first.weight:
            return first.version
        return self.routes[-1].version

    @property
    def main(self) -> Version:
        """The version that gets most executions, the first if both get the same."""
        return max(self.routes, key=lambda route: route.weight).version


class Aliases:
    """The aliases of one state machine.

    Args:
        machine_arn: The state machine's ARN.
    """

    def __init__(self, machine_arn: str) -> None:
        self._machine_arn = machine_arn
        self._by_name: dict[str, Alias] = {}
        self._last = 0

    def __iter__(self) -> Iterator[Alias]:
        """Oldest first."""
        return iter(self._by_name.values())

    def get(self, name: str) -> Alias | None:
        """The alias of a name."""
        return self._by_name.get(name)

    def create(self, name: str, routes: Sequence[Route], description: str | None, now: float) -> Alias:
        """CreateStateMachineAlias: a new alias, or the one there is if it is the same.

        Raises:
            ServiceError: ConflictException, ServiceQuotaExceededException.
        """
        found = self._by_name.get(name)
        if found is not None:
            if (found.routes, found.description) == (routes, description):
                return found
            raise errors.conflict(
                "Failed to create alias because an alias with the same name and a different routing "
                "configuration already exists."
            )
        if len(self._by_name) >= LIMIT:
            raise errors.quota_exceeded(f"The state machine already has the maximum of {LIMIT} aliases")
        self._last += 1
        alias = Alias(f"{self._machine_arn}:{name}", name, self._last, routes, description, now, now)
        self._by_name[name] = alias
        return alias

    def delete(self, name: str) -> None:
        """Delete an alias that is there."""
        del self._by_name[name]


def parse_routes(given: Sequence[Mapping[str, Any]], find: Callable[[str], Version]) -> list[Route]:
    """The routes of a routingConfiguration, all in one state machine.

    Args:
        given: One or two items, as the service model makes sure.
        find: The version of an ARN; raises ResourceNotFound.

    Raises:
        ServiceError: ValidationException, InvalidArn, ResourceNotFound.
    """

    def invalid(why: str) -> ServiceError:
        return errors.validation_failed(why, "INVALID_ROUTING_CONFIGURATION")

    arns = [item["stateMachineVersionArn"] for item in given]
    received = f"Received: [{', '.join(arns)}]"
    if len(set(arns)) < len(arns):
        raise invalid(f"Routing configuration must contain distinct state machine version ARNs. {received}")
    weights = [item["weight"] for item in given]
    if sum(weights) != 100:
        raise invalid(f"Sum of routing configuration weights must equal 100. Received: {weights}")
    parsed = [parse_machine_arn(arn) for arn in arns]
    if any(arn.version is None for arn in parsed):
        raise invalid(f"Routing configuration must contain state machine version ARNs. {received}")
    if len({arn.name for arn in parsed}) > 1:
        raise invalid(f"Routing configuration must contain versions of one state machine. {received}")
    return [Route(find(arn), weight) for arn, weight in zip(arns, weights, strict=True)]
