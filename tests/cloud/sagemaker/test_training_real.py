"""Training jobs in real containers, on either runtime."""

from __future__ import annotations

import asyncio
import io
import subprocess
import tarfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from harness.clock import SkippingClock
from harness.cloud.cloud import Cloud
from harness.cloud.faults import JobFault
from harness.cloud.sagemaker import SageMaker
from tests.cloud.sagemaker.fakes import START, TRAINING, FakeCloud, channel, training_request
from tests.cloud.sagemaker.real import real, with_containers
from tests.support import RUNTIMES

pytestmark = real

PROGRAMS = {
    "pipe.py": """\
import hashlib, os, time
def opened(epoch):
    path = f"/opt/ml/input/data/train_{epoch}"
    while not os.path.exists(path):
        time.sleep(0.005)
    return open(path, "rb")
for epoch in range(3):
    with opened(epoch) as fifo:
        print(epoch, hashlib.sha256(fifo.read()).hexdigest())
with opened(3) as fifo:
    fifo.read(1)
open("/opt/ml/model/m", "w").close()
""",
    "fast.py": """\
print(open("/opt/ml/input/data/train/a").read())
try:
    open("/opt/ml/input/data/train/b", "w")
except OSError as error:
    print(error.strerror)
open("/opt/ml/model/m", "w").close()
""",
    "hosts.py": """\
import json, socket
config = json.load(open("/opt/ml/input/config/resourceconfig.json"))
me = config["current_host"]
if me == "algo-1":
    with socket.create_server(("0.0.0.0", 5000)) as server:
        connection, _ = server.accept()
        heard = connection.recv(100).decode()
else:
    while True:
        try:
            connection = socket.create_connection(("algo-1", 5000), timeout=1)
            break
        except OSError:
            pass
    connection.sendall(me.encode())
    heard = "nobody"
open(f"/opt/ml/model/{me}", "w").write(heard)
""",
    "one_fails.py": """\
import json, signal, sys
if json.load(open("/opt/ml/input/config/resourceconfig.json"))["current_host"] == "algo-2":
    sys.exit(9)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
signal.pause()
""",
    "checkpoints.py": """\
import os, signal, sys
path = "/opt/ml/checkpoints/steps"
steps = int(open(path).read()) if os.path.exists(path) else 0
open(path, "w").write(str(steps + 1))
if not steps:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.pause()
open("/opt/ml/model/steps", "w").write(str(steps))
""",
    "calls.py": """\
import os, socket, urllib.request
if "AWS_ENDPOINT_URL" in os.environ:
    url = os.environ["AWS_ENDPOINT_URL"] + "/_harness/health"
    print(urllib.request.urlopen(url, timeout=20).status, bool(os.environ.get("AWS_ACCESS_KEY_ID")))
else:
    print("isolated", "AWS_ACCESS_KEY_ID" in os.environ)
open("/opt/ml/model/m", "w").close()
""",
    "fails.py": """\
import os, sys
os.makedirs("/opt/ml/output/data/trace", exist_ok=True)
print("reading", open("/opt/ml/input/data/train/a").read(), "as", os.environ["MINE"])
sys.exit(3)
""",
}


