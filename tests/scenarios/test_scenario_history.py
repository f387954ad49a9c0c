"""Reading histories: entered states and retries."""

from __future__ import annotations

from typing import Any

from harness.scenarios.history import entered_states, retries


def history(*lines: str) -> list[dict[str, Any]]:
    """``id previous type [state]`` a line."""
    events = []
    for line in lines:
        number, previous, kind, *state = line.split()
        event: dict[str, Any] = {"id": int(number), "previousEventId": int(previous), "type": kind}
        if kind.endswith("StateEntered"):
            event["stateEnteredEventDetails"] = {"name": state[0]}
        events.append(event)
    return events


def test_a_task_that_is_retried_in_one_of_two_visits():
    events = history(
        "1 0 ExecutionStarted",
        "2 0 TaskStateEntered Check",
        "3 2 TaskScheduled",
        "4 3 TaskStarted",
        "5 4 TaskFailed",
        "6 5 TaskScheduled",
        "7 6 TaskStarted",
        "8 7 TaskSucceeded",
        "9 8 TaskStateExited",
        "10 9 TaskStateEntered Check",
        "11 10 TaskScheduled",
        "12 11 TaskStarted",
        "13 12 TaskSucceeded",
        "14 13 TaskStateExited",
    )
    assert entered_states(events) == ("Check", "Check")
    assert retries(events) == {"Check": 1}


def test_a_map_is_retried_after_its_iteration_failed():
    # As AWS records it: there is no event between the failed iteration and the next attempt.
    events = history(
        "2 0 MapStateEntered Each",
        "3 2 MapStateStarted",
        "4 3 MapIterationStarted",
        "5 4 FailStateEntered Bad",
        "6 5 MapIterationFailed",
        "7 5 MapStateStarted",
        "8 7 MapIterationStarted",
        "9 8 FailStateEntered Bad",
        "10 9 MapIterationFailed",
        "11 9 MapStateFailed",
    )
    assert entered_states(events) == ("Each", "Bad", "Bad")
    assert retries(events) == {"Each": 1}


def test_a_parallel_inside_a_parallel():
    events = history(
        "2 0 ParallelStateEntered Outer",
        "3 2 ParallelStateStarted",
        "4 3 ParallelStateEntered Inner",
        "5 4 ParallelStateStarted",
        "6 5 FailStateEntered Bad",
        "7 6 ParallelStateFailed",  # Inner, which has no retriers
        "8 7 ParallelStateStarted",  # Outer again
        "9 8 ParallelStateEntered Inner",
        "10 9 ParallelStateStarted",
        "11 10 PassStateEntered Good",
        "12 11 PassStateExited",
        "13 12 ParallelStateSucceeded",
        "14 13 ParallelStateExited",
        "15 14 ParallelStateSucceeded",
        "16 15 ParallelStateExited",
    )
    assert retries(events) == {"Outer": 1}


def test_states_after_a_map_are_not_inside_it():
    events = history(
        "2 0 MapStateEntered Each",
        "3 2 MapStateStarted",
        "4 3 MapIterationStarted",
        "5 4 PassStateEntered Step",
        "6 5 PassStateExited",
        "7 6 MapIterationSucceeded",
        "8 7 MapStateSucceeded",
        "9 8 MapStateExited",
        "10 9 MapStateEntered Again",
        "11 10 MapStateStarted",
    )
    assert retries(events) == {}
