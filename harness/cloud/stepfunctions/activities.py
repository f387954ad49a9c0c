"""Activities: tasks that workers outside fetch, do, and send the results of.

Each activity has a queue: the task that has waited longest goes to the worker that has asked longest.

**Time under the skipping clock.** Workers are programs that the clock knows nothing about, so it could jump
to a time limit over a worker's head. It does not, because

* from the moment a worker gets a task until its outcome is known, time runs at wall speed, as it does while
  a Lambda function runs: TimeoutSeconds and HeartbeatSeconds mean what they say;
* likewise while a task waits in the queue of an activity that has a live worker, which is one that polled or
  sent a result less than `LIVELY` real seconds ago: it is taken to be on its way back for the next task.

A worker that polls and finds nothing to do holds nothing up: time jumps over a Wait while workers poll. Nor
does a task that waits in the queue of an activity nobody polls: a time limit of the whole execution is jumped
to. The poll itself lasts for real seconds, or workers would spin.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

from harness.asl.history import HistoryFull
from harness.asl.tasks import JSON, TaskError, TaskProgress, TaskRequest
from harness.asl.values import json_text
from harness.clock import Clock
from harness.cloud.errors import ServiceError
from harness.cloud.service import CloudContext
from harness.cloud.stepfunctions import errors
from harness.cloud.stepfunctions.names import activity_name, check_name, random_token
from harness.cloud.stepfunctions.settings import Settings, encryption_of, warn_of_key
from harness.cloud.stepfunctions.tags import merge
from harness.cloud.stepfunctions.tokens import Callback, TaskTokens

__all__ = ["Activities", "Activity"]

POLL: Final = 60.0
"""Real seconds GetActivityTask waits for a task."""
LIVELY: Final = 60.0
"""Real seconds after its last call in which a worker is taken to be alive."""
POLLERS: Final = 1000
"""Workers that can poll one activity at once (developer guide, "Service quotas")."""


class _Task:
    """One task of an activity, from when it is scheduled until its outcome is known."""

    __slots__ = ("callback", "hold", "input", "token")

    def __init__(self, text: str, progress: TaskProgress) -> None:
        self.input = text
        self.callback = Callback(progress)
        self.token: str | None = None
        self.hold = ExitStack()


@dataclass(eq=False)
class _Queue:
    """The tasks that wait for a worker, and the workers that wait for a task: never both at once.

    Attributes:
        clock: Time.
        lively: Real seconds after its last call in which a worker is taken to be alive.
        tasks: Longest wait first.
        pollers: Likewise. A poller is given a task, and then hands it out to itself.
        seen: When a worker was last heard of, in real time; None for never.
        hold: Holds the clock while a task waits for a live worker.
    """

    clock: Clock
    lively: float
    tasks: deque[_Task] = field(default_factory=deque)
    pollers: deque[asyncio.Future[_Task]] = field(default_factory=deque)
    seen: float | None = None
    hold: ExitStack | None = None

    def put(self, task: _Task, *, first: bool = False) -> None:
        """Give a task to the next worker, or let it wait for one: at the end of the queue, or first in it."""
        while self.pollers:
            poller = self.pollers.popleft()
            if not poller.done():
                poller.set_result(task)
                return
        if first:
            self.tasks.appendleft(task)
        else:
            self.tasks.append(task)
        self.attend()

    def drop(self, task: _Task) -> None:
        """Take out a task that nobody waits for any more."""
        if task in self.tasks:
            self.tasks.remove(task)
            self.attend()

    def greet(self) -> None:
        """Note that a worker has been heard of."""
        self.seen = asyncio.get_running_loop().time()
        self.attend()

    def attend(self) -> None:
        """Hold the clock if a task waits for a live worker, and only then."""
        loop = asyncio.get_running_loop()
        remaining = 0.0 if self.seen is None else self.seen + self.lively - loop.time()
        if self.tasks and remaining > 0:
            if self.hold is None:
                self.hold = ExitStack()
                self.hold.enter_context(self.clock.work("function"))
                timer = loop.call_later(remaining, self._look_again)
                self.hold.callback(timer.cancel)
        elif self.hold is not None:
            hold, self.hold = self.hold, None
            hold.close()

    def _look_again(self) -> None:
        """The worker may have been heard of again since; if not, it is taken to be gone."""
        if self.hold is not None:
            self.hold.close()
            self.hold = None
        self.attend()


@dataclass(eq=False)
class Activity:
    """An activity.

    Attributes:
        arn: Its ARN.
        name: Unique in the cloud.
        serial: What activities are listed by.
        created: Virtual time.
        encryption: EncryptionConfiguration.
        tags: By key.
        queue: Its tasks and workers.
    """

    arn: str
    name: str
    serial: int
    created: float
    encryption: Settings
    tags: dict[str, str]
    queue: _Queue


class Activities:
    """All activities of a cloud.

    Args:
        cloud: Where they are.
        tokens: Accepts the tokens of tasks that workers have.

    Attributes:
        poll_time: Real seconds GetActivityTask waits for a task.
        lively: Real seconds after its last call in which a worker is taken to be alive.
    """

    def __init__(self, cloud: CloudContext, tokens: TaskTokens) -> None:
        self.poll_time = POLL
        self.lively = LIVELY
        self._cloud = cloud
        self._tokens = tokens
        self._by_name: dict[str, Activity] = {}
        self._serials = itertools.count()

    def __iter__(self) -> Iterator[Activity]:
        """In the order of their creation."""
        return iter(self._by_name.values())

    def find(self, arn: str) -> Activity | None:
        """The activity of an ARN, if it is there.

        Raises:
            ServiceError: InvalidArn.
        """
        activity = self._by_name.get(activity_name(arn))
        return activity if activity is not None and activity.arn == arn else None

    def get(self, arn: str) -> Activity:
        """The activity of an ARN.

        Raises:
            ServiceError: InvalidArn, ActivityDoesNotExist.
        """
        activity = self.find(arn)
        if activity is None:
            raise errors.activity_does_not_exist(arn)
        return activity

    def create(self, params: Mapping[str, Any]) -> Activity:
        """CreateActivity: a new activity, or the one there is of that name, its tags as they were.

        Raises:
            ServiceError: InvalidName, TooManyTags, InvalidEncryptionConfiguration, ActivityAlreadyExists.
        """
        name = params["name"]
        check_name(name)
        arn = self._cloud.arn("states", f"activity:{name}")
        encryption = encryption_of(params)
        tags = merge(arn, {}, params.get("tags", ()))
        found = self._by_name.get(name)
        if found is not None:
            if found.encryption != encryption:
                raise ServiceError("ActivityAlreadyExists", f"Activity Already Exists: '{arn}'")
            return found
        activity = Activity(
            arn=arn,
            name=name,
            serial=next(self._serials),
            created=self._cloud.clock.now(),
            encryption=encryption,
            tags=tags,
            queue=_Queue(self._cloud.clock, self.lively),
        )
        self._by_name[name] = activity
        warn_of_key(self._cloud, arn, encryption)
        return activity

    def delete(self, arn: str) -> None:
        """Delete an activity; one that is not there is none to delete.

        Its queue is left as it is: nobody can poll it any more.

        Raises:
            ServiceError: InvalidArn.
        """
        activity = self.find(arn)
        if activity is not None:
            del self._by_name[activity.name]

    # Tasks -----------------------------------------------------------------------------------------------

    async def run(self, request: TaskRequest, progress: TaskProgress) -> JSON:
        """Have a worker do a task; its output.

        Raises:
            TaskError: As the worker says; States.Runtime if there is no such activity.
        """
        activity = self._known(request.resource.arn)
        task = _Task(json_text(request.arguments), progress)
        queue = activity.queue
        queue.put(task)
        try:
            outcome = await task.callback.result()
            queue.greet()
            return outcome
        except TaskError:
            queue.greet()
            raise
        finally:
            queue.drop(task)
            if task.token is not None:
                self._tokens.retire(task.token)
            task.hold.close()
            task.callback.discard()

    def _known(self, arn: str) -> Activity:
        try:
            activity = self.find(arn)
        except ServiceError:
            activity = None
        if activity is None:
            raise TaskError("States.Runtime", f"The activity {arn} does not exist.", "schedule")
        return activity

    async def poll(self, arn: str, worker: str | None = None) -> tuple[str, str] | None:
        """GetActivityTask: wait for a task of an activity.

        Args:
            arn: The activity's ARN.
            worker: workerName, which the history shows.

        Returns:
            Task token and input; None if there was nothing to do.

        Raises:
            ServiceError: InvalidArn, ActivityDoesNotExist, ActivityWorkerLimitExceeded.
        """
        queue = self.get(arn).queue
        if len(queue.pollers) >= POLLERS:
            raise ServiceError(
                "ActivityWorkerLimitExceeded", f"More than {POLLERS} workers poll the activity '{arn}'"
            )
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.poll_time
        queue.greet()
        try:
            while (task := await self._next(queue, deadline - loop.time())) is not None:
                if self._hand_out(task, worker):
                    assert task.token is not None
                    return task.token, task.input
            return None
        finally:
            queue.greet()

    async def _next(self, queue: _Queue, seconds: float) -> _Task | None:
        """The task that has waited longest, or that comes within so many real seconds."""
        if queue.tasks:
            return queue.tasks.popleft()
        poller: asyncio.Future[_Task] = asyncio.get_running_loop().create_future()
        queue.pollers.append(poller)
        try:
            async with asyncio.timeout(seconds):
                return await poller
        except TimeoutError:
            return None if poller.cancelled() else poller.result()
        except asyncio.CancelledError:
            if poller.done() and not poller.cancelled():
                queue.put(poller.result(), first=True)  # the worker went away: the next one's turn
            raise
        finally:
            if poller in queue.pollers:
                queue.pollers.remove(poller)

    def _hand_out(self, task: _Task, worker: str | None) -> bool:
        """Start a task: from now on its token is accepted. Whether it is still to be done."""
        callback = task.callback
        if callback.settled:
            return False
        try:
            callback.progress.started(worker)
        except HistoryFull as error:
            callback.abandon(error)
            return False
        task.token = random_token(self._cloud.entropy)
        self._tokens.accept(task.token, callback)
        task.hold.enter_context(self._cloud.clock.work("function"))
        return True
