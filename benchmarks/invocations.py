"""InvokeEndpoint under load: 50 callers at an endpoint beside the same callers at a container.

    python -m benchmarks invocations

An endpoint with the pipeline's inference image, on a local cloud that is up, takes turns with a second
container of the same image and the same model that nothing stands before. The client, its connections and
its requests are the same for both, and so is the container runtime. Every answer is compared with what the
container gives a single caller: one that is lost, or goes to another caller, is an error. The bar: no error,
and at least 80 % of the container's own throughput.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import socket
import statistics
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3

from benchmarks import jobs
from harness.cloud.sagemaker.http import HttpClient
from harness.containers.runtime import Mount

CALLERS = 50
REQUESTS = 10_000
ROUNDS = 5
"""Of each side; together they send `REQUESTS` each. A first one, of which only the caches get something, is
not counted."""

BAR = 0.8
NAME = "benchmark"
WORKERS = (1, 2)
"""Processes of the container. Two are what it starts on two processors, and that is the case the bar is
about: client and harness then compete with them. One is shown beside; why its ratio is so much better is not
known."""

HEADERS = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sagemaker/aws4_request, "
    "SignedHeaders=content-type;host;x-amz-date, Signature=" + "0" * 64,
    "X-Amz-Date": "20260101T000000Z",
    "Content-Type": "application/x-image",
    "Accept": "application/json",
}
"""Of every request, as an SDK sends them."""


def main() -> None:
    for name in ("process", "docker"):
        if reason := jobs.missing(name):
            print(f"{name}: absent: {reason}", flush=True)
            continue
        for workers in WORKERS:
            print(f"{name}, {workers} worker(s): {compare(name, workers)}", flush=True)


def compare(name: str, workers: int) -> str:
    """Measure on one container runtime; what there is to say."""
    environment = {"SAGEMAKER_MODEL_SERVER_WORKERS": str(workers)}
    with (
        tempfile.TemporaryDirectory() as scratch,
        endpoint(name, Path(scratch), environment) as (url, path),
    ):
        rounds = asyncio.run(measure(name, Path(scratch), environment, url, path))
    through, direct = (statistics.median(side) for side in zip(*rounds, strict=True))
    ratio = through / direct
    return (
        f"{CALLERS} callers, {REQUESTS:,} requests a side, no error: {through:,.0f} requests/s through the "
        f"endpoint, {direct:,.0f} at the container, {ratio:.0%} (bar {BAR:.0%}: "
        f"{'met' if ratio >= BAR else 'MISSED'}; medians of {ROUNDS} rounds)"
    )


@contextmanager
def endpoint(name: str, model: Path, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """An endpoint on a local cloud, and its model in a folder: (the cloud's URL, the request's path)."""
    cloud = json.loads(jobs.command("up", "--detach", "--port", "0", "--containers", name, "--json"))
    try:
        jobs.Pipeline(cloud["endpoint"]).run()  # it trains a model
        session = boto3.Session("test", "test", region_name="us-east-1")
        sagemaker = session.client("sagemaker", endpoint_url=cloud["endpoint"])
        s3 = session.client("s3", endpoint_url=cloud["endpoint"])
        (described,) = sagemaker.list_models()["Models"]
        trained = sagemaker.describe_model(ModelName=described["ModelName"])
        container = trained["PrimaryContainer"]
        bucket, _, key = container["ModelDataUrl"].removeprefix("s3://").partition("/")
        archive = io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        with tarfile.open(fileobj=archive) as unpacked:
            unpacked.extractall(model, filter="data")
        served = {"Image": container["Image"], "ModelDataUrl": container["ModelDataUrl"]}
        sagemaker.create_model(
            ModelName=NAME,
            PrimaryContainer={**served, "Environment": environment},
            ExecutionRoleArn=trained["ExecutionRoleArn"],
        )
        variant = {"VariantName": "all", "ModelName": NAME, "InitialInstanceCount": 1}
        variant["InstanceType"] = "ml.c5.xlarge"
        sagemaker.create_endpoint_config(EndpointConfigName=NAME, ProductionVariants=[variant])
        sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=NAME)
        waiter = sagemaker.get_waiter("endpoint_in_service")
        waiter.wait(EndpointName=NAME, WaiterConfig={"Delay": 1})
        yield cloud["endpoint"], f"/endpoints/{NAME}/invocations"
    finally:
        jobs.command("down")


async def measure(
    name: str, model: Path, environment: Mapping[str, str], url: str, path: str
) -> list[tuple[float, float]]:
    """Requests a second (through the endpoint, at the container), round by round."""
    images = [file.read_bytes() for file in sorted((jobs.ROOT / "scenarios/data/digits/test").rglob("*.png"))]
    runtime = await jobs.make_runtime(name)
    bare: jobs.Bare = jobs.bare_process(runtime, environment)
    if name == "docker":
        bare = partial(jobs.bare_docker, environment=environment)
    mounts = [Mount(model, jobs.ML / "model", read_only=True)]
    gateway = HttpClient(lambda: connect(url), agent="benchmark")
    try:
        image = await jobs.build(runtime, "inference")
        async with asynccontextmanager(bare)(image, "serve", mounts) as alone:
            await jobs.invoke(alone, [])  # until it is ready
            container = HttpClient(alone.connect, agent="benchmark")
            expected = [(body, await ask(container, "/invocations", body)) for body in images]
            sides = (gateway, path), (container, "/invocations")
            rounds: list[tuple[float, float]] = []
            for number in range(ROUNDS + 1):
                order = sides if number % 2 else sides[::-1]
                rates = {side: await throughput(*side, expected) for side in order}
                rounds.append((rates[sides[0]], rates[sides[1]]))
            container.close()
            return rounds[1:]
    finally:
        gateway.close()
        await runtime.close()


async def throughput(client: HttpClient, path: str, expected: list[tuple[bytes, Any]]) -> float:
    """Requests a second of all callers at once."""
    wanted = itertools.islice(itertools.cycle(expected), REQUESTS // ROUNDS)

    async def call() -> int:
        answered = 0
        for body, answer in wanted:
            assert await ask(client, path, body) == answer
            answered += 1
        return answered

    began = time.perf_counter()
    answered = await asyncio.gather(*(call() for _ in range(CALLERS)))
    seconds = time.perf_counter() - began
    assert sum(answered) == REQUESTS // ROUNDS
    return REQUESTS // ROUNDS / seconds


async def ask(client: HttpClient, path: str, body: bytes) -> bytes:
    answer = await client.request("POST", path, headers=HEADERS, body=body, timeout=60)
    assert answer.status == 200, answer
    return answer.body


async def connect(url: str) -> socket.socket:
    """A connection to the cloud's gateway."""
    address = urlsplit(url)
    connection = socket.socket()
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connection, (address.hostname, address.port))
    except BaseException:
        connection.close()
        raise
    return connection


if __name__ == "__main__":
    main()
