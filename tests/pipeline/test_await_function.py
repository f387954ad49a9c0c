from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore.awsrequest import AWSResponse

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ARN = "arn:aws:sagemaker:us-east-1:123456789012:"


@pytest.fixture
def wait(load_function):
    return load_function("mlops_await")


def training(status, secondary=None, **more):
    return {
        "TrainingJobName": "job",
        "TrainingJobArn": ARN + "training-job/job",
        "TrainingJobStatus": status,
        "SecondaryStatus": secondary or status,
        "CreationTime": NOW,
        "AlgorithmSpecification": {"TrainingInputMode": "File"},
        "ResourceConfig": {"VolumeSizeInGB": 10},
        "StoppingCondition": {},
        "ModelArtifacts": {"S3ModelArtifacts": "s3://data/model.tar.gz"},
        **more,
    }


def test_a_training_job_that_has_just_started_has_no_artifact(wait):
    answer = training("InProgress", "Starting")
    del answer["ModelArtifacts"]  # SageMaker's model calls it required, which botocore's stubs insist on
    response = AWSResponse("", 200, {}, None)
    wait.sagemaker.meta.events.register(
        "before-call.sagemaker.DescribeTrainingJob", lambda **request: (response, answer)
    )

    assert wait.handler({"training_job": "job"}, None) == {
        "status": "InProgress",
        "error": "",
        "reason": "",
        "model_artifact": None,
    }


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (training("Completed"), ("Completed", "", "")),
        (training("Stopping"), ("Stopping", "", "")),
        (
            training("Failed", FailureReason="AlgorithmError: no images, exit code: 1"),
            ("Failed", "TrainingJobFailed", "AlgorithmError: no images, exit code: 1"),
        ),
        (
            training("Stopped", "MaxRuntimeExceeded"),
            (
                "Stopped",
                "TrainingJobStopped",
                "training job job ended with secondary status MaxRuntimeExceeded",
            ),
        ),
    ],
)
def test_training_jobs(wait, stub, answer, expected):
    stub(wait.sagemaker).add_response("describe_training_job", answer)
    result = wait.handler({"training_job": "job"}, None)
    assert (result["status"], result["error"], result["reason"]) == expected
    assert result["model_artifact"] == "s3://data/model.tar.gz"


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        ("InProgress", None, ("InProgress", "", "")),
        ("Completed", None, ("Completed", "", "")),
        (
            "Failed",
            "AlgorithmError: See job logs",
            ("Failed", "TransformJobFailed", "AlgorithmError: See job logs"),
        ),
        ("Stopped", None, ("Stopped", "TransformJobStopped", "transform job job was stopped")),
    ],
)
def test_transform_jobs(wait, stub, status, reason, expected):
    answer = {
        "TransformJobName": "job",
        "TransformJobArn": ARN + "transform-job/job",
        "TransformJobStatus": status,
        "ModelName": "model",
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/test/"}}
        },
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        "CreationTime": NOW,
        **({"FailureReason": reason} if reason else {}),
    }
    stub(wait.sagemaker).add_response("describe_transform_job", answer, {"TransformJobName": "job"})
    result = wait.handler({"transform_job": "job"}, None)
    assert (result["status"], result["error"], result["reason"]) == expected


@pytest.mark.parametrize(
    ("status", "serving", "reason", "expected"),
    [
        ("Creating", "new", None, ("Creating", "", "")),
        ("Updating", "old", None, ("Updating", "", "")),
        ("InService", "new", None, ("InService", "", "")),
        ("InService", "old", None, ("RolledBack", "EndpointRolledBack", "endpoint e serves old, not new")),
        ("RollingBack", "old", None, ("RollingBack", "EndpointRollingBack", "endpoint e is RollingBack")),
        ("OutOfService", "new", None, ("OutOfService", "EndpointOutOfService", "endpoint e is OutOfService")),
        ("Failed", "new", "did not pass the ping", ("Failed", "EndpointFailed", "did not pass the ping")),
    ],
)
def test_endpoints(wait, stub, status, serving, reason, expected):
    answer = {
        "EndpointName": "e",
        "EndpointArn": ARN + "endpoint/e",
        "EndpointConfigName": serving,
        "EndpointStatus": status,
        "CreationTime": NOW,
        "LastModifiedTime": NOW,
        **({"FailureReason": reason} if reason else {}),
    }
    stub(wait.sagemaker).add_response("describe_endpoint", answer, {"EndpointName": "e"})
    result = wait.handler({"endpoint": "e", "endpoint_config": "new"}, None)
    assert (result["status"], result["error"], result["reason"]) == expected


def test_an_event_that_names_nothing_is_refused(wait):
    with pytest.raises(wait.InvalidEvent):
        wait.handler({"job": "x"}, None)
