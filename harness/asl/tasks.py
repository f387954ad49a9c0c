"""How the interpreter asks for the work of a Task state, without knowing who does it.

The interpreter calls a `TaskRunner` with a `TaskRequest`; the runner reports progress, so that the history
gets the events AWS records, and returns the result or raises `TaskError`. A timeout or a stop of the
execution cancels the runner's coroutine; what it started, it must then stop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

JSON = Any
"""None, bool, int, float, str, list or dict of these. Values are shared, never changed in place."""

Pattern = Literal["request_response", "sync", "sync:2", "waitForTaskToken"]


@dataclass(frozen=True)
class Resource:
    """A Task state's Resource, taken apart.

    Attributes:
        arn: As written (with DefinitionSubstitutions done).
        kind: ``function`` (a Lambda function's bare ARN), ``activity``, or ``service`` (states:::...).
        service: ``lambda``, ``sagemaker``, ``aws-sdk:s3`` ...; empty unless `kind` is ``service``.
        action: ``invoke``, ``createTrainingJob`` ...; without the pattern suffix.
        pattern: Integration pattern.
    """

    arn: str
    kind: Literal["function", "activity", "service"]
    service: str = ""
    action: str = ""
    pattern: Pattern = "request_response"


@dataclass(frozen=True)
class TaskRequest:
    """One attempt at a Task state.

    Attributes:
        resource: What to call.
        arguments: The effective input: after Parameters/Arguments.
        state: The state's name.
        context: The context object; ``Task.Token`` is in it when the pattern is waitForTaskToken.
        timeout: TimeoutSeconds in force, virtual seconds; the interpreter enforces it.
        heartbeat: HeartbeatSeconds in force.
        attempt: 0 for the first, then the number of retries.
        role: ARN of the role that Credentials name, in whose name to call; None for the execution's own.
    """

    resource: Resource
    arguments: JSON
    state: str
    context: Mapping[str, JSON]
    timeout: float | None
    heartbeat: float | None
    attempt: int
    role: str | None = None


class TaskProgress(Protocol):
    """What a runner tells the interpreter while it works; each call becomes a history event.

    The interpreter itself records the scheduled, succeeded, failed and timed-out events.
    """

    def scheduled(self, parameters: JSON) -> None:
        """The parameters that TaskScheduled is to show, if not the arguments: a runner may add to them.

        To be called before anything else, in the runner's first step.
        """

    def started(self, worker: str | None = None) -> None:
        """TaskStarted, LambdaFunctionStarted or ActivityStarted; `worker` is an activity worker's name.

        TimeoutSeconds and HeartbeatSeconds of an activity count from here, those of others from the start.
        """

    def submitted(self, output: JSON) -> None:
        """TaskSubmitted: the job or callback exists and is now waited for (not for request_response)."""

    def heartbeat(self) -> None:
        """Somebody sent a heartbeat: HeartbeatSeconds counts anew."""


class TaskError(Exception):
    """A task failed with an error name that Retry and Catch can match.

    Attributes:
        error: Error name.
        cause: Human text, or JSON text.
        stage: Which event records it: ``run`` TaskFailed / LambdaFunctionFailed, ``submit`` TaskSubmitFailed,
            ``start`` TaskStartFailed / LambdaFunctionStartFailed, ``schedule`` LambdaFunctionScheduleFailed,
            ``timeout`` TaskTimedOut / LambdaFunctionTimedOut.
    """

    def __init__(
        self,
        error: str,
        cause: str,
        stage: Literal["run", "submit", "start", "schedule", "timeout"] = "run",
    ) -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause
        self.stage = stage


class TaskRunner(Protocol):
    """Does the work of Task states."""

    async def run(self, request: TaskRequest, progress: TaskProgress) -> JSON:
        """Do it and return the result.

        Raises:
            TaskError: It failed.
        """
