"""What a harness process has on disk and in the process table while it lives, and who clears up after it.

    <root>/.harness/sessions/lock            held while a session is made or dead ones are cleared away
    <root>/.harness/sessions/<id>/lock       held by the owner as long as it lives: the kernel lets go of it
                                             however the owner ends
    <root>/.harness/sessions/<id>/children/  one file per child process, named by its process id
    <root>/.harness/sessions/<id>/engine     address of the Docker engine on which the session has something
    <root>/.harness/sessions/<id>/...        scratch space

A session clears up after itself; `reap` does it for owners that were killed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import select
import shutil
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Session", "reap", "remove_tree"]

DEATH = 5.0  # seconds a killed process may take to be gone


class Session:
    """A folder of scratch space and a list of child processes that do not outlive this process.

    Args:
        root: The project's folder; the session's own is ``.harness/sessions/<id>`` below it.

    Attributes:
        id: Unique among the sessions of this machine.
        root: The project's folder.
        path: The session's folder.
    """

    def __init__(self, root: Path) -> None:
        sessions = _sessions(root)
        sessions.mkdir(parents=True, exist_ok=True)
        self.id = f"{os.getpid()}-{secrets.token_hex(4)}"
        self.root = root.resolve()
        self.path = sessions.resolve() / self.id
        with _locked(sessions / "lock"):
            (self.path / "children").mkdir(parents=True)
            self._lock: int | None = _open_lock(self.path / "lock")
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def folder(self, name: str) -> Path:
        """A folder of the session's, made if need be."""
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def record(self, pid: int) -> None:
        """Note a child process: it is killed at the session's end, whoever ends it."""
        (self.path / "children" / str(pid)).write_text(_identity(pid) or "")

    def forget(self, pid: int) -> None:
        """A child process has ended."""
        (self.path / "children" / str(pid)).unlink(missing_ok=True)

    def uses_engine(self, address: str) -> None:
        """Note that things on a Docker engine bear the session's label: they are removed at its end."""
        (self.path / "engine").write_text(address)

    def has_left_engine(self) -> None:
        """Nothing of the session is on the engine any more."""
        (self.path / "engine").unlink(missing_ok=True)

    def close(self) -> None:
        """Kill the children that are left and remove the folder. Harmless when done before."""
        if self._lock is None:
            return
        with _locked(self.path.parent / "lock"):
            _kill_children(self.path)
            _, problem = _clear_engine(self.path)
            if problem is None:  # else `reap` tries again
                remove_tree(self.path)
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def reap(root: Path) -> list[str]:
    """Clear away what sessions left whose owner is dead; live ones are not touched.

    Args:
        root: As for `Session`.

    Returns:
        A sentence for each thing that was cleared away.
    """
    sessions = _sessions(root)
    done: list[str] = []
    if not sessions.is_dir():
        return done
    with _locked(sessions / "lock"):
        for path in sorted(entry for entry in sessions.iterdir() if entry.is_dir()):
            lock = _open_lock(path / "lock")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            else:
                killed = _kill_children(path)
                done += [f"killed process {pid}, left by session {path.name}" for pid in killed]
                removed, problem = _clear_engine(path)
                done += removed
                if problem:
                    done.append(f"session {path.name} may have left containers: {problem}")
                    continue  # the next command tries again
                remove_tree(path)
                done.append(f"removed {path}, left by session {path.name}")
            finally:
                os.close(lock)
    return done


def remove_tree(path: Path) -> None:
    """Remove a folder with all that is in it, also what is write-protected. Harmless when it is not there.

    Raises:
        OSError: Something in it is somebody else's, or is being written to all the time.
    """
    deadline = time.monotonic() + DEATH
    unprotected = False
    while os.path.lexists(path):
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            continue  # somebody else removes it as well
        except PermissionError:
            if unprotected:
                raise
            unprotected = True
            os.chmod(path, stat.S_IRWXU)
            for folder, _, _ in os.walk(path):  # os.walk lists a folder only after this has seen its parent
                for entry in os.scandir(folder):
                    if entry.is_dir(follow_symlinks=False):
                        os.chmod(entry.path, stat.S_IRWXU)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY or time.monotonic() > deadline:
                raise  # else a process that is about to die still writes


def _sessions(root: Path) -> Path:
    return root / ".harness" / "sessions"


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = _open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _kill_children(path: Path) -> list[int]:
    """Kill the recorded processes that are still the same."""
    children = path / "children"
    recorded = sorted(children.iterdir()) if children.is_dir() else []
    return [int(entry.name) for entry in recorded if _kill(int(entry.name), entry.read_text())]


def _clear_engine(path: Path) -> tuple[list[str], str | None]:
    """Remove what a session has on a Docker engine: what was removed, and why something was not."""
    note = path / "engine"
    if not note.exists():
        return [], None
    from harness.containers.docker.leftovers import NotRemoved, clear_session

    try:
        return clear_session(note.read_text(), path.name), None
    except NotRemoved as problem:
        return [], str(problem)


def _kill(pid: int, identity: str) -> bool:
    """Kill a process unless its id now belongs to another; wait until it is gone."""
    if not identity:
        return False
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if _identity(pid) != identity:
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        poller.poll(DEATH * 1000)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)


def _identity(pid: int) -> str | None:
    """What tells a process from a later one with the same id: when, and in which boot, it started."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return f"{boot} {int(fields[19])}"
