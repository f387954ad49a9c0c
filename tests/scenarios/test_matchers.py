"""What a value must be: every matcher, both ways."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.scenarios.matchers import MATCHERS, MISSING, read
from harness.scenarios.yamlfile import parse


def differences(requirement: str, value: object) -> list[str]:
    matcher = read(parse(requirement, Path("x.yaml")))
    return [str(difference) for difference in matcher.differences(value)]


CASES = [
    # requirement, values that meet it, values that do not
    ("3", [3, 3.0], [4, "3", True, None, MISSING]),
    ("true", [True], [1, "true", False]),
    ("null", [None], [0, "", False, MISSING]),
    ("'3'", ["3"], [3]),
    ("{equals: {a: 1}}", [{"a": 1}, {"a": 1.0}], [{"a": 1, "b": 2}, {}]),
    ("{equals: {gte: 1}}", [{"gte": 1}], [1]),
    ("{equals: [1, [true]]}", [[1, [True]]], [[1, [1]], [1]]),
    ("{gt: 1}", [1.1, 2], [1, "2", True, MISSING]),
    ("{gte: 0.85}", [0.85, 1], [0.84, None]),
    ("{lt: 1}", [0.9], [1, 2]),
    ("{lte: 1}", [1, 0], [1.1]),
    ("{gte: 1, lt: 2}", [1, 1.9], [0.9, 2]),
    ("{matches: '^Algorithm'}", ["AlgorithmError: x"], ["an AlgorithmError", 3, MISSING]),
    ("{contains: b}", ["abc", ["a", "b"]], ["ac", ["a"], 3, {"b": 1}]),
    ("{contains: {a: 1}}", [[{"a": 1}]], [[{"a": 2}], "a"]),
    ("{type: string}", [""], [1, None]),
    ("{type: number}", [1, 1.5], [True, "1"]),
    ("{type: integer}", [1, 2.0], [1.5, True]),
    ("{type: boolean}", [True], [1]),
    ("{type: object}", [{}], [[]]),
    ("{type: array}", [[]], [{}]),
    ("{type: null}", [None], [0, MISSING]),
    ("{length: 2}", ["ab", [1, 2], {"a": 1, "b": 2}], ["a", [], 2]),
    ("{length: {gte: 1}}", [[1]], [[]]),
    ("{absent: true}", [MISSING], [None, 1]),
    # a mapping is a part of what must be there; a list is all of it
    ("{a: 1}", [{"a": 1}, {"a": 1, "b": 2}], [{"b": 2}, [1], "a"]),
    ("{a: {absent: true}}", [{}, {"b": 1}], [{"a": None}]),
    ("{a: {b: {gte: 1}}}", [{"a": {"b": 1}}], [{"a": {"b": 0}}, {"a": 1}]),
    ("[1, {gte: 2}]", [[1, 2], [1, 3]], [[1], [1, 2, 3], [1, 1], 1]),
    ("{}", [{}, {"a": 1}], [[], None]),
]


@pytest.mark.parametrize(("requirement", "good", "bad"), CASES, ids=[case[0] for case in CASES])
def test_matchers(requirement, good, bad):
    for value in good:
        assert differences(requirement, value) == []
    for value in bad:
        assert differences(requirement, value), value


def test_every_matcher_has_a_case():
    assert {word for word in MATCHERS if not any(f"{{{word}:" in case[0] for case in CASES)} == set()


def test_a_difference_says_where_and_what():
    assert differences("{a: [{b: {gte: 0.85}}], c: x}", {"a": [{"b": 0.5}], "d": 1}) == [
        "a[0].b: expected ≥ 0.85, got 0.5",
        'c: expected "x", got nothing',
    ]
