"""Executions: started, running, ended, and what is kept of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, Literal

from harness.asl import Execution, History, Outcome
from harness.asl.tasks import JSON, TaskRunner
from harness.asl.values import json_text, make_uuid, timestamp_text
from harness.cloud.service import CloudContext
from harness.cloud.stepfunctions import errors
from harness.cloud.stepfunctions.logs import observer
from harness.cloud.stepfunctions.machines import Machine, Reference, Revision
from harness.cloud.stepfunctions.names import check_name, parse_execution_arn
from harness.cloud.stepfunctions.packed import PackedHistory, Packer
from harness.cloud.stepfunctions.payloads import parse_payload

if TYPE_CHECKING:
    from harness.cloud.stepfunctions.map_runs import MapRuns

__all__ = ["Executions", "Record"]

RETENTION: Final = 90 * 86_400.0
"""Seconds after its end for which an execution keeps its name (API reference, StartExecution)."""

Status = Literal["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "PENDING_REDRIVE"]


class Record:
    """One execution, as it is listed and described. It must be small: tens of thousands are kept.

    Attributes:
        arn: Execution ARN.
        name: Execution name.
        machine_arn: State machine ARN.
        version_arn: The version that was started, directly or through an alias; None if none was.
        alias_arn: The alias that was started; None if none was.
        revision: The state machine as it was when the execution started.
        input: JSON text, as given.
        trace_header: As given.
        started: Virtual time.
        stopped: Virtual time; None while it runs.
        status: As the API shows it.
        output: A JSON value; only when it succeeded.
        error: Error name of an execution that did not succeed.
        cause: Its cause.
        history: Its events.
        execution: Does the running; None once it has ended for good and cannot be redriven.
        redrives: How often it has been redriven.
        redriven: When it was last redriven, in virtual time; None if it never was.
        redrive_token: clientToken of its last redrive.
    """

    __slots__ = (
        "alias_arn",
        "arn",
        "cause",
        "error",
        "execution",
        "history",
        "input",
        "machine_arn",
        "name",
        "output",
        "redrive_token",
        "redriven",
        "redrives",
        "revision",
        "started",
        "status",
        "stopped",
        "trace_header",
        "version_arn",
        "waiters",
    )

    def __init__(
        self,
        arn: str,
        name: str,
        started_of: Reference,
        text: str,
        trace_header: str | None,
        started: float,
        execution: Execution,
    ) -> None:
        self.arn = arn
        self.name = name
        self.machine_arn = started_of.machine.arn
        self.version_arn = None if started_of.version is None else started_of.version.arn
        self.alias_arn = None if started_of.alias is None else started_of.alias.arn
        self.revision: Revision = started_of.revision
        self.input = text
        self.trace_header = trace_header
        self.started = started
        self.stopped: float | None = None
        self.status: Status = "RUNNING"
        self.output: JSON = None
        self.error: str | None = None
        self.cause: str | None = None
        self.execution: Execution | None = execution
        self.redrives = 0
        self.redriven: float | None = None
        self.redrive_token: str | None = None
        self.history: History | PackedHistory = execution.history
        self.waiters: list[asyncio.Future[None]] | None = None

    async def finished(self) -> None:
        """Return once the execution has ended."""
        if self.stopped is not None:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.waiters is None:
            self.waiters = []
        self.waiters.append(waiter)
        await waiter


class Executions:
    """All executions of a cloud.

    Args:
        cloud: Where they run.
        tasks: Does the work of Task states.
        map_runs: Where Map Runs and child executions are kept.
        ended: Called with the machine when one of its executions has ended.
    """

    def __init__(
        self,
        cloud: CloudContext,
        tasks: TaskRunner,
        map_runs: MapRuns,
        ended: Callable[[Machine], object],
    ) -> None:
        self._cloud = cloud
        self._tasks = tasks
        self._map_runs = map_runs
        self._ended = ended
        self._packer = Packer()
        self._by_arn: dict[str, Record] = {}
        self._by_machine: dict[str, list[Record]] = {}

    def of(self, machine: Machine) -> list[Record]:
        """A machine's executions, oldest first."""
        return self._by_machine.get(machine.arn, [])

    def get(self, arn: str) -> Record:
        """The execution of an ARN. Express executions are not kept, on AWS either.

        Raises:
            ServiceError: InvalidArn, ExecutionDoesNotExist.
        """
        record = self._by_arn.get(arn) or self._map_runs.child(arn)
        if record is None:
            if parse_execution_arn(arn).kind == "express":
                raise errors.invalid_arn("Resource type not valid in this context: express")
            raise errors.execution_does_not_exist(arn)
        return record

    def start(
        self, started_of: Reference, name: str | None, text: str | None, trace_header: str | None = None
    ) -> Record:
        """Start an execution and return without waiting.

        Args:
            started_of: The state machine, or a version of it.
            name: A UUID is taken when None.
            text: The input as JSON text; ``{}`` when None.
            trace_header: X-Ray trace header, kept and shown.

        Raises:
            ServiceError: InvalidName, InvalidExecutionInput, StateMachineDeleting, ExecutionAlreadyExists.
        """
        machine = started_of.machine
        if machine.status == "DELETING":
            raise errors.state_machine_deleting(machine.arn)
        if name is None:
            name = make_uuid(self._cloud.entropy)
        else:
            check_name(name)
        text = "{}" if text is None else text
        value = _parse(text)
        arn = self._arn(machine, name)
        existing = self._by_arn.get(arn)
        if existing is not None:
            if existing.status == "RUNNING" and existing.input == text:
                return existing
            if existing.stopped is None or self._cloud.clock.now() - existing.stopped < RETENTION:
                raise errors.execution_already_exists(arn)
            self._by_machine[machine.arn].remove(existing)
        execution = self._execution(started_of, arn, name, value)
        record = Record(arn, name, started_of, text, trace_header, self._cloud.clock.now(), execution)
        if machine.type == "STANDARD":
            self._by_arn[arn] = record
            self._by_machine.setdefault(machine.arn, []).append(record)
        machine.running[arn] = record
        self._publish(record)
        self._cloud.spawn(self._run(machine, record, execution.run()), f"execution {name}")
        return record

    def redrive(self, machine: Machine, record: Record, token: str | None = None) -> None:
        """Let an execution that ended without success go on, and return without waiting.

        Args:
            machine: Its state machine.
            record: The execution; `redrive.obstacle` has found nothing against it.
            token: clientToken.
        """
        execution = record.execution
        assert execution is not None
        record.redrives += 1
        record.redriven = self._cloud.clock.now()
        record.redrive_token = token
        record.status = "RUNNING"
        record.stopped = record.error = record.cause = None
        machine.running[record.arn] = record
        self._publish(record)
        self._cloud.spawn(self._run(machine, record, execution.redrive()), f"execution {record.name}")

    def _arn(self, machine: Machine, name: str) -> str:
        if machine.type == "STANDARD":
            return self._cloud.arn("states", f"execution:{machine.name}:{name}")
        unique = make_uuid(self._cloud.entropy)
        return self._cloud.arn("states", f"express:{machine.name}:{name}:{unique}")

    def _execution(self, started_of: Reference, arn: str, name: str, value: JSON) -> Execution:
        machine, revision = started_of.machine, started_of.revision

        def redrives() -> int:
            record = self._by_arn.get(arn)
            return 0 if record is None else record.redrives

        return Execution(
            revision.machine,
            value,
            context={
                "Execution": {
                    "Id": arn,
                    "StartTime": timestamp_text(self._cloud.clock.now()),
                    "Name": name,
                    "RoleArn": revision.role_arn,
                },
                "StateMachine": {"Id": machine.arn, "Name": machine.name},
            },
            clock=self._cloud.clock,
            tasks=self._tasks,
            entropy=self._cloud.entropy,
            on_event=observer(self._cloud, started_of, arn, redrives),
            region=self._cloud.region,
            maps=self._map_runs.serving(started_of),
        )

    async def _run(self, machine: Machine, record: Record, run: Coroutine[Any, Any, Outcome]) -> None:
        try:
            outcome = await run
        except asyncio.CancelledError:
            raise  # the cloud stops
        except Exception as error:
            # A fault of ours. Nobody may wait for this execution for ever, and spawn() reports the exception.
            outcome = Outcome("FAILED", error="States.Runtime", cause=f"A fault of the harness: {error!r}")
            self._end(machine, record, outcome, self._cloud.clock.now())
            raise
        assert record.execution is not None
        assert record.execution.stopped is not None
        self._end(machine, record, outcome, record.execution.stopped)

    def _end(self, machine: Machine, record: Record, outcome: Outcome, stopped: float) -> None:
        record.status = outcome.status
        record.output = outcome.output
        record.error = outcome.error
        record.cause = outcome.cause
        record.stopped = stopped
        if outcome.status == "SUCCEEDED" or machine.type == "EXPRESS":
            record.execution = None
        if outcome.status == "SUCCEEDED" and machine.type == "STANDARD":
            self._packer.ended(record)
        del machine.running[record.arn]
        waiters, record.waiters = record.waiters or (), None
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._publish(record)
        self._ended(machine)

    def _publish(self, record: Record) -> None:
        if self._cloud.events.wanted:
            self._cloud.events.publish(
                "execution", record.arn, status=record.status, error=record.error, cause=record.cause
            )

    async def stop(self, record: Record, error: str | None = None, cause: str | None = None) -> None:
        """End an execution as ABORTED; return when it has ended. Nothing happens when it has already."""
        execution = record.execution
        if execution is None or record.stopped is not None:
            return
        if execution.started is None:
            await asyncio.sleep(0)  # its task has not had its first turn, and only what runs can be stopped
        execution.stop(error, cause)
        await record.finished()


def _parse(text: str) -> JSON:
    """The input.

    Raises:
        ServiceError: InvalidExecutionInput; ValidationException when it is too long.
    """
    try:
        return parse_payload("input", text)
    except ValueError as error:
        raise errors.invalid_execution_input(str(error)) from error


def output_text(record: Record) -> str:
    """The output of an execution that succeeded, as JSON text."""
    return json_text(record.output)
