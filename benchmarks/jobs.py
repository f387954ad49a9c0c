"""What the control plane adds to the containers of the reference pipeline, on either container runtime.

    python -m benchmarks jobs

The happy path on a local cloud that is up, from StartExecution to the execution's end, takes turns with the
same containers run bare: the same images, data and number of requests, but nobody around them. Bare means
``docker run`` by the Docker client, and on the process runtime the sandbox alone. The bar is 0.5 s more than
bare, on either runtime. The time of the five functions is in it, too: it is shown beside.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import boto3

from harness.cloud.sagemaker.http import HttpClient
from harness.containers.contract.serving import SERVING_PORT
from harness.containers.process import ProcessRuntime
from harness.containers.runtime import ContainerRuntime, ContainerSpec, Image, ImageSource, Mount
from harness.project.settings import FILE_NAME, Settings

ROOT = Path(__file__).parents[1]
ROUNDS = 7
BAR = 0.5
CONCURRENT = 4  # MaxConcurrentTransforms of the pipeline's transform job
HARNESS = [sys.executable, "-m", "harness.cli"]
DIGITS = ROOT / "scenarios" / "data" / "digits"
ML = Path("/opt/ml")
NOTHING: Mapping[str, str] = {}


def main() -> None:
    for name in ("process", "docker"):
        if reason := missing(name):
            print(f"{name}: absent: {reason}", flush=True)
        else:
            compare(name)


def missing(name: str) -> str | None:
    """Why a runtime cannot take part."""
    if name == "process":
        return None
    if shutil.which("docker") is None:
        return "there is no docker client"
    done = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else None


def compare(name: str) -> None:
    cloud = json.loads(command("up", "--detach", "--port", "0", "--containers", name, "--json"))
    try:
        pipeline = Pipeline(cloud["endpoint"])
        # Of the first round only the caches get something.
        rounds = [(pipeline.run(), asyncio.run(containers_alone(name))) for _ in range(ROUNDS + 1)][1:]
    finally:
        command("down")
    wall = statistics.median(taken for (taken, _), _ in rounds)
    functions = statistics.median(taken for (_, taken), _ in rounds)
    alone = statistics.median(alone for _, alone in rounds)
    added = statistics.median(whole - part for (whole, _), part in rounds)
    verdict = "met" if added <= BAR else "MISSED"
    print(
        f"{name}: the happy path {wall:.2f} s, its containers alone {alone:.2f} s: {added:.2f} s are added, "
        f"of which the functions run {functions:.2f} s (bar {BAR} s: {verdict}; medians of {ROUNDS} rounds)",
        flush=True,
    )


def command(*arguments: str) -> bytes:
    """Run a command of the harness; its output."""
    return subprocess.run([*HARNESS, *arguments], check=True, stdout=subprocess.PIPE).stdout


class Pipeline:
    """The reference pipeline on a cloud that is up, its data in place."""

    def __init__(self, endpoint: str) -> None:
        session = boto3.Session("test", "test", region_name="us-east-1")
        self._states = session.client("stepfunctions", endpoint_url=endpoint)
        self._sagemaker = session.client("sagemaker", endpoint_url=endpoint)
        self._logs = session.client("logs", endpoint_url=endpoint)
        (machine,) = self._states.list_state_machines()["stateMachines"]
        self._machine = machine["stateMachineArn"]
        s3 = session.client("s3", endpoint_url=endpoint)
        (bucket,) = (found["Name"] for found in s3.list_buckets()["Buckets"] if "databucket" in found["Name"])
        for path in (DIGITS / part for part in ("train", "validation", "test")):
            for image in path.rglob("*.png"):
                s3.put_object(Bucket=bucket, Key=str(image.relative_to(DIGITS)), Body=image.read_bytes())

    def run(self) -> tuple[float, float]:
        """Seconds an execution takes, and those that its functions do."""
        before = self._functions()
        began = time.monotonic()
        execution = self._states.start_execution(stateMachineArn=self._machine, input="{}")["executionArn"]
        while True:
            found = self._states.describe_execution(executionArn=execution)
            if found["status"] != "RUNNING":
                break
            threading.Event().wait(0.005)
        taken = time.monotonic() - began
        assert found["status"] == "SUCCEEDED", found
        self._sagemaker.delete_endpoint(EndpointName=json.loads(found["output"])["endpoint"])
        return taken, self._functions() - before

    def _functions(self) -> float:
        """Seconds that functions have run so far, by the REPORT lines in their logs."""
        total = 0.0
        for group in self._logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/")["logGroups"]:
            pages = self._logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
            for event in (event for page in pages for event in page["events"]):
                duration = re.search(r"^REPORT .*\tDuration: ([0-9.]+) ms", event["message"])
                total += float(duration[1]) / 1000 if duration is not None else 0
        return total


# The same containers, bare ------------------------------------------------------------------------------

Bare = Callable[[Image, str, list[Mount]], "AsyncIterator[Running]"]


class Running:
    """A container somebody started: `wait` for its end, or `connect` to its port."""

    def __init__(
        self, wait: Callable[[], Awaitable[int]], connect: Callable[[], Awaitable[socket.socket]]
    ) -> None:
        self.wait = wait
        self.connect = connect


async def make_runtime(name: str) -> ContainerRuntime:
    if name == "process":
        return ProcessRuntime()
    from harness.containers.docker import DockerRuntime

    return DockerRuntime()


async def build(runtime: ContainerRuntime, name: str) -> Image:
    settings = Settings.load(ROOT / FILE_NAME).images[name]
    return await runtime.build(ImageSource(name, ROOT / settings.context, settings.dockerfile))


async def containers_alone(name: str) -> float:
    """Seconds that the pipeline's three containers take: training, the transform job's, the endpoint's."""
    runtime = await make_runtime(name)
    try:
        images = {image: await build(runtime, image) for image in ("training", "inference")}
        return await run_all(images, bare_docker if name == "docker" else bare_process(runtime))
    finally:
        await runtime.close()


