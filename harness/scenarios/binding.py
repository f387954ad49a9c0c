"""Where a scenario meets a deployed pipeline: what its names stand for there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from harness.errors import ScenarioError
from harness.scenarios.model import ANY_STATES, Data, Scenario
from harness.scenarios.yamlfile import suggestion
from harness.targets.base import Deployment, Machine

__all__ = ["Binding"]

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class Binding:
    """A scenario's names, resolved and checked.

    Raises:
        ScenarioError: The scenario names a machine, state, output or resource that is not deployed.
    """

    def __init__(self, scenario: Scenario, deployment: Deployment) -> None:
        self._scenario = scenario
        self._names = deployment.names
        self.machine = self._machine(deployment.machines)
        self._check_states()
        self._data = [(self._resolve(data.uri, data.place), data) for data in scenario.data]
        self._objects = {
            wanted.uri: self._resolve(wanted.uri, wanted.place) for wanted in scenario.expect.objects
        }

    def data(self) -> Iterator[tuple[str, Data]]:
        """The scenario's data, each with its S3 address."""
        return iter(self._data)

    def objects(self) -> Mapping[str, str]:
        """S3 addresses by what the scenario calls them."""
        return self._objects

    def _fail(self, place: str | None, message: str, hint: str | None) -> NoReturn:
        raise ScenarioError(message, file=self._scenario.file, place=place, hint=hint)

    def _machine(self, machines: Mapping[str, Machine]) -> Machine:
        wanted = self._scenario.machine
        place = self._scenario.places.get("machine")
        known = ", ".join(machines) or "none"
        if wanted is None:
            if len(machines) != 1:
                self._fail(place, "the scenario must say which machine it is for", f"machines: {known}")
            return next(iter(machines.values()))
        if wanted in machines:
            return machines[wanted]
        # A machine may also be called by the name it has in AWS.
        by_name = {machine.arn.rpartition(":")[2]: machine for machine in machines.values()}
        if wanted not in by_name:
            hint = suggestion(wanted, [*machines, *by_name]) or f"machines: {known}"
            self._fail(place, f"no state machine {wanted!r} is deployed", hint)
        return by_name[wanted]

    def _check_states(self) -> None:
        expect, places = self._scenario.expect, self._scenario.places
        known = set(_states(self.machine.definition))
        for key, names in (("expect.path", expect.path or ()), ("expect.retries", tuple(expect.retries))):
            for name in names:
                if name != ANY_STATES and name not in known:
                    hint = suggestion(name, known) or f"states: {', '.join(sorted(known))}"
                    self._fail(places.get(key), f"the machine has no state {name!r}", hint)

    def _resolve(self, uri: str, place: str) -> str:
        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name not in self._names:
                hint = suggestion(name, self._names) or f"known: {', '.join(sorted(self._names))}"
                self._fail(place, f"{{{name}}} is no output, parameter or resource of the deployment", hint)
            return self._names[name]

        return _PLACEHOLDER.sub(value, uri)


def _states(definition: Mapping[str, Any]) -> Iterator[str]:
    """Names of all states, also those inside Map and Parallel states."""
    for name, state in definition.get("States", {}).items():
        yield name
        for nested in (*state.get("Branches", ()), state.get("ItemProcessor"), state.get("Iterator")):
            if nested is not None:
                yield from _states(nested)
