"""Redriving executions that ended without success."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from harness.asl import Execution, Outcome, TaskError
from harness.clock import SkippingClock, run

from .helpers import INVOKE, START, Tasks, answering, chain, details, shape, single, start
from .maps.support import Bucket, distributed

TASK = {"Type": "Task", "Resource": INVOKE}


def redriven(
    definition: dict[str, Any],
    input: Any = None,  # noqa: A002
    **options: Any,
) -> tuple[Outcome, Outcome, Execution]:
    """Run a machine to its end, and once more."""

    async def main() -> tuple[Outcome, Outcome, Execution]:
        execution = start(definition, input, **options)
        first = await execution.run()
        return first, await execution.redrive(), execution

    return run(main())


def test_goes_on_at_the_failed_task_with_the_same_input() -> None:
    tasks = answering(TaskError("Oops", "no"), {"ok": True})
    machine = chain(("A", {"Type": "Pass", "Result": {"x": 1}}), ("B", TASK))
    first, second, execution = redriven(machine, tasks=tasks)
    assert (first.status, first.error) == ("FAILED", "Oops")
    assert second == Outcome("SUCCEEDED", {"ok": True})
    assert [request.arguments for request in tasks.requests] == [{"x": 1}, {"x": 1}]
    assert shape(execution)[3:] == [
        "3->4 TaskStateEntered",
        "4->5 TaskScheduled",
        "5->6 TaskStarted",
        "6->7 TaskFailed",
        "7->8 ExecutionFailed",
        "8->9 ExecutionRedriven",
        "9->10 TaskScheduled",
        "10->11 TaskStarted",
        "11->12 TaskSucceeded",
        "12->13 TaskStateExited",
        "13->14 ExecutionSucceeded",
    ]
    assert details(execution, "ExecutionRedriven") == [{"redriveCount": 1}]


def test_the_context_object_tells_of_the_redrive() -> None:
    tasks = answering(TaskError("Oops", "no"), {})
    parameters = {"count.$": "$$.Execution.RedriveCount", "execution.$": "$$.Execution"}
    redriven(single({**TASK, "Parameters": parameters}), tasks=tasks)
    before, after = (request.arguments for request in tasks.requests)
    assert (before["count"], after["count"]) == (0, 1)
    assert "RedriveTime" not in before["execution"]
    assert after["execution"]["RedriveTime"] == "2023-11-14T22:13:20.000Z"


def test_retries_count_from_the_start() -> None:
    tasks = answering(*[TaskError("Oops", "no")] * 5, {"ok": True})
    state = {**TASK, "Retry": [{"ErrorEquals": ["Oops"], "MaxAttempts": 2}]}
    first, second, _ = redriven(single(state), tasks=tasks)
    assert (first.status, second.status) == ("FAILED", "SUCCEEDED")
    assert [request.attempt for request in tasks.requests] == [0, 1, 2, 0, 1, 2]


def test_a_fail_state_is_entered_anew() -> None:
    first, second, execution = redriven(single({"Type": "Fail", "Error": "E"}))
    assert first == second == Outcome("FAILED", error="E")
    assert shape(execution)[2:] == [
        "2->3 ExecutionFailed",
        "3->4 ExecutionRedriven",
        "4->5 FailStateEntered",
        "5->6 ExecutionFailed",
    ]


def both(tasks: Tasks) -> tuple[Outcome, Outcome, Execution]:
    branches = [{"StartAt": name, "States": {name: {**TASK, "End": True}}} for name in ("L", "R")]
    machine = chain(("P", {"Type": "Parallel", "Branches": branches}), ("After", {"Type": "Pass"}))
    return redriven(machine, tasks=tasks)


def test_only_branches_that_failed_or_were_aborted_run_again() -> None:
    calls: list[str] = []

    async def work(request: Any, progress: Any) -> Any:
        calls.append(request.state)
        progress.started()
        if request.state == "R" and calls.count("R") == 1:
            raise TaskError("Oops", "no")
        return request.state

    first, second, execution = both(Tasks(work))
    assert first.error == "Oops"
    assert second == Outcome("SUCCEEDED", ["L", "R"])
    assert calls == ["L", "R", "R"]
    # The states are gone on with: neither the Parallel nor its branches are entered a second time.
    assert [event.type for event in execution.history].count("ParallelStateStarted") == 1
    assert details(execution, "ParallelStateExited")[0]["output"] == '["L","R"]'


def test_an_aborted_branch_runs_again() -> None:
    clock = SkippingClock(START)
    calls: list[str] = []

    async def work(request: Any, progress: Any) -> Any:
        calls.append(request.state)
        progress.started()
        if request.state == "R" and calls.count("R") == 1:
            raise TaskError("Oops", "no")
        await clock.sleep(10)
        return request.state

    branches = [{"StartAt": name, "States": {name: {**TASK, "End": True}}} for name in ("L", "R")]
    _, second, _ = redriven(
        single({"Type": "Parallel", "Branches": branches}), tasks=Tasks(work), clock=clock
    )
    assert second == Outcome("SUCCEEDED", ["L", "R"])
    assert calls == ["L", "R", "L", "R"]


def test_a_parallel_whose_result_was_too_large_runs_all_branches_again() -> None:
    calls: list[str] = []

    async def work(request: Any, progress: Any) -> Any:
        calls.append(request.state)
        return ("x" if len(calls) <= 2 else "") * 200_000

    branches = [{"StartAt": name, "States": {name: {**TASK, "End": True}}} for name in ("L", "R")]
    first, second, _ = redriven(single({"Type": "Parallel", "Branches": branches}), tasks=Tasks(work))
    assert first.error == "States.DataLimitExceeded"
    assert second == Outcome("SUCCEEDED", ["", ""])
    assert calls == ["L", "R", "L", "R"]


def test_variables_are_kept() -> None:
    tasks = answering(TaskError("Oops", "no"), {})
    machine = chain(
        ("A", {"Type": "Pass", "Assign": {"v": 7}}),
        ("B", {**TASK, "Parameters": {"v.$": "$v"}}),
    )
    redriven(machine, tasks=tasks)
    assert tasks.requests[1].arguments == {"v": 7}


def test_a_stopped_wait_waits_again_and_time_limits_count_anew() -> None:
    clock = SkippingClock(START)

    async def main() -> Execution:
        execution = start(chain(("W", {"Type": "Wait", "Seconds": 100}), TimeoutSeconds=60), clock=clock)
        assert (await execution.run()).status == "TIMED_OUT"
        assert (await execution.redrive()).status == "TIMED_OUT"
        return execution

    execution = run(main())
    assert clock.now() == START + 120
    assert execution.redrives == 1
    assert [event.type for event in execution.history] == [
        "ExecutionStarted",
        "WaitStateEntered",
        "ExecutionTimedOut",
        "ExecutionRedriven",
        "ExecutionTimedOut",
    ]


def test_goes_on_at_the_next_state_when_stopped_between_states() -> None:
    """An execution lets others have the event loop between two states, and can be stopped there."""
    machine = {
        "StartAt": "A",
        "States": {
            "A": {"Type": "Pass", "Parameters": {"n.$": "States.MathAdd($.n, 1)"}, "Next": "C"},
            "C": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.n", "NumericLessThan": 1000, "Next": "A"}],
                "Default": "Done",
            },
            "Done": {"Type": "Succeed"},
        },
    }

    async def main() -> Execution:
        execution = start(machine, {"n": 0})
        running = asyncio.ensure_future(execution.run())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        execution.stop()
        assert (await running).status == "ABORTED"
        assert await execution.redrive() == Outcome("SUCCEEDED", {"n": 1000})
        return execution

    execution = run(main())
    kinds = [event.type for event in execution.history]
    assert kinds.count("PassStateEntered") == kinds.count("PassStateExited") == 1000
    assert "TaskStateAborted" not in kinds


def test_more_than_once() -> None:
    async def main() -> Execution:
        execution = start(single(TASK), tasks=answering(TaskError("E", "c"), TaskError("E", "c"), {}))
        await execution.run()
        await execution.redrive()
        assert (await execution.redrive()).status == "SUCCEEDED"
        with pytest.raises(RuntimeError, match="without success"):
            await execution.redrive()
        return execution

    assert details(run(main()), "ExecutionRedriven") == [{"redriveCount": 1}, {"redriveCount": 2}]


# Maps ------------------------------------------------------------------------------------------------------


def mapping(**fields: Any) -> dict[str, Any]:
    processor = {"StartAt": "W", "States": {"W": {**TASK, "End": True}}}
    return {"Type": "Map", "ItemProcessor": processor, **fields}


class Failing:
    """Tasks whose item fails the first time if it is one of some, and answers twice the item otherwise."""

    def __init__(self, *items: int) -> None:
        self.failing = set(items)
        self.done: list[int] = []

    async def run(self, request: Any, progress: Any) -> Any:
        progress.started()
        self.done.append(request.arguments)
        if request.arguments in self.failing:
            self.failing.discard(request.arguments)
            raise TaskError("Oops", "no")
        return 2 * request.arguments


def test_only_iterations_that_did_not_succeed_run_again() -> None:
    tasks = Failing(2)
    first, second, execution = redriven(single(mapping(MaxConcurrency=1)), [1, 2, 3], tasks=tasks)
    assert first.error == "Oops"
    assert second == Outcome("SUCCEEDED", [2, 4, 6])
    assert tasks.done == [1, 2, 2, 3]
    kinds = [event.type for event in execution.history]
    assert (kinds.count("MapStateStarted"), kinds.count("MapStateEntered")) == (1, 1)
    assert kinds.count("MapIterationStarted") == 3
    assert kinds.count("MapIterationSucceeded") == 3


def test_a_map_is_tried_anew_by_its_retrier_and_by_its_next_visit() -> None:
    tasks = Failing(2)
    retry = [{"ErrorEquals": ["Oops"]}]
    execution = once(single(mapping(MaxConcurrency=1, Retry=retry)), [1, 2], tasks)
    assert execution.outcome == Outcome("SUCCEEDED", [2, 4])
    assert tasks.done == [1, 2, 1, 2]


def once(definition: dict[str, Any], input: Any, tasks: Any) -> Execution:  # noqa: A002
    async def main() -> Execution:
        execution = start(definition, input, tasks=tasks)
        await execution.run()
        return execution

    return run(main())


def test_an_item_that_could_not_be_selected_is_selected_again() -> None:
    selecting = mapping(MaxConcurrency=1, ItemSelector={"v.$": "$$.Map.Item.Value.v"})
    first, second, execution = redriven(single(selecting), [{"v": 1}, {}], tasks=answering({}))
    assert first.error == second.error == "States.Runtime"
    assert [event.type for event in execution.history].count("MapIterationStarted") == 1


def test_nested_maps_go_on_inside() -> None:
    inner = {"StartAt": "I", "States": {"I": {**mapping(MaxConcurrency=1), "End": True}}}
    outer = {"Type": "Map", "MaxConcurrency": 1, "ItemProcessor": inner}
    tasks = Failing(4)
    _, second, _ = redriven(single(outer), [[1, 2], [3, 4, 5]], tasks=tasks)
    assert second == Outcome("SUCCEEDED", [[2, 4], [6, 8, 10]])
    assert tasks.done == [1, 2, 3, 4, 4, 5]


@pytest.mark.parametrize("express", [False, True])
def test_a_map_run_runs_its_unsuccessful_child_executions_again(express: bool) -> None:
    maps, tasks = Bucket(), Failing(2)
    processor = {"StartAt": "W", "States": {"W": {**TASK, "End": True}}}
    definition = distributed(processor, express=express, MaxConcurrency=1)
    first, second, execution = redriven(definition, [1, 2, 3], tasks=tasks, maps=maps)
    assert first.error == "States.ExceedToleratedFailureThreshold"
    assert second == Outcome("SUCCEEDED", [2, 4, 6])
    assert tasks.done == [1, 2, 2, 3]
    (map_run,) = maps.runs
    assert maps.redriven == [map_run]
    assert (map_run.redrives, map_run.status) == (1, "SUCCEEDED")
    assert details(execution, "MapRunRedriven") == [{"mapRunArn": map_run.arn, "redriveCount": 1}]
    assert [event.type for event in execution.history].count("MapRunStarted") == 1


def test_a_map_run_whose_items_could_not_be_read_reads_them_again() -> None:
    maps = Bucket({"items.json": b"[1, 2]"})
    maps.refusal = "no"
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSON"},
        "Parameters": {"Bucket": "b", "Key": "items.json"},
    }

    async def main() -> Execution:
        execution = start(distributed(ItemReader=reader), {}, maps=maps)
        assert (await execution.run()).error == "States.ItemReaderFailed"
        maps.refusal = None
        assert await execution.redrive() == Outcome("SUCCEEDED", [1, 2])
        return execution

    kinds = [event.type for event in run(main()).history]
    assert kinds.count("MapRunStarted") == kinds.count("MapRunRedriven") == 1


def test_a_map_run_whose_result_was_too_large_runs_everything_again() -> None:
    maps, calls = Bucket(), []

    async def work(request: Any, progress: Any) -> Any:
        calls.append(request.arguments)
        return ("x" if len(calls) <= 2 else "") * 200_000

    processor = {"StartAt": "W", "States": {"W": {**TASK, "End": True}}}
    first, second, _ = redriven(
        distributed(processor, MaxConcurrency=1), [1, 2], tasks=Tasks(work), maps=maps
    )
    assert first.error == "States.DataLimitExceeded"
    assert second == Outcome("SUCCEEDED", ["", ""])
    assert calls == [1, 2, 1, 2]
