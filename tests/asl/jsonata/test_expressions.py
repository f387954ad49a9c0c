from __future__ import annotations

import json
from typing import Any

import pytest

from harness.asl import validate
from tests.asl.helpers import START, chain, details, execute, failure_of, output_of, shape, single

INPUT = {
    "items": [0],
    "empty": [],
    "void": None,
    "object": {"a": 1.5, "b": None},
    "list": [1, 2, 3],
    "objects": [{"a": 1}, {"a": 2}],
    "text": "abc",
}


def evaluate(expression: str, **options: Any) -> Any:
    state = {"Type": "Pass", "QueryLanguage": "JSONata", "Output": {"r": f"{{% {expression} %}}"}}
    return output_of(state, INPUT, **options)["r"]


def failure(expression: str) -> str:
    """What AWS says after the state's name and the expression."""
    state = {"Type": "Pass", "QueryLanguage": "JSONata", "Output": {"r": f"{{% {expression} %}}"}}
    error, cause = failure_of(state, INPUT)
    assert error == "States.QueryEvaluationError"
    assert cause is not None
    start = (
        "An error occurred while executing the state 'S' (entered at the event id #2). "
        f"The JSONata expression '{expression}' specified for the field 'Output/r' "
    )
    assert cause.startswith(start)
    return cause.removeprefix(start)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("$states.input.items", [0]),
        ("$states.input.empty", []),
        ("$states.input.void", None),
        ("$states.input.object", {"a": 1.5, "b": None}),
        ("$states.input.object.b", None),
        ("$states.input.objects.a", [1, 2]),
        ("$states.input.objects[a=2]", {"a": 2}),
        ("$states.input.list[0]", 1),
        ("$type($states.input.void)", "null"),
        ("$merge([$states.input.object, {'c': null}])", {"a": 1.5, "b": None, "c": None}),
        ("$map($states.input.list, function($x) { $x * 2 })", [2, 4, 6]),
        ("($a := 2; $a + 1)", 3),
        ("10 / 4", 2.5),
        ("10 / 5", 2),
        ("$states.context.Execution.Name", "one"),
        ("$states.context.State.Name", "S"),
        ("$string($states.input.object)", '{"a":1.5,"b":null}'),
        ("$partition([1, 2, 3], 2)", [[1, 2], [3]]),
        ("$range(0, 10, 5)", [0, 5, 10]),
        ("$range(3, 1, -1)", [3, 2, 1]),
        ("$hash('a', 'MD5')", "0cc175b9c0f1b6a831c399e269772661"),
        ("$parse('{\"a\": [null]}')", {"a": [None]}),
        ("$random(42)", 0.7275636800328681),
        ("$millis()", int(START * 1000)),
        ("$now()", "2023-11-14T22:13:20.000Z"),
        ("$now('[Y]')", "2023"),
        ("$contains('hello$world', /^hello\\$/)", True),
    ],
)
def test_expression(expression: str, expected: Any) -> None:
    result = evaluate(expression)
    assert result == expected
    assert type(result) is type(expected)


def test_random_values_come_from_the_entropy_given() -> None:
    assert evaluate("$random()", seed=1) == evaluate("$random()", seed=1) != evaluate("$random()", seed=2)
    assert evaluate("$uuid()", seed=1) == evaluate("$uuid()", seed=1) != evaluate("$uuid()", seed=2)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("$nope", "returned nothing (undefined)."),
        ("$states.input.nope.deeper", "returned nothing (undefined)."),
        ("$states.input.objects[a=9]", "returned nothing (undefined)."),
        (
            "$abs('x')",
            'threw an error during evaluation. T0410: Argument 1 of function "abs" does not match function '
            "signature",
        ),
        (
            "$sum(['a'])",
            'threw an error during evaluation. T0412: Argument 1 of function "sum" must be an array of '
            '"numbers"',
        ),
        (
            "'a' + 1",
            'threw an error during evaluation. T2001: The left side of the "+" operator must evaluate to a '
            "number",
        ),
        (
            "$eval('1 + 1')",
            "threw an error during evaluation. T1006: Attempted to invoke a non-function",
        ),
    ],
)
def test_failing_expression_is_explained_as_on_aws(expression: str, text: str) -> None:
    assert failure(expression) == text


