"""Whether an execution can be redriven (API reference, DescribeExecution, and the developer guide, "Redriving
executions")."""

from __future__ import annotations

from typing import Final

from harness.asl.history import STANDARD_LIMIT
from harness.cloud.stepfunctions.executions import Record
from harness.cloud.stepfunctions.machines import Machine

__all__ = ["obstacle"]

DAY: Final = 86_400.0
PERIOD: Final = 14 * DAY
"""Seconds after its end in which an execution can be redriven."""
OPEN_TIME: Final = 365 * DAY
"""Seconds that an execution can be open, all redrives included."""
ROOM: Final = 2
"""Events that must still fit into the history: that it was redriven, and one more."""


def obstacle(record: Record, machine: Machine | None, now: float) -> str | None:
    """Why an execution cannot be redriven, in AWS's words; None if it can be.

    Args:
        record: The execution.
        machine: Its state machine; None when that is gone.
        now: Virtual time.
    """
    if machine is None or machine.status == "DELETING":
        return "State machine is in DELETING status"
    if record.stopped is None or record.status == "SUCCEEDED":
        return f"Execution is {record.status} and cannot be redriven"
    if len(record.history) > STANDARD_LIMIT - ROOM:
        return "Execution history event limit exceeded"
    if now - record.started > OPEN_TIME:
        return "Execution has exceeded the max execution time"
    if now - record.stopped > PERIOD:
        return "Execution redrivable period exceeded"
    return None
