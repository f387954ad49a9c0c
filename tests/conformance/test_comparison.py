"""The comparison itself: a history that differs anywhere must be told from the recorded one."""

from __future__ import annotations

import copy
from datetime import date
from typing import Any

import pytest

from tests.conformance.recorded import Case, Comparison

ARN = "arn:<partition>:states:<region>:111111111111:mapRun:<name>/<label>:<id>"
PREFIX = "arn:aws:states:eu:111111111111:mapRun"
ASSIGNED = {"assignedVariables": {"x": "42"}}


def event(number: Any, previous: int, kind: str, **details: Any) -> dict[str, Any]:
    return {"id": number, "previousEventId": previous, "timestamp": "timestamp", "type": kind, **details}


def ours(number: int, previous: int, kind: str, **details: Any) -> dict[str, Any]:
    return {**event(number, previous, kind, **details), "timestamp": 1.5}


RECORDED = [
    event(1, 0, "ExecutionStarted", executionStartedEventDetails={"input": {"t": "date"}, "roleArn": "r"}),
    event(2, 0, "MapRunStarted", mapRunStartedEventDetails={"mapRunArn": ARN}),
    event(3, 2, "PassStateExited", stateExitedEventDetails={"output": "[1, 2]", **ASSIGNED}),
    event(4, 3, "ExecutionFailed", executionFailedEventDetails={"cause": "in '<json-input:1>' of <id>"}),
]
SAME = [
    ours(1, 0, "ExecutionStarted", executionStartedEventDetails={"input": '{"t":"2020"}', "roleArn": "r"}),
    ours(2, 0, "MapRunStarted", mapRunStartedEventDetails={"mapRunArn": f"{PREFIX}:m/l:7"}),
    ours(3, 2, "PassStateExited", stateExitedEventDetails={"output": "[1,2]", **ASSIGNED}),
    ours(4, 3, "ExecutionFailed", executionFailedEventDetails={"cause": "in '{}' of 7"}),
]


def differences(
    recorded: list[dict[str, Any]], history: list[dict[str, Any]] | list[dict[str, Any]]
) -> list[str]:
    case = Case("id", date(2025, 1, 1), "STANDARD", {}, {}, recorded)
    return Comparison(case).differences(history)


def test_the_same_but_for_placeholders() -> None:
    assert differences(RECORDED, SAME) == []


@pytest.mark.parametrize(
    ("index", "path", "value"),
    [
        (0, ["type"], "ExecutionSucceeded"),
        (0, ["id"], 2),
        (0, ["executionStartedEventDetails", "roleArn"], "other"),
        (0, ["executionStartedEventDetails", "input"], '{"t":1}'),
        (0, ["executionStartedEventDetails", "more"], 1),
        (1, ["mapRunStartedEventDetails", "mapRunArn"], f"{PREFIX}:m-l:7"),
        (2, ["previousEventId"], 1),
        (2, ["stateExitedEventDetails", "output"], "[1,true]"),
        (2, ["stateExitedEventDetails", "output"], "[1,2,3]"),
        (2, ["stateExitedEventDetails", "assignedVariables"], {"x": '"42"'}),
        (3, ["executionFailedEventDetails", "cause"], "in '{}' of 8"),
        (3, ["timestamp"], "now"),
    ],
)
def test_every_difference_is_found(index: int, path: list[str], value: Any) -> None:
    history = copy.deepcopy(SAME)
    target = history[index]
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    assert differences(RECORDED, history)


def test_missing_and_further_events_are_found() -> None:
    assert differences(RECORDED, SAME[:-1])
    assert differences(RECORDED, [*SAME, SAME[-1]])


def concurrent() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    recorded = [
        event(1, 0, "ExecutionStarted"),
        event([0], 0, "PassStateEntered", stateEnteredEventDetails={"name": "A"}),
        event([0], 0, "PassStateEntered", stateEnteredEventDetails={"name": "B"}),
        event(4, 3, "ExecutionSucceeded"),
    ]
    history = [
        ours(1, 0, "ExecutionStarted"),
        ours(2, 1, "PassStateEntered", stateEnteredEventDetails={"name": "B"}),
        ours(3, 1, "PassStateEntered", stateEnteredEventDetails={"name": "A"}),
        ours(4, 3, "ExecutionSucceeded"),
    ]
    return recorded, history


def test_concurrent_events_are_found_in_any_order() -> None:
    recorded, history = concurrent()
    assert differences(recorded, history) == []
    history[1]["stateEnteredEventDetails"] = {"name": "A"}
    assert differences(recorded, history)
    recorded, history = concurrent()
    history[3]["previousEventId"] = 2
    assert differences(recorded, history)
    recorded, history = concurrent()
    assert differences(recorded, [*history, ours(5, 4, "PassStateExited")])


def test_an_old_recording_is_brought_up_to_date() -> None:
    recorded = [
        event(1, 0, "MapRunStarted"),
        event(2, 1, "MapRunSucceeded"),
        event(3, 2, "MapStateExited"),
    ]
    history = [ours(1, 0, "MapRunStarted"), ours(2, 1, "MapRunSucceeded"), ours(3, 1, "MapStateExited")]
    old = Case("id", date(2024, 2, 1), "STANDARD", {}, {}, recorded)
    new = Case("id", date(2025, 2, 1), "STANDARD", {}, {}, recorded)
    assert Comparison(old).differences(history) == []
    assert Comparison(new).differences(history)
