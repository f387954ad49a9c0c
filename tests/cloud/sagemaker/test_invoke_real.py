"""The data plane with real containers, through the gateway: what boto3 gets."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from harness.clock import SkippingClock, run
from harness.cloud.cloud import Cloud
from harness.containers.process import ProcessRuntime
from harness.containers.runtime import Image, ImageSource
from tests.cloud.sagemaker.fakes import SERVING, variant
from tests.cloud.sagemaker.test_wire import QUICKLY

pytestmark = pytest.mark.slow
SERVER = """
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = os.environ.get("NAME", "")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/csv")
        if body == b"stream":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in (b"one", b"two"):
                self.wfile.write(b"%x\\r\\n%b\\r\\n" % (len(part), part))
                time.sleep(0.5)
            self.wfile.write(b"0\\r\\n\\r\\n")
            return
        answer = body + NAME.encode()
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
ThreadingHTTPServer.request_queue_size = 64
ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()
"""
CALLERS = 50
LABEL = "com.amazonaws.sagemaker.capabilities.accept-bind-to-port"


class Clients:
    """boto3 clients of a cloud with real containers, by service."""

    def __init__(self, url: str) -> None:
        options: dict[str, Any] = {
            "endpoint_url": url,
            "region_name": "us-east-1",
            "aws_access_key_id": "user",
            "aws_secret_access_key": "secret",
            "config": Config(retries={"max_attempts": 0}, max_pool_connections=CALLERS),
        }
        self._made = {
            name: boto3.client(name, **options)
            for name in ("sagemaker", "sagemaker-runtime", "s3", "sns", "sqs", "iam")
        }

    def __getitem__(self, service: str) -> Any:
        return self._made[service]

    def close(self) -> None:
        for client in self._made.values():
            client.close()


def in_cloud(tmp_path: Path, scenario: Callable[[Clients], None]) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "server.py").write_text(SERVER)
    (context / "Dockerfile").write_text(
        f"FROM python:3.11-slim\nLABEL {LABEL}=true\nCOPY server.py /server.py\n"
        'ENTRYPOINT ["python", "/server.py"]\n'
    )

    async def main() -> None:
        runtime = ProcessRuntime()
        try:
            image: Image = await runtime.build(ImageSource("serving", context))
            async with Cloud(clock=SkippingClock(drift=True), containers=runtime) as cloud:
                cloud.images[SERVING] = image
                clients = Clients(cloud.endpoint_url)
                try:
                    await asyncio.to_thread(scenario, clients)
                finally:
                    clients.close()
                assert cloud.failures == []
        finally:
            await runtime.close()

    run(main())


def deploy(at: Clients, name: str, containers: list[dict[str, Any]], **config: Any) -> None:
    sagemaker = at["sagemaker"]
    role = at["iam"].create_role(RoleName=f"role-{name}", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    model = {"PrimaryContainer": containers[0]} if len(containers) == 1 else {"Containers": containers}
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=role, **model)
    variants = [variant() | {"ModelName": name}]
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants, **config)
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    waiter = sagemaker.get_waiter("endpoint_in_service")
    waiter.wait(EndpointName=name, WaiterConfig=QUICKLY)


TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "sagemaker.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)


def until(found: Callable[[], Any]) -> Any:
    """What a service has as soon as it has it."""
    for _ in range(200):
        if value := found():
            return value
        threading.Event().wait(0.05)
    raise AssertionError("it never came")


def test_a_pipeline_captured_and_streamed(tmp_path: Path) -> None:
    def scenario(at: Clients) -> None:
        s3, runtime = at["s3"], at["sagemaker-runtime"]
        s3.create_bucket(Bucket="data")
        containers = [{"Image": SERVING, "Environment": {"NAME": name}} for name in ("-one", "-two")]
        capture = {
            "EnableCapture": True,
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": "s3://data/captured",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
        }
        deploy(at, "pipeline", containers, DataCaptureConfig=capture)
        answer = runtime.invoke_endpoint(EndpointName="pipeline", Body=b"x", ContentType="text/csv")
        assert answer["Body"].read() == b"x-one-two"
        listed = until(lambda: s3.list_objects_v2(Bucket="data", Prefix="captured/pipeline/").get("Contents"))
        line = s3.get_object(Bucket="data", Key=listed[0]["Key"])["Body"].read()
        sides = json.loads(line)["captureData"]
        assert (sides["endpointInput"]["data"], sides["endpointOutput"]["data"]) == ("x", "x-one-two")

        deploy(at, "single", containers[:1])
        streamed = runtime.invoke_endpoint_with_response_stream(EndpointName="single", Body=b"stream")
        arrived = [(event["PayloadPart"]["Bytes"], time.monotonic()) for event in streamed["Body"]]
        streamed["Body"].close()
        assert [part for part, _ in arrived] == [b"one", b"two"]
        assert arrived[1][1] - arrived[0][1] > 0.3  # each as it came

    in_cloud(tmp_path, scenario)


def test_fifty_callers_over_http_get_their_own_answers(tmp_path: Path) -> None:
    def scenario(at: Clients) -> None:
        deploy(at, "single", [{"Image": SERVING, "Environment": {"NAME": "-answer"}}])
        together = threading.Barrier(CALLERS, timeout=60)

        def caller(number: int) -> list[bytes]:
            together.wait()
            bodies = (f"{number}-{turn}".encode() for turn in range(10))
            runtime = at["sagemaker-runtime"]
            return [runtime.invoke_endpoint(EndpointName="single", Body=x)["Body"].read() for x in bodies]

        with ThreadPoolExecutor(CALLERS) as callers:
            answers = list(callers.map(caller, range(CALLERS)))
        assert answers == [[f"{n}-{turn}-answer".encode() for turn in range(10)] for n in range(CALLERS)]

    in_cloud(tmp_path, scenario)


def test_an_asynchronous_endpoint(tmp_path: Path) -> None:
    def scenario(at: Clients) -> None:
        s3, sns, sqs = at["s3"], at["sns"], at["sqs"]
        s3.create_bucket(Bucket="data")
        s3.put_object(Bucket="data", Key="in", Body=b"x")
        topic = sns.create_topic(Name="good")["TopicArn"]
        queue = sqs.create_queue(QueueName="notices")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        output = {"S3OutputPath": "s3://data/out", "NotificationConfig": {"SuccessTopic": topic}}
        config = {"AsyncInferenceConfig": {"OutputConfig": output}}
        deploy(at, "later", [{"Image": SERVING, "Environment": {"NAME": "-one"}}], **config)
        accepted = at["sagemaker-runtime"].invoke_endpoint_async(
            EndpointName="later", InputLocation="s3://data/in", ContentType="text/csv"
        )
        assert accepted["ResponseMetadata"]["HTTPStatusCode"] == 202
        [message] = until(lambda: sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages"))
        notice = json.loads(json.loads(message["Body"])["Message"])
        assert (notice["invocationStatus"], notice["inferenceId"]) == ("Completed", accepted["InferenceId"])
        key = accepted["OutputLocation"].removeprefix("s3://data/")
        assert s3.get_object(Bucket="data", Key=key)["Body"].read() == b"x-one"

    in_cloud(tmp_path, scenario)
