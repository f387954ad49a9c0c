"""Running the real command, and looking at what it leaves behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Workspace:
    """A copy of the project, and a place for temporary files that is this test's own."""

    root: Path
    temporary: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        kept["HARNESS_CONTAINERS"] = "process"  # whether an engine answers here or not
        return {**kept, "TMPDIR": str(self.temporary), "NO_COLOR": "1", "COLUMNS": "200"}

    def harness(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "harness.cli", *arguments],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    @contextmanager
    def started(self, *arguments: str) -> Iterator[Started]:
        """A command that is still running; it is killed at the end if need be."""
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "harness.cli", *arguments],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield Started(process)
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def records(self, scenario: str) -> list[Path]:
        """The folders of a scenario's runs."""
        return sorted((self.root / ".harness" / "runs").glob(f"*-{scenario}-*"))

    def leftovers(self) -> list[str]:
        """Folders, temporary files and mounts that nobody needs any more."""
        found = [str(path) for path in self.temporary.iterdir()]
        sessions = self.root / ".harness" / "sessions"
        found += [str(path) for path in sessions.iterdir() if path.is_dir()] if sessions.is_dir() else []
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        return found + [mount for mount in mounts if str(self.root) in mount]


@dataclass
class Started:
    """A command that is running."""

    process: subprocess.Popen[str]
    seen: list[str] = field(default_factory=list)

    def read_until(self, pattern: str) -> str:
        """Read its output up to a line that matches; fails if it ends before."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.seen.append(line)
            if re.search(pattern, line):
                return line
        raise AssertionError(f"ended before {pattern!r}:\n{''.join(self.seen)}")

    def family(self) -> dict[int, int]:
        """Start times of the process's descendants, by process id."""
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (stat := _stat(int(entry.name))) is not None:
                parents[int(entry.name)] = stat
        family = {self.process.pid}
        while more := {pid for pid, (parent, _) in parents.items() if parent in family} - family:
            family |= more
        return {pid: parents[pid][1] for pid in family - {self.process.pid}}

    def interrupt(self, number: int = signal.SIGINT) -> int:
        """Send a signal and wait for the end; returns the exit code.

        SIGINT goes to the whole process group, as Ctrl-C on a terminal does; others to the process alone.
        """
        if number == signal.SIGINT:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=60)
        self.seen.append(rest)
        return self.process.returncode


def alive(family: dict[int, int]) -> list[int]:
    """Those of these processes that still run."""
    return [pid for pid, started in family.items() if (stat := _stat(pid)) is not None and stat[1] == started]


def _stat(pid: int) -> tuple[int, int] | None:
    """(parent, start time) of a process that is not a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == b"Z" else (int(fields[1]), int(fields[19]))
