from __future__ import annotations

from typing import Any

import pytest

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.validation import parse_s3
from harness.containers.archive import pack
from tests.cloud.sagemaker.fakes import SERVING, FakeCloud, training_request, variant, with_cloud

MODEL = "arn:aws:sagemaker:us-east-1:123456789012:model/digits"
CONFIG = "arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/digits-1"


def container(**changes: Any) -> dict[str, Any]:
    return {"Image": SERVING, "ModelDataUrl": "s3://data/model.tar.gz"} | changes


def test_a_model_is_recorded_described_listed_and_deleted() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(**{"model.tar.gz": pack(None)})
        answer = await cloud.do("create_model", ModelName="digits", PrimaryContainer=container())
        assert answer == {"ModelArn": MODEL}
        described = await cloud.do("describe_model", ModelName="digits")
        assert described["PrimaryContainer"] == container(Mode="SingleModel", Environment={})
        assert described["EnableNetworkIsolation"] is False
        error = await cloud.error("create_model", ModelName="digits", PrimaryContainer=container())
        assert (error.code, error.message) == (
            "ValidationException",
            f'Cannot create already existing model "{MODEL}".',
        )
        listed = await cloud.do("list_models")
        assert [model["ModelName"] for model in listed["Models"]] == ["digits"]
        assert await cloud.do("delete_model", ModelName="digits") == {}
        for operation in ("describe_model", "delete_model"):
            error = await cloud.error(operation, ModelName="digits")
            assert (error.code, error.message) == ("ValidationException", f'Could not find model "{MODEL}".')

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ModelDataUrl": "s3://data/none.tar.gz"}, "Could not find model data at s3://data/none.tar.gz."),
        ({"ModelDataUrl": "s3://none/m.tar.gz"}, "Could not access model data at s3://none/m.tar.gz."),
        ({"ModelDataUrl": "s3://data/model.zip"}, "The model data at s3://data/model.zip is not a .tar.gz"),
        (
            {"Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/x:1"},
            "Requested image 123456789012.dkr.ecr.us-east-1.amazonaws.com/x:1 not found.",
        ),
        (
            {"Image": "nginx"},
            'Using non-ECR image "nginx" without Vpc repository access mode is not supported.',
        ),
        (
            {"Mode": "MultiModel"},
            f"Your Ecr Image {SERVING} does not contain required "
            "com.amazonaws.sagemaker.capabilities.multi-models=true Docker label(s).",
        ),
        ({"ModelPackageName": "p"}, "Image cannot be specified together with ModelPackageName."),
    ],
)
def test_a_model_that_cannot_work_is_refused(changes: dict[str, Any], message: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(**{"model.tar.gz": pack(None)})
        error = await cloud.error("create_model", ModelName="digits", PrimaryContainer=container(**changes))
        assert error.code == "ValidationException"
        assert error.message.startswith(message)

    with_cloud(scenario)


def test_a_model_has_either_a_primary_container_or_containers() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(**{"model.tar.gz": pack(None)})
        both = await cloud.error(
            "create_model", ModelName="m", PrimaryContainer=container(), Containers=[container()]
        )
        assert "cannot both be specified" in both.message
        neither = await cloud.error("create_model", ModelName="m")
        assert "Member must not be null" in neither.message
        containers = [container(ContainerHostname="first"), container(ContainerHostname="second")]
        await cloud.do("create_model", ModelName="m", Containers=containers)
        described = await cloud.do("describe_model", ModelName="m")
        assert [item["ContainerHostname"] for item in described["Containers"]] == ["first", "second"]

    with_cloud(scenario)


def test_an_endpoint_config_is_recorded_described_listed_and_deleted() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await cloud.do("create_model", ModelName="digits", PrimaryContainer={"Image": SERVING})
        request = {"EndpointConfigName": "digits-1", "ProductionVariants": [variant()]}
        assert await cloud.do("create_endpoint_config", **request) == {"EndpointConfigArn": CONFIG}
        described = await cloud.do("describe_endpoint_config", EndpointConfigName="digits-1")
        assert described["ProductionVariants"] == [variant(InitialVariantWeight=1.0)]
        error = await cloud.error("create_endpoint_config", **request)
        assert error.message == f'Cannot create already existing endpoint configuration "{CONFIG}".'
        listed = await cloud.do("list_endpoint_configs")
        assert [config["EndpointConfigArn"] for config in listed["EndpointConfigs"]] == [CONFIG]
        await cloud.do("delete_endpoint_config", EndpointConfigName="digits-1")
        error = await cloud.error("describe_endpoint_config", EndpointConfigName="digits-1")
        assert error.message == f'Could not find endpoint configuration "{CONFIG}".'

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        (
            [variant(model="none")],
            'Could not find model "arn:aws:sagemaker:us-east-1:123456789012:model/none".',
        ),
        ([variant(), variant()], "Duplicate production variant name: AllTraffic."),
        (
            [variant(ServerlessConfig={"MemorySizeInMB": 1024, "MaxConcurrency": 1})],
            "InitialInstanceCount cannot be specified together with ServerlessConfig.",
        ),
        ([{"VariantName": "a", "ModelName": "digits"}], "1 validation error detected: Value null at "),
    ],
)
def test_an_endpoint_config_that_cannot_work_is_refused(variants: list[dict[str, Any]], message: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await cloud.do("create_model", ModelName="digits", PrimaryContainer={"Image": SERVING})
        error = await cloud.error(
            "create_endpoint_config", EndpointConfigName="c", ProductionVariants=variants
        )
        assert error.code == "ValidationException"
        assert error.message.startswith(message)

    with_cloud(scenario)


def test_the_newest_comes_first() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        for name in ("a", "b", "c"):
            await cloud.do("create_model", ModelName=name, PrimaryContainer={"Image": SERVING})
            await cloud.clock.sleep(1)
        first = await cloud.do("list_models", MaxResults=2)
        assert [model["ModelName"] for model in first["Models"]] == ["c", "b"]
        await cloud.do("create_model", ModelName="d", PrimaryContainer={"Image": SERVING})
        second = await cloud.do("list_models", MaxResults=2, NextToken=first["NextToken"])
        assert [model["ModelName"] for model in second["Models"]] == ["a"]
        assert "NextToken" not in second

    with_cloud(scenario)


def test_tags_are_kept_beside_the_resource() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        tags = [{"Key": "team", "Value": "a"}, {"Key": "stage", "Value": "dev"}]
        await cloud.do("create_model", ModelName="digits", PrimaryContainer={"Image": SERVING}, Tags=tags)
        assert await cloud.do("list_tags", ResourceArn=MODEL) == {"Tags": tags}
        added = await cloud.do("add_tags", ResourceArn=MODEL, Tags=[{"Key": "team", "Value": "b"}])
        assert added == {"Tags": [{"Key": "team", "Value": "b"}, tags[1]]}
        assert await cloud.do("delete_tags", ResourceArn=MODEL, TagKeys=["stage", "none"]) == {}
        assert await cloud.do("list_tags", ResourceArn=MODEL) == {"Tags": [{"Key": "team", "Value": "b"}]}
        many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
        error = await cloud.error("add_tags", ResourceArn=MODEL, Tags=many)
        assert error.code == "ValidationException"
        assert len((await cloud.do("list_tags", ResourceArn=MODEL))["Tags"]) == 1
        await cloud.do("delete_model", ModelName="digits")
        error = await cloud.error("list_tags", ResourceArn=MODEL)
        assert error.code == "ValidationException"

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (
            [{"Key": "aws:cloudformation:stack-name", "Value": "s"}],
            "aws: prefixed tag key names are not allowed for external use.",
        ),
        ([{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}], "Duplicate tag key: a."),
    ],
)
def test_tags_that_nobody_may_give_are_refused(tags: list[dict[str, str]], message: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        error = await cloud.error(
            "create_model", ModelName="digits", PrimaryContainer={"Image": SERVING}, Tags=tags
        )
        assert error.code == "ValidationException"
        assert error.message.startswith(message)
        assert (await cloud.do("list_models"))["Models"] == []
        await cloud.do("create_model", ModelName="digits", PrimaryContainer={"Image": SERVING})
        error = await cloud.error("add_tags", ResourceArn=MODEL, Tags=tags)
        assert error.message.startswith(message)
        assert await cloud.do("list_tags", ResourceArn=MODEL) == {"Tags": []}

    with_cloud(scenario)


def test_jobs_may_be_tagged() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        answer = await cloud.do("create_training_job", **training_request(Tags=[{"Key": "a", "Value": "1"}]))
        listed = await cloud.do("list_tags", ResourceArn=answer["TrainingJobArn"])
        assert listed == {"Tags": [{"Key": "a", "Value": "1"}]}

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("uri", "bucket", "key"),
    [
        ("s3://b", "b", ""),
        ("s3://b/", "b", ""),
        ("s3://b/a/b.c", "b", "a/b.c"),
        ("https://s3.eu-west-1.amazonaws.com/b/a/c", "b", "a/c"),
        ("https://s3-eu-west-1.amazonaws.com/b/a/c", "b", "a/c"),
        ("https://b.s3.eu-west-1.amazonaws.com/a/c", "b", "a/c"),
    ],
)
def test_s3_uris(uri: str, bucket: str, key: str) -> None:
    place = parse_s3(uri)
    assert (place.bucket, place.key) == (bucket, key)


@pytest.mark.parametrize("uri", ["", "b/key", "s3:///key", "https://example.com/b/key"])
def test_what_is_no_s3_uri_is_refused(uri: str) -> None:
    with pytest.raises(ServiceError, match="not a valid S3 URI"):
        parse_s3(uri)
