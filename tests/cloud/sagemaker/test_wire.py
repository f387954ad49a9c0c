"""The services behind the gateway, as boto3 sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError

from harness.clock import SkippingClock, run
from harness.cloud.cloud import Cloud
from tests.cloud.sagemaker.fakes import (
    PROCESSING,
    ROLE,
    SERVING,
    TRAINING,
    FakeRuntime,
    MemoryStorage,
    channel,
    cleans,
    image,
    processing_request,
    serves,
    training_request,
    trains,
    transform_request,
    tuning_request,
    variant,
)

pytestmark = pytest.mark.slow
QUICKLY = {"Delay": 0, "MaxAttempts": 500}


class Clients:
    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        options: dict[str, Any] = {
            "endpoint_url": cloud.endpoint_url,
            "region_name": "us-east-1",
            "aws_access_key_id": "user",
            "aws_secret_access_key": "secret",
            "config": Config(retries={"max_attempts": 0}),
        }
        self.sagemaker = boto3.client("sagemaker", **options)
        self.runtime = boto3.client("sagemaker-runtime", **options)

    def close(self) -> None:
        self.sagemaker.close()
        self.runtime.close()


def with_boto3(scenario: Callable[[Clients], None], **options: Any) -> None:
    """Run a scenario in a thread, against a cloud with fake containers and storage."""

    async def main() -> None:
        runtime = FakeRuntime()
        async with Cloud(clock=SkippingClock(drift=True), containers=runtime, **options) as cloud:
            cloud.storage = MemoryStorage("data")  # type: ignore[assignment]
            cloud.images |= {TRAINING: image(trains), SERVING: image(serves())}
            clients = Clients(cloud)
            try:
                await asyncio.to_thread(scenario, clients)
            finally:
                clients.close()
            assert cloud.failures == []
        assert all(container.ended for container in runtime.started)

    run(main())


def test_the_way_from_data_to_endpoint() -> None:
    def scenario(at: Clients) -> None:
        sagemaker, storage = at.sagemaker, at.cloud.storage
        storage.put("data", "train/0/a", b"1")
        storage.put("data", "in/a", b"abc")
        sagemaker.create_training_job(**training_request(InputDataConfig=[channel()]))
        waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
        waiter.wait(TrainingJobName="train-1", WaiterConfig=QUICKLY)
        job = sagemaker.describe_training_job(TrainingJobName="train-1")
        assert job["TrainingTimeInSeconds"] == 0
        sagemaker.create_model(
            ModelName="digits",
            PrimaryContainer={"Image": SERVING, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]},
            ExecutionRoleArn=ROLE,
        )
        sagemaker.create_transform_job(**transform_request())
        waiter = sagemaker.get_waiter("transform_job_completed_or_stopped")
        waiter.wait(TransformJobName="batch-1", WaiterConfig=QUICKLY)
        assert storage.get("data", "out/a.out") == b"ABC"
        sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant()])
        sagemaker.create_endpoint(EndpointName="digits", EndpointConfigName="c")
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="digits", WaiterConfig=QUICKLY)
        answer = at.runtime.invoke_endpoint(EndpointName="digits", Body=b"abc", ContentType="text/plain")
        assert answer["Body"].read() == b"ABC"
        assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("text/plain", "AllTraffic")
        sagemaker.delete_endpoint(EndpointName="digits")
        sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="digits", WaiterConfig=QUICKLY)
        for operation, key in (
            ("list_training_jobs", "TrainingJobSummaries"),
            ("list_transform_jobs", "TransformJobSummaries"),
            ("list_models", "Models"),
            ("list_endpoint_configs", "EndpointConfigs"),
        ):
            [page] = sagemaker.get_paginator(operation).paginate()
            assert len(page[key]) == 1

    with_boto3(scenario)


def test_processing_and_tuning_jobs() -> None:
    async def scores(box: Any) -> int:
        box.say("f1=0.5;")
        return await trains(box)

    def scenario(at: Clients) -> None:
        sagemaker = at.sagemaker
        at.cloud.images |= {PROCESSING: image(cleans), TRAINING: image(scores)}
        at.cloud.storage.put("data", "raw/a", b"one")
        sagemaker.create_processing_job(**processing_request(Environment={}))
        waiter = sagemaker.get_waiter("processing_job_completed_or_stopped")
        waiter.wait(ProcessingJobName="process-1", WaiterConfig=QUICKLY)
        job = sagemaker.describe_processing_job(ProcessingJobName="process-1")
        assert job["ProcessingEndTime"] >= job["ProcessingStartTime"]
        assert at.cloud.storage.get("data", "clean/a") == b"ONE"
        sagemaker.create_hyper_parameter_tuning_job(**tuning_request())
        job = {"HyperParameterTuningJobStatus": "InProgress"}
        while job["HyperParameterTuningJobStatus"] == "InProgress":
            job = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune-1")
        best = job["BestTrainingJob"]
        assert best["FinalHyperParameterTuningJobObjectiveMetric"] == {"MetricName": "f1", "Value": 0.5}
        for operation, key, params in (
            ("list_processing_jobs", "ProcessingJobSummaries", {}),
            ("list_hyper_parameter_tuning_jobs", "HyperParameterTuningJobSummaries", {}),
            (
                "list_training_jobs_for_hyper_parameter_tuning_job",
                "TrainingJobSummaries",
                {"HyperParameterTuningJobName": "tune-1", "PaginationConfig": {"PageSize": 2}},
            ),
        ):
            pages = sagemaker.get_paginator(operation).paginate(**params)
            assert len([summary for page in pages for summary in page[key]]) == (3 if params else 1)
        with pytest.raises(sagemaker.exceptions.ResourceNotFound):
            sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="nope")
        with pytest.raises(ClientError, match="length less than or equal to 32"):
            sagemaker.create_hyper_parameter_tuning_job(**tuning_request("x" * 33))

    with_boto3(scenario)


def test_a_waiter_ends_with_a_job_that_fails() -> None:
    async def broken(box: Any) -> int:
        return 1

    def scenario(at: Clients) -> None:
        at.cloud.images[TRAINING] = image(broken)
        at.sagemaker.create_training_job(**training_request())
        waiter = at.sagemaker.get_waiter("training_job_completed_or_stopped")
        with pytest.raises(WaiterError) as caught:
            waiter.wait(TrainingJobName="train-1", WaiterConfig=QUICKLY)
        assert caught.value.last_response["FailureReason"] == "AlgorithmError: , exit code: 1"

    with_boto3(scenario)


def test_errors_arrive_as_boto3_knows_them() -> None:
    def scenario(at: Clients) -> None:
        def error(call: Callable[..., Any], **params: Any) -> dict[str, Any]:
            with pytest.raises(ClientError) as caught:
                call(**params)
            return dict(caught.value.response)

        sagemaker = at.sagemaker
        unknown = error(sagemaker.describe_training_job, TrainingJobName="nope")
        assert unknown["Error"] == {"Code": "ValidationException", "Message": "Requested resource not found."}
        sagemaker.create_training_job(**training_request())
        with pytest.raises(sagemaker.exceptions.ResourceInUse):
            sagemaker.create_training_job(**training_request())
        badly_named = error(sagemaker.create_training_job, **training_request("under_score"))
        assert badly_named["Error"]["Code"] == "ValidationException"
        assert badly_named["Error"]["Message"].startswith(
            "1 validation error detected: Value 'under_score' at 'trainingJobName' failed to satisfy "
            "constraint: Member must satisfy regular expression pattern: "
        )
        invoked = error(at.runtime.invoke_endpoint, EndpointName="nope", Body=b"")
        assert invoked["Error"] == {
            "Code": "ValidationError",
            "Message": "Endpoint nope of account 123456789012 not found.",
        }

    with_boto3(scenario)


def test_the_limits_of_a_transform_job() -> None:
    beyond: list[tuple[dict[str, Any], str]] = [
        ({"Environment": {f"E{number}": "" for number in range(17)}}, "at 'environment'"),
        ({"Environment": {"E" * 1025: ""}}, "at 'environment'"),
        ({"Environment": {"E": "x" * 10_241}}, "at 'environment'"),
        ({"DataProcessing": {"InputFilter": "$" + "a" * 63}}, "at 'dataProcessing.inputFilter'"),
        ({"ModelClientConfig": {"InvocationsMaxRetries": 4}}, "at 'modelClientConfig.invocationsMaxRetries'"),
        (
            {"ModelClientConfig": {"InvocationsTimeoutInSeconds": 3601}},
            "at 'modelClientConfig.invocationsTimeoutInSeconds'",
        ),
        ({"BatchStrategy": "AllRecords"}, "at 'batchStrategy'"),
    ]

    def scenario(at: Clients) -> None:
        for changes, place in beyond:
            with pytest.raises(ClientError) as caught:
                at.sagemaker.create_transform_job(**transform_request(**changes))
            error = caught.value.response["Error"]
            assert error["Code"] == "ValidationException"
            assert place in error["Message"]
        assert at.sagemaker.list_transform_jobs()["TransformJobSummaries"] == []

    with_boto3(scenario)


def test_errors_of_the_model_carry_their_fields() -> None:
    def scenario(at: Clients) -> None:
        at.cloud.images[SERVING] = image(serves(lambda body: (400, b"no")))
        at.sagemaker.create_model(ModelName="digits", PrimaryContainer={"Image": SERVING})
        at.sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant()])
        at.sagemaker.create_endpoint(EndpointName="digits", EndpointConfigName="c")
        at.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="digits", WaiterConfig=QUICKLY)
        with pytest.raises(at.runtime.exceptions.ModelError) as caught:
            at.runtime.invoke_endpoint(EndpointName="digits", Body=b"x")
        response = caught.value.response
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
        assert (response["OriginalStatusCode"], response["OriginalMessage"]) == (400, "no")
        assert response["LogStreamArn"].endswith(":log-group:/aws/sagemaker/Endpoints/digits")

    with_boto3(scenario)


def test_the_model_registry() -> None:
    def scenario(at: Clients) -> None:
        sagemaker = at.sagemaker
        tags = [{"Key": "team", "Value": "a"}]
        group = sagemaker.create_model_package_group(ModelPackageGroupName="digits", Tags=tags)
        assert sagemaker.list_tags(ResourceArn=group["ModelPackageGroupArn"])["Tags"] == tags
        assert sagemaker.describe_model_package_group(ModelPackageGroupName="digits")["CreatedBy"] == {}
        notes = {
            "CustomerMetadataProperties": {"f1": "0.9"},
            "Domain": "COMPUTER_VISION",
            "ModelCard": {"ModelCardContent": "{}", "ModelCardStatus": "Draft"},
            "ModelMetrics": {
                "ModelQuality": {"Statistics": {"ContentType": "json", "S3Uri": "s3://data/statistics"}}
            },
        }
        specification = {
            "Containers": [{"Image": SERVING, "Environment": {"A": "1"}}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        }
        arn = sagemaker.create_model_package(
            ModelPackageGroupName="digits", InferenceSpecification=specification, **notes
        )["ModelPackageArn"]
        extra = [{"Name": "more", **specification}]
        sagemaker.update_model_package(
            ModelPackageArn=arn,
            ModelApprovalStatus="Approved",
            AdditionalInferenceSpecificationsToAdd=extra,
        )
        described = sagemaker.describe_model_package(ModelPackageName=arn)
        assert notes.items() <= described.items()
        assert described["AdditionalInferenceSpecifications"][0]["Name"] == "more"
        several = sagemaker.batch_describe_model_package(ModelPackageArnList=[arn, f"{arn}0"])
        assert set(several["ModelPackageSummaries"]) == {arn}
        assert set(several["BatchDescribeModelPackageErrorMap"]) == {f"{arn}0"}
        pages = sagemaker.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName="digits", ModelApprovalStatus="Approved"
        )
        assert [item["ModelPackageArn"] for page in pages for item in page["ModelPackageSummaryList"]] == [
            arn
        ]
        for resource in ("TrainingJob", "ModelPackage", "ModelPackageGroup"):
            if resource == "TrainingJob":
                sagemaker.create_training_job(**training_request())
            found = sagemaker.search(Resource=resource)["Results"]
            assert [set(result) for result in found] == [{resource}]
        with pytest.raises(ClientError) as caught:
            sagemaker.delete_model_package_group(ModelPackageGroupName="digits")
        assert caught.value.response["Error"]["Code"] == "ConflictException"
        assert caught.value.response["Error"]["Message"].startswith("Model Package Group arn:")
        sagemaker.delete_model_package(ModelPackageName=arn)
        sagemaker.delete_model_package_group(ModelPackageGroupName="digits")

    with_boto3(scenario)
