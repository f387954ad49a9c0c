"""``harness run``: replay scenarios."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from harness.cli.common import (
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
from harness.errors import InputError

if TYPE_CHECKING:
    from harness.cloud.events import Event
    from harness.scenarios.record import RunRecord
    from harness.scenarios.workbench import Reporter
    from harness.targets.runtimes import RuntimeChoice

__all__ = ["run"]


@command
def run(
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(metavar="SCENARIO", help="Paths, or names of files in scenarios/; all by default."),
    ] = None,
    project: ProjectOption = None,
    containers: ContainersOption = None,
    logs: Annotated[bool, typer.Option("--logs", help="Show what jobs and functions log, live.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the endpoints that runs create on the cloud that is up.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Replay scenarios, on the cloud that is up or on one brought up for the run.

    Exit code 0 only if every expectation of every scenario held, 1 if one did not, 2 for wrong input.
    """
    from harness.scenarios.load import find, folder, load

    root = find_root(project)
    reap(root)
    files = find(folder(root), scenarios or [])
    for file in files:
        load(file)  # a mistake in the last of them should not wait for the first ones to be replayed
    cloud = find_cloud(root)
    if keep and cloud is None:
        raise InputError("--keep needs a cloud that stays up", hint="start one with: harness up -d")
    if containers not in (None, "auto") and cloud is not None and containers != cloud.containers:
        raise InputError(
            f"the local cloud that is up runs containers by {cloud.containers}, not by {containers}",
            hint="start it anew: harness down, then harness up -d --containers " + containers,
        )
    started = time.monotonic()

    def replay(reporter: Reporter) -> list[RunRecord]:
        if cloud is not None:
            from harness.scenarios.remote import run_remotely

            reporter.note(f"on the local cloud at {cloud.endpoint}")
            return run_remotely(cloud.endpoint, files, reporter, logs=logs, keep=keep)
        return run_async(
            lambda: _replay_here(root, files, containers.value if containers else None, reporter)
        )

    if as_json:
        records = replay(_Silent())
        passed = all(record.passed for record in records)
        typer.echo(json.dumps({"passed": passed, "runs": [record.as_dict() for record in records]}, indent=1))
    else:
        records = _replay_shown(replay, logs, started)
    if not all(record.passed for record in records):
        fail(1)


def _replay_shown(
    replay: Callable[[Reporter], list[RunRecord]], logs: bool, started: float
) -> list[RunRecord]:
    from harness.report.terminal import TerminalReporter
    from harness.report.text import duration

    out = console()
    with TerminalReporter(out, logs=logs) as reporter:
        records = replay(reporter)
    failed = [record.scenario for record in records if not record.passed]
    took = duration(time.monotonic() - started)
    if len(records) > 1:
        passed = len(records) - len(failed)
        out.print(f"{passed} of {len(records)} scenarios passed in {took}", style="bold", soft_wrap=True)
        for name in failed:
            out.print(f"  ✗ {name}", style="red", soft_wrap=True)
    return records


async def _replay_here(
    root: Path, files: Sequence[Path], option: RuntimeChoice | None, reporter: Reporter
) -> list[RunRecord]:
    """Replay on a cloud of our own, which is gone afterwards."""
    from harness.project.settings import FILE_NAME, Settings
    from harness.scenarios.load import load
    from harness.scenarios.replay import Replayer
    from harness.scenarios.workbench import build, replay_all
    from harness.targets.embedded import EmbeddedTarget
    from harness.targets.runtimes import agree

    scenarios = [load(file) for file in files]
    default = cast("RuntimeChoice", Settings.load(root / FILE_NAME).scenarios.containers)
    containers = agree(option, default, (scenario.containers for scenario in scenarios))
    bundle = await build(root, reporter.note)
    async with EmbeddedTarget.start(root, containers=containers) as target:
        replayer = Replayer(target, root / ".harness" / "runs")
        try:
            return await replay_all(scenarios, bundle, target, replayer, reporter)
        finally:
            await replayer.close()


class _Silent:
    """A reporter that says nothing."""

    def note(self, text: str) -> None:
        pass

    def started(self, name: str, file: str) -> None:
        pass

    def event(self, event: Event) -> None:
        pass

    def finished(self, record: RunRecord) -> None:
        pass