@pytest.mark.parametrize(
    "expression",
    [
        "$number('x')",
        "function($x) { $x }",
        "$partition([1], 0)",
        "$parse('{')",
        "$parse(1)",
        "($f := function($n) { 1 + $f($n) }; $f(1))",
    ],
)
def test_failing_expression_never_escapes(expression: str) -> None:
    assert failure(expression).startswith("threw an error during evaluation")


def test_internal_errors_are_reported_as_such() -> None:
    assert failure('$base64decode("!!!")').startswith("threw an internal error during evaluation. ")
    assert failure("$formatNumber(1, $nope)").startswith("threw an internal error during evaluation. ")


def test_numbers_that_json_does_not_have_become_strings() -> None:
    assert evaluate("[1 / 0, -1 / 0, {'k': 0 / 0}]") == ["Infinity", "-Infinity", {"k": "NaN"}]
    assert failure("1 / 0 + 1") == "threw an error during evaluation. D1001: Number out of range: null"


def test_time_stands_still_while_an_expression_is_evaluated() -> None:
    assert evaluate("[$now() = $now(), $millis() = $millis()]") == [True, True]


@pytest.mark.parametrize("expression", ["$states.input", "$states.input.objects", "[$states.input.objects]"])
def test_the_input_is_never_changed(expression: str) -> None:
    before = json.dumps(INPUT)
    evaluate(f"{expression} ~> |$|{{'new': 1}}, 'a'|")
    assert json.dumps(INPUT) == before


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("1 +", "Unexpected end of expression"),
        ("{'a':}", 'The symbol "}" cannot be used as a unary operator'),
        ("a[1,2)", 'Expected "]", got ","'),
        ("'open", "String literal must be terminated by a matching quote"),
        ("$match('a', /abc", "No terminating / in regular expression"),
        ("$x :=", "Unexpected end of expression"),
    ],
)
def test_malformed_expression_is_found_when_the_definition_is_loaded(expression: str, message: str) -> None:
    state = {"Type": "Pass", "Output": {"v": f"{{% {expression} %}}"}}
    (finding,) = validate(single(state, QueryLanguage="JSONata"))
    assert (finding.code, finding.message, finding.location) == (
        "INVALID_JSONATA_EXPRESSION",
        message,
        "/States/S/Output/v",
    )


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("phone", ["phone"]),
        ("phone.number", ["phone"]),
        ("$map($states.input.x, function($v) { $v.a & other })", ["other"]),
        ("$states.input.list[a = 1].(b + c)", []),
        ("$states.input.list^(>a)", []),
        ("$states.input{key: value}", []),
        ("a ? b : $c", ["a", "b"]),
    ],
)
def test_names_at_the_top_level_are_refused(expression: str, names: list[str]) -> None:
    findings = validate(single({"Type": "Pass", "Output": f"{{% {expression} %}}"}, QueryLanguage="JSONata"))
    assert [finding.message for finding in findings] == [
        f"Reference to '{name}' at the top level is not supported." for name in names
    ]
    assert {finding.code for finding in findings} <= {"UNSUPPORTED_JSONATA_EXPRESSION"}


def test_error_output_exists_only_in_a_catcher() -> None:
    (finding,) = validate(
        single({"Type": "Pass", "Output": "{% $states.errorOutput %}"}, QueryLanguage="JSONata")
    )
    assert finding.code == "UNSUPPORTED_JSONATA_EXPRESSION"


