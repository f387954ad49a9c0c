"""Data, definitions and queries that are out to exhaust the interpreter end in a States error, soon."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.asl import validate
from harness.asl.jsonpath.path import parse_path
from tests.asl.helpers import chain, execute, failure_of, output_of, single

DEEP = 100_000
"""Levels: Python's own stack ends at a hundredth of that."""


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


def wrapped(text: str, depth: int = DEEP) -> str:
    return "[" * depth + text + "]" * depth


@pytest.mark.parametrize(
    "definition",
    [
        wrapped(""),
        '{"a":' * DEEP + "1" + "}" * DEEP,
        json.dumps(single({"Type": "Pass", "Result": 0})).replace("0", wrapped("1")),
        json.dumps(single({"Type": "Pass", "Parameters": {"a": 0}})).replace("0", wrapped("1")),
    ],
)
def test_definitions_nested_too_deeply(definition: str) -> None:
    assert any(finding.severity == "ERROR" for finding in validate(definition))


@pytest.mark.parametrize(
    "state",
    [
        {"Type": "Pass", "Result": nested(5_000)},
        {"Type": "Pass", "Parameters": nested(5_000)},
        {"Type": "Pass", "QueryLanguage": "JSONata", "Output": nested(5_000)},
        {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% " + wrapped("1", 5_000) + " %}"},
        {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% " + "-" * 5_000 + "1 %}"},
        {"Type": "Pass", "Parameters": {"a.$": "$.a[?(" + "(" * 5_000 + "@" + ")" * 5_000 + ")]"}},
        {"Type": "Pass", "Parameters": {"a.$": "$" + "[?(@" * 2_000 + ")]" * 2_000}},
    ],
)
def test_definitions_that_are_nested_deeply_are_refused_or_run(state: dict[str, Any]) -> None:
    findings = validate(single(state))
    if not any(finding.severity == "ERROR" for finding in findings):
        outcome, _ = execute(single(state))
        assert outcome.status in ("SUCCEEDED", "FAILED")


@pytest.mark.slow
@pytest.mark.parametrize(
    "state",
    [
        {"Type": "Pass"},
        {"Type": "Pass", "Parameters": {"a.$": "$..x"}},
        {"Type": "Pass", "Parameters": {"a.$": "$..*..*"}},
        {"Type": "Pass", "Parameters": {"a.$": "$[?(@..* == 1)]"}},
        {"Type": "Pass", "Parameters": {"a.$": "States.JsonToString($)"}},
        {"Type": "Pass", "Parameters": {"a.$": "States.Hash($, 'MD5')"}},
        {"Type": "Pass", "Parameters": {"a.$": "States.Format('{}', $)"}},
        {"Type": "Pass", "Parameters": {"a.$": "States.ArrayContains(States.Array($), $)"}},
        {"Type": "Pass", "Parameters": {"a.$": "States.ArrayUnique(States.Array($, $))"}},
        {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% $string($states.input) %}"},
        {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% $states.input.** %}"},
        {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% $states.input = [$states.input] %}"},
        {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% [$states.input] %}"},
        {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% $states.input ~> |**|{}| %}"},
        {"Type": "Map", "ItemProcessor": {"StartAt": "I", "States": {"I": {"Type": "Pass", "End": True}}}},
    ],
)
def test_input_nested_deeply(state: dict[str, Any]) -> None:
    outcome, execution = execute(single(state), nested(10_000))
    assert outcome.status in ("SUCCEEDED", "FAILED")
    assert outcome.status == "SUCCEEDED" or (outcome.error or "").startswith("States.")
    assert len(list(execution.history.describe())) == len(execution.history)


BROAD = {"a": [{"b": {"c": index, "d": [index] * 3}} for index in range(1_500)]}


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        "$..*..*..*..*..*..*..*..*",
        "$" + "[0,0,0,0,0,0,0,0]" * 12,
        "$" + "..*" * 60,
        "$.a[?(@..*..*..*..*..* == $..*..*..*..*)]",
        "$..[?($..[?($..[?($..*)])])]",
    ],
)
def test_paths_that_multiply_what_they_find(path: str) -> None:
    data = nested(12) if path.startswith("$[0,0") else nested(400) if "..*..*..*..*..*..*" in path else BROAD
    error, cause = failure_of({"Type": "Pass", "Parameters": {"r.$": path}}, data)
    assert error in ("States.Runtime", "States.DataLimitExceeded")
    assert cause


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*$", "([a-z]+)*1", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_filters_that_backtrack_without_end(pattern: str) -> None:
    path = f"$.a[?(@.b =~ /{pattern}/)]"
    error, cause = failure_of({"Type": "Pass", "InputPath": path}, {"a": [{"b": "a" * 60 + "!"}]})
    assert error == "States.Runtime"
    assert cause is not None
    assert "too many steps" in cause


