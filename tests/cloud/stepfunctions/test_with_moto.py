"""Task states against the services that are moto's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.clock import SkippingClock, run
from harness.cloud.cloud import Cloud
from harness.cloud.stepfunctions import StepFunctions

from .fakes import ROLE, START

pytestmark = pytest.mark.slow


def chain(**states: dict[str, Any]) -> str:
    """Task states one after the other, each result under its state's name."""
    names = list(states)
    following = [{"Next": name} for name in names[1:]] + [{"End": True}]
    return json.dumps(
        {
            "StartAt": names[0],
            "States": {
                name: {"Type": "Task", "ResultPath": f"$.{name}", **states[name], **then}
                for name, then in zip(names, following, strict=True)
            },
        }
    )


def execute(definition: str, prepare: list[tuple[str, str, dict[str, Any]]]) -> dict[str, Any]:
    """The description of an execution, after some calls have made what it needs."""

    async def main() -> dict[str, Any]:
        async with Cloud(clock=SkippingClock(START), services=[StepFunctions]) as cloud:
            for service, operation, params in prepare:
                await cloud.call(service, operation, params)
            machine = await cloud.call(
                "stepfunctions",
                "CreateStateMachine",
                {"name": "m", "definition": definition, "roleArn": ROLE},
            )
            started = await cloud.call(
                "stepfunctions", "StartExecution", {"stateMachineArn": machine["stateMachineArn"]}
            )
            service = cloud.service("stepfunctions")
            assert isinstance(service, StepFunctions)
            return await service.wait_for_execution(started["executionArn"])

    return run(main())


def test_optimized_integrations() -> None:
    queue = "http://sqs.us-east-1.amazonaws.com/123456789012/q"
    ended = execute(
        chain(
            Send={
                "Resource": "arn:aws:states:::sqs:sendMessage",
                "Parameters": {"QueueUrl": queue, "MessageBody": {"a": 1}},
            },
            Publish={
                "Resource": "arn:aws:states:::sns:publish",
                "Parameters": {"TopicArn": "arn:aws:sns:us-east-1:123456789012:t", "Message": {"a": 1}},
            },
            Put={
                "Resource": "arn:aws:states:::dynamodb:putItem",
                "Parameters": {"TableName": "t", "Item": {"id": {"S": "1"}, "n": {"N": "2"}}},
            },
            Get={
                "Resource": "arn:aws:states:::dynamodb:getItem",
                "Parameters": {"TableName": "t", "Key": {"id": {"S": "1"}}},
            },
            Events={
                "Resource": "arn:aws:states:::events:putEvents",
                "Parameters": {"Entries": [{"Source": "s", "DetailType": "d", "Detail": {"a": 1}}]},
            },
        ),
        [
            ("sqs", "CreateQueue", {"QueueName": "q"}),
            ("sns", "CreateTopic", {"Name": "t"}),
            (
                "dynamodb",
                "CreateTable",
                {
                    "TableName": "t",
                    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                    "BillingMode": "PAY_PER_REQUEST",
                },
            ),
        ],
    )
    assert ended["status"] == "SUCCEEDED", ended
    output = json.loads(ended["output"])
    assert len(output["Send"]["MessageId"]) == 36
    assert output["Publish"]["MessageId"]
    assert output["Get"]["Item"] == {"id": {"S": "1"}, "n": {"N": "2"}}
    assert output["Events"]["FailedEntryCount"] == 0


def test_sdk_errors_can_be_caught_by_name() -> None:
    ended = execute(
        chain(
            Missing={
                "Resource": "arn:aws:states:::aws-sdk:s3:getObject",
                "Parameters": {"Bucket": "bucket", "Key": "nothing"},
                "Catch": [
                    {"ErrorEquals": ["S3.NoSuchKeyException"], "ResultPath": "$.error", "Next": "Absent"}
                ],
            },
            Absent={
                "Resource": "arn:aws:states:::aws-sdk:dynamodb:getItem",
                "Parameters": {"TableName": "t", "Key": {"id": {"S": "1"}}},
            },
        ),
        [("s3", "CreateBucket", {"Bucket": "bucket"})],
    )
    assert (ended["status"], ended["error"]) == ("FAILED", "DynamoDb.ResourceNotFoundException")
    assert "(Service: DynamoDb, Status Code: 400, Request ID: " in ended["cause"]


