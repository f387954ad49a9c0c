"""Definitions: what is wrong with one, beyond what the interpreter can know.

The interpreter checks a definition against the States Language. Whether the services that its Task states
call are there, and take what they are given, is known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from harness.asl import Diagnostic, StateMachine, load, validate
from harness.asl.diagnostics import SCHEMA_VALIDATION_FAILED
from harness.asl.tasks import JSON
from harness.cloud.stepfunctions import errors
from harness.cloud.stepfunctions.integrations import Integrations, Refused
from harness.errors import DefinitionError

__all__ = ["MachineType", "compile_definition", "diagnose"]

MachineType = Literal["STANDARD", "EXPRESS"]


def compile_definition(text: str, machine_type: MachineType, integrations: Integrations) -> StateMachine:
    """The compiled machine.

    Raises:
        ServiceError: InvalidDefinition, with everything that is wrong.
    """
    try:
        machine = load(text, workflow_type=machine_type)
    except DefinitionError as error:
        found = validate(text, workflow_type=machine_type)
        raise errors.invalid_definition(_sentence(found)) from error
    found = _check_tasks(machine, integrations)
    if found:
        raise errors.invalid_definition(_sentence(found))
    return machine


def diagnose(text: str, machine_type: MachineType, integrations: Integrations) -> list[Diagnostic]:
    """Everything that is wrong with a definition, warnings included."""
    found = list(validate(text, workflow_type=machine_type))
    if any(diagnostic.severity == "ERROR" for diagnostic in found):
        return found
    machine = load(text, workflow_type=machine_type)
    return found + _check_tasks(machine, integrations)


def _sentence(diagnostics: Iterable[Diagnostic]) -> str:
    return ", ".join(str(diagnostic) for diagnostic in diagnostics if diagnostic.severity == "ERROR")


def _check_tasks(machine: StateMachine, integrations: Integrations) -> list[Diagnostic]:
    """Findings about the Resource and the Parameters of every Task state."""
    found: list[Diagnostic] = []
    states = dict(_states(machine.definition))
    for path, resource in machine.resources():
        state = states[path]
        field = "Arguments" if "Arguments" in state else "Parameters"
        try:
            problems = integrations.check(resource, state.get(field))
        except Refused as error:
            found.append(Diagnostic("ERROR", error.code, str(error), f"{path}/Resource"))
        else:
            found += [
                Diagnostic("ERROR", SCHEMA_VALIDATION_FAILED, problem, f"{path}/{field}")
                for problem in problems
            ]
    return found


def _states(scope: JSON, prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every state with its place, such as ``/States/Both/Branches[1]/States/Inner``."""
    for name, state in scope["States"].items():
        place = f"{prefix}/States/{name}"
        yield place, state
        for index, branch in enumerate(state.get("Branches", ())):
            yield from _states(branch, f"{place}/Branches[{index}]")
        for processor in ("ItemProcessor", "Iterator"):
            if processor in state:
                yield from _states(state[processor], f"{place}/{processor}")