async def run_all(images: dict[str, Image], bare: Bare) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        ml = Path(scratch)
        for folder in ("input/config", "model", "output/data"):
            (ml / folder).mkdir(parents=True)
        for channel in ("train", "validation"):
            shutil.copytree(DIGITS / channel, ml / "input" / "data" / channel)
        for config, content in (("hyperparameters", {}), ("resourceconfig", {}), ("inputdataconfig", {})):
            (ml / "input" / "config" / f"{config}.json").write_text(json.dumps(content))
        requests = [path.read_bytes() for path in sorted((DIGITS / "test").rglob("*.png"))]

        began = time.monotonic()
        async with asynccontextmanager(bare)(images["training"], "train", [Mount(ml, ML)]) as training:
            assert await training.wait() == 0
        model = [Mount(ml / "model", ML / "model", read_only=True)]
        for wanted in (requests, []):  # the transform job's, then the endpoint's
            async with asynccontextmanager(bare)(images["inference"], "serve", model) as serving:
                await invoke(serving, wanted)
        return time.monotonic() - began


async def invoke(serving: Running, requests: list[bytes]) -> None:
    """Wait until the container is ready, then send the requests."""
    http = HttpClient(serving.connect, agent="bare")
    while True:
        try:
            if (await http.request("GET", "/ping", timeout=2)).status == 200:
                break
        except (ConnectionError, TimeoutError):
            await asyncio.sleep(0.02)
    wanted = iter(requests)

    async def work() -> None:
        for body in wanted:
            headers = {"Content-Type": "application/x-image"}
            answer = await http.request("POST", "/invocations", headers=headers, body=body, timeout=60)
            assert answer.status == 200

    await asyncio.gather(*(work() for _ in range(CONCURRENT)))
    http.close()


def bare_process(runtime: ContainerRuntime, environment: Mapping[str, str] = NOTHING) -> Bare:
    """The sandbox alone."""

    async def start(image: Image, argument: str, mounts: list[Mount]) -> AsyncIterator[Running]:
        ports = (SERVING_PORT,) if argument == "serve" else ()
        spec = ContainerSpec(
            "bare", image, (argument,), environment=environment, mounts=tuple(mounts), ports=ports
        )
        container = await runtime.start(spec, lambda line: None)
        try:
            yield Running(container.wait, lambda: container.connect(SERVING_PORT))
        finally:
            await container.kill()

    return start


async def bare_docker(
    image: Image, argument: str, mounts: list[Mount], environment: Mapping[str, str] = NOTHING
) -> AsyncIterator[Running]:
    """``docker run``, as a user would type it."""
    options = [
        f"--volume={mount.source}:{mount.target}:{'ro' if mount.read_only else 'rw'}" for mount in mounts
    ]
    options += [f"--env={name}={value}" for name, value in environment.items()]
    port = free_port()
    if argument == "serve":
        options.append(f"--publish=127.0.0.1:{port}:{SERVING_PORT}")
    else:
        options.append("--network=none")
    name = f"bare-{port}"
    process = await asyncio.create_subprocess_exec(
        *("docker", "run", "--rm", "--name", name, *options, image.digest, argument),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )

    async def connect() -> socket.socket:
        connection = socket.socket()
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        except BaseException:
            connection.close()
            raise
        return connection

    try:
        yield Running(process.wait, connect)
    finally:
        if process.returncode is None:
            kill = ("docker", "kill", name)
            await (await asyncio.create_subprocess_exec(*kill, stdout=asyncio.subprocess.DEVNULL)).wait()
            await process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
