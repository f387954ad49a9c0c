"""Which variables the states of a definition refer to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from harness.asl.jsonata import Expression, expression_in
from harness.asl.schema import JSONATA, JSONPATH
from harness.asl.tasks import JSON

__all__ = ["variable_references"]

_SCOPES: Final = ("Branches", "ItemProcessor", "Iterator")
_NOT_READ: Final = frozenset({"Comment", "ResultPath", "Result", *_SCOPES})
_TEMPLATES: Final = frozenset(
    {"Assign", "BatchInput", "Credentials", "ItemSelector", "Parameters", "ResultSelector"}
)
"""Fields of JSONPath states in which only members whose names end in ``.$`` are read."""
_QUOTED: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
_NAME: Final = re.compile(r"(?<![$\w])\$([^\W\d]\w*)")


def variable_references(definition: Mapping[str, JSON]) -> dict[str, list[str]]:
    """The variables that each state refers to, sorted, by the state's name; states that refer to none are
    left out. The definition is a valid one."""
    language = definition.get("QueryLanguage", JSONPATH)
    found = {name: sorted(set(_names(state, language))) for name, state in _states(definition)}
    return {name: names for name, names in found.items() if names}


def _states(scope: Mapping[str, JSON]) -> Iterator[tuple[str, Mapping[str, JSON]]]:
    for name, state in scope["States"].items():
        yield name, state
        for inner in (*state.get("Branches", ()), state.get("ItemProcessor"), state.get("Iterator")):
            if inner is not None:
                yield from _states(inner)


def _names(state: Mapping[str, JSON], inherited: str) -> Iterator[str]:
    if state.get("QueryLanguage", inherited) == JSONATA:
        for text in _texts({key: value for key, value in state.items() if key not in _NOT_READ}):
            expression = expression_in(text)
            if expression is not None:
                yield from Expression(expression, "").variables
        return
    for text in _read(state):
        yield from _NAME.findall(_QUOTED.sub("", text))


def _texts(value: JSON) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _read(fields: JSON, *, template: bool = False) -> Iterator[str]:
    """The paths and function calls in the fields of a JSONPath state."""
    if isinstance(fields, list):
        for element in fields:
            yield from _read(element, template=template)
    if not isinstance(fields, dict):
        return
    for key, value in fields.items():
        if not template and key in _NOT_READ:
            continue
        is_path = key.endswith(".$") or (not template and (key == "Variable" or key.endswith("Path")))
        if is_path and isinstance(value, str):
            yield value
        else:
            yield from _read(value, template=template or key in _TEMPLATES)
