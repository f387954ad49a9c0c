"""Search, over what training jobs and the model registry say of themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.cloud.sagemaker.fakes import SERVING, START, FakeCloud, training_request, with_cloud


async def three_jobs(cloud: FakeCloud) -> None:
    for number, name in enumerate(("a", "b", "c"), 1):
        request = training_request(
            name,
            HyperParameters={"lr": f"0.{number}", "model.kind": name},
            Tags=[{"Key": "team", "Value": name.upper()}],
            OutputDataConfig={"S3OutputPath": f"s3://data/{name}"},
        )
        await cloud.do("create_training_job", **request)
        await cloud.sagemaker.wait_for_job("training", name)
        await cloud.clock.sleep(60)


async def names(cloud: FakeCloud, *filters: dict[str, Any], **params: Any) -> list[str]:
    if filters:
        params["SearchExpression"] = {"Filters": list(filters), **params.get("SearchExpression", {})}
    answer = await cloud.do("search", Resource="TrainingJob", **params)
    return [result["TrainingJob"]["TrainingJobName"] for result in answer["Results"]]


def where(name: str, operator: str | None = None, value: str | None = None) -> dict[str, Any]:
    return {
        "Name": name,
        **({"Operator": operator} if operator else {}),
        **({"Value": value} if value is not None else {}),
    }


def time(seconds: float) -> str:
    return datetime.fromtimestamp(START + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (where("TrainingJobName", value="b"), ["b"]),
        (where("TrainingJobName", "NotEquals", "b"), ["c", "a"]),
        (where("TrainingJobName", "In", "a, c"), ["c", "a"]),
        (where("ModelArtifacts.S3ModelArtifacts", "Contains", "data/c/"), ["c"]),
        (where("HyperParameters.lr", "GreaterThanOrEqualTo", "0.2"), ["c", "b"]),
        (where("HyperParameters.lr", "LessThan", "0.2"), ["a"]),
        (where("HyperParameters.model.kind", "Equals", "a"), ["a"]),
        (where("Tags.team", "Equals", "B"), ["b"]),
        (where("FailureReason", "NotExists"), ["c", "b", "a"]),
        (where("FailureReason", "Exists"), []),
        (where("ResourceConfig.InstanceCount", "Equals", "1"), ["c", "b", "a"]),
        (where("ResourceConfig.InstanceCount", "GreaterThan", "1"), []),
        (where("EnableNetworkIsolation", "Equals", "false"), ["c", "b", "a"]),
        (where("CreationTime", "GreaterThan", time(30)), ["c", "b"]),
        (where("CreationTime", "LessThanOrEqualTo", time(30)), ["a"]),
    ],
)
def test_jobs_are_found_by_a_property(condition: dict[str, Any], found: list[str]) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await three_jobs(cloud)
        assert await names(cloud, condition) == found

    with_cloud(scenario)


def test_conditions_are_combined() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await three_jobs(cloud)
        a, b = where("TrainingJobName", value="a"), where("TrainingJobName", value="b")
        assert await names(cloud, a, b) == []
        assert await names(cloud, a, b, SearchExpression={"Operator": "Or"}) == ["b", "a"]
        below = {"SubExpressions": [{"Filters": [where("Tags.team", value="A")]}], "Operator": "Or"}
        assert await names(cloud, b, SearchExpression=below) == ["b", "a"]

    with_cloud(scenario)


def test_one_item_of_a_list_must_satisfy_a_nested_filter() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(one=b"1", two=b"2")
        channels = [
            {
                "ChannelName": name,
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://data/{name}"}},
            }
            for name in ("one", "two")
        ]
        await cloud.do("create_training_job", **training_request(InputDataConfig=channels))

        async def found(channel: str, uri: str) -> list[str]:
            nested = {
                "NestedPropertyName": "InputDataConfig",
                "Filters": [
                    where("InputDataConfig.ChannelName", value=channel),
                    where("InputDataConfig.DataSource.S3DataSource.S3Uri", "Contains", uri),
                ],
            }
            return await names(cloud, SearchExpression={"NestedFilters": [nested]})

        assert await found("one", "data/one") == ["train-1"]
        assert await found("one", "data/two") == []

    with_cloud(scenario)


def test_results_are_sorted_and_paged() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await three_jobs(cloud)
        assert await names(cloud, SortBy="HyperParameters.lr", SortOrder="Ascending") == ["a", "b", "c"]
        first = await cloud.do("search", Resource="TrainingJob", MaxResults=2)
        assert first["TotalHits"] == {"Value": 3, "Relation": "EqualTo"}
        assert await names(cloud, MaxResults=2, NextToken=first["NextToken"]) == ["a"]
        error = await cloud.error("search", Resource="TrainingJob", NextToken="x")
        assert error.message == "Invalid NextToken."

    with_cloud(scenario)


def test_the_registry_is_searched() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await cloud.do("create_model_package_group", ModelPackageGroupName="digits")
        for status in ("Approved", "Rejected"):
            await cloud.do(
                "create_model_package",
                ModelPackageGroupName="digits",
                ModelApprovalStatus=status,
                InferenceSpecification={"Containers": [{"Image": SERVING}]},
            )
        filters = [where("ModelApprovalStatus", value="Approved")]
        answer = await cloud.do("search", Resource="ModelPackage", SearchExpression={"Filters": filters})
        assert [result["ModelPackage"]["ModelPackageVersion"] for result in answer["Results"]] == [1]
        answer = await cloud.do("search", Resource="ModelPackageGroup")
        groups = [result["ModelPackageGroup"]["ModelPackageGroupName"] for result in answer["Results"]]
        assert groups == ["digits"]

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"Resource": "Experiment"}, "harness does not support Search for the resource Experiment yet."),
        ({"SearchExpression": {"Operator": "Or"}}, "A search expression needs at least one filter"),
        (
            {"SearchExpression": {"Filters": [where("TrainingJobName", "Contains")]}},
            "1 validation error detected: Value null at 'searchExpression.filters.value'",
        ),
        (
            {"SearchExpression": {"Filters": [where("TrainingJobName", "LessThan", "x")]}},
            "\"x\" cannot be compared with 'a'",
        ),
        (
            {"SearchExpression": {"Filters": [where("CreationTime", "LessThan", "yesterday")]}},
            '"yesterday" is not a date and time in ISO 8601.',
        ),
        (
            {"SearchExpression": {"Filters": [where("CreationTime", "Contains", "2025")]}},
            "The operators Contains and In are only supported for text properties.",
        ),
        (
            {"SearchExpression": {"SubExpressions": [{"Filters": [where("Name", value="a")]}]}},
            "Unknown property name: Name",
        ),
        ({"SortBy": "Colour"}, "Unknown property name: Colour"),
        ({"SortBy": "ResourceConfig"}, "Results cannot be sorted by ResourceConfig."),
        (
            {"SearchExpression": {"Filters": [where("TrainingJobName", value="a")] * 51}},
            "A search expression can have at most 50 conditions.",
        ),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(params: dict[str, Any], message: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await cloud.do("create_training_job", **training_request("a"))
        error = await cloud.error("search", **{"Resource": "TrainingJob"} | params)
        assert error.code == "ValidationException"
        assert error.message.startswith(message)

    with_cloud(scenario)
