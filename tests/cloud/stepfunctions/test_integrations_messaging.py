"""Optimized integrations that make one call: SQS, SNS, EventBridge, DynamoDB."""

from __future__ import annotations

import json

import pytest

from .fakes import EXECUTION, MACHINE, FakeCloud, refuse
from .integration import attempt, check, failure, perform


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


def test_a_service_that_was_not_reached() -> None:
    cloud = FakeCloud()
    cloud.handlers["sqs.SendMessage"] = refuse("SdkClientException", "Unable to execute HTTP request")
    error = failure(cloud, "arn:aws:states:::sqs:sendMessage", {"QueueUrl": "u", "MessageBody": "m"})
    assert (error.error, error.cause) == ("SQS.SdkClientException", "Unable to execute HTTP request")


def test_the_history_shows_what_the_state_gave() -> None:
    cloud = FakeCloud()
    cloud.handlers["events.PutEvents"] = lambda params: {"FailedEntryCount": 0, "Entries": []}
    arguments = {"Entries": [{"Source": "s", "Detail": {"a": 1}}]}
    assert attempt(cloud, "arn:aws:states:::events:putEvents", arguments)[1].parameters == arguments


@pytest.mark.parametrize(
    ("resource", "parameters", "problems"),
    [
        (
            "sqs:sendMessage",
            {"QueueUrl": "q", "MessageBody": "m", "MessageSystemAttributes": {}},
            ['The field "MessageSystemAttributes" is not supported by Step Functions'],
        ),
        (
            "sqs:sendMessage",
            {"QueueUrl": "q", "MessageBody": "m", "MessageAttributes": {"a": {"dataType": "String"}}},
            ['The field "dataType" is not supported by Step Functions'],
        ),
        ("sns:publish", {"TopicArn": "t"}, ["The field 'Message' is required but was missing"]),
        ("sns:publish", {"PhoneNumber.$": "$.n", "Message.$": "$.m", "MessageGroupId": "g"}, []),
        (
            "events:putEvents",
            {"Entries": [{"Source": "s", "detail-type": "d"}], "EndpointId": "e"},
            [
                'The field "EndpointId" is not supported by Step Functions',
                'The field "detail-type" is not supported by Step Functions',
            ],
        ),
        ("events:putEvents", {"Entries.$": "$.entries"}, []),
        (
            "dynamodb:updateItem",
            {"TableName": "t", "Key": {"id": {"S": "1", "T": "2"}}},
            ['The field "T" is not supported by Step Functions'],
        ),
        (
            "dynamodb:putItem",
            {"Item": {"a": {"M": {"b": {"L": [{"S.$": "$.s"}, {"X": "1"}]}}}}},
            [
                'The field "X" is not supported by Step Functions',
                "The field 'TableName' is required but was missing",
            ],
        ),
    ],
)
def test_fields(resource: str, parameters: dict[str, object], problems: list[str]) -> None:
    assert check(FakeCloud(), f"arn:aws:states:::{resource}", parameters) == problems
