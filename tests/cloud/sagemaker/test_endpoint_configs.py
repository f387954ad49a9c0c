"""Endpoint configurations: what they take, give back and refuse."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cloud.sagemaker.fakes import SERVING, FakeCloud, variant, with_cloud

SERVERLESS = {
    "VariantName": "v",
    "ModelName": "digits",
    "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 3},
}
CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 50,
    "DestinationS3Uri": "s3://data/captured",
    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
}
ASYNC = {
    "OutputConfig": {
        "S3OutputPath": "s3://data/out",
        "NotificationConfig": {"SuccessTopic": "arn:aws:sns:us-east-1:123456789012:done"},
    },
    "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 4},
}


async def prepare(cloud: FakeCloud) -> None:
    await cloud.do("create_model", ModelName="digits", PrimaryContainer={"Image": SERVING})
    pair = [{"Image": SERVING}, {"Image": SERVING}]
    await cloud.do("create_model", ModelName="pair", Containers=pair)


def test_everything_is_given_back() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await prepare(cloud)
        asked = variant(
            RoutingConfig={"RoutingStrategy": "RANDOM"},
            ModelDataDownloadTimeoutInSeconds=60,
            ContainerStartupHealthCheckTimeoutInSeconds=60,
            VolumeSizeInGB=5,
        )
        await cloud.do(
            "create_endpoint_config",
            EndpointConfigName="c",
            ProductionVariants=[asked],
            DataCaptureConfig=CAPTURE,
            AsyncInferenceConfig=ASYNC,
            EnableNetworkIsolation=True,
        )
        described = await cloud.do("describe_endpoint_config", EndpointConfigName="c")
        del described["CreationTime"]
        assert described == {
            "EndpointConfigName": "c",
            "EndpointConfigArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/c",
            "ProductionVariants": [{"InitialVariantWeight": 1.0, **asked}],
            "DataCaptureConfig": CAPTURE,
            "AsyncInferenceConfig": ASYNC,
            "EnableNetworkIsolation": True,
        }

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("asked", "params", "message"),
    [
        ({"InstanceType": None}, {}, "Value null at 'productionVariants.1.member.instanceType'"),
        (
            {"InitialInstanceCount": None},
            {},
            "Value null at 'productionVariants.1.member.initialInstanceCount'",
        ),
        ({"ModelName": None}, {}, "Value null at 'productionVariants.1.member.modelName'"),
        ({"AcceleratorType": "ml.eia1.medium"}, {}, "support ProductionVariants.AcceleratorType yet."),
        (
            {"ManagedInstanceScaling": {"Status": "ENABLED"}},
            {},
            "ProductionVariants.ManagedInstanceScaling yet.",
        ),
        ({"RoutingConfig": {"RoutingStrategy": "KV_AWARE"}}, {}, "support RoutingStrategy KV_AWARE yet."),
        ({}, {"KmsKeyId": "key"}, "harness does not support KmsKeyId yet."),
        ({}, {"ShadowProductionVariants": [variant("s")]}, "support ShadowProductionVariants yet."),
        ({}, {"ExplainerConfig": {"ClarifyExplainerConfig": {}}}, "support ExplainerConfig yet."),
        ({}, {"VpcConfig": {"Subnets": ["a"], "SecurityGroupIds": ["b"]}}, "support VpcConfig yet."),
        ({}, {"DataCaptureConfig": CAPTURE | {"KmsKeyId": "key"}}, "support DataCaptureConfig.KmsKeyId yet."),
        ({}, {"DataCaptureConfig": CAPTURE | {"DestinationS3Uri": "data"}}, '"data" is not a valid S3 URI.'),
        ({}, {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "x"}}}, '"x" is not a valid S3 URI.'),
        (SERVERLESS, {}, "InitialInstanceCount cannot be specified together with ServerlessConfig."),
    ],
)
def test_what_is_refused(asked: dict[str, Any], params: dict[str, Any], message: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await prepare(cloud)
        variants = [{key: value for key, value in (variant() | asked).items() if value is not None}]
        error = await cloud.error(
            "create_endpoint_config", EndpointConfigName="c", ProductionVariants=variants, **params
        )
        assert error.code == "ValidationException"
        assert message in error.message

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("changes", "params", "message"),
    [
        (
            {"ServerlessConfig": {"MemorySizeInMB": 1500, "MaxConcurrency": 1}},
            {},
            "1500 is not one of 1024, 2048,",
        ),
        (
            {"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 2, "ProvisionedConcurrency": 1}},
            {},
            "support ProductionVariants.ServerlessConfig.ProvisionedConcurrency yet.",
        ),
        ({"ModelName": "pair"}, {}, "can only serve a model of one container"),
        (
            {},
            {"AsyncInferenceConfig": ASYNC},
            "AsyncInferenceConfig is not supported for a serverless variant.",
        ),
    ],
)
def test_what_a_serverless_variant_cannot_do(
    changes: dict[str, Any], params: dict[str, Any], message: str
) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await prepare(cloud)
        error = await cloud.error(
            "create_endpoint_config",
            EndpointConfigName="c",
            ProductionVariants=[SERVERLESS | changes],
            **params,
        )
        assert message in error.message

    with_cloud(scenario)
