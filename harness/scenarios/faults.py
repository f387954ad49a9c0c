"""A scenario's faults, at work in a cloud.

Every rule counts the calls or jobs that it matches and fires on the one it names, or on all. A rule that
never fired is not a detail: the run was not the one the scenario tells of, and `ScenarioFaults.unused`
says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Generic, TypeVar

from harness.cloud.errors import ServiceError
from harness.cloud.faults import JobFault
from harness.errors import ScenarioError
from harness.scenarios.model import CallFault, JobRule, Scenario
from harness.scenarios.yamlfile import suggestion

__all__ = ["ScenarioFaults"]

Rule = TypeVar("Rule", CallFault, JobRule)


@dataclass
class _Counter(Generic[Rule]):
    """How often a rule has matched, and how often it has fired."""

    rule: Rule
    matched: int = 0
    fired: int = 0

    def count(self) -> bool:
        """One more match; true when the rule fires on it."""
        self.matched += 1
        fires = self.rule.nth is None or self.rule.nth == self.matched
        self.fired += fires
        return fires


class ScenarioFaults:
    """Answers the cloud's questions (`harness.cloud.faults.Faults`) as a scenario says.

    Args:
        scenario: Whose faults.
        functions: Names of the deployed functions by logical id; a rule may use either.

    Raises:
        ScenarioError: A rule names a function that is not deployed.
    """

    def __init__(self, scenario: Scenario, functions: Mapping[str, str]) -> None:
        self._functions = functions
        self._calls = [_Counter(rule) for rule in scenario.faults if isinstance(rule, CallFault)]
        self._jobs = [_Counter(rule) for rule in scenario.faults if isinstance(rule, JobRule)]
        known = {*functions, *functions.values()}
        for counter in self._calls:
            name = counter.rule.function
            if name is not None and name not in known:
                hint = suggestion(name, known) or f"functions: {', '.join(sorted(functions.values()))}"
                raise ScenarioError(
                    f"no function {name!r} is deployed",
                    file=scenario.file,
                    place=counter.rule.place,
                    hint=hint,
                )

    def call(self, service: str, operation: str, params: Mapping[str, Any]) -> ServiceError | None:
        error = None
        for counter in self._calls:
            rule = counter.rule
            if (rule.service, rule.operation) != (service, operation):
                continue
            if rule.function is not None:
                wanted = self._functions.get(rule.function, rule.function)
                if _function_name(str(params.get("FunctionName", ""))) != wanted:
                    continue
            # Every rule counts every call it matches; the first that fires decides.
            if counter.count() and error is None:
                error = ServiceError(rule.code, rule.message, status=rule.status)
        return error

    def job(self, kind: str, name: str, request: Mapping[str, Any]) -> JobFault | None:
        fault = None
        for counter in self._jobs:
            rule = counter.rule
            if rule.kind != kind or (rule.name is not None and not fnmatchcase(name, rule.name)):
                continue
            if counter.count() and fault is None:
                fails = rule.failure is not None or bool(rule.exit_code)
                fault = JobFault(
                    exit_code=1 if fails and rule.exit_code is None else rule.exit_code,
                    failure=rule.failure,
                    takes=rule.takes or 0.0,
                    run=not fails,
                    interruptions=rule.interruptions,
                )
        return fault

    def unused(self) -> Sequence[tuple[CallFault | JobRule, int]]:
        """The rules that never fired, each with how many calls or jobs it matched."""
        counters: list[_Counter[Any]] = [*self._calls, *self._jobs]
        return [(counter.rule, counter.matched) for counter in counters if not counter.fired]


def _function_name(reference: str) -> str:
    """The name in a function's name, partial ARN or ARN, with or without a qualifier."""
    parts = reference.split(":")
    if "function" in parts[:-1]:
        return parts[parts.index("function") + 1]
    return parts[0]