def test_sdk_outputs() -> None:
    ended = execute(
        chain(
            Put={
                "Resource": "arn:aws:states:::aws-sdk:s3:putObject",
                "Parameters": {"Bucket": "bucket", "Key": "k", "Body": {"ü": 1}},
            },
            Get={
                "Resource": "arn:aws:states:::aws-sdk:s3:getObject",
                "Parameters": {"Bucket": "bucket", "Key": "k"},
            },
            List={
                "Resource": "arn:aws:states:::aws-sdk:s3:listObjectsV2",
                "Parameters": {"Bucket": "bucket"},
            },
            Machines={
                "Resource": "arn:aws:states:::aws-sdk:sfn:listStateMachines",
                "Parameters": {},
            },
        ),
        [("s3", "CreateBucket", {"Bucket": "bucket"})],
    )
    assert ended["status"] == "SUCCEEDED", ended
    output = json.loads(ended["output"])
    assert json.loads(output["Get"]["Body"]) == {"ü": 1}
    assert output["Get"]["LastModified"].endswith("Z")
    assert [item["Key"] for item in output["List"]["Contents"]] == ["k"]
    machine = output["Machines"]["StateMachines"][0]
    assert machine["Name"] == "m"
    assert machine["CreationDate"].startswith("2023-11-14T22:13:20")


def refusal(resource: str, parameters: dict[str, Any]) -> tuple[str, str]:
    """Error and cause of an execution whose one call is refused."""
    definition = chain(Call={"Resource": f"arn:aws:states:::{resource}", "Parameters": parameters})
    ended = execute(definition, [("s3", "CreateBucket", {"Bucket": "bucket"})])
    return ended["error"], ended["cause"]


@pytest.mark.parametrize(
    ("resource", "parameters", "error"),
    [
        (
            "sqs:sendMessage",
            {"QueueUrl": "http://sqs.us-east-1.amazonaws.com/123456789012/none", "MessageBody": "m"},
            "SQS.QueueDoesNotExistException",
        ),
        (
            "sns:publish",
            {"TopicArn": "arn:aws:sns:us-east-1:123456789012:none", "Message": "m"},
            "SNS.NotFoundException",
        ),
        (
            "dynamodb:getItem",
            {"TableName": "none", "Key": {"id": {"S": "1"}}},
            "DynamoDB.ResourceNotFoundException",
        ),
        ("events:putEvents", {"Entries": [{"DetailType": "d", "Detail": {}}]}, "EventBridge.FailedEntry"),
        ("aws-sdk:s3:headObject", {"Bucket": "bucket", "Key": "none"}, "S3.NoSuchKeyException"),
        ("aws-sdk:ssm:getParameter", {"Name": "none"}, "Ssm.ParameterNotFoundException"),
        ("aws-sdk:iam:getRole", {"RoleName": "none"}, "Iam.NoSuchEntityException"),
        ("aws-sdk:sqs:getQueueUrl", {"QueueName": "none"}, "Sqs.QueueDoesNotExistException"),
        ("aws-sdk:ec2:describeInstances", {"InstanceIds": ["i-1"]}, "Ec2.Ec2Exception"),
    ],
)
def test_errors(resource: str, parameters: dict[str, Any], error: str) -> None:
    assert refusal(resource, parameters)[0] == error


def test_a_message_brings_the_token() -> None:
    """What waits for a callback is answered by whoever reads the token from the queue."""
    queue = "http://sqs.us-east-1.amazonaws.com/123456789012/q"
    definition = chain(
        Ask={
            "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
            "Parameters": {"QueueUrl": queue, "MessageBody": {"token.$": "$$.Task.Token"}},
        }
    )

    async def main() -> dict[str, Any]:
        async with Cloud(clock=SkippingClock(START), services=[StepFunctions]) as cloud:
            await cloud.call("sqs", "CreateQueue", {"QueueName": "q"})
            machine = {"name": "m", "definition": definition, "roleArn": ROLE}
            made = await cloud.call("stepfunctions", "CreateStateMachine", machine)
            arn = {"stateMachineArn": made["stateMachineArn"]}
            started = await cloud.call("stepfunctions", "StartExecution", arn)
            messages: list[dict[str, Any]] = []
            while not messages:
                received = await cloud.call("sqs", "ReceiveMessage", {"QueueUrl": queue})
                messages = received.get("Messages", [])
            token = json.loads(messages[0]["Body"])["token"]
            answer = {"taskToken": token, "output": '{"approved": true}'}
            await cloud.call("stepfunctions", "SendTaskSuccess", answer)
            service = cloud.service("stepfunctions")
            assert isinstance(service, StepFunctions)
            return await service.wait_for_execution(started["executionArn"])

    ended = run(main())
    assert json.loads(ended["output"])["Ask"] == {"approved": True}
