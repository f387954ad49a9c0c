"""Replays a scenario and stops itself (SIGSTOP) at one moment: whoever started it then looks, and kills it.

    python -m tests.cli.stopping PROJECT RUNTIME TYPE MOMENT

A moment is a status, a secondary status, the start of a message, or ``log``: the first line of its log.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Literal, cast

from harness.clock import run
from harness.cloud.events import Event
from harness.scenarios.load import load
from harness.scenarios.replay import Replayer
from harness.scenarios.workbench import build, replay_all
from harness.targets.embedded import EmbeddedTarget


class Stopper:
    """A reporter that stops the process at its moment."""

    def __init__(self, kind: str, moment: str) -> None:
        self._kind = kind
        self._moment = moment

    def event(self, event: Event) -> None:
        data = event.data
        if event.kind not in ("job", "job.log") or data["type"] != self._kind:
            return
        if event.kind == "job.log":
            at = self._moment == "log"
        else:
            words = (data["status"], data.get("secondary"), data.get("message"))
            at = any(word is not None and word.startswith(self._moment) for word in words)
        if at:
            os.kill(os.getpid(), signal.SIGSTOP)

    def note(self, text: str) -> None:
        pass

    def started(self, name: str, file: str) -> None:
        pass

    def finished(self, record: object) -> None:
        pass


async def main(root: Path, runtime: Literal["docker", "process"], stopper: Stopper) -> None:
    bundle = await build(root, stopper.note)
    async with EmbeddedTarget.start(root, containers=runtime) as target:
        replayer = Replayer(target, root / ".harness" / "runs")
        await replay_all([load(root / "scenarios" / "happy.yaml")], bundle, target, replayer, stopper)


if __name__ == "__main__":
    project, chosen, kind, moment = sys.argv[1:]
    run(main(Path(project), cast("Literal['docker', 'process']", chosen), Stopper(kind, moment)))
