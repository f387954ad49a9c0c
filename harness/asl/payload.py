"""Payload templates: JSON with holes, compiled once.

In JSONPath states a hole is a member whose name ends in ``.$``; in JSONata states it is a string
``{% expression %}``. A part without holes is built when the definition is loaded and shared ever after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from harness.asl.diagnostics import INVALID_JSONATA_EXPRESSION, Place
from harness.asl.jsonata import Expression, ExpressionError, expression_in, is_half_marked
from harness.asl.jsonpath.query import PathSyntaxError, compile_query
from harness.asl.scope import Reader
from harness.asl.tasks import JSON
from harness.asl.values import MISSING, Missing, json_size

__all__ = [
    "UNBOUNDED",
    "Template",
    "check_marks",
    "compile_expression",
    "constant",
    "jsonata_template",
    "jsonpath_template",
]

UNBOUNDED: Final = -1
"""`Template.references` of a template that can yield anything."""


@dataclass(frozen=True)
class Template:
    """A compiled template.

    Attributes:
        read: Fills it in.
        references: How many values it can insert, weighted as in `jsonpath.query.Query`; `UNBOUNDED` when
            nothing can be said about the size of the result.
        size: Bytes of everything else.
        fixed: The result, if it is always the same; otherwise `MISSING`.
    """

    read: Reader
    references: int
    size: int
    fixed: JSON | Missing = MISSING


def constant(value: JSON) -> Template:
    return Template(lambda document, scope: value, 0, json_size(value), value)


def jsonpath_template(value: JSON, place: Place) -> Template:
    """Compile the template of a JSONPath state, reporting what is wrong with it to `place`."""
    if isinstance(value, dict):
        members: dict[str, Template] = {}
        for name, content in value.items():
            target = name.removesuffix(".$")
            if target in members:
                (place / name).error(f"The field '{target}' is given more than once")
            if target == name:
                members[name] = jsonpath_template(content, place / name)
            else:
                members[target] = _jsonpath_hole(name, content, place)
        return _object(members)
    if isinstance(value, list):
        return _array([jsonpath_template(element, place.item(index)) for index, element in enumerate(value)])
    return constant(value)


def _jsonpath_hole(name: str, content: JSON, place: Place) -> Template:
    if isinstance(content, str):
        try:
            query = compile_query(content, name)
        except PathSyntaxError:
            pass
        else:
            return Template(query.read, query.references, query.extra)
    place.error(
        f"The value for the field '{name}' must be a valid JSONPath or a valid intrinsic function call"
    )
    return constant(None)


def jsonata_template(value: JSON, place: Place, field: str, *, error_output: bool = False) -> Template:
    """Compile the template of a JSONata state, reporting what is wrong with it to `place`.

    Args:
        value: The template.
        place: Where it stands.
        field: The same, relative to the state, for error texts: ``Output``, ``Catch[0]/Assign``.
        error_output: Whether ``$states.errorOutput`` is there.
    """
    if isinstance(value, str):
        text = expression_in(value)
        if text is None:
            check_marks(value, place)
            return constant(value)
        expression = compile_expression(text, place, field, error_output=error_output)
        return Template(expression.read, UNBOUNDED, 0) if expression is not None else constant(None)
    if isinstance(value, dict):
        return _object(
            {
                name: jsonata_template(member, place / name, f"{field}/{name}", error_output=error_output)
                for name, member in value.items()
            }
        )
    if isinstance(value, list):
        return _array(
            [
                jsonata_template(element, place.item(index), f"{field}[{index}]", error_output=error_output)
                for index, element in enumerate(value)
            ]
        )
    return constant(value)


def check_marks(text: str, place: Place) -> None:
    """Report a string of a JSONata state that has only one of the two marks of an expression."""
    if is_half_marked(text):
        place.error("A JSONata expression must start with '{%' and end with '%}'", INVALID_JSONATA_EXPRESSION)


def compile_expression(
    text: str, place: Place, field: str, *, error_output: bool = False
) -> Expression | None:
    """Compile a JSONata expression; None, and a finding at `place`, if it is malformed."""
    try:
        expression = Expression(text, field)
    except ExpressionError as error:
        place.error(str(error), INVALID_JSONATA_EXPRESSION)
        return None
    for message, code in expression.unsupported(error_output=error_output):
        place.error(message, code)
    return expression


def _total(parts: list[Template]) -> int:
    references = [part.references for part in parts]
    return UNBOUNDED if UNBOUNDED in references else sum(references)


def _object(members: dict[str, Template]) -> Template:
    parts = list(members.values())
    if all(part.fixed is not MISSING for part in parts):
        return constant({name: part.fixed for name, part in members.items()})
    readers = tuple((name, part.read) for name, part in members.items())
    size = sum(json_size(name) + 2 + part.size for name, part in members.items()) + 2
    return Template(
        lambda document, scope: {name: read(document, scope) for name, read in readers}, _total(parts), size
    )


def _array(elements: list[Template]) -> Template:
    if all(element.fixed is not MISSING for element in elements):
        return constant([element.fixed for element in elements])
    readers = tuple(element.read for element in elements)
    size = sum(1 + element.size for element in elements) + 2
    return Template(
        lambda document, scope: [read(document, scope) for read in readers], _total(elements), size
    )
