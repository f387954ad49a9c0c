"""Map states in DISTRIBUTED mode: child executions and their Map Run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from harness.asl import TaskError, TaskProgress, TaskRequest
from harness.asl.maps.run import MapRun
from harness.clock import SkippingClock, run
from tests.asl.helpers import INVOKE, START, Tasks, answering, details, execute, shape, start, types
from tests.asl.maps.support import PREFIX, STANDARD, Bucket, distributed

WORK = {"StartAt": "W", "States": {"W": {"Type": "Task", "Resource": INVOKE, "End": True}}}
DISTRIBUTED = STANDARD


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


def counts(run_: MapRun) -> dict[str, int]:
    return {status: number for status, number in run_.executions.items() if number}


def test_distributed_map_runs_child_executions() -> None:
    inner = {
        "StartAt": "W",
        "States": {"W": {"Type": "Pass", "Parameters": {"in.$": "$", "c.$": "$$"}, "End": True}},
        **DISTRIBUTED,
    }
    outcome, execution = execute(machine(inner, Label="L", ItemsPath="$.items"), {"items": [1, 2]})
    assert [result["in"] for result in outcome.output] == [1, 2]
    contexts = [result["c"] for result in outcome.output]
    prefix = "arn:aws:states:us-east-1:123456789012"
    assert all(c["Execution"]["Id"].startswith(f"{prefix}:execution:m/L:") for c in contexts)
    assert [c["Execution"]["Input"] for c in contexts] == [1, 2]
    assert contexts[0]["Execution"]["Name"] != contexts[1]["Execution"]["Name"]
    assert contexts[0]["StateMachine"] == {"Id": f"{prefix}:stateMachine:m/L", "Name": "m/L"}
    assert details(execution, "MapRunStarted")[0]["mapRunArn"].startswith(f"{prefix}:mapRun:m/L:")
    assert "Pass" not in " ".join(types(execution))


def test_variables_are_not_seen_in_child_executions() -> None:
    inner = {"StartAt": "W", "States": {"W": {"Type": "Pass", "Parameters": {"x.$": "$x"}, "End": True}}}
    definition = {
        "StartAt": "Set",
        "States": {
            "Set": {"Type": "Pass", "Assign": {"x": 1}, "Next": "M"},
            "M": {"Type": "Map", "ItemProcessor": {**inner, **DISTRIBUTED}, "End": True},
        },
    }
    outcome, _ = execute(definition, [1])
    assert outcome.error == "States.ExceedToleratedFailureThreshold"


@pytest.mark.parametrize(
    ("fields", "failures", "status"),
    [
        ({}, 0, "SUCCEEDED"),
        ({}, 1, "FAILED"),
        ({"ToleratedFailureCount": 2}, 2, "SUCCEEDED"),
        ({"ToleratedFailureCount": 2}, 3, "FAILED"),
        ({"ToleratedFailurePercentage": 25}, 2, "SUCCEEDED"),
        ({"ToleratedFailurePercentage": 25}, 3, "FAILED"),
        ({"ToleratedFailurePercentage": 100}, 8, "SUCCEEDED"),
    ],
)
def test_tolerated_failures(fields: dict[str, Any], failures: int, status: str) -> None:
    clock = SkippingClock(START)
    items = [-1] * failures + [1] * (8 - failures)
    definition = machine({**WORK, **DISTRIBUTED}, MaxConcurrency=1, **fields)
    outcome, execution = execute(definition, items, tasks=taking(clock), clock=clock)
    assert outcome.status == status
    if status == "SUCCEEDED":
        assert [result["Status"] for result in outcome.output[:failures]] == ["FAILED"] * failures
        assert outcome.output[failures:] == [1] * (8 - failures)
        return
    assert (outcome.error, outcome.cause) == (
        "States.ExceedToleratedFailureThreshold",
        "The specified tolerated failure threshold was exceeded",
    )
    assert shape(execution)[3:] == [
        "3->4 MapRunStarted",
        "4->5 MapRunFailed",
        "5->6 MapStateFailed",
        "6->7 ExecutionFailed",
    ]


def test_events_of_child_executions_do_not_count() -> None:
    states = {f"S{i}": {"Type": "Pass", "Next": f"S{i + 1}"} for i in range(999)}
    inner = {"StartAt": "S0", "States": {**states, "S999": {"Type": "Pass", "End": True}}, **DISTRIBUTED}
    outcome, _ = execute(machine(inner), list(range(30)))
    assert outcome.output == list(range(30))


def test_what_a_child_execution_that_ends_fatally_leaves_is_a_failure() -> None:
    inner = {"StartAt": "W", "States": {"W": {"Type": "Pass", "OutputPath": "$.nope", "End": True}}}
    outcome, _ = execute(machine({**inner, **DISTRIBUTED}, ToleratedFailureCount=1), [1, {"nope": 2}])
    assert outcome.output[0]["Error"] == "States.Runtime"
    assert outcome.output[1] == 2


def test_retry_of_a_distributed_map_makes_a_new_run() -> None:
    tasks = answering(TaskError("Oops", ""), "done")
    definition = machine(
        {**WORK, **DISTRIBUTED}, Retry=[{"ErrorEquals": ["States.ExceedToleratedFailureThreshold"]}]
    )
    outcome, execution = execute(definition, [1], tasks=tasks)
    assert outcome.output == ["done"]
    runs = [d["mapRunArn"] for d in details(execution, "MapRunStarted")]
    assert len(set(runs)) == 2


# Map Runs --------------------------------------------------------------------------------------------------


def test_a_map_run_counts_executions_and_items() -> None:
    clock = SkippingClock(START)
    bucket = Bucket()
    batched = distributed(
        {
            "StartAt": "W",
            "States": {"W": {"Type": "Task", "Resource": INVOKE, "InputPath": "$.Items[0]", "End": True}},
        },
        ItemBatcher={"MaxItemsPerBatch": 2},
        ToleratedFailureCount=2,
        MaxConcurrency=3,
    )
    outcome, _ = execute(batched, [1, 1, -1, 1, 1], tasks=taking(clock), clock=clock, maps=bucket)
    assert outcome.status == "SUCCEEDED"
    (run_,) = bucket.runs
    assert counts(run_) == {"SUCCEEDED": 2, "FAILED": 1}
    assert (run_.items["SUCCEEDED"], run_.items["FAILED"]) == (3, 2)
    assert run_.results_written == (3, 5)
    assert (run_.status, run_.concurrency, run_.tolerated_count) == ("SUCCEEDED", 3, 2)
    assert (run_.started, run_.stopped) == (START, START + 1)
    assert run_.children == []


def test_a_failed_batch_counts_with_all_its_items() -> None:
    clock = SkippingClock(START)
    inner = {
        "StartAt": "W",
        "States": {"W": {"Type": "Task", "Resource": INVOKE, "InputPath": "$.Items[0]", "End": True}},
    }
    definition = distributed(inner, ItemBatcher={"MaxItemsPerBatch": 2}, ToleratedFailureCount=1)
    outcome, _ = execute(definition, [-1, 1, 1, 1], tasks=taking(clock), clock=clock)
    assert outcome.error == "States.ExceedToleratedFailureThreshold"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"ToleratedFailureCount": 1, "ToleratedFailurePercentage": 100}, "FAILED"),
        ({"ToleratedFailureCount": 9, "ToleratedFailurePercentage": 10}, "FAILED"),
        ({"ToleratedFailureCount": 2, "ToleratedFailurePercentage": 50}, "SUCCEEDED"),
        ({"ToleratedFailurePercentage": 0}, "FAILED"),
    ],
)
def test_either_threshold_can_be_exceeded(fields: dict[str, Any], status: str) -> None:
    clock = SkippingClock(START)
    definition = distributed(WORK, MaxConcurrency=1, **fields)
    outcome, _ = execute(definition, [-1, -1, 1, 1], tasks=taking(clock), clock=clock)
    assert outcome.status == status


def test_when_too_many_fail_the_others_are_stopped_or_never_start() -> None:
    clock = SkippingClock(START)
    bucket = Bucket()
    definition = distributed(WORK, MaxConcurrency=3)
    outcome, execution = execute(
        definition, [60, -2, 1, 60, 60], tasks=taking(clock), clock=clock, maps=bucket
    )
    assert outcome.error == "States.ExceedToleratedFailureThreshold"
    assert execution.stopped == START + 2
    (run_,) = bucket.runs
    assert run_.status == "FAILED"
    assert counts(run_) == {"ABORTED": 2, "FAILED": 1, "SUCCEEDED": 1, "PENDING": 1}
    assert [child.status for child in run_.children] == [
        "ABORTED",
        "FAILED",
        "SUCCEEDED",
        "ABORTED",  # the third had made place for it
        "PENDING",
    ]


def test_child_executions_stop_with_their_parent() -> None:
    clock = SkippingClock(START)
    bucket = Bucket()

    async def main() -> None:
        execution = start(
            distributed(WORK, MaxConcurrency=2), [60, 60, 60], tasks=taking(clock), clock=clock, maps=bucket
        )
        clock.call_at(START + 5, execution.stop)
        outcome = await execution.run()
        assert outcome.status == "ABORTED"
        assert types(execution)[-1] == "ExecutionAborted"

    run(main())
    (run_,) = bucket.runs
    assert (run_.status, run_.stopped) == ("ABORTED", START + 5)
    assert counts(run_) == {"ABORTED": 2, "PENDING": 1}
    aborted = bucket.ended[0].execution
    assert aborted is not None
    assert aborted.history[-1].type == "ExecutionAborted"


def test_a_parent_that_times_out_stops_them_too() -> None:
    clock = SkippingClock(START)
    bucket = Bucket()
    definition = {**distributed(WORK), "TimeoutSeconds": 5}
    outcome, _ = execute(definition, [60], tasks=taking(clock), clock=clock, maps=bucket)
    assert outcome.status == "TIMED_OUT"
    assert bucket.runs[0].status == "ABORTED"
    assert counts(bucket.runs[0]) == {"ABORTED": 1}


def test_a_sibling_that_fails_aborts_the_map() -> None:
    clock = SkippingClock(START)
    bucket = Bucket()
    late = {
        "StartAt": "L",
        "States": {
            "L": {"Type": "Wait", "Seconds": 5, "Next": "F"},
            "F": {"Type": "Fail", "Error": "E"},
        },
    }
    definition = {
        "StartAt": "P",
        "States": {"P": {"Type": "Parallel", "Branches": [distributed(WORK), late], "End": True}},
    }
    _, execution = execute(definition, [60], tasks=taking(clock), clock=clock, maps=bucket)
    assert types(execution)[-4:] == [
        "MapRunAborted",
        "MapStateAborted",
        "ParallelStateFailed",
        "ExecutionFailed",
    ]
    assert counts(bucket.runs[0]) == {"ABORTED": 1}


def test_express_child_executions_may_take_five_minutes() -> None:
    clock = SkippingClock(START)
    bucket = Bucket()
    slow = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 301, "End": True}}}
    definition = distributed(slow, express=True, ToleratedFailureCount=1)
    outcome, execution = execute(definition, [1], clock=clock, maps=bucket)
    assert outcome.output[0]["Status"] == "TIMED_OUT"
    assert execution.stopped == START + 300
    assert counts(bucket.runs[0]) == {"TIMED_OUT": 1}
    outcome, _ = execute(distributed(slow, express=True), [1], clock=SkippingClock(START))
    assert outcome.error == "States.ExceedToleratedFailureThreshold"
    outcome, _ = execute(distributed(slow), [1], clock=SkippingClock(START))
    assert outcome.status == "SUCCEEDED"


def test_arns_and_histories_of_both_types() -> None:
    bucket = Bucket()
    execute(distributed(Label="L"), [1], maps=bucket)
    execute(distributed(Label="L", express=True), [1], maps=bucket)
    standard, express = bucket.started
    assert standard.arn == f"{PREFIX}:execution:m/L:{standard.name}"
    assert express.arn.startswith(f"{PREFIX}:express:m/L:{express.name}:")
    assert express.execution is None


def test_a_label_that_is_made_up_is_the_same_every_time() -> None:
    bucket = Bucket()
    execute(distributed(), [1], maps=bucket, seed=1)
    execute(distributed(), [1], maps=bucket, seed=2)
    first, second = bucket.runs
    assert first.label == second.label
    assert first.arn != second.arn


def test_nested_distributed_maps() -> None:
    inner = distributed(
        {
            "StartAt": "W",
            "States": {"W": {"Type": "Pass", "Parameters": {"id.$": "$$.Execution.Id"}, "End": True}},
        },
        name="N",
        Label="In",
    )
    bucket = Bucket()
    outcome, _ = execute(distributed(inner, Label="Out"), [[1, 2]], maps=bucket)
    outer, nested = bucket.runs
    assert nested.execution_arn == bucket.started[0].arn
    assert nested.arn.startswith(f"{PREFIX}:mapRun:m/Out/In:")
    assert nested.machine == outer.machine_arn
    assert all(result["id"].startswith(f"{PREFIX}:execution:m/Out/In:") for result in outcome.output[0])


def test_a_distributed_map_inside_an_inline_map() -> None:
    definition = machine(distributed(name="N", Label="L"), MaxConcurrency=1)
    bucket = Bucket()
    outcome, execution = execute(definition, [[1], [2, 3]], maps=bucket)
    assert outcome.output == [[1], [2, 3]]
    assert [counts(run_) for run_ in bucket.runs] == [{"SUCCEEDED": 1}, {"SUCCEEDED": 2}]
    assert types(execution).count("MapRunSucceeded") == 2


def test_an_object_is_iterated_over_member_by_member() -> None:
    outcome, execution = execute(distributed(ItemsPath="$.o"), {"o": {"a": 1, "b": {"x": 2}}})
    assert outcome.output == [{"Key": "a", "Value": 1}, {"Key": "b", "Value": {"x": 2}}]
    assert details(execution, "MapStateStarted") == [{"length": 2}]
    selector = {"k": "{% $states.context.Map.Item.Key %}", "v": "{% $states.context.Map.Item.Value %}"}
    definition = distributed(Items="{% $states.input %}", ItemSelector=selector)
    outcome, _ = execute({**definition, "QueryLanguage": "JSONata"}, {"a": 1})
    assert outcome.output == [{"k": "a", "v": 1}]
    literal = {**distributed(Items={"a": 1}), "QueryLanguage": "JSONata"}
    assert execute(literal)[0].output == [{"Key": "a", "Value": 1}]
    whole = {**distributed(), "QueryLanguage": "JSONata"}
    assert execute(whole, {"a": 1})[0].output == [{"Key": "a", "Value": 1}]
    assert execute(distributed(), 3)[0].cause == (
        "An error occurred while executing the state 'M' (entered at the event id #2). "
        'Reference path "$" must point to array.'
    )


def test_no_items_are_no_failure() -> None:
    bucket = Bucket()
    outcome, execution = execute(distributed(), [], maps=bucket)
    assert outcome.output == []
    assert "MapRunSucceeded" in types(execution)
    assert bucket.runs[0].status == "SUCCEEDED"


# Changed while it runs -------------------------------------------------------------------------------------


def changing(items: list[Any], change: dict[str, Any], **fields: Any) -> tuple[Any, MapRun, float]:
    """Run a Map of items that take some seconds, and change its run after five; (outcome, run, seconds)."""
    clock = SkippingClock(START)
    bucket = Bucket()

    async def main() -> Any:
        execution = start(distributed(WORK, **fields), items, tasks=taking(clock), clock=clock, maps=bucket)
        clock.call_at(START + 5, lambda: bucket.runs[0].update(**change))
        outcome = await execution.run()
        assert execution.stopped is not None
        return outcome, execution.stopped - START

    outcome, seconds = run(main())
    return outcome, bucket.runs[0], seconds


def test_more_concurrency() -> None:
    outcome, run_, seconds = changing([10] * 4, {"concurrency": 4}, MaxConcurrency=1)
    assert outcome.output == [10] * 4
    assert seconds == 15
    assert run_.concurrency == 4


def test_less_concurrency_lets_those_that_run_go_on() -> None:
    _, _, seconds = changing([10] * 4, {"concurrency": 1}, MaxConcurrency=2)
    assert seconds == 30


def test_a_raised_threshold() -> None:
    outcome, _, _ = changing([10, -10], {"tolerated_count": 1})
    assert outcome.status == "SUCCEEDED"


def test_a_lowered_threshold_fails_the_run_at_once() -> None:
    outcome, run_, seconds = changing([-1, 60], {"tolerated_percentage": 10}, ToleratedFailurePercentage=60)
    assert outcome.error == "States.ExceedToleratedFailureThreshold"
    assert seconds == 5
    assert counts(run_) == {"FAILED": 1, "ABORTED": 1}


# Size ------------------------------------------------------------------------------------------------------


def test_ten_thousand_child_executions() -> None:
    outcome, _ = execute(distributed(express=True), list(range(10_000)))
    assert outcome.output == list(range(10_000))


def test_a_fault_of_the_interpreter_ends_the_execution() -> None:
    class Broken(Bucket):
        def child_started(self, run: MapRun, child: Any) -> None:
            raise RuntimeError("broken")

    async def main() -> None:
        with pytest.raises(RuntimeError, match="broken"):
            await asyncio.wait_for(start(distributed(), [1, 2], maps=Broken()).run(), 5)

    run(main())
