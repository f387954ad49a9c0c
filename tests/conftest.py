"""Settings of the whole suite."""

from __future__ import annotations

import os
from functools import cache

import pytest
from hypothesis import settings

from harness.containers.docker import connect
from harness.errors import EnvironmentFault

# In CI the same examples every time: what is to be found by chance is to be found by whoever works on it.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@cache
def no_engine() -> str | None:
    """Why no Docker engine can be used, None when one answers."""
    try:
        connect(timeout=5).close()
    except EnvironmentFault as fault:
        return fault.message
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a Docker engine where there is none, unless there must be one."""
    if item.get_closest_marker("docker") is None or os.environ.get("HARNESS_REQUIRE_DOCKER"):
        return
    if reason := no_engine():
        pytest.skip(reason)
