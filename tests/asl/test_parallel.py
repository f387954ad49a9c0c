from __future__ import annotations

from typing import Any

from harness.asl import TaskError, TaskProgress, TaskRequest
from harness.clock import SkippingClock
from tests.asl.helpers import INVOKE, START, Tasks, details, execute, shape, sleeping, types


def branch(name: str, *, fails: bool = False, state: dict[str, Any] | None = None) -> dict[str, Any]:
    if fails:
        return {"StartAt": name, "States": {name: {"Type": "Fail", "Error": "Oops", "Cause": "because"}}}
    return {
        "StartAt": name,
        "States": {name: {**(state or {"Type": "Task", "Resource": INVOKE}), "End": True}},
    }


def parallel(*branches: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "StartAt": "P",
        "States": {"P": {"Type": "Parallel", "Branches": [*branches], "End": True, **fields}},
    }


def test_branches_run_side_by_side_and_the_result_is_in_their_order() -> None:
    clock = SkippingClock(START)
    outcome, execution = execute(
        parallel(branch("A"), branch("B")), tasks=sleeping(clock, {"A": 10, "B": 4}), clock=clock
    )
    assert outcome.output == ["A", "B"]
    assert execution.stopped == START + 10
    assert shape(execution) == [
        "0->1 ExecutionStarted",
        "0->2 ParallelStateEntered",
        "2->3 ParallelStateStarted",
        "3->4 TaskStateEntered",
        "3->5 TaskStateEntered",
        "4->6 TaskScheduled",
        "6->7 TaskStarted",
        "5->8 TaskScheduled",
        "8->9 TaskStarted",
        "9->10 TaskSucceeded",
        "10->11 TaskStateExited",
        "7->12 TaskSucceeded",
        "12->13 TaskStateExited",
        "13->14 ParallelStateSucceeded",
        "13->15 ParallelStateExited",
        "15->16 ExecutionSucceeded",
    ]


def test_a_failing_branch_stops_the_others_and_waits_for_them() -> None:
    clock = SkippingClock(START)
    cleaned: list[float] = []

    async def work(request: TaskRequest, progress: TaskProgress) -> Any:
        if request.state == "Bad":
            await clock.sleep(5)
            raise TaskError("Oops", "because")
        try:
            await clock.sleep(100)
        finally:
            await clock.sleep(1)
            cleaned.append(clock.now() - START)

    wait = {"Type": "Wait", "Seconds": 50}
    nested = {"Type": "Parallel", "Branches": [branch("Inner")]}
    definition = parallel(
        branch("Bad"), branch("Slow"), branch("Waits", state=wait), branch("Nested", state=nested)
    )
    outcome, execution = execute(definition, tasks=Tasks(work), clock=clock)
    assert (outcome.error, outcome.cause) == ("Oops", "because")
    assert cleaned == [6, 6]
    ends = types(execution)[types(execution).index("TaskFailed") :]
    assert sorted(ends[1:-2]) == [
        "ParallelStateAborted",
        "TaskStateAborted",
        "TaskStateAborted",
        "WaitStateAborted",
    ]
    assert ends[-2:] == ["ParallelStateFailed", "ExecutionFailed"]
    failed = next(event for event in execution.history if event.type == "TaskFailed")
    assert execution.history[-2].previous == failed.id
    assert execution.history[-1].previous == execution.history[-2].id


def test_a_fatal_error_in_a_branch_ends_the_execution_then_and_there() -> None:
    """Measured on AWS: no ParallelStateFailed, no aborted states; neither Retry nor Catch is asked."""
    bad = branch("Bad", state={"Type": "Pass", "Parameters": {"m.$": "$.nope"}})
    waits = branch("Waits", state={"Type": "Wait", "Seconds": 50})
    everything = [{"ErrorEquals": ["States.ALL"], "Next": "E"}]
    definition = parallel(waits, bad, Catch=everything, Retry=[{"ErrorEquals": ["States.ALL"]}])
    definition["States"]["E"] = {"Type": "Succeed"}
    outcome, execution = execute(definition, {"x": "a"})
    assert outcome.error == "States.Runtime"
    assert (outcome.cause or "").startswith(
        "An error occurred while executing the state 'Bad' (entered at the event id #5). The JSONPath "
    )
    assert shape(execution)[2:] == [
        "2->3 ParallelStateStarted",
        "3->4 WaitStateEntered",
        "3->5 PassStateEntered",
        "5->6 ExecutionFailed",
    ]


def test_the_first_failure_counts() -> None:
    second = {"StartAt": "Y", "States": {"Y": {"Type": "Fail", "Error": "Second"}}}
    outcome, execution = execute(parallel(branch("X", fails=True), second))
    assert outcome.error == "Oops"
    assert shape(execution)[-2:] == ["4->6 ParallelStateFailed", "6->7 ExecutionFailed"]


def test_retry_runs_all_branches_again() -> None:
    definition = parallel(
        branch("A", state={"Type": "Pass"}),
        branch("B", fails=True),
        Retry=[{"ErrorEquals": ["Oops"], "MaxAttempts": 1}],
    )
    _, execution = execute(definition)
    started = [event for event in execution.history if event.type == "ParallelStateStarted"]
    assert len(started) == 2
    assert types(execution).count("PassStateEntered") == 2
    assert types(execution).count("ParallelStateFailed") == 1


def test_catch() -> None:
    definition = parallel(
        branch("B", fails=True), Catch=[{"ErrorEquals": ["Oops"], "ResultPath": "$.e", "Next": "E"}]
    )
    definition["States"]["E"] = {"Type": "Succeed"}
    outcome, execution = execute(definition, {"x": 1})
    assert outcome.output == {"x": 1, "e": {"Error": "Oops", "Cause": "because"}}
    assert shape(execution)[4:6] == ["4->5 ParallelStateFailed", "5->6 ParallelStateExited"]


def test_parameters_and_selectors() -> None:
    definition = parallel(
        branch("A", state={"Type": "Pass"}),
        branch("B", state={"Type": "Pass", "OutputPath": "$.v"}),
        Parameters={"v.$": "$.x"},
        ResultSelector={"second.$": "$[1]"},
        ResultPath="$.r",
    )
    outcome, _ = execute(definition, {"x": 1})
    assert outcome.output == {"x": 1, "r": {"second": 1}}


def test_jsonata_parallel() -> None:
    definition = parallel(
        branch("A", state={"Type": "Pass"}),
        Arguments={"v": "{% $states.input.x %}"},
        Output="{% $states.result[0].v + 1 %}",
        QueryLanguage="JSONata",
    )
    outcome, _ = execute(definition, {"x": 1})
    assert outcome.output == 2


def test_variables_are_seen_inside_and_stay_inside() -> None:
    inner = {"Type": "Pass", "Assign": {"inner.$": "$outer"}, "Parameters": {"o.$": "$outer"}}
    definition = {
        "StartAt": "Set",
        "States": {
            "Set": {"Type": "Pass", "Assign": {"outer": 1}, "Next": "P"},
            "P": {"Type": "Parallel", "Branches": [branch("A", state=inner)], "Next": "Get"},
            "Get": {"Type": "Pass", "Parameters": {"i.$": "$inner"}, "End": True},
        },
    }
    outcome, execution = execute(definition)
    assert outcome.error == "States.Runtime"
    assert "$inner" in (outcome.cause or "")
    assert details(execution, "ParallelStateExited")[0]["output"] == '[{"o":1}]'
