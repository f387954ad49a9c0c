"""How each type of CloudFormation resource is made on a local cloud: an explicit table of API calls.

The calls are data; `harness.targets.stack` makes them. A type, or a property of a type, that is not here is
refused by name before anything is made: on AWS it would have done something.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import UnsupportedError
from harness.project.resolve import Resource

__all__ = ["TYPES", "Call", "ResourceKind"]


@dataclass(frozen=True)
class Call:
    """An API call.

    Attributes:
        service: botocore's service name.
        operation: The operation.
        params: Its parameters.
        tolerate: Error codes that mean there is nothing to do.
    """

    service: str
    operation: str
    params: Mapping[str, Any]
    tolerate: tuple[str, ...] = ()


Calls = Iterator[Call]


@dataclass(frozen=True)
class ResourceKind:
    """A resource type.

    Attributes:
        create: The calls that make a resource; the first one makes the thing itself.
        delete: The calls that remove it.
        update: The calls that change an existing one, whose name stays, into a new one; where None, it is
            removed and made again.
        identity: The member of the first call's answer that is the physical id, where that cannot be
            predicted.
    """

    create: Callable[[Resource], Calls]
    delete: Callable[[Resource], Calls]
    update: Callable[[Resource, Resource], Calls] | None = None
    identity: str | None = None


class _Properties:
    """A resource's properties, each of which must be asked for before `done`."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._left = dict(resource.properties)

    def take(self, name: str, default: Any = None) -> Any:
        return self._left.pop(name, default)

    def pick(self, *names: str) -> dict[str, Any]:
        """Those of these properties that are there, under the same names."""
        return {name: self._left.pop(name) for name in names if name in self._left}

    def tags(self) -> list[dict[str, str]]:
        return [{"Key": tag["Key"], "Value": str(tag["Value"])} for tag in self._left.pop("Tags", ())]

    def done(self) -> None:
        """Refuse what nobody asked for."""
        for name in self._left:
            raise UnsupportedError(
                f"the local cloud does not support {name} of {self._resource.type}",
                place=f"Resources.{self._resource.logical_id}.Properties.{name}",
                hint="leave the property out on the local cloud, with a condition in the template",
            )


def _text(document: Any) -> str:
    return document if isinstance(document, str) else json.dumps(document)


def _camel(value: Any) -> Any:
    """CloudFormation's PascalCase keys as the API's camelCase."""
    if isinstance(value, Mapping):
        return {name[:1].lower() + name[1:]: _camel(inner) for name, inner in value.items()}
    return [_camel(inner) for inner in value] if isinstance(value, list) else value


# S3 --------------------------------------------------------------------------------------------------


def _create_bucket(resource: Resource) -> Calls:
    region = resource.attributes["RegionalDomainName"].split(".s3.")[1].split(".")[0]
    params: dict[str, Any] = {"Bucket": resource.name}
    if region != "us-east-1":
        params["CreateBucketConfiguration"] = {"LocationConstraint": region}
    yield Call("s3", "CreateBucket", params)
    yield from _configure_bucket(resource)


def _configure_bucket(resource: Resource) -> Calls:
    properties, name = _Properties(resource), {"Bucket": resource.name}
    properties.take("BucketName")
    if block := properties.take("PublicAccessBlockConfiguration"):
        yield Call("s3", "PutPublicAccessBlock", {**name, "PublicAccessBlockConfiguration": block})
    if ownership := properties.take("OwnershipControls"):
        yield Call("s3", "PutBucketOwnershipControls", {**name, "OwnershipControls": ownership})
    if encryption := properties.take("BucketEncryption"):
        rules = [
            {
                (
                    "ApplyServerSideEncryptionByDefault" if key == "ServerSideEncryptionByDefault" else key
                ): inner
                for key, inner in rule.items()
            }
            for rule in encryption["ServerSideEncryptionConfiguration"]
        ]
        yield Call(
            "s3", "PutBucketEncryption", {**name, "ServerSideEncryptionConfiguration": {"Rules": rules}}
        )
    if versioning := properties.take("VersioningConfiguration"):
        yield Call("s3", "PutBucketVersioning", {**name, "VersioningConfiguration": versioning})
    if tags := properties.tags():
        yield Call("s3", "PutBucketTagging", {**name, "Tagging": {"TagSet": tags}})
    properties.done()


