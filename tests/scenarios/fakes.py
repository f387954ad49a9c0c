"""A target without a cloud: executions go the way the test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from harness.clock import Clock, SkippingClock
from harness.cloud.errors import ServiceError
from harness.cloud.events import Event, EventBus
from harness.cloud.faults import Faults, NoFaults
from harness.project.bundle import Bundle
from harness.targets.base import Deployment, Machine, Progress

DELETION = 30.0
"""Virtual seconds that deleting an endpoint, or stopping a job, takes."""

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:mlops"
DEFINITION = {
    "StartAt": "Train",
    "States": {
        "Train": {"Type": "Task"},
        "Each": {"Type": "Map", "ItemProcessor": {"States": {"Step": {"Type": "Pass"}}}},
        "Done": {"Type": "Succeed"},
    },
}
DEPLOYMENT = Deployment(
    bundle="b1",
    names={"DataBucket": "data"},
    functions={"TrainFunction": "mlops_train"},
    machines={"StateMachine": Machine(MACHINE, DEFINITION)},
)


@dataclass
class Script:
    """What an execution of the fake does.

    Attributes:
        path: The states it enters.
        status: How it ends.
        output: With what.
        endpoints: Endpoints it creates.
        objects: Objects it writes, as (bucket, key).
        act: Called with the target while it runs.
        hangs: It never ends.
    """

    path: tuple[str, ...] = ("Train", "Done")
    status: str = "SUCCEEDED"
    output: Any = field(default_factory=lambda: {"f1score": 0.9})
    endpoints: tuple[str, ...] = ()
    objects: tuple[tuple[str, str], ...] = ()
    act: Callable[[FakeTarget], object] = lambda target: None
    hangs: bool = False


class Heard:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.words: list[Any] = []

    def note(self, text: str) -> None:
        self.words.append(text)

    def started(self, name: str, file: str) -> None:
        self.words.append((name, file))

    def event(self, event: Event) -> None:
        self.words.append(event)

    def finished(self, finished: Any) -> None:
        self.words.append(finished)


class FakeTarget:
    """See `harness.targets.base.Target`."""

    name = "fake"
    containers = "none"

    def __init__(self, script: Script, clock: Clock | None = None) -> None:
        self.script = script
        self.clock = clock or SkippingClock(start=1_000_000.0)
        self.events = EventBus(self.clock)
        self.faults: Faults = NoFaults()
        self.injected: list[Faults] = []
        self.objects: dict[tuple[str, str], tuple[bytes, int]] = {}
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self._writes = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._results: dict[str, dict[str, Any]] = {}

    async def deploy(self, bundle: Bundle, on_progress: Progress) -> Deployment:
        return DEPLOYMENT

    def put(self, bucket: str, key: str, body: bytes) -> None:
        if bucket != "data":
            raise ServiceError("NoSuchBucket", "The specified bucket does not exist", status=404)
        self._writes += 1
        self.objects[bucket, key] = (body, self._writes)

    def versions(self, bucket: str, prefix: str) -> dict[str, int]:
        return {
            key: version
            for (name, key), (_, version) in self.objects.items()
            if name == bucket and key.startswith(prefix)
        }

    def inject(self, faults: Faults) -> None:
        self.faults = faults
        self.injected.append(faults)

    async def call(self, service: str, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        self.calls.append((operation, params))
        answer: dict[str, Any] = await getattr(self, f"_{operation}")(params)
        return answer

    async def _StartExecution(self, params: Mapping[str, Any]) -> dict[str, Any]:
        arn = f"arn:execution:{len(self._results) + 1}"
        self._results[arn] = {"input": params["input"], "startDate": self._now()}
        self.begin(self._run(arn))
        return {"executionArn": arn}

    async def _StopExecution(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    async def _DescribeExecution(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return self._results[params["executionArn"]]

    async def _DeleteObject(self, params: Mapping[str, Any]) -> dict[str, Any]:
        del self.objects[params["Bucket"], params["Key"]]
        return {}

    async def _InvokeEndpoint(self, params: Mapping[str, Any]) -> dict[str, Any]:
        if "broken" in params["EndpointName"]:
            raise ServiceError("ModelError", "it raised", status=424)
        return {"Body": json.dumps({"predictions": {"class": params["Body"].decode()}}).encode()}

    async def _DeleteEndpoint(self, params: Mapping[str, Any]) -> dict[str, Any]:
        self._end("endpoint", params["EndpointName"], "Deleting", "Deleted")
        return {}

    async def _StopTrainingJob(self, params: Mapping[str, Any]) -> dict[str, Any]:
        self._end("training", params["TrainingJobName"], "Stopping", "Stopped")
        return {}

    async def _StopTransformJob(self, params: Mapping[str, Any]) -> dict[str, Any]:
        self._end("transform", params["TransformJobName"], "Stopping", "Stopped")
        return {}

    async def _StopProcessingJob(self, params: Mapping[str, Any]) -> dict[str, Any]:
        self._end("processing", params["ProcessingJobName"], "Stopping", "Stopped")
        return {}

    async def _StopHyperParameterTuningJob(self, params: Mapping[str, Any]) -> dict[str, Any]:
        self._end("tuning", params["HyperParameterTuningJobName"], "Stopping", "Stopped")
        return {}

    def _end(self, kind: str, name: str, first: str, last: str) -> None:
        async def end() -> None:
            await self.clock.sleep(DELETION)
            self.events.publish("job", name, type=kind, status=last, reason=None)

        self.events.publish("job", name, type=kind, status=first, reason=None)
        self.begin(end())

    def begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Let something go on by itself."""
        self._tasks.add(asyncio.get_running_loop().create_task(coroutine))

    async def _run(self, arn: str) -> None:
        script = self.script
        self.events.publish("execution", arn, status="RUNNING", error=None, cause=None)
        if script.hangs:
            await asyncio.Event().wait()
        previous = 1
        for state in script.path:
            await self.clock.sleep(60)
            event = {
                "id": previous + 1,
                "previousEventId": previous,
                "type": "TaskStateEntered",
                "stateEnteredEventDetails": {"name": state},
            }
            previous += 1
            self.events.publish("history", arn, event=event)
        for name in script.endpoints:
            for status in ("Creating", "InService"):
                self.events.publish("job", name, type="endpoint", status=status, reason=None)
        for bucket, key in script.objects:
            self.put(bucket, key, b"made")
        script.act(self)
        failed = script.status != "SUCCEEDED"
        self._results[arn] |= {
            "status": script.status,
            "output": None if failed else json.dumps(script.output),
            "error": "Broken" if failed else None,
            "cause": "it broke" if failed else None,
            "stopDate": self._now(),
        }
        self.events.publish("execution", arn, status=script.status, error=None, cause=None)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.now(), UTC)
