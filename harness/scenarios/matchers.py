"""What a value must be, as a scenario writes it.

A plain value must be equal. A mapping must have the keys written, each with a matching value; further keys
do not matter. A list must have as many elements, each matching. A mapping of the words in `MATCHERS` is a
matcher: ``{gte: 0.85}``, ``{matches: '^AlgorithmError'}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.scenarios.yamlfile import Value

__all__ = [
    "MATCHERS",
    "MISSING",
    "Difference",
    "Matcher",
    "at_least",
    "equal",
    "exactly",
    "read",
    "shown",
    "under",
]


class _Missing:
    """The value of a key that is not there."""

    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()


@dataclass(frozen=True)
class Difference:
    """Where a value is not as it must be.

    Attributes:
        path: Where, as in ``.predictions[0].class``; empty for the value itself.
        expected: What it must be, in words.
        actual: What it is.
    """

    path: str
    expected: str
    actual: Any

    def __str__(self) -> str:
        where = f"{self.path.lstrip('.')}: " if self.path else ""
        return f"{where}expected {self.expected}, got {shown(self.actual)}"


Check = Callable[[Any, str], list[Difference]]


@dataclass(frozen=True)
class Matcher:
    """A requirement on a value.

    Attributes:
        words: The requirement, to be shown.
        check: (value, path) -> where it differs; empty when it matches.
    """

    words: str
    check: Check

    def differences(self, value: Any) -> list[Difference]:
        return self.check(value, "")


def shown(value: Any, limit: int = 300) -> str:
    """A value as JSON, cut to a readable length."""
    if value is MISSING:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def equal(left: Any, right: Any) -> bool:
    """Equality of JSON values: 1 equals 1.0, but true does not equal 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return left == right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return type(left) is type(right) and bool(left == right)


# The words -------------------------------------------------------------------------------------------


def _simple(words: str, holds: Callable[[Any], bool]) -> Matcher:
    def check(value: Any, path: str) -> list[Difference]:
        return [] if holds(value) else [Difference(path, words, value)]

    return Matcher(words, check)


def _ordered(word: str, compare: Callable[[float, float], bool]) -> Callable[[Value], Matcher]:
    def reader(bound: Value) -> Matcher:
        limit = bound.json()
        if not _is_number(limit):
            bound.mismatch("a number")
        return _simple(f"{word} {limit}", lambda value: _is_number(value) and compare(value, limit))

    return reader


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def exactly(constant: Any) -> Matcher:
    """Equality with a JSON value."""
    return _simple(shown(constant), lambda value: equal(value, constant))


def at_least(limit: float) -> Matcher:
    return _simple(f"{limit} or more", lambda value: _is_number(value) and value >= limit)


def under(keys: Sequence[str], inner: Matcher) -> Matcher:
    """`inner`, for the value found by following `keys` through nested objects."""
    for key in reversed(keys):
        inner = _mapping({key: inner}, f'{{"{key}": {inner.words}}}')
    return inner


def _equals(wanted: Value) -> Matcher:
    return exactly(wanted.json())


def _matches(pattern: Value) -> Matcher:
    regex: re.Pattern[str] = pattern.pattern()
    words = f"text matching {regex.pattern!r}"
    return _simple(words, lambda value: isinstance(value, str) and regex.search(value) is not None)


def _contains(wanted: Value) -> Matcher:
    part = wanted.json()

    def holds(value: Any) -> bool:
        if isinstance(value, str):
            return isinstance(part, str) and part in value
        return isinstance(value, list) and any(equal(element, part) for element in value)

    return _simple(f"something that contains {shown(part)}", holds)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and float(value).is_integer(),
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list),
    "null": lambda value: value is None,
}


def _type(name: Value) -> Matcher:
    word = "null" if name.json() is None else name.choice(_TYPES)
    return _simple(f"a value of type {word}", _TYPES[word])


def _length(wanted: Value) -> Matcher:
    inner = read(wanted)

    def check(value: Any, path: str) -> list[Difference]:
        if not isinstance(value, (str, list, Mapping)):
            return [Difference(path, f"something of length {inner.words}", value)]
        return inner.check(len(value), f"{path}.length")

    return Matcher(f"something of length {inner.words}", check)


def _absent(value: Value) -> Matcher:
    if value.json() is not True:
        value.mismatch("true", "to ask that a key is there, use its type: {type: string}")
    return _simple("nothing", lambda actual: actual is MISSING)


MATCHERS: Mapping[str, Callable[[Value], Matcher]] = {
    "equals": _equals,
    "gt": _ordered(">", lambda value, limit: value > limit),
    "gte": _ordered("≥", lambda value, limit: value >= limit),
    "lt": _ordered("<", lambda value, limit: value < limit),
    "lte": _ordered("≤", lambda value, limit: value <= limit),
    "matches": _matches,
    "contains": _contains,
    "type": _type,
    "length": _length,
    "absent": _absent,
}


# Structure -------------------------------------------------------------------------------------------


def _all(matchers: list[Matcher]) -> Matcher:
    def check(value: Any, path: str) -> list[Difference]:
        return [difference for matcher in matchers for difference in matcher.check(value, path)]

    return Matcher(" and ".join(matcher.words for matcher in matchers), check)


def _mapping(wanted: dict[str, Matcher], words: str) -> Matcher:
    def check(value: Any, path: str) -> list[Difference]:
        if not isinstance(value, Mapping):
            return [Difference(path, words, value)]
        return [
            difference
            for key, matcher in wanted.items()
            for difference in matcher.check(value.get(key, MISSING), f"{path}.{key}")
        ]

    return Matcher(words, check)


def _list(wanted: list[Matcher], words: str) -> Matcher:
    def check(value: Any, path: str) -> list[Difference]:
        if not isinstance(value, list) or len(value) != len(wanted):
            return [Difference(path, words, value)]
        return [
            difference
            for index, matcher in enumerate(wanted)
            for difference in matcher.check(value[index], f"{path}[{index}]")
        ]

    return Matcher(words, check)


def read(value: Value) -> Matcher:
    """The matcher a scenario's value stands for.

    Raises:
        ScenarioError: A matcher has a wrong argument, or is mixed with ordinary keys.
    """
    if value.is_list:
        return _list([read(element) for element in value.elements()], shown(value.json()))
    if not value.is_mapping:
        return _equals(value)
    entries = {key.key(): (key, inner) for key, inner in value.items()}
    words = [name for name in entries if name in MATCHERS]
    if not words:
        wanted = {name: read(inner) for name, (_, inner) in entries.items()}
        return _mapping(wanted, shown(value.json()))
    for name, (key, _) in entries.items():
        if name not in MATCHERS:
            key.fail(
                f"{name!r} stands beside the matcher {words[0]!r}",
                "a mapping is either a matcher or keys to compare; for a key that is named like a matcher "
                "write {equals: {...}}",
            )
    return _all([MATCHERS[name](inner) for name, (_, inner) in entries.items()])
