"""The intrinsic functions of JSONPath states.

Each takes evaluated arguments, checks them, and returns a JSON value. Limits are those of the AWS developer
guide, "Intrinsics for JSONPath states".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from harness.asl.tasks import JSON
from harness.asl.values import is_number, json_text, make_uuid, parse_json, type_name

__all__ = ["FUNCTIONS", "HASHES", "Function", "FunctionError"]

MAX_ARRAY: Final = 1000
MAX_TEXT: Final = 10_000
MAX_INTEGER: Final = 2**31 - 1

Implementation: TypeAlias = Callable[[Sequence[JSON], random.Random], JSON]


class FunctionError(Exception):
    """An argument is unfit; the text says which and why."""


@dataclass(frozen=True)
class Function:
    """An intrinsic function.

    Attributes:
        run: The implementation.
        least: Fewest arguments.
        most: Most arguments; None for any number.
        growth: By what factor the result's text can be longer than all its arguments' together.
        extra: How much longer it can be on top of that, in bytes.
    """

    run: Implementation
    least: int
    most: int | None
    growth: int = 1
    extra: int = 64


def _array(value: JSON, which: str) -> list[JSON]:
    if not isinstance(value, list):
        raise FunctionError(f"The {which} argument must be an array, but was {type_name(value)}")
    return value


def _text(value: JSON, which: str) -> str:
    if not isinstance(value, str):
        raise FunctionError(f"The {which} argument must be a string, but was {type_name(value)}")
    return value


def _short_text(value: JSON, which: str) -> str:
    text = _text(value, which)
    if len(text) > MAX_TEXT:
        raise FunctionError(f"The {which} argument must not be longer than {MAX_TEXT} characters")
    return text


def _object(value: JSON, which: str) -> dict[str, JSON]:
    if not isinstance(value, dict):
        raise FunctionError(f"The {which} argument must be an object, but was {type_name(value)}")
    return value


def _integer(value: JSON, which: str) -> int:
    """A whole number; others are rounded to the nearest, halves up."""
    if not is_number(value):
        raise FunctionError(f"The {which} argument must be a number, but was {type_name(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise FunctionError(f"The {which} argument must be finite")
    whole = value if isinstance(value, int) else math.floor(value + 0.5)
    if not -MAX_INTEGER - 1 <= whole <= MAX_INTEGER:
        raise FunctionError(f"The {which} argument must be a 32-bit integer")
    return int(whole)


def same(left: JSON, right: JSON) -> bool:
    """Whether two JSON values are equal; unlike in Python, true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


def _array_partition(arguments: Sequence[JSON], _: random.Random) -> JSON:
    array = _array(arguments[0], "first")
    size = _integer(arguments[1], "second")
    if size <= 0:
        raise FunctionError("The second argument must be a positive integer")
    return [array[start : start + size] for start in range(0, len(array), size)]


def _array_contains(arguments: Sequence[JSON], _: random.Random) -> JSON:
    return any(same(element, arguments[1]) for element in _array(arguments[0], "first"))


def _array_range(arguments: Sequence[JSON], _: random.Random) -> JSON:
    first = _integer(arguments[0], "first")
    last = _integer(arguments[1], "second")
    step = _integer(arguments[2], "third")
    if step == 0:
        raise FunctionError("The third argument must not be zero")
    values = range(first, last + (1 if step > 0 else -1), step)
    if len(values) > MAX_ARRAY:
        raise FunctionError(f"The array must not have more than {MAX_ARRAY} elements")
    return list(values)


def _array_get_item(arguments: Sequence[JSON], _: random.Random) -> JSON:
    array = _array(arguments[0], "first")
    index = arguments[1]
    if not isinstance(index, int) or isinstance(index, bool):
        raise FunctionError("The second argument must be an integer")
    if not 0 <= index < len(array):
        raise FunctionError(f"The index {index} is out of bounds of an array of {len(array)} elements")
    return array[index]


def _array_unique(arguments: Sequence[JSON], _: random.Random) -> JSON:
    unique: list[JSON] = []
    seen: set[str] = set()
    for element in _array(arguments[0], "first"):
        key = json.dumps(element, sort_keys=True)
        if key not in seen:
            seen.add(key)
            unique.append(element)
    return unique


def _base64_encode(arguments: Sequence[JSON], _: random.Random) -> JSON:
    return base64.b64encode(_short_text(arguments[0], "first").encode("utf-8", "replace")).decode()


def _base64_decode(arguments: Sequence[JSON], _: random.Random) -> JSON:
    try:
        return base64.b64decode(_short_text(arguments[0], "first"), validate=True).decode()
    except (binascii.Error, ValueError):
        raise FunctionError("The first argument is not valid Base64 of UTF-8 text") from None


