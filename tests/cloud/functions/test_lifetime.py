"""No process outlives the harness."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHILD = """
import asyncio, sys
from harness import clock
from tests.cloud.functions.support import functions

async def main():
    async with functions() as f:
        await f.create(
            "import os, subprocess, time\\n"
            "def handler(event, context):\\n"
            "    if event:\\n"
            "        subprocess.Popen(['sleep', '604'], start_new_session=True)\\n"
            "        time.sleep(600)\\n",
            Timeout=900,
        )
        await f.invoke()
        task = asyncio.create_task(f.invoke(1))
        while not list(children_asleep()):
            await asyncio.sleep(0.05)
        print(f.cloud.folder, flush=True)
        if sys.argv[1] == "wait":
            await task

def children_asleep():
    from pathlib import Path
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes() == b"sleep\\x00604\\x00":
                yield folder
        except OSError:
            pass

clock.run(main())
"""


def _descendants(pid: int) -> set[int]:
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        parents.setdefault(parent, []).append(int(folder.name))
    found: set[int] = set()
    pending = [pid]
    while pending:
        new = parents.get(pending.pop(), [])
        found.update(new)
        pending += new
    return found


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
@pytest.mark.parametrize("how", ["kill", "interrupt", "close"])
def test_nothing_outlives_the_harness(how: str) -> None:
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, "close" if how == "close" else "wait"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    folder: Path | None = None
    descendants: set[int] = set()
    try:
        line = process.stdout.readline().strip()
        assert line.startswith("/")
        folder = Path(line)
        descendants = _descendants(process.pid)
        if how != "close":
            assert len(descendants) >= 4  # two of the template, the environment, and the function's own child
            os.kill(process.pid, signal.SIGKILL if how == "kill" else signal.SIGINT)
        process.wait(timeout=20)
        deadline = time.monotonic() + 10
        while (left := {pid for pid in descendants if _alive(pid)}) and time.monotonic() < deadline:
            os.sched_yield()
        assert left == set()
    finally:
        process.stdout.close()
        process.kill()
        process.wait()
        for pid in descendants:
            if _alive(pid):
                os.kill(pid, signal.SIGKILL)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)  # sweeping up files is the next session's task
