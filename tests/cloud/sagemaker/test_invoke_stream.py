"""InvokeEndpointWithResponseStream, as boto3 sees it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import EventStreamError

from harness.cloud.sagemaker import SageMaker, SageMakerRuntime
from harness.cloud.service import CloudContext
from tests.cloud.sagemaker.fakes import ROLE, SERVING, Box, image, variant
from tests.cloud.sagemaker.test_wire import QUICKLY, Clients, with_boto3

Write = Callable[[bytes], None]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(part: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(part), part)


def streams(answer: Callable[[Write, asyncio.StreamWriter], Any]) -> Any:
    """A serving program whose answer is written step by step."""

    async def program(box: Box) -> int:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while head := await reader.readuntil(b"\r\n\r\n"):
                    if head.startswith(b"GET /ping"):
                        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                        continue
                    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                    await reader.readexactly(length)
                    await answer(writer.write, writer)
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        box._container.port = server.sockets[0].getsockname()[1]
        await box.terminated.wait()
        server.close()
        return 0

    return image(program)


def deploy(at: Clients, program: Any) -> None:
    at.cloud.images[SERVING] = program
    at.sagemaker.create_model(ModelName="digits", PrimaryContainer={"Image": SERVING}, ExecutionRoleArn=ROLE)
    at.sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant()])
    at.sagemaker.create_endpoint(EndpointName="digits", EndpointConfigName="c")
    waiter = at.sagemaker.get_waiter("endpoint_in_service")
    waiter.wait(EndpointName="digits", WaiterConfig=QUICKLY)


def invoke(at: Clients) -> dict[str, Any]:
    answer: dict[str, Any] = at.runtime.invoke_endpoint_with_response_stream(
        EndpointName="digits", Body=b"hi", ContentType="text/plain", Accept="text/event-stream"
    )
    return answer


def test_parts_arrive_before_the_answer_has_ended() -> None:
    taken = threading.Event()

    async def answer(write: Write, writer: asyncio.StreamWriter) -> None:
        write(HEAD + chunk(b"one"))
        await asyncio.to_thread(taken.wait, 10)  # the container goes on only when the client has the first
        assert taken.is_set()
        write(chunk(b"two"))
        write(b"0\r\n\r\n")

    def scenario(at: Clients) -> None:
        deploy(at, streams(answer))
        for _ in range(2):  # the connection is kept
            taken.clear()
            got = invoke(at)
            assert (got["ContentType"], got["InvokedProductionVariant"]) == (
                "text/event-stream",
                "AllTraffic",
            )
            parts = iter(got["Body"])
            assert next(parts) == {"PayloadPart": {"Bytes": b"one"}}
            taken.set()
            assert list(parts) == [{"PayloadPart": {"Bytes": b"two"}}]
            got["Body"].close()

    with_boto3(scenario)


def test_an_answer_that_breaks_off_is_told_in_the_stream() -> None:
    async def answer(write: Write, writer: asyncio.StreamWriter) -> None:
        write(HEAD + chunk(b"one"))
        await writer.drain()
        writer.close()

    def scenario(at: Clients) -> None:
        deploy(at, streams(answer))
        with closing(invoke(at)["Body"]) as body:
            parts = iter(body)
            assert next(parts) == {"PayloadPart": {"Bytes": b"one"}}
            with pytest.raises(EventStreamError, match="ModelStreamError"):
                next(parts)

    with_boto3(scenario)


def test_an_answer_that_takes_too_long_is_told_in_the_stream() -> None:
    async def answer(write: Write, writer: asyncio.StreamWriter) -> None:
        write(HEAD + chunk(b"one"))
        await asyncio.sleep(30)

    class Impatient(SageMakerRuntime):
        def __init__(self, cloud: CloudContext) -> None:
            super().__init__(cloud, stream_timeout=0.3)

    def scenario(at: Clients) -> None:
        deploy(at, streams(answer))
        with closing(invoke(at)["Body"]) as body:
            parts = iter(body)
            assert next(parts) == {"PayloadPart": {"Bytes": b"one"}}
            with pytest.raises(EventStreamError, match=r"ModelStreamError.*time limit"):
                next(parts)

    with_boto3(scenario, services=[SageMaker, Impatient])


def test_an_error_before_the_stream_is_an_ordinary_one() -> None:
    async def answer(write: Write, writer: asyncio.StreamWriter) -> None:
        write(b"HTTP/1.1 400 Bad\r\nContent-Length: 3\r\n\r\nbad")

    def scenario(at: Clients) -> None:
        deploy(at, streams(answer))
        with pytest.raises(at.runtime.exceptions.ModelError) as caught:
            invoke(at)
        assert caught.value.response["OriginalStatusCode"] == 400
        assert caught.value.response["OriginalMessage"] == "bad"

    with_boto3(scenario)
