"""What the steps of a JSONPath do, and the functions at its end.

A path such as ``$..*..*..*`` multiplies what it finds with every step, and a filter can do the same for every
element. One `Search` pays for all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final, TypeAlias

from harness.asl.errors import Fault
from harness.asl.tasks import JSON
from harness.asl.values import MISSING, is_number

__all__ = ["FUNCTIONS", "Key", "Search", "Select", "Step"]

MAX_WORK: Final = 2_000_000
"""Values that one path may look at."""

MAX_NODES: Final = 500_000
"""Values that one step may find."""

Key: TypeAlias = str | int


class Search:
    """One evaluation of a path.

    Args:
        root: The document.

    Attributes:
        root: The document, which filters can refer to.
    """

    __slots__ = ("_left", "root")

    def __init__(self, root: JSON) -> None:
        self.root = root
        self._left = MAX_WORK

    def work(self, items: int) -> None:
        """Pay for looking at so many values.

        Raises:
            Fault: There are too many.
        """
        self._left -= items
        if self._left < 0:
            raise Fault("The JSONPath takes too many steps on this input.")

    def collect(self, values: Iterable[JSON]) -> list[JSON]:
        """Values, as a list, and paid for.

        Raises:
            Fault: There are too many.
        """
        found = list(islice(values, MAX_NODES + 1))
        self.work(len(found))
        if len(found) > MAX_NODES:
            raise Fault("The JSONPath yields too many values on this input.")
        return found


Step: TypeAlias = Callable[[list[JSON], Search], list[JSON]]
Select: TypeAlias = Callable[[JSON, Search], JSON]
"""From the value a path starts at to what it leads to, or `MISSING`."""


def child(key: Key) -> Step:
    if isinstance(key, str):
        return lambda nodes, search: search.collect(
            node[key] for node in nodes if isinstance(node, dict) and key in node
        )
    return lambda nodes, search: search.collect(
        node[key] for node in nodes if isinstance(node, list) and -len(node) <= key < len(node)
    )


def members(names: tuple[str, ...]) -> Step:
    return lambda nodes, search: search.collect(
        node[name] for node in nodes if isinstance(node, dict) for name in names if name in node
    )


def elements(indexes: tuple[int, ...]) -> Step:
    return lambda nodes, search: search.collect(
        node[index]
        for node in nodes
        if isinstance(node, list)
        for index in indexes
        if -len(node) <= index < len(node)
    )


def part(first: int | None, last: int | None) -> Step:
    return lambda nodes, search: search.collect(
        node[index] for node in nodes if isinstance(node, list) for index in _slice(first, last, len(node))
    )


def _slice(first: int | None, last: int | None, length: int) -> Iterable[int]:
    """The indexes of ``[first:last]``, as Jayway counts them: where both ends are given, negative ones are
    not counted from the end before they are compared, so that ``[1:-1]`` is empty."""
    if first is None:
        assert last is not None
        return range(min(last + length if last < 0 else last, length))
    if last is None:
        return range(max(first + length if first < 0 else first, 0), length)
    return (index for index in range(max(first, -length), min(last, length)) if index < length)


def _children(node: JSON) -> Iterable[JSON]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def wildcard(nodes: list[JSON], search: Search) -> list[JSON]:
    return search.collect(value for node in nodes for value in _children(node))


def descend(nodes: list[JSON], search: Search) -> list[JSON]:
    """All objects and arrays in some nodes, those that contain others first."""
    found: list[JSON] = []
    stack = nodes[::-1]
    while stack:
        node = stack.pop()
        if isinstance(node, dict | list):
            found.append(node)
            inner = list(_children(node))
            search.work(1 + len(inner))
            stack.extend(reversed(inner))
    return found


def filtered(accepts: Callable[[JSON, Search], bool]) -> Step:
    def candidates(nodes: list[JSON]) -> Iterable[JSON]:
        for node in nodes:
            if isinstance(node, list):
                yield from node
            elif isinstance(node, dict):
                yield node

    def step(nodes: list[JSON], search: Search) -> list[JSON]:
        found: list[JSON] = []
        for node in candidates(nodes):
            search.work(1)
            if accepts(node, search):
                found.append(node)
        return found

    return step


# Functions at the end of a path ----------------------------------------------------------------------------


def _numbers(value: JSON) -> list[float]:
    return [element for element in value if is_number(element)] if isinstance(value, list) else []


def _aggregate(function: Callable[[list[float]], float]) -> Callable[[JSON], JSON]:
    def apply(value: JSON) -> JSON:
        numbers = _numbers(value)
        try:
            return function(numbers) if numbers else MISSING
        except OverflowError:
            return MISSING

    return apply


def _deviation(numbers: list[float]) -> float:
    mean = sum(numbers) / len(numbers)
    return float((sum((number - mean) ** 2 for number in numbers) / len(numbers)) ** 0.5)


FUNCTIONS: Final[dict[str, Callable[[JSON], JSON]]] = {
    "length": lambda value: len(value) if isinstance(value, list | dict | str) else MISSING,
    "keys": lambda value: list(value) if isinstance(value, dict) else MISSING,
    "min": _aggregate(min),
    "max": _aggregate(max),
    "sum": _aggregate(sum),
    "avg": _aggregate(lambda numbers: sum(numbers) / len(numbers)),
    "stddev": _aggregate(_deviation),
    "first": lambda value: value[0] if isinstance(value, list) and value else MISSING,
    "last": lambda value: value[-1] if isinstance(value, list) and value else MISSING,
}
