"""Redriving executions that ended without success."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from harness.asl import Execution, Outcome, TaskError
from harness.clock import SkippingClock, run

from .helpers import INVOKE, START, Tasks, answering, chain, details, shape, single, start

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
