"""The commands as a user runs them: real containers, real functions, no network."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.cli.processes import Workspace, alive
from tests.support import RUNTIMES

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_happy_path(workspace: Workspace, runtime: str):
    before = set(workspace.records("happy"))
    done = workspace.harness("run", "happy", "--containers", runtime)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "training job mlops-happy" in done.stdout
    assert "path: StartTraining → " in done.stdout
    assert "f1score: 0.9" in done.stdout
    assert "✗" not in done.stdout
    assert "\x1b" not in done.stdout
    (folder,) = set(workspace.records("happy")) - before
    record = json.loads((folder / "record.json").read_text())
    assert record["containers"] == runtime
    assert record["answers"][0]["body"] == {"predictions": {"class": "3"}}
    assert workspace.leftovers() == []


@pytest.mark.docker
def test_both_runtimes_leave_the_same_history(workspace: Workspace):
    histories = {}
    for runtime in ("process", "docker"):
        before = set(workspace.records("happy"))
        assert workspace.harness("run", "happy", "--containers", runtime).returncode == 0
        (folder,) = set(workspace.records("happy")) - before
        text = (folder / "history.json").read_text()
        # The name of a run ends in a digest of the time at which it started.
        histories[runtime] = json.loads(re.sub(r"(mlops-happy-[0-9a-f-]+)-[0-9a-f]{12}", r"\1", text))
    assert without_times(histories["docker"]) == without_times(histories["process"])


TIMES = frozenset({"timestamp", "started", "Date", "X-Amzn-Trace-Id"})


def without_times(value: Any) -> Any:
    """A history without its timestamps and what is made of them; JSON inside it is looked into."""
    if isinstance(value, dict):
        return {name: without_times(item) for name, item in value.items() if name not in TIMES}
    if isinstance(value, list):
        return [without_times(item) for item in value]
    if isinstance(value, str) and value.startswith("{"):
        return without_times(json.loads(value))
    return value


WITHOUT_NETWORK = """
import fcntl, os, socket, struct, sys
SIOCSIFFLAGS, UP = 0x8914, 1
with socket.socket() as interface:
    fcntl.ioctl(interface, SIOCSIFFLAGS, struct.pack("16sh", b"lo", UP))
