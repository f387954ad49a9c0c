"""Executions: started, stopped, described, listed, and their histories."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from harness.asl import Event, History
from harness.asl.references import variable_references
from harness.asl.values import json_text
from harness.cloud.service import Request
from harness.cloud.stepfunctions import errors
from harness.cloud.stepfunctions.executions import Record, output_text
from harness.cloud.stepfunctions.machines import Machine, Reference
from harness.cloud.stepfunctions.map_runs import ChildRecord
from harness.cloud.stepfunctions.operations.base import (
    EXECUTION_DATA,
    Answer,
    Operations,
    listed,
    moment,
    without_data,
    without_definition,
)
from harness.cloud.stepfunctions.packed import PackedHistory
from harness.cloud.stepfunctions.pagination import page
from harness.cloud.stepfunctions.redrive import obstacle

__all__ = ["ExecutionOperations"]


class ExecutionOperations(Operations):
    """StartExecution to GetExecutionHistory."""

    async def wait_for_execution(self, arn: str) -> Answer:
        record = self.executions.get(arn)
        await record.finished()
        return self._describe(record)

    def _describe(self, record: Record) -> Answer:
        # The state machine ARN of a child execution is none that could be looked up.
        machine = None if isinstance(record, ChildRecord) else self.machines.find(record.machine_arn)
        return describe(record, machine, self.cloud.clock.now())

    async def start_execution(self, request: Request) -> Answer:
        started_of = self.machines.resolve(request.params["stateMachineArn"], choose=True)
        record = self._start(started_of, request.params)
        return {"executionArn": record.arn, "startDate": moment(record.started)}

    def _start(self, started_of: Reference, params: Mapping[str, Any]) -> Record:
        return self.executions.start(
            started_of, params.get("name"), params.get("input"), params.get("traceHeader")
        )

    async def start_sync_execution(self, request: Request) -> Answer:
        started_of = self.machines.resolve(request.params["stateMachineArn"], choose=True)
        if started_of.machine.type != "EXPRESS":
            raise errors.not_supported_by_type()
        record = self._start(started_of, request.params)
        await record.finished()
        answer = self._describe(record)
        for member in _STANDARD_ONLY:
            answer.pop(member, None)
        assert record.stopped is not None
        # 64 MB and steps of 100 ms are what AWS bills at least.
        answer["billingDetails"] = {
            "billedMemoryUsedInMB": 64,
            "billedDurationInMilliseconds": max(1, math.ceil((record.stopped - record.started) * 10)) * 100,
        }
        return without_data(answer, request, *EXECUTION_DATA)

    async def stop_execution(self, request: Request) -> Answer:
        params = request.params
        record = self.executions.get(params["executionArn"])
        await self.executions.stop(record, params.get("error"), params.get("cause"))
        assert record.stopped is not None
        return {"stopDate": moment(record.stopped)}

    async def describe_execution(self, request: Request) -> Answer:
        answer = self._describe(self.executions.get(request.params["executionArn"]))
        return without_data(answer, request, *EXECUTION_DATA)

    async def describe_state_machine_for_execution(self, request: Request) -> Answer:
        record = self.executions.get(request.params["executionArn"])
        revision = record.revision
        definition: Mapping[str, Any] = revision.machine.definition
        if isinstance(record, ChildRecord):
            definition = {**record.run.definition, "QueryLanguage": revision.machine.query_language}
        answer: Answer = {
            "stateMachineArn": record.machine_arn,
            "name": record.machine_arn.partition(":stateMachine:")[2],
            "definition": revision.definition,
            "roleArn": revision.role_arn,
            "updateDate": moment(revision.updated),
            "loggingConfiguration": revision.logging,
            "tracingConfiguration": revision.tracing,
            "encryptionConfiguration": revision.encryption,
        }
        if revision.id:
            answer["revisionId"] = revision.id
        if isinstance(record, ChildRecord):
            answer |= {
                "definition": json_text(record.run.definition),
                "mapRunArn": record.run.arn,
                "label": record.run.label,
            }
        if references := variable_references(definition):
            answer["variableReferences"] = references
        return without_definition(answer, request)

    async def list_executions(self, request: Request) -> Answer:
        params = request.params
        if ("stateMachineArn" in params) == ("mapRunArn" in params):
            raise errors.validation_failed("Exactly one of stateMachineArn and mapRunArn must be specified")
        candidates, belongs = self._candidates(params)
        status = params.get("statusFilter")
        if status == "PENDING_REDRIVE" and "mapRunArn" not in params:
            raise errors.validation_failed("statusFilter PENDING_REDRIVE needs a mapRunArn")
        redriven = params.get("redriveFilter")
        of = params.get("stateMachineArn") or params["mapRunArn"]
        records, token = page(
            candidates,
            scope=f"executions {of} {status} {redriven}",
            limit=params.get("maxResults"),
            token=params.get("nextToken"),
            newest_first=True,
            keep=lambda record: (
                belongs(record)
                and (status is None or record.status == status)
                and (redriven is None or (record.redrives > 0) == (redriven == "REDRIVEN"))
            ),
        )
        items = []
        for record in records:
            item: Answer = {
                "executionArn": record.arn,
                "stateMachineArn": record.machine_arn,
                "name": record.name,
                "status": record.status,
                "startDate": moment(record.started),
                "redriveCount": record.redrives,
                **_started_of(record),
            }
            if isinstance(record, ChildRecord):
                item |= {"mapRunArn": record.run.arn, "itemCount": record.items}
            if record.redriven is not None:
                item["redriveDate"] = moment(record.redriven)
            if record.stopped is not None:
                item["stopDate"] = moment(record.stopped)
            items.append(item)
        return listed(items, "executions", token)

    def _candidates(self, params: Mapping[str, Any]) -> tuple[Sequence[Record], Callable[[Record], bool]]:
        """The executions of a state machine, or of a Map Run; and which of them are asked for.

        Raises:
            ServiceError: It is not there, or its executions are EXPRESS.
        """
        if "mapRunArn" in params:
            kept = self.map_runs.get(params["mapRunArn"])
            if kept.run.express:
                raise errors.not_supported_by_type()
            return kept.children, lambda record: True
        listed_of = self.machines.resolve(params["stateMachineArn"])
        if listed_of.machine.type == "EXPRESS":
            raise errors.not_supported_by_type()
        return self.executions.of(listed_of.machine), lambda record: _is_of(record, listed_of)

    async def get_execution_history(self, request: Request) -> Answer:
        params = request.params
        record = self.executions.get(params["executionArn"])
        backwards = params.get("reverseOrder", False)
        events, write = _events(record.history, include_data=params.get("includeExecutionData", True))
        chosen, token = page(
            events,
            scope=f"history {record.arn} {backwards}",
            limit=params.get("maxResults"),
            token=params.get("nextToken"),
            newest_first=backwards,
        )
        described = [write(event) for event in chosen]
        for event in described:
            event["timestamp"] = moment(event["timestamp"])
        return listed(described, "events", token)


def _events(
    history: History | PackedHistory, *, include_data: bool
) -> tuple[Sequence[Any], Callable[[Any], dict[str, Any]]]:
    """The events of a history, and what writes one: a page of a long history is not to cost the writing of
    all of it."""
    if include_data and isinstance(history, History):
        return history, Event.as_dict
    return history.describe(include_execution_data=include_data), dict


def describe(record: Record, machine: Machine | None, now: float) -> Answer:
    """An execution, as DescribeExecution and what waits for executions show it.

    Args:
        record: The execution.
        machine: Its state machine; None when that is gone.
        now: Virtual time.
    """
    answer: Answer = {
        "executionArn": record.arn,
        "stateMachineArn": record.machine_arn,
        "name": record.name,
        "status": record.status,
        "startDate": moment(record.started),
        "input": record.input,
        "inputDetails": {"included": True},
        "redriveCount": record.redrives,
        **_started_of(record),
        **_redrive(record, machine, now),
    }
    if record.redriven is not None:
        answer["redriveDate"] = moment(record.redriven)
    if record.stopped is not None:
        answer["stopDate"] = moment(record.stopped)
    if record.status == "SUCCEEDED":
        answer["output"] = output_text(record)
        answer["outputDetails"] = {"included": True}
    if isinstance(record, ChildRecord):
        answer["mapRunArn"] = record.run.arn
    if record.trace_header is not None:
        answer["traceHeader"] = record.trace_header
    if record.error is not None:
        answer["error"] = record.error
    if record.cause is not None:
        answer["cause"] = record.cause
    return answer


_STANDARD_ONLY: Final = (
    "redriveCount",
    "redriveStatus",
    "redriveStatusReason",
    "stateMachineAliasArn",
    "stateMachineVersionArn",
)
"""What StartSyncExecution does not answer of an execution."""


def _is_of(record: Record, reference: Reference) -> bool:
    """Whether an execution was started of what an ARN refers to."""
    if reference.alias is not None:
        return record.alias_arn == reference.alias.arn
    return reference.version is None or record.version_arn == reference.version.arn


def _started_of(record: Record) -> Answer:
    """The version and the alias that an execution was started of."""
    answer: Answer = {}
    if record.version_arn is not None:
        answer["stateMachineVersionArn"] = record.version_arn
    if record.alias_arn is not None:
        answer["stateMachineAliasArn"] = record.alias_arn
    return answer


def _redrive(record: Record, machine: Machine | None, now: float) -> Answer:
    if isinstance(record, ChildRecord):
        if record.stopped is not None and record.status != "SUCCEEDED":
            return {"redriveStatus": "REDRIVABLE_BY_MAP_RUN"}
        reason: str | None = f"Execution is {record.status} and cannot be redriven"
    else:
        reason = obstacle(record, machine, now)
    if reason is None:
        return {"redriveStatus": "REDRIVABLE"}
    return {"redriveStatus": "NOT_REDRIVABLE", "redriveStatusReason": reason}
