"""What tests of several folders share."""

from __future__ import annotations

import pytest

__all__ = ["RUNTIMES"]

RUNTIMES = ("process", pytest.param("docker", marks=pytest.mark.docker))
"""Parameters of a test that must hold on either container runtime."""
