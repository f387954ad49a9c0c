"""Executions: started, stopped, described, listed, and their histories."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.cloud.service import Request
from harness.cloud.stepfunctions import errors
from harness.cloud.stepfunctions.executions import Record, output_text
from harness.cloud.stepfunctions.machines import Machine
from harness.cloud.stepfunctions.names import machine_name
from harness.cloud.stepfunctions.operations.base import (
    EXECUTION_DATA,
    Answer,
    Operations,
    listed,
    moment,
    without_data,
)
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
        return describe(record, self.machines.find(record.machine_arn), self.cloud.clock.now())

    async def start_execution(self, request: Request) -> Answer:
        record = self._start(self.machines.get(request.params["stateMachineArn"]), request.params)
        return {"executionArn": record.arn, "startDate": moment(record.started)}

    def _start(self, machine: Machine, params: Mapping[str, Any]) -> Record:
        return self.executions.start(
            machine, params.get("name"), params.get("input"), params.get("traceHeader")
        )

    async def start_sync_execution(self, request: Request) -> Answer:
        machine = self.machines.get(request.params["stateMachineArn"])
        if machine.type != "EXPRESS":
            raise errors.not_supported_by_type()
        record = self._start(machine, request.params)
        await record.finished()
        answer = self._describe(record)
        for member in ("redriveCount", "redriveStatus", "redriveStatusReason"):
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
        answer: Answer = {
            "stateMachineArn": record.machine_arn,
            "name": machine_name(record.machine_arn),
            "definition": revision.definition,
            "roleArn": revision.role_arn,
            "updateDate": moment(revision.updated),
            "loggingConfiguration": revision.logging,
            "tracingConfiguration": revision.tracing,
            "encryptionConfiguration": revision.encryption,
        }
        if revision.id:
            answer["revisionId"] = revision.id
        return without_data(answer, request, "definition")

    async def list_executions(self, request: Request) -> Answer:
        params = request.params
        if ("stateMachineArn" in params) == ("mapRunArn" in params):
            raise errors.validation_failed("Exactly one of stateMachineArn and mapRunArn must be specified")
        if "mapRunArn" in params:
            raise errors.resource_not_found(params["mapRunArn"])
        machine = self.machines.get(params["stateMachineArn"])
        if machine.type == "EXPRESS":
            raise errors.not_supported_by_type()
        status = params.get("statusFilter")
        redriven = params.get("redriveFilter")
        records, token = page(
            self.executions.of(machine),
            scope=f"executions {machine.arn} {status} {redriven}",
            limit=params.get("maxResults"),
            token=params.get("nextToken"),
            newest_first=True,
            keep=lambda record: (
                (status is None or record.status == status)
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
            }
            if record.redriven is not None:
                item["redriveDate"] = moment(record.redriven)
            if record.stopped is not None:
                item["stopDate"] = moment(record.stopped)
            items.append(item)
        return listed(items, "executions", token)

    async def get_execution_history(self, request: Request) -> Answer:
        params = request.params
        record = self.executions.get(params["executionArn"])
        backwards = params.get("reverseOrder", False)
        history = record.history
        include_data = params.get("includeExecutionData", True)
        events: Sequence[Any] = history if include_data else history.describe(include_execution_data=False)
        chosen, token = page(
            events,
            scope=f"history {record.arn} {backwards}",
            limit=params.get("maxResults"),
            token=params.get("nextToken"),
            newest_first=backwards,
        )
        described = [event.as_dict() for event in chosen] if include_data else chosen
        for event in described:
            event["timestamp"] = moment(event["timestamp"])
        return listed(described, "events", token)


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
        **_redrive(record, machine, now),
    }
    if record.redriven is not None:
        answer["redriveDate"] = moment(record.redriven)
    if record.stopped is not None:
        answer["stopDate"] = moment(record.stopped)
    if record.status == "SUCCEEDED":
        answer["output"] = output_text(record)
        answer["outputDetails"] = {"included": True}
    if record.trace_header is not None:
        answer["traceHeader"] = record.trace_header
    if record.error is not None:
        answer["error"] = record.error
    if record.cause is not None:
        answer["cause"] = record.cause
    return answer


def _redrive(record: Record, machine: Machine | None, now: float) -> Answer:
    reason = obstacle(record, machine, now)
    if reason is None:
        return {"redriveStatus": "REDRIVABLE"}
    return {"redriveStatus": "NOT_REDRIVABLE", "redriveStatusReason": reason}
