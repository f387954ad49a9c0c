"""Values for a template's parameters, checked as CloudFormation checks them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import TemplateError, UnsupportedError
from harness.project.settings import nearest

__all__ = ["parameter_values"]


def parameter_values(
    declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, str], file: Path
) -> dict[str, str | list[str]]:
    """The value of every parameter: as given, else its default.

    Args:
        declared: The template's Parameters.
        given: Values by name.
        file: The template, for messages.

    Raises:
        TemplateError: A value is missing, not allowed, or for a parameter that there is not.
        UnsupportedError: A parameter's type cannot be had locally.
    """
    for name in given:
        if name not in declared:
            raise TemplateError(
                f"the template has no parameter {name}",
                file=file,
                place="Parameters",
                hint=nearest(name, declared),
            )
    values: dict[str, str | list[str]] = {}
    for name, declaration in declared.items():
        place = f"Parameters.{name}"
        kind = declaration.get("Type", "String")
        if kind.startswith("AWS::SSM::"):
            raise UnsupportedError(
                f"parameter {name} is of the type {kind}",
                file=file,
                place=place,
                hint="use String, and give the value",
            )
        raw = given.get(name, declaration.get("Default"))
        if raw is None:
            raise TemplateError(
                f"parameter {name} has no value",
                file=file,
                place=place,
                hint="give it a Default, or a value in harness.toml: [local] or [stages.<name>] parameters",
            )
        value = ("true" if raw else "false") if isinstance(raw, bool) else str(raw)
        is_list = kind == "CommaDelimitedList" or kind.startswith("List<")
        items = [item.strip() for item in value.split(",")] if is_list else [value]
        for item in items:
            problem = _problem(kind, declaration, item)
            if problem:
                hint = declaration.get("ConstraintDescription")
                shown = "****" if declaration.get("NoEcho") in (True, "true") else repr(item)
                raise TemplateError(
                    f"parameter {name} cannot be {shown}: {problem}", file=file, place=place, hint=hint
                )
        values[name] = items if is_list else value
    return values


def _problem(kind: str, declaration: Mapping[str, Any], value: str) -> str | None:
    if "AllowedValues" in declaration:
        allowed = [str(item) for item in declaration["AllowedValues"]]
        if value not in allowed:
            return f"it is one of {', '.join(allowed)}"
    if kind in ("Number", "List<Number>"):
        try:
            number = float(value)
        except ValueError:
            return "it is a number"
        if "MinValue" in declaration and number < float(declaration["MinValue"]):
            return f"it is {declaration['MinValue']} or more"
        if "MaxValue" in declaration and number > float(declaration["MaxValue"]):
            return f"it is {declaration['MaxValue']} or less"
        return None
    if "AllowedPattern" in declaration and not re.fullmatch(declaration["AllowedPattern"], value):
        return f"it must match {declaration['AllowedPattern']}"
    if "MinLength" in declaration and len(value) < int(declaration["MinLength"]):
        return f"it has {declaration['MinLength']} characters or more"
    if "MaxLength" in declaration and len(value) > int(declaration["MaxLength"]):
        return f"it has {declaration['MaxLength']} characters or fewer"
    return None
