"""Model packages: models in the registry, with what can be made of them and whether they are approved.

A versioned package belongs to a group, has a number, an approval status, and the tags of its group. An
unversioned one stands by itself and has tags of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.images import require_model_image
from harness.cloud.sagemaker.models.data import model_source
from harness.cloud.sagemaker.models.package_groups import ModelPackageGroup, ModelPackageGroups, name_in
from harness.cloud.sagemaker.records import Listing, Tags, moment
from harness.cloud.sagemaker.validation import invalid, null, only
from harness.cloud.service import CloudContext

__all__ = ["ModelPackage", "ModelPackages"]

CONTAINER = (
    "ContainerHostname",
    "Environment",
    "Framework",
    "FrameworkVersion",
    "Image",
    "ModelDataSource.S3DataSource.CompressionType",
    "ModelDataSource.S3DataSource.S3DataType",
    "ModelDataSource.S3DataSource.S3Uri",
    "ModelDataUrl",
    "ModelInput",
    "NearestModelName",
)
CONTENT_AND_INSTANCES = (
    "SupportedContentTypes",
    "SupportedRealtimeInferenceInstanceTypes",
    "SupportedResponseMIMETypes",
    "SupportedTransformInstanceTypes",
)
SPECIFICATION = (*(f"Containers.{member}" for member in CONTAINER), *CONTENT_AND_INSTANCES)

NOTES = (
    "CustomerMetadataProperties",
    "Domain",
    "DriftCheckBaselines",
    "MetadataProperties",
    "ModelCard",
    "ModelLifeCycle",
    "ModelMetrics",
    "ModelPackageDescription",
    "ModelPackageRegistrationType",
    "SamplePayloadUrl",
    "SkipModelValidation",
    "Task",
)
"""What a package says of its model: kept and given back, as SageMaker does."""

FIELDS = (
    *(f"InferenceSpecification.{member}" for member in SPECIFICATION),
    *(f"AdditionalInferenceSpecifications.{member}" for member in ("Name", "Description", *SPECIFICATION)),
)
SUPPORTED = (
    "ClientToken",
    "ModelApprovalStatus",
    "ModelPackageGroupName",
    "ModelPackageName",
    "Tags",
    *NOTES,
    *FIELDS,
)
CHANGED_AS_A_WHOLE = (
    "ApprovalDescription",
    "InferenceSpecification",
    "ModelApprovalStatus",
    "ModelCard",
    "ModelLifeCycle",
    "ModelPackageRegistrationType",
)
UPDATABLE = (
    "ApprovalDescription",
    "ClientToken",
    "CustomerMetadataProperties",
    "CustomerMetadataPropertiesToRemove",
    "ModelApprovalStatus",
    "ModelCard",
    "ModelLifeCycle",
    "ModelPackageArn",
    "ModelPackageRegistrationType",
    *(field.replace("Specifications.", "SpecificationsToAdd.") for field in FIELDS),
)
MOST_METADATA = 50
MOST_ADDITIONAL = 15


@dataclass
class ModelPackage:
    """A model package as the API knows it.

    Attributes:
        name: Its own name, or that of its group.
        arn: Its ARN.
        number: How many packages there were before it.
        created: Virtual seconds.
        modified: Virtual seconds.
        group: The group it belongs to; None when it is unversioned.
        version: Its number in the group.
        about: What Describe says of it beyond the above.
    """

    name: str
    arn: str
    number: int
    created: float
    modified: float
    group: ModelPackageGroup | None
    version: int
    about: dict[str, Any]

    status = "Completed"

    @property
    def approval(self) -> str | None:
        """ModelApprovalStatus; only versions have one."""
        return self.about.get("ModelApprovalStatus")


class ModelPackages:
    """Create, describe, update, list and delete model packages.

    Args:
        cloud: Where images and model data are.
        groups: Where versions go.
        tags: Keeps tags.
    """

    def __init__(self, cloud: CloudContext, groups: ModelPackageGroups, tags: Tags) -> None:
        self._cloud = cloud
        self._groups = groups
        self._tags = tags
        self._packages: dict[str, ModelPackage] = {}  # by the end of the ARN: a name, or group/version
        self._made: dict[str, tuple[dict[str, Any], str]] = {}  # by client token: the request, the ARN
        self._number = 0
        self._listing = Listing("ModelPackageSummaryList", _summary, descending=False)

    def create(self, params: dict[str, Any]) -> dict[str, Any]:
        """Record a package.

        Raises:
            ServiceError: ValidationException; ConflictException: the client token of another request.
        """
        only(params, SUPPORTED)
        token = params.get("ClientToken")
        if token in self._made:
            request, arn = self._made[token]
            if request != params:
                raise ServiceError(
                    "ConflictException", f"The client token {token} was given with another request."
                )
            return {"ModelPackageArn": arn}
        package = self._new(params)
        self._number += 1
        if token is not None:
            self._made[token] = (params, package.arn)
        return {"ModelPackageArn": package.arn}

    def _new(self, params: dict[str, Any]) -> ModelPackage:
        name, group_name = params.get("ModelPackageName"), params.get("ModelPackageGroupName")
        if name and group_name:
            raise invalid(
                "Both ModelPackageName and ModelPackageGroupName are provided in the input. Cannot determine "
                "which one to use."
            )
        if not (name or group_name):
            raise invalid("Missing ARN.")
        about = {member: params[member] for member in NOTES if member in params}
        for field in ("InferenceSpecification", "AdditionalInferenceSpecifications"):
            if field in params:
                about[field] = self._resolved(field, params[field])
        if group_name:
            return self._version(self._groups.get(group_name), params, about)
        return self._unversioned(params["ModelPackageName"], params, about)

    def _version(
        self, group: ModelPackageGroup, params: dict[str, Any], about: dict[str, Any]
    ) -> ModelPackage:
        if params.get("Tags"):
            raise invalid("A versioned model package has the tags of its group; Tags cannot be specified.")
        about["ModelApprovalStatus"] = params.get("ModelApprovalStatus", "PendingManualApproval")
        version = group.next_version()
        return self._add(group.name, f"{group.name}/{version}", group, version, about)

    def _unversioned(self, name: str, params: dict[str, Any], about: dict[str, Any]) -> ModelPackage:
        arn = self._arn(name)
        if name in self._packages:
            raise invalid(f"ModelPackage already exists: {arn}")
        if "ModelApprovalStatus" in params:
            raise invalid("ModelApprovalStatus does not apply to an unversioned model package.")
        if "InferenceSpecification" not in about:
            raise null("inferenceSpecification")
        self._tags.start(arn, params.get("Tags", ()))
        return self._add(name, name, None, 0, about)

    def _add(
        self, name: str, key: str, group: ModelPackageGroup | None, version: int, about: dict[str, Any]
    ) -> ModelPackage:
        now = self._cloud.clock.now()
        package = ModelPackage(name, self._arn(key), self._number, now, now, group, version, about)
        self._packages[key] = package
        return package

    def _resolved(self, field: str, value: Any) -> Any:
        """Specifications, with the digests of their images.

        Raises:
            ServiceError: ValidationException: there is no such image, or no such model data.
        """
        if isinstance(value, list):
            return [self._resolved(field, item) for item in value]
        containers = []
        for number, container in enumerate(value["Containers"], 1):
            if not container.get("Image"):
                raise null(f"{field[:1].lower()}{field[1:]}.containers.{number}.member.image")
            image = require_model_image(self._cloud.images, container["Image"])
            source = model_source(container)
            if source is not None:
                source.require(self._cloud.storage)
            containers.append({**container, "ImageDigest": image.digest})
        return {**value, "Containers": containers}

    def get(self, name_or_arn: str) -> ModelPackage:
        """A package by ARN or by name; ``group/1`` names a version.

        Raises:
            ServiceError: ValidationException.
        """
        key = name_in(self._cloud, "model-package", name_or_arn)
        package = self._packages.get(key)
        if package is None:
            raise invalid(f"ModelPackage {self._arn(key)} does not exist.")
        return package

    def containers(self, name_or_arn: str) -> list[dict[str, Any]]:
        """The containers of a model that is to be made of a package: Image, ModelDataUrl, Environment ...

        Raises:
            ServiceError: ValidationException: there is none of that name, it has nothing to deploy, or it is
                a version that nobody has approved.
        """
        package = self.get(name_or_arn)
        if package.group is not None and package.approval != "Approved":
            raise invalid(
                f"Model package {package.arn} has the approval status {package.approval}; "
                "it must be Approved to be deployed."
            )
        specification = package.about.get("InferenceSpecification")
        if specification is None:
            raise invalid(f"Model package {package.arn} has no InferenceSpecification.")
        members = ("ContainerHostname", "Image", "ModelDataUrl", "ModelDataSource", "Environment")
        return [
            {member: container[member] for member in members if member in container}
            for container in specification["Containers"]
        ]

    def describe(self, name_or_arn: str, *, metadata_only: bool = False) -> dict[str, Any]:
        """DescribeModelPackage.

        Args:
            name_or_arn: Which.
            metadata_only: Leave out what the model card says.

        Raises:
            ServiceError: ValidationException.
        """
        described = _description(self.get(name_or_arn))
        if metadata_only and "ModelCard" in described:
            described["ModelCard"] = described["ModelCard"] | {"ModelCardContent": ""}
        return described

    def documents(self) -> Iterator[dict[str, Any]]:
        """What Search looks through: the descriptions of all packages."""
        return map(_description, self._packages.values())

    def describe_several(self, arns: list[str]) -> dict[str, Any]:
        """BatchDescribeModelPackage: versions only; what cannot be described is reported beside them."""
        found: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        for arn in arns:
            try:
                package = self.get(arn)
                if package.group is None:
                    raise invalid(f"ModelPackage {arn} is not a versioned model package.")
            except ServiceError as error:
                errors[arn] = {"ErrorCode": error.code, "ErrorResponse": error.message}
                continue
            specification = package.about.get("InferenceSpecification")
            found[arn] = _summary(package)
            if specification is not None:
                found[arn]["InferenceSpecification"] = specification
        answer: dict[str, Any] = {"ModelPackageSummaries": found}
        return answer | ({"BatchDescribeModelPackageErrorMap": errors} if errors else {})

    def update(self, params: dict[str, Any]) -> dict[str, Any]:
        """UpdateModelPackage: approve a version, change its notes.

        Raises:
            ServiceError: ValidationException; then nothing has changed.
        """
        only(params, UPDATABLE)
        package = self.get(params["ModelPackageArn"])
        if package.group is None:
            raise invalid(f"ModelPackage {package.arn} is not a versioned model package.")
        about = package.about | {member: params[member] for member in CHANGED_AS_A_WHOLE if member in params}
        if "InferenceSpecification" in params:
            about["InferenceSpecification"] = self._resolved(
                "InferenceSpecification", params["InferenceSpecification"]
            )
        if added := params.get("AdditionalInferenceSpecificationsToAdd"):
            all_of_them = [
                *about.get("AdditionalInferenceSpecifications", ()),
                *self._resolved("AdditionalInferenceSpecificationsToAdd", added),
            ]
            _at_most(len(all_of_them), MOST_ADDITIONAL, "additional inference specifications")
            about["AdditionalInferenceSpecifications"] = all_of_them
        metadata = about.get("CustomerMetadataProperties", {}) | params.get("CustomerMetadataProperties", {})
        for key in params.get("CustomerMetadataPropertiesToRemove", ()):
            metadata.pop(key, None)
        _at_most(len(metadata), MOST_METADATA, "customer metadata properties")
        about["CustomerMetadataProperties"] = metadata
        if not metadata:
            del about["CustomerMetadataProperties"]
        package.about = about
        package.modified = self._cloud.clock.now()
        return {"ModelPackageArn": package.arn}

    def list(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListModelPackages: unversioned ones unless asked otherwise, or the versions in a group.

        Raises:
            ServiceError: ValidationException.
        """
        group = (
            self._groups.get(params["ModelPackageGroupName"]) if "ModelPackageGroupName" in params else None
        )
        kind = params.get("ModelPackageType", "Versioned" if group else "Unversioned")
        approval = params.get("ModelApprovalStatus")
        wanted = [
            package
            for package in self._packages.values()
            if kind in ("Both", "Versioned" if package.group else "Unversioned")
            and (group is None or package.group is group)
            and approval in (None, package.approval)
        ]
        return self._listing.page(wanted, params)

    def delete(self, name_or_arn: str) -> None:
        """Forget a package. Models made of it stay.

        Raises:
            ServiceError: ValidationException.
        """
        package = self.get(name_or_arn)
        if package.group is None:
            del self._packages[package.name]
            self._tags.forget(package.arn)
        else:
            del self._packages[f"{package.name}/{package.version}"]
            package.group.versions.discard(package.version)

    def _arn(self, key: str) -> str:
        return self._cloud.arn("sagemaker", f"model-package/{key}")


def _at_most(count: int, limit: int, what: str) -> None:
    if count > limit:
        raise invalid(f"A model package can have at most {limit} {what}.")


def _identity(package: ModelPackage) -> dict[str, Any]:
    if package.group is None:
        return {"ModelPackageName": package.name, "ModelPackageArn": package.arn}
    return {
        "ModelPackageGroupName": package.name,
        "ModelPackageVersion": package.version,
        "ModelPackageArn": package.arn,
    }


def _description(package: ModelPackage) -> dict[str, Any]:
    return {
        **_identity(package),
        **package.about,
        "CreationTime": moment(package.created),
        "LastModifiedTime": moment(package.modified),
        "ModelPackageStatus": package.status,
        "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
        "CertifyForMarketplace": False,
    }


def _summary(package: ModelPackage) -> dict[str, Any]:
    members = (
        "ModelPackageDescription",
        "ModelApprovalStatus",
        "ModelLifeCycle",
        "ModelPackageRegistrationType",
    )
    return {
        **_identity(package),
        **{member: package.about[member] for member in members if member in package.about},
        "CreationTime": moment(package.created),
        "ModelPackageStatus": package.status,
    }
