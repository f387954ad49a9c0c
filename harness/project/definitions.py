"""State machine definitions: their substitutions, and what is wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from harness.errors import DefinitionError, UnsupportedError

__all__ = ["check_definition", "read_definition", "substitute"]

_VARIABLE = re.compile(r"\$\{([A-Za-z0-9_.-]+)\}")


def read_definition(file: Path) -> str:
    """The text of a definition.

    Raises:
        DefinitionError: The file is missing or unreadable.
        UnsupportedError: It is not JSON but YAML.
    """
    if file.suffix in (".yaml", ".yml"):
        raise UnsupportedError("definitions in YAML are not supported", file=file, hint="write it as JSON")
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DefinitionError(
            "there is no such file", file=file, hint="the template's DefinitionUri names it"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"cannot be read: {error}", file=file) from error


def substitute(definition: str, substitutions: Mapping[str, Any]) -> str:
    """Do what DefinitionSubstitutions say; ``${Name}`` that they do not mention stays as it is."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in substitutions:
            return match[0]
        replacement = substitutions[name]
        if isinstance(replacement, bool):
            return "true" if replacement else "false"
        return str(replacement)

    return _VARIABLE.sub(value, definition)


def check_definition(
    file: Path, text: str, substitutions: Mapping[str, Any], workflow_type: Literal["STANDARD", "EXPRESS"]
) -> None:
    """Refuse a definition that Step Functions, or the local interpreter, would refuse.

    Args:
        file: Where it comes from, for messages.
        text: The definition as written.
        substitutions: What its variables stand for.
        workflow_type: What kind of state machine it is for.

    Raises:
        DefinitionError: It is not JSON, not a valid definition, or has variables without a substitution.
        UnsupportedError: It is valid, but has something the interpreter does not support.
    """
    from harness.asl import load  # costs time that an unchanged project does not spend

    for number, line in enumerate(text.splitlines(), start=1):
        for name in _VARIABLE.findall(line):
            if name not in substitutions:
                raise DefinitionError(
                    f"nothing is substituted for ${{{name}}}",
                    file=file,
                    place=f"line {number}",
                    hint=f"DefinitionSubstitutions have: {', '.join(substitutions) or 'nothing'}",
                )
    substituted = substitute(text, substitutions)
    try:
        document = json.loads(substituted)
    except json.JSONDecodeError as error:
        # Substitution moves columns, never lines; without variables in the line the column holds as well.
        plain = error.lineno <= len(text.splitlines()) and "${" not in text.splitlines()[error.lineno - 1]
        place = f"line {error.lineno}, column {error.colno}" if plain else f"line {error.lineno}"
        raise DefinitionError(f"not JSON: {error.msg}", file=file, place=place) from error
    try:
        load(document, workflow_type=workflow_type)
    except (DefinitionError, UnsupportedError) as error:
        if error.file is None:
            error.file = file
        raise
