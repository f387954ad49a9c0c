"""Map Runs and their child executions: what is kept of them, and what distributed Maps need of this cloud.

Child executions of type STANDARD are kept like any execution. Of EXPRESS ones nothing is kept but what the
Map Run counts; on AWS they cannot be asked about either.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from harness.asl import Event
from harness.asl.maps.run import Child, MapRun
from harness.asl.maps.services import Caller as Execution
from harness.asl.maps.services import MapServices, ObjectPage, StorageError
from harness.asl.tasks import JSON
from harness.asl.values import json_text, make_uuid
from harness.cloud.errors import ServiceError
from harness.cloud.service import Caller, CloudContext
from harness.cloud.stepfunctions import errors
from harness.cloud.stepfunctions.executions import Record
from harness.cloud.stepfunctions.integrations.base import java_error
from harness.cloud.stepfunctions.logs import observer
from harness.cloud.stepfunctions.machines import Reference
from harness.cloud.stepfunctions.names import check_map_run_arn

__all__ = ["ChildRecord", "KeptRun", "MapRuns"]


class ChildRecord(Record):
    """A child execution, as it is listed and described.

    Attributes:
        run: Its Map Run.
        items: How many items it processes.
    """

    __slots__ = ("items", "run")

    def __init__(self, started_of: Reference, run: MapRun, child: Child, now: float) -> None:
        assert child.execution is not None
        super().__init__(
            child.arn, child.name, started_of, json_text(child.input), None, now, child.execution
        )
        self.machine_arn = run.machine_arn
        self.run = run
        self.items = child.items

    def wait_for_redrive(self) -> None:
        """Note that the Map Run is redriven, and it is to be its turn soon."""
        self.status = "PENDING_REDRIVE"
        self.stopped = self.error = self.cause = None

    def start_again(self, child: Child, now: float) -> None:
        """Note that it goes on, or runs anew where its result was wanted once more."""
        assert child.execution is not None
        self.status = "RUNNING"
        self.redrives += 1
        self.redriven = now
        self.execution, self.history = child.execution, child.execution.history

    def end(self, child: Child) -> None:
        """Note the end, and let go whoever waits for it."""
        outcome = child.outcome
        assert outcome is not None
        self.status = outcome.status
        self.output, self.error, self.cause = outcome.output, outcome.error, outcome.cause
        self.stopped = child.stopped
        self.execution = child.execution
        waiters, self.waiters = self.waiters or (), None
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class KeptRun:
    """A Map Run, and its child executions that are kept.

    Attributes:
        run: The Map Run.
        children: Its STANDARD child executions that have started, oldest first.
    """

    def __init__(self, run: MapRun) -> None:
        self.run = run
        self.children: list[ChildRecord] = []


class MapRuns:
    """All Map Runs of a cloud."""

    def __init__(self, cloud: CloudContext) -> None:
        self._cloud = cloud
        self._runs: dict[str, KeptRun] = {}
        self._by_execution: dict[str, list[KeptRun]] = {}
        self._children: dict[str, ChildRecord] = {}
        self._closed = False

    def close(self) -> None:
        """The cloud stops: what nobody waits for is not to be started any more."""
        self._closed = True

    def get(self, arn: str) -> KeptRun:
        """The Map Run of an ARN.

        Raises:
            ServiceError: InvalidArn, ResourceNotFound.
        """
        check_map_run_arn(arn)
        kept = self._runs.get(arn)
        if kept is None:
            raise errors.resource_not_found(arn)
        return kept

    def of(self, execution_arn: str) -> list[KeptRun]:
        """The Map Runs of an execution, oldest first."""
        return self._by_execution.get(execution_arn, [])

    def child(self, arn: str) -> ChildRecord | None:
        """The child execution of an ARN, if it is one."""
        return self._children.get(arn)

    def serving(self, started_of: Reference) -> MapServices:
        """What the distributed Maps in an execution of a state machine need."""
        return _Services(self._cloud, self, started_of)

    # Told by the services ------------------------------------------------------------------------------

    def add(self, run: MapRun) -> None:
        kept = self._runs[run.arn] = KeptRun(run)
        self._by_execution.setdefault(run.execution_arn, []).append(kept)

    def add_child(self, record: ChildRecord) -> None:
        self._children[record.arn] = record
        self._runs[record.run.arn].children.append(record)

    def later(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        if self._closed:
            coroutine.close()
        else:
            self._cloud.spawn(coroutine, name)


class _Services:
    """`MapServices` for the executions of one state machine."""

    def __init__(self, cloud: CloudContext, runs: MapRuns, started_of: Reference) -> None:
        self._cloud = cloud
        self._runs = runs
        self._started_of = started_of

    # S3 ------------------------------------------------------------------------------------------------

    async def list_objects(
        self, arguments: Mapping[str, JSON], page: str | None, caller: Execution
    ) -> ObjectPage:
        token = {} if page is None else {"ContinuationToken": page}
        response = await self._call("ListObjectsV2", {**arguments, **token}, caller)
        objects: list[dict[str, JSON]] = [
            {
                "Etag": found["ETag"],
                "Key": found["Key"],
                "LastModified": int(found["LastModified"].timestamp()),
                "Size": found["Size"],
                "StorageClass": found.get("StorageClass", "STANDARD"),
            }
            for found in response.get("Contents", ())
        ]
        return ObjectPage(objects, response.get("NextContinuationToken"))

    async def get_object(self, arguments: Mapping[str, JSON], caller: Execution) -> bytes:
        content: bytes = (await self._call("GetObject", arguments, caller))["Body"]
        return content

    async def put_object(self, bucket: str, key: str, body: bytes, caller: Execution) -> None:
        await self._call("PutObject", {"Bucket": bucket, "Key": key, "Body": body}, caller)

    async def _call(self, operation: str, params: Mapping[str, JSON], caller: Execution) -> dict[str, Any]:
        who = Caller("execution", caller["Id"], caller.get("RoleArn"))
        try:
            return await self._cloud.call("s3", operation, params, caller=who)
        except ServiceError as error:
            request_id = make_uuid(self._cloud.entropy)
            raise StorageError(java_error("Amazon S3", error, request_id, version=1)) from error

    def later(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        self._runs.later(coroutine, name)

    # Map Runs ------------------------------------------------------------------------------------------

    def run_started(self, run: MapRun) -> None:
        self._runs.add(run)

    def run_redriven(self, run: MapRun) -> None:
        for child in run.children:
            record = self._runs.child(child.arn)
            if record is not None and child.status == "PENDING_REDRIVE":
                record.wait_for_redrive()

    def watch(self, run: MapRun, child: Child) -> Callable[[Event], object] | None:
        def redrives() -> int:
            record = self._runs.child(child.arn)
            return 0 if record is None else record.redrives

        return observer(self._cloud, self._started_of, child.arn, redrives)

    def child_started(self, run: MapRun, child: Child) -> None:
        record, now = self._runs.child(child.arn), self._cloud.clock.now()
        if record is not None:
            record.start_again(child, now)
        elif not run.express:
            self._runs.add_child(ChildRecord(self._started_of, run, child, now))
        self._publish(child)

    def child_ended(self, run: MapRun, child: Child) -> None:
        record = self._runs.child(child.arn)
        if record is not None:
            record.end(child)
        self._publish(child)

    def _publish(self, child: Child) -> None:
        if self._cloud.events.wanted:
            outcome = child.outcome
            self._cloud.events.publish(
                "execution",
                child.arn,
                status=child.status,
                error=None if outcome is None else outcome.error,
                cause=None if outcome is None else outcome.cause,
            )
