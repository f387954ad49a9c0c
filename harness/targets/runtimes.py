"""Which container runtime a local cloud gets."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

from harness.containers.process import ProcessRuntime
from harness.containers.runtime import ContainerRuntime
from harness.containers.session import Session
from harness.errors import EnvironmentFault, SettingsError

if TYPE_CHECKING:
    from harness.containers.docker import Engine

__all__ = ["VARIABLE", "RuntimeChoice", "agree", "choose", "find_engine"]

RuntimeChoice = Literal["auto", "docker", "process"]

VARIABLE = "HARNESS_CONTAINERS"
"""The environment variable that says what ``auto`` means, for CI and tox."""

PATIENCE = 1.0
"""Real seconds an engine has to answer before ``auto`` does without it."""


def choose(
    choice: RuntimeChoice, *, session: Session, internet: bool = False
) -> tuple[ContainerRuntime, str]:
    """A runtime, and one sentence on which it is and why.

    Args:
        choice: ``auto`` takes Docker where an engine answers.
        session: What the runtime makes belongs to it.
        internet: See `harness.containers.docker.DockerRuntime`.

    Raises:
        EnvironmentFault: ``docker`` was asked for and no engine answers.
        SettingsError: The process runtime was asked for containers that reach the internet.
    """
    why = ""
    if choice == "auto":
        choice, why = _from_environment()
    if choice == "process":
        if internet:
            raise SettingsError(
                "containers without Docker never reach the internet",
                place="[containers] internet",
                hint="Start Docker and use --containers docker, or take it out.",
            )
        return ProcessRuntime(session=session), f"containers run as processes{why}"
    engine: Engine | None = None
    if choice == "auto":
        engine, problem = find_engine()
        if engine is None:
            return choose("process", session=session, internet=internet)[0], (
                f"containers run as processes: {problem}"
            )
    from harness.containers.docker import DockerRuntime, connect

    engine = engine or connect()
    return DockerRuntime(engine=engine, session=session, internet=internet), (
        f"containers run on the Docker engine at {engine.address}{why}"
    )


def agree(option: RuntimeChoice | None, default: RuntimeChoice, wanted: Iterable[str]) -> RuntimeChoice:
    """What a cloud for some scenarios is to run containers with.

    Args:
        option: What the command line says. A scenario that asks for another runtime is refused later.
        default: What harness.toml says.
        wanted: What the scenarios say.

    Raises:
        SettingsError: They ask for different runtimes.
    """
    if option is not None:
        return option
    named = sorted({choice for choice in wanted if choice != "auto"})
    if len(named) > 1:
        raise SettingsError(
            f"these scenarios ask for different runtimes: {' and '.join(named)}",
            hint="Run them apart.",
        )
    return cast("RuntimeChoice", named[0]) if named else default


def _from_environment() -> tuple[RuntimeChoice, str]:
    value = os.environ.get(VARIABLE, "") or "auto"
    if value not in get_args(RuntimeChoice):
        raise EnvironmentFault(
            f"{VARIABLE} is {value!r}", hint="Set it to auto, docker or process, or unset it."
        )
    return cast("RuntimeChoice", value), "" if value == "auto" else f", as {VARIABLE} says"


def find_engine() -> tuple[Engine | None, str]:
    """An engine that answers within `PATIENCE`, or why there is none."""
    configuration = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker")) / "config.json"
    named = any(os.environ.get(name) for name in ("DOCKER_HOST", "DOCKER_CONTEXT"))
    if sys.platform == "linux" and not (
        named or configuration.exists() or os.path.exists("/var/run/docker.sock")
    ):
        return None, "there is no Docker engine here"  # found out without loading the SDK
    from harness.containers.docker import connect

    try:
        return connect(PATIENCE), ""
    except EnvironmentFault as fault:
        return None, fault.message
