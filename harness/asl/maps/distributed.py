"""Map states in DISTRIBUTED mode: each item, or each batch of items, is a child execution."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from harness.asl import history as events
from harness.asl.errors import DATA_LIMIT_EXCEEDED, RESULT_WRITER_FAILED, Fault, StatesError
from harness.asl.execution import Execution
from harness.asl.frame import TURN, Frame
from harness.asl.maps.batcher import Batch, ItemBatcher
from harness.asl.maps.map import Item, MapFields, MapState, Number
from harness.asl.maps.reader import ItemReader, ReadRequest
from harness.asl.maps.run import Child, MapRun
from harness.asl.maps.services import Caller
from harness.asl.maps.writer import COMPACT, Destination, ResultWriter
from harness.asl.retry import Policy
from harness.asl.state import Flow, State
from harness.asl.tasks import JSON
from harness.asl.values import PAYLOAD_LIMIT, ensure_fits, json_size, make_uuid

__all__ = ["DistributedFields", "DistributedMap", "ItemProcessor"]


@dataclass(frozen=True)
class ItemProcessor:
    """What the child executions run.

    Attributes:
        definition: ItemProcessor, as written.
        workflow_type: ExecutionType of ProcessorConfig.
        start: Its first state.
        timeout: None: an item processor has no TimeoutSeconds.
    """

    definition: Mapping[str, JSON]
    workflow_type: Literal["STANDARD", "EXPRESS"]
    start: State
    timeout: float | None = None


@dataclass(frozen=True)
class DistributedFields:
    """The fields that only a distributed Map has.

    Attributes:
        label: Label; None for one that AWS makes up.
        reader: ItemReader; None when the items are in the state's input.
        batcher: ItemBatcher; None for a child execution per item.
        tolerated_count: ToleratedFailureCount; None if there is none.
        tolerated_percentage: ToleratedFailurePercentage; None if there is none.
        writer: ResultWriter; None if there is none.
    """

    label: str | None = None
    reader: ItemReader | None = None
    batcher: ItemBatcher | None = None
    tolerated_count: Number | None = None
    tolerated_percentage: Number | None = None
    writer: ResultWriter | None = None


class DistributedMap(MapState):
    """Processes items in child executions, whose events are not part of this execution's history.

    Args:
        name: Its name.
        flow: Its data flow.
        policy: Retry and Catch.
        fields: What both modes have.
        own: What only this mode has.
        processor: What the child executions run.
    """

    def __init__(
        self,
        name: str,
        flow: Flow,
        policy: Policy,
        fields: MapFields,
        own: DistributedFields,
        processor: ItemProcessor,
    ) -> None:
        super().__init__(name, flow, policy, fields)
        self.own = own
        self.processor = processor

    async def attempt(self, frame: Frame) -> None:
        data = self.flow.arguments(frame)
        reader, writer = self.own.reader, self.own.writer or COMPACT
        source = self.items(frame, data) if reader is None else reader
        kept = frame.visit if isinstance(frame.visit, MapRun) else None
        # Recorded: how many items there are in S3 is not known yet when the state starts.
        run = kept or self._map_run(frame, data, len(source) if isinstance(source, list) else 0)
        request = None if reader is None else reader.request(frame, data)
        destination = writer.destination(frame, data)
        frame.visit = run
        if kept is None:
            frame.record(events.MAP_RUN_STARTED, run.arn)
            frame.engine.maps.run_started(run)
        else:
            self._go_on(frame, run)
        try:
            if not run.prepared:
                items = source if isinstance(source, list) else await self._read(frame, source, request)
                await self._prepare(frame, data, run, items)
            await self._run(frame, run)
            result, bound = await self._collect(frame, run, writer, destination)
        except StatesError as error:
            run.too_large = error.error == DATA_LIMIT_EXCEEDED
            if destination is not None and error.error != RESULT_WRITER_FAILED:
                await self._export_failure(frame, run, writer, destination)
            run.end("FAILED", frame.now())
            frame.record(events.MAP_RUN_FAILED, (error.error, error.cause))
            raise
        except BaseException:
            run.end("ABORTED", frame.now())
            if destination is not None:
                export = self._export_failure(frame, run, writer, destination)
                frame.engine.maps.later(export, f"results of {run.arn}")
            frame.note(events.MAP_RUN_ABORTED)
            raise
        run.end("SUCCEEDED", frame.now())
        run.children = []
        # Recorded since December 2024: the exit follows from MapRunStarted.
        started = frame.previous
        frame.record(events.MAP_RUN_SUCCEEDED)
        frame.note(events.MAP_SUCCEEDED)
        frame.previous = started
        self.flow.leave(frame, self, result, bound)

    def _go_on(self, frame: Frame, run: MapRun) -> None:
        """Get a run ready to go on, in a redriven execution.

        Where its result was too large, the child executions that succeeded are run again, too (AWS developer
        guide, "Redriving Map Runs").
        """
        run.redrive(frame.now(), everything=run.too_large)
        frame.record(events.MAP_RUN_REDRIVEN, (run.arn, run.redrives))
        frame.engine.maps.run_redriven(run)

    # What goes in --------------------------------------------------------------------------------------

    def tolerance(self, frame: Frame, data: JSON) -> tuple[float | None, float | None]:
        """ToleratedFailureCount and ToleratedFailurePercentage, as far as they are given."""
        count, percentage = self.own.tolerated_count, self.own.tolerated_percentage
        return (
            None if count is None else count(data, frame),
            None if percentage is None else percentage(data, frame),
        )

    async def _read(self, frame: Frame, reader: ItemReader, request: ReadRequest | None) -> list[Item]:
        assert request is not None
        return await reader.read(frame.engine.maps, request, _caller(frame))

    async def _prepare(self, frame: Frame, data: JSON, run: MapRun, items: list[Item]) -> None:
        """Add the child executions for the items to a run.

        Raises:
            StatesError: The input of one cannot be made, which fails the Map itself.
        """
        # It stands in the state itself, with the item in its context object.
        selecting = frame.fork(frame.data)
        selected: list[JSON] = []
        children: list[Child] = []
        try:
            for item in items:
                selected.append(self.select(selecting, data, item))
                if len(selected) % TURN == 0:
                    await asyncio.sleep(0)
            selecting.item = frame.item
            for batch in self.batches(selecting, data, selected):
                if batch.size > PAYLOAD_LIMIT:
                    ensure_fits(batch.input, self.name)
                name = make_uuid(frame.entropy)
                children.append(Child(name, self._child_arn(frame, run, name), batch.input, batch.items))
                if len(children) % TURN == 0:
                    await asyncio.sleep(0)
        except Fault as fault:
            raise selecting.explain(fault) from None
        run.prepare(children)

    def batches(self, frame: Frame, data: JSON, selected: list[JSON]) -> Iterable[Batch]:
        """The inputs of the child executions, from the selected items."""
        if self.own.batcher is None:
            return (Batch(item, 1, json_size(item)) for item in selected)
        return self.own.batcher.batches(frame, data, selected)

    # The run -------------------------------------------------------------------------------------------

    def _map_run(self, frame: Frame, data: JSON, length: int) -> MapRun:
        """A new run, of so many items as far as is known."""
        concurrency = self.concurrency(frame, data)
        frame.record(events.MAP_STARTED, length)
        count, percentage = self.tolerance(frame, data)
        context = frame.engine.root_context
        machine = context["StateMachine"]["Id"]
        # Without Label the name is made up once for each Map state, not for each run.
        label = self.own.label or str(uuid.uuid3(uuid.NAMESPACE_URL, f"{machine}/{self.name}"))
        return MapRun(
            f"{_arn(frame, 'mapRun', label)}:{make_uuid(frame.entropy)}",
            label,
            execution_arn=context["Execution"]["Id"],
            machine=machine,
            definition=self.processor.definition,
            express=self.processor.workflow_type == "EXPRESS",
            started=frame.now(),
            concurrency=concurrency,
            tolerated_count=count,
            tolerated_percentage=percentage,
        )

    def _child_arn(self, frame: Frame, run: MapRun, name: str) -> str:
        if run.express:
            return f"{_arn(frame, 'express', run.label)}:{name}:{make_uuid(frame.entropy)}"
        return f"{_arn(frame, 'execution', run.label)}:{name}"

    async def _run(self, frame: Frame, run: MapRun) -> None:
        """Run the child executions.

        Raises:
            StatesError: Too many failed.
        """
        engine = frame.engine
        maps = engine.maps
        context = engine.root_context
        machine = {"Id": run.machine_arn, "Name": f"{context['StateMachine']['Name']}/{run.label}"}
        role = {name: context["Execution"][name] for name in ("RoleArn",) if name in context["Execution"]}

        def make(child: Child) -> Execution:
            return Execution(
                self.processor,
                child.input,
                context={
                    "Execution": {"Id": child.arn, "Name": child.name, **role},
                    "StateMachine": machine,
                },
                clock=engine.clock,
                tasks=engine.tasks,
                entropy=engine.entropy,
                on_event=maps.watch(run, child),
                region=engine.region,
                maps=maps,
            )

        await run.run(
            make, lambda child: maps.child_started(run, child), lambda child: maps.child_ended(run, child)
        )

    # What comes out ------------------------------------------------------------------------------------

    async def _collect(
        self, frame: Frame, run: MapRun, writer: ResultWriter, destination: Destination | None
    ) -> tuple[JSON, int]:
        """The state's result, and its size.

        Raises:
            StatesError: States.ResultWriterFailed, States.DataLimitExceeded.
        """
        if destination is None:
            result = writer.output(run)
        else:
            result = await writer.export(run, destination, frame.engine.maps, _caller(frame))
        size = frame.measure(result)
        run.collected()
        return result, size

    async def _export_failure(
        self, frame: Frame, run: MapRun, writer: ResultWriter, destination: Destination
    ) -> None:
        """Export the results of a run that fails or is aborted; it does so for its own reason, whatever
        becomes of this."""
        if not run.children:
            return
        try:
            await writer.export(run, destination, frame.engine.maps, _caller(frame))
        except StatesError:
            return
        run.collected()


def _caller(frame: Frame) -> Caller:
    caller: Caller = frame.engine.root_context["Execution"]
    return caller


def _arn(frame: Frame, kind: str, label: str) -> str:
    """``arn:aws:states:us-east-1:123456789012:<kind>:<state machine>/<label>``."""
    machine = frame.engine.root_context["StateMachine"]
    prefix = str(machine["Id"]).partition(":stateMachine:")[0]
    return f"{prefix}:{kind}:{machine['Name']}/{label}"
