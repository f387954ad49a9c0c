"""What a container may reach, and in whose name SageMaker acts.

Every Create operation that takes a role calls `require_role` first; every container of a job or a model gets
its `Access` from `access`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from harness.cloud.sagemaker.validation import invalid
from harness.cloud.service import Caller, CloudContext
from harness.containers.runtime import Gateway

__all__ = ["SAGEMAKER", "Access", "access", "require_role"]

SAGEMAKER = Caller("service", "sagemaker.amazonaws.com")
"""Who makes the calls that SageMaker itself makes."""

VARIABLES = ("AWS_ENDPOINT_URL", "S3_ENDPOINT_URL")
"""Where SDKs look for the address of AWS: boto3 and the CLI in the first, AWS's training toolkit in both."""


@dataclass(frozen=True)
class Access:
    """What a container reaches, in the terms of `ContainerSpec`.

    Attributes:
        gateway: The local cloud; None in isolation.
        environment: Access keys that the local cloud knows as the job's, and the region.
    """

    gateway: Gateway | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def access(cloud: CloudContext, *, name: str, role: str | None, isolated: bool) -> Access:
    """What the containers of a job or a model may reach.

    Args:
        cloud: What there is to reach.
        name: The job's, model's or endpoint's name: the caller of what its containers call.
        role: The role they act in.
        isolated: EnableNetworkIsolation: neither network nor keys.
    """
    region = {"AWS_REGION": cloud.region, "AWS_DEFAULT_REGION": cloud.region}
    if isolated:
        return Access(None, region)
    port = urlsplit(cloud.endpoint_url).port
    assert port is not None  # the local cloud's address always has one
    key, secret = cloud.identify(Caller("job", name, role))
    return Access(
        Gateway(port, VARIABLES),
        {**region, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret},
    )


async def require_role(cloud: CloudContext, role: str) -> None:
    """Refuse a role that SageMaker cannot assume.

    A role that the local IAM has must trust SageMaker. One that it does not have is refused only where some
    other role there trusts SageMaker: then the project keeps its job roles in the local IAM. Else nobody put
    any there, and a bare ARN stands for a role that exists.

    Raises:
        ServiceError: ValidationException.
    """
    trusting, known = False, None
    marker: dict[str, Any] = {}
    while True:
        page = await cloud.call("iam", "ListRoles", {"MaxItems": 1000, **marker}, caller=SAGEMAKER)
        for item in page["Roles"]:
            trusts = _trusts(item.get("AssumeRolePolicyDocument") or {})
            trusting |= trusts
            if item["Arn"] == role:
                known = trusts
        if known is not None or not page.get("IsTruncated"):
            break
        marker = {"Marker": page["Marker"]}
    if known or (known is None and not trusting):
        return
    raise invalid(
        f"Could not assume role {role}. Please ensure that the role exists and allows principal "
        "'sagemaker.amazonaws.com' to assume the role."
    )


def _trusts(policy: Mapping[str, Any]) -> bool:
    """Whether a trust policy lets SageMaker assume its role. Conditions are taken to hold."""
    allowed = False
    for statement in _listed(policy.get("Statement")):
        actions = {action.lower() for action in _listed(statement.get("Action"))}
        if not actions & {"sts:assumerole", "sts:*", "*"} or not _names_sagemaker(statement.get("Principal")):
            continue
        if statement.get("Effect") == "Deny":
            return False
        allowed = True
    return allowed


def _names_sagemaker(principal: Any) -> bool:
    if isinstance(principal, Mapping):
        return SAGEMAKER.name in _listed(principal.get("Service"))
    return bool(principal == "*")


def _listed(value: Any) -> list[Any]:
    """A policy gives one item where it could give a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
