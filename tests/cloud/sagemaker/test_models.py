"""Models: what CreateModel takes, what it refuses, and how it says so."""

from __future__ import annotations

from typing import Any

import pytest

from harness.containers.archive import pack
from harness.containers.contract.serving import MULTI_MODEL_LABEL
from harness.containers.runtime import Image
from tests.cloud.sagemaker.fakes import ROLE, SERVING, FakeCloud, image, serves, transform_request, with_cloud

ARN = "arn:aws:sagemaker:us-east-1:123456789012:model/digits"
MODEL = "s3://data/model.tar.gz"


def container(**changes: Any) -> dict[str, Any]:
    return {"Image": SERVING, "ModelDataUrl": MODEL} | changes


async def create(cloud: FakeCloud, *containers: dict[str, Any], **params: Any) -> dict[str, Any]:
    cloud.put(**{"model.tar.gz": pack(None)})
    return await cloud.do("create_model", **request(*containers, **params))


def request(*containers: dict[str, Any], **params: Any) -> dict[str, Any]:
    data = {"Containers": list(containers)} if len(containers) != 1 else {"PrimaryContainer": containers[0]}
    return {"ModelName": "digits", "ExecutionRoleArn": ROLE, **data, **params}


def labelled() -> Image:
    made = image(serves())
    return Image(made.name, made.digest, labels={MULTI_MODEL_LABEL: "true"}, payload=made.payload)


def test_a_pipeline_is_described_as_it_was_asked_for() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        containers = [
            container(ContainerHostname="first", Environment={"A": "1"}),
            container(ContainerHostname="last"),
        ]
        answer = await create(
            cloud, *containers, InferenceExecutionConfig={"Mode": "Direct"}, EnableNetworkIsolation=True
        )
        assert answer == {"ModelArn": ARN}
        described = await cloud.do("describe_model", ModelName="digits")
        del described["CreationTime"]
        assert described == {
            "ModelName": "digits",
            "ModelArn": ARN,
            "ExecutionRoleArn": ROLE,
            "EnableNetworkIsolation": True,
            "InferenceExecutionConfig": {"Mode": "Direct"},
            "Containers": [
                {**containers[0], "Mode": "SingleModel"},
                {**containers[1], "Mode": "SingleModel", "Environment": {}},
            ],
        }

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("containers", "params", "message"),
    [
        ([container(), container(ContainerHostname="b")], {}, "for all containers or for none"),
        ([container(ContainerHostname="b")] * 2, {}, "must be unique within a model"),
        (
            [container(Mode="MultiModel", ModelDataUrl="s3://data/")] * 2,
            {},
            "More than one container in MultiModel mode is not supported with inference pipeline.",
        ),
        (
            [container(Mode="MultiModel", ModelDataUrl="s3://data/")],
            {},
            f"Your Ecr Image {SERVING} does not contain required {MULTI_MODEL_LABEL}=true Docker label(s).",
        ),
        (
            [container(ModelDataUrl="s3://data/none.tar.gz")],
            {},
            "Could not find model data at s3://data/none.tar.gz.",
        ),
        (
            [container(ModelDataUrl="s3://none/model.tar.gz")],
            {},
            "Could not access model data at s3://none/model.tar.gz.",
        ),
        ([container(ModelDataUrl="s3://data/model.zip")], {}, "is not a .tar.gz archive"),
        ([container(Environment={"A": "x" * 40_000})], {}, "at most 32768 are allowed"),
        ([container(Image="")], {}, "Value null at 'primaryContainer.image'"),
        ([{}, container()], {}, "Value null at 'containers.1.member.image'"),
        ([], {}, "Value null at 'primaryContainer'"),
        (
            [container(Image="busybox")],
            {},
            'Using non-ECR image "busybox" without Vpc repository access mode',
        ),
        (
            [container(ImageConfig={"RepositoryAccessMode": "Vpc"})],
            {},
            "support RepositoryAccessMode Vpc yet.",
        ),
        (
            [container()],
            {"VpcConfig": {"Subnets": ["a"], "SecurityGroupIds": ["b"]}},
            "harness does not support VpcConfig yet.",
        ),
        (
            [container(ModelPackageName="p/1")],
            {},
            "Image cannot be specified together with ModelPackageName.",
        ),
    ],
)
def test_what_is_refused(containers: list[dict[str, Any]], params: dict[str, Any], message: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(**{"model.tar.gz": pack(None)})
        error = await cloud.error("create_model", **request(*containers, **params))
        assert error.code == "ValidationException"
        assert message in error.message
        assert (await cloud.do("list_models"))["Models"] == []

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (("S3Prefix", "Gzip", "s3://data/m/"), "CompressionType Gzip needs the S3DataType S3Object."),
        (("S3Prefix", "None", "s3://data/m"), "must end with a slash"),
        (("S3Prefix", "None", "s3://data/none/"), "Could not find model data at s3://data/none/."),
        (("S3Object", "None", "s3://data/m"), "Could not find model data at s3://data/m."),
        (("S3Prefix", "None", "s3://data/m/"), None),
        (("S3Object", "None", "s3://data/m/weights"), None),
        (("S3Object", "Gzip", "s3://data/model.tar.gz"), None),
    ],
)
def test_uncompressed_model_data(source: tuple[str, str, str], message: str | None) -> None:
    kind, compression, uri = source

    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(m__weights=b"1", **{"model.tar.gz": pack(None)})
        data = {"S3DataSource": {"S3DataType": kind, "CompressionType": compression, "S3Uri": uri}}
        asked = request({"Image": SERVING, "ModelDataSource": data})
        if message is None:
            await cloud.do("create_model", **asked)
            described = await cloud.do("describe_model", ModelName="digits")
            assert described["PrimaryContainer"]["ModelDataSource"] == data
        else:
            assert message in (await cloud.error("create_model", **asked)).message

    with_cloud(scenario)


