"""Starting an engine, waiting until it answers, and stopping it with everything it started."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.engines.peers import Engine, Unavailable
from benchmarks.engines.workloads import pause

__all__ = ["START_DEADLINE", "Server", "started"]

START_DEADLINE = 60.0
"""Seconds from the start of the process until it must answer."""

_STOP_DEADLINE = 10.0
_HOST = "127.0.0.1"


@dataclass(frozen=True)
class Server:
    """An engine that runs.

    Attributes:
        endpoint: Its URL.
        began: When its process was started, in `time.perf_counter` seconds.
        process: Its process, the first of a process group of its own.
        log: What it prints.
    """

    endpoint: str
    began: float
    process: subprocess.Popen[bytes]
    log: Path

    def wait_for_port(self) -> None:
        """Return once the port is open.

        Raises:
            Unavailable: The process has ended, or it took too long.
        """
        port = int(self.endpoint.rpartition(":")[2])
        while True:
            with suppress(OSError):
                socket.create_connection((_HOST, port), timeout=1).close()
                return
            self.check("its port is closed")
            pause(0.002)

    def check(self, state: str) -> None:
        """Find out whether it is still worth waiting for.

        Args:
            state: What is wrong with it now.

        Raises:
            Unavailable: It is not.
        """
        code = self.process.poll()
        if code is not None:
            raise Unavailable(f"it ended with exit code {code}: {self._last_words()}")
        if time.perf_counter() - self.began > START_DEADLINE:
            raise Unavailable(f"not up after {START_DEADLINE:.0f} s: {state}: {self._last_words()}")

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1].strip()[:200] if lines else "it printed nothing"


@contextmanager
def started(engine: Engine, programs: Path) -> Iterator[Server]:
    """A new process of the engine on a free port; at the end its whole process group is ended.

    Args:
        engine: What to start.
        programs: The folder of its environment's programs.
    """
    scratch = Path(tempfile.mkdtemp(prefix="benchmark-"))
    port = _free_port()
    values = {"port": str(port), "bin": str(programs), "scratch": str(scratch / "volume")}
    (scratch / "volume").mkdir()
    log = scratch / "log"
    # Neither settings for an AWS account nor for Python, such as to write no bytecode, are the server's.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))
    }
    environment |= {name: value.format(**values) for name, value in engine.environment.items()}
    command = [part.format(**values) for part in engine.command]
    try:
        with log.open("wb") as output:
            began = time.perf_counter()
            try:
                process = subprocess.Popen(
                    command,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise Unavailable(f"it cannot be started: {error}") from error
        try:
            yield Server(f"http://{_HOST}:{port}", began, process, log)
        finally:
            _stop(process)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process group: by asking, then by force; the force also meets children that outlive the first."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_DEADLINE)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port
