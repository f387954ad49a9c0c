"""Task tokens: the tasks that wait for somebody to call back.

Two sorts of task hand out a token and wait until SendTaskSuccess or SendTaskFailure names it: one whose
resource ends in ``.waitForTaskToken``, and an activity's, whose token a worker gets from GetActivityTask. The
interpreter enforces timeout and heartbeat; here is only who waits for which token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.asl.tasks import TaskError, TaskProgress
from harness.cloud.errors import ServiceError
from harness.cloud.stepfunctions import errors
from harness.cloud.stepfunctions.payloads import parse_payload

__all__ = ["Callback", "TaskTokens"]


class Callback:
    """A task that waits for its token to be sent back."""

    __slots__ = ("_outcome", "progress")

    def __init__(self, progress: TaskProgress) -> None:
        self.progress = progress
        self._outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def result(self) -> Any:
        """What the caller sent.

        Raises:
            TaskError: The caller sent a failure.
        """
        return await self._outcome

    def succeed(self, output: Any) -> None:
        self._outcome.set_result(output)

    def fail(self, error: str, cause: str) -> None:
        self._outcome.set_exception(TaskError(error, cause))

    def abandon(self, error: Exception) -> None:
        """Have `result` raise an error that no caller sent."""
        self._outcome.set_exception(error)

    @property
    def settled(self) -> bool:
        """Success or failure has been sent, or the wait was given up."""
        return self._outcome.done()

    def discard(self) -> None:
        """Give up waiting. A failure that nobody fetched is not reported as lost."""
        if not self._outcome.cancel() and not self._outcome.cancelled():
            self._outcome.exception()


class TaskTokens:
    """All tokens given out in one cloud."""

    def __init__(self) -> None:
        self._waiting: dict[str, Callback] = {}
        self._spent: set[str] = set()

    @contextmanager
    def waiting(self, token: str, progress: TaskProgress) -> Iterator[Callback]:
        """Accept `token` for as long as the context is open; afterwards it is a spent one."""
        callback = Callback(progress)
        self.accept(token, callback)
        try:
            yield callback
        finally:
            self.retire(token)
            callback.discard()

    def accept(self, token: str, callback: Callback) -> None:
        """Accept `token` from now on."""
        self._waiting[token] = callback

    def retire(self, token: str) -> None:
        """Take `token` for a spent one from now on."""
        del self._waiting[token]
        self._spent.add(token)

    def _find(self, token: str) -> Callback:
        callback = self._waiting.get(token)
        if callback is not None and not callback.settled:
            return callback
        if callback is not None or token in self._spent:
            raise ServiceError("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
        raise errors.invalid_token()

    def succeed(self, token: str, output: str) -> None:
        """SendTaskSuccess.

        Raises:
            ServiceError: InvalidOutput, InvalidToken, TaskTimedOut; ValidationException when the output is
                too long.
        """
        try:
            value = parse_payload("output", output)
        except ValueError as error:
            raise ServiceError("InvalidOutput", f"Invalid Output: '{error}'") from error
        self._find(token).succeed(value)

    def fail(self, token: str, error: str, cause: str) -> None:
        """SendTaskFailure.

        Raises:
            ServiceError: InvalidToken, TaskTimedOut.
        """
        self._find(token).fail(error, cause)

    def heartbeat(self, token: str) -> None:
        """SendTaskHeartbeat.

        Raises:
            ServiceError: InvalidToken, TaskTimedOut.
        """
        self._find(token).progress.heartbeat()
