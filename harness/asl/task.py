"""Task states."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable
from typing import Any, Final, Literal

from harness.asl.errors import DATA_LIMIT_EXCEEDED, HEARTBEAT_TIMEOUT, RUNTIME, TIMEOUT, Fault, StatesError
from harness.asl.frame import Frame, cancel
from harness.asl.history import EventType, present
from harness.asl.payload import Template
from harness.asl.retry import Policy, RetryingState
from harness.asl.state import Flow, JSONataFlow
from harness.asl.tasks import JSON, Pattern, Resource, TaskError, TaskRequest
from harness.asl.values import json_text
from harness.clock import Timer

__all__ = ["Task", "parse_resource"]

Seconds = Callable[[JSON, Frame], float]

_Scheduled = tuple[JSON, float | None, float | None, str | None, str]
"""Arguments, TimeoutSeconds, HeartbeatSeconds, role of the Credentials, region: not the request, whose
context object would be kept as long as the history."""

_FUNCTION: Final = re.compile(r"arn:aws[\w-]*:lambda:[\w-]+:\d+:function:[\w:$-]+")
_ACTIVITY: Final = re.compile(r"arn:aws[\w-]*:states:[\w-]+:\d+:activity:.+")
_SERVICE: Final = re.compile(
    r"arn:aws[\w-]*:states:[\w-]*:\d*:((?:aws-sdk:)?[\w-]+):(\w+)(?:\.(sync(?::2)?|waitForTaskToken))?"
)


def parse_resource(arn: str) -> Resource | None:
    """A Task state's Resource, taken apart; None if it is not one."""
    if _FUNCTION.fullmatch(arn):
        return Resource(arn, "function")
    if _ACTIVITY.fullmatch(arn):
        return Resource(arn, "activity")
    match = _SERVICE.fullmatch(arn)
    if match is None:
        return None
    service, action, suffix = match.groups()
    pattern: Pattern = suffix or "request_response"  # type: ignore[assignment]  # the expression's own words
    return Resource(arn, "service", service, action, pattern)


class Task(RetryingState):
    """Has work done by a `TaskRunner`.

    Args:
        name: Its name.
        flow: Its data flow.
        policy: Retry and Catch.
        resource: What does the work.
        timeout: What yields TimeoutSeconds; None for no limit.
        heartbeat: What yields HeartbeatSeconds; None for no limit.
        credentials: What yields Credentials; None if there are none.
    """

    kind = "Task"

    def __init__(
        self,
        name: str,
        flow: Flow,
        policy: Policy,
        resource: Resource,
        timeout: Seconds | None,
        heartbeat: Seconds | None,
        credentials: Template | None = None,
    ) -> None:
        super().__init__(name, flow, policy)
        self.aborted = EventType("TaskStateAborted")
        self.resource = resource
        self.timeout = timeout
        self.heartbeat = heartbeat
        self.credentials = credentials
        self.events = _TaskEvents(resource)

    async def attempt(self, frame: Frame) -> None:
        if self.resource.pattern == "waitForTaskToken":
            frame.token = base64.b64encode(frame.entropy.randbytes(96)).decode()
        try:
            result, size = await self._work(frame)
            self.flow.leave(frame, self, result, size)
        finally:
            frame.token = None

    async def _work(self, frame: Frame) -> tuple[JSON, int]:
        arguments = self.flow.arguments(frame)
        timeout = None if self.timeout is None else self.timeout(frame.data, frame)
        heartbeat = None if self.heartbeat is None else self.heartbeat(frame.data, frame)
        if timeout is not None and heartbeat is not None and heartbeat >= timeout:
            raise Fault("HeartbeatSeconds must be smaller than TimeoutSeconds.")
        request = TaskRequest(
            resource=self.resource,
            arguments=arguments,
            state=self.name,
            context=frame.context(),
            timeout=timeout,
            heartbeat=heartbeat,
            attempt=frame.retries or 0,
            role=None if self.credentials is None else self._role(self.credentials, frame),
        )
        attempt = _Attempt(frame, request, self.events)
        try:
            return await attempt.run()
        except TaskError as error:
            if error.error == RUNTIME:
                raise Fault(error.cause) from None
            raise StatesError(error.error, error.cause) from None

    def _role(self, credentials: Template, frame: Frame) -> str:
        document = {} if isinstance(self.flow, JSONataFlow) else frame.data
        role = frame.fill(credentials, document)[0]["RoleArn"]
        if not isinstance(role, str):
            raise Fault(f"The RoleArn of Credentials must be a string: {json_text(role)}")
        return role


