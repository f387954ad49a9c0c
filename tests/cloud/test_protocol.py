"""The protocols as boto3 sees them, and as clients that are not boto3 use them."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from harness.cloud import Cloud, Request, Service, ServiceError
from harness.cloud.models import load_model
from harness.cloud.protocol import protocol_of

from .support import Machines, blocking, client, in_cloud, send

OURS = ("lambda", "sagemaker", "sagemaker-runtime", "stepfunctions")


class Functions(Service):
    """A few operations of Lambda; answers what it was asked."""

    name = "lambda"

    def __init__(self, cloud: Any) -> None:
        super().__init__(cloud)
        self.params: list[dict[str, Any]] = []

    async def create_function(self, request: Request) -> dict[str, Any]:
        self.params.append(request.params)
        return {
            "FunctionName": request.params["FunctionName"],
            "CodeSize": len(request.params["Code"]["ZipFile"]),
            "Timeout": request.params.get("Timeout", 3),
        }

    async def invoke(self, request: Request) -> dict[str, Any]:
        self.params.append(request.params)
        return {
            "StatusCode": 202 if request.params.get("InvocationType") == "Event" else 200,
            "FunctionError": "Unhandled",
            "ExecutedVersion": "$LATEST",
            "Payload": request.params.get("Payload", b""),
        }

    async def invoke_with_response_stream(self, request: Request) -> dict[str, Any]:
        async def events() -> AsyncIterator[dict[str, Any]]:
            yield {"PayloadChunk": {"Payload": b"one"}}
            yield {"PayloadChunk": {"Payload": "zwö".encode()}}
            yield {"InvokeComplete": {"ErrorCode": "E", "ErrorDetails": "d"}}

        return {"StatusCode": 200, "EventStream": events()}

    async def get_function(self, request: Request) -> dict[str, Any]:
        raise ServiceError(
            "ResourceNotFoundException", f"Function not found: {request.params['FunctionName']}"
        )

    async def get_layer_version_by_arn(self, request: Request) -> dict[str, Any]:
        return {"LayerVersionArn": request.params["Arn"]}

    async def list_layers(self, request: Request) -> dict[str, Any]:
        self.params.append(request.params)
        return {"Layers": []}

    async def list_tags(self, request: Request) -> dict[str, Any]:
        return {"Tags": {"resource": request.params["Resource"]}}

    async def untag_resource(self, request: Request) -> dict[str, Any]:
        self.params.append(request.params)
        return {}

    async def delete_function(self, request: Request) -> dict[str, Any]:
        raise ServiceError(
            "TooManyRequestsException",
            "Rate exceeded",
            fields={"retryAfterSeconds": "7", "Reason": "CallerRateLimitExceeded"},
        )


class Jobs(Service):
    """A few operations of SageMaker."""

    name = "sagemaker"

    def __init__(self, cloud: Any) -> None:
        super().__init__(cloud)
        self.params: list[dict[str, Any]] = []

    async def create_training_job(self, request: Request) -> dict[str, Any]:
        self.params.append(request.params)
        return {"TrainingJobArn": "arn:job"}

    async def create_endpoint_config(self, request: Request) -> dict[str, Any]:
        return {"EndpointConfigArn": "arn:config"}

    async def describe_training_job(self, request: Request) -> dict[str, Any]:
        raise ServiceError("ResourceNotFound", "Requested resource not found.")

    async def stop_training_job(self, request: Request) -> None:
        return None

    async def list_training_jobs(self, request: Request) -> dict[str, Any]:
        self.params.append(request.params)
        return {"TrainingJobSummaries": []}

    async def add_tags(self, request: Request) -> dict[str, Any]:
        return {"Tags": request.params["Tags"]}


class Inference(Service):
    """SageMaker Runtime."""

    name = "sagemaker-runtime"

    async def invoke_endpoint(self, request: Request) -> dict[str, Any]:
        params = request.params
        if params["EndpointName"] == "none":
            raise ServiceError(
                "ModelError", "it broke", fields={"OriginalStatusCode": 503, "OriginalMessage": "m"}
            )
        return {
            "Body": params["Body"][::-1],
            "ContentType": params.get("ContentType", "text/plain"),
            "InvokedProductionVariant": "AllTraffic",
            "CustomAttributes": params.get("CustomAttributes"),
        }

    async def invoke_endpoint_with_response_stream(self, request: Request) -> dict[str, Any]:
        async def events() -> AsyncIterator[dict[str, Any]]:
            yield {"PayloadPart": {"Bytes": b"\x00\xff"}}
            raise ServiceError("ModelStreamError", "half way", fields={"ErrorCode": "StreamBroken"})

        return {"Body": events(), "ContentType": "application/x-parts"}


def refused(caught: pytest.ExceptionInfo[ClientError]) -> tuple[str, str, int]:
    response = caught.value.response
    return (
        response["Error"]["Code"],
        response["Error"]["Message"],
        response["ResponseMetadata"]["HTTPStatusCode"],
    )


@pytest.mark.parametrize("service", OURS)
def test_every_operation_of_our_services_compiles(service: str) -> None:
    protocol = protocol_of(service)
    for name in protocol.model.operations:
        assert protocol.operation(name.lower()).name == name


def test_lambda_members_travel_in_paths_headers_and_bodies() -> None:
    async def body(cloud: Cloud) -> None:
        functions = client(cloud, "lambda")
        created = await blocking(
            functions.create_function,
            FunctionName="f",
            Role="arn:aws:iam::123456789012:role/r",
            Code={"ZipFile": b"\x00\xffzip"},
            Timeout=900,
            Environment={"Variables": {"KEY": "value"}},
        )
        assert created["ResponseMetadata"]["HTTPStatusCode"] == 201
        assert (created["CodeSize"], created["Timeout"]) == (5, 900)
        service = cloud.service("lambda")
        assert isinstance(service, Functions)
        assert service.params[-1]["Code"] == {"ZipFile": b"\x00\xffzip"}

        invoked = await blocking(
            functions.invoke,
            FunctionName="f:prod",
            Qualifier="prod",
            InvocationType="Event",
            Payload=b'{"a":1}',
        )
        assert invoked["StatusCode"] == invoked["ResponseMetadata"]["HTTPStatusCode"] == 202
        assert invoked["Payload"].read() == b'{"a":1}'
        assert (invoked["FunctionError"], invoked["ExecutedVersion"]) == ("Unhandled", "$LATEST")
        assert service.params[-1] == {
            "FunctionName": "f:prod",
            "Qualifier": "prod",
            "InvocationType": "Event",
            "Payload": b'{"a":1}',
        }
        inside = await cloud.call("lambda", "Invoke", {"FunctionName": "f", "Payload": io.BytesIO(b"[]")})
        assert inside["Payload"] == b"[]"

        arn = "arn:aws:lambda:us-east-1:123456789012:layer:numpy:1"
        assert (await blocking(functions.get_layer_version_by_arn, Arn=arn))["LayerVersionArn"] == arn
        await blocking(functions.list_layers, MaxItems=5, CompatibleRuntime="python3.12")
        assert service.params[-1] == {"MaxItems": 5, "CompatibleRuntime": "python3.12"}
        function_arn = "arn:aws:lambda:us-east-1:123456789012:function:f"
        assert (await blocking(functions.list_tags, Resource=function_arn))["Tags"] == {
            "resource": function_arn
        }
        removed = await blocking(functions.untag_resource, Resource=function_arn, TagKeys=["a", "b c+d"])
        assert removed["ResponseMetadata"]["HTTPStatusCode"] == 204
        assert service.params[-1]["TagKeys"] == ["a", "b c+d"]

    in_cloud(body, Functions)


def test_lambda_errors_have_their_own_shape() -> None:
    async def body(cloud: Cloud) -> None:
        functions = client(cloud, "lambda")
        with pytest.raises(functions.exceptions.ResourceNotFoundException) as caught:
            await blocking(functions.get_function, FunctionName="f")
        assert refused(caught) == ("ResourceNotFoundException", "Function not found: f", 404)
        assert caught.value.response["Type"] == "User"
        with pytest.raises(functions.exceptions.TooManyRequestsException) as caught:
            await blocking(functions.delete_function, FunctionName="f")
        assert refused(caught) == ("TooManyRequestsException", "Rate exceeded", 429)
        assert caught.value.response["Reason"] == "CallerRateLimitExceeded"
        assert caught.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "7"
        with pytest.raises(ClientError) as caught:
            await blocking(functions.invoke, FunctionName="no such name!", InvocationType="Sometimes")
        code, message, status = refused(caught)
        assert (code, status) == ("ValidationException", 400)
        assert message.startswith("2 validation errors detected: ")
        assert (
            "Value 'Sometimes' at 'invocationType' failed to satisfy constraint: "
            "Member must satisfy enum value set: [Event, RequestResponse, DryRun]"
        ) in message
        assert (
            "Value 'no such name!' at 'functionName' failed to satisfy constraint: Member must satisfy"
            in message
        )
        with pytest.raises(ServiceError) as inside:
            await cloud.call("lambda", "GetFunction", {"FunctionName": "f"})
        assert inside.value.status == 404

        status, headers, _ = await blocking(
            send, cloud, "GET", "/2015-03-31/nothing-here/x", headers=signed("lambda")
        )
        assert (status, headers["x-amzn-errortype"]) == (404, "UnknownOperationException")

    in_cloud(body, Functions)


def test_streamed_results() -> None:
    async def body(cloud: Cloud) -> None:
        streamed = await blocking(client(cloud, "lambda").invoke_with_response_stream, FunctionName="f")
        assert await blocking(list, streamed["EventStream"]) == [
            {"PayloadChunk": {"Payload": b"one"}},
            {"PayloadChunk": {"Payload": "zwö".encode()}},
            {"InvokeComplete": {"ErrorCode": "E", "ErrorDetails": "d"}},
        ]
        runtime = client(cloud, "sagemaker-runtime")
        streamed = await blocking(runtime.invoke_endpoint_with_response_stream, EndpointName="e", Body=b"")
        assert streamed["ContentType"] == "application/x-parts"
        parts = iter(streamed["Body"])
        assert await blocking(next, parts) == {"PayloadPart": {"Bytes": b"\x00\xff"}}
        with pytest.raises(EventStreamError, match=r"ModelStreamError.*half way"):
            await blocking(next, parts)
        streamed["Body"].close()

    in_cloud(body, Functions, Inference)


def test_an_endpoint_answers_bytes_and_headers() -> None:
    async def body(cloud: Cloud) -> None:
        runtime = client(cloud, "sagemaker-runtime")
        image = bytes(range(256))
        answer = await blocking(
            runtime.invoke_endpoint,
            EndpointName="digits",
            Body=image,
            ContentType="application/x-image",
            CustomAttributes="trace",
        )
        assert answer["Body"].read() == image[::-1]
        assert (answer["ContentType"], answer["CustomAttributes"]) == ("application/x-image", "trace")
        assert answer["InvokedProductionVariant"] == "AllTraffic"
        with pytest.raises(runtime.exceptions.ModelError) as caught:
            await blocking(runtime.invoke_endpoint, EndpointName="none", Body=b"")
        assert refused(caught) == ("ModelError", "it broke", 424)
        assert caught.value.response["OriginalStatusCode"] == 503
        with pytest.raises(ClientError) as caught:
            await blocking(runtime.invoke_endpoint, EndpointName="not_a_name", Body=b"")
        assert refused(caught)[0] == "ValidationError"

    in_cloud(body, Inference, Jobs)


def training_job(**changes: Any) -> dict[str, Any]:
    return {
        "TrainingJobName": "job",
        "RoleArn": "arn:aws:iam::123456789012:role/mlops-sm-s3",
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        **changes,
    }


NAME_PATTERN = "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        (
            {"TrainingJobName": "not_valid"},
            [
                "Value 'not_valid' at 'trainingJobName' failed to satisfy constraint: "
                f"Member must satisfy regular expression pattern: {NAME_PATTERN}"
            ],
        ),
        (
            {"TrainingJobName": "x" * 64},
            [
                f"Value '{'x' * 64}' at 'trainingJobName' failed to satisfy constraint: "
                "Member must have length less than or equal to 63",
                f"Value '{'x' * 64}' at 'trainingJobName' failed to satisfy constraint: "
                f"Member must satisfy regular expression pattern: {NAME_PATTERN}",
            ],
        ),
        (
            {"AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "Slow"}},
            [
                "Value 'Slow' at 'algorithmSpecification.trainingInputMode' failed to satisfy constraint: "
                "Member must satisfy enum value set: [Pipe, File, FastFile]"
            ],
        ),
        (
            {"Tags": [{"Key": "a", "Value": "b"}, {"Key": "k" * 129, "Value": "v"}]},
            [
                f"Value '{'k' * 129}' at 'tags.2.member.key' failed to satisfy constraint: "
                "Member must have length less than or equal to 128"
            ],
        ),
        (
            {"VpcConfig": {"SecurityGroupIds": ["sg_1"], "Subnets": ["subnet-1"]}},
            [
                "Value '[sg_1]' at 'vpcConfig.securityGroupIds' failed to satisfy constraint: "
                "Member must satisfy constraint: [Member must have length less than or equal to 32, "
                "Member must satisfy regular expression pattern: [-0-9a-zA-Z]+]"
            ],
        ),
        (
            {"HyperParameters": {"epochs": "9" * 2501}},
            [
                f"Value '{{epochs={'9' * 2501}}}' at 'hyperParameters' failed to satisfy constraint: "
                "Map value must satisfy constraint: [Member must have length less than or equal to 2500, "
                "Member must satisfy regular expression pattern: .*]"
            ],
        ),
        (
            {"Environment": {"not a name": "x"}},
            [
                "Value '{not a name=x}' at 'environment' failed to satisfy constraint: "
                "Map keys must satisfy constraint: [Member must have length less than or equal to 512, "
                "Member must satisfy regular expression pattern: [a-zA-Z_][a-zA-Z0-9_]*]"
            ],
        ),
    ],
)
def test_constraints_are_worded_as_aws_words_them(changes: dict[str, Any], sentences: list[str]) -> None:
    errors = "error" if len(sentences) == 1 else "errors"
    expected = f"{len(sentences)} validation {errors} detected: {'; '.join(sentences)}"

    async def body(cloud: Cloud) -> None:
        with pytest.raises(ClientError) as caught:
            await blocking(client(cloud, "sagemaker").create_training_job, **training_job(**changes))
        assert refused(caught) == ("ValidationException", expected, 400)
        with pytest.raises(ServiceError) as inside:
            await cloud.call("sagemaker", "CreateTrainingJob", training_job(**changes))
        assert (inside.value.code, inside.value.message) == ("ValidationException", expected)
        service = cloud.service("sagemaker")
        assert isinstance(service, Jobs)
        assert service.params == []

    in_cloud(body, Jobs)


def test_what_boto3_would_not_send_is_refused_as_well() -> None:
    """boto3 checks required members, types and minima itself; other clients do not."""
    loose = Config(parameter_validation=False)

    async def body(cloud: Cloud) -> None:
        sagemaker = client(cloud, "sagemaker", config=loose)

        async def refusal(operation: str, **params: Any) -> tuple[str, str, int]:
            with pytest.raises(ClientError) as caught:
                await blocking(getattr(sagemaker, operation), **params)
            return refused(caught)

        assert await refusal("stop_training_job") == (
            "ValidationException",
            "1 validation error detected: Value null at 'trainingJobName' failed to satisfy constraint: "
            "Member must not be null",
            400,
        )
        variants = [{"VariantName": "v", "InitialInstanceCount": 0, "ModelName": "m"}, {"ModelName": "m"}]
        assert (await refusal("create_endpoint_config", EndpointConfigName="c", ProductionVariants=variants))[
            1
        ] == (
            "2 validation errors detected: Value '0' at 'productionVariants.1.member.initialInstanceCount' "
            "failed to satisfy constraint: Member must have value greater than or equal to 1; Value null at "
            "'productionVariants.2.member.variantName' failed to satisfy constraint: Member must not be null"
        )
        assert await refusal("create_endpoint_config", EndpointConfigName="c", ProductionVariants=[]) == (
            "ValidationException",
            "1 validation error detected: Value '[]' at 'productionVariants' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1",
            400,
        )

    in_cloud(body, Jobs)


def signed(service: str) -> dict[str, str]:
    scope = f"AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/{service}/aws4_request"
    return {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"TrainingJobName": ', "the request body is not JSON"),
        ('{"MaxResults": NaN}', "NaN is not a JSON value"),
        ("[" * 100_000, "the request body is not JSON"),
        ("[]", "Start of list can not be converted to a structure at ''"),
        ('{"MaxResults": "5"}', "STRING_VALUE can not be converted to an Integer at 'maxResults'"),
        ('{"MaxResults": 1.5}', "NUMBER_VALUE can not be converted to an Integer at 'maxResults'"),
        ('{"MaxResults": true}', "TRUE_VALUE can not be converted to an Integer at 'maxResults'"),
        ('{"NameContains": 5}', "NUMBER_VALUE can not be converted to a String at 'nameContains'"),
        (
            '{"NameContains": {}}',
            "Start of structure or map can not be converted to a String at 'nameContains'",
        ),
        ('{"MaxResults": 2147483648}', "NUMBER_VALUE can not be converted to an Integer at 'maxResults'"),
        ('{"NameContains": "\\ud800"}', "surrogates not allowed at 'nameContains'"),
        ('{"CreationTimeAfter": {}}', "can not be converted to a Timestamp at 'creationTimeAfter'"),
        ('{"CreationTimeAfter": 1e99}', "at 'creationTimeAfter'"),
        ('{"CreationTimeAfter": "soon"}', "at 'creationTimeAfter'"),
        ("\xff", "the request body is not JSON"),
    ],
)
def test_unreadable_requests_are_serialization_errors(body: str, message: str) -> None:
    async def main(cloud: Cloud) -> None:
        headers = signed("sagemaker") | {"X-Amz-Target": "SageMaker.ListTrainingJobs"}
        status, headers, text = await blocking(
            send, cloud, "POST", "/", body=body.encode("latin-1"), headers=headers
        )
        answer = json.loads(text)
        assert (status, answer["__type"]) == (400, "SerializationException")
        assert message in answer["message"]
        assert headers["content-type"] == "application/x-amz-json-1.1"

    in_cloud(main, Jobs)


@pytest.mark.parametrize("target", ["SageMaker.DoIt", "AWSStepFunctions.ListTrainingJobs", "", "SageMaker"])
def test_unknown_operations(target: str) -> None:
    async def body(cloud: Cloud) -> None:
        headers = signed("sagemaker") | {"X-Amz-Target": target}
        status, _, text = await blocking(send, cloud, "POST", "/", body=b"{}", headers=headers)
        assert (status, json.loads(text)["__type"]) == (400, "UnknownOperationException")

    in_cloud(body, Jobs)


def test_members_nobody_knows_and_nulls_are_left_out() -> None:
    async def body(cloud: Cloud) -> None:
        headers = signed("sagemaker") | {"X-Amz-Target": "SageMaker.ListTrainingJobs"}
        sent = {"MaxResults": 5.0, "NameContains": None, "Whatever": 1, "CreationTimeAfter": 1_700_000_000.5}
        assert (await blocking(send, cloud, "POST", "/", body=json.dumps(sent), headers=headers))[0] == 200
        service = cloud.service("sagemaker")
        assert isinstance(service, Jobs)
        assert service.params == [
            {"MaxResults": 5, "CreationTimeAfter": datetime.fromtimestamp(1_700_000_000.5, UTC)}
        ]
        with pytest.raises(ServiceError, match="Unknown parameter 'Whatever'"):  # as boto3 has it
            await cloud.call("sagemaker", "ListTrainingJobs", {"Whatever": 1})

    in_cloud(body, Jobs)


def test_results_and_errors_on_the_wire() -> None:
    async def body(cloud: Cloud) -> None:
        async def post(service: str, target: str, sent: Any) -> tuple[int, dict[str, str], bytes]:
            headers = signed(service) | {"X-Amz-Target": target}
            return await blocking(send, cloud, "POST", "/", body=json.dumps(sent), headers=headers)

        status, headers, text = await post("sagemaker", "SageMaker.StopTrainingJob", {"TrainingJobName": "j"})
        assert (status, text, headers["content-length"]) == (200, b"", "0")
        status, headers, text = await post(
            "sagemaker", "SageMaker.DescribeTrainingJob", {"TrainingJobName": "j"}
        )
        assert json.loads(text) == {"__type": "ResourceNotFound", "Message": "Requested resource not found."}
        assert len(headers["x-amzn-requestid"]) == 36
        status, headers, text = await post(
            "states", "AWSStepFunctions.DescribeStateMachine", {"stateMachineArn": "arn:x"}
        )
        assert headers["content-type"] == "application/x-amz-json-1.0"
        assert json.loads(text)["creationDate"] == 1_700_000_000.123
        assert json.loads(text)["definition"] == '{"é": 1}'
        status, headers, text = await post(
            "states", "AWSStepFunctions.DescribeStateMachine", {"stateMachineArn": "missing"}
        )
        assert json.loads(text) == {
            "__type": "StateMachineDoesNotExist",
            "message": "State Machine Does Not Exist: 'missing'",
        }
        status, headers, text = await post(
            "states", "AWSStepFunctions.StartExecution", {"stateMachineArn": ""}
        )
        assert json.loads(text)["message"] == (
            "1 validation error detected: Value '' at 'stateMachineArn' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1"
        )

    in_cloud(body, Jobs, Machines)


def test_values_of_sensitive_members_are_not_repeated() -> None:
    async def body(cloud: Cloud) -> None:
        with pytest.raises(ServiceError) as caught:
            await cloud.call(
                "stepfunctions", "StartExecution", {"stateMachineArn": "a", "input": "secret" * 50_000}
            )
        assert caught.value.message == (
            "1 validation error detected: Value at 'input' failed to satisfy constraint: "
            "Member must have length less than or equal to 262144"
        )

    in_cloud(body, Machines)


def test_models_come_from_botocore_and_know_their_errors() -> None:
    model = load_model("lambda")
    assert model.errors["ResourceNotFoundException"].status == 404
    assert model.errors["ServiceException"].status == 500
    assert load_model("stepfunctions").target_prefix == "AWSStepFunctions"
    with pytest.raises(KeyError):
        load_model("nonsense")
