"""State machines: loading and validating definitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.asl.compiler import Compiler
from harness.asl.diagnostics import INVALID_JSON_DESCRIPTION, Diagnostic, InvalidDefinition, Place
from harness.asl.schema import Language
from harness.asl.state import State
from harness.asl.tasks import JSON
from harness.asl.values import parse_json

__all__ = ["StateMachine", "WorkflowType", "load", "parse", "validate"]

WorkflowType = Literal["STANDARD", "EXPRESS"]


@dataclass(frozen=True)
class StateMachine:
    """A compiled definition; it can be run any number of times, also concurrently.

    Attributes:
        definition: The definition it was made from. Not to be changed.
        workflow_type: ``STANDARD`` or ``EXPRESS``.
        start: The first state.
        timeout: TimeoutSeconds; None for no limit.
        query_language: Of the machine; a state may have another.
        warnings: Findings that did not keep it from being loaded.
    """

    definition: Mapping[str, JSON]
    workflow_type: WorkflowType
    start: State
    timeout: float | None
    query_language: Language
    warnings: tuple[Diagnostic, ...]


def load(definition: str | Mapping[str, JSON], *, workflow_type: WorkflowType = "STANDARD") -> StateMachine:
    """Compile a definition.

    Args:
        definition: JSON text, or what is parsed from it.
        workflow_type: ``STANDARD`` or ``EXPRESS``.

    Raises:
        InvalidDefinition: It is malformed or not supported.
    """
    machine, findings = _compile(definition, workflow_type)
    if machine is None:
        raise InvalidDefinition(findings)
    return machine


def validate(
    definition: str | Mapping[str, JSON], *, workflow_type: WorkflowType = "STANDARD"
) -> list[Diagnostic]:
    """All findings about a definition, in the order in which they stand in it; none if it is fine."""
    return _compile(definition, workflow_type)[1]


def _compile(
    definition: str | Mapping[str, JSON], workflow_type: WorkflowType
) -> tuple[StateMachine | None, list[Diagnostic]]:
    place = Place()
    try:
        value = parse(definition) if isinstance(definition, str) else definition
    except InvalidDefinition as error:
        return None, error.diagnostics
    compiler = Compiler(express=workflow_type == "EXPRESS")
    try:
        start = compiler.compile(dict(value), place)
    except RecursionError:
        place.error("The definition is nested too deeply")
        start = None
    findings = place.findings
    if start is None or any(finding.severity == "ERROR" for finding in findings):
        return None, findings
    machine = StateMachine(
        value,
        workflow_type,
        start,
        compiler.timeout,
        compiler.language,
        tuple(findings),
    )
    return machine, findings


def parse(text: str) -> dict[str, JSON]:
    """The JSON object that a text is. It is read strictly: no member twice, no NaN.

    Raises:
        InvalidDefinition: It is none.
    """
    try:
        value = _read(text)
    except ValueError as error:
        raise _no_json(str(error)) from error
    except RecursionError:
        raise _no_json("The text is nested too deeply") from None
    if not isinstance(value, dict):
        raise _no_json("The definition must be a JSON object")
    return value


def _no_json(why: str) -> InvalidDefinition:
    return InvalidDefinition([Diagnostic("ERROR", INVALID_JSON_DESCRIPTION, why)])


def _read(text: str) -> JSON:
    def members(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
        result: dict[str, JSON] = {}
        for name, value in pairs:
            if name in result:
                raise ValueError(f"Duplicate field '{name}'")
            result[name] = value
        return result

    return parse_json(text, members)
