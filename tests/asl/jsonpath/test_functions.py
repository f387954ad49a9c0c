from __future__ import annotations

import uuid
from typing import Any

import pytest

from harness.asl import validate
from harness.asl.jsonpath.functions import FUNCTIONS
from tests.asl.helpers import failure_of, output_of, single

OBJECT = {"k": "v", "n": [1, {"x": None}]}
INPUT = {
    "array": [1, 2, 3, 3, True, 1],
    "text": "a,b;c",
    "object": OBJECT,
    "number": 2.5,
    "json": '{"a": [1, null]}',
    "quote": "it's {}",
}


def evaluate(call: str, seed: int = 0) -> Any:
    return output_of({"Type": "Pass", "Parameters": {"r.$": call}}, INPUT, seed=seed)["r"]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("States.Array()", []),
        ("States.Array('x', 1, -2.5, true, null, $.number)", ["x", 1, -2.5, True, None, 2.5]),
        ("States.ArrayPartition($.array, 4)", [[1, 2, 3, 3], [True, 1]]),
        ("States.ArrayPartition($.array, 3.7)", [[1, 2, 3, 3], [True, 1]]),
        ("States.ArrayContains($.array, 3)", True),
        ("States.ArrayContains($.array, '3')", False),
        ("States.ArrayContains(States.Array(1), true)", False),
        ("States.ArrayRange(1, 9, 2)", [1, 3, 5, 7, 9]),
        ("States.ArrayRange(3, 1, -1)", [3, 2, 1]),
        ("States.ArrayRange(1, 0, 1)", []),
        ("States.ArrayGetItem($.array, 2)", 3),
        ("States.ArrayLength($.array)", 6),
        ("States.ArrayUnique($.array)", [1, 2, 3, True]),
        ("States.Base64Encode('Data to encode')", "RGF0YSB0byBlbmNvZGU="),
        ("States.Base64Decode('RGF0YSB0byBlbmNvZGU=')", "Data to encode"),
        ("States.Hash('input data', 'SHA-1')", "aaff4a450a104cd177d28d18d74485e8cae074b7"),
        ("States.Hash($.object, 'MD5')", "6e3ac662aa4c38efba6887d5b5ac4c3d"),
        ("States.JsonMerge($.object, States.StringToJson($.json), false)", {**OBJECT, "a": [1, None]}),
        ("States.StringToJson($.json)", {"a": [1, None]}),
        ("States.JsonToString($.object)", '{"k":"v","n":[1,{"x":null}]}'),
        ("States.MathAdd(-1, 3)", 2),
        ("States.MathAdd(1.5, 1)", 3),
        ("States.StringSplit($.text, ',;')", ["a", "b", "c"]),
        ("States.StringSplit(',a,,b,', ',')", ["a", "b"]),
        ("States.Format('{} and {}', $.text, 1)", "a,b;c and 1"),
        ("States.Format('\\{\\} \\'{}\\' \\\\', true)", "{} 'true' \\"),
        ("States.Format($.quote, null)", "it's null"),
        ("States.Format('{} {}', $.object, $.array)", "{k=v, n=[1, {x=null}]} [1, 2, 3, 3, true, 1]"),
        ("States.Format('none')", "none"),
        ("  States.MathAdd( 1 , 2 )  ".strip(), 3),
    ],
)  # fmt: skip
def test_function(call: str, expected: Any) -> None:
    result = evaluate(call)
    assert result == expected
    assert type(result) is type(expected)


def test_random_values_come_from_the_entropy_given() -> None:
    assert [evaluate("States.MathRandom(1, 1000)", seed) for seed in (1, 1, 2)] == [138, 138, 979]
    assert evaluate("States.UUID()", 1) == evaluate("States.UUID()", 1) != evaluate("States.UUID()", 2)
    assert uuid.UUID(evaluate("States.UUID()")).version == 4


def test_a_seed_of_its_own_makes_a_random_number_repeatable() -> None:
    assert evaluate("States.MathRandom(1, 1000, 7)", 1) == evaluate("States.MathRandom(1, 1000, 7)", 2)


@pytest.mark.parametrize(
    "call",
    [
        "States.ArrayPartition($.array, 0)",
        "States.ArrayPartition($.text, 1)",
        "States.ArrayContains($.text, 'a')",
        "States.ArrayRange(0, 1000, 1)",
        "States.ArrayRange(0, 1, 0)",
        "States.ArrayGetItem($.array, 6)",
        "States.ArrayGetItem($.array, -1)",
        "States.ArrayGetItem($.array, '0')",
        "States.ArrayLength($.text)",
        "States.Base64Decode('%%%')",
        "States.Base64Encode(1)",
        "States.Hash('x', 'SHA-3')",
        "States.JsonMerge($.object, $.object, true)",
        "States.JsonMerge($.object, $.array, false)",
        "States.StringToJson('{')",
        "States.StringToJson('NaN')",
        "States.StringToJson('1e999')",
        "States.MathAdd(1, '2')",
        "States.MathAdd(2147483647, 1)",
        "States.MathRandom(5, 5)",
        "States.StringSplit($.array, ',')",
        "States.Format('{}')",
        "States.Format('x', 1)",
        "States.Format(1)",
    ],
)
def test_unfit_arguments_fail_with_the_error_that_can_be_caught(call: str) -> None:
    error, cause = failure_of({"Type": "Pass", "Parameters": {"r.$": call}}, INPUT)
    assert error == "States.IntrinsicFailure"
    assert cause is not None
    assert cause.startswith(
        "An error occurred while executing the state 'S' (entered at the event id #2). "
        f"The function '{call}' had the following error: "
    )


def test_long_texts_are_refused() -> None:
    error, _ = failure_of(
        {"Type": "Pass", "Parameters": {"r.$": "States.Base64Encode($.long)"}}, {"long": "x" * 10_001}
    )
    assert error == "States.IntrinsicFailure"


@pytest.mark.parametrize(
    "call",
    [
        "States.Nope()",
        "States.MathAdd(1)",
        "States.MathAdd(1, 2, 3)",
        "States.UUID(1)",
        "States.Format()",
        "States.Array(1",
        "States.Array(1,)",
        "States.Array('x)",
        "States.Array(1) x",
        "States.Array(1 2)",
        "States.Array($.)",
        "Array(1)",
        "text",
        "",
        "States.Array(" * 11 + ")" * 11,
    ],
)
def test_malformed_calls_are_found_when_the_definition_is_loaded(call: str) -> None:
    findings = validate(single({"Type": "Pass", "Parameters": {"r.$": call}}))
    assert [(finding.message, finding.location) for finding in findings] == [
        (
            "The value for the field 'r.$' must be a valid JSONPath or a valid intrinsic function call",
            "/States/S/Parameters",
        )
    ]


def test_calls_may_be_nested_ten_deep() -> None:
    assert evaluate("States.Array(" * 10 + ")" * 10) == [[[[[[[[[[]]]]]]]]]]


def test_all_functions_of_the_language_are_there() -> None:
    assert len(FUNCTIONS) == 18
