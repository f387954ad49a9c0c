"""The processes of the container: how they end, which there are, and what memory they use."""

from __future__ import annotations

import os
import signal

# Exit codes of the program's own making are passed on; these are ours, and the same as Docker's.
SETUP_FAILED = 125
NOT_EXECUTABLE = 126
NOT_FOUND = 127
KILLED = 128 + signal.SIGKILL

FORWARDED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTERM,
    signal.SIGWINCH,
)


def exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def reap(program: int) -> int | None:
    """Collect every child that has ended; the program's wait status when it is among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == program:
            found = status


def kill(pid: int) -> None:
    try:
        if pid < 0:
            os.killpg(-pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def descendants() -> list[int]:
    """The processes below this one; orphans among them, since this is where orphans go."""
    children: dict[int, list[int]] = {}
    try:
        entries = os.listdir("/proc")
    except FileNotFoundError:  # not Linux
        return []
    for entry in entries:
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry))
    found: list[int] = []
    wave = [os.getpid()]
    while wave:
        wave = [child for pid in wave for child in children.get(pid, ())]
        found += wave
    return found


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler of its own for a signal."""
    try:
        with open(f"/proc/{pid}/status") as file:
            (line,) = (line for line in file if line.startswith("SigCgt:"))
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return False
    return bool(int(line.split()[1], 16) >> (number - 1) & 1)


def memory_in_use(limit: int) -> int:
    """Bytes of memory the container uses; pages that processes share are counted once when it matters."""
    members = descendants()
    quick = sum(resident(pid) for pid in members)
    return quick if quick <= limit else sum(proportional(pid) for pid in members)


def resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


def proportional(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        return 0
    except PermissionError:
        return resident(pid)
    return 0
