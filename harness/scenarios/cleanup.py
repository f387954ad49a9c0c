"""Ending what a run has left behind on a cloud that lives on: endpoints, and jobs that nobody waits for.

It goes on while the run's report is already being read; the next run waits for it, so that it neither hears
of another run's jobs nor finds objects that they still write.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from harness.cloud.errors import ServiceError
from harness.cloud.events import EventBus
from harness.scenarios.observe import Observer
from harness.targets.base import Target

__all__ = ["CleanUp", "until"]

PATIENCE = 150.0
"""Real seconds that jobs and endpoints may take to end: a container gets two minutes to heed SIGTERM."""

_END = {
    "endpoint": ("DeleteEndpoint", "EndpointName"),
    "training": ("StopTrainingJob", "TrainingJobName"),
    "transform": ("StopTransformJob", "TransformJobName"),
    "processing": ("StopProcessingJob", "ProcessingJobName"),
    "tuning": ("StopHyperParameterTuningJob", "HyperParameterTuningJobName"),
}


async def until(events: EventBus, condition: Callable[[], bool]) -> None:
    """Wait until something happens that makes the condition true."""
    happened = asyncio.Event()
    unsubscribe = events.subscribe(lambda event: happened.set())
    try:
        while not condition():
            await happened.wait()
            happened.clear()
    finally:
        unsubscribe()


class CleanUp:
    """Ends the jobs and deletes the endpoints of one run after another.

    Args:
        target: Where they are.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._task: asyncio.Task[None] | None = None

    def begin(self, observer: Observer, unsubscribe: Callable[[], object], *, endpoints: bool) -> None:
        """Begin to end what a run started and did not wait for.

        Args:
            observer: Knows what the run started, and goes on watching.
            unsubscribe: Called when the observer need not watch any more.
            endpoints: Delete the endpoints that the run created, too.
        """
        if observer.unfinished(endpoints=endpoints):
            end = self._end(observer, unsubscribe, endpoints)
            self._task = asyncio.get_running_loop().create_task(end, name="clean up")
        else:
            unsubscribe()

    async def finished(self) -> None:
        """Wait until what was begun is done."""
        if self._task is not None:
            await self._task
            self._task = None

    async def abandon(self) -> None:
        """Leave the rest as it is: the whole cloud goes away."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _end(self, observer: Observer, unsubscribe: Callable[[], object], endpoints: bool) -> None:
        events = self._target.events
        try:
            async with asyncio.timeout(PATIENCE):
                # What a function was just starting when its execution ended is heard of a little later.
                while left := observer.unfinished(endpoints=endpoints):
                    async with asyncio.TaskGroup() as group:
                        for kind, name in left:
                            group.create_task(self._end_one(observer, kind, name))
        except TimeoutError:
            for _, name in observer.unfinished(endpoints=endpoints):
                message = f"still there {PATIENCE:.0f} s after the run that made it"
                events.publish("warning", name, message=message)
        finally:
            unsubscribe()

    async def _end_one(self, observer: Observer, kind: str, name: str) -> None:
        events = self._target.events
        # An endpoint that is still being made cannot be deleted yet.
        await until(events, lambda: observer.status(kind, name) not in ("Creating", "Updating"))
        operation, member = _END[kind]
        with contextlib.suppress(ServiceError):  # it has ended, or is ending, already
            await self._target.call("sagemaker", operation, {member: name})
        await until(events, lambda: (kind, name) not in observer.unfinished(endpoints=True))
