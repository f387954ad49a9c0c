"""How much memory an environment uses.

An environment shares with its template what that has loaded, so its resident size says little. What counts is
what it has come to need since it was forked, over what a bare Python environment takes on AWS.
"""

from __future__ import annotations

from pathlib import Path

MEGABYTE = 1 << 20
BARE = 36 * MEGABYTE
"""``Max Memory Used`` that AWS reports for a Python function that does nothing."""


def used(pid: int, resident: int) -> int | None:
    """The most memory an environment has used so far, with the programs it runs now.

    Args:
        pid: Its process.
        resident: Bytes resident when it had just been forked.

    Returns:
        Bytes; None when the process has ended or this machine cannot tell.
    """
    peak = _status(pid, "VmHWM:")
    if peak is None:
        return None
    return BARE + max(0, peak - resident) + sum(_status(child, "VmRSS:") or 0 for child in _descendants(pid))


def _status(pid: int, name: str) -> int | None:
    """A size from /proc/<pid>/status, in bytes."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return None  # a process that is about to be gone has no memory left


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    pending = [pid]
    while pending:
        for children in Path(f"/proc/{pending.pop()}/task").glob("*/children"):
            try:
                pending += (new := [int(child) for child in children.read_text().split()])
            except OSError:
                continue
            found += new
    return found
