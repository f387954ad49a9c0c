"""Endpoints whose containers are real, on either runtime: fleets, pipelines, many models, updates."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from harness.containers.archive import pack
from harness.containers.docker import DockerRuntime
from harness.containers.process import ProcessRuntime
from harness.containers.runtime import ContainerRuntime, ImageSource
from tests.cloud.sagemaker.fakes import ROLE, SERVING, FakeCloud, variant, with_cloud
from tests.support import RUNTIMES, build_settings

pytestmark = pytest.mark.slow

DOCKERFILE = """\
ARG BASE=public.ecr.aws/docker/library/python:3.12-slim
FROM ${BASE}
ENV PYTHONUNBUFFERED=1
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true \\
      com.amazonaws.sagemaker.capabilities.multi-models=true
COPY server.py /opt/server.py
ENTRYPOINT ["python3", "/opt/server.py"]
"""

SERVER = '''\
"""Answers with WORD, the name of its model and what it was sent; exits at once when told to fail."""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

assert sys.argv[1] == "serve"
if os.environ.get("FAIL"):
    sys.exit("told to fail")
ml = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
models = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200, b"")

    def do_DELETE(self):
        del models[self.path.rpartition("/")[2]]
        self.answer(200, b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/models":
            order = json.loads(body)
            if len(models) == 1:
                self.answer(507, b"one is enough")
                return
            models[order["model_name"]] = (Path(order["url"]) / "name").read_text()
            self.answer(200, b"")
        elif self.path.startswith("/models/"):
            self.answer(200, models[self.path.split("/")[2]].encode())
        else:
            name = ml / "model" / "name"
            words = [os.environ.get("WORD", ""), name.read_text() if name.exists() else "", body.decode()]
            self.answer(200, " ".join(word for word in words if word).encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # the first process of a container has to see to it
print(f"listening on {port}")
ThreadingHTTPServer(("", port), Handler).serve_forever()
'''


@pytest.fixture(params=RUNTIMES)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    build_settings(monkeypatch)
    return str(request.param)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("context")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "server.py").write_text(SERVER)
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.getbasetemp() / "cache"
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("HARNESS_CACHE", str(folder))


def with_containers(scenario: Callable[[FakeCloud], Awaitable[None]], kind: str, context: Path) -> None:
    async def real(cloud: FakeCloud) -> None:
        runtime: ContainerRuntime = ProcessRuntime() if kind == "process" else DockerRuntime()
        cloud.containers = runtime  # type: ignore[assignment]
        cloud.images[SERVING] = await runtime.build(ImageSource("serving", context))
        await scenario(cloud)

    with_cloud(real, startup_limit=60.0)


def archive(folder: Path, name: str) -> bytes:
    (folder / name).mkdir(parents=True)
    (folder / name / "name").write_text(name)
    return pack(folder / name)


async def model(cloud: FakeCloud, name: str, *containers: dict[str, Any]) -> None:
    definitions = [{"Image": SERVING, **container} for container in containers]
    params = {"PrimaryContainer": definitions[0]} if len(definitions) == 1 else {"Containers": definitions}
    await cloud.do(
        "create_model", ModelName=name, ExecutionRoleArn=ROLE, EnableNetworkIsolation=True, **params
    )


async def config(cloud: FakeCloud, name: str, *variants: dict[str, Any]) -> None:
    await cloud.do("create_endpoint_config", EndpointConfigName=name, ProductionVariants=list(variants))


async def deploy(cloud: FakeCloud, *variants: dict[str, Any]) -> dict[str, Any]:
    await config(cloud, "c", *variants)
    await cloud.do("create_endpoint", EndpointName="e", EndpointConfigName="c")
    await cloud.settle()
    described = await cloud.do("describe_endpoint", EndpointName="e")
    assert described["EndpointStatus"] == "InService", described
    return described


async def gone(cloud: FakeCloud) -> None:
    await cloud.do("delete_endpoint", EndpointName="e")
    await cloud.settle()
    assert (await cloud.do("list_endpoints"))["Endpoints"] == []


def test_two_variants_of_two_instances(kind: str, context: Path, tmp_path: Path) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(**{"a.tar.gz": archive(tmp_path, "a"), "b.tar.gz": archive(tmp_path, "b")})
        for name in ("a", "b"):
            await model(
                cloud, name, {"ModelDataUrl": f"s3://data/{name}.tar.gz", "Environment": {"WORD": "I am"}}
            )
        await deploy(
            cloud,
            variant("va", "a", InitialInstanceCount=2, InstanceType="ml.m5.24xlarge"),
            variant("vb", "b", InitialInstanceCount=2, InstanceType="ml.m5.24xlarge"),
        )
        answers = [
            (await cloud.do("invoke_endpoint", EndpointName="e", Body=b"now", TargetVariant=name))["Body"]
            for name in ("va", "vb", "va", "vb")
        ]
        assert answers == [b"I am a now", b"I am b now"] * 2
        assert len([lines for lines in cloud.logs.values() if lines[0].startswith("listening on ")]) == 4
        await gone(cloud)

    with_containers(scenario, kind, context)


def test_a_pipeline_of_two_containers(kind: str, context: Path, tmp_path: Path) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(**{"a.tar.gz": archive(tmp_path, "a")})
        await model(
            cloud,
            "pair",
            {"Environment": {"WORD": "first"}},
            {"Environment": {"WORD": "second"}, "ModelDataUrl": "s3://data/a.tar.gz"},
        )
        await deploy(cloud, variant(model="pair"))
        fleet = cloud.sagemaker.endpoints.get("e").fleet
        assert fleet is not None
        instance = fleet.variants["AllTraffic"].instance()
        assert instance is not None
        body = b"x"
        with instance.invocation():
            for server in instance.servers.values():
                body = (await server.invoke(body, {}, timeout=10)).body
        assert body == b"second a first x"
        streams = sorted(stream.split("/")[2] for _, stream in cloud.logs)
        assert streams == ["container-1", "container-2"]
        await gone(cloud)

    with_containers(scenario, kind, context)


def test_a_multi_model_container(kind: str, context: Path, tmp_path: Path) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        for name in ("a", "b"):
            cloud.storage.put("data", f"models/{name}.tar.gz", archive(tmp_path, name))
        await model(cloud, "many", {"Mode": "MultiModel", "ModelDataUrl": "s3://data/models/"})
        await deploy(cloud, variant(model="many"))
        fleet = cloud.sagemaker.endpoints.get("e").fleet
        assert fleet is not None
        instance = fleet.variants["AllTraffic"].instance()
        assert instance is not None
        [server] = instance.servers.values()
        for name in ("a", "b", "a"):  # there is room for one
            async with instance.loaded(f"{name}.tar.gz") as loaded:
                answer = await server.invoke(b"", {}, timeout=10, path=f"/models/{loaded}/invoke")
            assert (answer.status, answer.body) == (200, name.encode())
        await gone(cloud)

    with_containers(scenario, kind, context)


@pytest.mark.parametrize("bad", [True, False])
def test_an_update_loses_no_request(kind: str, context: Path, bad: bool) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await model(cloud, "old", {"Environment": {"WORD": "old"}})
        await model(cloud, "new", {"Environment": {"WORD": "new"} | ({"FAIL": "1"} if bad else {})})
        await deploy(cloud, variant(model="old", InitialInstanceCount=2))
        await config(cloud, "next", variant(model="new", InitialInstanceCount=2))
        answers: list[bytes] = []
        enough = asyncio.Event()

        async def call() -> None:
            while not enough.is_set():
                answer = await cloud.do("invoke_endpoint", EndpointName="e", Body=b"")
                answers.append(answer["Body"])

        callers = [asyncio.ensure_future(call()) for _ in range(4)]
        began = time.monotonic()
        await cloud.do("update_endpoint", EndpointName="e", EndpointConfigName="next")
        await cloud.settle()
        before = len(answers)
        async with asyncio.timeout(20):
            while len(answers) < before + 20:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
        enough.set()
        await asyncio.gather(*callers)  # each of them got an answer to every call
        described = await cloud.do("describe_endpoint", EndpointName="e")
        assert described["EndpointStatus"] == "InService"
        assert time.monotonic() - began < 60
        if bad:
            assert described["EndpointConfigName"] == "c"
            assert "did not pass the ping health check" in described["FailureReason"]
            assert set(answers) == {b"old"}
            assert any("told to fail" in lines for lines in cloud.logs.values())
        else:
            assert described["EndpointConfigName"] == "next"
            assert answers[-1] == b"new"
            assert set(answers) == {b"old", b"new"}
        await gone(cloud)

    with_containers(scenario, kind, context)
