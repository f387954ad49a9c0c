"""Definitions: what is wrong with one, beyond what the interpreter can know.

The interpreter checks a definition against the States Language. Whether the services that its Task states
call are there, and take what they are given, is known here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from harness.asl import Diagnostic, InvalidDefinition, StateMachine, load, validate
from harness.asl.diagnostics import SCHEMA_VALIDATION_FAILED, UNSUPPORTED_FEATURE
from harness.asl.task import Task, parse_resource
from harness.asl.tasks import JSON, Resource
from harness.asl.trials.under_test import StateUnderTest, load_state
from harness.cloud.stepfunctions import errors
from harness.cloud.stepfunctions.integrations import Integrations, Refused
from harness.errors import DefinitionError

__all__ = ["MachineType", "check_state", "compile_definition", "compile_state", "diagnose"]

MachineType = Literal["STANDARD", "EXPRESS"]


def compile_definition(text: str, machine_type: MachineType, integrations: Integrations) -> StateMachine:
    """The compiled machine.

    Raises:
        ServiceError: InvalidDefinition, with everything that is wrong.
    """
    try:
        machine = load(text, workflow_type=machine_type)
    except DefinitionError as error:
        raise errors.invalid_definition(_sentence(diagnose(text, machine_type, integrations))) from error
    found = _check_tasks(machine.definition, integrations)
    if found:
        raise errors.invalid_definition(_sentence(found))
    return machine


def diagnose(text: str, machine_type: MachineType, integrations: Integrations) -> list[Diagnostic]:
    """Everything that is wrong with a definition, warnings included."""
    found = list(validate(text, workflow_type=machine_type))
    try:
        definition = json.loads(text)
    except (ValueError, RecursionError):  # found above
        return found
    return found + _check_tasks(definition, integrations)


def compile_state(text: str, name: str | None) -> StateUnderTest | None:
    """One state, as `load_state` has it: the services that it calls are not looked at.

    Raises:
        ServiceError: InvalidDefinition, with everything that is wrong.
    """
    try:
        return load_state(text, name)
    except InvalidDefinition as error:
        raise errors.invalid_definition(_sentence(error.diagnostics)) from error


def check_state(subject: StateUnderTest, integrations: Integrations, *, mocked: bool) -> None:
    """Look at what a state calls, if it is a Task.

    Args:
        subject: The state.
        integrations: Knows the services.
        mocked: Whether the task is not really called, so that it need not be supported here.

    Raises:
        ServiceError: InvalidDefinition, with everything that is wrong.
    """
    if isinstance(subject.state, Task):
        field = "Arguments" if subject.jsonata else "Parameters"
        found = [
            finding
            for finding in _check_task(
                subject.location, subject.state.resource, subject.definition, field, integrations
            )
            if not (mocked and finding.code == UNSUPPORTED_FEATURE)
        ]
        if found:
            raise errors.invalid_definition(_sentence(found))


def _sentence(diagnostics: Iterable[Diagnostic]) -> str:
    return ", ".join(str(diagnostic) for diagnostic in diagnostics if diagnostic.severity == "ERROR")


def _check_tasks(definition: JSON, integrations: Integrations) -> list[Diagnostic]:
    """Findings about the Resource and the Parameters of every Task state.

    Args:
        definition: Anything; what is no state machine has no Task states.
        integrations: Knows the services.
    """
    found: list[Diagnostic] = []
    for path, state in _states(definition):
        text = state.get("Resource")
        resource = parse_resource(text) if state.get("Type") == "Task" and isinstance(text, str) else None
        if resource is not None:
            field = _parameters_field(definition, state)
            found += _check_task(path, resource, state, field, integrations)
    return found


def _check_task(
    path: str, resource: Resource, state: Mapping[str, JSON], field: str, integrations: Integrations
) -> Iterator[Diagnostic]:
    try:
        problems = integrations.check(resource, state.get(field))
    except Refused as error:
        yield Diagnostic("ERROR", error.code, str(error), f"{path}/Resource")
        return
    if resource.kind == "service" and field not in state:
        message = f"{field} field is required for resource ARN: {resource.arn}"
        yield Diagnostic("ERROR", SCHEMA_VALIDATION_FAILED, message, path)
    for problem in problems:
        yield Diagnostic("ERROR", SCHEMA_VALIDATION_FAILED, problem, f"{path}/{field}")


def _parameters_field(definition: Mapping[str, JSON], state: Mapping[str, JSON]) -> str:
    """Where a state has what it gives its task: that depends on its query language."""
    language = state.get("QueryLanguage", definition.get("QueryLanguage", "JSONPath"))
    return "Parameters" if language == "JSONPath" else "Arguments"


def _states(scope: JSON, prefix: str = "") -> Iterator[tuple[str, dict[str, JSON]]]:
    """Every state with its place, such as ``/States/Both/Branches[1]/States/Inner``."""
    states = scope.get("States") if isinstance(scope, dict) else None
    for name, state in states.items() if isinstance(states, dict) else ():
        if not isinstance(state, dict):
            continue
        place = f"{prefix}/States/{name}"
        yield place, state
        branches = state.get("Branches")
        for index, branch in enumerate(branches if isinstance(branches, list) else ()):
            yield from _states(branch, f"{place}/Branches[{index}]")
        for processor in ("ItemProcessor", "Iterator"):
            yield from _states(state.get(processor), f"{place}/{processor}")
