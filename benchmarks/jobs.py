"""What the control plane adds to the containers of the reference pipeline, on either container runtime.

    python -m benchmarks jobs

The happy path on a local cloud that is up (`harness run`, the whole command as a user sees it) takes turns
with the same containers run bare: the same images, data and number of requests, but nobody around them. Bare
means ``docker run`` by the Docker client, and on the process runtime the sandbox alone. The bar is 0.5 s more
than bare, on either runtime.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

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
SCENARIO = "scenarios/happy.yaml"
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
    command("up", "--detach", "--port", "0", "--containers", name)
    try:
        # Of the first round only the caches get something.
        rounds = [(replay(), asyncio.run(containers_alone(name))) for _ in range(ROUNDS + 1)][1:]
    finally:
        command("down")
    wall, alone = (statistics.median(column) for column in zip(*rounds, strict=True))
    added = statistics.median(whole - part for whole, part in rounds)
    verdict = "met" if added <= BAR else "MISSED"
    print(
        f"{name}: the happy path {wall:.2f} s, its containers alone {alone:.2f} s, "
        f"the harness adds {added:.2f} s (bar {BAR} s: {verdict}; medians of {ROUNDS} rounds)",
        flush=True,
    )


async def make_runtime(name: str) -> ContainerRuntime:
    if name == "process":
        return ProcessRuntime()
    from harness.containers.docker import DockerRuntime

    return DockerRuntime()


async def build(runtime: ContainerRuntime, name: str) -> Image:
    settings = Settings.load(ROOT / FILE_NAME).images[name]
    return await runtime.build(ImageSource(name, ROOT / settings.context, settings.dockerfile))


def command(*arguments: str) -> bytes:
    """Run a command of the harness; its output."""
    return subprocess.run([*HARNESS, *arguments], check=True, stdout=subprocess.PIPE).stdout


def replay() -> float:
    """Seconds that one replay of the happy path takes."""
    began = time.monotonic()
    answer = command("run", SCENARIO, "--json")
    wall = time.monotonic() - began
    assert json.loads(answer)["passed"]
    return wall


# The same containers, bare ------------------------------------------------------------------------------

Bare = Callable[[Image, str, list[Mount]], "AsyncIterator[Running]"]


class Running:
    """A container somebody started: `wait` for its end, or `connect` to its port."""

    def __init__(
        self, wait: Callable[[], Awaitable[int]], connect: Callable[[], Awaitable[socket.socket]]
    ) -> None:
        self.wait = wait
        self.connect = connect


async def containers_alone(name: str) -> float:
    """Seconds that the pipeline's three containers take: training, the transform job's, the endpoint's."""
    runtime = await make_runtime(name)
    try:
        images = {image: await build(runtime, image) for image in ("training", "inference")}
        return await run_all(images, bare_docker if name == "docker" else bare_process(runtime))
    finally:
        await runtime.close()


async def run_all(images: dict[str, Image], bare: Bare) -> float:
    digits = ROOT / "scenarios" / "data" / "digits"
    with tempfile.TemporaryDirectory() as scratch:
        ml = Path(scratch)
        for folder in ("input/config", "model", "output/data"):
            (ml / folder).mkdir(parents=True)
        for channel in ("train", "validation"):
            shutil.copytree(digits / channel, ml / "input" / "data" / channel)
        for config, content in (("hyperparameters", {}), ("resourceconfig", {}), ("inputdataconfig", {})):
            (ml / "input" / "config" / f"{config}.json").write_text(json.dumps(content))
        requests = [path.read_bytes() for path in sorted((digits / "test").rglob("*.png"))]

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