def _delete_bucket(resource: Resource) -> Calls:
    # A bucket with objects in it is never removed, here as by CloudFormation.
    yield Call("s3", "DeleteBucket", {"Bucket": resource.name}, tolerate=("BucketNotEmpty", "NoSuchBucket"))


def _create_bucket_policy(resource: Resource) -> Calls:
    properties = _Properties(resource)
    bucket, policy = properties.take("Bucket"), properties.take("PolicyDocument")
    properties.done()
    document = json.loads(policy) if isinstance(policy, str) else policy
    written = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
    statements = [statement for statement in written if _may_apply(resource, statement)]
    if statements:
        text = json.dumps({**document, "Statement": statements})
        yield Call("s3", "PutBucketPolicy", {"Bucket": bucket, "Policy": text})


def _may_apply(resource: Resource, statement: Mapping[str, Any]) -> bool:
    """Whether a statement of a bucket policy can matter to a request of an SDK.

    moto denies what a Deny statement names without looking at its Condition. The usual Condition, that
    the connection is not encrypted, is never true on AWS, where SDKs use TLS; the loopback stands for that.

    Raises:
        UnsupportedError: It is a Deny with another Condition, which would have to be evaluated.
    """
    if statement["Effect"] != "Deny" or "Condition" not in statement:
        return True
    condition = json.loads(json.dumps(statement["Condition"]).lower())
    if condition in ({"bool": {"aws:securetransport": value}} for value in (False, "false", ["false"])):
        return False
    raise UnsupportedError(
        "the local S3 does not evaluate the Condition of a Deny in a bucket policy",
        place=f"Resources.{resource.logical_id}.Properties.PolicyDocument",
        hint="leave the statement out on the local cloud, with a condition in the template",
    )


def _delete_bucket_policy(resource: Resource) -> Calls:
    params = {"Bucket": resource.properties["Bucket"]}
    yield Call("s3", "DeleteBucketPolicy", params, tolerate=("NoSuchBucket",))


# IAM -------------------------------------------------------------------------------------------------


def _create_role(resource: Resource) -> Calls:
    properties, name = _Properties(resource), {"RoleName": resource.name}
    properties.take("RoleName")
    trust = _text(properties.take("AssumeRolePolicyDocument"))
    policies, managed = properties.take("Policies", []), properties.take("ManagedPolicyArns", [])
    params = properties.pick("Path", "Description", "MaxSessionDuration", "PermissionsBoundary")
    if tags := properties.tags():
        params["Tags"] = tags
    properties.done()
    yield Call("iam", "CreateRole", {**name, "AssumeRolePolicyDocument": trust, **params})
    for policy in policies:
        document = {"PolicyName": policy["PolicyName"], "PolicyDocument": _text(policy["PolicyDocument"])}
        yield Call("iam", "PutRolePolicy", {**name, **document})
    for arn in managed:
        # AWS's own policies are not there; nothing on the local cloud asks for permission either.
        yield Call("iam", "AttachRolePolicy", {**name, "PolicyArn": arn}, tolerate=_foreign(arn))


def _delete_role(resource: Resource) -> Calls:
    name = {"RoleName": resource.name}
    for arn in resource.properties.get("ManagedPolicyArns", ()):
        yield Call("iam", "DetachRolePolicy", {**name, "PolicyArn": arn}, tolerate=("NoSuchEntity",))
    for policy in resource.properties.get("Policies", ()):
        params = {**name, "PolicyName": policy["PolicyName"]}
        yield Call("iam", "DeleteRolePolicy", params, tolerate=("NoSuchEntity",))
    yield Call("iam", "DeleteRole", name, tolerate=("NoSuchEntity",))


