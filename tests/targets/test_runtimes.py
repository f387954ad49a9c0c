"""Which container runtime a local cloud gets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.containers.session import Session
from harness.errors import EnvironmentFault, SettingsError
from harness.targets.runtimes import VARIABLE, agree, choose


@pytest.fixture(autouse=True)
def no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Docker engine that is configured does not run."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/engine.sock")
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Session(tmp_path) as session:
        yield session


def test_auto_does_without_docker_where_no_engine_answers_and_says_why(session: Session):
    runtime, why = choose("auto", session=session)
    assert runtime.name == "process"
    assert "containers run as processes: no Docker engine answers at unix:///no/engine.sock" in why


def test_docker_is_not_replaced_by_something_else(session: Session):
    with pytest.raises(EnvironmentFault, match=r"no Docker engine answers at unix:///no/engine\.sock"):
        choose("docker", session=session)


def test_the_environment_says_what_auto_means(session: Session, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, "process")
    assert choose("auto", session=session)[1] == "containers run as processes, as HARNESS_CONTAINERS says"
    monkeypatch.setenv(VARIABLE, "docker")
    with pytest.raises(EnvironmentFault, match="no Docker engine"):
        choose("auto", session=session)
    assert choose("process", session=session)[0].name == "process"
    monkeypatch.setenv(VARIABLE, "podman")
    with pytest.raises(EnvironmentFault, match="HARNESS_CONTAINERS is 'podman'"):
        choose("auto", session=session)


def test_without_docker_nothing_reaches_the_internet(session: Session):
    with pytest.raises(SettingsError, match="never reach the internet"):
        choose("auto", session=session, internet=True)


@pytest.mark.docker
def test_auto_takes_docker_where_an_engine_answers(session: Session, engine_address: str):
    runtime, why = choose("auto", session=session)
    assert runtime.name == "docker"
    assert why == f"containers run on the Docker engine at {engine_address}"


@pytest.fixture
def engine_address(monkeypatch: pytest.MonkeyPatch) -> str:
    """The real engine's."""
    from harness.containers.docker import connect

    monkeypatch.undo()
    engine = connect()
    engine.close()
    monkeypatch.setenv("DOCKER_HOST", engine.address)
    return engine.address


@pytest.mark.parametrize(
    ("option", "default", "wanted", "chosen"),
    [
        (None, "auto", [], "auto"),
        (None, "process", ["auto"], "process"),
        (None, "process", ["auto", "docker", "docker"], "docker"),
        ("process", "docker", ["docker"], "process"),
    ],
)
def test_who_is_listened_to(option, default, wanted, chosen):
    assert agree(option, default, wanted) == chosen


def test_scenarios_must_agree():
    with pytest.raises(SettingsError, match="docker and process"):
        agree(None, "auto", ["process", "auto", "docker"])
