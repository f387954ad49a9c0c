"""What a container without namespaces leaves when its sandbox is killed."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

__all__ = ["kill_marked"]


def kill_marked(assignment: str) -> None:
    """Kill every process that was started with a variable in its environment, on Linux.

    Args:
        assignment: ``NAME=VALUE`` that only the processes to kill have.
    """
    mark = os.fsencode(assignment)
    seen: set[int] = set()
    while found := _marked(mark) - seen:  # again: one of them may have started another meanwhile
        seen |= found
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _marked(mark: bytes) -> set[int]:
    try:
        pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    except FileNotFoundError:  # not Linux
        return set()
    found = set()
    for pid in pids:
        with suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:  # ended, or somebody else's
            if mark in file.read().split(b"\0"):
                found.add(pid)
    return found
