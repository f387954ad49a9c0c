"""Parallel states."""

from __future__ import annotations

from collections.abc import Sequence

from harness.asl import history as events
from harness.asl.errors import StatesError
from harness.asl.frame import Frame, advance, together
from harness.asl.history import EventType
from harness.asl.retry import Policy, RetryingState
from harness.asl.state import Flow, State
from harness.asl.tasks import JSON

__all__ = ["Parallel"]


class Parallel(RetryingState):
    """Runs branches side by side; its result is the array of their outputs.

    Args:
        name: Its name.
        flow: Its data flow.
        policy: Retry and Catch.
        branches: First state of each branch.
    """

    kind = "Parallel"
    failed = events.PARALLEL_FAILED

    def __init__(self, name: str, flow: Flow, policy: Policy, branches: Sequence[State]) -> None:
        super().__init__(name, flow, policy)
        self.aborted = EventType("ParallelStateAborted")
        self.branches = branches

    async def attempt(self, frame: Frame) -> None:
        branches = frame.threads
        if all(branch.at is None for branch in branches):  # none are left to be picked up by a redrive
            data = self.flow.arguments(frame)
            frame.record(events.PARALLEL_STARTED)
            branches = frame.threads = [frame.fork(data, first) for first in self.branches]
        failed_at: list[int] = []

        async def run(branch: Frame) -> None:
            try:
                await advance(branch, branch.at)
            except StatesError:
                failed_at.append(branch.previous)
                raise

        try:
            await together([run(branch) for branch in branches if branch.at is not None])
        except StatesError:
            frame.previous = failed_at[0]
            raise
        # Recorded: the exit follows from the last event of the branches, as ParallelStateSucceeded does.
        frame.previous = max(branch.previous for branch in branches)
        frame.note(events.PARALLEL_SUCCEEDED)
        result: list[JSON] = [branch.data for branch in branches]
        bound = frame.admit(result, sum(branch.room + 1 for branch in branches) + 2)
        self.flow.leave(frame, self, result, bound)