def _foreign(arn: str) -> tuple[str, ...]:
    return ("NoSuchEntity",) if ":iam::aws:" in arn else ()


def _create_policy(resource: Resource) -> Calls:
    properties = _Properties(resource)
    properties.take("PolicyName")
    document, roles = _text(properties.take("PolicyDocument")), properties.take("Roles", [])
    properties.done()
    for role in roles:
        params = {"RoleName": role, "PolicyName": resource.name, "PolicyDocument": document}
        yield Call("iam", "PutRolePolicy", params)


def _delete_policy(resource: Resource) -> Calls:
    for role in resource.properties.get("Roles", ()):
        params = {"RoleName": role, "PolicyName": resource.name}
        yield Call("iam", "DeleteRolePolicy", params, tolerate=("NoSuchEntity",))


def _create_managed_policy(resource: Resource) -> Calls:
    properties = _Properties(resource)
    properties.take("ManagedPolicyName")
    params = {"PolicyName": resource.name, "PolicyDocument": _text(properties.take("PolicyDocument"))}
    roles = properties.take("Roles", [])
    params |= properties.pick("Path", "Description")
    properties.done()
    yield Call("iam", "CreatePolicy", params)
    for role in roles:
        yield Call("iam", "AttachRolePolicy", {"RoleName": role, "PolicyArn": resource.physical_id})


def _delete_managed_policy(resource: Resource) -> Calls:
    arn = {"PolicyArn": resource.physical_id}
    for role in resource.properties.get("Roles", ()):
        yield Call("iam", "DetachRolePolicy", {"RoleName": role, **arn}, tolerate=("NoSuchEntity",))
    yield Call("iam", "DeletePolicy", arn, tolerate=("NoSuchEntity",))


# Lambda ----------------------------------------------------------------------------------------------

_CONFIGURATION = (
    *("Description", "Environment", "EphemeralStorage", "Handler", "Layers", "LoggingConfig"),
    *("MemorySize", "Role", "Runtime", "Timeout", "TracingConfig"),
)


def _create_function(resource: Resource) -> Calls:
    properties = _Properties(resource)
    properties.take("FunctionName")
    params = properties.pick("Architectures", "Code", "PackageType", *_CONFIGURATION)
    if tags := properties.tags():
        params["Tags"] = {tag["Key"]: tag["Value"] for tag in tags}
    properties.done()
    yield Call("lambda", "CreateFunction", {"FunctionName": resource.name, **params})


def _update_function(old: Resource, new: Resource) -> Calls:
    (create,) = _create_function(new)  # refuses what is not supported
    name = {"FunctionName": new.name}
    architectures = {name: create.params[name] for name in ("Architectures",) if name in create.params}
    if any(old.properties.get(part) != new.properties.get(part) for part in ("Code", "Architectures")):
        yield Call("lambda", "UpdateFunctionCode", {**name, **create.params["Code"], **architectures})
    unset: dict[str, Any] = {"Description": "", "Environment": {"Variables": {}}, "Layers": []}
    unset |= {"Timeout": 3, "MemorySize": 128, "EphemeralStorage": {"Size": 512}}
    before = {part: old.properties.get(part, unset.get(part)) for part in _CONFIGURATION}
    after = {part: create.params.get(part, unset.get(part)) for part in _CONFIGURATION}
    if changed := {part: after[part] for part in after if after[part] != before[part]}:
        yield Call("lambda", "UpdateFunctionConfiguration", {**name, **changed})


def _delete_function(resource: Resource) -> Calls:
    params = {"FunctionName": resource.name}
    yield Call("lambda", "DeleteFunction", params, tolerate=("ResourceNotFoundException",))


def _create_layer(resource: Resource) -> Calls:
    properties = _Properties(resource)
    properties.take("LayerName")
    params = properties.pick(
        "Content", "Description", "CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo"
    )
    properties.done()
    yield Call("lambda", "PublishLayerVersion", {"LayerName": resource.name, **params})


