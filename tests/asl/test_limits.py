from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.asl import Outcome
from harness.asl.diagnostics import Place
from harness.asl.frame import Engine, Frame
from harness.asl.history import History
from harness.asl.payload import jsonpath_template
from harness.asl.values import PAYLOAD_LIMIT, json_size, json_text
from harness.clock import SkippingClock
from tests.asl.helpers import (
    CONTEXT,
    INVOKE,
    answering,
    chain,
    execute,
    failure_of,
    output_of,
    shape,
    single,
    types,
)

BIG = "x" * (PAYLOAD_LIMIT - 2)  # with its quotes, just within the limit
TOO_LARGE = (
    "States.DataLimitExceeded",
    "The state/task 'S' returned a result with a size exceeding the maximum number of bytes service limit.",
)


def test_just_within_the_limit() -> None:
    assert output_of({"Type": "Pass", "Result": BIG}) == BIG


@pytest.mark.parametrize(
    ("state", "data"),
    [
        ({"Type": "Pass", "Result": BIG + "x"}, {}),
        ({"Type": "Pass", "Parameters": {"a.$": "$"}}, BIG),
        ({"Type": "Pass", "Parameters": {"a.$": "$", "b.$": "$"}}, "x" * (PAYLOAD_LIMIT // 2)),
        ({"Type": "Pass", "Parameters": {"a.$": "States.Array($, $)"}}, "x" * (PAYLOAD_LIMIT // 2)),
        ({"Type": "Pass", "Result": "y" * 1000, "ResultPath": "$.r"}, {"a": "x" * (PAYLOAD_LIMIT - 500)}),
        ({"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% $states.input & 'é' %}"}, "é" * 131_071),
    ],
)
def test_data_that_is_too_large(state: dict[str, Any], data: Any) -> None:
    assert failure_of(state, data) == TOO_LARGE


@pytest.mark.parametrize(
    ("resource", "source", "event"),
    [
        (INVOKE, "lambda", "TaskFailed"),
        ("arn:aws:states:::aws-sdk:s3:getObject", "aws-sdk:s3", "TaskFailed"),
        ("arn:aws:lambda:us-east-1:123456789012:function:f", None, "LambdaFunctionFailed"),
    ],
)
def test_a_result_that_is_too_large_fails_its_task(resource: str, source: str | None, event: str) -> None:
    state = {"Type": "Task", "Resource": resource}
    outcome, execution = execute(single(state), tasks=answering(BIG + "x"))
    error = (TOO_LARGE[0], TOO_LARGE[1].replace("'S'", f"'{source or resource}'"))
    assert (outcome.error, outcome.cause) == error
    assert types(execution)[-2:] == [event, "ExecutionFailed"]


def test_data_that_is_too_large_can_be_caught_by_its_name() -> None:
    definition = single(
        {
            "Type": "Task",
            "Resource": INVOKE,
            "Catch": [{"ErrorEquals": ["States.DataLimitExceeded"], "Next": "E"}],
        }
    )
    definition["States"]["E"] = {"Type": "Succeed"}
    outcome, execution = execute(definition, tasks=answering(BIG + "x"))
    assert outcome.output["Error"] == "States.DataLimitExceeded"
    assert types(execution)[4:6] == ["TaskFailed", "TaskStateExited"]


def test_what_grows_in_a_loop_meets_the_limit() -> None:
    definition = {
        "StartAt": "Grow",
        "States": {
            "Grow": {"Type": "Pass", "Parameters": {"a.$": "$", "b.$": "$"}, "Next": "Again"},
            "Again": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.stop", "IsPresent": True, "Next": "End"}],
                "Default": "Grow",
            },
            "End": {"Type": "Succeed"},
        },
    }
    outcome, execution = execute(definition, {"x": 1})
    assert outcome.error == "States.DataLimitExceeded"
    # From 7 bytes to twice as much and 11 more, each time: the fourteenth is the first above the limit.
    assert types(execution).count("PassStateEntered") == 14


def test_the_limit_is_not_met_by_what_only_passes_through() -> None:
    data = {"x": "y" * 200_000}
    states = [(f"S{i}", {"Type": "Pass", "Result": i, "ResultPath": "$.i"}) for i in range(40)]
    outcome, _ = execute(chain(*states), data)
    assert outcome.output == {**data, "i": 39}


def test_all_variables_together_are_limited() -> None:
    """52 variables of 200 kB are within 10 MiB, 53 are not; one that is assigned again counts once."""
    value = "{% $pad('a', 200000) %}"

    def outcome_of(names: list[str]) -> Outcome:
        states = [(f"S{i}", {"Type": "Pass", "Assign": {name: value}}) for i, name in enumerate(names)]
        return execute(chain(*states, QueryLanguage="JSONata"))[0]

    assert outcome_of([f"v{i}" for i in range(52)]).status == "SUCCEEDED"
    assert outcome_of(["v"] * 60).status == "SUCCEEDED"
    assert outcome_of([f"v{i}" for i in range(53)]).error == "States.DataLimitExceeded"


def test_standard_executions_have_25000_events() -> None:
    """Measured on AWS: event 25,000 is the failure and follows from event 24,999."""
    definition = {
        "StartAt": "Loop",
        "States": {
            "Loop": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.stop", "IsPresent": True, "Next": "End"}],
                "Default": "Loop",
            },
            "End": {"Type": "Succeed"},
        },
    }
    outcome, execution = execute(definition)
    assert shape(execution)[-2:] == ["24998->24999 ChoiceStateExited", "24999->25000 ExecutionFailed"]
    assert (outcome.error, outcome.cause) == (
        "States.Runtime",
        "The execution reached the maximum number of history events (25000).",
    )


def test_the_event_limit_in_a_branch_ends_the_execution() -> None:
    loop = {
        "StartAt": "L",
        "States": {
            "L": {"Type": "Pass", "Next": "C"},
            "C": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.s", "IsPresent": True, "Next": "E"}],
                "Default": "L",
            },
            "E": {"Type": "Succeed"},
        },
    }
    wait = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 9, "End": True}}}
    parallel = {
        "Type": "Parallel",
        "Branches": [loop, wait],
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "X"}],
    }
    definition = single(parallel)
    definition["States"]["X"] = {"Type": "Succeed"}
    outcome, execution = execute(definition)
    assert outcome.status == "FAILED"
    assert (len(execution.history), types(execution)[-1]) == (25_000, "ExecutionFailed")


