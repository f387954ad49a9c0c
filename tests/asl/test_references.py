"""The variables that states refer to."""

from __future__ import annotations

from typing import Any

from harness.asl.references import variable_references

from .helpers import INVOKE, single

PROCESSOR = {
    "StartAt": "Inner",
    "States": {"Inner": {"Type": "Pass", "Parameters": {"v.$": "$deep.x"}, "End": True}},
}


def of(state: dict[str, Any], **machine: Any) -> list[str]:
    return variable_references(single(state, **machine)).get("S", [])


def test_jsonpath() -> None:
    assert of({"Type": "Pass", "InputPath": "$a.b", "OutputPath": "$c"}) == ["a", "c"]
    assert of({"Type": "Pass", "Parameters": {"p.$": "States.Format('$no {}', $yes)", "lit": "$no"}}) == [
        "yes"
    ]
    assert of({"Type": "Pass", "Parameters": {"p.$": r"States.Format('it\'s $no {}', $yes)"}}) == ["yes"]
    assert of({"Type": "Pass", "Parameters": {"p.$": "$$.Execution.Id", "q.$": "$.x", "myPath": "$no"}}) == []
    assert of({"Type": "Pass", "Assign": {"x.$": "$y"}, "ResultPath": "$.z"}) == ["y"]
    choice = {"Variable": "$v", "StringEqualsPath": "$w", "Next": "S"}
    assert of({"Type": "Choice", "Choices": [{"Not": choice, "Next": "S"}, choice]}) == ["v", "w"]
    assert of({"Type": "Wait", "SecondsPath": "$s"}) == ["s"]
    assert of({"Type": "Task", "Resource": INVOKE, "TimeoutSecondsPath": "$t"}) == ["t"]


def test_jsonata() -> None:
    output = "{% ($own := $outer; $map([1], function($v) { $v + $own + $sum($list) }); $states.input) %}"
    state = {"Type": "Pass", "Output": {"a": [output, "$no"]}, "Comment": "{% $no %}"}
    assert of(state, QueryLanguage="JSONata") == ["list", "outer"]
    assert of({**state, "QueryLanguage": "JSONata"}) == ["list", "outer"]
    assert of({"Type": "Pass", "Output": "{% $items@$i.{'n': $i} %}"}, QueryLanguage="JSONata") == ["items"]


def test_nested_states_have_their_own() -> None:
    both = {"Type": "Map", "ItemsPath": "$list", "ItemProcessor": PROCESSOR}
    assert variable_references(single(both)) == {"S": ["list"], "Inner": ["deep"]}
    parallel = {"Type": "Parallel", "Branches": [PROCESSOR]}
    assert variable_references(single(parallel)) == {"Inner": ["deep"]}
