"""``harness up``: keep a local cloud."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast
from urllib.parse import urlsplit

import typer

from harness.cli.common import (
    ContainerRuntimeName,
    ContainersOption,
    JsonOption,
    ProjectOption,
    command,
    console,
    fail,
    find_cloud,
    find_root,
    reap,
    run_async,
)
from harness.errors import EnvironmentFault, SettingsError

if TYPE_CHECKING:
    from harness.targets.runtimes import RuntimeChoice
    from harness.targets.standing import StandingCloud

__all__ = ["up"]

PORT = 4566


class ClockChoice(StrEnum):
    """How time passes in the cloud."""

    skip = "skip"
    real = "real"


@command
def up(
    project: ProjectOption = None,
    empty: Annotated[
        bool,
        typer.Option(
            "--empty", help="A cloud with nothing deployed; it needs no project. Not with --detach."
        ),
    ] = False,
    detach: Annotated[
        bool,
        typer.Option("--detach", "-d", help="Return once the cloud answers; it stays in the background."),
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, show_default=str(PORT), help="Port on 127.0.0.1; 0 takes any that is free."
        ),
    ] = None,
    clock: Annotated[
        ClockChoice | None,
        typer.Option(
            show_default=ClockChoice.skip,
            help="skip: time jumps when only timers are left. real: it runs as on the wall.",
        ),
    ] = None,
    containers: ContainersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep a local cloud with the project deployed, for repeated runs and for AWS tools, until Ctrl-C."""
    number = PORT if port is None else port
    kind = clock or ClockChoice.skip

    def show(cloud: StandingCloud) -> None:
        _show(cloud, as_json)

    if empty:
        _refuse_with_empty(project, detach, containers)
        run_async(lambda: _serve_empty(number, kind, show))
        return
    root = find_root(project)
    reap(root)
    if detach:
        _detach(root, port, clock, containers, as_json)
    else:
        run_async(lambda: _serve(root, number, kind, containers, show, quiet=as_json))


def _refuse_with_empty(project: Path | None, detach: bool, containers: ContainerRuntimeName | None) -> None:
    """Refuse what makes no sense together with --empty.

    Raises:
        SettingsError: Naming the option.
    """
    if project is not None:
        raise SettingsError(
            "--empty deploys nothing, so it takes no --project",
            hint="leave out one of them; to deploy the project: harness up --project FOLDER",
        )
    if containers is not None:
        raise SettingsError("--empty runs no containers, so it takes no --containers", hint="leave out one")
    if detach:
        raise SettingsError(
            "--empty belongs to no project, so nothing could find it again: it takes no --detach",
            hint="let the shell do it, and end it with kill: harness up --empty &",
        )


async def _serve(
    root: Path,
    port: int,
    clock: ClockChoice,
    containers: ContainerRuntimeName | None,
    ready: Callable[[StandingCloud], None],
    *,
    quiet: bool,
) -> None:
    import harness
    from harness.project.settings import FILE_NAME, Settings
    from harness.scenarios.remote import PATH, RunService
    from harness.scenarios.workbench import build
    from harness.targets.embedded import EmbeddedTarget
    from harness.targets.standing import StandingCloud, announce, claim

    status = console(stderr=True)

    def note(text: str) -> None:
        if not quiet:
            status.print(text, style="dim", soft_wrap=True)

    with claim(root):
        default = cast("RuntimeChoice", Settings.load(root / FILE_NAME).scenarios.containers)
        bundle = await build(root, note)
        async with EmbeddedTarget.start(
            root,
            port=port,
            clock=clock.value,
            lasting=True,
            containers=containers.value if containers else default,
        ) as target:
            await target.deploy(bundle, note)
            target.cloud.routes[PATH] = RunService(root, target)
            cloud = StandingCloud(
                endpoint=target.cloud.endpoint_url,
                pid=os.getpid(),
                region=target.cloud.region,
                account=target.cloud.account,
                version=harness.__version__,
                clock=clock.value,
                containers=target.containers,
            )
            announce(root, cloud)
            ready(cloud)
            await asyncio.Event().wait()  # until a signal


async def _serve_empty(port: int, clock: ClockChoice, ready: Callable[[StandingCloud], None]) -> None:
    """Serve a cloud that has neither images nor a container runtime: no job can name an image."""
    import harness
    from harness.clock import RealClock, SkippingClock
    from harness.cloud import Cloud
    from harness.targets.standing import StandingCloud

    def released(message: str) -> None:
        typer.echo(message, err=True)

    timing = RealClock() if clock == "real" else SkippingClock(drift=True, on_release=released)
    cloud = Cloud(clock=timing)
    await cloud.start(port)
    try:
        ready(
            StandingCloud(
                endpoint=cloud.endpoint_url,
                pid=os.getpid(),
                region=cloud.region,
                account=cloud.account,
                version=harness.__version__,
                clock=clock.value,
                containers="none",
            )
        )
        await asyncio.Event().wait()  # until a signal
    finally:
        await cloud.stop()


def _detach(
    root: Path,
    port: int | None,
    clock: ClockChoice | None,
    containers: ContainerRuntimeName | None,
    as_json: bool,
) -> None:
    """Start another process that serves, and wait until it answers."""
    from harness.targets.standing import find

    there = find_cloud(root)
    if there is not None:
        same = (
            port in (None, 0, urlsplit(there.endpoint).port)
            and clock in (None, there.clock)
            and containers in (None, "auto", there.containers)
        )
        if not same:
            raise EnvironmentFault(
                f"a cloud of this project is already up at {there.endpoint}, with --clock {there.clock} and "
                f"--containers {there.containers}",
                hint="stop it with: harness down",
            )
        _show(there, as_json)
        return
    log = root / ".harness" / "up.log"
    log.parent.mkdir(exist_ok=True)
    options = ["--project", str(root)]
    if port is not None:
        options += ["--port", str(port)]
    if clock is not None:
        options += ["--clock", clock.value]
    if containers is not None:
        options += ["--containers", containers.value]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.cli", "up", *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C here is not for it
        )
    try:
        while (cloud := find(root)) is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.02)
                typer.echo(log.read_text(encoding="utf-8", errors="replace").rstrip(), err=True)
                fail(process.returncode if process.returncode > 0 else 1)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    _show(cloud, as_json)
    if not as_json:
        from harness.report.text import relative

        console().print(f"log: {relative(log)}; stop it with: harness down", soft_wrap=True)


def _show(cloud: StandingCloud, as_json: bool) -> None:
    """Where the cloud is, and what to export."""
    environment = cloud.environment()
    if as_json:
        document = {"endpoint": cloud.endpoint, "pid": cloud.pid, "environment": environment}
        typer.echo(json.dumps(document, indent=1))
        return
    typer.secho(f"local cloud at {cloud.endpoint}", bold=True)
    typer.echo("export " + " ".join(f"{name}={value}" for name, value in environment.items()))
