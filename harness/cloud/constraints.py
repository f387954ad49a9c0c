"""What a service model demands of values, and the words AWS has for a value that falls short.

All services built on AWS's common framework use the same sentences, and clients match on them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from harness.cloud.models import Shape

Constraint = tuple[Callable[[Any], bool], str]
"""(does the value satisfy it?, how AWS words it)"""


def label(name: str) -> str:
    """A member's name as AWS words it in messages: ``TrainingJobName`` -> ``trainingJobName``."""
    return name[:1].lower() + name[1:]


def null(path: str) -> str:
    """The sentence for a required member that is missing."""
    return f"Value null at '{path}' failed to satisfy constraint: Member must not be null"


def problem(shape: Shape, value: Any, path: str, rule: str) -> str:
    """The sentence for a value that breaks a rule; values of sensitive shapes are not repeated."""
    shown = "" if shape.get("sensitive") else f" '{_shown(value)}'"
    return f"Value{shown} at '{path}' failed to satisfy constraint: {rule}"


def constraints_of(shape: Shape) -> list[Constraint]:
    """The constraints a shape puts on its own value (not on its members)."""
    kind = shape["type"]
    least, most = shape.get("min"), shape.get("max")
    found: list[Constraint] = []
    if kind in ("integer", "long", "float", "double"):
        if most is not None:
            found.append(
                (lambda value: value <= most, f"Member must have value less than or equal to {most}")
            )
        if least is not None:
            found.append(
                (lambda value: value >= least, f"Member must have value greater than or equal to {least}")
            )
    elif kind in ("string", "blob", "list", "map"):
        if most is not None:
            found.append(
                (lambda value: len(value) <= most, f"Member must have length less than or equal to {most}")
            )
        if least:
            found.append(
                (
                    lambda value: len(value) >= least,
                    f"Member must have length greater than or equal to {least}",
                )
            )
    if "pattern" in shape and (matcher := compile_pattern(shape["pattern"])):
        fits = matcher.fullmatch
        found.append(
            (
                lambda value: fits(value) is not None,
                f"Member must satisfy regular expression pattern: {shape['pattern']}",
            )
        )
    if "enum" in shape:
        allowed = frozenset(shape["enum"])
        found.append(
            (
                lambda value: value in allowed,
                f"Member must satisfy enum value set: [{', '.join(shape['enum'])}]",
            )
        )
    return found


_JAVA_CLASSES = {
    "L": r"\w",
    "N": r"\w",
    "Z": r"\s",
    "Alnum": "a-zA-Z0-9",
    "ASCII": r"\x00-\x7f",
    "Print": r"\x20-\x7e",
}
"""Java's character classes for use inside brackets. Python's `re` has no Unicode categories; what stands
here for L, N and Z takes in a few characters more, so that nothing valid is refused."""

_ANY_VISIBLE = r"\x20-\U0010ffff"


def compile_pattern(pattern: str) -> re.Pattern[str] | None:
    """A model's pattern (Java syntax) as a Python one; None where it has no sense in either language."""
    text = pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010ffff").replace(r"\z", r"\Z")
    pieces = re.split(r"\\p\{(\w+)\}", text)
    translated = pieces[0]
    for name, rest in zip(pieces[1::2], pieces[2::2], strict=True):
        unescaped = re.sub(r"\\.", "", translated)
        inside_brackets = unescaped.count("[") > unescaped.count("]")
        members = _JAVA_CLASSES.get(name, _ANY_VISIBLE)
        translated += (members if inside_brackets else f"[{members}]") + rest
    try:
        return re.compile(translated, 0 if len(pieces) > 1 else re.ASCII)
    except re.error:
        return None


def _shown(value: Any) -> str:
    """A value as Java prints it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case list():
            return f"[{', '.join(map(_shown, value))}]"
        case dict():
            return f"{{{', '.join(f'{key}={_shown(item)}' for key, item in value.items())}}}"
        case bytes():
            return f"java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]"
        case _:
            return str(value)
