"""What is wrong with a definition, in AWS's words and at AWS's places."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.asl import InvalidDefinition, load, validate
from harness.asl.schema import STATE_FIELDS
from harness.errors import DefinitionError
from tests.asl.helpers import INVOKE, LAMBDA, single

SCHEMA = "SCHEMA_VALIDATION_FAILED"
TARGET = "MISSING_TRANSITION_TARGET"
NULL = {"Variable": "$.x", "IsNull": True}
WORK = {"Resource": LAMBDA, "Next": "E"}


def found(definition: Any, **options: Any) -> list[tuple[str, str, str | None]]:
    return [(d.code, d.message, d.location) for d in validate(definition, **options) if d.severity == "ERROR"]


def state(**fields: Any) -> list[tuple[str, str, str | None]]:
    return found(single({"Type": "Pass", **fields}))


# The graph -------------------------------------------------------------------------------------------------


def test_no_terminal_state() -> None:
    loop = {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "Next": "A"}}
    nowhere = ("MISSING_END_STATE", "Workflow has no terminal state", None)
    assert found({"StartAt": "A", "States": loop}) == [nowhere]
    lost = {"Type": "Pass", "Next": "A"}
    assert found({"StartAt": "A", "States": {**loop, "C": lost}}) == [nowhere]
    assert str(validate({"StartAt": "A", "States": loop})[0]) == (
        "MISSING_END_STATE: Workflow has no terminal state at null"
    )


def test_unreachable_state() -> None:
    loop = {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "Next": "A"}}
    end = {"Type": "Pass", "End": True}
    assert found({"StartAt": "A", "States": {**loop, "C": end}}) == [
        (TARGET, 'State "C" is not reachable.', "/States/C")
    ]


def test_dangling_target_and_no_end() -> None:
    assert found({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "NOPE"}}}) == [
        (TARGET, "Missing 'Next' target: NOPE", "/States/A/Next"),
        ("MISSING_END_STATE", "Workflow has no terminal state", None),
    ]


@pytest.mark.parametrize(
    ("fields", "location"),
    [
        ({"Type": "Choice", "Choices": [{**NULL, "Next": "NOPE"}], "Default": "E"}, "/Choices[0]/Next"),
        ({"Type": "Choice", "Choices": [{**NULL, "Next": "E"}], "Default": "NOPE"}, "/Default"),
        ({"Type": "Task", **WORK, "Catch": [{"ErrorEquals": ["X"], "Next": "NOPE"}]}, "/Catch[0]/Next"),
    ],
)
def test_dangling_targets(fields: dict[str, Any], location: str) -> None:
    definition = {"StartAt": "S", "States": {"S": fields, "E": {"Type": "Succeed"}}}
    location = f"/States/S{location}"
    assert found(definition) == [(TARGET, "Missing 'Next' target: NOPE", location)]


def test_start_that_does_not_exist() -> None:
    assert found({"StartAt": "X", "States": {"A": {"Type": "Succeed"}}}) == [
        (TARGET, "Missing 'Next' target: X", "/StartAt"),
        (TARGET, 'State "A" is not reachable.', "/States/A"),
    ]


def test_a_branch_cannot_reach_out_of_itself() -> None:
    branch = {"StartAt": "B", "States": {"B": {"Type": "Pass", "Next": "E"}, "C": {"Type": "Succeed"}}}
    definition = {
        "StartAt": "P",
        "States": {"P": {"Type": "Parallel", "Branches": [branch], "Next": "E"}, "E": {"Type": "Succeed"}},
    }
    assert found(definition) == [
        (TARGET, "Missing 'Next' target: E", "/States/P/Branches[0]/States/B/Next"),
        (TARGET, 'State "C" is not reachable.', "/States/P/Branches[0]/States/C"),
    ]


def test_names_must_be_unique_across_scopes() -> None:
    branch = {"StartAt": "P", "States": {"P": {"Type": "Succeed"}}}
    definition = single({"Type": "Parallel", "Branches": [branch, branch]})
    assert found(definition) == [
        ("DUPLICATE_STATE_NAME", "Duplicate State name: P", "/States/S/Branches[1]/States/P")
    ]


@pytest.mark.parametrize(
    ("inner", "place"),
    [
        ({"Type": "Pass", "Assign": {"x": 1}, "End": True}, "Assign"),
        ({"Type": "Pass", "Assign": {"x.$": "$.x"}, "End": True}, "Assign"),
        ({"Type": "Choice", "Choices": [{**NULL, "Assign": {"x": 1}, "Next": "E"}]}, "Choices[0]/Assign"),
        (
            {**WORK, "Type": "Task", "Catch": [{"ErrorEquals": ["X"], "Assign": {"x": 1}, "Next": "E"}]},
            "Catch[0]/Assign",
        ),
    ],
)
def test_a_variable_of_an_inner_scope_cannot_have_the_name_of_an_outer_one(
    inner: dict[str, Any], place: str
) -> None:
    states = {"I": inner} if "End" in inner else {"I": inner, "E": {"Type": "Succeed"}}
    both = {"Type": "Parallel", "Branches": [{"StartAt": "I", "States": states}], "Next": "After"}

    def machine(name: str) -> dict[str, Any]:
        after = {"Type": "Pass", "Assign": {name: 1}, "End": True}
        return {"StartAt": "Both", "States": {"Both": both, "After": after}}

    assert found(machine("y")) == []
    assert found(machine("x")) == [
        (
            SCHEMA,
            "Variable 'x' is already assigned in an outer scope",
            f"/States/Both/Branches[0]/States/I/{place}",
        )
    ]


def test_scopes_side_by_side_may_have_variables_of_the_same_name() -> None:
    def branch(name: str) -> dict[str, Any]:
        return {"StartAt": name, "States": {name: {"Type": "Pass", "Assign": {"x": 1}, "End": True}}}

    assert found(single({"Type": "Parallel", "Branches": [branch("A"), branch("B")]})) == []
    inner = {"Type": "Map", "ItemProcessor": branch("A"), "End": True}
    definition = single({"Type": "Map", "ItemProcessor": {"StartAt": "M", "States": {"M": inner}}})
    definition["States"]["S"]["Assign"] = {"x": 1}
    (finding,) = found(definition)
    assert finding[2] == "/States/S/ItemProcessor/States/M/ItemProcessor/States/A/Assign"


# Fields ----------------------------------------------------------------------------------------------------

ALL_TYPES = {"Choice", "Fail", "Map", "Parallel", "Pass", "Succeed", "Task", "Wait"}
MINIMAL: dict[str, dict[str, Any]] = {
    "Choice": {"Choices": [{"Variable": "$.x", "IsNull": True, "Next": "E"}], "Default": "E"},
    "Fail": {},
    "Map": {"ItemProcessor": {"StartAt": "I", "States": {"I": {"Type": "Succeed"}}}, "Next": "E"},
    "Parallel": {"Branches": [{"StartAt": "I", "States": {"I": {"Type": "Succeed"}}}], "Next": "E"},
    "Pass": {"Next": "E"},
    "Succeed": {},
    "Task": {"Resource": INVOKE, "Next": "E"},
    "Wait": {"Seconds": 1, "Next": "E"},
}


def of_type(kind: str, **fields: Any) -> dict[str, Any]:
    states = {"S": {"Type": kind, **MINIMAL[kind], **fields}}
    if kind not in ("Fail", "Succeed"):
        states["E"] = {"Type": "Succeed"}
    return {"StartAt": "S", "States": states}


@pytest.mark.parametrize("kind", sorted(ALL_TYPES))
def test_minimal_states_are_fine(kind: str) -> None:
    assert validate(of_type(kind)) == []
    assert load(json.dumps(of_type(kind))).warnings == ()


@pytest.mark.parametrize(
    ("field", "value", "supported"),
    [
        ("TimeoutSeconds", 5, {"Task"}),
        ("Catch", [], {"Task", "Parallel", "Map"}),
        ("Retry", [], {"Task", "Parallel", "Map"}),
        ("Parameters", {}, {"Task", "Parallel", "Map", "Pass"}),
        ("ResultSelector", {}, {"Task", "Parallel", "Map"}),
        ("ResultPath", "$", {"Task", "Parallel", "Map", "Pass"}),
        ("InputPath", "$", ALL_TYPES - {"Fail"}),
        ("Assign", {}, ALL_TYPES - {"Fail", "Succeed"}),
        ("Comment", "c", ALL_TYPES),
        ("Nonsense", 1, set()),
    ],
)
def test_fields_per_type(field: str, value: Any, supported: set[str]) -> None:
    for kind in ALL_TYPES:
        expected = [] if kind in supported else [(SCHEMA, f"Field '{field}' is not supported", "/States/S")]
        assert found(of_type(kind, **{field: value})) == expected, kind


def test_fields_of_the_other_language() -> None:
    assert state(Output={}) == [
        (
            SCHEMA,
            "The QueryLanguage is set to 'JSONPath', but field 'Output' is only supported for the 'JSONata' "
            "QueryLanguage",
            "/States/S",
        )
    ]
    assert state(QueryLanguage="JSONata", InputPath="$") == [
        (
            SCHEMA,
            "The QueryLanguage is set to 'JSONata', but field 'InputPath' is only supported for the "
            "'JSONPath' QueryLanguage",
            "/States/S",
        )
    ]


def test_query_language() -> None:
    inside = single({"Type": "Pass", "QueryLanguage": "JSONPath"}, QueryLanguage="JSONata")
    assert found(inside) == [
        (
            SCHEMA,
            "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine",
            "/States/S",
        )
    ]
    processor = {"QueryLanguage": "JSONata", "StartAt": "I", "States": {"I": {"Type": "Succeed"}}}
    assert found(single({"Type": "Map", "ItemProcessor": processor})) == [
        (SCHEMA, "Field 'QueryLanguage' is not supported", "/States/S/ItemProcessor")
    ]
    assert [location for _, _, location in state(QueryLanguage="XPath")] == ["/States/S/QueryLanguage"]


def test_states_inside_inherit_the_language_of_the_machine_and_not_of_the_state() -> None:
    inner = {"StartAt": "I", "States": {"I": {"Type": "Pass", "Output": 1, "End": True}}}
    definition = single({"Type": "Map", "QueryLanguage": "JSONata", "ItemProcessor": inner})
    assert [location for _, _, location in found(definition)] == ["/States/S/ItemProcessor/States/I"]
    assert found({**definition, "QueryLanguage": "JSONata"}) == []


@pytest.mark.parametrize(
    ("definition", "message", "location"),
    [
        ({}, "These fields are required: [StartAt, States]", "/"),
        ({"StartAt": "S", "States": {}}, "At least one state is required", "/States"),
        ({"StartAt": "S", "States": {"S": {}}}, "These fields are required: [Type]", "/States/S"),
        ({"StartAt": "S", "States": {"S": 1}}, "Expected value of type OBJECT", "/States/S"),
        (single({"Type": "Task"}), "These fields are required: [Resource]", "/States/S"),
        (single({"Type": "Parallel"}), "These fields are required: [Branches]", "/States/S"),
        (single({"Type": "Map"}), "These fields are required: [ItemProcessor]", "/States/S"),
        (single({"Type": "Pass"}, Version="2.0"), "Value must be one of [1.0]", "/Version"),
        (single({"Type": "Pass"}, Nonsense=1), "Field 'Nonsense' is not supported", "/"),
        (
            of_type("Choice", Choices=[{"Variable": "$.x", "IsNull": True}]),
            "These fields are required: [Next]",
            "/States/S/Choices[0]",
        ),
    ],
)
def test_required_fields(definition: Any, message: str, location: str) -> None:
    assert (SCHEMA, message, location) in found(definition)


@pytest.mark.parametrize("extra", [{}, {"End": False}, {"End": True, "Next": "E"}])
def test_either_next_or_end(extra: dict[str, Any]) -> None:
    definition = {"StartAt": "S", "States": {"S": {"Type": "Pass", **extra}, "E": {"Type": "Succeed"}}}
    assert (SCHEMA, "Exactly one of these fields is required: [Next, End]", "/States/S") in found(definition)


def retrier(fields: dict[str, Any]) -> dict[str, Any]:
    return {"Retry": [{"ErrorEquals": ["X"], **fields}]}


def rules(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"Choices": [*rules]}


def with_mode(mode: str) -> dict[str, Any]:
    return {**MINIMAL["Map"]["ItemProcessor"], "ProcessorConfig": {"Mode": mode}}


@pytest.mark.parametrize(
    ("kind", "fields", "location"),
    [
        ("Pass", {"Comment": 1, "Next": 5}, "/Next"),
        ("Pass", {"InputPath": 1}, "/InputPath"),
        ("Pass", {"InputPath": "x"}, "/InputPath"),
        ("Pass", {"OutputPath": "$.["}, "/OutputPath"),
        ("Pass", {"ResultPath": "$.a[*]"}, "/ResultPath"),
        ("Pass", {"ResultPath": "$$.a"}, "/ResultPath"),
        ("Pass", {"ResultPath": "$v"}, "/ResultPath"),
        ("Pass", {"Parameters": {"a.$": 1}}, "/Parameters"),
        ("Pass", {"Parameters": {"a": [{"b.$": "nope"}]}}, "/Parameters/a[0]"),
        ("Pass", {"Parameters": {"a": 1, "a.$": "$"}}, "/Parameters/a.$"),
        ("Pass", {"Assign": [1]}, "/Assign"),
        ("Pass", {"Assign": {"1x": 1}}, "/Assign"),
        ("Pass", {"Assign": {"states": 1}}, "/Assign"),
        ("Wait", {"Seconds": -1}, "/Seconds"),
        ("Wait", {"Seconds": 1.5}, "/Seconds"),
        ("Wait", {"Seconds": True}, "/Seconds"),
        ("Wait", {"Seconds": 1, "Timestamp": "2020-01-01T00:00:00Z"}, ""),
        ("Task", {"Resource": "lambda"}, "/Resource"),
        ("Task", {"Resource": "${FunctionArn}"}, "/Resource"),
        ("Task", {"TimeoutSeconds": 0}, "/TimeoutSeconds"),
        ("Task", {"TimeoutSeconds": 5, "TimeoutSecondsPath": "$.t"}, ""),
        ("Task", {"TimeoutSeconds": 5, "HeartbeatSeconds": 5}, "/HeartbeatSeconds"),
        ("Task", {"Retry": {}}, "/Retry"),
        ("Task", {"Retry": [1]}, "/Retry[0]"),
        ("Task", {"Retry": [{}]}, "/Retry[0]"),
        ("Task", {"Retry": [{"ErrorEquals": []}]}, "/Retry[0]/ErrorEquals"),
        ("Task", {"Retry": [{"ErrorEquals": [1]}]}, "/Retry[0]/ErrorEquals[0]"),
        ("Task", {"Retry": [{"ErrorEquals": ["States.ALL", "X"]}]}, "/Retry[0]/ErrorEquals"),
        (
            "Task",
            {"Retry": [{"ErrorEquals": ["States.ALL"]}, {"ErrorEquals": ["X"]}]},
            "/Retry[0]/ErrorEquals",
        ),
        ("Task", retrier({"MaxAttempts": -1}), "/Retry[0]/MaxAttempts"),
        ("Task", retrier({"BackoffRate": 0.5}), "/Retry[0]/BackoffRate"),
        ("Task", retrier({"IntervalSeconds": 0}), "/Retry[0]/IntervalSeconds"),
        ("Task", retrier({"MaxDelaySeconds": 1}), "/Retry[0]/MaxDelaySeconds"),
        ("Task", retrier({"JitterStrategy": "HALF"}), "/Retry[0]/JitterStrategy"),
        ("Task", retrier({"Next": "E"}), "/Retry[0]"),
        ("Task", {"Catch": [{"ErrorEquals": ["X"]}]}, "/Catch[0]"),
        ("Task", {"Catch": [{"ErrorEquals": ["X"], "Next": "E", "Output": 1}]}, "/Catch[0]"),
        ("Choice", {"Choices": []}, "/Choices"),
        ("Choice", rules({"Next": "E"}), "/Choices[0]"),
        ("Choice", rules({**NULL, "IsString": True, "Next": "E"}), "/Choices[0]"),
        ("Choice", rules({"Variable": "$.x[*]", "IsNull": True, "Next": "E"}), "/Choices[0]/Variable"),
        ("Choice", rules({"IsNull": True, "Next": "E"}), "/Choices[0]"),
        (
            "Choice",
            rules({"Variable": "$.x", "NumericEquals": "1", "Next": "E"}),
            "/Choices[0]/NumericEquals",
        ),
        (
            "Choice",
            rules({"Variable": "$.x", "TimestampEquals": "today", "Next": "E"}),
            "/Choices[0]/TimestampEquals",
        ),
        (
            "Choice",
            rules({"Variable": "$.x", "StringEqualsPath": "y", "Next": "E"}),
            "/Choices[0]/StringEqualsPath",
        ),
        ("Choice", rules({"And": [{**NULL, "Next": "E"}], "Next": "E"}), "/Choices[0]/And[0]"),
        ("Choice", rules({"Not": [], "Next": "E"}), "/Choices[0]/Not"),
        ("Choice", rules({"Or": [], "Next": "E"}), "/Choices[0]/Or"),
        ("Choice", rules({"Condition": "{% true %}", "Next": "E"}), "/Choices[0]"),
        ("Fail", {"Error": "E", "ErrorPath": "$.e"}, ""),
        ("Fail", {"CausePath": "nope"}, "/CausePath"),
        ("Fail", {"Error": 1}, "/Error"),
        ("Parallel", {"Branches": []}, "/Branches"),
        ("Map", {"MaxConcurrency": -1}, "/MaxConcurrency"),
        ("Map", {"ItemsPath": "$.a[*]"}, "/ItemsPath"),
        ("Map", {"ItemSelector": {}, "Parameters": {}}, ""),
        ("Map", {"ItemProcessor": with_mode("X")}, "/ItemProcessor/ProcessorConfig/Mode"),
        ("Map", {"ItemProcessor": with_mode("DISTRIBUTED")}, "/ItemProcessor/ProcessorConfig"),
    ],
)
def test_unfit_values(kind: str, fields: dict[str, Any], location: str) -> None:
    findings = found(of_type(kind, **fields))
    assert f"/States/S{location}" in [place for _, _, place in findings]
    assert all(code in (SCHEMA, TARGET) for code, _, _ in findings)


def test_an_invalid_timestamp() -> None:
    definition = single({"Type": "Wait", "Timestamp": "2020-01-01"})
    assert [location for _, _, location in found(definition)] == ["/States/S/Timestamp"]


def test_all_findings_are_collected() -> None:
    definition = {
        "StartAt": "A",
        "States": {
            "A": {"Type": "Pass", "Nonsense": 1, "InputPath": "x", "Next": "B"},
            "B": {"Type": "Task", "Resource": "x", "TimeoutSeconds": "soon", "End": True},
        },
    }
    assert [location for _, _, location in found(definition)] == [
        "/States/A",
        "/States/A/InputPath",
        "/States/B/Resource",
        "/States/B/TimeoutSeconds",
    ]
    with pytest.raises(InvalidDefinition) as caught:
        load(definition)
    assert len(caught.value.diagnostics) == 4
    assert caught.value.place == "/States/A"
    assert "SCHEMA_VALIDATION_FAILED: Field 'Nonsense' is not supported (and 3 more)" in str(caught.value)
    assert "at /States/B/Resource" in str(caught.value)
    assert isinstance(caught.value, DefinitionError)
    assert caught.value.exit_code == 2


def test_a_misspelt_next_does_not_drown_its_message():
    states = {f"S{number}": {"Type": "Pass", "Next": f"S{number + 1}"} for number in range(20)}
    states["S1"]["Next"] = "s2"
    with pytest.raises(InvalidDefinition, match="Missing 'Next' target: s2") as caught:
        load({"StartAt": "S0", "States": {**states, "S20": {"Type": "Succeed"}}})
    assert len(caught.value.diagnostics) == 20
    assert len(caught.value.hint.splitlines()) == 5


# What is not supported -------------------------------------------------------------------------------------


def test_credentials_name_a_role_and_nothing_else() -> None:
    assert validate(of_type("Task", Credentials={"RoleArn": "arn"})) == []
    assert validate(of_type("Task", Credentials={"RoleArn.$": "$.role"})) == []
    (missing,) = validate(of_type("Task", Credentials={}))
    assert (missing.message, missing.location) == (
        "These fields are required: [RoleArn]",
        "/States/S/Credentials",
    )
    (unknown,) = validate(of_type("Task", Credentials={"RoleArn": "arn", "User": "u"}))
    assert unknown.location == "/States/S/Credentials"


@pytest.mark.parametrize(
    "resource",
    ["arn:aws:states:::sagemaker:createTrainingJob.sync", "arn:aws:states:us-east-1:1:activity:a"],
)
def test_express_machines_cannot_wait_for_jobs(resource: str) -> None:
    definition = of_type("Task", Resource=resource)
    assert found(definition) == []
    (finding,) = validate(definition, workflow_type="EXPRESS")
    assert finding.location == "/States/S/Resource"
    inner = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
        "StartAt": "I",
        "States": {"I": {"Type": "Task", "Resource": resource, "End": True}},
    }
    assert [place for _, _, place in found(of_type("Map", ItemProcessor=inner))] == [
        "/States/S/ItemProcessor/States/I/Resource"
    ]


def test_tolerated_failures_of_an_inline_map_are_pointed_out() -> None:
    (finding,) = validate(of_type("Map", ToleratedFailureCount=1))
    assert finding.severity == "WARNING"
    assert load(of_type("Map", ToleratedFailureCount=1)).warnings == (finding,)


# Texts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"StartAt": NaN}',
        '{"StartAt": "A", "StartAt": "B", "States": {}}',
        '{"a":' * 100_000,
        '{"TimeoutSeconds": 1e999}',
        '{"TimeoutSeconds": ' + "9" * 5000 + "}",
    ],
)
def test_texts_that_are_no_definition(text: str) -> None:
    (finding,) = validate(text)
    assert finding.code == "INVALID_JSON_DESCRIPTION"
    assert finding.location is None
    with pytest.raises(InvalidDefinition):
        load(text)


def test_definitions_nested_too_deeply() -> None:
    deep: Any = 1
    for _ in range(2000):
        deep = {"x": deep}
    assert any("nested too deeply" in message for _, message, _ in state(Parameters=deep))
    rule: dict[str, Any] = {"Variable": "$.x", "IsNull": True}
    for _ in range(2000):
        rule = {"Not": rule}
    definition = of_type("Choice", Choices=[{**rule, "Next": "E"}])
    assert any("nested too deeply" in message for _, message, _ in found(definition))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["", "$", "$.a", "{% $x %}", "{% ( %}", "S", "E", INVOKE]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["a.$", "Next", "Type"]), inner, max_size=2)
    ),
    max_leaves=5,
)
FIELDS = sorted(
    {field for languages in STATE_FIELDS.values() for fields in languages.values() for field in fields}
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(ALL_TYPES)),
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3),
    st.sampled_from(["JSONPath", "JSONata"]),
)
def test_any_definition_is_either_loaded_or_explained(
    kind: str, fields: dict[str, Any], language: str
) -> None:
    definition = of_type(kind, **fields)
    definition["QueryLanguage"] = language
    before = copy.deepcopy(definition)
    findings = validate(definition)
    if any(finding.severity == "ERROR" for finding in findings):
        with pytest.raises(InvalidDefinition):
            load(definition)
    else:
        load(definition)
    assert definition == before