class _Attempt:
    """One attempt at the work: the progress that the runner reports to, and the time limits."""

    def __init__(self, frame: Frame, request: TaskRequest, types: _TaskEvents) -> None:
        self._frame = frame
        self._request = request
        self._types = types
        self._parameters = request.arguments
        self._scheduled = False
        self._started = False
        self._over = False
        self._task: asyncio.Task[JSON] | None = None
        self._expired: Literal["timeout", "heartbeat"] | None = None
        self._limit: Timer | None = None
        self._beat: Timer | None = None

    async def run(self) -> tuple[JSON, int]:
        """Have the work done; its result, and the size of that.

        Raises:
            TaskError: It failed.
            StatesError: States.Timeout.
        """
        task = self._task = asyncio.ensure_future(self._frame.engine.tasks.run(self._request, self))
        try:
            # In its first step a runner can refuse a request that no event is to be recorded for.
            await asyncio.sleep(0)
            if not task.done():
                self._schedule()
                if self._request.resource.kind != "activity":
                    self._limit_time()
            result = await task
        except TaskError as error:
            if self._expired is None:
                self._fail(error)
                raise
        except asyncio.CancelledError:
            if self._expired is None or _is_cancelled():
                raise
        else:
            if self._expired is None:
                size = self._measure(result)
                self._start()
                self._frame.record(self._types.succeeded, result)
                return result, size
        finally:
            self._over = True
            if self._limit is not None:
                self._limit.cancel()
            if self._beat is not None:
                self._beat.cancel()
            if not task.done():
                await cancel([task])
        self._frame.record(self._types.timed_out, (TIMEOUT, None))
        raise StatesError(TIMEOUT, also=HEARTBEAT_TIMEOUT if self._expired == "heartbeat" else None)

    def _measure(self, result: JSON) -> int:
        """The size of the result; one that is too large fails the task, under the name of its resource.

        Raises:
            TaskError: States.DataLimitExceeded.
        """
        resource = self._request.resource
        try:
            return self._frame.measure(result, resource.service or resource.arn)
        except StatesError as error:
            failure = TaskError(DATA_LIMIT_EXCEEDED, error.cause or "")
            self._fail(failure)
            raise failure from None

    def _fail(self, error: TaskError) -> None:
        """Record the failure. A request that AWS itself would refuse leaves no event: the execution's failure
        says it all."""
        if error.error == RUNTIME:
            return
        if error.stage in ("run", "submit", "timeout"):
            self._start()
        else:
            self._schedule()
        self._frame.record(self._types.failures[error.stage], (error.error, error.cause))

    # Time limits ---------------------------------------------------------------------------------------

    def _limit_time(self) -> None:
        clock = self._frame.engine.clock
        if self._request.timeout is not None:
            self._limit = clock.call_at(clock.now() + self._request.timeout, self._time_out)
        self._arm()

    def _time_out(self) -> None:
        self._expire("timeout")

    def _expire(self, what: Literal["timeout", "heartbeat"]) -> None:
        if self._task is not None and not self._task.done() and self._expired is None:
            self._expired = what
            self._task.cancel()

    def _arm(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
        if self._request.heartbeat is not None:
            clock = self._frame.engine.clock
            self._beat = clock.call_at(
                clock.now() + self._request.heartbeat, lambda: self._expire("heartbeat")
            )

    # TaskProgress --------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            request = self._request
            self._frame.record(
                self._types.scheduled,
                (
                    self._parameters,
                    request.timeout,
                    request.heartbeat,
                    request.role,
                    self._frame.engine.region,
                ),
            )

    # What is reported once the attempt is over is not recorded: the state may have been left long ago.

    def scheduled(self, parameters: JSON) -> None:
        self._parameters = parameters

    def started(self, worker: str | None = None) -> None:
        if not self._over:
            self._start(worker)

    def submitted(self, output: JSON) -> None:
        if not self._over:
            self._start()
            self._frame.record(self._types.submitted, output)

    def heartbeat(self) -> None:
        if not self._over:
            self._arm()

    def _start(self, worker: str | None = None) -> None:
        self._schedule()
        if not self._started:
            self._started = True
            self._frame.record(self._types.started, worker)
            # What an activity waits in the queue for does not count: only the limit of the whole execution
            # ends a wait for a worker (AWS developer guide, "Troubleshooting activities").
            if self._request.resource.kind == "activity":
                self._limit_time()


def _is_cancelled() -> bool:
    """Whether the running asyncio task itself is being cancelled, not only what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class _TaskEvents:
    """The types of event that record a task, which depend on its resource."""

    def __init__(self, resource: Resource) -> None:
        if resource.kind == "service":
            prefix = "Task"
            suffix = "" if resource.pattern == "request_response" else f".{resource.pattern}"
            common = {"resourceType": resource.service, "resource": resource.action + suffix}
        else:
            prefix = "LambdaFunction" if resource.kind == "function" else "Activity"
            common = {}
        self._prefix = prefix
        self._common = common
        self._arn = resource.arn
        self.scheduled = self._type("Scheduled", self._write_scheduled)
        self.started = self._type("Started", lambda worker: {**common, **present(workerName=worker)})
        self.submitted = self._type("Submitted", self._write_output)
        self.succeeded = self._type("Succeeded", self._write_output)
        self.timed_out = self._type("TimedOut", self._write_failure)
        self.failures = {
            "run": self._type("Failed", self._write_failure),
            "submit": self._type("SubmitFailed", self._write_failure),
            "start": self._type("StartFailed", self._write_failure),
            "schedule": self._type("ScheduleFailed", self._write_failure),
            "timeout": self.timed_out,
        }

    def _type(self, what: str, write: Callable[[Any], dict[str, Any]]) -> EventType:
        name = f"{self._prefix}{what}"
        if name == "LambdaFunctionStarted":
            return EventType(name)
        return EventType(name, f"{name[0].lower()}{name[1:]}EventDetails", write)

    def _write_scheduled(self, payload: _Scheduled) -> dict[str, Any]:
        arguments, timeout, heartbeat, role, region = payload
        others = present(
            timeoutInSeconds=None if timeout is None else int(timeout),
            heartbeatInSeconds=None if heartbeat is None else int(heartbeat),
            taskCredentials=None if role is None else {"roleArn": role},
        )
        text = json_text(arguments)
        if self._common:
            return {**self._common, "region": region, "parameters": text, **others}
        return {"resource": self._arn, "input": text, "inputDetails": {"truncated": False}, **others}

    def _write_output(self, output: JSON) -> dict[str, Any]:
        return {**self._common, "output": json_text(output), "outputDetails": {"truncated": False}}

    def _write_failure(self, payload: tuple[str | None, str | None]) -> dict[str, Any]:
        error, cause = payload
        return {**self._common, **present(error=error, cause=cause)}
