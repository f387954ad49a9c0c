"""How data goes through a JSONPath state, and what simple states do with it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.asl.helpers import INVOKE, answering, chain, details, execute, failure_of, output_of, shape, single

INPUT = {"a": {"b": [1, 2]}, "n": 7}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, INPUT),
        ({"InputPath": "$.a"}, {"b": [1, 2]}),
        ({"InputPath": None}, {}),
        ({"InputPath": "$$.Execution.Name"}, "one"),
        ({"Parameters": {"x.$": "$.n", "y": ["$.n", {"z.$": "$.a.b[1]"}]}}, {"x": 7, "y": ["$.n", {"z": 2}]}),
        ({"InputPath": "$.a", "Parameters": {"x.$": "$.b[0]"}}, {"x": 1}),
        ({"Parameters": {"x.$": "$.a.b[5]"}}, {"x": None}),
        ({"Parameters": {"x.$": "$.a.b[5:]"}}, {"x": []}),
        ({"Result": {"x.$": "$.n"}}, {"x.$": "$.n"}),
        ({"Result": 1, "ResultPath": "$.r"}, {**INPUT, "r": 1}),
        ({"Result": 9, "ResultPath": "$.a.b[0]"}, {"a": {"b": [9, 2]}, "n": 7}),
        ({"Result": 9, "ResultPath": "$.new.deep"}, {**INPUT, "new": {"deep": 9}}),
        ({"Result": 9, "ResultPath": None}, INPUT),
        ({"Result": 9, "ResultPath": "$"}, 9),
        ({"OutputPath": "$.a.b"}, [1, 2]),
        ({"OutputPath": None}, {}),
        ({"OutputPath": "$.a.b[*]"}, [1, 2]),
        ({"Result": 3, "ResultPath": "$.r", "OutputPath": "$.r"}, 3),
    ],
)
def test_pass(fields: dict[str, Any], expected: Any) -> None:
    document = copy.deepcopy(INPUT)
    assert output_of({"Type": "Pass", **fields}, document) == expected
    assert document == INPUT  # data is shared, so nothing may change it


@pytest.mark.parametrize("kind", ["Pass", "Succeed", "Wait", "Task", "Parallel"])
def test_input_and_output_path_work_in_every_state_that_has_them(kind: str) -> None:
    branch = {"StartAt": "B", "States": {"B": {"Type": "Pass", "End": True}}}
    own: dict[str, dict[str, Any]] = {
        "Wait": {"Seconds": 0},
        "Task": {"Resource": INVOKE},
        "Parallel": {"Branches": [branch]},
    }
    tasks = answering({"b": [3]})
    state = {"Type": kind, "InputPath": "$.a", "OutputPath": "$", **own.get(kind, {})}
    output = output_of(state, INPUT, tasks=tasks)
    expected = {"Task": {"b": [3]}, "Parallel": [{"b": [1, 2]}]}
    assert output == expected.get(kind, {"b": [1, 2]})
    if kind == "Task":
        assert tasks.requests[0].arguments == {"b": [1, 2]}


def test_result_selector_and_result_path_of_a_task() -> None:
    state = {
        "Type": "Task",
        "Resource": INVOKE,
        "Parameters": {"FunctionName": "f", "Payload.$": "$"},
        "ResultSelector": {"v.$": "$.Payload.v", "all.$": "$"},
        "ResultPath": "$.r",
    }
    tasks = answering({"Payload": {"v": 1}, "StatusCode": 200})
    output = output_of(state, INPUT, tasks=tasks)
    assert output == {**INPUT, "r": {"v": 1, "all": {"Payload": {"v": 1}, "StatusCode": 200}}}
    assert tasks.requests[0].arguments == {"FunctionName": "f", "Payload": INPUT}


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        (
            {"InputPath": "$.x"},
            "States.Runtime",
            "The JSONPath '$.x' specified for the field 'InputPath' could not be found in the input "
            '\'{"a":{"b":[1,2]},"n":7}\'',
        ),
        (
            {"Parameters": {"p": {"q.$": "$.x"}}},
            "States.Runtime",
            "The JSONPath '$.x' specified for the field 'q.$' could not be found in the input "
            '\'{"a":{"b":[1,2]},"n":7}\'',
        ),
        (
            {"Parameters": {"q.$": "$nope"}},
            "States.Runtime",
            "The JSONPath '$nope' specified for the field 'q.$' could not be found in the input "
            '\'{"a":{"b":[1,2]},"n":7}\'',
        ),
        (
            {"Result": 1, "ResultPath": "$.n.deep"},
            "States.ResultPathMatchFailure",
            'Unable to apply ReferencePath $.n.deep to input 7',
        ),
        (
            {"Result": 1, "ResultPath": "$.a.b[9]"},
            "States.ResultPathMatchFailure",
            "Unable to apply ReferencePath $.a.b[9] to input [1,2]",
        ),
    ],
)  # fmt: skip
def test_data_that_is_not_there_fails_the_execution(fields: dict[str, Any], error: str, text: str) -> None:
    prefix = "An error occurred while executing the state 'S' (entered at the event id #2). "
    assert failure_of({"Type": "Pass", **fields}, INPUT) == (error, prefix + text)


def test_context_object_of_a_task_has_a_retry_count() -> None:
    tasks = answering(1)
    state = {"Type": "Task", "Resource": INVOKE, "Parameters": {"c.$": "$$"}, "ResultPath": None}
    output = output_of(state, {}, tasks=tasks)
    assert output == {}
    assert tasks.requests[0].arguments["c"]["State"] == {
        "Name": "S",
        "EnteredTime": "2023-11-14T22:13:20.000Z",
        "RetryCount": 0,
    }
    assert tasks.requests[0].context["Execution"]["StartTime"] == "2023-11-14T22:13:20.000Z"


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({}, (None, None)),
        ({"Error": "E", "Cause": "c"}, ("E", "c")),
        ({"ErrorPath": "$.e", "CausePath": "States.Format('because {}', $.n)"}, ("given", "because 7")),
        ({"Error": "E", "CausePath": "$$.Execution.Name"}, ("E", "one")),
    ],
)
def test_fail(fields: dict[str, Any], outcome: tuple[str | None, str | None]) -> None:
    assert failure_of({"Type": "Fail", **fields}, {"e": "given", "n": 7}) == outcome
    _, execution = execute(single({"Type": "Fail", **fields}), {"e": "given", "n": 7})
    (recorded,) = details(execution, "ExecutionFailed")
    assert recorded == {key: value for key, value in zip(("error", "cause"), outcome, strict=True) if value}


def test_fail_with_a_path_to_something_else_than_text() -> None:
    error, cause = failure_of({"Type": "Fail", "ErrorPath": "$.n"}, {"n": 7})
    assert error == "States.Runtime"
    assert cause is not None
    assert "ErrorPath" in cause


def test_each_event_follows_from_the_one_before() -> None:
    definition = chain(
        ("A", {"Type": "Pass"}), ("B", {"Type": "Wait", "Seconds": 1}), ("C", {"Type": "Succeed"})
    )
    _, execution = execute(definition)
    assert shape(execution) == [
        "0->1 ExecutionStarted",
        "0->2 PassStateEntered",
        "2->3 PassStateExited",
        "3->4 WaitStateEntered",
        "4->5 WaitStateExited",
        "5->6 SucceedStateEntered",
        "6->7 SucceedStateExited",
        "7->8 ExecutionSucceeded",
    ]