def test_a_multi_model_container_needs_a_prefix_that_exists() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = labelled()
        asked = container(Mode="MultiModel", ModelDataUrl="s3://data/models/")
        error = await cloud.error("create_model", **request(asked))
        assert error.message == "Could not find model data at s3://data/models/."
        error = await cloud.error("create_model", **request({"Image": SERVING, "Mode": "MultiModel"}))
        assert "ModelDataUrl must be specified" in error.message
        cloud.put(models__a=b"")
        await cloud.do("create_model", **request(asked))

    with_cloud(scenario)


def test_a_model_is_made_of_an_approved_package() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(**{"model.tar.gz": pack(None)})
        specification = {
            "Containers": [container(Environment={"A": "package", "B": "package"})],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        }
        await cloud.do("create_model_package_group", ModelPackageGroupName="digits")
        made = await cloud.do(
            "create_model_package", ModelPackageGroupName="digits", InferenceSpecification=specification
        )
        asked = {"ModelPackageName": made["ModelPackageArn"], "Environment": {"B": "model"}}
        error = await cloud.error("create_model", **request(asked))
        assert "must be Approved" in error.message
        await cloud.do("update_model_package", **made, ModelApprovalStatus="Approved")
        await cloud.do("create_model", **request(asked))
        described = await cloud.do("describe_model", ModelName="digits")
        assert described["PrimaryContainer"] == asked
        [served] = cloud.sagemaker._models.get("digits").containers
        assert served.environment == {"A": "package", "B": "model"}
        assert served.source is not None
        assert served.source.url == MODEL

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("containers", "message"),
    [
        (
            [container(Mode="MultiModel", ModelDataUrl="s3://data/")],
            "A model in MultiModel mode cannot be used",
        ),
        (
            [
                {
                    "Image": SERVING,
                    "ModelDataSource": {
                        "S3DataSource": {
                            "S3DataType": "S3Object",
                            "CompressionType": "None",
                            "S3Uri": "s3://data/in/a",
                        }
                    },
                }
            ],
            "container definitions which use ModelDataSource attribute",
        ),
    ],
)
def test_models_that_a_transform_job_cannot_use(containers: list[dict[str, Any]], message: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = labelled()
        cloud.put(in__a=b"1")
        await create(cloud, *containers)
        error = await cloud.error("create_transform_job", **transform_request())
        assert message in error.message

    with_cloud(scenario)
