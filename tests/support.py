"""What tests of several folders share."""

from __future__ import annotations

import os

import pytest

__all__ = ["BASE", "RUNTIMES", "build_settings"]

BASE = os.environ.get("HARNESS_TEST_BASE", "harness.test/python:3.11")
"""A Python image that the engine has, or can pull."""

RUNTIMES = ("process", pytest.param("docker", marks=pytest.mark.docker))
"""Parameters of a test that must hold on either container runtime."""


def build_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Docker builds of the test start from `BASE`."""
    monkeypatch.setenv("HARNESS_DOCKER_BUILD_ARGS", f"BASE={BASE}")
