"""Model package groups: the model registry's shelves, each with the versions of one model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.records import Listing, Tags, moment
from harness.cloud.sagemaker.validation import invalid, one_of, only
from harness.cloud.service import CloudContext

__all__ = ["ModelPackageGroup", "ModelPackageGroups", "name_in"]

SUPPORTED = ("ModelPackageGroupName", "ModelPackageGroupDescription", "Tags")


@dataclass
class ModelPackageGroup:
    """A model package group as the API knows it.

    `versions` are the numbers of the versions in it. A number is never given twice: `latest` is the last one
    given, whether or not the version is still there.
    """

    name: str
    arn: str
    number: int
    created: float
    request: dict[str, Any]
    latest: int = 0
    versions: set[int] = field(default_factory=set)
    policy: str | None = None

    status = "Completed"

    @property
    def modified(self) -> float:
        """When it was created."""
        return self.created

    def next_version(self) -> int:
        """The number of a new version."""
        self.latest += 1
        self.versions.add(self.latest)
        return self.latest


class ModelPackageGroups:
    """Create, describe, list and delete model package groups; their resource policies."""

    def __init__(self, cloud: CloudContext, tags: Tags) -> None:
        self._cloud = cloud
        self._tags = tags
        self._groups: dict[str, ModelPackageGroup] = {}
        self._number = 0
        self._listing = Listing("ModelPackageGroupSummaryList", _summary, descending=False)

    def create(self, params: dict[str, Any]) -> dict[str, Any]:
        """Record a group.

        Raises:
            ServiceError: ValidationException.
        """
        only(params, SUPPORTED)
        name = params["ModelPackageGroupName"]
        arn = self._arn(name)
        if name in self._groups:
            raise invalid(f"Model Package Group already exists: {arn}")
        self._number += 1
        self._groups[name] = ModelPackageGroup(name, arn, self._number, self._cloud.clock.now(), params)
        self._tags.start(arn, params.get("Tags", ()))
        return {"ModelPackageGroupArn": arn}

    def get(self, name_or_arn: str) -> ModelPackageGroup:
        """A group by name or ARN.

        Raises:
            ServiceError: ValidationException.
        """
        name = name_in(self._cloud, "model-package-group", name_or_arn)
        group = self._groups.get(name)
        if group is None:
            raise invalid(f"ModelPackageGroup {self._arn(name)} does not exist.")
        return group

    def describe(self, name_or_arn: str) -> dict[str, Any]:
        """DescribeModelPackageGroup. CreatedBy is empty: nobody here works in a domain of SageMaker Studio.

        Raises:
            ServiceError: ValidationException.
        """
        return _summary(self.get(name_or_arn)) | {"CreatedBy": {}}

    def documents(self) -> Iterator[dict[str, Any]]:
        """What Search looks through: the descriptions of all groups."""
        return map(_summary, self._groups.values())

    def list(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListModelPackageGroups.

        Raises:
            ServiceError: ValidationException.
        """
        one_of(params.get("CrossAccountFilterOption"), ("SameAccount",), "CrossAccountFilterOption")
        return self._listing.page(self._groups.values(), params)

    def delete(self, name_or_arn: str) -> None:
        """Forget a group that has no versions.

        Raises:
            ServiceError: ValidationException; ConflictException: it has versions.
        """
        group = self.get(name_or_arn)
        if group.versions:
            raise ServiceError(
                "ConflictException",
                f"Model Package Group {group.arn} cannot be deleted because it contains "
                f"{len(group.versions)} Model Packages. Delete them first.",
            )
        del self._groups[group.name]
        self._tags.forget(group.arn)

    # Resource policies: kept and given back. Nobody from another account ever asks, so none is consulted.

    def put_policy(self, name: str, policy: str) -> dict[str, Any]:
        """PutModelPackageGroupPolicy.

        Raises:
            ServiceError: ValidationException.
        """
        group = self._with_policy(name)
        try:
            document = json.loads(policy)
        except ValueError as error:
            raise invalid(f"The resource policy is not valid JSON: {error}") from error
        if not isinstance(document, dict) or "Statement" not in document:
            raise invalid("The resource policy is not valid: it has no Statement.")
        group.policy = policy
        return {"ModelPackageGroupArn": group.arn}

    def get_policy(self, name: str) -> dict[str, Any]:
        """GetModelPackageGroupPolicy.

        Raises:
            ServiceError: ValidationException.
        """
        return {"ResourcePolicy": self._policy_of(self._with_policy(name))}

    def delete_policy(self, name: str) -> None:
        """DeleteModelPackageGroupPolicy.

        Raises:
            ServiceError: ValidationException.
        """
        group = self._with_policy(name)
        self._policy_of(group)
        group.policy = None

    def _with_policy(self, name: str) -> ModelPackageGroup:
        group = self._groups.get(name)
        if group is None:
            raise invalid(f"Cannot find Model Package Group: {self._arn(name)}")
        return group

    @staticmethod
    def _policy_of(group: ModelPackageGroup) -> str:
        if group.policy is None:
            raise invalid(f"Cannot find resource policy for: {group.arn}")
        return group.policy

    def _arn(self, name: str) -> str:
        return self._cloud.arn("sagemaker", f"model-package-group/{name}")


def name_in(cloud: CloudContext, kind: str, name_or_arn: str) -> str:
    """The name that a name or an ARN gives.

    Args:
        cloud: Whose resource it must be.
        kind: How its ARNs go on after the account: ``model-package``.
        name_or_arn: What a request has.

    Raises:
        ServiceError: ValidationException: an ARN of another region, account or kind of resource.
    """
    if not name_or_arn.startswith("arn:"):
        return name_or_arn
    region = name_or_arn.split(":")[3]
    if region != cloud.region:
        raise invalid(f"ARN should be scoped to correct region: {cloud.region}")
    start = cloud.arn("sagemaker", f"{kind}/")
    if not name_or_arn.startswith(start):
        what = "".join(part.capitalize() for part in kind.split("-"))
        raise invalid(f"{what} {name_or_arn} does not exist.")
    return name_or_arn.removeprefix(start)


def _summary(group: ModelPackageGroup) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "ModelPackageGroupName": group.name,
        "ModelPackageGroupArn": group.arn,
        "CreationTime": moment(group.created),
        "ModelPackageGroupStatus": group.status,
    }
    if "ModelPackageGroupDescription" in group.request:
        summary["ModelPackageGroupDescription"] = group.request["ModelPackageGroupDescription"]
    return summary
