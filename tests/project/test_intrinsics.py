from __future__ import annotations

import pytest

from harness.project.intrinsics import EvaluationError, Evaluator, references


class Names:
    """A scope of fixed names."""

    def ref(self, name):
        values = {"P": "value", "List": ["a", "b"], "Number": "3", "AWS::Region": "us-east-1"}
        if name not in values:
            raise EvaluationError(f"there is no {name}")
        return values[name]

    def attribute(self, logical_id, name):
        return f"<{logical_id}.{name}>"

    def condition(self, name):
        return {"Yes": True, "No": False}[name]

    def mapping(self, *keys):
        return {("M", "value", "k"): "found", ("M", "us-east-1", "l"): ["x"]}[keys]

    def zones(self, region):
        return [f"{region or 'here'}a"]


def evaluate(value):
    return Evaluator(Names()).evaluate(value)


P = {"Ref": "P"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, True, None, "x"]}, {"a": [1, True, None, "x"]}),
        (P, "value"),
        ({"a": P, "b": [P]}, {"a": "value", "b": ["value"]}),
        ({"Fn::GetAtt": ["R", "Arn"]}, "<R.Arn>"),
        ({"Fn::GetAtt": "R.Arn.More"}, "<R.Arn.More>"),
        ({"Fn::GetAtt": ["R", P]}, "<R.value>"),
        ({"Fn::Sub": "${P}-${AWS::Region}-${R.Arn}-${!P}-$x-${}"}, None),
        ({"Fn::Sub": "${P}-${AWS::Region}-${R.Arn}-${!P}-$x"}, "value-us-east-1-<R.Arn>-${P}-$x"),
        ({"Fn::Sub": ["${A}${P}", {"A": {"Fn::Join": ["", [1, True]]}}]}, "1truevalue"),
        ({"Fn::Join": ["-", ["a", P, 1]]}, "a-value-1"),
        ({"Fn::Join": [",", {"Ref": "List"}]}, "a,b"),
        ({"Fn::Split": ["l", P]}, ["va", "ue"]),
        ({"Fn::Select": [1, {"Ref": "List"}]}, "b"),
        ({"Fn::Select": [{"Fn::Select": ["0", ["1"]]}, {"Fn::Split": ["l", P]}]}, "ue"),
        ({"Fn::FindInMap": ["M", P, "k"]}, "found"),
        ({"Fn::FindInMap": ["M", {"Ref": "AWS::Region"}, "l"]}, ["x"]),
        ({"Fn::If": ["Yes", P, {"Ref": "Missing"}]}, "value"),
        ({"Fn::If": ["No", {"Ref": "Missing"}, P]}, "value"),
        ({"a": {"Fn::If": ["No", 1, {"Ref": "AWS::NoValue"}]}, "b": 2}, {"b": 2}),
        ([1, {"Ref": "AWS::NoValue"}], [1]),
        ({"Fn::Equals": [P, "value"]}, True),
        ({"Fn::Equals": [{"Ref": "Number"}, 3]}, True),
        ({"Fn::Equals": ["true", True]}, True),
        ({"Fn::Not": [{"Condition": "Yes"}]}, False),
        ({"Fn::And": [{"Condition": "Yes"}, {"Fn::Not": [{"Condition": "No"}]}]}, True),
        ({"Fn::Or": [{"Condition": "No"}, {"Fn::Equals": [1, 2]}]}, False),
        ({"Fn::Base64": P}, "dmFsdWU="),
        ({"Fn::GetAZs": ""}, ["herea"]),
        ({"Fn::Cidr": ["10.0.0.0/16", 2, 8]}, ["10.0.0.0/24", "10.0.1.0/24"]),
        ({"Fn::Length": {"Ref": "List"}}, 2),
        ({"Fn::ToJsonString": {"a": P}}, '{"a":"value"}'),
        # IAM's Condition is a mapping, and no function:
        ({"Condition": {"StringEquals": {"a": P}}}, {"Condition": {"StringEquals": {"a": "value"}}}),
    ],
)
def test_values(value, expected):
    if expected is None:
        with pytest.raises(EvaluationError):
            evaluate(value)
    else:
        assert evaluate(value) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"Ref": "Missing"}, "there is no Missing"),
        ({"Ref": ["P"]}, "Ref takes a name"),
        ({"Fn::GetAtt": ["R"]}, "Fn::GetAtt takes"),
        ({"Fn::GetAtt": "R"}, "Fn::GetAtt takes"),
        ({"Fn::Sub": 3}, "Fn::Sub takes"),
        ({"Fn::Sub": ["x"]}, "Fn::Sub takes a list of 2"),
        ({"Fn::Sub": "${List}"}, "Fn::Sub takes texts, not list"),
        ({"Fn::Join": ["-", "ab"]}, "Fn::Join takes a list"),
        ({"Fn::Select": [2, ["a", "b"]]}, "there is no item 2 in a list of 2"),
        ({"Fn::Select": ["x", ["a"]]}, "there is no item x"),
        ({"Fn::Split": ["", "ab"]}, "Fn::Split takes a separator"),
        ({"Fn::Cidr": ["nonsense", 1, 8]}, "Fn::Cidr"),
        ({"Fn::Not": ["yes"]}, "expected a condition"),
        ({"Fn::And": [{"Condition": "Yes"}]}, "2 to 10"),
        ({"Fn::If": ["Yes", 1]}, "Fn::If takes a list of 3"),
    ],
)
def test_wrong_arguments(value, message):
    with pytest.raises(EvaluationError, match=message) as caught:
        evaluate(value)
    assert not caught.value.unsupported


@pytest.mark.parametrize("name", ["Fn::ImportValue", "Fn::Transform", "Fn::ForEach::Loop"])
def test_what_needs_aws_is_refused_by_name(name):
    with pytest.raises(EvaluationError, match=name) as caught:
        evaluate({"a": {name: "x"}})
    assert caught.value.unsupported


def test_references():
    value = {
        "a": {"Ref": "A"},
        "b": [{"Fn::GetAtt": ["B", "Arn"]}, {"Fn::GetAtt": "C.Arn"}],
        "c": {"Fn::Sub": "${D}-${E.Arn}-${!F}-${AWS::Region}"},
        "d": {"Fn::Sub": ["${G}${H}", {"G": {"Ref": "I"}}]},
        "e": {"Fn::If": ["Condition", {"Ref": "J"}, "x"]},
    }
    assert sorted(references(value)) == ["A", "AWS::Region", "B", "C", "D", "E", "H", "I", "J"]
