from __future__ import annotations

from typing import Any

import pytest

from harness.asl import TaskError, TaskProgress, TaskRequest
from harness.clock import SkippingClock
from tests.asl.helpers import INVOKE, START, Tasks, details, execute, shape, types

WORK = {"StartAt": "W", "States": {"W": {"Type": "Task", "Resource": INVOKE, "End": True}}}
ECHO = {"StartAt": "W", "States": {"W": {"Type": "Pass", "End": True}}}


def machine(processor: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "StartAt": "M",
        "States": {"M": {"Type": "Map", "ItemProcessor": processor, "End": True, **fields}},
    }


def taking(clock: SkippingClock) -> Tasks:
    """Each item says how many seconds it takes; a negative one fails after as many."""

    async def work(request: TaskRequest, progress: TaskProgress) -> Any:
        await clock.sleep(abs(request.arguments))
        if request.arguments < 0:
            raise TaskError("Oops", "because")
        return request.arguments

    return Tasks(work)


@pytest.mark.parametrize(("concurrency", "seconds"), [(None, 5), (0, 5), (1, 15), (2, 9), (3, 7), (100, 5)])
def test_concurrency(concurrency: int | None, seconds: float) -> None:
    clock = SkippingClock(START)
    fields = {} if concurrency is None else {"MaxConcurrency": concurrency}
    outcome, execution = execute(machine(WORK, **fields), [1, 2, 3, 4, 5], tasks=taking(clock), clock=clock)
    assert outcome.output == [1, 2, 3, 4, 5]
    assert execution.stopped == START + seconds


def test_an_inline_map_without_a_limit_runs_forty_at_once() -> None:
    clock = SkippingClock(START)
    _, execution = execute(machine(WORK), [1] * 41, tasks=taking(clock), clock=clock)
    assert execution.stopped == START + 2


def test_a_following_iteration_follows_from_the_one_that_made_place_for_it() -> None:
    clock = SkippingClock(START)
    _, execution = execute(machine(WORK, MaxConcurrency=2), [5, 1, 1], tasks=taking(clock), clock=clock)
    starts = [event for event in execution.history if event.type == "MapIterationStarted"]
    second = next(e for e in execution.history if e.type == "MapIterationSucceeded" and e.payload[1] == 1)
    assert [event.previous for event in starts] == [3, 3, second.previous]


def test_a_failing_iteration_aborts_the_others() -> None:
    clock = SkippingClock(START)
    outcome, execution = execute(machine(WORK), [10, -2, 10], tasks=taking(clock), clock=clock)
    assert (outcome.error, outcome.cause) == ("Oops", "because")
    assert execution.stopped == START + 2
    assert types(execution)[-7:] == [
        "MapIterationFailed",
        "TaskStateAborted",
        "MapIterationAborted",
        "TaskStateAborted",
        "MapIterationAborted",
        "MapStateFailed",
        "ExecutionFailed",
    ]
    failed = next(event for event in execution.history if event.type == "TaskFailed")
    assert execution.history[-2].previous == failed.id
    assert [d["index"] for d in details(execution, "MapIterationAborted")] == [0, 2]


def test_item_selector_sees_the_item_its_index_and_the_input() -> None:
    selector = {"i.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value", "in.$": "$.k", "c": 1}
    outcome, _ = execute(
        machine(ECHO, ItemsPath="$.items", ItemSelector=selector), {"items": ["a", "b"], "k": 7}
    )
    assert outcome.output == [{"i": i, "v": v, "in": 7, "c": 1} for i, v in enumerate("ab")]


def test_states_inside_see_the_item_too() -> None:
    inner = {"StartAt": "W", "States": {"W": {"Type": "Pass", "Parameters": {"m.$": "$$.Map"}, "End": True}}}
    outcome, _ = execute(machine(inner), ["a"])
    assert outcome.output == [{"m": {"Item": {"Index": 0, "Value": "a", "Source": "STATE_DATA"}}}]


def test_item_selector_that_fails_names_the_map() -> None:
    outcome, execution = execute(machine(ECHO, ItemSelector={"x.$": "$.nope"}, ItemsPath="$.i"), {"i": [1]})
    assert (outcome.cause or "").startswith(
        "An error occurred while executing the state 'M' (entered at the event id #2). The JSONPath '$.nope'"
    )
    assert types(execution)[2:] == ["MapStateStarted", "ExecutionFailed"]


def test_jsonata_item_selector() -> None:
    definition = machine(
        ECHO,
        QueryLanguage="JSONata",
        Items="{% $states.input.items %}",
        ItemSelector={"v": "{% $states.context.Map.Item.Value %}", "k": "{% $states.input.k %}"},
        Output="{% $sum($states.result.v) %}",
    )
    outcome, _ = execute(definition, {"items": [1, 2], "k": 7})
    assert outcome.output == 3


@pytest.mark.parametrize(
    ("fields", "data", "text"),
    [
        ({}, {"a": 1}, 'Reference path "$" must point to array.'),
        ({"ItemsPath": "$.a"}, {"a": 1}, 'Reference path "$.a" must point to array.'),
        ({"ItemsPath": "$.b"}, {"a": 1}, "The JSONPath '$.b' specified for the field 'ItemsPath' could not"),
        ({"MaxConcurrencyPath": "$.m", "ItemsPath": "$.a"}, {"a": [], "m": -1}, "must not be negative"),
    ],
)
def test_unfit_items(fields: dict[str, Any], data: Any, text: str) -> None:
    outcome, _ = execute(machine(ECHO, **fields), data)
    assert outcome.error == "States.Runtime"
    assert text in (outcome.cause or "")


def test_items_that_are_too_large() -> None:
    definition = machine(ECHO, QueryLanguage="JSONata", Items="{% [1..100000] %}")
    outcome, _ = execute(definition)
    assert outcome.error == "States.DataLimitExceeded"


def test_evaluation_failure_of_items_can_be_caught() -> None:
    definition = machine(
        ECHO,
        QueryLanguage="JSONata",
        Items="{% 1 %}",
        Catch=[{"ErrorEquals": ["States.QueryEvaluationError"], "Next": "E"}],
    )
    definition["States"]["E"] = {"Type": "Succeed"}
    outcome, execution = execute(definition)
    assert outcome.status == "SUCCEEDED"
    assert shape(execution)[1:5] == [
        "0->2 MapStateEntered",
        "0->3 EvaluationFailed",
        "3->4 MapStateFailed",
        "4->5 MapStateExited",
    ]
