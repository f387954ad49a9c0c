"""Map states in DISTRIBUTED mode, over an array of the state's input: each item is a child execution."""

from __future__ import annotations

from harness.asl import history as events
from harness.asl.errors import EXCEED_TOLERATED_FAILURE_THRESHOLD, Fault, StatesError
from harness.asl.frame import Engine, Frame, advance, together
from harness.asl.functions import make_uuid
from harness.asl.history import STANDARD_LIMIT, History, HistoryFull
from harness.asl.map import MapFields, MapState, Number
from harness.asl.retry import Policy
from harness.asl.state import Flow
from harness.asl.tasks import JSON
from harness.asl.values import timestamp_text

__all__ = ["DistributedMap"]

CONCURRENCY = 1000
"""Child executions at once when MaxConcurrency does not say. AWS starts up to 10,000."""


class DistributedMap(MapState):
    """Processes items in child executions, whose events are not part of this execution's history.

    Args:
        name: Its name.
        flow: Its data flow.
        policy: Retry and Catch.
        fields: What both modes have.
        label: Label; None for one made up per run.
        express: Whether the child executions are EXPRESS.
        tolerated_count: ToleratedFailureCount; None for none.
        tolerated_percentage: ToleratedFailurePercentage; None for none.
    """

    def __init__(
        self,
        name: str,
        flow: Flow,
        policy: Policy,
        fields: MapFields,
        *,
        label: str | None,
        express: bool,
        tolerated_count: Number | None,
        tolerated_percentage: Number | None,
    ) -> None:
        super().__init__(name, flow, policy, fields)
        self.label = label
        self.express = express
        self.tolerated_count = tolerated_count
        self.tolerated_percentage = tolerated_percentage

    async def process(
        self, frame: Frame, data: JSON, items: list[JSON], limit: int
    ) -> tuple[list[JSON], int]:
        tolerated = self._tolerated(frame, data, len(items))
        label = self.label or make_uuid(frame.entropy)
        frame.record(events.MAP_RUN_STARTED, f"{_arn(frame, 'mapRun', label)}:{make_uuid(frame.entropy)}")
        outputs: dict[int, JSON] = {}
        pending = iter(enumerate(items))
        failures = 0
        bound = 2

        async def worker() -> None:
            nonlocal failures, bound
            for index, item in pending:
                child = await self._run_child(frame, data, index, item, label)
                if child is None:
                    failures += 1
                    if failures > tolerated:
                        raise StatesError(
                            EXCEED_TOLERATED_FAILURE_THRESHOLD,
                            "The specified tolerated failure threshold was exceeded",
                        )
                else:
                    outputs[index] = child.data
                    bound += child.room + 1

        try:
            await together([worker() for _ in range(min(len(items), limit or CONCURRENCY))])
        except StatesError as error:
            frame.record(events.MAP_RUN_FAILED, (error.error, error.cause))
            raise
        except BaseException:
            frame.note(events.MAP_RUN_ABORTED)
            raise
        # Recorded since December 2024: the exit follows from MapRunStarted.
        started = frame.previous
        frame.record(events.MAP_RUN_SUCCEEDED)
        frame.note(events.MAP_SUCCEEDED)
        frame.previous = started
        return [outputs[index] for index in sorted(outputs)], bound

    def _tolerated(self, frame: Frame, data: JSON, count: int) -> float:
        """How many items may fail."""
        tolerated = 0.0
        if self.tolerated_count is not None:
            tolerated = max(tolerated, self.tolerated_count(data, frame))
        if self.tolerated_percentage is not None:
            tolerated = max(tolerated, self.tolerated_percentage(data, frame) / 100 * count)
        return tolerated

    async def _run_child(self, frame: Frame, data: JSON, index: int, item: JSON, label: str) -> Frame | None:
        """Run the execution of one item; its thread, or None if it failed.

        Raises:
            StatesError: The item cannot be selected, which fails the Map itself.
        """
        selecting = frame.fork(frame.data)
        try:
            value = self.select(selecting, data, index, item)
        except Fault as fault:
            raise selecting.explain(fault) from None
        parent = frame.engine
        name = make_uuid(frame.entropy)
        machine = parent.root_context["StateMachine"]
        context = {
            "Execution": {
                **parent.root_context["Execution"],
                "Id": f"{_arn(frame, 'execution', label)}:{name}",
                "Input": value,
                "Name": name,
                "StartTime": timestamp_text(frame.now()),
            },
            "StateMachine": {"Id": f"{machine['Id']}/{label}", "Name": f"{machine['Name']}/{label}"},
        }
        limit = None if self.express else STANDARD_LIMIT
        engine = Engine(History(limit), context, parent.clock, parent.tasks, parent.entropy, parent.region)
        role = context["Execution"].get("RoleArn")
        engine.history.add(0, frame.now(), events.EXECUTION_STARTED, (value, role))
        # The variables of the parent are out of scope in another execution.
        child = Frame(engine, value, {}, 0, selecting.room)
        try:
            await advance(child, self.fields.first)
        except (StatesError, HistoryFull):
            return None
        return child


def _arn(frame: Frame, kind: str, label: str) -> str:
    """``arn:aws:states:us-east-1:123456789012:<kind>:<state machine>/<label>``."""
    machine = frame.engine.root_context["StateMachine"]
    prefix = str(machine["Id"]).partition(":stateMachine:")[0]
    return f"{prefix}:{kind}:{machine['Name']}/{label}"
