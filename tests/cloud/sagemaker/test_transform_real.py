"""Transform jobs in real containers, on either runtime."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cloud.events import Event
from harness.cloud.sagemaker.channels import recordio
from harness.containers.archive import pack
from tests.cloud.sagemaker.fakes import ROLE, SERVING, FakeCloud, transform_request
from tests.cloud.sagemaker.real import real, with_containers
from tests.support import RUNTIMES

pytestmark = real

DOCKERFILE = """\
ARG BASE=python:3.11
FROM ${BASE}
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true
COPY programs /programs
WORKDIR /programs
ENTRYPOINT ["python", "-u"]
"""

SERVE = """\
import json, os, signal, struct, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

task = os.environ.get("TASK", "score")
factor = float(open("/opt/ml/model/factor").read())


def score(values):
    return factor * sum(float(value) for value in values)


def csv(body):
    return "".join(f"{score(line.split(','))}\\n" for line in body.decode().splitlines())


def lines(body):
    return "\\n".join(json.dumps({"score": score(json.loads(line)["x"])}) for line in body.splitlines())


def frames(body):
    words = []
    while body:
        magic, length = struct.unpack("<II", body[:8])
        assert magic == 0xCED7230A
        words.append(body[8:8 + length].decode())
        body = body[8 + length + -length % 4:]
    return "+".join(words)


def words(body):
    return json.dumps({"words": body.decode().split()})


def count(body):
    return str(len(json.loads(body)["words"]))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200 if self.path == "/ping" else 404, "")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"die":
            print("cannot bear it")
            os._exit(3)
        if body == b"hang":
            print("hanging")
            threading.Event().wait()
        kind = self.headers["Content-Type"]
        if task == "score":
            text = csv(body) if kind == "text/csv" else lines(body)
        elif task == "count":
            text = count(body) if kind == "application/json" else "not JSON"
        else:
            text = {"frames": frames, "words": words, "echo": bytes.decode}[task](body)
        self.answer(200, text, "application/json" if task == "words" else "text/plain")

    def answer(self, status, text, kind="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *arguments):
        pass


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
print("serving with", factor)
ThreadingHTTPServer(("", int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))), Handler).serve_forever()
"""

Scene = Callable[[Callable[[FakeCloud], Awaitable[None]]], None]


@pytest.fixture(params=RUNTIMES)
def scene(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Run a scenario in a cloud whose containers are real."""

    def run(scenario: Callable[[FakeCloud], Awaitable[None]]) -> None:
        with_containers(
            request.param,
            tmp_path,
            SERVING,
            {"serve": SERVE},
            scenario,
            monkeypatch,
            dockerfile=DOCKERFILE,
            startup_limit=60.0,
        )

    return run


async def make_model(cloud: FakeCloud, *tasks: str) -> None:
    source = cloud.folder / "model-source"
    source.mkdir()
    (source / "factor").write_text("2")
    cloud.put(**{"model.tar.gz": pack(source)})
    containers = [
        {"Image": SERVING, "ModelDataUrl": "s3://data/model.tar.gz", "Environment": {"TASK": task}}
        for task in tasks
    ]
    await cloud.do(
        "create_model",
        ModelName="digits",
        Containers=containers,
        ExecutionRoleArn=ROLE,
        EnableNetworkIsolation=True,
    )


def request(content_type: str, split: str = "None", *, instances: int = 1, **changes: Any) -> dict[str, Any]:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/in/"}}
    return transform_request(
        **{
            "TransformInput": {"DataSource": source, "ContentType": content_type, "SplitType": split},
            "TransformOutput": {
                "S3OutputPath": "s3://data/out",
                "Accept": content_type,
                "AssembleWith": split if split == "Line" else "None",
            },
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": instances},
            **changes,
        }
    )


async def ended(cloud: FakeCloud, status: str = "Completed") -> dict[str, Any]:
    job = await cloud.sagemaker.wait_for_job("transform", "batch-1")
    assert job["TransformJobStatus"] == status, (job.get("FailureReason"), cloud.logs)
    return job


def output(cloud: FakeCloud, name: str) -> bytes:
    return cloud.storage.get("data", f"out/{name}.out")


def test_rows_are_filtered_and_joined(scene: Scene) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud, "score")
        cloud.put(in__a=b'id-1,"a, b",1,2\nid-2,c,3,4\n')
        processing = {"InputFilter": "$[2:]", "JoinSource": "Input", "OutputFilter": "$[0,1,-1]"}
        await cloud.do("create_transform_job", **request("text/csv", "Line", DataProcessing=processing))
        await ended(cloud)
        assert output(cloud, "a") == b'id-1,"a, b",6.0\nid-2,c,14.0\n'

    scene(scenario)


