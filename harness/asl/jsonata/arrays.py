"""Functions on arrays and objects, those that take functions, and the rest. Every function takes the
evaluator first; undefined is `MISSING`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from harness.asl.jsonata.calls import Calls
from harness.asl.jsonata.errors import JsonataError
from harness.asl.jsonata.steps import lookup, merge_sort
from harness.asl.jsonata.values import (
    MISSING,
    Array,
    Function,
    Object,
    deep_equal,
    is_number,
    sequence,
    size_of,
    truth,
)

__all__ = [
    "append",
    "assertion",
    "boolean",
    "clone",
    "count",
    "distinct",
    "each",
    "error",
    "exists",
    "filtered",
    "keys",
    "look_up",
    "mapped",
    "merge",
    "negation",
    "reduce",
    "reverse",
    "shuffle",
    "sift",
    "single",
    "sort",
    "spread",
    "type_of",
    "zipped",
]

# Types -----------------------------------------------------------------------------------------------------


def boolean(_: Calls, value: Any) -> Any:
    if value is MISSING:
        return MISSING
    return truth(value) and not isinstance(value, Function)


def negation(evaluator: Calls, value: Any) -> Any:
    return MISSING if value is MISSING else not boolean(evaluator, value)


def exists(_: Calls, value: Any) -> Any:
    return value is not MISSING


def type_of(_: Calls, value: Any) -> Any:
    if value is MISSING:
        return MISSING
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if is_number(value):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    return "function" if isinstance(value, Function) else "object"


def error(_: Calls, message: Any = MISSING) -> Any:
    raise JsonataError(
        "D3137", message="$error() function evaluated" if message in (MISSING, "") else message
    )


def assertion(_: Calls, condition: Any, message: Any = MISSING) -> Any:
    if condition is MISSING or not condition:
        raise JsonataError(
            "D3141", message="$assert() statement failed" if message in (MISSING, "") else message
        )
    return MISSING


# Arrays ----------------------------------------------------------------------------------------------------


def count(_: Calls, values: Any) -> Any:
    return 0 if values is MISSING else len(values)


def append(evaluator: Calls, first: Any, second: Any) -> Any:
    if first is MISSING:
        return second
    if second is MISSING:
        return first
    left = first if isinstance(first, list) else [first]
    right = second if isinstance(second, list) else [second]
    evaluator.budget.reserve(8 * (len(left) + len(right)))
    return evaluator.budget.keep(Array(left + right))


def reverse(evaluator: Calls, values: Any) -> Any:
    if values is MISSING or len(values) <= 1:
        return values
    return evaluator.budget.keep(Array(reversed(values)))


def shuffle(evaluator: Calls, values: Any) -> Any:
    if values is MISSING or len(values) <= 1:
        return values
    result = Array(values)
    for index in range(len(result)):
        other = math.floor(evaluator.services.entropy.random() * (index + 1))
        result[index], result[other] = result[other], result[index]
    return evaluator.budget.keep(result)


def distinct(evaluator: Calls, values: Any) -> Any:
    if not isinstance(values, list) or len(values) <= 1:
        return values
    evaluator.budget.work(8 * len(values))
    result = Array(is_sequence=isinstance(values, Array) and values.is_sequence)
    seen: set[Any] = set()
    for value in values:
        if isinstance(value, str | int | float):
            key = (isinstance(value, bool), value)
            if key in seen:
                continue
            seen.add(key)
        elif any(_paid_equal(evaluator, value, other) for other in result):
            continue
        result.append(value)
    return evaluator.budget.keep(result)


def _paid_equal(evaluator: Calls, left: Any, right: Any) -> bool:
    evaluator.budget.work(min(size_of(left), size_of(right)))
    return deep_equal(left, right)


def zipped(evaluator: Calls, *arrays: Any) -> Any:
    columns = [array if isinstance(array, list) else [] for array in arrays]
    return evaluator.budget.keep(Array(map(Array, zip(*columns, strict=False))))


def sort(evaluator: Calls, values: Any, comparator: Any = MISSING) -> Any:
    if values is MISSING or len(values) <= 1:
        return values
    evaluator.budget.work(16 * len(values))
    if comparator is MISSING:
        if not (all(map(is_number, values)) or all(isinstance(value, str) for value in values)):
            raise JsonataError("D3070", index=1)
        return evaluator.budget.keep(Array(sorted(values)))

    def follows(left: Any, right: Any) -> bool:
        return _is_truthy(evaluator.apply(comparator, [left, right]))

    return evaluator.budget.keep(Array(merge_sort(values, follows)))


def _is_truthy(value: Any) -> bool:
    """Whether JavaScript takes a value for true: unlike in the language, every object and array is."""
    return isinstance(value, list | dict | Function) or (
        value is not MISSING and bool(value) and value == value
    )


# Objects ---------------------------------------------------------------------------------------------------


def keys(evaluator: Calls, value: Any) -> Any:
    names: dict[str, None] = {}
    for item in _objects(evaluator, value):
        names.update(dict.fromkeys(item))
    return evaluator.budget.keep(Array(names, is_sequence=True))


def _objects(evaluator: Calls, value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        evaluator.budget.work(len(value))
        yield value
    elif isinstance(value, list):
        evaluator.budget.work(len(value))
        for element in value:
            yield from _objects(evaluator, element)


def look_up(evaluator: Calls, value: Any, name: Any) -> Any:
    return evaluator.budget.keep(lookup(value, name)) if name is not MISSING else MISSING


def spread(evaluator: Calls, value: Any) -> Any:
    if isinstance(value, dict):
        return evaluator.budget.keep(
            Array((Object({name: member}) for name, member in value.items()), is_sequence=True)
        )
    if not isinstance(value, list):
        return value
    result = Array(is_sequence=not value)
    for element in value:
        part = spread(evaluator, element)
        if isinstance(part, list):
            result += part
        elif part is not MISSING:
            result.append(part)
    return evaluator.budget.keep(result)


def merge(evaluator: Calls, values: Any) -> Any:
    if values is MISSING:
        return MISSING
    result = Object()
    for value in values:
        if isinstance(value, dict):
            result.update(value)
        evaluator.budget.work(0)
    return evaluator.budget.keep(result)


def clone(evaluator: Calls, value: Any) -> Any:
    """A copy of a value; functions in it become empty strings, as they do in JSON."""
    if isinstance(value, list):
        evaluator.budget.work(16 * len(value))
        evaluator.budget.reserve(8 * len(value))
        return Array(None if element is MISSING else clone(evaluator, element) for element in value)
    if isinstance(value, dict):
        evaluator.budget.work(16 * len(value))
        evaluator.budget.reserve(8 * len(value))
        return Object(
            {name: clone(evaluator, member) for name, member in value.items() if member is not MISSING}
        )
    return "" if isinstance(value, Function) else value


# Functions that take functions -----------------------------------------------------------------------------


def _arguments(function: Any, value: Any, key: Any, whole: Any) -> list[Any]:
    """As many arguments as a function takes.

    Raises:
        JsonataError: There is no function.
    """
    if function is MISSING:
        raise JsonataError("T1006")
    return [value, key, whole][: max(1, min(function.arity, 3))]


def mapped(evaluator: Calls, values: Any, function: Any) -> Any:
    if values is MISSING:
        return MISSING
    result = sequence()
    size = 0
    for index, value in enumerate(values):
        found = evaluator.apply(function, _arguments(function, value, index, values))
        if found is not MISSING:
            size = evaluator.budget.add(size, found)
            result.append(found)
    return evaluator.budget.keep(result)


def filtered(evaluator: Calls, values: Any, function: Any) -> Any:
    if values is MISSING:
        return MISSING
    result = sequence()
    for index, value in enumerate(values):
        if truth(evaluator.apply(function, _arguments(function, value, index, values))):
            result.append(value)
    return evaluator.budget.keep(result)


def single(evaluator: Calls, values: Any, function: Any = MISSING) -> Any:
    if values is MISSING:
        return MISSING
    found: list[Any] = []
    for index, value in enumerate(values):
        if function is MISSING or truth(
            evaluator.apply(function, _arguments(function, value, index, values))
        ):
            if found:
                raise JsonataError("D3138", index=index)
            found.append(value)
    if not found:
        raise JsonataError("D3139")
    return found[0]


def reduce(evaluator: Calls, values: Any, function: Any, start: Any = MISSING) -> Any:
    if values is MISSING:
        return MISSING
    if function.arity < 2:
        raise JsonataError("D3050", index=1)
    result = start
    first = 0
    if start is MISSING and values:
        result = values[0]
        first = 1
    for index in range(first, len(values)):
        arguments = [result, values[index], index, values][: min(function.arity, 4)]
        result = evaluator.apply(function, arguments)
    return result


def each(evaluator: Calls, value: Any, function: Any) -> Any:
    result = sequence()
    size = 0
    for name, member in _members(value):
        found = evaluator.apply(function, _arguments(function, member, name, value))
        if found is not MISSING:
            size = evaluator.budget.add(size, found)
            result.append(found)
    return evaluator.budget.keep(result)


def sift(evaluator: Calls, value: Any, function: Any) -> Any:
    result = Object()
    for name, member in _members(value):
        if truth(evaluator.apply(function, _arguments(function, member, name, value))):
            result[name] = member
    return evaluator.budget.keep(result) if result else MISSING


def _members(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []
