"""CloudWatch Logs of executions, as a state machine's loggingConfiguration asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from harness.asl import Event
from harness.asl.values import json_text
from harness.cloud.service import CloudContext

__all__ = ["log_writer"]

_FATAL = frozenset({"ExecutionAborted", "ExecutionFailed", "ExecutionTimedOut"})
_DATA = ("input", "inputDetails", "output", "outputDetails", "parameters", "assignedVariables")


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
    cloud: CloudContext, logging: Mapping[str, Any], machine: str, execution_arn: str
) -> Callable[[Event], None] | None:
    """The function that logs an execution's events; None when logging is off.

    Args:
        cloud: Has the logs.
        logging: loggingConfiguration, its defaults filled in.
        machine: Name of the state machine.
        execution_arn: Goes into every line.
    """
    level = logging["level"]
    if level == "OFF":
        return None
    arn: str = logging["destinations"][0]["cloudWatchLogsLogGroup"]["logGroupArn"]
    group = arn.partition(":log-group:")[2].removesuffix(":*")
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
        if not include_data:
            details = {key: value for key, value in details.items() if key not in _DATA}
        line = {
            "id": str(event.id),
            "type": event.type,
            "details": details,
            "redrive_count": "0",
            "previous_event_id": str(described["previousEventId"]),
            "event_timestamp": str(round(described["timestamp"] * 1000)),
            "execution_arn": execution_arn,
        }
        cloud.log(group, stream, [json_text(line)])

    return write