def test_json_lines_are_filtered_and_joined(scene: Scene) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud, "score")
        cloud.put(in__a=b'{"id": 1, "body": {"x": [1, 2]}}\n{"id": 2, "body": {"x": [3]}}')
        processing = {
            "InputFilter": "$.body",
            "JoinSource": "Input",
            "OutputFilter": "$['id','SageMakerOutput']",
        }
        await cloud.do(
            "create_transform_job", **request("application/jsonlines", "Line", DataProcessing=processing)
        )
        await ended(cloud)
        assert output(cloud, "a") == (
            b'{"id":1,"SageMakerOutput":{"score":6.0}}\n{"id":2,"SageMakerOutput":{"score":6.0}}\n'
        )

    scene(scenario)


@pytest.mark.parametrize(
    ("strategy", "task", "answer"),
    [("MultiRecord", "frames", b"one+three"), ("SingleRecord", "echo", b"onethree")],
)
def test_records_keep_their_frames_when_several_are_sent(
    scene: Scene, strategy: str, task: str, answer: bytes
) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud, task)
        cloud.put(in__a=recordio(b"one") + recordio(b"three"))
        await cloud.do(
            "create_transform_job",
            **request("application/x-recordio", "RecordIO", BatchStrategy=strategy),
        )
        await ended(cloud)
        assert output(cloud, "a") == answer

    scene(scenario)


def test_a_pipeline_on_two_instances(scene: Scene) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud, "words", "count")
        cloud.put(in__a=b"one", in__b=b"one two", in__c=b"one two three")
        await cloud.do("create_transform_job", **request("text/plain", instances=2))
        await ended(cloud)
        assert [output(cloud, name) for name in "abc"] == [b"1", b"2", b"3"]
        streams = {stream.split("/")[1] for _, stream in cloud.logs}
        assert len(streams) == 2

    scene(scenario)


def test_a_stop_ends_the_containers_and_keeps_what_was_done(scene: Scene) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        hanging = asyncio.Event()

        def look(event: Event) -> None:
            if event.data.get("line") == "hanging":
                hanging.set()

        cloud.events.subscribe(look)
        await make_model(cloud, "echo")
        cloud.put(in__a=b"fine", in__b=b"hang")
        await cloud.do("create_transform_job", **request("text/plain"))
        async with asyncio.timeout(60):
            await hanging.wait()
            await cloud.do("stop_transform_job", TransformJobName="batch-1")
            await ended(cloud, "Stopped")
        assert [key for key, _ in cloud.storage.list("data", "out/")] == ["out/a.out"]

    scene(scenario)


async def fail(cloud: FakeCloud) -> str:
    """Run a job whose container dies; the command that runs it again by hand."""
    await make_model(cloud, "echo")
    cloud.put(in__a=b"fine", in__b=b"die", in__c=b"late")
    await cloud.do("create_transform_job", **request("text/plain"))
    job = await ended(cloud, "Failed")
    assert job["FailureReason"] == "AlgorithmError: See job logs for more information"
    assert [key for key, _ in cloud.storage.list("data", "out/")] == ["out/a.out"]
    message = str(cloud.events_of("job")[-1].data["message"])
    lines = [line for lines in cloud.logs.values() for line in lines]
    assert {"cannot bear it", "The container ended with exit code 3", *message.splitlines()} <= set(lines)
    await cloud.settle()
    return message.removeprefix("Run it again by hand: ")


def test_a_container_that_dies_fails_the_job_and_leaves_what_it_had(scene: Scene, tmp_path: Path) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.failed = tmp_path / "failed"
        command = await fail(cloud)
        kept = tmp_path / "failed" / "transform-batch-1" / "primary"
        assert (kept / "factor").read_text() == "2"
        assert str(kept) in command
        assert "TASK=echo" in command
        assert "serve" in command.split()

    scene(scenario)


@pytest.mark.parametrize("scene", ["process"], indirect=True)  # docker's client, killed, leaves its container
def test_a_container_that_died_is_run_again_by_hand(scene: Scene, tmp_path: Path) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.failed = tmp_path / "failed"
        command = await fail(cloud)
        again = await asyncio.create_subprocess_shell(
            f"exec {command}", stdout=subprocess.PIPE, start_new_session=True
        )
        assert again.stdout is not None
        try:
            async with asyncio.timeout(30):
                assert await again.stdout.readline() == b"serving with 2.0\n"
        finally:
            os.killpg(again.pid, signal.SIGKILL)
            await again.wait()

    scene(scenario)
