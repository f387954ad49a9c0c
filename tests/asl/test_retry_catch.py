from __future__ import annotations

import itertools
from typing import Any

import pytest

from harness.asl import TaskError
from tests.asl.helpers import INVOKE, START, answering, details, execute, shape, single, types


def task(**fields: Any) -> dict[str, Any]:
    definition = single({"Type": "Task", "Resource": INVOKE, **fields})
    definition["States"]["Caught"] = {"Type": "Succeed"}
    return definition


FAILS = TaskError("Oops", "because")


def waits(retry: dict[str, Any], seed: int = 0) -> list[float]:
    """Seconds between the attempts of a task that always fails."""
    definition = single({"Type": "Task", "Resource": INVOKE, "Retry": [{"ErrorEquals": ["Oops"], **retry}]})
    _, execution = execute(definition, tasks=answering(FAILS), seed=seed)
    times = [event.time for event in execution.history if event.type == "TaskScheduled"]
    return [later - earlier for earlier, later in itertools.pairwise(times)]


@pytest.mark.parametrize(
    ("retry", "expected"),
    [
        ({}, [1, 2, 4]),
        ({"MaxAttempts": 0}, []),
        ({"IntervalSeconds": 3, "MaxAttempts": 2, "BackoffRate": 1}, [3, 3]),
        ({"IntervalSeconds": 2, "MaxAttempts": 5, "MaxDelaySeconds": 10}, [2, 4, 8, 10, 10]),
        ({"BackoffRate": 1.5, "MaxAttempts": 3}, [1, 1.5, 2.25]),
    ],
)
def test_waits_between_attempts(retry: dict[str, Any], expected: list[float]) -> None:
    assert waits(retry) == expected


def test_full_jitter_comes_from_the_entropy_and_stays_below_the_delay() -> None:
    retry = {"JitterStrategy": "FULL", "IntervalSeconds": 10, "MaxAttempts": 4}
    first, again, other = waits(retry, 1), waits(retry, 1), waits(retry, 2)
    assert first == again != other
    assert all(0 <= delay <= limit for delay, limit in zip(first, [10, 20, 40, 80], strict=True))


def test_enormous_backoff_does_not_overflow() -> None:
    assert waits({"BackoffRate": 9e7, "MaxAttempts": 100})[-1] == 99_999_999


def test_each_retrier_counts_for_itself() -> None:
    definition = single(
        {
            "Type": "Task",
            "Resource": INVOKE,
            "Retry": [
                {"ErrorEquals": ["A"], "MaxAttempts": 1},
                {"ErrorEquals": ["States.ALL"], "MaxAttempts": 2, "IntervalSeconds": 5, "BackoffRate": 1},
            ],
        }
    )
    a, b = TaskError("A", ""), TaskError("B", "")
    tasks = answering(a, b, b, "done")
    outcome, execution = execute(definition, tasks=tasks)
    assert outcome.output == "done"
    assert execution.stopped == START + 1 + 5 + 5
    assert [request.attempt for request in tasks.requests] == [0, 1, 2, 3]
    outcome, _ = execute(definition, tasks=answering(a, a))
    assert outcome.error == "A"  # the first retrier is about A, so the second is not asked


def test_events_of_a_retried_task_form_one_chain() -> None:
    definition = single({"Type": "Task", "Resource": INVOKE, "Retry": [{"ErrorEquals": ["Oops"]}]})
    _, execution = execute(definition, tasks=answering(FAILS, 1))
    assert shape(execution)[1:9] == [
        "0->2 TaskStateEntered",
        "2->3 TaskScheduled",
        "3->4 TaskStarted",
        "4->5 TaskFailed",
        "5->6 TaskScheduled",
        "6->7 TaskStarted",
        "7->8 TaskSucceeded",
        "8->9 TaskStateExited",
    ]


@pytest.mark.parametrize(
    ("names", "error", "caught"),
    [
        (["Oops"], "Oops", True),
        (["Other", "Oops"], "Oops", True),
        (["Other"], "Oops", False),
        (["States.TaskFailed"], "Oops", True),
        (["States.TaskFailed"], "States.Timeout", False),
        (["States.Timeout"], "States.Timeout", True),
        (["States.ALL"], "Oops", True),
        (["States.ALL"], "States.Timeout", True),
        (["States.ALL"], "States.DataLimitExceeded", False),
        (["States.DataLimitExceeded"], "States.DataLimitExceeded", True),
        (["States.ALL"], "States.Runtime", False),
        (["States.Runtime"], "States.Runtime", False),
    ],
)
def test_what_a_catcher_catches(names: list[str], error: str, caught: bool) -> None:
    definition = task(Catch=[{"ErrorEquals": names, "Next": "Caught"}])
    outcome, _ = execute(definition, tasks=answering(TaskError(error, "c")))
    assert outcome.status == ("SUCCEEDED" if caught else "FAILED")


@pytest.mark.parametrize(
    ("catch", "output"),
    [
        ({}, {"Error": "Oops", "Cause": "because"}),
        ({"ResultPath": "$.error"}, {"in": 1, "error": {"Error": "Oops", "Cause": "because"}}),
        ({"ResultPath": None}, {"in": 1}),
    ],
)
def test_error_output(catch: dict[str, Any], output: Any) -> None:
    definition = task(Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Caught", **catch}])
    outcome, execution = execute(definition, {"in": 1}, tasks=answering(FAILS))
    assert outcome.output == output
    assert shape(execution)[4:6] == ["4->5 TaskFailed", "5->6 TaskStateExited"]


def test_catcher_assigns_from_the_error_output() -> None:
    definition = task(Catch=[{"ErrorEquals": ["Oops"], "Next": "Caught", "Assign": {"e.$": "$.Error"}}])
    _, execution = execute(definition, tasks=answering(FAILS))
    assert details(execution, "TaskStateExited")[0]["assignedVariables"] == {"e": '"Oops"'}


def test_catch_comes_after_the_retries() -> None:
    definition = task(
        Retry=[{"ErrorEquals": ["Oops"], "MaxAttempts": 2}],
        Catch=[{"ErrorEquals": ["Oops"], "Next": "Caught"}],
    )
    _, execution = execute(definition, tasks=answering(FAILS))
    assert types(execution).count("TaskFailed") == 3
    assert types(execution)[-3:] == ["SucceedStateEntered", "SucceedStateExited", "ExecutionSucceeded"]


def test_intrinsic_failure_in_parameters_can_be_caught() -> None:
    definition = task(
        Parameters={"x.$": "States.StringToJson($.bad)"},
        Catch=[{"ErrorEquals": ["States.IntrinsicFailure"], "Next": "Caught"}],
    )
    outcome, execution = execute(definition, {"bad": "{"}, tasks=answering(1))
    assert outcome.output["Error"] == "States.IntrinsicFailure"
    assert types(execution)[1:3] == ["TaskStateEntered", "TaskStateExited"]


def test_the_catcher_that_fails_itself_fails_the_state() -> None:
    definition = task(Catch=[{"ErrorEquals": ["Oops"], "Next": "Caught", "ResultPath": "$.n.deep"}])
    outcome, _ = execute(definition, {"n": 1}, tasks=answering(FAILS))
    assert outcome.error == "States.ResultPathMatchFailure"
