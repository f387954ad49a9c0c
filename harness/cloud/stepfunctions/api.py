"""The Step Functions API."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from harness.cloud.service import CloudContext, Request, Service
from harness.cloud.stepfunctions import errors
from harness.cloud.stepfunctions.definitions import diagnose
from harness.cloud.stepfunctions.executions import Executions, Record, output_text
from harness.cloud.stepfunctions.integrations import Integrations
from harness.cloud.stepfunctions.machines import Machine, Machines, tag, untag
from harness.cloud.stepfunctions.names import machine_name
from harness.cloud.stepfunctions.pagination import page
from harness.cloud.stepfunctions.tokens import TaskTokens

__all__ = ["StepFunctions"]

Answer = dict[str, Any]

_DATA = ("input", "inputDetails", "output", "outputDetails", "error", "cause")
"""What includedData METADATA_ONLY leaves out of an execution."""


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _listed(items: list[Answer], key: str, token: str | None) -> Answer:
    return {key: items, "nextToken": token} if token else {key: items}


class StepFunctions(Service):
    """AWS Step Functions: state machines and their executions.

    Activities, versions, aliases, Map runs, redrive and TestState are not there (the gateway refuses
    operations that have no method here).
    """

    name = "stepfunctions"

    def __init__(self, cloud: CloudContext) -> None:
        super().__init__(cloud)
        self._tokens = TaskTokens()
        integrations = Integrations(cloud, self._tokens, self.wait_for_execution)
        self._integrations = integrations
        self._machines = Machines(cloud, integrations)
        self._executions = Executions(cloud, integrations, self._ended)

    async def close(self) -> None:
        self._integrations.close()

    async def wait_for_execution(self, arn: str) -> Answer:
        """What DescribeExecution answers once the execution has ended. Not an operation of the API.

        Raises:
            ServiceError: InvalidArn, ExecutionDoesNotExist.
        """
        record = self._executions.get(arn)
        await record.finished()
        return _describe(record)

    # State machines ----------------------------------------------------------------------------------------

    async def create_state_machine(self, request: Request) -> Answer:
        machine = self._machines.create(request.params)
        return {"stateMachineArn": machine.arn, "creationDate": _moment(machine.created)}

    async def update_state_machine(self, request: Request) -> Answer:
        revision = self._machines.update(request.params).revision
        return {"updateDate": _moment(revision.updated), "revisionId": revision.id}

    async def describe_state_machine(self, request: Request) -> Answer:
        machine = self._machines.get(request.params["stateMachineArn"])
        revision = machine.revision
        answer: Answer = {
            "stateMachineArn": machine.arn,
            "name": machine.name,
            "status": machine.status,
            "definition": revision.definition,
            "roleArn": revision.role_arn,
            "type": machine.type,
            "creationDate": _moment(machine.created),
            "loggingConfiguration": revision.logging,
            "tracingConfiguration": revision.tracing,
            "encryptionConfiguration": revision.encryption,
        }
        if revision.id:
            answer["revisionId"] = revision.id
        return _without_data(answer, request, "definition")

    async def list_state_machines(self, request: Request) -> Answer:
        machines, token = page(
            list(self._machines),
            scope="state machines",
            limit=request.params.get("maxResults"),
            token=request.params.get("nextToken"),
        )
        items = [
            {
                "stateMachineArn": machine.arn,
                "name": machine.name,
                "type": machine.type,
                "creationDate": _moment(machine.created),
            }
            for machine in machines
        ]
        return _listed(items, "stateMachines", token)

    async def delete_state_machine(self, request: Request) -> Answer:
        """Deleting one that is not there is no error. Its executions are stopped, and then it is gone.

        AWS lets an execution go on until its next transition; here it ends at once.
        """
        name = machine_name(request.params["stateMachineArn"])
        for machine in list(self._machines):
            if machine.name == name and machine.arn == request.params["stateMachineArn"]:
                machine.status = "DELETING"
                for record in list(machine.running.values()):
                    self.cloud.spawn(self._executions.stop(record), f"stop execution {record.name}")
                self._ended(machine)
        return {}

    def _ended(self, machine: Machine) -> None:
        if machine.status == "DELETING" and not machine.running:
            self._machines.remove(machine)

    async def validate_state_machine_definition(self, request: Request) -> Answer:
        params = request.params
        found = diagnose(params["definition"], params.get("type", "STANDARD"), self._integrations)
        result = "FAIL" if any(diagnostic.severity == "ERROR" for diagnostic in found) else "OK"
        if params.get("severity", "ERROR") == "ERROR":
            found = [diagnostic for diagnostic in found if diagnostic.severity == "ERROR"]
        limit = params.get("maxResults") or 100
        diagnostics = [
            {
                "severity": diagnostic.severity,
                "code": diagnostic.code,
                "message": diagnostic.message,
                **({"location": diagnostic.location} if diagnostic.location is not None else {}),
            }
            for diagnostic in found[:limit]
        ]
        return {"result": result, "diagnostics": diagnostics, "truncated": len(found) > limit}

    # Executions --------------------------------------------------------------------------------------------

    async def start_execution(self, request: Request) -> Answer:
        record = self._start(self._machines.get(request.params["stateMachineArn"]), request.params)
        return {"executionArn": record.arn, "startDate": _moment(record.started)}

    def _start(self, machine: Machine, params: Mapping[str, Any]) -> Record:
        return self._executions.start(
            machine, params.get("name"), params.get("input"), params.get("traceHeader")
        )

    async def start_sync_execution(self, request: Request) -> Answer:
        machine = self._machines.get(request.params["stateMachineArn"])
        if machine.type != "EXPRESS":
            raise errors.not_supported_by_type()
        record = self._start(machine, request.params)
        await record.finished()
        answer = _describe(record)
        for member in ("redriveCount", "redriveStatus", "redriveStatusReason"):
            answer.pop(member, None)
        assert record.stopped is not None
        # 64 MB and steps of 100 ms are what AWS bills at least.
        answer["billingDetails"] = {
            "billedMemoryUsedInMB": 64,
            "billedDurationInMilliseconds": max(1, math.ceil((record.stopped - record.started) * 10)) * 100,
        }
        return _without_data(answer, request, *_DATA)

    async def stop_execution(self, request: Request) -> Answer:
        params = request.params
        record = self._executions.get(params["executionArn"])
        await self._executions.stop(record, params.get("error"), params.get("cause"))
        assert record.stopped is not None
        return {"stopDate": _moment(record.stopped)}

    async def describe_execution(self, request: Request) -> Answer:
        answer = _describe(self._executions.get(request.params["executionArn"]))
        return _without_data(answer, request, *_DATA)

    async def describe_state_machine_for_execution(self, request: Request) -> Answer:
        record = self._executions.get(request.params["executionArn"])
        revision = record.revision
        answer: Answer = {
            "stateMachineArn": record.machine_arn,
            "name": machine_name(record.machine_arn),
            "definition": revision.definition,
            "roleArn": revision.role_arn,
            "updateDate": _moment(revision.updated),
            "loggingConfiguration": revision.logging,
            "tracingConfiguration": revision.tracing,
            "encryptionConfiguration": revision.encryption,
        }
        if revision.id:
            answer["revisionId"] = revision.id
        return _without_data(answer, request, "definition")

    async def list_executions(self, request: Request) -> Answer:
        params = request.params
        if ("stateMachineArn" in params) == ("mapRunArn" in params):
            raise errors.validation_failed("Exactly one of stateMachineArn and mapRunArn must be specified")
        if "mapRunArn" in params:
            raise errors.resource_not_found(params["mapRunArn"])
        machine = self._machines.get(params["stateMachineArn"])
        if machine.type == "EXPRESS":
            raise errors.not_supported_by_type()
        status = params.get("statusFilter")
        redriven = params.get("redriveFilter") == "REDRIVEN"  # nothing ever is
        records, token = page(
            [] if redriven else self._executions.of(machine),
            scope=f"executions {machine.arn} {status} {redriven}",
            limit=params.get("maxResults"),
            token=params.get("nextToken"),
            newest_first=True,
            keep=(lambda record: record.status == status) if status else None,
        )
        items = []
        for record in records:
            item: Answer = {
                "executionArn": record.arn,
                "stateMachineArn": record.machine_arn,
                "name": record.name,
                "status": record.status,
                "startDate": _moment(record.started),
                "redriveCount": 0,
            }
            if record.stopped is not None:
                item["stopDate"] = _moment(record.stopped)
            items.append(item)
        return _listed(items, "executions", token)

    async def get_execution_history(self, request: Request) -> Answer:
        params = request.params
        record = self._executions.get(params["executionArn"])
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
            event["timestamp"] = _moment(event["timestamp"])
        return _listed(described, "events", token)

    # Task tokens -------------------------------------------------------------------------------------------

    async def send_task_success(self, request: Request) -> Answer:
        self._tokens.succeed(request.params["taskToken"], request.params["output"])
        return {}

    async def send_task_failure(self, request: Request) -> Answer:
        params = request.params
        self._tokens.fail(params["taskToken"], params.get("error", ""), params.get("cause", ""))
        return {}

    async def send_task_heartbeat(self, request: Request) -> Answer:
        self._tokens.heartbeat(request.params["taskToken"])
        return {}

    # Tags --------------------------------------------------------------------------------------------------

    def _tagged(self, request: Request) -> Machine:
        arn = request.params["resourceArn"]
        machine_name(arn)
        for machine in self._machines:
            if machine.arn == arn:
                return machine
        raise errors.resource_not_found(arn)

    async def list_tags_for_resource(self, request: Request) -> Answer:
        machine = self._tagged(request)
        return {"tags": [{"key": key, "value": value} for key, value in machine.tags.items()]}

    async def tag_resource(self, request: Request) -> Answer:
        tag(self._tagged(request), request.params["tags"])
        return {}

    async def untag_resource(self, request: Request) -> Answer:
        untag(self._tagged(request), request.params["tagKeys"])
        return {}


def _describe(record: Record) -> Answer:
    answer: Answer = {
        "executionArn": record.arn,
        "stateMachineArn": record.machine_arn,
        "name": record.name,
        "status": record.status,
        "startDate": _moment(record.started),
        "input": record.input,
        "inputDetails": {"included": True},
        "redriveCount": 0,
        **_redrive(record),
    }
    if record.stopped is not None:
        answer["stopDate"] = _moment(record.stopped)
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


def _redrive(record: Record) -> Answer:
    if record.status in ("RUNNING", "SUCCEEDED"):
        return {
            "redriveStatus": "NOT_REDRIVABLE",
            "redriveStatusReason": f"Execution is {record.status} and cannot be redriven",
        }
    return {"redriveStatus": "REDRIVABLE"}


def _without_data(answer: Answer, request: Request, *members: str) -> Answer:
    """The answer, or for includedData METADATA_ONLY what is left without the data."""
    if request.params.get("includedData") == "METADATA_ONLY":
        for member in members:
            answer.pop(member, None)
    return answer
