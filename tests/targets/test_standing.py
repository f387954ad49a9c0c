"""Finding and ending the cloud that is kept."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from harness.errors import EnvironmentFault
from harness.targets.standing import StandingCloud, announce, claim, find, stop

CLOUD = StandingCloud(
    endpoint="http://127.0.0.1:1",
    pid=1,
    region="us-east-1",
    account="123456789012",
    version="0",
    clock="skip",
    containers="process",
)

KEEPER = """
    import os, pathlib, signal, sys
    from dataclasses import replace
    from harness.targets.standing import announce, claim
    from tests.targets.test_standing import CLOUD

    if "stubborn" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    root = pathlib.Path(sys.argv[1])
    with claim(root):
        announce(root, replace(CLOUD, pid=os.getpid()))
        print("up", flush=True)
        signal.pause()
"""


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts other processes that keep a cloud."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", dedent(KEEPER), str(tmp_path), *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_nothing_is_up(tmp_path):
    assert find(tmp_path) is None
    assert not (tmp_path / ".harness").exists()


def test_a_cloud_is_found_while_it_is_kept(tmp_path):
    with claim(tmp_path):
        assert find(tmp_path) is None  # still starting
        announce(tmp_path, CLOUD)
        assert find(tmp_path) == CLOUD
        assert CLOUD.environment()["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert find(tmp_path) is None


def test_there_is_one_a_project(tmp_path):
    with claim(tmp_path):
        announce(tmp_path, CLOUD)
        with pytest.raises(EnvironmentFault, match="already up"), claim(tmp_path):
            pass
    with claim(tmp_path):
        pass


def test_a_cloud_of_another_process_is_ended(tmp_path, keeper):
    process = keeper()
    cloud = find(tmp_path)
    assert cloud is not None
    assert stop(tmp_path, cloud)
    assert process.wait(timeout=10) == -15
    assert find(tmp_path) is None


def test_what_a_killed_cloud_announced_is_not_believed(tmp_path, keeper):
    process = keeper()
    process.kill()
    process.wait()
    assert (tmp_path / ".harness" / "up.json").exists()
    assert find(tmp_path) is None


def test_a_process_that_only_has_the_same_id_is_left_alone(tmp_path):
    bystander = subprocess.Popen([sys.executable, "-c", "import time; input()"], stdin=subprocess.PIPE)
    (tmp_path / ".harness").mkdir()
    (tmp_path / ".harness" / "up.lock").touch()

    assert stop(tmp_path, replace(CLOUD, pid=bystander.pid))
    assert bystander.poll() is None
    bystander.kill()
    bystander.communicate()


def test_a_cloud_that_does_not_end_is_killed(tmp_path, monkeypatch, keeper):
    monkeypatch.setattr("harness.targets.standing._GRACE", 0.2)
    process = keeper("stubborn")
    cloud = find(tmp_path)
    assert cloud is not None
    assert not stop(tmp_path, cloud)
    assert process.wait(timeout=10) == -9