HASHES: Final = {
    "MD5": hashlib.md5,
    "SHA-1": hashlib.sha1,
    "SHA-256": hashlib.sha256,
    "SHA-384": hashlib.sha384,
    "SHA-512": hashlib.sha512,
}


def hash_text(value: JSON, algorithm: JSON) -> str:
    """The hexadecimal digest of a text, or of a value's JSON text.

    Raises:
        FunctionError: The algorithm is unknown or the text too long.
    """
    text = value if isinstance(value, str) else json_text(value)
    make = HASHES.get(algorithm) if isinstance(algorithm, str) else None
    if make is None:
        raise FunctionError(f"The algorithm must be one of {', '.join(HASHES)}")
    data = _short_text(text, "first").encode("utf-8", "surrogatepass")
    return make(data, usedforsecurity=False).hexdigest()


def _json_merge(arguments: Sequence[JSON], _: random.Random) -> JSON:
    first = _object(arguments[0], "first")
    second = _object(arguments[1], "second")
    if arguments[2] is not False:
        raise FunctionError("Only the shallow merging mode is supported: the third argument must be false")
    return {**first, **second}


def _string_to_json(arguments: Sequence[JSON], _: random.Random) -> JSON:
    text = _text(arguments[0], "first")
    try:
        return parse_json(text)
    except (ValueError, RecursionError):
        raise FunctionError("The first argument is not a valid JSON text") from None


def _math_random(arguments: Sequence[JSON], entropy: random.Random) -> JSON:
    start = _integer(arguments[0], "first")
    end = _integer(arguments[1], "second")
    if start >= end:
        raise FunctionError("The first argument must be less than the second")
    source = random.Random(_integer(arguments[2], "third")) if len(arguments) > 2 else entropy
    return source.randrange(start, end)


def _math_add(arguments: Sequence[JSON], _: random.Random) -> JSON:
    total = _integer(arguments[0], "first") + _integer(arguments[1], "second")
    return _integer(total, "sum")


def _string_split(arguments: Sequence[JSON], _: random.Random) -> JSON:
    text = _text(arguments[0], "first")
    delimiters = set(_text(arguments[1], "second"))
    parts = [""]
    for char in text:
        if char in delimiters:
            parts.append("")
        else:
            parts[-1] += char
    return [part for part in parts if part]


def _format(arguments: Sequence[JSON], _: random.Random) -> JSON:
    template = _text(arguments[0], "first")
    values = iter(arguments[1:])
    out: list[str] = []
    position = 0
    used = 0
    while position < len(template):
        char = template[position]
        if char == "\\" and template[position + 1 : position + 2] in ("\\", "{", "}", "'"):
            out.append(template[position + 1])
            position += 2
        elif template.startswith("{}", position):
            used += 1
            try:
                out.append(display(next(values)))
            except StopIteration:
                raise FunctionError(_MISCOUNTED) from None
            position += 2
        else:
            out.append(char)
            position += 1
    if used != len(arguments) - 1:
        raise FunctionError(_MISCOUNTED)
    return "".join(out)


_MISCOUNTED: Final = "The number of arguments does not match the number of occurrences of {} in the template"


def display(value: JSON) -> str:
    """A value as States.Format inserts it: objects and arrays look as Java prints maps and lists."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{', '.join(map(display, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}={display(member)}' for key, member in value.items())}}}"
    return json_text(value)


FUNCTIONS: Final[dict[str, Function]] = {
    "States.Array": Function(lambda arguments, _: list(arguments), 0, None),
    "States.ArrayContains": Function(_array_contains, 2, 2),
    "States.ArrayGetItem": Function(_array_get_item, 2, 2),
    "States.ArrayLength": Function(lambda arguments, _: len(_array(arguments[0], "first")), 1, 1),
    "States.ArrayPartition": Function(_array_partition, 2, 2, growth=3),
    "States.ArrayRange": Function(_array_range, 3, 3, extra=12 * MAX_ARRAY),
    "States.ArrayUnique": Function(_array_unique, 1, 1),
    "States.Base64Decode": Function(_base64_decode, 1, 1, growth=6),
    "States.Base64Encode": Function(_base64_encode, 1, 1, growth=2),
    "States.Format": Function(_format, 1, None, growth=2),
    "States.Hash": Function(lambda arguments, _: hash_text(arguments[0], arguments[1]), 2, 2, extra=130),
    "States.JsonMerge": Function(_json_merge, 3, 3),
    "States.JsonToString": Function(lambda arguments, _: json_text(arguments[0]), 1, 1, growth=2),
    "States.MathAdd": Function(_math_add, 2, 2),
    "States.MathRandom": Function(_math_random, 2, 3),
    "States.StringSplit": Function(_string_split, 2, 2, growth=4),
    "States.StringToJson": Function(_string_to_json, 1, 1, growth=2),
    "States.UUID": Function(lambda _, entropy: make_uuid(entropy), 0, 0),
}
