"""SageMaker jobs as tasks: what they are started with, what they answer, how they fail and are stopped."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.asl.tasks import JSON, TaskError
from harness.clock import run
from harness.cloud.service import Service
from harness.cloud.stepfunctions.integrations.sagemaker import (
    PROCESSING,
    TRAINING,
    TRANSFORM,
    TUNING,
    JobKind,
)

from .fakes import EXECUTION, ROLE, FakeCloud, Progress, refuse, task
from .integration import attempt, check, failure, integrations_of

ARN = "arn:aws:states:::sagemaker"
MANAGED = {"Key": "MANAGED_BY_AWS", "Value": "STARTED_BY_STEP_FUNCTIONS"}
ENDED = datetime(2024, 1, 1, 0, 0, 2, 345_000, tzinfo=UTC)
MILLISECONDS = 1_704_067_202_345

INPUT = {
    "ChannelName": "train",
    "DataSource": {
        "S3DataSource": {
            "S3DataType": "S3Prefix",
            "S3Uri": "s3://b/i",
            "S3DataDistributionType": "FullyReplicated",
        }
    },
}
TRAINING_JOB = {
    "TrainingJobName": "job-1",
    "AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "File"},
    "RoleArn": ROLE,
    "InputDataConfig": [INPUT],
    "OutputDataConfig": {"S3OutputPath": "s3://b/o"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1.0, "VolumeSizeInGB": 1},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    "HyperParameters": {"epochs": "3"},
    "Tags": [{"Key": "team", "Value": "digits"}],
}
TRANSFORM_JOB = {
    "TransformJobName": "job-1",
    "ModelName": "m",
    "BatchStrategy": "MultiRecord",
    "TransformInput": {
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/i"}},
        "SplitType": "Line",
    },
    "TransformOutput": {"S3OutputPath": "s3://b/o", "AssembleWith": "Line"},
    "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
}
PROCESSING_JOB = {
    "ProcessingJobName": "job-1",
    "AppSpecification": {"ImageUri": "i", "ContainerEntrypoint": ["python3", "p.py"]},
    "ProcessingInputs": [
        {
            "InputName": "in",
            "S3Input": {
                "S3Uri": "s3://b/i",
                "LocalPath": "/opt/ml/processing/in",
                "S3DataType": "S3Prefix",
                "S3InputMode": "File",
                "S3DataDistributionType": "FullyReplicated",
            },
        }
    ],
    "ProcessingOutputConfig": {
        "Outputs": [
            {
                "OutputName": "out",
                "S3Output": {
                    "S3Uri": "s3://b/o",
                    "LocalPath": "/opt/ml/processing/out",
                    "S3UploadMode": "EndOfJob",
                },
            }
        ]
    },
    "ProcessingResources": {
        "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
    },
    "RoleArn": ROLE,
}
TUNING_JOB = {
    "HyperParameterTuningJobName": "job-1",
    "HyperParameterTuningJobConfig": {
        "Strategy": "Random",
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "f1"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 1},
    },
    "TrainingJobDefinition": {
        name: TRAINING_JOB[name]
        for name in (
            "AlgorithmSpecification",
            "RoleArn",
            "InputDataConfig",
            "OutputDataConfig",
            "ResourceConfig",
            "StoppingCondition",
        )
    },
}
KINDS = [
    pytest.param(TRAINING, TRAINING_JOB, id="training"),
    pytest.param(TRANSFORM, TRANSFORM_JOB, id="transform"),
    pytest.param(PROCESSING, PROCESSING_JOB, id="processing"),
    pytest.param(TUNING, TUNING_JOB, id="tuning"),
]


class FakeSageMaker(Service):
    """One job, which ends when the test says so."""

    name = "sagemaker"

    def __init__(self, cloud: FakeCloud) -> None:
        super().__init__(cloud)
        self.waited_for: tuple[str, str] | None = None
        self.ended: asyncio.Future[dict[str, Any]] | None = None

    async def wait_for_job(self, kind: str, name: str) -> dict[str, Any]:
        self.waited_for = (kind, name)
        self.ended = asyncio.get_running_loop().create_future()
        return await self.ended


class Job:
    """A ``.sync`` task whose job runs over a fake SageMaker."""

    def __init__(self, kind: JobKind, request: dict[str, Any]) -> None:
        self.kind = kind
        self.request = request
        self.progress = Progress()
        self.cloud = FakeCloud()
        self.sagemaker = FakeSageMaker(self.cloud)
        self.cloud.services["sagemaker"] = self.sagemaker
        self.cloud.handlers[f"sagemaker.Create{kind.noun}"] = lambda params: {f"{kind.noun}Arn": "arn"}
        self.cloud.handlers[f"sagemaker.Stop{kind.noun}"] = lambda params: {}

    async def start(self) -> asyncio.Future[JSON]:
        arn = f"{ARN}:create{self.kind.noun}.sync"
        running = asyncio.ensure_future(
            integrations_of(self.cloud).run(task(arn, self.request), self.progress)
        )
        await asyncio.sleep(0)
        assert not running.done()
        assert self.sagemaker.waited_for == (self.kind.name, "job-1")
        return running

    def ends(self, status: str, **more: Any) -> JSON:
        """The result, once the job has ended."""

        async def main() -> JSON:
            running = await self.start()
            assert self.sagemaker.ended is not None
            self.sagemaker.ended.set_result(
                {
                    **{name: value for name, value in self.request.items() if name != "Tags"},
                    f"{self.kind.noun}Arn": "arn",
                    f"{self.kind.noun}Status": status,
                    "CreationTime": ENDED,
                    **more,
                }
            )
            return await running

        return run(main())


@pytest.mark.parametrize(("kind", "request_"), KINDS)
def test_job_is_started_with_tags(kind: JobKind, request_: dict[str, Any]) -> None:
    job = Job(kind, request_)
    result = job.ends("Completed")
    own = request_.get("Tags", [])
    execution = {"Key": "AWS_STEP_FUNCTIONS_EXECUTION_ARN", "Value": EXECUTION}
    assert job.cloud.calls[0][1]["Tags"] == [*own, MANAGED, execution]
    assert job.progress.parameters == {**request_, "Tags": [*own, MANAGED]}
    started, (submitted, output) = job.progress.reported
    assert (started, submitted) == ("started", "submitted")
    assert list(output) == sorted([f"{kind.noun}Arn", "SdkHttpMetadata", "SdkResponseMetadata"])
    assert result["Tags"] == {tag["Key"]: tag["Value"] for tag in [*own, MANAGED, execution]}


@pytest.mark.parametrize(("kind", "request_"), KINDS)
def test_job_without_sync_is_only_started(kind: JobKind, request_: dict[str, Any]) -> None:
    cloud = FakeCloud()
    cloud.handlers[f"sagemaker.Create{kind.noun}"] = lambda params: {f"{kind.noun}Arn": "arn"}
    result, progress = attempt(cloud, f"{ARN}:create{kind.noun}", request_)
    assert result[f"{kind.noun}Arn"] == "arn"
    assert result["SdkHttpMetadata"]["HttpHeaders"]["Content-Type"] == "application/x-amz-json-1.1"
    assert progress.parameters is request_
    assert progress.reported == ["started"]
    assert cloud.calls[0][1].get("Tags") == request_.get("Tags")


@pytest.mark.parametrize(("kind", "request_"), KINDS)
def test_names_and_times_of_the_document(kind: JobKind, request_: dict[str, Any]) -> None:
    document = Job(kind, request_).ends("Completed", LastModifiedTime=ENDED)
    assert document[f"{kind.noun}Name"] == "job-1"
    assert document[f"{kind.noun}Arn"] == "arn"
    assert document[f"{kind.noun}Status"] == "Completed"
    assert document["CreationTime"] == MILLISECONDS
    assert list(document)[-1] == "Tags"
    assert "FailureReason" not in document


def test_document_of_a_training_job() -> None:
    transitions = [{"Status": "Starting", "StartTime": ENDED, "StatusMessage": "Preparing"}]
    document = Job(TRAINING, TRAINING_JOB).ends(
        "Completed",
        SecondaryStatus="Completed",
        SecondaryStatusTransitions=transitions,
        ModelArtifacts={"S3ModelArtifacts": "s3://b/o/model.tar.gz"},
        TrainingTimeInSeconds=3,
        BillableTimeInSeconds=3,
        EnableNetworkIsolation=False,
        FailureReason=None,
        AlgorithmSpecification={
            "TrainingImage": "i",
            "TrainingInputMode": "File",
            "EnableSageMakerMetricsTimeSeries": False,
        },
        OutputDataConfig={"KmsKeyId": "", "S3OutputPath": "s3://b/o"},
    )
    # The recorded order.
    assert list(document) == [
        "TrainingJobName",
        "TrainingJobArn",
        "ModelArtifacts",
        "TrainingJobStatus",
        "SecondaryStatus",
        "HyperParameters",
        "AlgorithmSpecification",
        "RoleArn",
        "InputDataConfig",
        "OutputDataConfig",
        "ResourceConfig",
        "StoppingCondition",
        "CreationTime",
        "SecondaryStatusTransitions",
        "Tags",
    ]
    assert document["AlgorithmSpecification"] == {"TrainingImage": "i", "TrainingInputMode": "FILE"}
    assert document["OutputDataConfig"] == {"S3OutputPath": "s3://b/o"}
    assert document["InputDataConfig"] == [
        {
            "ChannelName": "train",
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "S3_PREFIX",
                    "S3Uri": "s3://b/i",
                    "S3DataDistributionType": "FULLY_REPLICATED",
                }
            },
            "CompressionType": "NONE",
            "RecordWrapperType": "NONE",
        }
    ]
    assert document["ResourceConfig"] == {
        "InstanceType": "ml.m5.large",
        "InstanceCount": 1,
        "VolumeSizeInGB": 1,
    }
    assert document["HyperParameters"] == {"epochs": "3"}
    assert document["SecondaryStatusTransitions"] == [
        {"Status": "Starting", "StartTime": MILLISECONDS, "StatusMessage": "Preparing"}
    ]


def test_document_of_a_transform_job() -> None:
    document = Job(TRANSFORM, TRANSFORM_JOB).ends("Completed", TransformEndTime=ENDED)
    for member in ("BatchStrategy", "TransformInput", "TransformOutput", "TransformResources"):
        assert document[member] == TRANSFORM_JOB[member]
    assert document["TransformEndTime"] == MILLISECONDS


def test_document_of_a_processing_job() -> None:
    document = Job(PROCESSING, PROCESSING_JOB).ends(
        "Completed", ExitMessage="done", NetworkConfig={"EnableNetworkIsolation": True}
    )
    # As in the developer guide's example of the event.
    source = document["ProcessingInputs"][0]["S3Input"]
    assert (source["S3DataType"], source["S3InputMode"]) == ("S3_PREFIX", "FILE")
    assert source["S3DataDistributionType"] == "FULLYREPLICATED"
    output = document["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]
    assert (output["S3Uri"], output["S3UploadMode"]) == ("s3://b/o", "END_OF_JOB")
    assert document["NetworkConfig"] == {"EnableNetworkIsolation": True}
    assert document["AppSpecification"] == PROCESSING_JOB["AppSpecification"]
    assert document["ExitMessage"] == "done"


def test_document_of_a_tuning_job() -> None:
    """The recorded members, spelt as in the request."""
    best = {
        "TrainingJobName": "job-1-002",
        "TrainingJobArn": "arn",
        "TrainingJobStatus": "Completed",
        "TunedHyperParameters": {"epochs": "3"},
        "CreationTime": ENDED,
    }
    document = Job(TUNING, TUNING_JOB).ends(
        "Completed",
        BestTrainingJob=best,
        TrainingJobStatusCounters={"Completed": 2, "InProgress": 0},
        ObjectiveStatusCounters={"Succeeded": 2},
        TuningJobCompletionDetails={"NumberOfTrainingJobsObjectiveNotImproving": 1},
        ConsumedResources={"RuntimeInSeconds": 3},
        HyperParameterTuningEndTime=ENDED,
        LastModifiedTime=ENDED,
    )
    assert list(document) == [
        "HyperParameterTuningJobName",
        "HyperParameterTuningJobArn",
        "HyperParameterTuningJobConfig",
        "TrainingJobDefinition",
        "HyperParameterTuningJobStatus",
        "CreationTime",
        "HyperParameterTuningEndTime",
        "LastModifiedTime",
        "BestTrainingJob",
        "Tags",
    ]
    assert document["HyperParameterTuningJobConfig"] == TUNING_JOB["HyperParameterTuningJobConfig"]
    assert document["TrainingJobDefinition"] == TUNING_JOB["TrainingJobDefinition"]
    assert document["BestTrainingJob"] == {"TrainingJobName": "job-1-002"}
    assert document["HyperParameterTuningEndTime"] == MILLISECONDS


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
@pytest.mark.parametrize(("kind", "request_"), KINDS)
def test_job_that_does_not_complete_fails_the_task(
    kind: JobKind, request_: dict[str, Any], status: str
) -> None:
    reason = {"FailureReason": "AlgorithmError: , exit code: 1"} if status == "Failed" else {}
    with pytest.raises(TaskError) as caught:
        Job(kind, request_).ends(status, **reason)
    assert (caught.value.error, caught.value.stage) == ("States.TaskFailed", "run")
    document = json.loads(caught.value.cause)
    assert document[f"{kind.noun}Status"] == status
    assert document.get("FailureReason") == reason.get("FailureReason")
    assert document["Tags"]["MANAGED_BY_AWS"] == "STARTED_BY_STEP_FUNCTIONS"


@pytest.mark.parametrize(("kind", "request_"), KINDS)
def test_job_is_stopped_with_the_task(kind: JobKind, request_: dict[str, Any]) -> None:
    job = Job(kind, request_)

    async def main() -> None:
        running = await job.start()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await asyncio.gather(*job.cloud.tasks)

    run(main())
    assert [call[:2] for call in job.cloud.calls][1:] == [
        (f"sagemaker.Stop{kind.noun}", {f"{kind.noun}Name": "job-1"})
    ]


def test_job_that_cannot_be_stopped_is_warned_of() -> None:
    job = Job(TRAINING, TRAINING_JOB)
    job.cloud.handlers["sagemaker.StopTrainingJob"] = refuse("ValidationException", "is in status Completed.")
    warnings: list[str] = []
    job.cloud.events.subscribe(lambda event: warnings.append(event.data["message"]))

    async def main() -> None:
        running = await job.start()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.gather(*job.cloud.tasks)

    run(main())
    assert warnings == ["could not be stopped: ValidationException: is in status Completed."]


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("ResourceInUse", "SageMaker.ResourceInUseException"),
        ("ResourceLimitExceeded", "SageMaker.ResourceLimitExceededException"),
        ("ResourceNotFound", "SageMaker.ResourceNotFoundException"),
        ("ConflictException", "SageMaker.ConflictException"),
        ("ValidationException", "SageMaker.AmazonSageMakerException"),
        ("ThrottlingException", "SageMaker.AmazonSageMakerException"),
        ("AccessDeniedException", "SageMaker.AmazonSageMakerException"),
    ],
)
@pytest.mark.parametrize(("kind", "request_"), KINDS)
def test_job_that_is_refused(kind: JobKind, request_: dict[str, Any], code: str, name: str) -> None:
    cloud = FakeCloud()
    cloud.handlers[f"sagemaker.Create{kind.noun}"] = refuse(code, "No.")
    error = failure(cloud, f"{ARN}:create{kind.noun}.sync", request_)
    assert (error.error, error.stage) == (name, "submit")
    assert error.cause.startswith(
        f"No. (Service: AmazonSageMaker; Status Code: 400; Error Code: {code}; Request ID: "
    )
    assert error.cause.endswith("; Proxy: null)")
    assert failure(cloud, f"{ARN}:create{kind.noun}", request_).stage == "run"


CALLS: list[tuple[str, dict[str, Any], str]] = [
    ("createModel", {"ModelName": "m", "PrimaryContainer": {"Image": "i", "Environment": {}}}, "ModelArn"),
    (
        "createEndpointConfig",
        {"EndpointConfigName": "c", "ProductionVariants": [{"VariantName": "v", "ModelName": "m"}]},
        "EndpointConfigArn",
    ),
    ("createEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"}, "EndpointArn"),
    ("updateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"}, "EndpointArn"),
]


@pytest.mark.parametrize(("action", "request_", "answer"), CALLS)
def test_calls_that_nothing_waits_for(action: str, request_: dict[str, Any], answer: str) -> None:
    cloud = FakeCloud()
    cloud.handlers[f"sagemaker.{action[0].upper()}{action[1:]}"] = lambda params: {answer: "arn"}
    assert check(cloud, f"{ARN}:{action}", request_) == []
    result, progress = attempt(cloud, f"{ARN}:{action}", request_)
    assert result[answer] == "arn"
    assert progress.parameters is request_
    assert cloud.calls[0][1] == request_


def test_nulls_are_left_out() -> None:
    """As data-science pipelines have them in a model's Environment (recorded)."""
    cloud = FakeCloud()
    cloud.handlers["sagemaker.CreateModel"] = lambda params: {"ModelArn": "arn"}
    container = {"Image": "i", "Environment": {"A": None, "B": "b"}, "ModelDataUrl": None}
    attempt(cloud, f"{ARN}:createModel", {"ModelName": "m", "PrimaryContainer": container})
    assert cloud.calls[0][1]["PrimaryContainer"] == {"Image": "i", "Environment": {"B": "b"}}


def test_fields() -> None:
    cloud = FakeCloud()
    # Both are recorded: a member no API has, and a nested one in the wrong case.
    model = {"ModelName": "m", "S3Operations": {}}
    assert check(cloud, f"{ARN}:createModel", model) == [
        'The field "S3Operations" is not supported by Step Functions'
    ]
    tagged = {**TRAINING_JOB, "Tags": [{"key": "cart", "value": "x"}, {"key": "a", "value": "y"}]}
    assert check(cloud, f"{ARN}:createTrainingJob.sync", tagged) == [
        'The field "key" is not supported by Step Functions',
        'The field "value" is not supported by Step Functions',
    ]
    assert check(cloud, f"{ARN}:createTransformJob", {"TransformJobName.$": "$.name"}) == [
        f"The field '{name}' is required but was missing"
        for name in ("ModelName", "TransformInput", "TransformOutput", "TransformResources")
    ]
    spot = {**TRAINING_JOB, "EnableManagedSpotTraining": True, "Environment": {"A.$": "$.a"}}
    assert check(cloud, f"{ARN}:createTrainingJob", spot) == []
