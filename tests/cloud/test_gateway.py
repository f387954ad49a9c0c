"""HTTP as clients other than boto3 speak it."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from harness.cloud import Cloud, Request, Service
from harness.cloud.addressing import Address, is_local, locate
from harness.cloud.messages import HttpRequest

from .support import Machines, blocking, in_cloud, send

DESCRIBE = {"X-Amz-Target": "AWSStepFunctions.DescribeStateMachine"}
ASKED = json.dumps({"stateMachineArn": "arn:x"})


def scope(service: str, region: str = "eu-west-1") -> str:
    return f"AWS4-HMAC-SHA256 Credential=AKID/20260101/{region}/{service}/aws4_request, SignedHeaders=host"


def ask(
    method: str = "POST", path: str = "/", query: str = "", body: bytes = b"", **headers: str
) -> HttpRequest:
    return HttpRequest(method, path, query, {n.replace("_", "-"): v for n, v in headers.items()}, body)


@pytest.mark.parametrize(
    ("request_", "service"),
    [
        (ask(authorization=scope("states")), "stepfunctions"),
        (ask(authorization=scope("lambda")), "lambda"),
        (ask(authorization=scope("sagemaker"), x_amz_target="SageMaker.ListModels"), "sagemaker"),
        (ask(path="/endpoints/e/invocations", authorization=scope("sagemaker")), "sagemaker-runtime"),
        (ask(path="/endpoints/e/async-invocations", authorization=scope("sagemaker")), "sagemaker-runtime"),
        (
            ask(path="/endpoints/e/invocations-response-stream", authorization=scope("sagemaker")),
            "sagemaker-runtime",
        ),
        (ask(path="/BatchPutMetrics", authorization=scope("sagemaker")), "sagemaker-metrics"),
        (ask(path="/FeatureGroup/x", authorization=scope("sagemaker")), "sagemaker-featurestore-runtime"),
        (ask(authorization="AWS4-ECDSA-P256-SHA256 Credential=AKID/20260101/s3/aws4_request, x"), "s3"),
        (ask("GET", "/b/k", authorization="AWS AKID:signature="), "s3"),
        (ask("GET", "/b/k", "X-Amz-Credential=AKID%2F20260101%2Feu-west-1%2Fs3%2Faws4_request&x=1"), "s3"),
        (ask("GET", "/b/k", "AWSAccessKeyId=AKID&Signature=x"), "s3"),
        (ask(x_amz_target="AWSStepFunctions.ListActivities"), "stepfunctions"),
        (ask(x_amz_target="DynamoDB_20120810.ListTables"), "dynamodb"),
        (ask(x_amz_target="Logs_20140328.PutLogEvents"), "logs"),
        (
            ask(body=b"Action=GetUser&Version=2010-05-08", content_type="application/x-www-form-urlencoded"),
            "iam",
        ),
        (ask("GET", query="Action=GetCallerIdentity&Version=2011-06-15"), "sts"),
        (ask(path="/2015-03-31/functions/f/invocations"), "lambda"),
        (ask("GET", "/2018-10-31/layers"), "lambda"),
        (ask(path="/endpoints/e/invocations"), "sagemaker-runtime"),
        (ask("GET", "/bucket/key"), "s3"),
        (ask("GET", "/"), "s3"),
        (ask(host="states.us-east-1.amazonaws.com"), "stepfunctions"),
        (ask(host="sync-states.us-east-1.amazonaws.com"), "stepfunctions"),
        (ask(host="states.localhost:4566"), "stepfunctions"),
        (
            ask(host="runtime.sagemaker.eu-west-1.amazonaws.com", path="/endpoints/e/invocations"),
            "sagemaker-runtime",
        ),
        (ask(host="api.sagemaker.eu-west-1.amazonaws.com"), "sagemaker"),
        (ask(host="sqs.eu-central-1.amazonaws.com"), "sqs"),
        (ask("GET", host="s3.eu-central-1.amazonaws.com"), "s3"),
    ],
)
def test_the_service_of_a_request(request_: HttpRequest, service: str) -> None:
    assert locate(request_).service == service


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("127.0.0.1:4566", None),
        ("localhost:4566", None),
        ("s3.localhost:4566", None),
        ("s3.us-east-1.amazonaws.com", None),
        ("s3-us-west-2.amazonaws.com", None),
        ("my.bucket.s3.localhost:4566", "my.bucket"),
        ("bucket.localhost:4566", "bucket"),
        ("bucket.s3.amazonaws.com", "bucket"),
        ("bucket.s3.eu-west-1.amazonaws.com", "bucket"),
        ("bucket.s3-eu-west-1.amazonaws.com", "bucket"),
        ("bucket.s3.dualstack.eu-west-1.amazonaws.com", "bucket"),
    ],
)
def test_the_bucket_a_host_names(host: str, bucket: str | None) -> None:
    address = locate(ask("GET", "/key", host=host, authorization=scope("s3")))
    assert address == Address("s3", "eu-west-1", "AKID", bucket)


@pytest.mark.parametrize(
    "host", ["", "localhost", "127.0.0.1", "127.1.2.3", "[::1]", "b.s3.localhost", "sync-localhost"]
)
def test_hosts_that_may_ask(host: str) -> None:
    assert is_local(host)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "8.8.8.8", "amazonaws.com.evil"],
)
def test_a_web_page_gets_nothing(host: str) -> None:
    assert not is_local(host)

    async def body(cloud: Cloud) -> None:
        for headers in ({"Host": host}, {"Origin": f"https://{host}"}, {"Origin": "null"}):
            for path in ("/", "/_harness/health"):
                answer = await blocking(send, cloud, "POST", path, body=ASKED, headers=DESCRIBE | headers)
                assert (answer[0], json.loads(answer[2])["__type"]) == (403, "AccessDeniedException")
        local = DESCRIBE | {"Origin": "http://localhost:3000"}
        assert (await blocking(send, cloud, "POST", "/", body=ASKED, headers=local))[0] == 200

    in_cloud(body, Machines)


@pytest.mark.parametrize("host", ["172.18.0.1", "10.0.0.1", "[fd00::1]", "host.docker.internal"])
def test_a_container_may_ask_at_the_address_it_is_given_and_a_web_page_there_may_not(host: str) -> None:
    async def body(cloud: Cloud) -> None:
        asked = await blocking(send, cloud, "POST", "/", body=ASKED, headers=DESCRIBE | {"Host": f"{host}:1"})
        assert asked[0] == 200
        page = DESCRIBE | {"Origin": f"http://{host}"}
        assert (await blocking(send, cloud, "POST", "/", body=ASKED, headers=page))[0] == 403

    in_cloud(body, Machines)


def test_unsigned_requests_and_bodies_in_chunks() -> None:
    async def body(cloud: Cloud) -> None:
        assert (await blocking(send, cloud, "POST", "/", body=ASKED, headers=DESCRIBE))[0] == 200
        pieces = iter([ASKED[:5].encode(), ASKED[5:].encode()])
        chunked = await blocking(
            send,
            cloud,
            "POST",
            "/",
            body=pieces,
            headers=DESCRIBE | {"Transfer-Encoding": "chunked"},
            encode_chunked=True,
        )
        assert (chunked[0], json.loads(chunked[2])["stateMachineArn"]) == (200, "arn:x")

    in_cloud(body, Machines)


def test_a_client_that_expects_100_continue_gets_it() -> None:
    async def body(cloud: Cloud) -> None:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", int(cloud.endpoint_url.rpartition(":")[2])
        )
        writer.write(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: AWSStepFunctions.DescribeStateMachine\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(ASKED)
        )
        async with asyncio.timeout(5):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 Continue")
            writer.write(ASKED.encode())
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
        writer.close()

    in_cloud(body, Machines)


def test_a_request_cut_short_reaches_nobody() -> None:
    async def body(cloud: Cloud) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", int(cloud.endpoint_url.rpartition(":")[2]))
        writer.write(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: AWSStepFunctions.DescribeStateMachine\r\n"
            b"Content-Length: 1000\r\n\r\n" + ASKED.encode()
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await blocking(send, cloud, "GET", "/_harness/health"))[0] == 200
        service = cloud.service("stepfunctions")
        assert isinstance(service, Machines)
        assert service.requests == []

    in_cloud(body, Machines)


def test_a_request_beyond_every_limit_is_refused_before_it_is_read() -> None:
    async def body(cloud: Cloud) -> None:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", int(cloud.endpoint_url.rpartition(":")[2])
        )
        writer.write(b"PUT /bucket/key HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5368709121\r\n\r\n")
        async with asyncio.timeout(5):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413")
        writer.close()

    in_cloud(body)


def test_responses_carry_a_date_and_keep_the_connection() -> None:
    class Machine(Service):
        name = "stepfunctions"

        async def describe_state_machine(self, request: Request) -> dict[str, Any]:
            return {"stateMachineArn": "arn:x"}

    async def body(cloud: Cloud) -> None:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", int(cloud.endpoint_url.rpartition(":")[2])
        )
        message = (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: AWSStepFunctions.DescribeStateMachine\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(ASKED), ASKED.encode())
        )
        writer.write(message + message)  # pipelined, even
        async with asyncio.timeout(5):
            for _ in range(2):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                assert head.endswith(b"GMT\r\ncontent-length: 27\r\n\r\n")
                assert await reader.readexactly(27) == b'{"stateMachineArn":"arn:x"}'
        writer.close()

    in_cloud(body, Machine)


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare, of util-linux")
def test_without_a_loopback_interface_one_is_told_so() -> None:
    program = """
        from harness.clock import run
        from harness.cloud.server import Server
        from harness.errors import EnvironmentFault
        try:
            run(Server.start(None, 0))
        except EnvironmentFault as error:
            print(error)
    """
    # A new network namespace has a loopback interface that is down.
    command = ["unshare", "--map-root-user", "--net", sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "127.0.0.1 cannot be reached" in done.stdout, done.stderr
    assert "ip link set lo up" in done.stdout
