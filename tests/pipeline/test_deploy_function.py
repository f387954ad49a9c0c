from __future__ import annotations

from datetime import UTC, datetime

import pytest

ARN = "arn:aws:sagemaker:us-east-1:123456789012:"
EVENT = {"run": "mlops-2", "model": "mlops-2", "f1score": 0.9}
CONFIG = {
    "EndpointConfigName": "mlops-2",
    "ProductionVariants": [
        {
            "VariantName": "AllTraffic",
            "ModelName": "mlops-2",
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
        }
    ],
}


def load(load_function, name=""):
    return load_function("mlops_deploy", INSTANCE_TYPE="ml.m5.large", INSTANCE_COUNT="1", ENDPOINT_NAME=name)


def config_created(stubber):
    stubber.add_response(
        "create_endpoint_config", {"EndpointConfigArn": ARN + "endpoint-config/mlops-2"}, CONFIG
    )


def endpoint_exists(stubber, name, serving):
    message = f'Cannot create already existing endpoint "{ARN}endpoint/{name}".'
    stubber.add_client_error("create_endpoint", "ValidationException", message)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    answer = {
        "EndpointName": name,
        "EndpointArn": f"{ARN}endpoint/{name}",
        "EndpointConfigName": serving,
        "EndpointStatus": "InService",
        "CreationTime": now,
        "LastModifiedTime": now,
    }
    stubber.add_response("describe_endpoint", answer, {"EndpointName": name})


def test_creates_an_endpoint_of_the_run_s_own(load_function, stub):
    deploy = load(load_function)
    stubber = stub(deploy.sagemaker)
    config_created(stubber)
    wanted = {"EndpointName": "mlops-2", "EndpointConfigName": "mlops-2"}
    stubber.add_response("create_endpoint", {"EndpointArn": ARN + "endpoint/mlops-2"}, wanted)

    assert deploy.handler(EVENT, None) == {**EVENT, "endpoint": "mlops-2", "endpoint_config": "mlops-2"}


def test_a_retry_finds_everything_done(load_function, stub):
    deploy = load(load_function)
    stubber = stub(deploy.sagemaker)
    message = f'Cannot create already existing endpoint configuration "{ARN}endpoint-config/mlops-2".'
    stubber.add_client_error("create_endpoint_config", "ValidationException", message)
    endpoint_exists(stubber, "mlops-2", serving="mlops-2")

    assert deploy.handler(EVENT, None)["endpoint"] == "mlops-2"


def test_an_endpoint_that_is_kept_is_updated(load_function, stub):
    deploy = load(load_function, name="digits")
    stubber = stub(deploy.sagemaker)
    config_created(stubber)
    endpoint_exists(stubber, "digits", serving="mlops-1")
    wanted = {"EndpointName": "digits", "EndpointConfigName": "mlops-2"}
    stubber.add_response("update_endpoint", {"EndpointArn": ARN + "endpoint/digits"}, wanted)

    assert deploy.handler(EVENT, None)["endpoint"] == "digits"


def test_a_config_that_is_refused_for_another_reason_is_an_error(load_function, stub):
    deploy = load(load_function)
    stub(deploy.sagemaker).add_client_error(
        "create_endpoint_config", "ValidationException", f'Could not find model "{ARN}model/mlops-2".'
    )
    with pytest.raises(deploy.ClientError, match="Could not find model"):
        deploy.handler(EVENT, None)
