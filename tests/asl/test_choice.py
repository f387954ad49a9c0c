from __future__ import annotations

from typing import Any

import pytest

from harness.asl.choice import matches_pattern
from tests.asl.helpers import details, execute

T1, T2 = "2020-01-01T00:00:00Z", "2020-01-01T01:00:00+01:00"


def takes(rule: dict[str, Any], data: Any) -> bool:
    """Whether a Choice takes this rule and not the Default."""
    definition = {
        "StartAt": "C",
        "States": {
            "C": {"Type": "Choice", "Choices": [{**rule, "Next": "Yes"}], "Default": "No"},
            "Yes": {"Type": "Pass", "Result": True, "End": True},
            "No": {"Type": "Pass", "Result": False, "End": True},
        },
    }
    outcome, _ = execute(definition, data)
    assert outcome.status == "SUCCEEDED", outcome
    return bool(outcome.output)


@pytest.mark.parametrize(
    ("operator", "operand", "matching", "others"),
    [
        ("BooleanEquals", True, [True], [False, 1, "true", None]),
        ("NumericEquals", 1, [1, 1.0], [2, True, "1", None]),
        ("NumericLessThan", 1, [0, -1.5], [1, 2, "0"]),
        ("NumericLessThanEquals", 1, [0, 1], [2, None]),
        ("NumericGreaterThan", 1, [2], [1, 0, "2"]),
        ("NumericGreaterThanEquals", 1, [1, 2], [0, []]),
        ("StringEquals", "b", ["b"], ["a", 1, None]),
        ("StringLessThan", "b", ["a", ""], ["b", "c", 1]),
        ("StringLessThanEquals", "b", ["a", "b"], ["c"]),
        ("StringGreaterThan", "b", ["c"], ["b", "a"]),
        ("StringGreaterThanEquals", "b", ["b", "c"], ["a"]),
        ("StringMatches", "log-*.txt", ["log-.txt", "log-1.txt"], ["log-1.txt2", 1]),
        ("TimestampEquals", T1, [T1, T2], ["2020-01-01T00:00:01Z", "x", 1]),
        ("TimestampLessThan", T1, ["2019-12-31T23:59:59Z"], [T1, T2]),
        ("TimestampLessThanEquals", T1, [T1, T2], ["2020-01-01T00:00:01Z"]),
        ("TimestampGreaterThan", T1, ["2020-01-01T00:00:00.001Z"], [T1]),
        ("TimestampGreaterThanEquals", T1, [T1, "2021-01-01T00:00:00Z"], ["2019-01-01T00:00:00Z"]),
        ("IsNull", True, [None], [0, "", []]),
        ("IsNull", False, [0], [None]),
        ("IsString", True, ["x"], [1, None]),
        ("IsNumeric", True, [1, 1.5], [True, "1"]),
        ("IsBoolean", True, [False], [0]),
        ("IsTimestamp", True, [T1, T2], ["2020-01-01", 1]),
    ],
)
def test_data_test(operator: str, operand: Any, matching: list[Any], others: list[Any]) -> None:
    rule = {"Variable": "$.v", operator: operand}
    assert [takes(rule, {"v": value}) for value in matching] == [True] * len(matching)
    assert [takes(rule, {"v": value}) for value in others] == [False] * len(others)
    if operator.startswith("Is") or operator == "StringMatches":
        return
    rule = {"Variable": "$.v", f"{operator}Path": "$.o"}
    assert [takes(rule, {"v": value, "o": operand}) for value in matching] == [True] * len(matching)
    assert [takes(rule, {"v": value, "o": operand}) for value in others] == [False] * len(others)


@pytest.mark.parametrize(
    ("data", "present"),
    [({"a": [1]}, True), ({"a": [None]}, True), ({"a": []}, False), ({}, False), ({"a": 1}, False)],
)
def test_is_present(data: Any, present: bool) -> None:
    assert takes({"Variable": "$.a[0]", "IsPresent": True}, data) is present
    assert takes({"Variable": "$.a[0]", "IsPresent": False}, data) is not present


