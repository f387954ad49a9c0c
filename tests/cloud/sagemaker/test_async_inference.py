"""InvokeEndpointAsync: the queue, the files in S3, the notices."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any

from harness.clock import RealClock
from tests.cloud.sagemaker.fakes import SERVING, FakeCloud, image, serves, with_cloud
from tests.cloud.sagemaker.test_invoke import Answer, deploy, program

TOPICS = {
    "SuccessTopic": "arn:aws:sns:us-east-1:123456789012:good",
    "ErrorTopic": "arn:aws:sns:us-east-1:123456789012:bad",
}
MODEL = {"PrimaryContainer": {"Image": SERVING}}


def configuration(concurrency: int | None = None, **notices: Any) -> dict[str, Any]:
    config: dict[str, Any] = {
        "OutputConfig": {
            "S3OutputPath": "s3://data/out",
            "S3FailurePath": "s3://data/failed/",
            "NotificationConfig": {**TOPICS, **notices},
        }
    }
    if concurrency is not None:
        config["ClientConfig"] = {"MaxConcurrentInvocationsPerInstance": concurrency}
    return {"AsyncInferenceConfig": config}


def recorded(cloud: FakeCloud) -> list[tuple[str, dict[str, Any]]]:
    """What is published from now on: (topic, message)."""
    published: list[tuple[str, dict[str, Any]]] = []

    async def call(service: str, operation: str, params: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        assert (service, operation) == ("sns", "Publish")
        published.append((params["TopicArn"].rpartition(":")[2], json.loads(params["Message"])))
        return {}

    cloud.call = call  # type: ignore[method-assign]
    return published


async def submit(cloud: FakeCloud, **params: Any) -> dict[str, Any]:
    params = {"EndpointName": "digits", "InputLocation": "s3://data/in", **params}
    return await cloud.do("invoke_endpoint_async", **params)


def key(location: str) -> str:
    return location.removeprefix("s3://data/")


def test_the_answer_goes_to_s3_and_a_notice_to_the_topic() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(**{"in": b"abc"})
        await deploy(cloud, MODEL, **configuration(IncludeInferenceResponseIn=["SUCCESS_NOTIFICATION_TOPIC"]))
        published = recorded(cloud)
        accepted = await submit(cloud, ContentType="text/csv", InferenceId="mine")
        assert accepted["InferenceId"] == "mine"
        assert accepted["OutputLocation"].startswith("s3://data/out/")
        assert accepted["OutputLocation"].endswith(".out")
        assert key(accepted["OutputLocation"]) not in cloud.storage.buckets["data"]  # not yet
        await cloud.settle()
        assert cloud.storage.get("data", key(accepted["OutputLocation"])) == b"ABC"
        assert key(accepted["FailureLocation"]) not in cloud.storage.buckets["data"]
        [(topic, message)] = published
        assert topic == "good"
        for moment in ("eventTime", "receivedTime"):
            assert message.pop(moment).startswith("2025-06-15T15:06:4")
        assert message == {
            "awsRegion": "us-east-1",
            "invocationStatus": "Completed",
            "requestParameters": {
                "contentType": "text/csv",
                "endpointName": "digits",
                "inputLocation": "s3://data/in",
            },
            "responseParameters": {
                "contentType": "text/plain",
                "outputLocation": accepted["OutputLocation"],
            },
            "responseBody": {"content": base64.b64encode(b"ABC").decode(), "encoding": "BASE64"},
            "inferenceId": "mine",
            "eventVersion": "1.0",
            "eventSource": "aws:sagemaker",
            "eventName": "InferenceResult",
        }

    with_cloud(scenario)


def test_failures_go_to_the_failure_path() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(serves(lambda body: (500, b"broken")))
        cloud.put(**{"in": b"abc"})
        await deploy(cloud, MODEL, **configuration())
        published = recorded(cloud)
        broken = await submit(cloud)
        missing = await submit(cloud, InputLocation="s3://data/nothing")
        await cloud.settle()
        text = cloud.storage.get("data", key(broken["FailureLocation"])).decode()
        assert text.startswith('Received server error (500) from primary with message "broken".')
        text = cloud.storage.get("data", key(missing["FailureLocation"])).decode()
        assert text.startswith("Failed to download the input s3://data/nothing: ")
        assert [topic for topic, _ in published] == ["bad", "bad"]
        assert {message["invocationStatus"] for _, message in published} == {"Failed"}
        assert not cloud.storage.list("data", "out/")

    with_cloud(scenario)


def test_an_instance_gets_no_more_than_it_may_have_at_a_time() -> None:
    running = peak = 0

    async def answer(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0.01)
        running -= 1
        return 200, {}, body

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(program(answer))
        cloud.put(**{"in": b"abc"})
        await deploy(cloud, MODEL, **configuration(concurrency=2))
        published = recorded(cloud)
        for _ in range(7):
            await submit(cloud)
        await cloud.settle()
        assert len(cloud.storage.list("data", "out/")) == 7
        assert peak == 2
        assert [topic for topic, _ in published] == ["good"] * 7

    with_cloud(scenario)


def test_time_limits_of_a_request() -> None:
    async def slow(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        await asyncio.sleep(30)
        return 200, {}, body

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(program(slow))
        cloud.put(**{"in": b"abc"})
        await deploy(cloud, MODEL, **configuration(concurrency=1))
        published = recorded(cloud)
        await submit(cloud, InvocationTimeoutSeconds=1)
        await cloud.settle()
        [(_, message)] = published
        assert "Your invocation timed out" in message["failureReason"]

    with_cloud(scenario)


def test_a_request_that_waits_too_long_expires() -> None:
    async def slow(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        await asyncio.sleep(0.3)
        return 200, {}, body

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(program(slow))
        cloud.put(**{"in": b"abc"})
        await deploy(cloud, MODEL, **configuration(concurrency=1))
        published = recorded(cloud)
        await submit(cloud)
        await submit(cloud, RequestTTLSeconds=60)
        await cloud.settle()
        assert [topic for topic, _ in published] == ["bad", "good"]
        assert published[0][1]["failureReason"] == "The request expired before it was processed."

    with_cloud(scenario, clock=RealClock(scale=600))  # a minute is a tenth of a second


def test_what_an_asynchronous_endpoint_refuses() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud, MODEL, **configuration())
        error = await cloud.error("invoke_endpoint", EndpointName="digits", Body=b"")
        assert (error.code, "InvokeEndpointAsync" in error.message) == ("ValidationError", True)
        for params in ({}, {"InputLocation": "s3://data/in", "Body": b"x"}, {"InputLocation": "nowhere"}):
            error = await cloud.error("invoke_endpoint_async", EndpointName="digits", **params)
            assert error.code == "ValidationError"
        error = await cloud.error(
            "invoke_endpoint_async", EndpointName="digits", InputLocation="s3://data/in", Filename="x"
        )
        assert error.message == "harness does not support Filename yet."

    with_cloud(scenario)
