"""Amazon States Language: load, validate, run.

`load` compiles a definition into a `StateMachine`: JSON is parsed once, every path, template and expression
becomes a closure, and the states refer to each other directly. An `Execution` runs it, given a clock, a
source of randomness, and a `TaskRunner` that does the work of Task states. Nothing here does any I/O.

What is not supported (a Distributed Map over Parquet) is refused by `load`, naming the state.
"""

from harness.asl.definition import StateMachine, load, validate
from harness.asl.diagnostics import Diagnostic, InvalidDefinition
from harness.asl.errors import StatesError
from harness.asl.execution import Execution, Outcome
from harness.asl.history import Event, History
from harness.asl.tasks import Resource, TaskError, TaskProgress, TaskRequest, TaskRunner

__all__ = [
    "Diagnostic",
    "Event",
    "Execution",
    "History",
    "InvalidDefinition",
    "Outcome",
    "Resource",
    "StateMachine",
    "StatesError",
    "TaskError",
    "TaskProgress",
    "TaskRequest",
    "TaskRunner",
    "load",
    "validate",
]
