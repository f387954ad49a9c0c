"""What is wrong with a definition, and where: the answer of ValidateStateMachineDefinition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from harness.errors import DefinitionError

__all__ = ["Diagnostic", "InvalidDefinition", "Place"]

Severity = Literal["ERROR", "WARNING"]

DUPLICATE_STATE_NAME = "DUPLICATE_STATE_NAME"
INVALID_JSON_DESCRIPTION = "INVALID_JSON_DESCRIPTION"
INVALID_JSONATA_EXPRESSION = "INVALID_JSONATA_EXPRESSION"
MISSING_END_STATE = "MISSING_END_STATE"
MISSING_TRANSITION_TARGET = "MISSING_TRANSITION_TARGET"
SCHEMA_VALIDATION_FAILED = "SCHEMA_VALIDATION_FAILED"
UNSUPPORTED_FEATURE = "UNSUPPORTED_FEATURE"
UNSUPPORTED_JSONATA_EXPRESSION = "UNSUPPORTED_JSONATA_EXPRESSION"


@dataclass(frozen=True)
class Diagnostic:
    """One finding.

    Attributes:
        severity: ``ERROR`` keeps the definition from being used, ``WARNING`` does not.
        code: As AWS names it, such as ``SCHEMA_VALIDATION_FAILED``; ``UNSUPPORTED_FEATURE`` is ours, for what
            AWS has and this interpreter does not.
        message: As AWS words it.
        location: Pointer into the definition, such as ``/States/Check/Choices[0]/Next``; None when the
            finding is about the whole.
    """

    severity: Severity
    code: str
    message: str
    location: str | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.message} at {self.location if self.location is not None else 'null'}"


MOST_SHOWN = 4
"""Further errors that the message lists: a misspelt Next makes every state after it unreachable."""


class InvalidDefinition(DefinitionError):
    """A state machine definition is malformed, or asks for something that is not supported.

    Attributes:
        diagnostics: All findings, in the order in which they stand in the definition.
    """

    def __init__(self, diagnostics: list[Diagnostic]) -> None:
        errors = [finding for finding in diagnostics if finding.severity == "ERROR"]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        others = [*map(str, errors[1 : 1 + MOST_SHOWN]), *(["..."] if len(errors) > 1 + MOST_SHOWN else [])]
        super().__init__(
            f"{errors[0].code}: {errors[0].message}{more}",
            place=errors[0].location,
            hint="\n  ".join(others) or None,
        )
        self.diagnostics = diagnostics


@dataclass(frozen=True)
class Place:
    """A place in the definition that is being read, where findings can be reported."""

    pointer: str = ""
    findings: list[Diagnostic] = field(default_factory=list)

    def __truediv__(self, name: str) -> Place:
        """The member `name` of the object here."""
        return Place(f"{self.pointer}/{name}", self.findings)

    def item(self, index: int) -> Place:
        """The element `index` of the array here."""
        return Place(f"{self.pointer}[{index}]", self.findings)

    @property
    def location(self) -> str:
        return self.pointer or "/"

    def error(self, message: str, code: str = SCHEMA_VALIDATION_FAILED) -> None:
        self.findings.append(Diagnostic("ERROR", code, message, self.location))

    def warn(self, message: str, code: str = SCHEMA_VALIDATION_FAILED) -> None:
        self.findings.append(Diagnostic("WARNING", code, message, self.location))

    def error_without_place(self, message: str, code: str) -> None:
        self.findings.append(Diagnostic("ERROR", code, message))
