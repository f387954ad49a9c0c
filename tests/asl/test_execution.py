from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from harness.asl import Event, Outcome, TaskProgress, TaskRequest
from harness.clock import SkippingClock, run
from tests.asl.helpers import (
    INVOKE,
    START,
    Tasks,
    answering,
    chain,
    details,
    execute,
    shape,
    single,
    start,
    types,
)

WAIT = single({"Type": "Wait", "Seconds": 3600})


def test_stop_ends_the_history_at_once_and_waits_for_cleanup() -> None:
    clock = SkippingClock(START)
    cleaned: list[str] = []

    async def work(request: TaskRequest, progress: TaskProgress) -> Any:
        progress.started()
        try:
            await clock.sleep(1000)
        finally:
            await clock.sleep(1)
            cleaned.append(request.state)

    async def main() -> None:
        execution = start(single({"Type": "Task", "Resource": INVOKE}), tasks=Tasks(work), clock=clock)
        running = asyncio.ensure_future(execution.run())
        await clock.sleep(10)
        execution.stop("Manual", "probe")
        execution.stop("Again", "ignored")
        assert execution.outcome == Outcome("ABORTED", error="Manual", cause="probe")
        assert not cleaned
        assert await running == execution.outcome
        assert cleaned == ["S"]
        assert execution.stopped == START + 10
        assert shape(execution)[-1] == "0->5 ExecutionAborted"
        assert details(execution, "ExecutionAborted") == [{"error": "Manual", "cause": "probe"}]

    run(main())


def test_stop_without_a_reason_and_before_the_start() -> None:
    async def main() -> None:
        execution = start(WAIT)
        execution.stop()
        assert await execution.run() == Outcome("ABORTED")
        assert types(execution) == ["ExecutionStarted", "ExecutionAborted"]
        assert details(execution, "ExecutionAborted") == [{}]

    run(main())


def test_stop_after_the_end_changes_nothing() -> None:
    _, execution = execute(single({"Type": "Pass"}))
    before = execution.history.describe()
    execution.stop("Late", "too late")
    assert execution.history.describe() == before
    assert execution.outcome == Outcome("SUCCEEDED", {})


BESIDE = {"StartAt": "T", "States": {"T": WAIT["States"]["S"]}}


@pytest.mark.parametrize(
    "definition",
    [
        {**WAIT, "TimeoutSeconds": 60},
        {
            "StartAt": "P",
            "TimeoutSeconds": 60,
            "States": {"P": {"Type": "Parallel", "Branches": [WAIT, BESIDE], "End": True}},
        },
    ],
)
def test_timeout_of_the_machine(definition: dict[str, Any]) -> None:
    """Measured on AWS: neither error nor cause, the event follows from nothing, states leave no trace."""
    outcome, execution = execute(definition)
    assert outcome == Outcome("TIMED_OUT")
    assert execution.stopped == START + 60
    assert shape(execution)[-1].startswith("0->")
    assert types(execution)[-1] == "ExecutionTimedOut"
    assert "Aborted" not in " ".join(types(execution))
    assert details(execution, "ExecutionTimedOut") == [{"error": "States.Timeout"}]


def test_an_execution_that_is_in_time_is_not_timed_out() -> None:
    outcome, execution = execute({**WAIT, "TimeoutSeconds": 3601})
    assert outcome.status == "SUCCEEDED"
    assert execution.stopped == START + 3600


def test_express_executions_end_after_five_minutes() -> None:
    outcome, execution = execute(WAIT, workflow_type="EXPRESS")
    assert outcome.status == "TIMED_OUT"
    assert execution.stopped == START + 300


def test_cancelling_the_caller_cancels_the_work() -> None:
    cleaned: list[bool] = []
    clock = SkippingClock(START)

    async def work(request: TaskRequest, progress: TaskProgress) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    async def main() -> None:
        execution = start(single({"Type": "Task", "Resource": INVOKE}), tasks=Tasks(work), clock=clock)
        running = asyncio.ensure_future(execution.run())
        await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert cleaned == [True]
        assert execution.outcome is None

    run(main())


