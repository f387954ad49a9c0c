from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.errors import TemplateError, UnsupportedError
from harness.project import Stack
from harness.project.resources import TYPES

FILE = Path("definitions/template.yaml")
BUCKET = {"Type": "AWS::S3::Bucket"}


def function(name=None, **properties):
    named = {"FunctionName": name} if name else {}
    return {"Type": "AWS::Lambda::Function", "Properties": {**named, **properties}}


def stack(template, region="us-east-1", **parameters):
    return Stack(
        template, file=FILE, parameters=parameters, account="123456789012", region=region, stack="mlops-dev"
    )


def resolve(resources, **sections):
    return stack({"Resources": resources, **sections}).resolve()


# Order ----------------------------------------------------------------------------------------------


def test_resources_come_after_what_they_need_and_otherwise_as_written():
    resolved = resolve(
        {
            "Zeta": function(Role={"Fn::GetAtt": ["Role", "Arn"]}, Description={"Fn::Sub": "${Data}"}),
            "Alpha": BUCKET,
            "Data": BUCKET,
            "Role": {"Type": "AWS::IAM::Role", "DependsOn": "Alpha"},
        }
    )
    assert [resource.logical_id for resource in resolved.resources] == ["Data", "Alpha", "Role", "Zeta"]
    assert resolved.resource("Zeta").depends_on == ("Data", "Role")


def test_a_circle_is_an_error_that_shows_it():
    with pytest.raises(TemplateError, match="A -> B -> C -> A") as caught:
        resolve(
            {
                "A": function(Description={"Ref": "B"}),
                "B": function(Description={"Fn::Sub": "${C.Arn}"}),
                "C": {**BUCKET, "DependsOn": ["A"]},
            }
        )
    assert caught.value.place == "Resources.A"
    assert caught.value.file == FILE


def test_a_dependency_on_nothing_is_an_error():
    with pytest.raises(TemplateError, match="A depends on Missing"):
        resolve({"A": {**BUCKET, "DependsOn": "Missing"}})


# Identities -----------------------------------------------------------------------------------------


def test_given_names_and_what_refers_to_them():
    resolved = resolve(
        {
            "Train": function({"Fn::Sub": "train-${AWS::StackName}"}),
            "Machine": {
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {"StateMachineName": "m", "DefinitionString": {"Fn::GetAtt": ["Train", "Arn"]}},
            },
        },
        Outputs={
            "Machine": {"Value": {"Ref": "Machine"}},
            "Name": {"Value": {"Fn::GetAtt": ["Machine", "Name"]}},
        },
    )
    assert resolved.resource("Train").physical_id == "train-mlops-dev"
    arn = "arn:aws:lambda:us-east-1:123456789012:function:train-mlops-dev"
    assert resolved.resource("Machine").properties["DefinitionString"] == arn
    assert resolved.outputs == {
        "Machine": "arn:aws:states:us-east-1:123456789012:stateMachine:m",
        "Name": "m",
    }
    with pytest.raises(KeyError):
        resolved.resource("Other")


def test_generated_names_are_the_same_every_time_and_different_everywhere():
    names = {
        stack({"Resources": {"A": BUCKET, "B": BUCKET}}, region).resource(logical_id).physical_id
        for region in ("us-east-1", "eu-central-1")
        for logical_id in ("A", "B")
        for _ in range(2)
    }
    assert len(names) == 4
    assert all(re.fullmatch(r"mlops-dev-[ab]-[0-9a-f]{12}", name) for name in names)


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_every_type_has_an_identity_within_its_limits(kind):
    name = "Resource" * 10
    (resource,) = resolve({name: {"Type": kind, "Properties": {"FunctionName": "f"}}}).resources
    assert resource.physical_id
    assert len(resource.name) <= TYPES[kind].longest
    assert (resource.name == resource.name.lower()) or not TYPES[kind].lower_case