def scene(
    runtime: str,
    folder: Path,
    scenario: Callable[[FakeCloud], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_containers(runtime, folder, TRAINING, PROGRAMS, scenario, monkeypatch)


async def train(cloud: FakeCloud, program: str, *, hosts: int = 1, **changes: Any) -> dict[str, Any]:
    algorithm = {
        "TrainingImage": TRAINING,
        "TrainingInputMode": "File",
        "ContainerArguments": [f"/programs/{program}"],
    }
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": hosts, "VolumeSizeInGB": 10}
    request = {
        "AlgorithmSpecification": algorithm,
        "ResourceConfig": resources,
        "EnableNetworkIsolation": True,
        **changes,
    }
    await cloud.do("create_training_job", **training_request(**request))
    async with asyncio.timeout(60):
        return await cloud.sagemaker.wait_for_job("training", "train-1")


def lines(cloud: FakeCloud) -> list[str]:
    return [line for found in cloud.logs.values() for line in found]


def model(cloud: FakeCloud) -> dict[str, bytes]:
    archive = cloud.storage.get("data", "out/train-1/output/model.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_pipe_mode(runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(train__a=b"one" * 100_000, train__b=b"two")
        job = await train(cloud, "pipe.py", InputDataConfig=[channel(InputMode="Pipe")])
        assert job["TrainingJobStatus"] == "Completed", (job, lines(cloud))
        digests = {line.split()[1] for line in lines(cloud)}
        assert len(lines(cloud)) == 3
        assert len(digests) == 1

    scene(runtime, tmp_path, scenario, monkeypatch)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_fast_file_mode(runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(train__a=b"one")
        job = await train(cloud, "fast.py", InputDataConfig=[channel(InputMode="FastFile")])
        assert job["TrainingJobStatus"] == "Completed", (job, lines(cloud))
        assert lines(cloud) == ["one", "Read-only file system"]

    scene(runtime, tmp_path, scenario, monkeypatch)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_hosts_talk_to_each_other(runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        job = await train(cloud, "hosts.py", hosts=2)
        assert job["TrainingJobStatus"] == "Completed", (job, lines(cloud))
        assert model(cloud) == {"algo-1": b"algo-2", "algo-2": b"nobody"}

    scene(runtime, tmp_path, scenario, monkeypatch)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_failing_host_ends_the_job(runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        job = await train(cloud, "one_fails.py", hosts=2)
        assert job["FailureReason"] == "AlgorithmError: , exit code: 9"

    scene(runtime, tmp_path, scenario, monkeypatch)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_program_that_is_not_there(runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        algorithm = {
            "TrainingImage": TRAINING,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["/no/such/program"],
        }
        job = await train(cloud, "", AlgorithmSpecification=algorithm)
        assert job["FailureReason"] == "AlgorithmError: , exit code: 127"
        assert any("/no/such/program" in line for line in lines(cloud))

    scene(runtime, tmp_path, scenario, monkeypatch)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_interruption(runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.faults.jobs["training"] = JobFault(interruptions=1, interrupted_after=2.0)
        job = await train(
            cloud,
            "checkpoints.py",
            CheckpointConfig={"S3Uri": "s3://data/ckpt"},
            EnableManagedSpotTraining=True,
            StoppingCondition={"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
        )
        assert job["TrainingJobStatus"] == "Completed", (job, lines(cloud))
        assert model(cloud) == {"steps": b"1"}
        assert cloud.storage.get("data", "ckpt/steps") == b"2"

    scene(runtime, tmp_path, scenario, monkeypatch)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_failed_job_is_run_again_by_hand(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.failed = tmp_path / "failed"
        cloud.put(train__a=b"one")
        job = await train(cloud, "fails.py", InputDataConfig=[channel()], Environment={"MINE": "a b"})
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


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_job_reaches_the_local_cloud_unless_it_is_isolated(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        async with Cloud(clock=SkippingClock(START), containers=cloud.containers) as local:
            local.images.update(cloud.images)
            await local.call("s3", "CreateBucket", {"Bucket": "data"})
            sagemaker = local.service("sagemaker")
            assert isinstance(sagemaker, SageMaker)
            for name, isolated in (("open", False), ("closed", True)):
                request = training_request(name, EnableNetworkIsolation=isolated)
                request["AlgorithmSpecification"]["ContainerArguments"] = ["/programs/calls.py"]
                await local.call("sagemaker", "CreateTrainingJob", request)
                job = await sagemaker.wait_for_job("training", name)
                assert job["TrainingJobStatus"] == "Completed", job
            group = {"logGroupName": "/aws/sagemaker/TrainingJobs"}
            events = (await local.call("logs", "FilterLogEvents", group))["events"]
            assert sorted(event["message"] for event in events) == ["200 True", "isolated False"]

    scene(runtime, tmp_path, scenario, monkeypatch)