@pytest.mark.parametrize(
    ("call", "data"),
    [
        ("States.ArrayRange(0, 2147483647, 1)", {}),
        ("States.ArrayRange(-2147483648, 2147483647, 1000)", {}),
        ("States.ArrayPartition($, 0.4)", [1] * 50_000),
        ("States.Base64Encode($)", "x" * 200_000),
        ("States.Base64Decode($)", "QQ==" * 50_000),
        ("States.Hash($, 'SHA-512')", "x" * 200_000),
        ("States.MathAdd($, 1)", 10**400),
        ("States.MathAdd($, 1)", 1e308),
        ("States.StringToJson($)", "[" * 100_000),
        ("States.StringToJson($)", "1" * 100_000),
        ("States.Format($, 1)", "{}" * 100_000),
    ],
)
def test_functions_on_large_arguments(call: str, data: Any) -> None:
    error, _ = failure_of({"Type": "Pass", "Parameters": {"r.$": call}}, data)
    assert error == "States.IntrinsicFailure"


@pytest.mark.slow
def test_functions_on_large_arguments_that_fit() -> None:
    def evaluate(call: str, data: Any) -> Any:
        return output_of({"Type": "Pass", "Parameters": {"r.$": call}}, data)["r"]

    assert len(evaluate("States.ArrayUnique($)", list(range(40_000)))) == 40_000
    assert len(evaluate("States.ArrayPartition($, 1)", [1] * 50_000)) == 50_000
    assert evaluate("States.ArrayLength(States.StringSplit($, ','))", "a," * 60_000) == 60_000
    assert evaluate("States.ArrayContains($, 'x')", ["y"] * 50_000) is False


@pytest.mark.slow
def test_an_express_execution_that_goes_round_and_round_comes_to_an_end() -> None:
    definition = {
        "StartAt": "A",
        "States": {
            "A": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.stop", "IsPresent": True, "Next": "C"}],
                "Default": "B",
            },
            "B": {"Type": "Pass", "Next": "A"},
            "C": {"Type": "Succeed"},
        },
    }
    outcome, _ = execute(definition, {}, workflow_type="EXPRESS")
    assert (outcome.status, outcome.error) == ("FAILED", "States.Runtime")


@pytest.mark.slow
def test_data_that_grows_in_a_loop_reaches_a_limit() -> None:
    for language, fields in (
        ("JSONPath", {"Parameters": {"a.$": "$", "b.$": "$"}}),
        ("JSONPath", {"Parameters": {"a.$": "States.Format('{}{}', $, $)"}}),
        ("JSONata", {"Output": "{% {'a': $states.input, 'b': $states.input} %}"}),
        ("JSONata", {"Assign": {"x": "{% [$x, $x, $states.input] %}"}}),
    ):
        test = {"Next": "Z", "Condition": "{% false %}"}
        if language == "JSONPath":
            test = {"Next": "Z", "Variable": "$.never", "IsPresent": True}
        definition = chain(
            ("I", {"Type": "Pass", **({"Assign": {"x": 1}} if language == "JSONata" else {})}),
            ("A", {"Type": "Pass", **fields}),
            ("B", {"Type": "Pass"}),
            ("Z", {"Type": "Succeed"}),
            QueryLanguage=language,
        )
        definition["States"]["B"] = {"Type": "Choice", "Choices": [test], "Default": "A"}
        definition["TimeoutSeconds"] = 100_000
        outcome, _ = execute(definition, {"k": "v"})
        assert (outcome.status, outcome.error) == ("FAILED", "States.DataLimitExceeded"), fields


def test_paths_are_linear_where_they_can_be() -> None:
    assert len(parse_path("$..*").select(BROAD)) == 1 + 1_500 * 7
    assert parse_path("$..[?(@.c == 7)].c").select(BROAD) == [7]
