"""The command line: ``harness build | up | run | down | doctor``."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """The ``harness`` command."""
    try:
        from harness.cli.app import app

        app()
    except KeyboardInterrupt:  # while modules were still being imported
        sys.exit(130)
