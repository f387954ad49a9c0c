"""What Task states send to services, and what they get back."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.asl.tasks import JSON, TaskError
from harness.clock import run
from harness.cloud.service import Caller, Service
from harness.cloud.stepfunctions.integrations import Integrations, Refused
from harness.cloud.stepfunctions.tokens import TaskTokens

from .fakes import EXECUTION, MACHINE, ROLE, FakeCloud, Progress, refuse, resource, task

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:work"


async def _never(arn: str) -> dict[str, Any]:
    raise AssertionError(f"nobody waits for {arn}")


def perform(cloud: FakeCloud, arn: str, arguments: JSON, token: str | None = None) -> tuple[JSON, list[Any]]:
    """The result of one attempt, and what was reported of it."""
    progress = Progress()

    async def main() -> JSON:
        integrations = Integrations(cloud, TaskTokens(), _never)
        return await integrations.run(task(arn, arguments, token), progress)

    return run(main()), progress.reported


def failure(cloud: FakeCloud, arn: str, arguments: JSON) -> TaskError:
    with pytest.raises(TaskError) as caught:
        perform(cloud, arn, arguments)
    return caught.value


def test_a_request_that_does_not_fit_is_never_scheduled() -> None:
    progress = Progress()

    async def main() -> None:
        runner = Integrations(FakeCloud(), TaskTokens(), _never)
        await runner.run(task("arn:aws:states:::sqs:sendMessage", {}), progress)

    with pytest.raises(TaskError, match="The field 'QueueUrl' is required but was missing"):
        run(main())
    assert progress.reported == []


def check(cloud: FakeCloud, arn: str, parameters: JSON = None) -> list[str]:
    return Integrations(cloud, TaskTokens(), _never).check(resource(arn), parameters)


# Lambda -------------------------------------------------------------------------------------------------


def answers(payload: JSON, **more: Any) -> Any:
    return lambda params: {
        "StatusCode": 200,
        "ExecutedVersion": "$LATEST",
        "Payload": json.dumps(payload).encode(),
        **more,
    }


def test_bare_function_result_is_its_answer() -> None:
    cloud = FakeCloud()
    cloud.handlers["lambda.Invoke"] = answers({"ok": "é"})
    result, reported = perform(cloud, FUNCTION, {"n": 1})
    assert result == {"ok": "é"}
    assert reported == ["started"]
    assert cloud.calls == [
        (
            "lambda.Invoke",
            {"FunctionName": FUNCTION, "Payload": b'{"n":1}'},
            Caller("execution", EXECUTION, ROLE),
        )
    ]


def test_optimized_invoke_shows_the_http_response() -> None:
    cloud = FakeCloud()
    cloud.handlers["lambda.Invoke"] = answers([1])
    result, _ = perform(
        cloud,
        "arn:aws:states:::lambda:invoke",
        {"FunctionName": "work", "Payload": {"a": 1}, "Qualifier": "2"},
    )
    assert list(result) == [
        "ExecutedVersion",
        "Payload",
        "SdkHttpMetadata",
        "SdkResponseMetadata",
        "StatusCode",
    ]
    assert result["ExecutedVersion"] == "$LATEST"
    assert result["Payload"] == [1]
    assert result["StatusCode"] == 200
    http = result["SdkHttpMetadata"]
    assert list(http) == ["AllHttpHeaders", "HttpHeaders", "HttpStatusCode"]
    assert http["HttpHeaders"]["X-Amz-Executed-Version"] == "$LATEST"
    assert http["AllHttpHeaders"]["X-Amz-Executed-Version"] == ["$LATEST"]
    assert http["HttpHeaders"]["Date"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert result["SdkResponseMetadata"]["RequestId"] == http["HttpHeaders"]["x-amzn-RequestId"]
    assert cloud.calls[0][1] == {"FunctionName": "work", "Qualifier": "2", "Payload": b'{"a":1}'}


def test_optimized_invoke_without_payload_sends_an_empty_object() -> None:
    cloud = FakeCloud()
    cloud.handlers["lambda.Invoke"] = answers(None)
    perform(cloud, "arn:aws:states:::lambda:invoke", {"FunctionName": "work"})
    assert cloud.calls[0][1]["Payload"] == b"{}"


def test_function_error_is_named_after_the_exception() -> None:
    cloud = FakeCloud()
    payload = {"errorMessage": "no", "errorType": "ValueError", "requestId": "r", "stackTrace": []}
    cloud.handlers["lambda.Invoke"] = answers(payload, FunctionError="Unhandled")
    error = failure(cloud, FUNCTION, {})
    assert (error.error, json.loads(error.cause), error.stage) == ("ValueError", payload, "run")


def test_function_error_without_a_type_is_unknown() -> None:
    cloud = FakeCloud()
    cloud.handlers["lambda.Invoke"] = answers({"errorMessage": "odd"}, FunctionError="Unhandled")
    error = failure(cloud, FUNCTION, {})
    assert error.error == "Lambda.Unknown"
    assert error.cause == (
        "The cause could not be determined because Lambda did not return an error type. "
        'Returned payload: {"errorMessage": "odd"}'
    )


@pytest.mark.parametrize(
    ("code", "status", "name"),
    [
        ("TooManyRequestsException", 429, "Lambda.TooManyRequestsException"),
        ("ServiceException", 500, "Lambda.ServiceException"),
        ("ResourceNotFoundException", 404, "Lambda.ResourceNotFoundException"),
        ("AccessDeniedException", 403, "Lambda.AWSLambdaException"),
    ],
)
def test_lambda_refuses(code: str, status: int, name: str) -> None:
    cloud = FakeCloud()
    cloud.handlers["lambda.Invoke"] = refuse(code, "Sorry.", status)
    error = failure(cloud, FUNCTION, {})
    assert error.error == name
    prefix = f"Sorry. (Service: Lambda, Status Code: {status}, Request ID: "
    assert error.cause.startswith(prefix)
    assert error.cause.endswith(")")


def test_wrong_parameters_are_a_runtime_error() -> None:
    error = failure(FakeCloud(), "arn:aws:states:::lambda:invoke", {"FunctionName": 3, "Body": 1})
    assert error.error == "States.Runtime"
    assert error.cause == (
        'The Parameters \'{"FunctionName":3,"Body":1}\' could not be used to start the Task: '
        "[The value for the field 'FunctionName' must be a STRING, "
        "The field 'Body' is not supported by Step Functions]"
    )


# Callbacks ----------------------------------------------------------------------------------------------


def _callback(settle: Any) -> tuple[JSON, list[Any], FakeCloud]:
    cloud = FakeCloud()
    tokens = TaskTokens()
    progress = Progress()

    def send(params: dict[str, Any]) -> dict[str, Any]:
        settle(tokens, params["MessageBody"])
        return {"MessageId": "m"}

    cloud.handlers["sqs.SendMessage"] = send
    arguments = {"QueueUrl": "http://q", "MessageBody": "token-1"}

    async def main() -> JSON:
        runner = Integrations(cloud, tokens, _never)
        return await runner.run(
            task("arn:aws:states:::sqs:sendMessage.waitForTaskToken", arguments, "token-1"), progress
        )

    return run(main()), progress.reported, cloud


def test_callback_may_come_before_the_call_returns() -> None:
    result, reported, _ = _callback(lambda tokens, token: tokens.succeed(token, '{"approved": true}'))
    assert result == {"approved": True}
    assert reported[0] == "started"
    assert reported[1][0] == "submitted"
    assert reported[1][1]["MessageId"] == "m"


def test_callback_failure() -> None:
    with pytest.raises(TaskError) as caught:
        _callback(lambda tokens, token: tokens.fail(token, "Rejected", "by hand"))
    assert (caught.value.error, caught.value.cause, caught.value.stage) == ("Rejected", "by hand", "run")


def test_callback_whose_call_is_refused_was_not_submitted() -> None:
    cloud = FakeCloud()
    cloud.handlers["sqs.SendMessage"] = refuse("QueueDoesNotExist", "The queue does not exist.")
    arguments = {"QueueUrl": "http://q", "MessageBody": "x"}
    with pytest.raises(TaskError) as caught:
        perform(cloud, "arn:aws:states:::sqs:sendMessage.waitForTaskToken", arguments, "token-1")
    assert caught.value.stage == "submit"
    assert caught.value.error == "SQS.QueueDoesNotExistException"


# Messaging ----------------------------------------------------------------------------------------------


def test_sqs_takes_json_bodies() -> None:
    cloud = FakeCloud()
    cloud.handlers["sqs.SendMessage"] = lambda params: {"MessageId": "m", "MD5OfMessageBody": "5"}
    result, _ = perform(
        cloud, "arn:aws:states:::sqs:sendMessage", {"QueueUrl": "u", "MessageBody": {"a": ["é"]}}
    )
    assert cloud.calls[0][1]["MessageBody"] == '{"a":["é"]}'
    assert list(result) == ["MD5OfMessageBody", "MessageId", "SdkHttpMetadata", "SdkResponseMetadata"]


def test_errors_of_optimized_integrations() -> None:
    cloud = FakeCloud()
    cloud.handlers["sns.Publish"] = refuse("InvalidParameter", "Invalid parameter: TopicArn")
    error = failure(cloud, "arn:aws:states:::sns:publish", {"TopicArn": "t", "Message": "m"})
    assert error.error == "SNS.InvalidParameterException"
    start = (
        "Invalid parameter: TopicArn (Service: AmazonSNS; Status Code: 400; "
        "Error Code: InvalidParameter; Request ID: "
    )
    assert error.cause.startswith(start)
    assert error.cause.endswith("; Proxy: null)")
    cloud.handlers["sns.Publish"] = refuse("ThrottlingException", "Rate exceeded")
    arguments = {"TopicArn": "t", "Message": "m"}
    assert failure(cloud, "arn:aws:states:::sns:publish", arguments).error == "SNS.AmazonSNSException"


def test_dynamodb() -> None:
    cloud = FakeCloud()
    cloud.handlers["dynamodb.GetItem"] = lambda params: {"Item": {"id": {"S": "1"}, "n": {"NULL": True}}}
    arguments = {"TableName": "t", "Key": {"id": {"S": "1"}}}
    result, _ = perform(cloud, "arn:aws:states:::dynamodb:getItem", arguments)
    assert cloud.calls[0][1] == arguments
    assert result["Item"] == {"id": {"S": "1"}, "n": {"NULL": True}}
    cloud.handlers["dynamodb.PutItem"] = refuse("ConditionalCheckFailedException", "The condition failed")
    error = failure(cloud, "arn:aws:states:::dynamodb:putItem", {"TableName": "t", "Item": {}})
    assert error.error == "DynamoDB.ConditionalCheckFailedException"
    assert "(Service: AmazonDynamoDBv2; Status Code: 400;" in error.cause


def test_put_events_carries_the_executions_arns() -> None:
    cloud = FakeCloud()
    cloud.handlers["events.PutEvents"] = lambda params: {"FailedEntryCount": 0, "Entries": [{"EventId": "e"}]}
    entry = {"Source": "s", "DetailType": "d", "Detail": {"a": 1}, "Resources": ["r"]}
    result, _ = perform(cloud, "arn:aws:states:::events:putEvents", {"Entries": [entry]})
    sent = cloud.calls[0][1]["Entries"][0]
    assert sent["Detail"] == '{"a":1}'
    assert sent["Resources"] == ["r", EXECUTION, MACHINE]
    assert result["Entries"] == [{"EventId": "e"}]


def test_put_events_fails_with_a_refused_entry() -> None:
    cloud = FakeCloud()
    refused = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}
    cloud.handlers["events.PutEvents"] = lambda params: refused
    error = failure(cloud, "arn:aws:states:::events:putEvents", {"Entries": [{"Source": "s"}]})
    assert error.error == "EventBridge.FailedEntry"
    assert json.loads(error.cause)["Entries"] == refused["Entries"]


# aws-sdk ------------------------------------------------------------------------------------------------


def test_sdk_call_spells_as_the_java_sdk() -> None:
    cloud = FakeCloud()
    moment = datetime(2024, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)
    cloud.handlers["rds.DescribeDBInstances"] = lambda params: {
        "DBInstances": [{"DBInstanceArn": "a", "InstanceCreateTime": moment, "VpcSecurityGroups": []}],
        "ResponseMetadata": {"HTTPStatusCode": 200},
    }
    result, _ = perform(
        cloud, "arn:aws:states:::aws-sdk:rds:describeDBInstances", {"DbInstanceIdentifier": "db"}
    )
    assert cloud.calls[0][1] == {"DBInstanceIdentifier": "db"}
    assert result == {
        "DbInstances": [
            {"DbInstanceArn": "a", "InstanceCreateTime": "2024-05-01T12:00:00.250Z", "VpcSecurityGroups": []}
        ]
    }


def test_sdk_call_reads_and_writes_blobs_as_text() -> None:
    cloud = FakeCloud()
    cloud.handlers["s3.PutObject"] = lambda params: {"ETag": "e"}
    cloud.handlers["s3.GetObject"] = lambda params: {"Body": b"gr\xc3\xbcn", "ContentLength": 6}
    perform(cloud, "arn:aws:states:::aws-sdk:s3:putObject", {"Bucket": "b", "Key": "k", "Body": {"a": 1}})
    assert cloud.calls[0][1]["Body"] == b'{"a":1}'
    result, _ = perform(cloud, "arn:aws:states:::aws-sdk:s3:getObject", {"Bucket": "b", "Key": "k"})
    assert result == {"Body": "grün", "ContentLength": 6}


@pytest.mark.parametrize(
    ("arn", "call", "code", "name"),
    [
        ("s3:getObject", "s3.GetObject", "NoSuchKey", "S3.NoSuchKeyException"),
        ("s3:getObject", "s3.GetObject", "SlowDown", "S3.S3Exception"),
        ("dynamodb:getItem", "dynamodb.GetItem", "ResourceNotFoundException", None),
        ("sagemaker:describeEndpoint", "sagemaker.DescribeEndpoint", "ValidationException", None),
    ],
)
def test_sdk_errors(arn: str, call: str, code: str, name: str | None) -> None:
    cloud = FakeCloud()
    cloud.handlers[call] = refuse(code, "No.", 404)
    arguments = {
        "s3:getObject": {"Bucket": "b", "Key": "k"},
        "dynamodb:getItem": {"TableName": "t", "Key": {}},
        "sagemaker:describeEndpoint": {"EndpointName": "e"},
    }[arn]
    error = failure(cloud, f"arn:aws:states:::aws-sdk:{arn}", arguments)
    expected = (
        name
        or {
            "dynamodb:getItem": "DynamoDb.ResourceNotFoundException",
            "sagemaker:describeEndpoint": "SageMaker.SageMakerException",
        }[arn]
    )
    assert error.error == expected
    assert f"(Service: {expected.split('.')[0]}, Status Code: 404, Request ID: " in error.cause


# SageMaker ----------------------------------------------------------------------------------------------


class FakeSageMaker(Service):
    """Jobs end with what the test says; until then they run."""

    name = "sagemaker"

    def __init__(self, cloud: FakeCloud) -> None:
        super().__init__(cloud)
        self.ended: asyncio.Future[dict[str, Any]] | None = None

    async def describe_endpoint(self, request: Any) -> dict[str, Any]:
        return {"EndpointStatus": "InService"}

    async def wait_for_job(self, kind: str, name: str) -> dict[str, Any]:
        assert (kind, name) == ("training", "job-1")
        self.ended = asyncio.get_running_loop().create_future()
        return await self.ended


TRAINING = {
    "TrainingJobName": "job-1",
    "AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "File"},
    "RoleArn": ROLE,
    "OutputDataConfig": {"S3OutputPath": "s3://b/o"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1.0, "VolumeSizeInGB": 1},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    "Tags": [{"Key": "team", "Value": "digits"}],
}


def description(status: str) -> dict[str, Any]:
    return {
        **TRAINING,
        "TrainingJobArn": "arn",
        "TrainingJobStatus": status,
        "SecondaryStatus": status,
        "FailureReason": "AlgorithmError: , exit code: 1" if status == "Failed" else None,
        "CreationTime": datetime(2024, 1, 1, tzinfo=UTC),
        "TrainingTimeInSeconds": 3,
        "EnableNetworkIsolation": False,
        "InputDataConfig": [
            {
                "ChannelName": "train",
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": "s3://b/i",
                        "S3DataDistributionType": "FullyReplicated",
                    }
                },
            }
        ],
    }


def training(status: str) -> tuple[JSON, list[Any], FakeCloud]:
    cloud = FakeCloud()
    sagemaker = cloud.services["sagemaker"] = FakeSageMaker(cloud)
    cloud.handlers["sagemaker.CreateTrainingJob"] = lambda params: {"TrainingJobArn": "arn"}
    progress = Progress()

    async def main() -> JSON:
        runner = Integrations(cloud, TaskTokens(), _never)
        request = task("arn:aws:states:::sagemaker:createTrainingJob.sync", TRAINING)
        running = asyncio.ensure_future(runner.run(request, progress))
        await asyncio.sleep(0)
        assert not running.done()
        assert sagemaker.ended is not None
        sagemaker.ended.set_result(description(status))
        return await running

    return run(main()), progress.reported, cloud


def test_training_job_sync_answers_the_jobs_document() -> None:
    result, reported, cloud = training("Completed")
    assert reported[0] == "started"
    assert reported[1][1]["TrainingJobArn"] == "arn"
    assert list(reported[1][1]) == ["SdkHttpMetadata", "SdkResponseMetadata", "TrainingJobArn"]
    assert cloud.calls[0][1]["Tags"] == [
        {"Key": "team", "Value": "digits"},
        {"Key": "MANAGED_BY_AWS", "Value": "STARTED_BY_STEP_FUNCTIONS"},
        {"Key": "AWS_STEP_FUNCTIONS_EXECUTION_ARN", "Value": EXECUTION},
    ]
    assert cloud.calls[0][1]["ResourceConfig"]["InstanceCount"] == 1
    assert result["TrainingJobStatus"] == "Completed"
    assert result["CreationTime"] == 1_704_067_200_000
    assert result["AlgorithmSpecification"]["TrainingInputMode"] == "FILE"
    assert result["ResourceConfig"]["InstanceType"] == "ml.m5.large"
    channel = result["InputDataConfig"][0]
    assert channel["DataSource"]["S3DataSource"]["S3DataType"] == "S3_PREFIX"
    assert channel["DataSource"]["S3DataSource"]["S3DataDistributionType"] == "FULLY_REPLICATED"
    assert (channel["CompressionType"], channel["RecordWrapperType"]) == ("NONE", "NONE")
    assert result["Tags"] == {
        "team": "digits",
        "MANAGED_BY_AWS": "STARTED_BY_STEP_FUNCTIONS",
        "AWS_STEP_FUNCTIONS_EXECUTION_ARN": EXECUTION,
    }
    assert result.keys().isdisjoint(
        {"TrainingTimeInSeconds", "EnableNetworkIsolation", "ResponseMetadata", "FailureReason"}
    )


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_training_job_that_does_not_complete_fails_the_task(status: str) -> None:
    with pytest.raises(TaskError) as caught:
        training(status)
    assert (caught.value.error, caught.value.stage) == ("States.TaskFailed", "run")
    document = json.loads(caught.value.cause)
    assert document["TrainingJobStatus"] == status
    assert document.get("FailureReason") == ("AlgorithmError: , exit code: 1" if status == "Failed" else None)


def test_training_job_is_stopped_with_the_task() -> None:
    cloud = FakeCloud()
    cloud.services["sagemaker"] = FakeSageMaker(cloud)
    cloud.handlers["sagemaker.CreateTrainingJob"] = lambda params: {"TrainingJobArn": "arn"}
    cloud.handlers["sagemaker.StopTrainingJob"] = lambda params: {}

    async def main() -> None:
        runner = Integrations(cloud, TaskTokens(), _never)
        request = task("arn:aws:states:::sagemaker:createTrainingJob.sync", TRAINING)
        running = asyncio.ensure_future(runner.run(request, Progress()))
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await asyncio.gather(*cloud.tasks)

    run(main())
    assert [call[:2] for call in cloud.calls][1] == (
        "sagemaker.StopTrainingJob",
        {"TrainingJobName": "job-1"},
    )


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("ResourceInUse", "SageMaker.ResourceInUseException"),
        ("ResourceLimitExceeded", "SageMaker.ResourceLimitExceededException"),
        ("ValidationException", "SageMaker.AmazonSageMakerException"),
        ("ThrottlingException", "SageMaker.AmazonSageMakerException"),
    ],
)
def test_sagemaker_errors(code: str, name: str) -> None:
    cloud = FakeCloud()
    cloud.handlers["sagemaker.CreateTrainingJob"] = refuse(code, "No.")
    error = failure(cloud, "arn:aws:states:::sagemaker:createTrainingJob.sync", TRAINING)
    assert (error.error, error.stage) == (name, "submit")
    assert error.cause.startswith(
        f"No. (Service: AmazonSageMaker; Status Code: 400; Error Code: {code}; Request ID: "
    )
    error = failure(cloud, "arn:aws:states:::sagemaker:createTrainingJob", TRAINING)
    assert (error.error, error.stage) == (name, "run")
    assert all(tag["Key"] == "team" for tag in cloud.calls[1][1]["Tags"])


# At creation --------------------------------------------------------------------------------------------

KNOWN = [
    FUNCTION,
    f"{FUNCTION}:live",
    "arn:aws:states:::lambda:invoke",
    "arn:aws:states:::lambda:invoke.waitForTaskToken",
    "arn:aws:states:::sagemaker:createTrainingJob.sync",
    "arn:aws:states:::sagemaker:createTransformJob.sync",
    "arn:aws:states:::sagemaker:createTransformJob",
    "arn:aws:states:::sagemaker:createModel",
    "arn:aws:states:::sagemaker:createEndpointConfig",
    "arn:aws:states:::sagemaker:createEndpoint",
    "arn:aws:states:::sagemaker:updateEndpoint",
    "arn:aws:states:::states:startExecution",
    "arn:aws:states:::states:startExecution.sync",
    "arn:aws:states:::states:startExecution.sync:2",
    "arn:aws:states:::states:startExecution.waitForTaskToken",
    "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
    "arn:aws:states:::sns:publish.waitForTaskToken",
    "arn:aws:states:::events:putEvents.waitForTaskToken",
    "arn:aws:states:::dynamodb:updateItem",
    "arn:aws:states:::aws-sdk:s3:listObjectsV2",
    "arn:aws:states:::aws-sdk:sagemaker:describeEndpoint",
    "arn:aws:states:::aws-sdk:cloudwatchlogs:putLogEvents",
]


@pytest.mark.parametrize("arn", KNOWN)
def test_supported_resources(arn: str) -> None:
    cloud = FakeCloud()
    cloud.services["sagemaker"] = FakeSageMaker(cloud)
    assert check(cloud, arn) == []


@pytest.mark.parametrize(
    ("arn", "says"),
    [
        ("arn:aws:states:::lambda:destroy", "is not recognized"),
        ("arn:aws:states:::lambda:invoke.sync", "is not recognized"),
        ("arn:aws:states:::dynamodb:getItem.waitForTaskToken", "is not recognized"),
        ("arn:aws:states:::sagemaker:createModel.sync", "is not recognized"),
        ("arn:aws:states:::sagemaker:createTrainingJob.waitForTaskToken", "is not recognized"),
        ("arn:aws:states:::aws-sdk:s3:ListBuckets", "is not recognized"),
        ("arn:aws:states:::aws-sdk:s3:listPuckets", "is not recognized"),
        ("arn:aws:states:::aws-sdk:s4:listBuckets", "is not recognized"),
        ("arn:aws:states:::aws-sdk:logs:putLogEvents", "is not recognized"),
        ("arn:aws:states:::aws-sdk:s3:listBuckets.sync", "is not recognized"),
        ("arn:aws:states:::glue:startJobRun.sync", "exists on AWS but is not supported locally"),
        ("arn:aws:states:::sagemaker:createProcessingJob.sync", "exists on AWS but is not supported locally"),
        (
            "arn:aws:states:::aws-sdk:sagemaker:createApp",
            "not supported locally yet: the local sagemaker does not have",
        ),
        (
            "arn:aws:states:us-east-1:123456789012:activity:a",
            "exists on AWS but is not supported locally yet: use a Lambda",
        ),
    ],
)
def test_refused_resources(arn: str, says: str) -> None:
    cloud = FakeCloud()
    cloud.services["sagemaker"] = FakeSageMaker(cloud)
    with pytest.raises(Refused, match=says) as caught:
        check(cloud, arn)
    assert arn in str(caught.value)
    refused_by_aws = says == "is not recognized"
    assert caught.value.code == ("SCHEMA_VALIDATION_FAILED" if refused_by_aws else "UNSUPPORTED_FEATURE")


def test_parameters_are_checked_at_creation() -> None:
    cloud = FakeCloud()
    arn = "arn:aws:states:::sqs:sendMessage"
    assert check(cloud, arn, {"QueueUrl.$": "$.q", "MessageBody": "m"}) == []
    assert check(cloud, arn, {"QueueURL": "q", "MessageBody": "m"}) == [
        'The field "QueueURL" is not supported by Step Functions',
        'The field "QueueUrl" is required but was missing',
    ]
    assert check(cloud, arn, "{% $states.input %}") == []
    # The SDK fills in ClientRequestToken by itself.
    assert check(cloud, "arn:aws:states:::aws-sdk:secretsmanager:putSecretValue", {"SecretId": "s"}) == []