def test_events_are_told_as_they_happen() -> None:
    told: list[Event] = []
    _, execution = execute(chain(("A", {"Type": "Pass"}), ("B", {"Type": "Succeed"})), on_event=told.append)
    assert told == list(execution.history)
    assert [event.state for event in told] == [None, "A", "A", "B", "B", None]


def test_history_without_data() -> None:
    _, execution = execute(single({"Type": "Pass", "Assign": {"x": 1}}), {"secret": 1})
    text = json.dumps(execution.history.describe(include_execution_data=False))
    assert "secret" not in text
    assert "assignedVariables" not in text.replace("assignedVariablesDetails", "")
    assert len(execution.history.describe(include_execution_data=False)) == 4


def test_the_same_seed_gives_the_same_history_byte_for_byte() -> None:
    definition = {
        "StartAt": "M",
        "States": {
            "M": {
                "Type": "Map",
                "ItemProcessor": {
                    "StartAt": "W",
                    "States": {
                        "W": {
                            "Type": "Task",
                            "Resource": INVOKE,
                            "Parameters": {"id.$": "States.UUID()", "n.$": "States.MathRandom(1, 100)"},
                            "Retry": [{"ErrorEquals": ["States.ALL"], "JitterStrategy": "FULL"}],
                            "End": True,
                        }
                    },
                },
                "End": True,
            }
        },
    }

    def history(seed: int) -> str:
        clock = SkippingClock(START)
        calls = 0

        async def work(request: TaskRequest, progress: TaskProgress) -> Any:
            nonlocal calls
            calls += 1
            await clock.sleep(request.arguments["n"])
            return calls

        _, execution = execute(definition, list(range(20)), tasks=Tasks(work), clock=clock, seed=seed)
        return json.dumps(execution.history.describe())

    assert history(1) == history(1)
    assert history(1) != history(2)


def test_executions_of_one_machine_do_not_disturb_each_other() -> None:
    definition = single({"Type": "Task", "Resource": INVOKE, "Retry": [{"ErrorEquals": ["States.ALL"]}]})

    async def main() -> None:
        clock = SkippingClock(START)
        executions = [start(definition, n, clock=clock, tasks=answering(n)) for n in range(50)]
        machine = executions[0].machine
        for execution in executions:
            execution.machine = machine
        outcomes = await asyncio.gather(*(execution.run() for execution in executions))
        assert [outcome.output for outcome in outcomes] == list(range(50))

    run(main())


def test_a_busy_execution_lets_others_run() -> None:
    states = {f"S{i}": {"Type": "Pass", "Next": f"S{i + 1}"} for i in range(2000)}
    definition = {"StartAt": "S0", "States": {**states, "S2000": {"Type": "Pass", "End": True}}}

    async def main() -> None:
        busy = asyncio.ensure_future(start(definition).run())
        turns = 0
        while not busy.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns > 5

    run(main())


def test_no_timer_outlives_the_execution() -> None:
    definition = single({"Type": "Task", "Resource": INVOKE, "TimeoutSeconds": 60}, TimeoutSeconds=600)

    async def main() -> None:
        clock = SkippingClock(START)
        outcome = await start(definition, tasks=answering(1), clock=clock).run()
        await clock.sleep(10_000)
        assert outcome.status == "SUCCEEDED"
        assert clock.now() == START + 10_000

    run(main())


def test_executions_started_together_wait_side_by_side() -> None:
    async def main() -> None:
        clock = SkippingClock(START)
        executions = [start(WAIT, clock=clock) for _ in range(20)]
        await asyncio.gather(*(execution.run() for execution in executions))
        assert {execution.stopped for execution in executions} == {START + 3600}

    run(main())
