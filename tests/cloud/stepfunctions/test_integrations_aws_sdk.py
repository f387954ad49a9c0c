"""Any operation of any service, spelt as version 2 of the AWS SDK for Java does."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from harness.cloud.models import load_model, service_names
from harness.cloud.stepfunctions.integrations import Refused
from harness.cloud.stepfunctions.integrations.aws_sdk import find_operation, find_service

from .fakes import FakeCloud, refuse
from .integration import check, failure, perform

SDK = "arn:aws:states:::aws-sdk"
SQS = "AWS.SimpleQueueService"


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


@pytest.mark.parametrize(
    ("call", "parameters", "code", "error"),
    [
        ("dynamodb:putItem", {"TableName": "t", "Item": {}}, "ConditionalCheckFailedException", None),
        ("sfn:startExecution", {"StateMachineArn": "m"}, "ExecutionAlreadyExists", "Sfn.{}Exception"),
        ("s3:createBucket", {"Bucket": "b"}, "BucketAlreadyExists", "S3.BucketAlreadyExistsException"),
        ("rds:describeDBInstances", {}, "DBInstanceNotFound", "Rds.DbInstanceNotFoundException"),
        ("ec2:describeRegions", {}, "UnauthorizedOperation", "Ec2.Ec2Exception"),
        ("cloudwatchlogs:describeLogGroups", {}, "ThrottlingException", "CloudWatchLogs.{}"),
        ("dynamodb:listTables", {}, "SdkClientException", "DynamoDb.SdkClientException"),
        ("sqs:getQueueUrl", {"QueueName": "q"}, f"{SQS}.NonExistentQueue", "Sqs.QueueDoesNotExistException"),
    ],
)
def test_error_names(call: str, parameters: dict[str, object], code: str, error: str | None) -> None:
    cloud = FakeCloud()
    service, action = call.split(":")
    name = find_service(service)
    assert name is not None
    cloud.handlers[f"{name}.{find_operation(name, action)}"] = refuse(code, "No.")
    expected = f"DynamoDb.{code}" if error is None else error.format(code)
    assert failure(cloud, f"{SDK}:{call}", parameters).error == expected


def test_s3_has_a_second_request_id() -> None:
    cloud = FakeCloud()
    cloud.handlers["s3.GetObject"] = refuse("NoSuchKey", "The specified key does not exist.", 404)
    cause = failure(cloud, f"{SDK}:s3:getObject", {"Bucket": "b", "Key": "k"}).cause
    assert cause.startswith("The specified key does not exist. (Service: S3, Status Code: 404, Request ID: ")
    assert ", Extended Request ID: " in cause


@pytest.mark.parametrize(
    ("action", "parameters", "error"),
    [
        ("headObject", {"Bucket": "b", "Key": "k"}, "S3.NoSuchKeyException"),
        ("headBucket", {"Bucket": "b"}, "S3.NoSuchBucketException"),
    ],
)
def test_a_head_request_that_finds_nothing(action: str, parameters: dict[str, str], error: str) -> None:
    cloud = FakeCloud()
    operation = f"s3.{action[0].upper()}{action[1:]}"
    cloud.handlers[operation] = refuse("404", "Not Found", 404)
    found = failure(cloud, f"{SDK}:s3:{action}", parameters)
    assert found.error == error
    assert found.cause.startswith("null (Service: S3, Status Code: 404, Request ID: ")
    cloud.handlers[operation] = refuse("403", "Forbidden", 403)
    assert failure(cloud, f"{SDK}:s3:{action}", parameters).error == "S3.S3Exception"


def test_renamed_members() -> None:
    cloud = FakeCloud()
    cloud.handlers["dynamodb.GetItem"] = lambda params: {
        "Item": {"a": {"NULL": True}, "b": {"BOOL": False}, "c": {"SS": ["x"]}}
    }
    result, _ = perform(
        cloud,
        f"{SDK}:dynamodb:getItem",
        {"TableName": "t", "Key": {"id": {"Nul": True}, "ok": {"Bool": True}}},
    )
    assert cloud.calls[0][1]["Key"] == {"id": {"NULL": True}, "ok": {"BOOL": True}}
    assert result == {"Item": {"a": {"Nul": True}, "b": {"Bool": False}, "c": {"Ss": ["x"]}}}
    parameters = {"AdvancedEventSelectors": [{"FieldSelectors": [{"Field": "f", "EqualsValue": ["v"]}]}]}
    cloud.handlers["cloudtrail.PutEventSelectors"] = lambda params: {}
    perform(cloud, f"{SDK}:cloudtrail:putEventSelectors", {"TrailName": "t", **parameters})
    selector = cloud.calls[1][1]["AdvancedEventSelectors"][0]["FieldSelectors"][0]
    assert selector == {"Field": "f", "Equals": ["v"]}


def test_timestamps_in_a_request() -> None:
    cloud = FakeCloud()
    cloud.handlers["cloudwatch.GetMetricStatistics"] = lambda params: {"Datapoints": []}
    arn = f"{SDK}:cloudwatch:getMetricStatistics"
    arguments = {
        "Namespace": "n",
        "MetricName": "m",
        "StartTime": "2024-05-01T00:00:00Z",
        "EndTime": "2024-05-01T01:00:00.250Z",
        "Period": 60,
    }
    perform(cloud, arn, arguments)
    assert cloud.calls[0][1]["StartTime"] == "2024-05-01T00:00:00Z"
    error = failure(cloud, arn, {**arguments, "EndTime": "yesterday"})
    assert "The value for the field 'EndTime' must be a valid RFC3339 timestamp" in error.cause


def test_a_callback() -> None:
    cloud = FakeCloud()
    assert check(cloud, f"{SDK}:ssm:sendCommand.waitForTaskToken", {"DocumentName": "d"}) == []


def test_fields() -> None:
    cloud = FakeCloud()
    assert check(cloud, f"{SDK}:ec2:describeRegions", {"Filters": [{"Name": "n", "Values": ["v"]}]}) == []
    assert check(cloud, f"{SDK}:ec2:describeRegions", {"Filter": [], "Filters": [{"name": "n"}]}) == [
        'The field "Filter" is not supported by Step Functions',
        'The field "name" is not supported by Step Functions',
    ]
    assert check(cloud, f"{SDK}:s3:getObject", {"Bucket.$": "$.b"}) == [
        "The field 'Key' is required but was missing"
    ]


def test_every_service_has_the_name_of_the_sdk() -> None:
    """No service but those AWS leaves out is lost on the way from its name in Step Functions."""
    named = {find_service(service.replace("-", "")) for service in service_names()} - {None}
    spelt_otherwise = {
        "applicationdiscovery": "discovery",
        "cloudwatchlogs": "logs",
        "cognitoidentityprovider": "cognito-idp",
        "databasemigration": "dms",
        "elasticloadbalancingv2": "elbv2",
        "eventbridge": "events",
        "iotjobsdataplane": "iot-jobs-data",
        "lexruntimev2": "lexv2-runtime",
        "sfn": "stepfunctions",
    }
    for name, service in spelt_otherwise.items():
        assert find_service(name) == service
        assert service not in named
    assert len(named) > 350


@pytest.mark.parametrize(
    "resource",
    [
        "s3:ListBuckets",
        "s3:listPuckets",
        "s4:listBuckets",
        "logs:putLogEvents",
        "stepfunctions:startExecution",
        "s3:listBuckets.sync",
        # AWS names these in its developer guide as unsupported
        "s3:selectObjectContent",
        "lambda:invokeWithResponseStream",
        "lambda:invokeAsync",
        "sts:assumeRole",
        "bedrockruntime:converseStream",
        "sagemakerruntime:invokeEndpointWithResponseStream",
        "kinesis:subscribeToShard",
        "efs:createTags",
        # deprecated, or not among the services it lists
        "macie:listMemberAccounts",
        "mobile:listProjects",
        "apigatewaymanagementapi:postToConnection",
    ],
)
def test_what_aws_does_not_recognize(resource: str) -> None:
    with pytest.raises(Refused, match=r"^The resource provided .* is not recognized\.") as caught:
        check(FakeCloud(), f"{SDK}:{resource}")
    assert caught.value.code == "SCHEMA_VALIDATION_FAILED"


@pytest.mark.parametrize(
    ("resource", "why"),
    [
        ("translate:translateText", "there is no local translate"),
        ("dynamodb:createGlobalTable", "the local dynamodb does not have the operation CreateGlobalTable"),
    ],
)
def test_what_the_local_cloud_does_not_have(resource: str, why: str) -> None:
    with pytest.raises(Refused) as caught:
        check(FakeCloud(), f"{SDK}:{resource}")
    assert caught.value.code == "UNSUPPORTED_FEATURE"
    assert str(caught.value) == (
        f"The resource {SDK}:{resource} exists on AWS but is not supported locally: {why}. "
        "Stub this state in the scenario, or do without the call."
    )


@pytest.mark.parametrize(
    "resource",
    [
        "dynamodb:query",
        "ec2:describeInstances",
        "elasticloadbalancingv2:describeLoadBalancers",
        "iam:listRoles",
        "neptune:describeDBClusters",
        "rds:describeDBInstances",
        "s3:createMultipartUpload",
        "polly:describeVoices",
        "secretsmanager:listSecrets",
        "sns:checkIfPhoneNumberIsOptedOut",
        "sts:getCallerIdentity",
        "timestreamquery:query",
        "xray:putTraceSegments",
    ],
)
def test_what_moto_has(resource: str) -> None:
    cloud = FakeCloud()
    assert all("required" in problem for problem in check(cloud, f"{SDK}:{resource}", {}))


def test_streams_of_events_are_told_by_the_models() -> None:
    streaming = [
        operation
        for operation in load_model("logs").operations
        if find_operation("logs", operation[0].lower() + operation[1:]) is None
    ]
    assert sorted(streaming) == ["GetLogObject", "StartLiveTail"]
