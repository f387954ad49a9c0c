"""The command line: ``harness build | up | run | down | doctor``."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main() -> None:
    """The ``harness`` command."""
    try:
        from harness.cli.app import app

        app()
    except KeyboardInterrupt:  # while modules were still being imported
        _leave(130)
    except SystemExit as ending:
        _leave(ending.code)


def _leave(code: str | int | None) -> None:
    """End the process now: all is closed, and taking the interpreter apart would take half a second."""
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:  # whoever read our output has gone; so do we
        pass
    os._exit(code or 0)
