"""What CloudFormation makes of each resource type: its physical id, and attributes for Fn::GetAtt.

For each type: the property that names it, what Ref yields, and its attributes. All other types are refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["TYPES", "Identity", "Place", "ResourceType"]


@dataclass(frozen=True)
class Place:
    """Where a stack is.

    Attributes:
        account: Twelve digits.
        region: e.g. ``us-east-1``.
        partition: ``aws``, ``aws-cn`` ...
        suffix: Of the DNS names there, e.g. ``amazonaws.com``.
        stack: Name of the stack.
    """

    account: str
    region: str
    partition: str
    suffix: str
    stack: str

    def arn(self, service: str, resource: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


@dataclass(frozen=True)
class Identity:
    """What a resource is known by.

    Attributes:
        name: Its name, given or generated.
        reference: What Ref yields; CloudFormation calls it the physical id.
        attributes: What Fn::GetAtt yields.
    """

    name: str
    reference: str
    attributes: Mapping[str, str]


Identify = Callable[[str, Mapping[str, Any], Place], Identity]


@dataclass(frozen=True)
class ResourceType:
    """A type of resource.

    Attributes:
        name_property: The property with its name, if it can be given one.
        identify: (name, properties, place) -> identity.
        longest: Characters a generated name may have.
        lower_case: Generated names must be in lower case.
    """

    name_property: str | None
    identify: Identify
    longest: int = 64
    lower_case: bool = False

    def generated_name(self, logical_id: str, place: Place) -> str:
        """A name like those CloudFormation generates, except that it is the same every time."""
        tail = hashlib.sha256(
            f"{place.account} {place.region} {place.stack} {logical_id}".encode()
        ).hexdigest()[:12]
        # Of the stack and the resource, the resource is cut last: it tells names of one stack apart.
        logical_id = logical_id[: self.longest - len(tail) - 3]
        stack = place.stack[: self.longest - len(tail) - len(logical_id) - 2]
        name = f"{stack}-{logical_id}-{tail}"
        return re.sub(r"[^a-z0-9-]", "-", name.lower()) if self.lower_case else name


def _bucket(name: str, properties: Mapping[str, Any], place: Place) -> Identity:
    attributes = {
        "Arn": f"arn:{place.partition}:s3:::{name}",
        "DomainName": f"{name}.s3.{place.suffix}",
        "RegionalDomainName": f"{name}.s3.{place.region}.{place.suffix}",
        "DualStackDomainName": f"{name}.s3.dualstack.{place.region}.{place.suffix}",
        "WebsiteURL": f"http://{name}.s3-website-{place.region}.{place.suffix}",
    }
    return Identity(name, name, attributes)


def _bucket_policy(name: str, properties: Mapping[str, Any], place: Place) -> Identity:
    return Identity(name, str(properties.get("Bucket", name)), {})


def _role(name: str, properties: Mapping[str, Any], place: Place) -> Identity:
    path = properties.get("Path", "/")
    arn = f"arn:{place.partition}:iam::{place.account}:role{path}{name}"
    return Identity(name, name, {"Arn": arn})


def _policy(name: str, properties: Mapping[str, Any], place: Place) -> Identity:
    return Identity(name, name, {})


def _managed_policy(name: str, properties: Mapping[str, Any], place: Place) -> Identity:
    path = properties.get("Path", "/")
    arn = f"arn:{place.partition}:iam::{place.account}:policy{path}{name}"
    return Identity(name, arn, {"PolicyArn": arn})


def _function(name: str, properties: Mapping[str, Any], place: Place) -> Identity:
    return Identity(name, name, {"Arn": place.arn("lambda", f"function:{name}")})


def _layer_version(name: str, properties: Mapping[str, Any], place: Place) -> Identity:
    arn = place.arn("lambda", f"layer:{name}:1")
    return Identity(name, arn, {"LayerVersionArn": arn})


def _function_arn(reference: str, place: Place) -> str:
    """FunctionName may be a name or an ARN."""
    return reference if reference.startswith("arn:") else place.arn("lambda", f"function:{reference}")


def _version(name: str, properties: Mapping[str, Any], place: Place) -> Identity:
    arn = f"{_function_arn(str(properties.get('FunctionName')), place)}:1"
    return Identity(name, arn, {"Version": "1", "FunctionArn": arn})


def _alias(name: str, properties: Mapping[str, Any], place: Place) -> Identity:
    arn = f"{_function_arn(str(properties.get('FunctionName')), place)}:{name}"
    return Identity(name, arn, {"AliasArn": arn})


def _permission(name: str, properties: Mapping[str, Any], place: Place) -> Identity:
    return Identity(name, name, {"Id": name})


def _state_machine(name: str, properties: Mapping[str, Any], place: Place) -> Identity:
    arn = place.arn("states", f"stateMachine:{name}")
    return Identity(name, arn, {"Arn": arn, "Name": name})


def _log_group(name: str, properties: Mapping[str, Any], place: Place) -> Identity:
    return Identity(name, name, {"Arn": place.arn("logs", f"log-group:{name}:*")})


def _queue(name: str, properties: Mapping[str, Any], place: Place) -> Identity:
    url = f"https://sqs.{place.region}.{place.suffix}/{place.account}/{name}"
    return Identity(name, url, {"Arn": place.arn("sqs", name), "QueueName": name, "QueueUrl": url})


def _topic(name: str, properties: Mapping[str, Any], place: Place) -> Identity:
    arn = place.arn("sns", name)
    return Identity(name, arn, {"TopicArn": arn, "TopicName": name})


def _table(name: str, properties: Mapping[str, Any], place: Place) -> Identity:
    return Identity(name, name, {"Arn": place.arn("dynamodb", f"table/{name}")})


TYPES: Mapping[str, ResourceType] = {
    "AWS::DynamoDB::Table": ResourceType("TableName", _table, longest=255),
    "AWS::IAM::ManagedPolicy": ResourceType("ManagedPolicyName", _managed_policy),
    "AWS::IAM::Policy": ResourceType("PolicyName", _policy),
    "AWS::IAM::Role": ResourceType("RoleName", _role),
    "AWS::Lambda::Alias": ResourceType("Name", _alias),
    "AWS::Lambda::Function": ResourceType("FunctionName", _function),
    "AWS::Lambda::LayerVersion": ResourceType("LayerName", _layer_version),
    "AWS::Lambda::Permission": ResourceType(None, _permission),
    "AWS::Lambda::Version": ResourceType(None, _version),
    "AWS::Logs::LogGroup": ResourceType("LogGroupName", _log_group),
    "AWS::S3::Bucket": ResourceType("BucketName", _bucket, longest=63, lower_case=True),
    "AWS::S3::BucketPolicy": ResourceType(None, _bucket_policy),
    "AWS::SNS::Topic": ResourceType("TopicName", _topic, longest=255),
    "AWS::SQS::Queue": ResourceType("QueueName", _queue, longest=80),
    "AWS::StepFunctions::StateMachine": ResourceType("StateMachineName", _state_machine, longest=80),
}
