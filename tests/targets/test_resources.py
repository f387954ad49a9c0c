"""The table of resource types: which API calls a resource becomes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.errors import UnsupportedError
from harness.project.resolve import Resource
from harness.targets.resources import TYPES


def resource(
    kind: str, name: str = "thing", attributes: dict[str, str] | None = None, **properties: Any
) -> Resource:
    return Resource("Thing", kind, name, name, properties, attributes or {}, ())


def calls(kind: str, **rest: Any) -> dict[str, dict[str, Any]]:
    made = TYPES[kind].create(resource(kind, **rest))
    return {call.operation: dict(call.params) for call in made}


BUCKET_ATTRIBUTES = {"RegionalDomainName": "thing.s3.us-east-1.amazonaws.com"}


def test_a_bucket_with_its_settings():
    made = calls(
        "AWS::S3::Bucket",
        attributes=BUCKET_ATTRIBUTES,
        BucketName="thing",
        BucketEncryption={
            "ServerSideEncryptionConfiguration": [
                {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
            ]
        },
        VersioningConfiguration={"Status": "Enabled"},
        Tags=[{"Key": "a", "Value": "b"}],
    )
    assert made["CreateBucket"] == {"Bucket": "thing"}
    assert made["PutBucketEncryption"]["ServerSideEncryptionConfiguration"] == {
        "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
    }
    assert made["PutBucketVersioning"]["VersioningConfiguration"] == {"Status": "Enabled"}
    assert made["PutBucketTagging"]["Tagging"] == {"TagSet": [{"Key": "a", "Value": "b"}]}


def test_a_bucket_elsewhere_says_where():
    made = calls("AWS::S3::Bucket", attributes={"RegionalDomainName": "thing.s3.eu-west-1.amazonaws.com"})
    assert made["CreateBucket"]["CreateBucketConfiguration"] == {"LocationConstraint": "eu-west-1"}


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Bucket": "thing", "PolicyDocument": {"Version": "2012-10-17", "Statement": list(statements)}}


ALLOW = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}
DENY = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}


def test_a_bucket_policy():
    made = calls("AWS::S3::BucketPolicy", **policy(ALLOW, DENY))
    assert json.loads(made["PutBucketPolicy"]["Policy"])["Statement"] == [ALLOW, DENY]


@pytest.mark.parametrize("value", [False, "false", ["false"]])
def test_a_denial_of_unencrypted_connections_never_applies(value: Any):
    never = {**DENY, "Condition": {"Bool": {"aws:SecureTransport": value}}}
    assert calls("AWS::S3::BucketPolicy", **policy(never)) == {}
    made = calls("AWS::S3::BucketPolicy", **policy(never, ALLOW))
    assert json.loads(made["PutBucketPolicy"]["Policy"])["Statement"] == [ALLOW]


@pytest.mark.parametrize(
    "condition",
    [
        {"Bool": {"aws:SecureTransport": "true"}},
        {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}},
        {"Bool": {"aws:SecureTransport": "false"}, "StringEquals": {"a": "b"}},
    ],
)
def test_any_other_conditional_denial_is_refused(condition: dict[str, Any]):
    with pytest.raises(UnsupportedError, match="Condition") as refused:
        calls("AWS::S3::BucketPolicy", **policy({**DENY, "Condition": condition}))
    assert refused.value.place == "Resources.Thing.Properties.PolicyDocument"


def test_a_role_with_its_policies():
    made = calls(
        "AWS::IAM::Role",
        AssumeRolePolicyDocument={"Version": "2012-10-17"},
        Policies=[{"PolicyName": "p", "PolicyDocument": {"Statement": []}}],
        ManagedPolicyArns=["arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"],
    )
    assert json.loads(made["CreateRole"]["AssumeRolePolicyDocument"]) == {"Version": "2012-10-17"}
    assert json.loads(made["PutRolePolicy"]["PolicyDocument"]) == {"Statement": []}
    assert made["AttachRolePolicy"]["PolicyArn"].endswith("AWSLambdaBasicExecutionRole")


def test_a_function():
    made = calls(
        "AWS::Lambda::Function",
        Code={"S3Bucket": "b", "S3Key": "k"},
        Role="arn:role",
        Runtime="python3.12",
        Handler="handler.handler",
        Timeout=60,
        Tags=[{"Key": "lambda:createdBy", "Value": "SAM"}],
    )
    assert made["CreateFunction"] == {
        "FunctionName": "thing",
        "Code": {"S3Bucket": "b", "S3Key": "k"},
        "Role": "arn:role",
        "Runtime": "python3.12",
        "Handler": "handler.handler",
        "Timeout": 60,
        "Tags": {"lambda:createdBy": "SAM"},
    }


def function(**properties: Any) -> Resource:
    base = {"Code": {"S3Bucket": "b", "S3Key": "k1"}, "Role": "r", "Runtime": "python3.12", "Handler": "h.h"}
    return resource("AWS::Lambda::Function", **{**base, **properties})


def updates(old: Resource, new: Resource) -> dict[str, dict[str, Any]]:
    update = TYPES[new.type].update
    assert update is not None
    return {call.operation: dict(call.params) for call in update(old, new)}


def test_a_function_is_updated_where_it_changed():
    new_code = function(Code={"S3Bucket": "b", "S3Key": "k2"})
    assert updates(function(), new_code) == {
        "UpdateFunctionCode": {"FunctionName": "thing", "S3Bucket": "b", "S3Key": "k2"}
    }
    assert updates(function(Timeout=5), function(Timeout=9)) == {
        "UpdateFunctionConfiguration": {"FunctionName": "thing", "Timeout": 9}
    }


def test_a_property_that_is_gone_goes_back_to_its_default():
    old = function(Timeout=60, Environment={"Variables": {"A": "1"}}, Layers=["arn:l"])
    assert updates(old, function())["UpdateFunctionConfiguration"] == {
        "FunctionName": "thing",
        "Timeout": 3,
        "Environment": {"Variables": {}},
        "Layers": [],
    }


def test_a_state_machine():
    made = calls(
        "AWS::StepFunctions::StateMachine",
        RoleArn="arn:role",
        StateMachineType="STANDARD",
        DefinitionString="{}",
        LoggingConfiguration={"Level": "ALL", "IncludeExecutionData": True},
        Tags=[{"Key": "stateMachine:createdBy", "Value": "SAM"}],
    )
    assert made["CreateStateMachine"] == {
        "name": "thing",
        "roleArn": "arn:role",
        "type": "STANDARD",
        "definition": "{}",
        "loggingConfiguration": {"level": "ALL", "includeExecutionData": True},
        "tags": [{"key": "stateMachine:createdBy", "value": "SAM"}],
    }


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_a_property_that_is_not_supported_is_refused_by_name(kind):
    attributes = BUCKET_ATTRIBUTES if kind == "AWS::S3::Bucket" else {}
    strange = resource(
        kind,
        attributes=attributes,
        DefinitionString="{}",
        Code={},
        Content={},
        Frobnicate=True,
    )
    # Some of the properties above belong to other types; each type refuses the first it does not know.
    with pytest.raises(UnsupportedError) as caught:
        for _ in TYPES[kind].create(strange):
            pass
    assert caught.value.place is not None
    assert caught.value.place.startswith("Resources.Thing.Properties.")
    assert kind in caught.value.message