def test_combinations() -> None:
    one = {"Variable": "$.n", "NumericGreaterThan": 1}
    two = {"Variable": "$.n", "NumericLessThan": 5}
    assert takes({"And": [one, two]}, {"n": 3})
    assert not takes({"And": [one, two]}, {"n": 7})
    assert takes({"Or": [{"Not": one}, {"Not": two}]}, {"n": 7})
    assert not takes({"Or": [{"Not": one}, {"Not": two}]}, {"n": 3})
    # Recorded in spirit: And stops at the first rule that does not apply, so what follows may be missing.
    assert not takes(
        {"And": [{"Variable": "$.m", "IsPresent": True}, {"Variable": "$.m", "IsNull": True}]}, {}
    )


def test_a_variable_that_leads_nowhere_ends_the_execution() -> None:
    definition = {
        "StartAt": "C",
        "States": {
            "C": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.x", "NumericEquals": 1, "Next": "E"}],
                "Default": "E",
            },
            "E": {"Type": "Succeed"},
        },
    }
    outcome, _ = execute(definition, {})
    assert (outcome.error, outcome.cause) == (
        "States.Runtime",
        "An error occurred while executing the state 'C' (entered at the event id #2). Invalid path '$.x': "
        "The choice state's condition path references an invalid value.",
    )


@pytest.mark.parametrize("language", ["JSONPath", "JSONata"])
def test_no_rule_and_no_default(language: str) -> None:
    rule = {"Condition": False} if language == "JSONata" else {"Variable": "$.x", "IsPresent": True}
    definition = {
        "StartAt": "C",
        "QueryLanguage": language,
        "States": {"C": {"Type": "Choice", "Choices": [{**rule, "Next": "E"}]}, "E": {"Type": "Succeed"}},
    }
    outcome, _ = execute(definition, {})
    assert (outcome.error, outcome.cause) == (
        "States.Runtime",
        "An error occurred while executing the state 'C' (entered at the event id #2). Failed to transition "
        "out of the state. The state does not point to a next state.",
    )


@pytest.mark.parametrize(("n", "assigned"), [(1, {"v": '"rule"'}), (2, {"v": '"default"', "n": "2"})])
def test_assign_of_the_rule_replaces_that_of_the_state(n: int, assigned: dict[str, str]) -> None:
    definition = {
        "StartAt": "C",
        "States": {
            "C": {
                "Type": "Choice",
                "Choices": [
                    {"Variable": "$.n", "NumericEquals": 1, "Next": "E", "Assign": {"v": "rule"}},
                ],
                "Default": "E",
                "Assign": {"v": "default", "n.$": "$.n"},
            },
            "E": {"Type": "Succeed"},
        },
    }
    _, execution = execute(definition, {"n": n})
    assert details(execution, "ChoiceStateExited")[0]["assignedVariables"] == assigned


def test_input_path_decides_what_rules_see_and_what_goes_out() -> None:
    definition = {
        "StartAt": "C",
        "States": {
            "C": {
                "Type": "Choice",
                "InputPath": "$.in",
                "OutputPath": "$.deep",
                "Choices": [{"Variable": "$.go", "BooleanEquals": True, "Next": "E"}],
            },
            "E": {"Type": "Succeed"},
        },
    }
    outcome, _ = execute(definition, {"in": {"go": True, "deep": 5}})
    assert outcome.output == 5


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("*", "", True),
        ("", "", True),
        ("", "x", False),
        ("a*", "abc", True),
        ("*c", "abc", True),
        ("a*c*e", "abcde", True),
        ("a*e*c", "abcde", False),
        ("ab*ba", "aba", False),
        ("\\*", "*", True),
        ("\\*", "x", False),
        ("a\\\\b", "a\\b", True),
        ("a.c", "abc", False),
        ("*a*a*a*a*a*a*a*a*a*a*a*a*b", "a" * 5000, False),
    ],
)
def test_string_matches(pattern: str, text: str, matches: bool) -> None:
    assert matches_pattern(text, pattern) is matches