def test_only_strings_that_are_marked_from_end_to_end_are_expressions() -> None:
    state = {
        "Type": "Pass",
        "QueryLanguage": "JSONata",
        "Output": [" {% 1 %} ", "a {% 1 %} b", "{%1%}", "{% 1 %}"],
    }
    assert output_of(state) == [" {% 1 %} ", "a {% 1 %} b", 1, 1]


@pytest.mark.parametrize("text", [" {% 1 %}", "{% 1 %} ", "{% 1", "1 %}", "{%}"])
def test_an_expression_with_one_mark_only_is_refused(text: str) -> None:
    for state, place in (
        ({"Type": "Pass", "Output": {"a": [text]}}, "Output/a[0]"),
        ({"Type": "Fail", "Cause": text}, "Cause"),
    ):
        (finding,) = validate(single(state, QueryLanguage="JSONata"))
        assert finding.location == f"/States/S/{place}"
        assert finding.message == "A JSONata expression must start with '{%' and end with '%}'"
    assert output_of({"Type": "Pass", "Result": text}) == text


def test_assign_and_output_see_the_variables_as_they_were_on_entry() -> None:
    definition = chain(
        ("A", {"Type": "Pass", "Assign": {"x": 1, "y": 10}}),
        ("B", {"Type": "Pass", "Assign": {"x": "{% $y %}", "y": "{% $x %}"}, "Output": "{% $x %}"}),
        ("C", {"Type": "Pass", "Output": {"x": "{% $x %}", "y": "{% $y %}", "b": "{% $states.input %}"}}),
        QueryLanguage="JSONata",
    )
    outcome, execution = execute(definition)
    assert outcome.output == {"x": 10, "y": 1, "b": 1}
    assert details(execution, "PassStateExited")[1]["assignedVariables"] == {"x": "10", "y": "1"}


def test_evaluation_failure_in_an_array_names_the_element() -> None:
    state = {"Type": "Pass", "QueryLanguage": "JSONata", "Output": {"v": [1, "{% $nope %}"]}}
    _, execution = execute(single(state))
    assert details(execution, "EvaluationFailed")[0]["location"] == "Output/v[1]"
    assert shape(execution)[1:] == ["0->2 PassStateEntered", "0->3 EvaluationFailed", "3->4 ExecutionFailed"]


@pytest.mark.parametrize(
    ("state", "field", "kind", "value"),
    [
        ({"Type": "Wait", "Seconds": "{% 'x' %}"}, "Seconds", "integer", "string"),
        ({"Type": "Wait", "Timestamp": "{% 1 %}"}, "Timestamp", "string", "number"),
        (
            {"Type": "Choice", "Choices": [{"Condition": "{% 1 %}", "Next": "S"}], "Default": "S"},
            "Choices[0]/Condition",
            "boolean",
            "number",
        ),
    ],
)
def test_result_of_the_wrong_type(state: dict[str, Any], field: str, kind: str, value: str) -> None:
    definition = {"StartAt": "S", "QueryLanguage": "JSONata", "States": {"S": state}}
    if state["Type"] == "Wait":
        state["End"] = True
    else:
        definition["States"]["E"] = {"Type": "Succeed"}
        state["Default"] = "E"
    outcome, _ = execute(definition)
    assert outcome.error == "States.QueryEvaluationError"
    assert outcome.cause is not None
    assert f"specified for the field '{field}' returned an unexpected result type. " in outcome.cause
    assert f"Expected '{kind}', but was '{value}' for value: " in outcome.cause


def test_errors_about_values_that_are_large_or_deep() -> None:
    deep: Any = 1
    for _ in range(5_000):
        deep = [deep]
    state = {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% -$states.input %}"}
    for data, text in (
        ([10**400], "threw an error during evaluation. D1002: Cannot negate a non-numeric value: [null]"),
        (deep, "threw an error during evaluation: Stack overflow error: "),
    ):
        error, cause = failure_of(state, data)
        assert error == "States.QueryEvaluationError"
        assert text in (cause or "")
