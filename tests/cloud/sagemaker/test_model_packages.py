"""The model registry: groups, versions and their approval, packages that stand by themselves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.containers.archive import pack
from tests.cloud.sagemaker.fakes import SERVING, Box, FakeCloud, image, serves, variant, with_cloud

GROUP = "arn:aws:sagemaker:us-east-1:123456789012:model-package-group/digits"
PACKAGE = "arn:aws:sagemaker:us-east-1:123456789012:model-package/digits"
DIGEST = "sha256:" + "ab" * 32


def specification(**changes: Any) -> dict[str, Any]:
    container = {"Image": SERVING, "ModelDataUrl": "s3://data/model.tar.gz"} | changes
    return {"Containers": [container], "SupportedContentTypes": ["text/csv"]}


async def group(cloud: FakeCloud, name: str = "digits", **members: Any) -> dict[str, Any]:
    cloud.put(**{"model.tar.gz": pack(None)})
    return await cloud.do("create_model_package_group", ModelPackageGroupName=name, **members)


async def version(cloud: FakeCloud, name: str = "digits", **members: Any) -> str:
    request = {"ModelPackageGroupName": name, "InferenceSpecification": specification()} | members
    arn: str = (await cloud.do("create_model_package", **request))["ModelPackageArn"]
    return arn


async def unversioned(cloud: FakeCloud, name: str = "digits", **members: Any) -> str:
    request = {"ModelPackageName": name, "InferenceSpecification": specification()} | members
    arn: str = (await cloud.do("create_model_package", **request))["ModelPackageArn"]
    return arn


def test_a_group_is_recorded_described_listed_and_deleted() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        assert await group(cloud, ModelPackageGroupDescription="handwriting") == {
            "ModelPackageGroupArn": GROUP
        }
        error = await cloud.error("create_model_package_group", ModelPackageGroupName="digits")
        assert error.code == "ValidationException"
        assert error.message.startswith("Model Package Group already exists:")
        for by in ("digits", GROUP):
            described = await cloud.do("describe_model_package_group", ModelPackageGroupName=by)
            assert described["ModelPackageGroupStatus"] == "Completed"
            assert described["ModelPackageGroupDescription"] == "handwriting"
            assert described["CreatedBy"] == {}
        await cloud.clock.sleep(1)
        await group(cloud, "letters")
        listed = await cloud.do("list_model_package_groups", MaxResults=1)
        names = [item["ModelPackageGroupName"] for item in listed["ModelPackageGroupSummaryList"]]
        assert names == ["digits"]
        listed = await cloud.do("list_model_package_groups", NextToken=listed["NextToken"])
        names = [item["ModelPackageGroupName"] for item in listed["ModelPackageGroupSummaryList"]]
        assert names == ["letters"]
        await cloud.do("delete_model_package_group", ModelPackageGroupName="digits")
        error = await cloud.error("describe_model_package_group", ModelPackageGroupName="digits")
        assert (error.code, error.message) == (
            "ValidationException",
            f"ModelPackageGroup {GROUP} does not exist.",
        )

    with_cloud(scenario)


def test_a_group_with_versions_is_not_deleted() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await group(cloud)
        arn = await version(cloud)
        error = await cloud.error("delete_model_package_group", ModelPackageGroupName="digits")
        assert error.code == "ConflictException"
        await cloud.do("delete_model_package", ModelPackageName=arn)
        assert await cloud.do("delete_model_package_group", ModelPackageGroupName="digits") == {}

    with_cloud(scenario)


def test_versions_are_numbered_and_no_number_is_given_twice() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await group(cloud)
        assert [await version(cloud), await version(cloud, GROUP)] == [f"{PACKAGE}/1", f"{PACKAGE}/2"]
        await cloud.do("delete_model_package", ModelPackageName=f"{PACKAGE}/2")
        assert await version(cloud) == f"{PACKAGE}/3"
        error = await cloud.error("describe_model_package", ModelPackageName=f"{PACKAGE}/2")
        assert error.message == f"ModelPackage {PACKAGE}/2 does not exist."

    with_cloud(scenario)


def test_a_version_is_described() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await group(cloud)
        notes = {"CustomerMetadataProperties": {"f1": "0.9"}, "ModelMetrics": {"Bias": {}}}
        arn = await version(cloud, ModelPackageDescription="first", **notes)
        for by in (arn, "digits/1"):
            described = await cloud.do("describe_model_package", ModelPackageName=by)
            assert "ModelPackageName" not in described
            assert described["ModelPackageGroupName"] == "digits"
            assert (described["ModelPackageVersion"], described["ModelPackageArn"]) == (1, arn)
            assert described["ModelPackageStatus"] == "Completed"
            assert described["ModelApprovalStatus"] == "PendingManualApproval"
            container = described["InferenceSpecification"]["Containers"][0]
            assert (container["Image"], container["ImageDigest"]) == (SERVING, DIGEST)
            assert notes.items() <= described.items()

    with_cloud(scenario)


def test_a_model_card_can_be_left_out_of_a_description() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await group(cloud)
        card = {"ModelCardContent": '{"a": 1}', "ModelCardStatus": "Draft"}
        arn = await version(cloud, ModelCard=card)
        described = await cloud.do("describe_model_package", ModelPackageName=arn)
        assert described["ModelCard"] == card
        described = await cloud.do(
            "describe_model_package", ModelPackageName=arn, IncludedData="MetadataOnly"
        )
        assert described["ModelCard"] == {"ModelCardContent": "", "ModelCardStatus": "Draft"}

    with_cloud(scenario)


def test_a_version_is_approved() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await group(cloud)
        arn = await version(cloud, CustomerMetadataProperties={"a": "1", "b": "2"})
        await cloud.clock.sleep(5)
        answer = await cloud.do(
            "update_model_package",
            ModelPackageArn=arn,
            ModelApprovalStatus="Approved",
            ApprovalDescription="good enough",
            CustomerMetadataProperties={"b": "3", "c": "4"},
            CustomerMetadataPropertiesToRemove=["a", "none"],
        )
        assert answer == {"ModelPackageArn": arn}
        described = await cloud.do("describe_model_package", ModelPackageName=arn)
        assert described["ModelApprovalStatus"] == "Approved"
        assert described["ApprovalDescription"] == "good enough"
        assert described["CustomerMetadataProperties"] == {"b": "3", "c": "4"}
        assert (described["LastModifiedTime"] - described["CreationTime"]).total_seconds() == 5

    with_cloud(scenario)


def test_specifications_are_added_to_a_version_up_to_a_limit() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await group(cloud)
        arn = await version(cloud)
        added = [{"Name": f"s{number}", **specification()} for number in range(15)]
        await cloud.do(
            "update_model_package", ModelPackageArn=arn, AdditionalInferenceSpecificationsToAdd=added
        )
        described = await cloud.do("describe_model_package", ModelPackageName=arn)
        assert [item["Name"] for item in described["AdditionalInferenceSpecifications"]] == [
            item["Name"] for item in added
        ]
        error = await cloud.error(
            "update_model_package",
            ModelPackageArn=arn,
            ModelApprovalStatus="Approved",
            AdditionalInferenceSpecificationsToAdd=added[:1],
        )
        assert error.message == "A model package can have at most 15 additional inference specifications."
        described = await cloud.do("describe_model_package", ModelPackageName=arn)
        assert described["ModelApprovalStatus"] == "PendingManualApproval", "a refused update changes nothing"

    with_cloud(scenario)


def test_an_unversioned_package_has_a_name_and_tags_of_its_own() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await group(cloud, Tags=[{"Key": "team", "Value": "a"}])
        tags = [{"Key": "stage", "Value": "dev"}]
        assert await unversioned(cloud, Tags=tags) == PACKAGE
        described = await cloud.do("describe_model_package", ModelPackageName="digits")
        assert described["ModelPackageName"] == "digits"
        assert not {"ModelPackageVersion", "ModelApprovalStatus", "ModelPackageGroupName"} & set(described)
        assert await cloud.do("list_tags", ResourceArn=PACKAGE) == {"Tags": tags}
        assert await cloud.do("list_tags", ResourceArn=GROUP) == {"Tags": [{"Key": "team", "Value": "a"}]}
        error = await cloud.error(
            "create_model_package", ModelPackageName="digits", InferenceSpecification=specification()
        )
        assert error.message == f"ModelPackage already exists: {PACKAGE}"
        await cloud.do("delete_model_package", ModelPackageName="digits")
        assert (await cloud.error("list_tags", ResourceArn=PACKAGE)).code == "ValidationException"

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            {"ModelPackageName": "a", "ModelPackageGroupName": "digits"},
            "Both ModelPackageName and ModelPackageGroupName are provided in the input.",
        ),
        ({}, "Missing ARN."),
        (
            {"ModelPackageGroupName": "none"},
            "ModelPackageGroup arn:aws:sagemaker:us-east-1:123456789012:model-package-group/none does not",
        ),
        (
            {"ModelPackageGroupName": GROUP.replace("us-east-1", "eu-west-1")},
            "ARN should be scoped to correct region: us-east-1",
        ),
        (
            {"ModelPackageGroupName": GROUP.replace("123456789012", "210987654321")},
            "ModelPackageGroup arn:aws:sagemaker:us-east-1:210987654321:model-package-group/digits does not",
        ),
        (
            {"ModelPackageGroupName": "digits", "Tags": [{"Key": "a", "Value": ""}]},
            "A versioned model package has the tags of its group",
        ),
        (
            {"ModelPackageName": "a", "ModelApprovalStatus": "Approved"},
            "ModelApprovalStatus does not apply to an unversioned model package.",
        ),
        (
            {
                "ModelPackageName": "a",
                "InferenceSpecification": specification(ModelDataUrl="s3://data/no.tar.gz"),
            },
            "Could not find model data at s3://data/no.tar.gz.",
        ),
        (
            {"ModelPackageName": "a", "InferenceSpecification": specification(Image="nginx")},
            'Using non-ECR image "nginx" without Vpc repository access mode is not supported.',
        ),
        (
            {"ModelPackageName": "a", "InferenceSpecification": specification(Image="")},
            "1 validation error detected: Value null at 'inferenceSpecification.containers.1.member.image'",
        ),
        (
            {"ModelPackageName": "a", "ValidationSpecification": {"ValidationRole": "r"}},
            "harness does not support ValidationSpecification",
        ),
        (
            {"ModelPackageName": "a", "InferenceSpecification": specification(ModelDataETag="e")},
            "harness does not support InferenceSpecification.Containers.ModelDataETag yet.",
        ),
        ({"ModelPackageName": "a", "CertifyForMarketplace": True}, "harness does not support CertifyFor"),
    ],
)
def test_a_package_that_cannot_be_is_refused(request_: dict[str, Any], message: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await group(cloud)
        error = await cloud.error(
            "create_model_package", **{"InferenceSpecification": specification()} | request_
        )
        assert error.code == "ValidationException"
        assert error.message.startswith(message)
        listed = await cloud.do("list_model_packages", ModelPackageType="Both")
        assert listed["ModelPackageSummaryList"] == []
        assert await version(cloud) == f"{PACKAGE}/1", "a refused version has no number"

    with_cloud(scenario)


def test_a_request_with_a_client_token_is_carried_out_once() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await group(cloud)
        assert await version(cloud, ClientToken="t1") == await version(cloud, ClientToken="t1")
        error = await cloud.error(
            "create_model_package",
            ModelPackageGroupName="digits",
            InferenceSpecification=specification(Environment={"A": "1"}),
            ClientToken="t1",
        )
        assert error.code == "ConflictException"
        assert await version(cloud, ClientToken="t2") == f"{PACKAGE}/2"

    with_cloud(scenario)


def test_packages_are_listed_by_kind_group_and_approval() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await group(cloud)
        await group(cloud, "letters")
        await version(cloud)
        await version(cloud, ModelApprovalStatus="Approved")
        await version(cloud, "letters")
        await unversioned(cloud, "alone")

        async def arns(**params: Any) -> list[str]:
            listed = await cloud.do("list_model_packages", **params)
            return [item["ModelPackageArn"].partition("/")[2] for item in listed["ModelPackageSummaryList"]]

        assert await arns() == ["alone"]
        assert await arns(ModelPackageType="Versioned") == ["digits/1", "digits/2", "letters/1"]
        assert await arns(ModelPackageType="Both", SortBy="Name") == [
            "alone",
            "digits/1",
            "digits/2",
            "letters/1",
        ]
        assert await arns(ModelPackageGroupName="digits") == ["digits/1", "digits/2"]
        assert await arns(ModelPackageGroupName=GROUP, SortOrder="Descending") == ["digits/2", "digits/1"]
        assert await arns(ModelPackageGroupName="digits", ModelApprovalStatus="Approved") == ["digits/2"]
        assert await arns(ModelPackageType="Versioned", NameContains="let") == ["letters/1"]
        first = await cloud.do("list_model_packages", ModelPackageGroupName="digits", MaxResults=1)
        assert first["ModelPackageSummaryList"][0]["ModelPackageVersion"] == 1
        assert "ModelPackageName" not in first["ModelPackageSummaryList"][0]
        assert await arns(ModelPackageGroupName="digits", NextToken=first["NextToken"]) == ["digits/2"]

    with_cloud(scenario)


def test_several_versions_are_described_at_once() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await group(cloud)
        arns = [await version(cloud), await unversioned(cloud, "alone"), f"{PACKAGE}/9"]
        answer = await cloud.do("batch_describe_model_package", ModelPackageArnList=arns)
        assert set(answer["ModelPackageSummaries"]) == {arns[0]}
        assert answer["ModelPackageSummaries"][arns[0]]["InferenceSpecification"]["Containers"]
        errors = answer["BatchDescribeModelPackageErrorMap"]
        assert errors[arns[2]] == {
            "ErrorCode": "ValidationException",
            "ErrorResponse": f"ModelPackage {PACKAGE}/9 does not exist.",
        }
        assert set(errors) == set(arns[1:])

    with_cloud(scenario)


def test_a_group_keeps_a_resource_policy() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await group(cloud)
        name = {"ModelPackageGroupName": "digits"}
        error = await cloud.error("get_model_package_group_policy", **name)
        assert error.message == f"Cannot find resource policy for: {GROUP}"
        error = await cloud.error("put_model_package_group_policy", **name, ResourcePolicy="{")
        assert error.message.startswith("The resource policy is not valid JSON")
        policy = json.dumps({"Version": "2012-10-17", "Statement": []})
        answer = await cloud.do("put_model_package_group_policy", **name, ResourcePolicy=policy)
        assert answer == {"ModelPackageGroupArn": GROUP}
        assert await cloud.do("get_model_package_group_policy", **name) == {"ResourcePolicy": policy}
        await cloud.do("delete_model_package_group_policy", **name)
        for operation in ("get_model_package_group_policy", "delete_model_package_group_policy"):
            assert (await cloud.error(operation, **name)).code == "ValidationException"

    with_cloud(scenario)


def test_a_model_is_made_of_an_approved_package() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await group(cloud)
        arn = await version(cloud, InferenceSpecification=specification(Environment={"A": "1", "B": "1"}))
        container = {"ModelPackageName": arn, "Environment": {"B": "2"}}

        error = await cloud.error("create_model", ModelName="m", PrimaryContainer=container)
        assert "has the approval status PendingManualApproval" in error.message
        await cloud.do("update_model_package", ModelPackageArn=arn, ModelApprovalStatus="Approved")
        error = await cloud.error(
            "create_model", ModelName="m", PrimaryContainer=container | {"Image": SERVING}
        )
        assert error.message == "Image cannot be specified together with ModelPackageName."
        for number, request in enumerate(({"PrimaryContainer": container}, {"Containers": [container]})):
            await cloud.do("create_model", ModelName=f"m{number}", **request)
        described = await cloud.do("describe_model", ModelName="m0")
        assert described["PrimaryContainer"] == container

        seen: list[dict[str, str]] = []

        async def program(box: Box) -> int:
            seen.append(dict(box.spec.environment))
            return await serves()(box)

        cloud.images[SERVING] = image(program)
        await cloud.do(
            "create_endpoint_config", EndpointConfigName="c", ProductionVariants=[variant(model="m1")]
        )
        await cloud.do("create_endpoint", EndpointName="e", EndpointConfigName="c")
        await cloud.settle()
        endpoint = await cloud.do("describe_endpoint", EndpointName="e")
        assert endpoint["EndpointStatus"] == "InService"
        assert (seen[0]["A"], seen[0]["B"]) == ("1", "2")

    with_cloud(scenario)


def test_a_model_of_a_package_that_is_not_there_is_refused() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        container = {"ModelPackageName": f"{PACKAGE}/1"}
        error = await cloud.error("create_model", ModelName="m", PrimaryContainer=container)
        assert error.message == f"ModelPackage {PACKAGE}/1 does not exist."

    with_cloud(scenario)
