from __future__ import annotations

import re

import pytest
from botocore.stub import ANY

ENVIRONMENT = {
    "NAME_PREFIX": "mlops",
    "DATA_BUCKET": "data",
    "TRAIN_PREFIX": "train/",
    "VALIDATION_PREFIX": "validation/",
    "RUNS_PREFIX": "runs/",
    "TRAINING_IMAGE": "123456789012.dkr.ecr.us-east-1.amazonaws.com/training@sha256:0",
    "ROLE_ARN": "arn:aws:iam::123456789012:role/mlops-sm-s3",
    "INSTANCE_TYPE": "ml.m5.large",
    "VOLUME_SIZE_IN_GB": "10",
    "MAX_RUNTIME_IN_SECONDS": "3600",
    "HYPERPARAMETERS": '{"epochs": 60, "learning_rate": 0.1}',
}
ARN = "arn:aws:states:us-east-1:123456789012:execution:mlops:"
SAGEMAKER_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")


def execution(name="nightly", started="2026-01-01T00:00:00Z"):
    return {"id": ARN + name, "name": name, "started": started}


@pytest.fixture
def train(load_function):
    return load_function("mlops_train", **ENVIRONMENT)


def test_starts_a_training_job_with_everything_from_the_environment(train, stub):
    event = {
        "execution": execution(),
        "input": {"prefix": "demo", "hyperparameters": {"epochs": 3, "seed": "7"}},
    }
    name = train.run_name("mlops", "demo", execution())

    def channel(name):
        source = {
            "S3DataType": "S3Prefix",
            "S3Uri": f"s3://data/{name}/",
            "S3DataDistributionType": "FullyReplicated",
        }
        return {
            "ChannelName": name,
            "ContentType": "application/x-image",
            "DataSource": {"S3DataSource": source},
        }

    stub(train.sagemaker).add_response(
        "create_training_job",
        {"TrainingJobArn": "arn:aws:sagemaker:us-east-1:123456789012:training-job/x"},
        {
            "TrainingJobName": name,
            "RoleArn": ENVIRONMENT["ROLE_ARN"],
            "AlgorithmSpecification": {
                "TrainingImage": ENVIRONMENT["TRAINING_IMAGE"],
                "TrainingInputMode": "File",
                "MetricDefinitions": ANY,
            },
            "HyperParameters": {"epochs": "3", "learning_rate": "0.1", "seed": "7"},
            "InputDataConfig": [channel("train"), channel("validation")],
            "OutputDataConfig": {"S3OutputPath": "s3://data/runs"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
            "EnableNetworkIsolation": True,
        },
    )

    assert train.handler(event, None) == {"run": name, "training_job": name}


def test_a_retry_of_the_same_execution_finds_its_job_already_started(train, stub):
    stub(train.sagemaker).add_client_error("create_training_job", "ResourceInUse", "names must be unique")

    result = train.handler({"execution": execution(), "input": {}}, None)

    assert result["training_job"] == train.run_name("mlops", "", execution())


def test_any_other_refusal_is_an_error(train, stub):
    stub(train.sagemaker).add_client_error("create_training_job", "ResourceLimitExceeded", "no more")

    with pytest.raises(train.sagemaker.exceptions.ResourceLimitExceeded):
        train.handler({"execution": execution(), "input": {}}, None)


@pytest.mark.parametrize("given", [[], "demo", None, {"hyperparameters": ["epochs"]}])
def test_input_of_the_wrong_shape_is_refused_before_anything_is_started(train, stub, given):
    stub(train.sagemaker)
    with pytest.raises(train.InvalidInput):
        train.handler({"execution": execution(), "input": given}, None)


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("demo", "nightly"),
        ("", "x"),
        ("a" * 300, "b" * 80),
        ("--ünï code/", "8f1c2f5e-9b57-4c49-8a4f-5e3a1c6f2f11"),
        (7, "_._"),
        ("-", "abcdefghijklmno-pqrs"),
    ],
)
def test_names_are_ones_that_sagemaker_takes(train, prefix, name):
    made = train.run_name("mlops", prefix, execution(name))
    assert SAGEMAKER_NAME.fullmatch(made)
    assert made.startswith("mlops-")


def test_the_name_is_the_execution_s_own(train):
    first = train.run_name("mlops", "demo", execution("run-1"))
    assert first == train.run_name("mlops", "demo", execution("run-1"))
    assert first != train.run_name("mlops", "demo", execution("run-2")), "two executions of one second"
    again = execution("run-1", started="2026-06-01T00:00:00Z")
    assert first != train.run_name("mlops", "demo", again), (
        "an execution's name can be used again after 90 days"
    )
    other_machine = {**execution("run-1"), "id": ARN.replace("mlops", "other") + "run-1"}
    assert first != train.run_name("mlops", "demo", other_machine)


def test_long_names_that_differ_at_their_end_stay_apart(train):
    made = {train.run_name("mlops", "demo", execution("x" * 70 + str(number))) for number in range(20)}
    assert len(made) == 20
