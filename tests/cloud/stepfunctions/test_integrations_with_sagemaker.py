"""A pipeline of SageMaker jobs over the real SageMaker service; only the containers are twins."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from harness.asl.tasks import JSON
from harness.clock import SkippingClock, run
from harness.cloud.cloud import Cloud
from harness.cloud.sagemaker import SageMaker
from harness.cloud.stepfunctions import StepFunctions
from tests.cloud.sagemaker.fakes import (
    PROCESSING,
    SERVING,
    TRAINING,
    Box,
    FakeRuntime,
    channel,
    image,
    processing_request,
    serves,
    training_request,
    transform_request,
    tuning_request,
)
from tests.cloud.sagemaker.fakes import cleans as cleaning

from .fakes import ROLE, START
from .test_with_moto import chain

pytestmark = pytest.mark.slow

ARN = "arn:aws:states:::sagemaker"


async def learning(box: Box) -> int:
    box.say("f1=0.5;")
    (box.path("/opt/ml/model") / "model.txt").write_text("m")
    return 0


async def failing(box: Box) -> int:
    (box.path("/opt/ml/output") / "failure").write_text("no data")
    return 1


async def endless(box: Box) -> int:
    await asyncio.get_running_loop().create_future()
    return 0


def execute(
    definition: str,
    train: Callable[[Box], Awaitable[int]],
    meanwhile: Callable[[Cloud, str], Awaitable[None]] | None = None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The description of an execution, and what SageMaker says of its training jobs."""

    async def main() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        cloud = Cloud(
            clock=SkippingClock(START), containers=FakeRuntime(), services=[StepFunctions, SageMaker]
        )
        async with cloud:
            cloud.images |= {
                PROCESSING: image(cleaning),
                TRAINING: image(train),
                SERVING: image(serves()),
            }
            await cloud.call("s3", "CreateBucket", {"Bucket": "data"})
            await cloud.call("s3", "PutObject", {"Bucket": "data", "Key": "raw/a", "Body": b"one"})
            made = await cloud.call(
                "stepfunctions",
                "CreateStateMachine",
                {"name": "m", "definition": definition, "roleArn": ROLE},
            )
            started = await cloud.call(
                "stepfunctions", "StartExecution", {"stateMachineArn": made["stateMachineArn"]}
            )
            arn = started["executionArn"]
            if meanwhile is not None:
                await meanwhile(cloud, arn)
            service = cloud.service("stepfunctions")
            assert isinstance(service, StepFunctions)
            ended = await service.wait_for_execution(arn)
            listed = await cloud.call("sagemaker", "ListTrainingJobs", {})
            names = [job["TrainingJobName"] for job in listed["TrainingJobSummaries"]]
            sagemaker = cloud.service("sagemaker")
            assert isinstance(sagemaker, SageMaker)
            return ended, [await sagemaker.wait_for_job("training", name) for name in names]

    return run(main())


def test_a_whole_pipeline() -> None:
    training: dict[str, JSON] = training_request()
    source = channel("train")
    source["DataSource"]["S3DataSource"] = {
        "S3DataType": "S3Prefix",
        "S3Uri.$": "$.Process.ProcessingOutputConfig.Outputs[0].S3Output.S3Uri",
    }
    transform = transform_request(
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/raw/"}},
            "ContentType": "text/plain",
        }
    )
    variant = {
        "VariantName": "v",
        "ModelName": "digits",
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
    }
    ended, _ = execute(
        chain(
            Process={"Resource": f"{ARN}:createProcessingJob.sync", "Parameters": processing_request()},
            Train={
                "Resource": f"{ARN}:createTrainingJob.sync",
                "Parameters": {**training, "InputDataConfig": [source]},
            },
            Model={
                "Resource": f"{ARN}:createModel",
                "Parameters": {
                    "ModelName": "digits",
                    "ExecutionRoleArn": ROLE,
                    "PrimaryContainer": {
                        "Image": SERVING,
                        "ModelDataUrl.$": "$.Train.ModelArtifacts.S3ModelArtifacts",
                    },
                },
            },
            Transform={"Resource": f"{ARN}:createTransformJob.sync", "Parameters": transform},
            Tune={
                "Resource": f"{ARN}:createHyperParameterTuningJob.sync",
                "Parameters": tuning_request(most=2),
            },
            Best={
                "Resource": "arn:aws:states:::aws-sdk:sagemaker:describeTrainingJob",
                "Parameters": {"TrainingJobName.$": "$.Tune.BestTrainingJob.TrainingJobName"},
            },
            Config={
                "Resource": f"{ARN}:createEndpointConfig",
                "Parameters": {"EndpointConfigName": "c", "ProductionVariants": [variant]},
            },
        ),
        learning,
    )
    assert ended["status"] == "SUCCEEDED", ended
    output = json.loads(ended["output"])
    assert output["Process"]["ProcessingJobStatus"] == "Completed"
    assert output["Train"]["TrainingJobStatus"] == "Completed"
    assert output["Train"]["AlgorithmSpecification"]["TrainingInputMode"] == "FILE"
    assert output["Transform"]["TransformJobStatus"] == "Completed"
    assert output["Transform"]["TransformOutput"]["S3OutputPath"] == "s3://data/out"
    assert output["Tune"]["HyperParameterTuningJobStatus"] == "Completed"
    assert list(output["Tune"]["BestTrainingJob"]) == ["TrainingJobName"]
    assert output["Best"]["TrainingJobStatus"] == "Completed"
    for job in ("Process", "Train", "Transform", "Tune"):
        assert output[job]["Tags"]["AWS_STEP_FUNCTIONS_EXECUTION_ARN"] == ended["executionArn"]
        assert output[job]["CreationTime"] >= START * 1000
    assert output["Config"]["EndpointConfigArn"].endswith("/c")


def test_a_name_that_is_taken_and_a_container_that_fails() -> None:
    train = {
        "Type": "Task",
        "Resource": f"{ARN}:createTrainingJob.sync",
        "Parameters": training_request(),
    }
    failed = {"ErrorEquals": ["States.TaskFailed"], "Next": "Again"}
    taken = {"ErrorEquals": ["SageMaker.ResourceInUseException"], "ResultPath": "$.taken", "Next": "Fail"}
    definition = json.dumps(
        {
            "StartAt": "Train",
            "States": {
                "Train": {**train, "Catch": [failed], "End": True},
                "Again": {**train, "Catch": [taken], "End": True},
                "Fail": {"Type": "Fail", "ErrorPath": "$.taken.Error", "CausePath": "$.Cause"},
            },
        }
    )
    ended, [job] = execute(definition, failing)
    assert (ended["status"], ended["error"]) == ("FAILED", "SageMaker.ResourceInUseException")
    document = json.loads(ended["cause"])
    assert document["TrainingJobStatus"] == job["TrainingJobStatus"] == "Failed"
    assert document["FailureReason"] == job["FailureReason"] == "AlgorithmError: no data, exit code: 1"


def test_a_stopped_execution_stops_its_job() -> None:
    async def stop(cloud: Cloud, arn: str) -> None:
        runtime = cloud.containers
        assert isinstance(runtime, FakeRuntime)
        await runtime.first.wait()
        await cloud.call("stepfunctions", "StopExecution", {"executionArn": arn})

    resource = f"{ARN}:createTrainingJob.sync"
    ended, [job] = execute(
        chain(Train={"Resource": resource, "Parameters": training_request()}), endless, stop
    )
    assert ended["status"] == "ABORTED"
    assert job["TrainingJobStatus"] == "Stopped"
    assert job["SecondaryStatus"] == "Stopped"
