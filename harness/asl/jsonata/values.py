"""Values as the language sees them.

JSON values are Python's, a missing value ("undefined") is `MISSING`, functions are `Function`. Numbers are
doubles: an `int` here is a whole double, and `number` brings every result of arithmetic into that form.
Arrays and objects that an evaluation makes are `Array` and `Object`, which know their size.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, Final

from harness.asl.values import MISSING

__all__ = [
    "MISSING",
    "Array",
    "Function",
    "Object",
    "deep_equal",
    "is_number",
    "number",
    "number_text",
    "sequence",
    "size_of",
    "stringify",
    "truth",
]

_EXACT: Final = 2**53
_LONG: Final = 2.0**63
_SLOT: Final = 8


class Array(list[Any]):
    """An array made by an evaluation.

    Attributes:
        is_sequence: Made by a path or a function rather than by an array constructor: one of one element is
            that element, one of none is nothing.
        keep_singleton: Of a sequence: stays an array when it has one element (``[]`` was written).
        is_tuples: Its elements are tuples of a path that binds variables: ``{"@": value, name: value}``.
        is_cons: Made by an array constructor that is a step of a path; it is not flattened.
        held: Its size in bytes, as `size_of`; None until it is complete.
    """

    def __init__(self, elements: Iterable[Any] = (), *, is_sequence: bool = False) -> None:
        super().__init__(elements)
        self.is_sequence = is_sequence
        self.keep_singleton = False
        self.is_tuples = False
        self.is_cons = False
        self.held: int | None = None


class Object(dict[str, Any]):
    """An object made by an evaluation.

    Attributes:
        held: See `Array.held`.
    """

    __slots__ = ("held",)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.held: int | None = None


class Function:
    """What can be invoked.

    Attributes:
        arity: How many arguments it takes.
        is_object: Whether a condition takes it for true, as JavaScript's objects are.
    """

    arity: int = 0
    is_object: bool = True


def sequence(*elements: Any) -> Array:
    return Array(elements, is_sequence=True)


def size_of(value: Any) -> int:
    """About how many bytes a value takes: 8 for a number, 1 for a character, and for arrays and objects that
    of all parts, as often as they occur. Those that are part of the input count by their own length only;
    the input is limited by itself."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Array):
        if value.held is None:
            value.held = sum(map(size_of, value))
        return value.held
    if isinstance(value, Object):
        if value.held is None:
            value.held = sum(len(name) + size_of(member) for name, member in value.items())
        return value.held
    return _SLOT * len(value) if isinstance(value, list | dict) else _SLOT


def is_number(value: Any) -> bool:
    """Whether a value is a number, and not NaN.

    Raises:
        OverflowError: It is infinite.
    """
    kind = type(value)
    if kind is int:
        return True
    if kind is not float or math.isnan(value):
        return False
    if math.isinf(value):
        raise OverflowError(value)
    return True


def number(value: float) -> float:
    """A double in the form that numbers have here: an `int` if it is whole and 64 bits can hold it."""
    if type(value) is int:
        if -_EXACT <= value <= _EXACT:
            return value
        try:
            value = float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return int(value) if value.is_integer() and -_LONG <= value < _LONG else value


def number_text(value: float) -> str:
    """A number as JavaScript writes it: ``1e+21``, ``100000000000000000000``, ``1e-7``."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "0"
    if type(value) is int and -_EXACT <= value <= _EXACT:
        return str(value)
    mantissa, _, exponent = repr(abs(float(value))).partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))  # 0.digits * 10**point
    digits = digits.rstrip("0")
    if 0 < point <= 21:
        text = digits.ljust(point, "0")
        text = text[:point] + ("." + text[point:] if text[point:] else "")
    elif -6 < point <= 0:
        text = "0." + "0" * -point + digits
    else:
        text = digits[0] + ("." + digits[1:] if digits[1:] else "")
        text += f"e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return "-" + text if value < 0 else text


def stringify(value: Any, *, indent: int = 0, precision: int = 15) -> str:
    """A value's JSON text, as ``$string`` makes it.

    Args:
        value: The value. A function is an empty string.
        indent: Spaces a level; 0 for everything on one line.
        precision: Significant digits of numbers.

    Raises:
        OverflowError: A number in it is infinite.
        RecursionError: It is nested too deeply.
    """
    parts: list[str] = []
    _stringify(value, parts, "\n" if indent else "", " " * indent, precision)
    return "".join(parts)


def _stringify(value: Any, parts: list[str], line: str, step: str, precision: int) -> None:
    if isinstance(value, list):
        deeper = line + step
        for index, element in enumerate(value):
            parts.append(("," if index else "[") + deeper)
            _stringify(None if element is MISSING else element, parts, deeper, step, precision)
        parts.append(line + "]" if value else "[]")
    elif isinstance(value, dict):
        deeper = line + step
        opened = False
        for name, member in value.items():
            if member is not MISSING:
                parts.append(("," if opened else "{") + deeper + _quote(name) + (": " if step else ":"))
                _stringify(member, parts, deeper, step, precision)
                opened = True
        parts.append(line + "}" if opened else "{}")
    elif isinstance(value, str):
        parts.append(_quote(value))
    elif isinstance(value, bool):
        parts.append("true" if value else "false")
    elif isinstance(value, int | float):
        value = number(value)
        if precision > 16:
            parts.append(number_text(value) if math.isfinite(value) else "null")
        elif is_number(value):
            parts.append(number_text(number(float(f"{value:.{precision}g}"))))
        else:
            parts.append("null")
    else:
        parts.append('""' if isinstance(value, Function) else "null")


_encode = json.JSONEncoder(ensure_ascii=False).encode
_HALVES: Final = re.compile("[\ud800-\udfff]")


def _quote(text: str) -> str:
    # Half a character is written as an escape; as itself it could not be encoded.
    return _HALVES.sub(lambda match: f"\\u{ord(match[0]):04x}", _encode(text))


def deep_equal(left: Any, right: Any) -> bool:
    """Whether two values are equal; unlike in Python, true is not 1.

    Raises:
        RecursionError: They are nested too deeply.
    """
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(deep_equal, left, right))
    if isinstance(left, dict):
        return (
            isinstance(right, dict)
            and left.keys() == right.keys()
            and all(deep_equal(left[name], right[name]) for name in left)
        )
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def truth(value: Any) -> bool:
    """A value as a Boolean, by the rules of ``$boolean``; undefined is false.

    Raises:
        OverflowError: It is infinite.
    """
    if isinstance(value, list):
        return truth(value[0]) if len(value) == 1 else any(map(truth, value))
    if isinstance(value, bool):
        return value
    if isinstance(value, str | dict):
        return len(value) > 0
    if isinstance(value, int | float):
        return is_number(value) and value != 0
    return isinstance(value, Function) and value.is_object