def test_express_executions_have_no_event_limit() -> None:
    states = [(f"S{i}", {"Type": "Pass"}) for i in range(13_000)]
    outcome, execution = execute(chain(*states), workflow_type="EXPRESS")
    assert outcome.status == "SUCCEEDED"
    assert len(execution.history) == 26_002


def test_data_may_be_nested_deeper_than_pythons_stack() -> None:
    states = [(f"S{i}", {"Type": "Pass", "Parameters": {"d.$": "$"}}) for i in range(3000)]
    outcome, execution = execute(chain(*states))
    assert outcome.status == "SUCCEEDED"
    text = json_text(outcome.output)
    assert text == '{"d":' * 3000 + "{}" + "}" * 3000
    assert execution.history[-1].as_dict()["executionSucceededEventDetails"]["output"] == text


def test_what_cannot_cope_with_deep_data_fails_the_execution() -> None:
    one: Any = {}
    other: Any = {}
    for _ in range(3000):
        one, other = [one], [other]
    state = {"Type": "Pass", "Parameters": {"same.$": "States.ArrayContains($.all, $.one)"}}
    error, cause = failure_of(state, {"all": [other], "one": one})
    assert error == "States.Runtime"
    assert "nested too deeply" in (cause or "")


DATA = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
CALLS = st.sampled_from(
    [
        "$",
        "$.x",
        "$.s",
        "$[*]",
        "$..*",
        "$$",
        "$v",
        "States.Array($, $.s, 'é\\'\"')",
        "States.ArrayPartition(States.Array($, $.x, 1, 2), 1)",
        "States.Base64Encode($.s)",
        "States.Base64Decode(States.Base64Encode($.s))",
        "States.Format('{} \\{\\} {}', $, $.s)",
        "States.Hash($.s, 'SHA-512')",
        "States.JsonToString(States.JsonToString($))",
        "States.StringSplit($.s, 'abc')",
        "States.StringToJson(States.JsonToString($))",
        "States.ArrayRange(-1000000, 1000, 1002)",
        "States.UUID()",
    ]
)
HOLES = st.dictionaries(st.text('abcé"\\', max_size=5).map(lambda name: f"{name}.$"), CALLS, max_size=4)
TEMPLATES = st.recursive(
    HOLES,
    lambda children: (
        st.lists(children | DATA, max_size=3)
        | st.dictionaries(st.sampled_from(["p", "q"]), children | DATA, max_size=2)
    ),
    max_leaves=6,
)


@settings(max_examples=300)
@example({"a.$": "$..*"}, {"a": [1, {"b": "text"}]}, None, "")
@example({"a.$": "$['x','s']['length','length']"}, {"length": "a" * 300}, None, "")
@example({"a.$": "States.Array($.x[0,0,0,0,0,0])"}, ["a" * 300], None, "")
@given(TEMPLATES, DATA, DATA, st.text(max_size=60))
def test_bounds_of_sizes_are_never_too_small(template: Any, x: Any, variable: Any, text: str) -> None:
    """`Frame.room` and what is worked out from it stand in for measuring, so they must hold."""
    place = Place()
    compiled = jsonpath_template(template, place)
    if place.findings:
        return
    data = {"x": x, "s": text}
    clock = SkippingClock(0.0)
    context = {**CONTEXT, "Execution": {**CONTEXT["Execution"], "Input": data}}
    engine = Engine(History(), context, clock, answering(), random.Random(0), "r")
    room = max(json_size(context), json_size(variable)) + 200
    frame = Frame(engine, data, {"v": variable}, 0, room)
    value, bound = frame.fill(compiled, data)
    assert json_size(value) <= bound
    assert frame.room >= bound


@given(DATA)
def test_json_text_without_recursion_is_the_same(value: Any) -> None:
    from harness.asl.values import _encode_deep

    assert _encode_deep(value) == json_text(value)
    assert json.loads(json_text(value)) == value
