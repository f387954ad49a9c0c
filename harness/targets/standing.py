"""The local cloud that `harness up` keeps: one a project, found through two files.

    .harness/up.lock   held by its process as long as it lives; the kernel lets go of it however that ends
    .harness/up.json   what others need to know of it, written once it answers

So whether a cloud is up is never guessed from a process id or a port that may since belong to another.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.errors import EnvironmentFault

__all__ = ["StandingCloud", "announce", "claim", "find", "stop"]

_GRACE = 20.0
"""Seconds a cloud gets to clean up before it is killed."""


@dataclass(frozen=True)
class StandingCloud:
    """A local cloud that is up.

    Attributes:
        endpoint: Its URL.
        pid: Its process.
        region: The region it plays.
        account: The account it plays.
        version: The harness's version it runs.
        clock: ``skip`` or ``real``.
        containers: The container runtime.
    """

    endpoint: str
    pid: int
    region: str
    account: str
    version: str
    clock: str
    containers: str

    def environment(self) -> dict[str, str]:
        """What AWS tools need in their environment to talk to it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            # StartSyncExecution's host is sync-<endpoint's host>, which a loopback address cannot have.
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": self.region,
        }


@contextmanager
def claim(root: Path) -> Iterator[None]:
    """Be the process that keeps the project's cloud, for as long as the context is open.

    Raises:
        EnvironmentFault: Another process keeps one.
    """
    lock = _open(root)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            there = _read(root)
            where = f" at {there.endpoint}" if there else ""
            raise EnvironmentFault(
                f"a local cloud of this project is already up{where}", hint="stop it with: harness down"
            ) from None
        _file(root).unlink(missing_ok=True)  # left by one that was killed
        yield
        _file(root).unlink(missing_ok=True)
    finally:
        os.close(lock)


def announce(root: Path, cloud: StandingCloud) -> None:
    """Let others find the cloud; only within `claim`."""
    path = _file(root)
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps(asdict(cloud), indent=1), encoding="utf-8")
    scratch.replace(path)


def find(root: Path) -> StandingCloud | None:
    """The project's cloud, if one is up and answers."""
    return _read(root) if _alive(root) else None


def stop(root: Path, cloud: StandingCloud) -> bool:
    """End the cloud's process and wait for its end.

    Returns:
        Whether it ended by itself; false when it had to be killed.

    Raises:
        EnvironmentFault: It cannot be ended.
    """
    try:
        process = os.pidfd_open(cloud.pid)
    except ProcessLookupError:
        return True
    try:
        # The lock is held by exactly the process that wrote its id, so the id cannot be another's.
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not _alive(root):
                return True
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, number)
            poller = select.poll()
            poller.register(process, select.POLLIN)
            if poller.poll(_GRACE * 1000):
                _file(root).unlink(missing_ok=True)
                return number == signal.SIGTERM
    finally:
        os.close(process)
    raise EnvironmentFault(f"process {cloud.pid} cannot be ended", hint=f"look at it: ps -fp {cloud.pid}")


def _alive(root: Path) -> bool:
    if not (root / ".harness" / "up.lock").exists():
        return False
    lock = _open(root)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _read(root: Path) -> StandingCloud | None:
    """What the file says; None while the cloud is still starting."""
    try:
        return StandingCloud(**json.loads(_file(root).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _file(root: Path) -> Path:
    return root / ".harness" / "up.json"


def _open(root: Path) -> int:
    path = root / ".harness" / "up.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
