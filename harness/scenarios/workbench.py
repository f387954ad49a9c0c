"""From a project's folder to replayed scenarios: build, deploy, replay, telling somebody all the while."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from harness.cloud.events import Event
from harness.errors import ScenarioError
from harness.project.bundle import Bundle
from harness.project.project import Project
from harness.scenarios.model import Scenario
from harness.scenarios.record import RunRecord
from harness.scenarios.replay import Replayer, check
from harness.targets.base import Progress, Target

__all__ = ["Reporter", "build", "replay_all"]


class Reporter(Protocol):
    """Hears what happens while scenarios are replayed."""

    def note(self, text: str) -> None:
        """Something is being prepared."""

    def started(self, name: str, file: str) -> None:
        """A scenario begins."""

    def event(self, event: Event) -> None:
        """Something happened in the cloud."""

    def finished(self, record: RunRecord) -> None:
        """A scenario is over."""


async def build(root: Path, on_progress: Progress) -> Bundle:
    """Build the project's bundle, or find it built; the event loop stays free.

    Raises:
        InputError: A file of the project is missing or wrong.
    """
    loop = asyncio.get_running_loop()

    def from_thread(text: str) -> None:
        loop.call_soon_threadsafe(on_progress, text)

    return await asyncio.to_thread(lambda: Project.load(root).build(from_thread))


async def replay_all(
    scenarios: Sequence[Scenario],
    bundle: Bundle,
    target: Target,
    replayer: Replayer,
    reporter: Reporter,
    *,
    keep: bool = False,
) -> list[RunRecord]:
    """Deploy the bundle where it is not deployed yet, and replay scenarios one after another.

    Raises:
        HarnessError: The bundle cannot be deployed, or a scenario does not fit it or the target.
    """
    deployment = await target.deploy(bundle, reporter.note)
    for scenario in scenarios:
        # A mistake in the last should not wait for the first to be replayed.
        if scenario.containers not in ("auto", target.containers):
            raise ScenarioError(
                f"it asks for containers: {scenario.containers}; this cloud runs them by {target.containers}",
                file=scenario.file,
                place=scenario.places.get("containers"),
            )
        check(scenario, deployment)
    records = []
    for scenario in scenarios:
        reporter.started(scenario.name, str(scenario.file))
        records.append(await replayer.replay(scenario, deployment, reporter.event, keep=keep))
        reporter.finished(records[-1])
    return records
