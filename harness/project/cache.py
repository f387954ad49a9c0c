"""Where layers, images and Python environments are kept between runs, and how processes share them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["cache_folder", "locked"]


def cache_folder() -> Path:
    """``$HARNESS_CACHE``, else ``$XDG_CACHE_HOME/harness``, else ``~/.cache/harness``; links resolved."""
    chosen = os.environ.get("HARNESS_CACHE")
    if chosen:
        return Path(chosen).expanduser().resolve()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache").resolve() / "harness"


@contextmanager
def locked(folder: Path, key: str) -> Iterator[Path]:
    """Let one process at a time make an item of the cache.

    Args:
        folder: Where items of its kind lie, e.g. ``cache_folder() / "images"``.
        key: What it is called there.

    Yields:
        The folder that is to hold it. Its parent exists; it may itself exist, when it was made meanwhile.
    """
    (folder / ".locks").mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / ".locks" / key, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder / key
    finally:
        os.close(descriptor)
