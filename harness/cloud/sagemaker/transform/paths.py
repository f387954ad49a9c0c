"""The part of JSONPath that a transform job's filters understand.

Source: SageMaker developer guide, "Associate Prediction Results with Input Records" ("Supported JSONPath
Operators"): the root, ``.name``, ``*``, ``['a','b']``, ``[1,3]`` with indexes from the end too, and slices.
Nothing may follow several names, and a name in brackets stands for one child, not for a path.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["FilterPath", "PathError"]

Index = int | slice

_NAME = re.compile(r"\.([^\s.\[\]'\"*?@()$]+)")
_STAR = re.compile(r"\.\*|\.?\[\*\]")
_BRACKET = re.compile(r"\.?\[([^\[\]]*)\]")
_QUOTED = re.compile(r"\s*(?:'([^']+)'|\"([^\"]+)\")\s*")
_INDEX = re.compile(r"\s*(?:(-?\d+)|(-?\d+)?:(-?\d+)?)\s*")


class PathError(ValueError):
    """A filter cannot be understood, or what it selects is not there."""


@dataclass(frozen=True)
class _Step:
    """One step of a path.

    Attributes:
        select: What it makes of a value; raises PathError.
        each: It gives a list, to whose items the next step is applied.
        names: It needs an object.
        last: Nothing may follow it.
    """

    select: Callable[[Any], Any]
    each: bool = False
    names: bool = False
    last: bool = False


class FilterPath:
    """An InputFilter or OutputFilter.

    Args:
        text: As the request has it; empty means ``$``.

    Raises:
        PathError: It is not of the part that is understood.
    """

    def __init__(self, text: str) -> None:
        self.text = text.strip() or "$"
        if not self.text.startswith("$"):
            raise PathError("it does not begin with $")
        self._steps: list[_Step] = []
        place = 1
        while place < len(self.text):
            if self._steps and self._steps[-1].last:
                raise PathError("nothing can follow several names")
            step, place = _step(self.text, place)
            self._steps.append(step)

    @property
    def all(self) -> bool:
        """It selects everything."""
        return not self._steps

    @property
    def of_row(self) -> bool:
        """It can be applied to a row of a CSV file, which is an array of fields."""
        return not self._steps or (len(self._steps) == 1 and not self._steps[0].names)

    def select(self, value: Any) -> Any:
        """What it selects of a JSON value.

        Raises:
            PathError: There is nothing in that place.
        """
        return self._from(value, 0)

    def _from(self, value: Any, number: int) -> Any:
        if number == len(self._steps):
            return value
        step = self._steps[number]
        selected = step.select(value)
        if step.each:
            return [self._from(item, number + 1) for item in selected]
        return self._from(selected, number + 1)


def _step(text: str, place: int) -> tuple[_Step, int]:
    """The step that begins at a place, and where the next one does."""
    if match := _STAR.match(text, place):
        return _Step(_children, each=True), match.end()
    if match := _NAME.match(text, place):
        return _Step(_child(match[1]), names=True), match.end()
    match = _BRACKET.match(text, place)
    if match is None:
        raise PathError(f'"{text[place:]}" is not supported')
    items = match[1].split(",")
    quoted = [_QUOTED.fullmatch(item) for item in items]
    if all(quoted):
        return _names([name[1] or name[2] for name in quoted if name]), match.end()
    indexes = [_INDEX.fullmatch(item) for item in items]
    if all(indexes):
        return _indexes([_index(index) for index in indexes if index]), match.end()
    raise PathError(f'"{match[0]}" is not supported')


def _index(match: re.Match[str]) -> Index:
    if match[1] is not None:
        return int(match[1])
    first, last = (int(group) if group else None for group in (match[2], match[3]))
    return slice(first, last)


def _names(names: list[str]) -> _Step:
    if len(names) == 1:
        return _Step(_child(names[0]), names=True)
    if nested := [name for name in names if "." in name]:
        raise PathError(f"'{nested[0]}' would nest children within brackets")
    children = {name: _child(name) for name in names}
    return _Step(
        lambda value: {name: child(value) for name, child in children.items()}, names=True, last=True
    )


def _indexes(indexes: list[Index]) -> _Step:
    if len(indexes) == 1 and isinstance(indexes[0], int):
        only = indexes[0]
        return _Step(lambda value: _items(value, only)[0])
    return _Step(lambda value: [item for index in indexes for item in _items(value, index)], each=True)


def _items(value: Any, index: Index) -> list[Any]:
    if not isinstance(value, list):
        raise PathError("what has no items is asked for one")
    if isinstance(index, slice):
        return value[index]
    if not -len(value) <= index < len(value):
        raise PathError(f"the index {index} is out of range: there are {len(value)} items")
    return [value[index]]


def _child(name: str) -> Callable[[Any], Any]:
    def select(value: Any) -> Any:
        if not isinstance(value, dict) or name not in value:
            raise PathError(f"there is no '{name}'")
        return value[name]

    return select


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list):
        return value
    raise PathError("what has no children is asked for them")
