"""Functions on numbers. Every function takes the evaluator first; undefined is `MISSING`."""

from __future__ import annotations

import math
import re
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

from harness.asl.jsonata.calls import Calls
from harness.asl.jsonata.errors import JsonataError
from harness.asl.jsonata.values import MISSING, number, number_text

__all__ = [
    "absolute",
    "average",
    "ceil",
    "floor",
    "format_base",
    "maximum",
    "minimum",
    "power",
    "round_half_even",
    "round_number",
    "sqrt",
    "to_number",
    "total",
]

_DECIMAL: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([Ee][-+]?[0-9]+)?")
_BASED: Final = re.compile(r"0[xX][0-9A-Fa-f]+|0[oO][0-7]+|0[bB][01]+")
_WIDEST: Final = 1000
_WIDE: Final = Context(prec=2 * _WIDEST)
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def total(evaluator: Calls, values: Any) -> Any:
    if values is MISSING:
        return MISSING
    evaluator.budget.work(len(values))
    return _sum(values)


def _sum(values: list[Any]) -> float:
    """The sum, rounded after every addition as doubles are."""
    result: float = 0
    for value in values:
        result += value
    return number(result)


def maximum(evaluator: Calls, values: Any) -> Any:
    evaluator.budget.work(len(values) if isinstance(values, list) else 0)
    return number(max(values)) if values is not MISSING and values else MISSING


def minimum(evaluator: Calls, values: Any) -> Any:
    evaluator.budget.work(len(values) if isinstance(values, list) else 0)
    return number(min(values)) if values is not MISSING and values else MISSING


def average(evaluator: Calls, values: Any) -> Any:
    if values is MISSING or not values:
        return MISSING
    evaluator.budget.work(len(values))
    return number(_sum(values) / len(values))


def to_number(_: Calls, value: Any) -> Any:
    if value is MISSING:
        return MISSING
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return value
    if isinstance(value, str):
        if _DECIMAL.fullmatch(value) and math.isfinite(float(value)):
            return number(float(value))
        if _BASED.fullmatch(value):
            return number(int(value, 0))
    raise JsonataError("D3030", value=value, index=1)


def absolute(_: Calls, value: Any) -> Any:
    return MISSING if value is MISSING else abs(value)


def floor(_: Calls, value: Any) -> Any:
    return value if value is MISSING or not math.isfinite(value) else number(math.floor(value))


def ceil(_: Calls, value: Any) -> Any:
    return value if value is MISSING or not math.isfinite(value) else number(math.ceil(value))


def round_number(_: Calls, value: Any, precision: Any = MISSING) -> Any:
    return MISSING if value is MISSING else round_half_even(value, precision)


def round_half_even(value: float, precision: Any = MISSING) -> float:
    """A number rounded to so many decimal places (before the point if negative), halves to the even digit.
    What counts is the shortest text of the number, not its binary value."""
    if not math.isfinite(value):
        return value
    places = 0 if precision is MISSING else precision
    if not number_text(places).lstrip("-").isdigit():
        return math.nan
    if abs(places) > _WIDEST:
        return math.nan if places > 0 and value else 0
    exact = Decimal(number_text(value))
    shifted = exact.scaleb(int(places), _WIDE)
    if math.isinf(float(shifted)):
        return math.nan
    exponent = shifted.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= 0:
        return number(value)
    return number(float(shifted.quantize(Decimal(1), ROUND_HALF_EVEN, _WIDE).scaleb(-int(places), _WIDE)))


def sqrt(_: Calls, value: Any) -> Any:
    if value is MISSING:
        return MISSING
    if value < 0:
        raise JsonataError("D3060", index=1, value=value)
    return number(math.sqrt(value))


def power(_: Calls, base: Any, exponent: Any) -> Any:
    if base is MISSING:
        return MISSING
    try:
        result = math.nan if exponent is MISSING else math.pow(base, exponent)
    except (OverflowError, ValueError):
        result = math.inf
    if not math.isfinite(result):
        raise JsonataError("D3061", index=1, value=base, exp=exponent)
    return number(result)


def format_base(_: Calls, value: Any, radix: Any = MISSING) -> Any:
    if value is MISSING:
        return MISSING
    base = 10 if radix is MISSING else int(round_half_even(radix))
    if not 2 <= base <= 36:
        raise JsonataError("D3100", value=base)
    rounded = round_half_even(value)
    if base == 10 or not math.isfinite(rounded):
        return number_text(rounded)
    rest = abs(int(rounded))
    digits = [_DIGITS[0]] if rest == 0 else []
    while rest:
        rest, digit = divmod(rest, base)
        digits.append(_DIGITS[digit])
    return ("-" if rounded < 0 else "") + "".join(reversed(digits))
