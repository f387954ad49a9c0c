"""Processing jobs in real containers, on either runtime."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cloud.sagemaker.fakes import (
    PROCESSING,
    FakeCloud,
    processing_input,
    processing_output,
    processing_request,
)
from tests.cloud.sagemaker.real import real, with_containers
from tests.support import RUNTIMES

pytestmark = real

PROGRAMS = {
    "hosts.py": """\
import json, os, pathlib, socket
config = json.load(open("/opt/ml/config/resourceconfig.json"))
me = config["current_host"]
mine = sorted(os.listdir("/opt/ml/processing/raw"))
if me == "algo-1":
    with socket.create_server(("0.0.0.0", 5000)) as server:
        connection, _ = server.accept()
        theirs = connection.makefile().read()
    pathlib.Path("/opt/ml/processing/clean/all").write_text(" ".join(mine) + " and " + theirs)
else:
    while True:
        try:
            connection = socket.create_connection(("algo-1", 5000), timeout=1)
            break
        except OSError:
            pass
    connection.sendall(" ".join(mine).encode())
    connection.close()
pathlib.Path("/opt/ml/output/message").write_text(f"{me} of {config['hosts']};")
""",
    "pipe.py": """\
import pathlib
rows = open("/opt/ml/processing/raw_0", "rb").read()
pathlib.Path("/opt/ml/processing/clean/rows").write_bytes(rows.upper())
""",
    "continuous.py": """\
import pathlib, signal, sys
pathlib.Path("/opt/ml/processing/clean/first").write_text("1")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
signal.pause()
""",
    "isolated.py": """\
import os, socket
try:
    socket.create_connection(("127.0.0.1", 1), timeout=1)
except OSError as error:
    print(type(error).__name__, "AWS_ENDPOINT_URL" in os.environ, "AWS_ACCESS_KEY_ID" in os.environ)
""",
    "fails.py": """\
import os, sys
print("reading", open("/opt/ml/processing/raw/a").read(), "as", os.environ["MINE"])
sys.exit(3)
""",
}


def scene(
    runtime: str,
    folder: Path,
    scenario: Callable[[FakeCloud], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_containers(runtime, folder, PROCESSING, PROGRAMS, scenario, monkeypatch)


def request(program: str, *, hosts: int = 1, **changes: Any) -> dict[str, Any]:
    cluster = {"InstanceType": "ml.m5.large", "InstanceCount": hosts, "VolumeSizeInGB": 10}
    return processing_request(
        **{
            "AppSpecification": {"ImageUri": PROCESSING, "ContainerArguments": [f"/programs/{program}"]},
            "ProcessingResources": {"ClusterConfig": cluster},
            "NetworkConfig": {"EnableNetworkIsolation": True},
            **changes,
        }
    )


async def ended(cloud: FakeCloud) -> dict[str, Any]:
    async with asyncio.timeout(60):
        return await cloud.sagemaker.wait_for_job("processing", "process-1")


def lines(cloud: FakeCloud) -> list[str]:
    return [line for found in cloud.logs.values() for line in found]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_two_hosts_share_the_input_and_talk_to_each_other(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(raw__a=b"1", raw__b=b"2", raw__c=b"3")
        source = processing_input(S3DataDistributionType="ShardedByS3Key")
        await cloud.do("create_processing_job", **request("hosts.py", hosts=2, ProcessingInputs=[source]))
        job = await ended(cloud)
        assert job["ProcessingJobStatus"] == "Completed", (job, lines(cloud))
        assert cloud.storage.get("data", "clean/all") == b"a c and b"
        hosts = "['algo-1', 'algo-2']"
        assert job["ExitMessage"] == f"algo-1 of {hosts};algo-2 of {hosts};"

    scene(runtime, tmp_path, scenario, monkeypatch)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_compressed_input_is_streamed(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(raw__a=gzip.compress(b"one\n" * 50_000), raw__b=gzip.compress(b"two\n"))
        source = processing_input(S3InputMode="Pipe", S3CompressionType="Gzip")
        await cloud.do("create_processing_job", **request("pipe.py", ProcessingInputs=[source]))
        job = await ended(cloud)
        assert job["ProcessingJobStatus"] == "Completed", (job, lines(cloud))
        assert cloud.storage.get("data", "clean/rows") == b"ONE\n" * 50_000 + b"TWO\n"

    scene(runtime, tmp_path, scenario, monkeypatch)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_continuous_output_is_there_while_the_container_runs(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(raw__a=b"1")
        arrived = asyncio.Event()
        put = cloud.storage.put
        loop = asyncio.get_running_loop()

        def seen(bucket: str, key: str, body: bytes) -> None:
            put(bucket, key, body)
            if key == "clean/first":
                loop.call_soon_threadsafe(arrived.set)

        cloud.storage.put = seen  # type: ignore[method-assign]
        outputs = {"Outputs": [processing_output(S3UploadMode="Continuous")]}
        await cloud.do("create_processing_job", **request("continuous.py", ProcessingOutputConfig=outputs))
        async with asyncio.timeout(60):
            await arrived.wait()
        job = await cloud.do("describe_processing_job", ProcessingJobName="process-1")
        assert job["ProcessingJobStatus"] == "InProgress"
        await cloud.do("stop_processing_job", ProcessingJobName="process-1")
        assert (await ended(cloud))["ProcessingJobStatus"] == "Stopped"
        assert cloud.storage.list("data", "clean/") == [("clean/first", 1)]

    scene(runtime, tmp_path, scenario, monkeypatch)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_isolated_job_has_neither_the_local_cloud_nor_keys(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(raw__a=b"1")
        await cloud.do("create_processing_job", **request("isolated.py"))
        job = await ended(cloud)
        assert job["ProcessingJobStatus"] == "Completed", (job, lines(cloud))
        assert lines(cloud) == ["ConnectionRefusedError False False"]

    scene(runtime, tmp_path, scenario, monkeypatch)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_failed_job_is_run_again_by_hand(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.failed = tmp_path / "failed"
        cloud.put(raw__a=b"one")
        await cloud.do("create_processing_job", **request("fails.py", Environment={"MINE": "a b"}))
        job = await ended(cloud)
        assert job["FailureReason"] == "AlgorithmError: , exit code: 3"
        said, message = lines(cloud)
        assert said == "reading one as a b"
        await cloud.settle()
        command = message.removeprefix("Run it again by hand: ")
        again = await asyncio.to_thread(
            subprocess.run, ["sh", "-c", command], capture_output=True, text=True, check=False, timeout=60
        )
        assert (again.returncode, again.stdout) == (3, f"{said}\n"), again.stderr

    scene(runtime, tmp_path, scenario, monkeypatch)