def _delete_layer(resource: Resource) -> Calls:
    version = resource.physical_id.rpartition(":")[2]
    yield Call("lambda", "DeleteLayerVersion", {"LayerName": resource.name, "VersionNumber": int(version)})


# Step Functions --------------------------------------------------------------------------------------


def _machine_params(resource: Resource) -> dict[str, Any]:
    """As CreateStateMachine takes them; the definition has been put in place by `harness.targets.stack`."""
    properties = _Properties(resource)
    properties.take("StateMachineName")
    params: dict[str, Any] = {"name": resource.name, "roleArn": properties.take("RoleArn")}
    params["definition"] = properties.take("DefinitionString")
    if kind := properties.take("StateMachineType"):
        params["type"] = kind
    for name in ("LoggingConfiguration", "TracingConfiguration"):
        if value := properties.take(name):
            params[name[:1].lower() + name[1:]] = _camel(value)
    if tags := properties.tags():
        params["tags"] = [{"key": tag["Key"], "value": tag["Value"]} for tag in tags]
    properties.done()
    return params


def _create_machine(resource: Resource) -> Calls:
    yield Call("stepfunctions", "CreateStateMachine", _machine_params(resource))


def _update_machine(old: Resource, new: Resource) -> Calls:
    params = _machine_params(new)
    if old.properties.get("StateMachineType") != new.properties.get("StateMachineType"):
        yield from _delete_machine(old)
        yield from _create_machine(new)
        return
    kept = ("definition", "roleArn", "loggingConfiguration", "tracingConfiguration")
    changes = {name: params[name] for name in kept if name in params}
    yield Call("stepfunctions", "UpdateStateMachine", {"stateMachineArn": new.physical_id, **changes})


def _delete_machine(resource: Resource) -> Calls:
    yield Call("stepfunctions", "DeleteStateMachine", {"stateMachineArn": resource.physical_id})


# CloudWatch Logs -------------------------------------------------------------------------------------


def _create_log_group(resource: Resource) -> Calls:
    properties, name = _Properties(resource), {"logGroupName": resource.name}
    properties.take("LogGroupName")
    days = properties.take("RetentionInDays")
    tags = {tag["Key"]: tag["Value"] for tag in properties.tags()}
    properties.done()
    params = {**name, "tags": tags} if tags else name
    # A function that has run before its group was declared has made the group itself.
    yield Call("logs", "CreateLogGroup", params, tolerate=("ResourceAlreadyExistsException",))
    if days is not None:
        yield Call("logs", "PutRetentionPolicy", {**name, "retentionInDays": int(days)})


def _delete_log_group(resource: Resource) -> Calls:
    params = {"logGroupName": resource.name}
    yield Call("logs", "DeleteLogGroup", params, tolerate=("ResourceNotFoundException",))


TYPES: Mapping[str, ResourceKind] = {
    "AWS::IAM::ManagedPolicy": ResourceKind(_create_managed_policy, _delete_managed_policy),
    "AWS::IAM::Policy": ResourceKind(_create_policy, _delete_policy),
    "AWS::IAM::Role": ResourceKind(_create_role, _delete_role),
    "AWS::Lambda::Function": ResourceKind(_create_function, _delete_function, _update_function),
    "AWS::Lambda::LayerVersion": ResourceKind(_create_layer, _delete_layer, identity="LayerVersionArn"),
    "AWS::Logs::LogGroup": ResourceKind(_create_log_group, _delete_log_group),
    "AWS::S3::Bucket": ResourceKind(_create_bucket, _delete_bucket, lambda old, new: _configure_bucket(new)),
    "AWS::S3::BucketPolicy": ResourceKind(_create_bucket_policy, _delete_bucket_policy),
    "AWS::StepFunctions::StateMachine": ResourceKind(_create_machine, _delete_machine, _update_machine),
}
