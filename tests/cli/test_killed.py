"""``kill -9`` in every phase of a job: the next command leaves nothing of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.containers.docker import connect
from tests.cli.processes import Started, Workspace, alive
from tests.support import RUNTIMES

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[2]

MOMENTS = [
    ("training", "Starting"),
    ("training", "Downloading"),
    ("training", "Training"),
    ("training", "log"),
    ("training", "Uploading"),
    ("training", "Completed"),
    ("transform", "InProgress"),
    ("transform", "Waiting for an answer"),
    ("transform", "Transforming"),
    ("transform", "Completed"),
    ("endpoint", "Creating"),
    ("endpoint", "log"),
    ("endpoint", "InService"),
]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("kind", "moment"), MOMENTS, ids=lambda word: word.replace(" ", "-"))
def test_nothing_is_left_after_the_next_command(workspace: Workspace, runtime: str, kind: str, moment: str):
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cli.stopping", str(workspace.root), runtime, kind, moment],
        cwd=CHECKOUT,
        env=workspace.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), f"it ended before: {process.stdout and process.stdout.read()}"
        family = Started(process).family()
        assert family or runtime == "docker"
        if runtime == "docker" and moment == "log":
            assert of_engine(workspace)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    workspace.harness("down")
    assert alive(family) == []
    assert workspace.leftovers() == []
    if runtime == "docker":
        assert of_engine(workspace) == []


def of_engine(workspace: Workspace) -> list[str]:
    """Containers, networks and volumes on the engine that bear the project's label."""
    wanted = {"label": f"harness.root={workspace.root}"}
    engine = connect()
    try:
        return [
            *(item["Id"] for item in engine.api.containers(all=True, filters=wanted)),
            *(item["Name"] for item in engine.api.networks(filters=wanted)),
            *(item["Name"] for item in engine.api.volumes(filters=wanted)["Volumes"] or ()),
        ]
    finally:
        engine.close()
