"""Lambda as boto3 sees it, through the gateway of a real cloud; functions that call back into it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from harness import clock
from harness.cloud.cloud import Cloud
from harness.cloud.events import Event
from tests.cloud.functions.support import ROLE, archive


def play(story: Callable[[Any, Any], None]) -> list[Event]:
    """Run a synchronous story with clients of Lambda and S3; returns what happened in the cloud."""
    events: list[Event] = []

    async def main() -> None:
        async with Cloud() as cloud:
            cloud.events.subscribe(events.append)
            options: dict[str, Any] = {
                "endpoint_url": cloud.endpoint_url,
                "region_name": cloud.region,
                "aws_access_key_id": "user",
                "aws_secret_access_key": "x",
                "config": Config(retries={"total_max_attempts": 1}),
            }
            clients = [boto3.client(name, **options) for name in ("lambda", "s3")]
            try:
                await asyncio.to_thread(story, *clients)
            finally:
                for client in clients:
                    client.close()

    clock.run(main())
    return events


def create(client: Any, code: str, name: str = "f", **params: Any) -> Any:
    return client.create_function(
        **{
            "FunctionName": name,
            "Runtime": "python3.11",
            "Role": ROLE,
            "Handler": "handler.handler",
            "Code": {"ZipFile": archive(code)},
            "Timeout": 30,
            **params,
        }
    )


def test_create_wait_invoke() -> None:
    def story(functions: Any, s3: Any) -> None:
        create(functions, "def handler(event, context):\n print('hello')\n return {'got': event}")
        functions.get_waiter("function_active_v2").wait(FunctionName="f")
        answer = functions.invoke(FunctionName="f", Payload=json.dumps({"a": 1}), LogType="Tail")
        assert json.load(answer["Payload"]) == {"got": {"a": 1}}
        assert answer["StatusCode"] == 200
        assert answer["ExecutedVersion"] == "$LATEST"
        assert "FunctionError" not in answer
        log = base64.b64decode(answer["LogResult"]).decode()
        request_id = answer["ResponseMetadata"]["RequestId"]
        assert f"START RequestId: {request_id} Version: $LATEST\nhello\n" in log
        functions.update_function_code(FunctionName="f", ZipFile=archive("def handler(event, context): 1/0"))
        functions.get_waiter("function_updated_v2").wait(FunctionName="f")
        answer = functions.invoke(FunctionName="f")
        assert answer["FunctionError"] == "Unhandled"
        assert json.load(answer["Payload"])["errorType"] == "ZeroDivisionError"
        assert functions.invoke(FunctionName="f", InvocationType="DryRun")["StatusCode"] == 204
        assert functions.invoke(FunctionName="f", InvocationType="Event")["StatusCode"] == 202
        pages = functions.get_paginator("list_functions").paginate()
        assert [function["FunctionName"] for page in pages for function in page["Functions"]] == ["f"]

    play(story)


def test_errors_are_boto3s_own_exceptions() -> None:
    def story(functions: Any, s3: Any) -> None:
        with pytest.raises(functions.exceptions.ResourceNotFoundException) as missing:
            functions.invoke(FunctionName="nobody")
        assert missing.value.response["Error"]["Message"] == (
            "Function not found: arn:aws:lambda:us-east-1:123456789012:function:nobody"
        )
        create(functions, "def handler(event, context): pass")
        with pytest.raises(functions.exceptions.ResourceConflictException):
            create(functions, "def handler(event, context): pass")
        with pytest.raises(functions.exceptions.InvalidRequestContentException):
            functions.invoke(FunctionName="f", Payload=b"{")
        functions.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
        with pytest.raises(functions.exceptions.TooManyRequestsException) as throttled:
            functions.invoke(FunctionName="f")
        assert throttled.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
        assert throttled.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
        with pytest.raises(ClientError, match="CreateFunctionUrlConfig"):
            functions.create_function_url_config(FunctionName="f", AuthType="NONE")

    play(story)


def test_a_function_calls_the_same_cloud() -> None:
    def story(functions: Any, s3: Any) -> None:
        s3.create_bucket(Bucket="bucket")
        s3.put_object(Bucket="bucket", Key="code.zip", Body=archive(CALLER))
        create(functions, "", Code={"S3Bucket": "bucket", "S3Key": "code.zip"})
        answer = functions.invoke(FunctionName="f")
        assert "FunctionError" not in answer, answer["Payload"].read()
        assert s3.get_object(Bucket="bucket", Key="from/function")["Body"].read() == b"hello"

    events = play(story)
    callers = {
        event.subject: event.data["caller"]
        for event in events
        if event.kind == "call" and event.subject in ("s3.PutObject", "lambda.Invoke")
    }
    assert callers["s3.PutObject"]["kind"] == "function"
    assert callers["s3.PutObject"]["name"] == "f"


CALLER = """
import boto3
def handler(event, context):
    boto3.client("s3").put_object(Bucket="bucket", Key="from/function", Body=b"hello")
"""
