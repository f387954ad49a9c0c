"""CloudWatch Logs of executions, as a state machine's loggingConfiguration asks for them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from harness.asl import Event
from harness.asl.values import json_text
from harness.cloud.errors import ServiceError
from harness.cloud.service import CloudContext
from harness.cloud.stepfunctions.settings import Settings, log_group

if TYPE_CHECKING:
    from harness.cloud.stepfunctions.machines import Reference

__all__ = ["check_log_group", "log_writer", "observer"]

_FATAL: Final = frozenset({"ExecutionAborted", "ExecutionFailed", "ExecutionTimedOut"})
_DATA: Final = ("input", "output", "parameters", "assignedVariables")
_LINE_LIMIT: Final = 256 * 1024 - 26
"""Bytes of a log event's message: CloudWatch Logs takes 256 KiB, and counts 26 bytes more for each."""


async def check_log_group(cloud: CloudContext, logging: Settings) -> None:
    """Refuse a log destination that is not there.

    AWS's answer does not tell whether the log group is missing or a permission of the role; a warning does.

    Raises:
        ServiceError: AccessDeniedException.
    """
    group = log_group(logging)
    if logging["level"] == "OFF" or group is None:
        return
    found = await cloud.call("logs", "DescribeLogGroups", {"logGroupNamePrefix": group, "limit": 1})
    if not any(item["logGroupName"] == group for item in found.get("logGroups", ())):
        cloud.events.publish("warning", group, message=f"the log group {group} does not exist")
        raise ServiceError(
            "AccessDeniedException",
            "The state machine IAM Role is not authorized to access the Log Destination",
        )


def _wanted(level: str, event: str) -> bool:
    """Whether a level logs a type of event (developer guide, "Log levels for ... execution events")."""
    match level:
        case "ALL":
            return True
        case "ERROR":
            return event.endswith(("Failed", "Aborted", "TimedOut")) or event == "FailStateEntered"
        case "FATAL":
            return event in _FATAL
        case _:
            return False


def log_writer(
    cloud: CloudContext, logging: Settings, machine: str, execution_arn: str, redrives: Callable[[], int]
) -> Callable[[Event], None] | None:
    """The function that logs an execution's events; None when logging is off.

    Args:
        cloud: Has the logs.
        logging: loggingConfiguration, its defaults filled in.
        machine: Name of the state machine.
        execution_arn: Goes into every line.
        redrives: How often the execution has been redriven so far.
    """
    level, group = logging["level"], log_group(logging)
    if level == "OFF" or group is None:
        return None
    day = datetime.fromtimestamp(cloud.clock.now(), UTC)
    stream = f"states/{machine}/{day:%Y-%m-%d-%H-%M}/{execution_arn.rpartition(':')[2]}"
    include_data = logging["includeExecutionData"]

    def write(event: Event) -> None:
        if not _wanted(level, event.type):
            return
        described = event.as_dict()
        details: dict[str, Any] = next(
            (value for key, value in described.items() if key.endswith("EventDetails")), {}
        )
        line = {
            "id": str(event.id),
            "type": event.type,
            "details": details if include_data else _without_data(details),
            "redrive_count": str(redrives()),
            "previous_event_id": str(described["previousEventId"]),
            "event_timestamp": str(round(described["timestamp"] * 1000)),
            "execution_arn": execution_arn,
        }
        text = json_text(line)
        if len(text.encode()) > _LINE_LIMIT:
            text = json_text({**line, "details": _truncated(details)})
        cloud.log(group, stream, [text])

    return write


def observer(
    cloud: CloudContext, started_of: Reference, execution_arn: str, redrives: Callable[[], int]
) -> Callable[[Event], None]:
    """What is to be called with each event of an execution: it publishes the event, and logs it.

    Args:
        cloud: Where it is published and logged.
        started_of: What the execution was started of.
        execution_arn: Its ARN.
        redrives: How often it has been redriven so far.
    """
    events = cloud.events
    logging = started_of.revision.logging
    log = log_writer(cloud, logging, started_of.machine.name, execution_arn, redrives)

    def on_event(event: Event) -> None:
        if events.wanted:
            events.publish("history", execution_arn, event=event.as_dict())
        if log is not None:
            log(event)

    return on_event


def _without_data(details: dict[str, Any]) -> dict[str, Any]:
    left_out = {*_DATA, *(f"{name}Details" for name in _DATA)}
    return {name: value for name, value in details.items() if name not in left_out}


def _truncated(details: dict[str, Any]) -> dict[str, Any]:
    """Details without data that is too long for a log event, and marked as such."""
    flags = {f"{name}Details": {"truncated": True} for name in _DATA if name in details}
    return {**_without_data(details), **flags}