os.execv(sys.executable, [sys.executable, "-m", "harness.cli", *sys.argv[1:]])
"""


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare, of util-linux")
def test_the_happy_path_without_a_network(workspace: Workspace):
    """In a network namespace that has nothing but a loopback interface, once the caches are warm."""
    assert workspace.harness("run", "below-threshold").returncode == 0
    done = subprocess.run(
        ["unshare", "--map-root-user", "--net", sys.executable, "-c", WITHOUT_NETWORK, "run", "happy"],
        cwd=workspace.root,
        env=workspace.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert workspace.leftovers() == []


def test_every_shipped_scenario_passes(workspace: Workspace):
    done = workspace.harness("run", "--json", timeout=300)
    runs = {Path(run["file"]).stem: run for run in json.loads(done.stdout)["runs"]}
    failed = {name: [v for v in run["verdicts"] if not v["passed"]] for name, run in runs.items()}
    assert not any(failed.values()), failed
    assert done.returncode == 0
    assert {"happy", "below-threshold", "training-fails", "throttled", "same-second"} <= set(runs)
    assert "unreadable" in runs["training-fails"]["executions"][0]["cause"]
    assert len(runs["same-second"]["executions"]) == 2
    assert workspace.leftovers() == []


def test_an_expectation_that_does_not_hold(workspace: Workspace, tmp_path: Path):
    text = (workspace.root / "scenarios" / "training-fails.yaml").read_text()
    scenario = workspace.root / "scenarios" / "wrong.yaml"
    scenario.write_text(text.replace("error: TrainingJobFailed", "error: SomethingElse"))
    try:
        done = workspace.harness("run", str(scenario))
    finally:
        scenario.unlink()
    assert done.returncode == 1
    assert '✗ error: expected "SomethingElse", got "TrainingJobFailed"' in done.stdout


def test_a_cloud_that_stays_up(workspace: Workspace):
    up = workspace.harness("up", "--detach", "--port", "0", "--json")
    assert up.returncode == 0, up.stderr
    cloud = json.loads(up.stdout)
    again = json.loads(workspace.harness("up", "-d", "--json").stdout)
    assert again["pid"] == cloud["pid"]

    first = json.loads(workspace.harness("run", "below-threshold", "--json").stdout)
    assert first["passed"], first
    # The same cloud, and boto3 sees what the run left.
    machines = boto3.client(
        "stepfunctions",
        endpoint_url=cloud["endpoint"],
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    (machine,) = machines.list_state_machines()["stateMachines"]
    (execution,) = machines.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]
    assert execution["executionArn"] == first["runs"][0]["executions"][0]["arn"]

    # An edited function is what the next run runs.
    handler = workspace.root / "lambdas" / "mlops_eval" / "handler.py"
    original = handler.read_text()
    handler.write_text(original + "\n\ndef handler(event, context):\n    raise ValueError('edited')\n")
    try:
        second = workspace.harness("run", "happy")
    finally:
        handler.write_text(original)
    assert second.returncode == 1
    assert "edited" in second.stdout
    third = json.loads(workspace.harness("run", "below-threshold", "--json").stdout)
    assert third["passed"], third
    assert third["runs"][0]["bundle"] == first["runs"][0]["bundle"]

    down = workspace.harness("down", "--json")
    assert json.loads(down.stdout) == {"stopped": cloud["endpoint"], "cleanly": True}
    assert workspace.leftovers() == []


def test_endpoints_stay_when_asked_to(workspace: Workspace):
    cloud = json.loads(workspace.harness("up", "-d", "--port", "0", "--json").stdout)
    assert workspace.harness("run", "happy", "--keep").returncode == 0
    session = boto3.Session("test", "test", region_name="us-east-1")
    sagemaker = session.client("sagemaker", endpoint_url=cloud["endpoint"])
    (endpoint,) = sagemaker.list_endpoints()["Endpoints"]
    assert endpoint["EndpointStatus"] == "InService"
    image = (workspace.root / "scenarios" / "data" / "digits" / "test" / "5" / "0001.png").read_bytes()
    runtime = session.client("sagemaker-runtime", endpoint_url=cloud["endpoint"])
    answer = runtime.invoke_endpoint(
        EndpointName=endpoint["EndpointName"], ContentType="application/x-image", Body=image
    )
    assert json.loads(answer["Body"].read()) == {"predictions": {"class": "5"}}
    workspace.harness("down")
    assert workspace.leftovers() == []


def test_a_port_that_is_taken(workspace: Workspace):
    cloud = json.loads(workspace.harness("up", "-d", "--port", "0", "--json").stdout)
    port = cloud["endpoint"].rpartition(":")[2]
    second = workspace.harness("up", "--port", port)
    assert second.returncode == 2
    assert "already up" in second.stderr


# Being stopped ---------------------------------------------------------------------------------------

MOMENTS = {
    "while a function runs": "StartTraining",
    "while a container runs": "training job .*InProgress",
    "while an endpoint stands": "WaitForEndpoint",
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS.keys())
def test_an_interrupted_run_leaves_nothing(workspace: Workspace, moment: str):
    with workspace.started("run", "happy") as running:
        running.read_until(moment)
        family = running.family()
        assert running.interrupt() == 130
    assert alive(family) == []
    assert workspace.leftovers() == []
    assert "Traceback" not in "".join(running.seen)


def test_a_run_whose_reader_goes_away_leaves_nothing(workspace: Workspace):
    with workspace.started("run", "happy") as run:
        run.read_until("training job .* InProgress")
        family = run.family()
        assert run.process.stdout is not None
        run.process.stdout.close()
        run.process.stdout = None  # nothing more to be read
        assert run.process.wait(timeout=60) == 128 + signal.SIGHUP
    assert alive(family) == []
    assert workspace.leftovers() == []


def test_a_terminated_run_leaves_nothing(workspace: Workspace):
    with workspace.started("run", "happy") as running:
        running.read_until("training job .*InProgress")
        family = running.family()
        assert running.interrupt(signal.SIGTERM) == 143
    assert alive(family) == []
    assert workspace.leftovers() == []


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS.keys())
def test_a_killed_run_leaves_nothing_after_the_next_command(workspace: Workspace, moment: str):
    with workspace.started("run", "happy") as running:
        running.read_until(moment)
        family = running.family()
        assert family
        running.interrupt(signal.SIGKILL)
    workspace.harness("down")
    assert alive(family) == []
    assert workspace.leftovers() == []


def test_an_interrupted_cloud_leaves_nothing(workspace: Workspace):
    with workspace.started("up", "--port", "0") as up:
        up.read_until("local cloud at")
        assert workspace.harness("run", "training-fails").returncode == 0
        family = up.family()
        assert family
        assert up.interrupt() == 130
    assert alive(family) == []
    assert workspace.leftovers() == []
    assert workspace.harness("down").stdout == "no local cloud is up\n"


def test_a_killed_cloud_leaves_nothing_after_the_next_command(workspace: Workspace):
    with workspace.started("up", "--port", "0") as up:
        up.read_until("local cloud at")
        assert workspace.harness("run", "training-fails").returncode == 0
        family = up.family()
        up.interrupt(signal.SIGKILL)
    done = workspace.harness("run", "training-fails")  # brings one up of its own
    assert done.returncode == 0, done.stdout + done.stderr
    assert alive(family) == []
    assert workspace.leftovers() == []


def test_a_client_that_goes_away_stops_its_run_and_not_the_cloud(workspace: Workspace):
    workspace.harness("up", "-d", "--port", "0")
    with workspace.started("run", "happy") as client:
        client.read_until("training job .*InProgress")
        assert client.interrupt() == 130
    done = workspace.harness("run", "training-fails")
    assert done.returncode == 0, done.stdout + done.stderr