@pytest.mark.parametrize(
    ("region", "arn"),
    [
        ("us-east-1", "arn:aws:s3:::data"),
        ("cn-north-1", "arn:aws-cn:s3:::data"),
        ("us-gov-west-1", "arn:aws-us-gov:s3:::data"),
    ],
)
def test_the_partition_is_the_region_s(region, arn):
    template = {"Resources": {"Data": {**BUCKET, "Properties": {"BucketName": "data"}}}}
    assert stack(template, region).resource("Data").attributes["Arn"] == arn


def test_what_the_service_really_made_is_what_others_see():
    unresolved = stack(
        {
            "Resources": {
                "Layer": {"Type": "AWS::Lambda::LayerVersion", "Properties": {"LayerName": "numpy"}},
                "Eval": function("eval", Layers=[{"Ref": "Layer"}]),
            },
            "Outputs": {"Layer": {"Value": {"Ref": "Layer"}}},
        }
    )
    predicted = "arn:aws:lambda:us-east-1:123456789012:layer:numpy:1"
    assert unresolved.resource("Eval").properties["Layers"] == [predicted]

    unresolved.created("Layer", predicted[:-1] + "7", {})

    assert unresolved.resource("Layer").physical_id == predicted[:-1] + "7"
    assert unresolved.resource("Eval").properties["Layers"] == [predicted[:-1] + "7"]
    assert unresolved.outputs() == {"Layer": predicted[:-1] + "7"}


def test_properties_without_a_value_are_left_out():
    (resource,) = resolve({"A": function("f", KmsKeyArn={"Ref": "AWS::NoValue"}, Timeout=3)}).resources
    assert resource.properties == {"FunctionName": "f", "Timeout": 3}


# Conditions -----------------------------------------------------------------------------------------

CONDITIONAL = {
    "Parameters": {"Stage": {"Type": "String", "Default": "dev"}},
    "Conditions": {
        "IsProd": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]},
        "IsDev": {"Fn::Not": [{"Condition": "IsProd"}]},
    },
    "Resources": {
        "Always": {**BUCKET, "DependsOn": "Prod"},
        "Prod": {**BUCKET, "Condition": "IsProd", "Properties": {"BucketName": "prod"}},
    },
    "Outputs": {
        "Prod": {"Condition": "IsProd", "Value": {"Ref": "Prod"}},
        "Dev": {"Value": {"Fn::If": ["IsDev", "dev", {"Ref": "Prod"}]}},
    },
}


def test_conditions_decide_on_resources_and_outputs():
    dev, prod = stack(CONDITIONAL).resolve(), stack(CONDITIONAL, Stage="prod").resolve()
    assert [resource.logical_id for resource in dev.resources] == ["Always"]
    assert dev.outputs == {"Dev": "dev"}
    assert [resource.logical_id for resource in prod.resources] == ["Prod", "Always"]
    assert prod.outputs == {"Prod": "prod", "Dev": "prod"}


def test_a_reference_to_what_a_condition_left_out_is_an_error():
    template = {**CONDITIONAL, "Outputs": {"Prod": {"Value": {"Ref": "Prod"}}}}
    with pytest.raises(TemplateError, match="Prod is left out") as caught:
        stack(template).resolve()
    assert caught.value.place == "Outputs.Prod"


def test_a_condition_that_depends_on_itself():
    conditions = {"A": {"Fn::Not": [{"Condition": "B"}]}, "B": {"Fn::Not": [{"Condition": "A"}]}}
    with pytest.raises(TemplateError, match="condition A depends on itself"):
        resolve({"R": {**BUCKET, "Condition": "A"}}, Conditions=conditions)


def test_mappings_and_zones():
    resolved = resolve(
        {"F": function("f", Timeout={"Fn::FindInMap": ["ByRegion", {"Ref": "AWS::Region"}, "timeout"]})},
        Mappings={"ByRegion": {"us-east-1": {"timeout": 30}}},
        Outputs={"Zone": {"Value": {"Fn::Select": [0, {"Fn::GetAZs": ""}]}}},
    )
    assert resolved.resource("F").properties["Timeout"] == 30
    assert resolved.outputs == {"Zone": "us-east-1a"}


