"""The binary operators, on values."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, Final

from harness.asl.jsonata.budget import NUMBERS, Budget
from harness.asl.jsonata.errors import JsonataError
from harness.asl.jsonata.values import (
    MISSING,
    Array,
    Function,
    deep_equal,
    is_number,
    number,
    size_of,
    stringify,
)

__all__ = ["OPERATORS", "string"]

LARGEST_RANGE: Final = 10_000_000
LARGEST_INTEGER: Final = 2**53


def string(budget: Budget, value: Any, *, pretty: bool = False) -> str:
    """A value as ``$string`` makes it a string.

    Raises:
        JsonataError: It is an infinite number.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Function):
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        raise JsonataError("D3001", value=value)
    budget.work(size_of(value))
    text = stringify(value, indent=2 if pretty else 0)
    budget.reserve(len(text))
    return text


def _arithmetic(operate: Callable[[float, float], float]) -> Callable[[Budget, Any, Any], Any]:
    def apply(_: Budget, left: Any, right: Any) -> Any:
        if left is not MISSING and not is_number(left):
            raise JsonataError("T2001", value=left)
        if right is not MISSING and not is_number(right):
            raise JsonataError("T2002", value=right)
        if left is MISSING or right is MISSING:
            return MISSING
        try:
            return number(operate(number(left), number(right)))
        except OverflowError:
            return math.inf

    return apply


def _divide(left: float, right: float) -> float:
    if right == 0:
        return math.nan if left == 0 else math.copysign(math.inf, left)
    return left / right


def _remainder(left: float, right: float) -> float:
    return math.nan if right == 0 else math.fmod(left, right)


def _comparison(compare: Callable[[Any, Any], bool]) -> Callable[[Budget, Any, Any], Any]:
    def apply(_: Budget, left: Any, right: Any) -> Any:
        for value in (left, right):
            if value is not MISSING and not _is_comparable(value):
                raise JsonataError("T2010", value=value)
        if left is MISSING or right is MISSING:
            return MISSING
        if isinstance(left, str) != isinstance(right, str):
            raise JsonataError("T2009", value=left, value2=right)
        return compare(left, right)

    return apply


def _is_comparable(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _equality(expected: bool) -> Callable[[Budget, Any, Any], Any]:
    def apply(budget: Budget, left: Any, right: Any) -> Any:
        if left is MISSING or right is MISSING:
            return False
        if isinstance(left, list | dict):
            budget.work(min(size_of(left), size_of(right)))
        return deep_equal(left, right) is expected

    return apply


def _concatenate(budget: Budget, left: Any, right: Any) -> Any:
    start = "" if left is MISSING else string(budget, left)
    end = "" if right is MISSING else string(budget, right)
    budget.reserve(len(start) + len(end))
    return start + end


def _range(budget: Budget, first: Any, last: Any) -> Any:
    for code, value in (("T2003", first), ("T2004", last)):
        if value is not MISSING and not (type(value) is int or (type(value) is float and value.is_integer())):
            raise JsonataError(code, value=value)
    if first is MISSING or last is MISSING or first > last:
        return MISSING
    size = int(last) - int(first) + 1
    if size > LARGEST_RANGE:
        raise JsonataError("D2014", value=number(size))
    if max(abs(first), abs(last)) > LARGEST_INTEGER:
        size = LARGEST_RANGE  # one more is the same number: the loop would never end
    budget.reserve(8 * size, NUMBERS)
    budget.work(size)
    return Array(range(int(first), int(last) + 1), is_sequence=True)


def _included(budget: Budget, value: Any, values: Any) -> Any:
    if value is MISSING or values is MISSING:
        return False
    candidates = values if isinstance(values, list) else [values]
    budget.work(len(candidates))
    if isinstance(value, list | dict | Function):
        return any(candidate is value for candidate in candidates)
    return any(deep_equal(candidate, value) for candidate in candidates)


OPERATORS: Final[dict[str, Callable[[Budget, Any, Any], Any]]] = {
    "+": _arithmetic(operator.add),
    "-": _arithmetic(operator.sub),
    "*": _arithmetic(operator.mul),
    "/": _arithmetic(_divide),
    "%": _arithmetic(_remainder),
    "=": _equality(True),
    "!=": _equality(False),
    "<": _comparison(operator.lt),
    "<=": _comparison(operator.le),
    ">": _comparison(operator.gt),
    ">=": _comparison(operator.ge),
    "&": _concatenate,
    "..": _range,
    "in": _included,
}
