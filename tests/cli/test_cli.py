"""The command line: options, messages, exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from harness import __version__
from harness.cli.app import app
from harness.cli.common import command
from harness.errors import ScenarioError
from harness.targets.standing import StandingCloud, announce, claim


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def project(tmp_path: Path) -> Path:
    (tmp_path / "harness.toml").write_text('template = "template.yaml"\n')
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "good.yaml").write_text("name: good\n")
    return tmp_path


def test_version_and_help():
    assert invoke("--version").stdout == f"harness {__version__}\n"
    text = invoke("--help").stdout
    for name in ("build", "up", "run", "down", "doctor"):
        assert name in text


@pytest.mark.parametrize("name", ["build", "up", "run", "down"])
def test_outside_a_project(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    result = invoke(name)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: there is no harness.toml in {tmp_path} or above it\n")


def test_a_project_that_is_none(tmp_path):
    result = invoke("run", "--project", str(tmp_path / "none"))
    assert result.exit_code == 2
    assert "harness.toml" in result.stderr


def test_an_unknown_scenario(tmp_path):
    result = invoke("run", "-C", str(project(tmp_path)), "goood")
    assert result.exit_code == 2
    assert "there is no such scenario" in result.stderr
    assert "did you mean 'good'?" in result.stderr


def test_a_bad_scenario_starts_nothing(tmp_path):
    root = project(tmp_path)
    (root / "scenarios" / "bad.yaml").write_text("name: bad\nexpct: {}\n")
    result = invoke("run", "-C", str(root))
    assert result.exit_code == 2
    assert "bad.yaml: 2:1: unknown key 'expct'" in result.stderr
    assert "did you mean 'expect'?" in result.stderr
    assert not (root / ".harness" / "sessions").exists()


def test_a_default_for_containers_that_is_not_there_yet(tmp_path):
    root = project(tmp_path)
    (root / "harness.toml").write_text('template = "t.yaml"\n[scenarios]\ncontainers = "stub"\n')
    result = invoke("run", "-C", str(root))
    assert result.exit_code == 2
    assert "containers: stub is not supported yet" in result.stderr


def test_scenarios_that_ask_for_different_runtimes_are_not_run_together(tmp_path):
    root = project(tmp_path)
    for choice in ("docker", "process"):
        (root / "scenarios" / f"{choice}.yaml").write_text(f"name: {choice}\ncontainers: {choice}\n")
    result = invoke("run", "-C", str(root), "docker", "process")
    assert result.exit_code == 2
    assert "these scenarios ask for different runtimes: docker and process" in result.stderr


def test_an_empty_cloud_takes_no_containers():
    result = invoke("up", "--empty", "--containers", "docker")
    assert result.exit_code == 2
    assert "--empty runs no containers" in result.stderr


def test_a_missing_template(tmp_path):
    result = invoke("run", "-C", str(project(tmp_path)))
    assert result.exit_code == 2
    assert "template.yaml" in result.stderr
    assert "Traceback" not in result.stderr


def test_keep_needs_a_cloud_that_stays(tmp_path):
    result = invoke("run", "-C", str(project(tmp_path)), "--keep")
    assert result.exit_code == 2
    assert "harness up" in result.stderr


@contextmanager
def standing(root: Path, **changes: str) -> Iterator[StandingCloud]:
    """A cloud of the project that says it is up."""
    cloud = StandingCloud(
        endpoint="http://127.0.0.1:45000",
        pid=1,
        region="us-east-1",
        account="123456789012",
        version=__version__,
        clock="skip",
        containers="process",
    )
    with claim(root):
        announce(root, replace(cloud, **changes))
        yield cloud


def test_up_when_a_cloud_is_up(tmp_path):
    root = project(tmp_path)
    with standing(root) as cloud:
        for options in ([], ["--port", "45000"], ["--port", "0"], ["--clock", "skip"]):
            result = invoke("up", "-d", "-C", str(root), *options)
            assert (result.exit_code, cloud.endpoint in result.stdout) == (0, True)
        for options in (["--port", "45001"], ["--clock", "real"]):
            result = invoke("up", "-d", "-C", str(root), *options)
            assert result.exit_code == 2
            assert "already up at http://127.0.0.1:45000, with --clock skip" in result.stderr
            assert "harness down" in result.stderr


@pytest.mark.parametrize("arguments", [["run"], ["up", "-d"]])
def test_a_cloud_of_another_version(tmp_path, arguments):
    root = project(tmp_path)
    with standing(root, version="0.0.0"):
        result = invoke(*arguments, "-C", str(root))
    assert result.exit_code == 2
    assert "runs harness 0.0.0" in result.stderr


def test_down_when_nothing_is_up(tmp_path):
    root = project(tmp_path)
    assert invoke("down", "-C", str(root)).stdout == "no local cloud is up\n"
    assert json.loads(invoke("down", "-C", str(root), "--json").stdout) == {"stopped": None, "cleanly": True}


def test_doctor(tmp_path):
    root = project(tmp_path)
    result = invoke("doctor", "-C", str(root), "--json")
    findings = {finding["subject"]: finding for finding in json.loads(result.stdout)["findings"]}
    assert findings["Python"]["state"] == "ok"
    assert findings["template"]["state"] == "broken"
    assert result.exit_code == 1


def test_doctor_outside_a_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke("doctor", "--json")
    findings = {finding["subject"]: finding for finding in json.loads(result.stdout)["findings"]}
    assert findings["project"]["state"] == "note"


def failing(error: BaseException) -> Result:
    import typer

    def fail() -> None:
        raise error

    small = typer.Typer()
    small.command()(command(fail))
    return CliRunner().invoke(small)


def test_an_error_says_where_and_what_to_do():
    result = failing(ScenarioError("it is wrong", file="/x/a.yaml", place="3:4", hint="mend it"))
    assert result.exit_code == 2
    assert result.stderr == "error: /x/a.yaml: 3:4: it is wrong\n  mend it\n"


def test_a_mistake_of_the_harness_shows_its_traceback():
    result = failing(RuntimeError("a surprise"))
    assert result.exit_code == 70
    assert "Traceback" in result.stderr
    assert "a surprise" in result.stderr


def test_ctrl_c():
    assert failing(KeyboardInterrupt()).exit_code == 130