# Refusals -------------------------------------------------------------------------------------------


def test_an_unsupported_type_is_refused_by_name():
    with pytest.raises(UnsupportedError, match="Net is of the type AWS::EC2::VPC") as caught:
        resolve({"Net": {"Type": "AWS::EC2::VPC"}})
    assert caught.value.place == "Resources.Net"


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ({"Fn::ImportValue": "other"}, UnsupportedError, "Fn::ImportValue is not supported"),
        (
            {"Fn::GetAtt": ["Data", "Nonsense"]},
            UnsupportedError,
            "Data .* has no attribute Nonsense; known: Arn",
        ),
        ({"Ref": "Dat"}, TemplateError, r"no parameter or resource Dat \(did you mean Data\?\)"),
        ({"Fn::GetAtt": ["Dat", "Arn"]}, TemplateError, "there is no resource Dat"),
        ({"Fn::If": ["Nope", 1, 2]}, TemplateError, "there is no condition Nope"),
        ({"Fn::FindInMap": ["A", "b", "c"]}, TemplateError, "no A.b.c in the Mappings"),
    ],
)
def test_a_property_that_cannot_be_evaluated_says_which(value, error, message):
    with pytest.raises(error, match=message) as caught:
        resolve({"Data": BUCKET, "F": function(Description=value)})
    assert caught.value.place == "Resources.F.Properties.Description"


# Parameters -----------------------------------------------------------------------------------------


def parameters(declared, **given):
    return stack({"Parameters": declared, "Resources": {"A": BUCKET}}, **given).parameters()


def test_parameters_have_a_given_value_or_their_default():
    declared = {
        "Text": {"Type": "String", "Default": "a"},
        "Number": {"Type": "Number", "Default": 0.3},
        "List": {"Type": "CommaDelimitedList", "Default": "a, b"},
        "Flag": {"Type": "String", "Default": True},
    }
    assert parameters(declared) == {"Text": "a", "Number": "0.3", "List": "a,b", "Flag": "true"}
    assert parameters(declared, Text="x", Number="7")["Number"] == "7"


@pytest.mark.parametrize(
    ("declaration", "given", "message"),
    [
        ({}, None, "parameter P has no value"),
        ({"AllowedValues": ["a", "b"]}, "c", "it is one of a, b"),
        ({"AllowedPattern": "[a-z]+"}, "a1", r"it must match \[a-z\]\+"),
        ({"MinLength": 3}, "ab", "3 characters or more"),
        ({"MaxLength": 1}, "ab", "1 characters or fewer"),
        ({"Type": "Number"}, "x", "it is a number"),
        ({"Type": "Number", "MinValue": 1}, "0", "it is 1 or more"),
        ({"Type": "Number", "MaxValue": 1}, "2", "it is 1 or less"),
        ({"Type": "List<Number>"}, "1,x", "cannot be 'x': it is a number"),
    ],
)
def test_values_are_checked_as_cloudformation_does(declaration, given, message):
    values = {} if given is None else {"P": given}
    with pytest.raises(TemplateError, match=message) as caught:
        parameters({"P": {"Type": "String", **declaration}}, **values)
    assert caught.value.place == "Parameters.P"


def test_a_secret_is_not_shown():
    with pytest.raises(TemplateError) as caught:
        parameters({"P": {"Type": "String", "NoEcho": True, "MinLength": 9}}, P="hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_value_for_a_parameter_that_there_is_not():
    with pytest.raises(TemplateError, match="no parameter Stag") as caught:
        parameters({"Stage": {"Type": "String", "Default": "dev"}}, Stag="prod")
    assert caught.value.hint == "did you mean Stage?"


def test_parameters_that_aws_fills_in_are_refused():
    with pytest.raises(UnsupportedError, match="AWS::SSM::Parameter::Value"):
        parameters({"P": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/a"}})
