"""The language against its reference implementation: `corpus.jsonl` is what `referee.js` says."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from harness.asl.jsonata.base import Frame
from harness.asl.jsonata.budget import Budget
from harness.asl.jsonata.builtin import LIBRARY
from harness.asl.jsonata.errors import JsonataError
from harness.asl.jsonata.evaluator import Evaluator
from harness.asl.jsonata.parser import parse
from harness.asl.jsonata.values import MISSING, Function, number_text
from harness.asl.regex import RegexError

HERE = Path(__file__).parent
INPUT = json.loads((HERE / "input.json").read_text("utf-8"))
CORPUS = [json.loads(line) for line in (HERE / "corpus.jsonl").read_text("utf-8").strip().split("\n")]

Outcome = dict[str, Any]


class Services:
    entropy = random.Random(0)

    def millis(self) -> int:
        return 1_700_000_000_000


def as_json(value: Any) -> Any:
    """A value as JavaScript's JSON.stringify has it."""
    if isinstance(value, float) and not math.isfinite(value):
        return number_text(value)
    if isinstance(value, list):
        return [None if element is MISSING else as_json(element) for element in value]
    if isinstance(value, dict):
        return {
            name: as_json(member)
            for name, member in value.items()
            if member is not MISSING and not isinstance(member, Function)
        }
    return value


def outcome_of(expression: str) -> Outcome:
    try:
        tree = parse(expression)
    except JsonataError as error:
        return {"syntax": error.code, "message": error.message}
    except RegexError as error:
        return {"message": str(error)}
    try:
        value = Evaluator(Budget(), Services()).evaluate(tree, INPUT, Frame(Frame(None, dict(LIBRARY))))
    except JsonataError as error:
        return {"code": error.code, "message": error.message}
    except OverflowError:
        return {"code": "D1001", "message": "Number out of range: null"}
    return {} if value is MISSING else {"value": as_json(value)}


def comparable(outcome: Outcome) -> str:
    """Large numbers are the same if they are the same double."""
    if isinstance(outcome.get("value"), int | float) and abs(outcome["value"]) > 2**53:
        outcome = {"value": float(outcome["value"])}
    return json.dumps(outcome, sort_keys=True)


@pytest.mark.parametrize("case", CORPUS, ids=[case["expression"] for case in CORPUS])
def test_expression_as_the_reference_implementation_has_it(case: Outcome) -> None:
    expected = {name: value for name, value in case.items() if name != "expression"}
    assert comparable(outcome_of(case["expression"])) == comparable(expected)


def test_members_come_in_the_order_in_which_they_are_made() -> None:
    assert list(outcome_of('$merge([{"b": 1}, {"a": 2}])')["value"]) == ["b", "a"]


@pytest.mark.parametrize(
    ("expression", "outcome"),
    [
        # Measured on AWS, where they are not what the reference implementation makes of them.
        (
            '$formatNumber(1, "x")',
            {
                "code": "D3086",
                "message": "The sub-picture must not contain a passive character that is preceded by an "
                "active character and that is followed by another active character",
            },
        ),
        ('$eval("1+1")', {"code": "T1006", "message": "Attempted to invoke a non-function"}),
        ('$parse("{\\"a\\": [1.0, null]}").a', {"value": [1, None]}),
        ("$partition([1, 2, 3], 2)", {"value": [[1, 2], [3]]}),
        ("$partition([1, 2, 3], 2.9)", {"value": [[1, 2], [3]]}),
        ("$range(0, 6, 2)", {"value": [0, 2, 4, 6]}),
        ("$range(0, 5, 2)", {"value": [0, 2, 4]}),
        ("$range(-1.7, 2, 1)", {"value": [-1, 0, 1, 2]}),
        ("$range(3, 1, -1)", {"value": [3, 2, 1]}),
        ("$count($range(1, 200000, 1))", {"value": 200000}),
        ('$hash("input", "SHA-1")', {"value": "140f86aae51ab9e1cda9b4254fe98a74eb54c1a1"}),
        ("$random(42)", {"value": 0.7275636800328681}),
        ("$random(0)", {"value": 0.730967787376657}),
        ("$string(1e20)", {"value": "100000000000000000000"}),
        ("1/0", {"value": "Infinity"}),
        ("-1/0", {"value": "-Infinity"}),
        ("1e308 * 10", {"value": "Infinity"}),
    ],
)
def test_expression_as_step_functions_has_it(expression: str, outcome: Outcome) -> None:
    assert outcome_of(expression) == outcome


def test_seeded_random_numbers_are_those_of_java() -> None:
    assert outcome_of("$random(-1.5)") == outcome_of("$random(-1)")
    assert outcome_of("$random(1)")["value"] == 0.7308781907032909
