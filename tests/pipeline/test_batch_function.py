from __future__ import annotations

import pytest

ENVIRONMENT = {
    "DATA_BUCKET": "data",
    "TEST_PREFIX": "test/",
    "RUNS_PREFIX": "runs/",
    "INFERENCE_IMAGE": "123456789012.dkr.ecr.us-east-1.amazonaws.com/inference@sha256:0",
    "ROLE_ARN": "arn:aws:iam::123456789012:role/mlops-sm-s3",
    "INSTANCE_TYPE": "ml.m5.large",
    "CONTENT_TYPE": "application/x-image",
}
EVENT = {
    "run": "mlops-1",
    "training_job": "mlops-1",
    "model_artifact": "s3://data/runs/mlops-1/output/model.tar.gz",
}
MODEL = {
    "ModelName": "mlops-1",
    "ExecutionRoleArn": ENVIRONMENT["ROLE_ARN"],
    "PrimaryContainer": {"Image": ENVIRONMENT["INFERENCE_IMAGE"], "ModelDataUrl": EVENT["model_artifact"]},
    "EnableNetworkIsolation": True,
}
TRANSFORM = {
    "TransformJobName": "mlops-1",
    "ModelName": "mlops-1",
    "MaxConcurrentTransforms": 4,
    "TransformInput": {
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/test/"}},
        "ContentType": "application/x-image",
    },
    "TransformOutput": {"S3OutputPath": "s3://data/runs/mlops-1/predictions/", "Accept": "application/json"},
    "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
}
MODEL_ARN = "arn:aws:sagemaker:us-east-1:123456789012:model/mlops-1"
TRANSFORM_ARN = "arn:aws:sagemaker:us-east-1:123456789012:transform-job/mlops-1"


@pytest.fixture
def batch(load_function):
    return load_function("mlops_batch", **ENVIRONMENT)


def test_makes_the_model_and_starts_the_job_under_a_prefix_of_the_run(batch, stub):
    stubber = stub(batch.sagemaker)
    stubber.add_response("create_model", {"ModelArn": MODEL_ARN}, MODEL)
    stubber.add_response("create_transform_job", {"TransformJobArn": TRANSFORM_ARN}, TRANSFORM)

    assert batch.handler(EVENT, None) == {
        **EVENT,
        "model": "mlops-1",
        "transform_job": "mlops-1",
        "images": "s3://data/test/",
        "predictions": "s3://data/runs/mlops-1/predictions/",
    }


def test_a_retry_goes_on_where_the_first_attempt_stopped(batch, stub):
    stubber = stub(batch.sagemaker)
    message = f'Cannot create already existing model "{MODEL_ARN}".'
    stubber.add_client_error("create_model", "ValidationException", message)
    stubber.add_client_error("create_transform_job", "ResourceInUse", "Job name must be unique")

    assert batch.handler(EVENT, None)["transform_job"] == "mlops-1"


def test_a_model_that_is_refused_for_another_reason_is_an_error(batch, stub):
    message = "Could not find model data at s3://data/runs/mlops-1/output/model.tar.gz."
    stub(batch.sagemaker).add_client_error("create_model", "ValidationException", message)

    with pytest.raises(batch.ClientError, match="Could not find model data"):
        batch.handler(EVENT, None)
