"""One attempt at a task, without an interpreter around it."""

from __future__ import annotations

from typing import Any

import pytest

from harness.asl.tasks import JSON, TaskError
from harness.clock import run
from harness.cloud.stepfunctions.activities import Activities
from harness.cloud.stepfunctions.integrations import Integrations
from harness.cloud.stepfunctions.tokens import TaskTokens

from .fakes import FakeCloud, Progress, resource, task


async def _never(arn: str) -> dict[str, Any]:
    raise AssertionError(f"nobody waits for {arn}")


def integrations_of(cloud: FakeCloud, tokens: TaskTokens | None = None) -> Integrations:
    """The integrations over a fake cloud; none of them waits for executions."""
    tokens = tokens or TaskTokens()
    return Integrations(cloud, tokens, Activities(cloud, tokens), _never)


def attempt(cloud: FakeCloud, arn: str, arguments: JSON, token: str | None = None) -> tuple[JSON, Progress]:
    """The result of one attempt, and what was reported of it."""
    progress = Progress()

    async def main() -> JSON:
        return await integrations_of(cloud).run(task(arn, arguments, token), progress)

    return run(main()), progress


def perform(cloud: FakeCloud, arn: str, arguments: JSON, token: str | None = None) -> tuple[JSON, list[Any]]:
    """The result of one attempt, and the events that were reported of it."""
    result, progress = attempt(cloud, arn, arguments, token)
    return result, progress.reported


def failure(cloud: FakeCloud, arn: str, arguments: JSON, token: str | None = None) -> TaskError:
    """How one attempt fails."""
    with pytest.raises(TaskError) as caught:
        perform(cloud, arn, arguments, token)
    return caught.value


def check(cloud: FakeCloud, arn: str, parameters: JSON = None) -> list[str]:
    """What is wrong with the Parameters of a state, at creation."""
    return integrations_of(cloud).check(resource(arn), parameters)
