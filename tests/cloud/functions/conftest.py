from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from harness.clock import IdleEventLoop
from tests.cloud.functions.support import Functions, functions

T = TypeVar("T")

Play = Callable[[Callable[[Functions], Coroutine[Any, Any, T]]], T]


@pytest.fixture(scope="module")
def play() -> Iterator[Play[Any]]:
    """Runs a coroutine function with a `Functions` that all tests of a module share, on real time.

    The template process is started once; tests keep apart by the names of their functions.
    """
    with asyncio.Runner(loop_factory=IdleEventLoop) as runner:
        shared = functions()
        opened = runner.run(shared.__aenter__())
        try:
            yield lambda story: runner.run(story(opened))
        finally:
            runner.run(shared.__aexit__(None, None, None))
