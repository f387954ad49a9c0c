"""Errors of the States Language, as data that Retry and Catch match.

Two exceptions travel through the interpreter. Evaluating a path, a template or an expression raises a
`Fault`, which knows what went wrong but not where. The state that was being run turns it into a
`StatesError`, whose cause is complete. Neither ever leaves `Execution.run`.
"""

from __future__ import annotations

__all__ = ["Fault", "QueryFault", "StatesError"]

ALL = "States.ALL"
DATA_LIMIT_EXCEEDED = "States.DataLimitExceeded"
EXCEED_TOLERATED_FAILURE_THRESHOLD = "States.ExceedToleratedFailureThreshold"
HEARTBEAT_TIMEOUT = "States.HeartbeatTimeout"
INTRINSIC_FAILURE = "States.IntrinsicFailure"
ITEM_READER_FAILED = "States.ItemReaderFailed"
QUERY_EVALUATION_ERROR = "States.QueryEvaluationError"
RESULT_PATH_MATCH_FAILURE = "States.ResultPathMatchFailure"
RESULT_WRITER_FAILED = "States.ResultWriterFailed"
RUNTIME = "States.Runtime"
TASK_FAILED = "States.TaskFailed"
TIMEOUT = "States.Timeout"


class StatesError(Exception):
    """A state failed.

    Attributes:
        error: Error name; None when a Fail state gives none.
        cause: Human text; None when there is none, which the history then omits.
        also: A further name that Retry and Catch may use for it (a missed heartbeat is reported as
            States.Timeout, but States.HeartbeatTimeout matches it too).
    """

    def __init__(self, error: str | None, cause: str | None = None, *, also: str | None = None) -> None:
        super().__init__(error, cause)
        self.error = error
        self.cause = cause
        self.also = also

    @property
    def fatal(self) -> bool:
        """Ends the whole execution at once: States.Runtime is neither retried nor caught, not even outside
        the Parallel or Map it happens in."""
        return self.error == RUNTIME

    def matches(self, names: frozenset[str]) -> bool:
        """Whether an ErrorEquals with these names is about this error.

        States.ALL matches neither States.Runtime nor States.DataLimitExceeded; States.TaskFailed matches
        everything but a timeout. (AWS developer guide, "Handling errors in Step Functions workflows".)
        """
        if self.fatal:
            return False
        if self.error in names or (self.also is not None and self.also in names):
            return True
        if self.error == DATA_LIMIT_EXCEEDED:
            return False
        return ALL in names or (TASK_FAILED in names and self.error != TIMEOUT)


class Fault(Exception):
    """Evaluation failed; `message` does not yet say in which state.

    Attributes:
        message: What AWS writes after "An error occurred while executing the state ...".
        error: Error name.
    """

    def __init__(self, message: str, error: str = RUNTIME) -> None:
        super().__init__(message)
        self.message = message
        self.error = error


class QueryFault(Fault):
    """A JSONata state could not evaluate something; the history gets an EvaluationFailed event.

    Attributes:
        location: The field, such as ``Output/result`` or ``Choices[0]/Condition``; None when the fault is
            not about a field.
    """

    def __init__(self, message: str, location: str | None) -> None:
        super().__init__(message, QUERY_EVALUATION_ERROR)
        self.location = location
