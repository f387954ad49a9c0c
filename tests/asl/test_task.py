from __future__ import annotations

import asyncio
from typing import Any

import pytest

from harness.asl import Resource, TaskError, TaskProgress, TaskRequest
from harness.asl.task import parse_resource
from harness.clock import SkippingClock
from tests.asl.helpers import (
    INVOKE,
    LAMBDA,
    ROLE,
    START,
    Tasks,
    answering,
    details,
    execute,
    failure_of,
    output_of,
    shape,
    single,
    types,
)

START_EXECUTION = "arn:aws:states:::states:startExecution"
TRAIN = "arn:aws:states:::sagemaker:createTrainingJob.sync"
SEND = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"
ACTIVITY = "arn:aws:states:us-east-1:123456789012:activity:a"


def task(resource: str = INVOKE, **fields: Any) -> dict[str, Any]:
    return single({"Type": "Task", "Resource": resource, **fields})


@pytest.mark.parametrize(
    ("arn", "resource"),
    [
        (LAMBDA, Resource(LAMBDA, "function")),
        (f"{LAMBDA}:$LATEST", Resource(f"{LAMBDA}:$LATEST", "function")),
        (ACTIVITY, Resource(ACTIVITY, "activity")),
        (INVOKE, Resource(INVOKE, "service", "lambda", "invoke")),
        (TRAIN, Resource(TRAIN, "service", "sagemaker", "createTrainingJob", "sync")),
        (SEND, Resource(SEND, "service", "sqs", "sendMessage", "waitForTaskToken")),
        (
            f"{START_EXECUTION}.sync:2",
            Resource(f"{START_EXECUTION}.sync:2", "service", "states", "startExecution", "sync:2"),
        ),
        (
            "arn:aws:states:::aws-sdk:s3:getObject",
            Resource("arn:aws:states:::aws-sdk:s3:getObject", "service", "aws-sdk:s3", "getObject"),
        ),
    ],
)  # fmt: skip
def test_resource_is_taken_apart(arn: str, resource: Resource) -> None:
    assert parse_resource(arn) == resource


def test_events_of_a_function() -> None:
    _, execution = execute(task(LAMBDA, TimeoutSeconds=9), {"a": 1}, tasks=answering({"b": 2}))
    assert shape(execution)[1:7] == [
        "0->2 TaskStateEntered",
        "2->3 LambdaFunctionScheduled",
        "3->4 LambdaFunctionStarted",
        "4->5 LambdaFunctionSucceeded",
        "5->6 TaskStateExited",
        "6->7 ExecutionSucceeded",
    ]
    assert details(execution, "LambdaFunctionScheduled") == [
        {"resource": LAMBDA, "input": '{"a":1}', "inputDetails": {"truncated": False}, "timeoutInSeconds": 9}
    ]
    assert details(execution, "LambdaFunctionStarted") == [{}]
    assert details(execution, "LambdaFunctionSucceeded") == [
        {"output": '{"b":2}', "outputDetails": {"truncated": False}}
    ]


def test_events_of_a_job() -> None:
    async def work(request: TaskRequest, progress: TaskProgress) -> Any:
        progress.started()
        progress.submitted({"TrainingJobArn": "arn"})
        return {"TrainingJobStatus": "Completed"}

    _, execution = execute(
        task(TRAIN, Parameters={"TrainingJobName": "t"}, TimeoutSeconds=60, HeartbeatSeconds=9),
        tasks=Tasks(work),
    )
    assert shape(execution)[2:7] == [
        "2->3 TaskScheduled",
        "3->4 TaskStarted",
        "4->5 TaskSubmitted",
        "5->6 TaskSucceeded",
        "6->7 TaskStateExited",
    ]
    common = {"resourceType": "sagemaker", "resource": "createTrainingJob.sync"}
    assert details(execution, "TaskScheduled") == [
        {
            **common,
            "region": "us-east-1",
            "parameters": '{"TrainingJobName":"t"}',
            "timeoutInSeconds": 60,
            "heartbeatInSeconds": 9,
        }
    ]
    assert details(execution, "TaskStarted") == [common]
    assert details(execution, "TaskSubmitted") == [
        {**common, "output": '{"TrainingJobArn":"arn"}', "outputDetails": {"truncated": False}}
    ]
    assert details(execution, "TaskSucceeded") == [
        {**common, "output": '{"TrainingJobStatus":"Completed"}', "outputDetails": {"truncated": False}}
    ]


@pytest.mark.parametrize(
    ("resource", "stage", "events"),
    [
        (LAMBDA, "run", ["LambdaFunctionScheduled", "LambdaFunctionStarted", "LambdaFunctionFailed"]),
        (LAMBDA, "start", ["LambdaFunctionScheduled", "LambdaFunctionStartFailed"]),
        (LAMBDA, "schedule", ["LambdaFunctionScheduled", "LambdaFunctionScheduleFailed"]),
        (LAMBDA, "timeout", ["LambdaFunctionScheduled", "LambdaFunctionStarted", "LambdaFunctionTimedOut"]),
        (INVOKE, "run", ["TaskScheduled", "TaskStarted", "TaskFailed"]),
        (INVOKE, "start", ["TaskScheduled", "TaskStartFailed"]),
        (TRAIN, "submit", ["TaskScheduled", "TaskStarted", "TaskSubmitFailed"]),
        (ACTIVITY, "run", ["ActivityScheduled", "ActivityStarted", "ActivityFailed"]),
    ],
)
def test_events_of_a_failure(resource: str, stage: Any, events: list[str]) -> None:
    outcome, execution = execute(task(resource), tasks=answering(TaskError("Oops", "because", stage)))
    assert types(execution)[2:] == [*events, "ExecutionFailed"]
    assert (outcome.error, outcome.cause) == ("Oops", "because")
    recorded = details(execution, events[-1])[0]
    assert (recorded["error"], recorded["cause"]) == ("Oops", "because")
    assert execution.history[-1].previous == execution.history[-2].id


def test_a_request_that_aws_would_refuse_is_not_scheduled_and_cannot_be_caught() -> None:
    refusal = TaskError("States.Runtime", "The Parameters could not be used to start the Task.", "schedule")
    definition = task(
        Catch=[{"ErrorEquals": ["States.ALL"], "Next": "E"}], Retry=[{"ErrorEquals": ["States.ALL"]}]
    )
    definition["States"]["E"] = {"Type": "Succeed"}
    outcome, execution = execute(definition, tasks=answering(refusal))
    assert shape(execution) == ["0->1 ExecutionStarted", "0->2 TaskStateEntered", "2->3 ExecutionFailed"]
    assert outcome.cause == (
        "An error occurred while executing the state 'S' (entered at the event id #2). "
        "The Parameters could not be used to start the Task."
    )


@pytest.mark.parametrize(("resource", "prefix"), [(LAMBDA, "LambdaFunction"), (INVOKE, "Task")])
def test_timeout_cancels_the_work_and_waits_for_its_cleanup(resource: str, prefix: str) -> None:
    clock = SkippingClock(START)
    cleaned: list[float] = []

    async def work(request: TaskRequest, progress: TaskProgress) -> Any:
        try:
            await clock.sleep(1000)
        finally:
            await clock.sleep(5)
            cleaned.append(clock.now() - START)

    outcome, execution = execute(task(resource, TimeoutSeconds=60), tasks=Tasks(work), clock=clock)
    assert cleaned == [65]
    assert (outcome.status, outcome.error, outcome.cause) == ("FAILED", "States.Timeout", None)
    assert types(execution)[2:] == [f"{prefix}Scheduled", f"{prefix}TimedOut", "ExecutionFailed"]
    assert details(execution, f"{prefix}TimedOut")[0]["error"] == "States.Timeout"
    assert details(execution, "ExecutionFailed") == [{"error": "States.Timeout"}]


@pytest.mark.parametrize("limit", ["TimeoutSeconds", "HeartbeatSeconds"])
def test_limits_of_an_activity_count_from_its_start(limit: str) -> None:
    clock = SkippingClock(START)

    async def work(request: TaskRequest, progress: TaskProgress) -> Any:
        await clock.sleep(1000)  # until a worker comes
        progress.started("anna")
        await clock.sleep(1000)

    outcome, execution = execute(task(ACTIVITY, **{limit: 60}), tasks=Tasks(work), clock=clock)
    assert outcome.error == "States.Timeout"
    assert execution.stopped == START + 1060
    assert types(execution)[2:] == [
        "ActivityScheduled",
        "ActivityStarted",
        "ActivityTimedOut",
        "ExecutionFailed",
    ]
    assert details(execution, "ActivityStarted") == [{"workerName": "anna"}]


def test_work_that_ends_badly_after_its_timeout_still_timed_out() -> None:
    clock = SkippingClock(START)

    async def work(request: TaskRequest, progress: TaskProgress) -> Any:
        try:
            await clock.sleep(1000)
        except asyncio.CancelledError:
            raise TaskError("Cleanup", "failed") from None

    outcome, _ = execute(task(TimeoutSeconds=60), tasks=Tasks(work), clock=clock)
    assert outcome.error == "States.Timeout"


@pytest.mark.parametrize("name", ["States.HeartbeatTimeout", "States.Timeout", "States.ALL"])
def test_a_missed_heartbeat_can_be_caught_by_either_name(name: str) -> None:
    clock = SkippingClock(START)

    async def work(request: TaskRequest, progress: TaskProgress) -> Any:
        progress.submitted({})
        for _ in range(3):
            await clock.sleep(8)
            progress.heartbeat()
        await clock.sleep(1000)

    definition = task(SEND, HeartbeatSeconds=10, Catch=[{"ErrorEquals": [name], "Next": "E"}])
    definition["States"]["E"] = {"Type": "Succeed"}
    outcome, execution = execute(definition, tasks=Tasks(work), clock=clock)
    assert outcome.status == "SUCCEEDED"
    assert execution.stopped == START + 34
    assert types(execution)[5] == "TaskTimedOut"
    assert outcome.output == {"Error": "States.Timeout", "Cause": ""}


def test_a_timeout_is_no_missed_heartbeat() -> None:
    clock = SkippingClock(START)

    async def work(request: TaskRequest, progress: TaskProgress) -> Any:
        await clock.sleep(1000)

    definition = task(TimeoutSeconds=10, Catch=[{"ErrorEquals": ["States.HeartbeatTimeout"], "Next": "E"}])
    definition["States"]["E"] = {"Type": "Succeed"}
    outcome, _ = execute(definition, tasks=Tasks(work), clock=clock)
    assert outcome.status == "FAILED"


def test_timeouts_from_paths_and_expressions() -> None:
    tasks = answering(1)
    execute(task(TimeoutSecondsPath="$.t", HeartbeatSecondsPath="$.h"), {"t": 20, "h": 5}, tasks=tasks)
    definition = task(QueryLanguage="JSONata", TimeoutSeconds="{% $states.input.t %}")
    execute(definition, {"t": 30}, tasks=tasks)
    assert [(r.timeout, r.heartbeat) for r in tasks.requests] == [(20, 5), (30, None)]


@pytest.mark.parametrize("value", [0, -1, 1.5, "x", None])
def test_unfit_timeouts(value: Any) -> None:
    outcome, _ = execute(task(TimeoutSecondsPath="$.t"), {"t": value}, tasks=answering(1))
    assert outcome.error == "States.Runtime"
    assert "TimeoutSecondsPath" in (outcome.cause or "")


def test_task_token_is_new_for_every_attempt_and_only_there_while_it_is_waited_for() -> None:
    tasks = answering(TaskError("Again", ""), {"done": True})
    definition = task(
        SEND,
        Parameters={"MessageBody": {"token.$": "$$.Task.Token"}},
        Retry=[{"ErrorEquals": ["Again"]}],
    )
    _, execution = execute(definition, tasks=tasks)
    tokens = [request.context["Task"]["Token"] for request in tasks.requests]
    assert len(set(tokens)) == 2
    assert [request.arguments["MessageBody"]["token"] for request in tasks.requests] == tokens
    _, again = execute(definition, tasks=answering(TaskError("Again", ""), {"done": True}))
    assert again.history.describe() == execution.history.describe()


def test_jsonata_task() -> None:
    state = {
        "Type": "Task",
        "QueryLanguage": "JSONata",
        "Resource": INVOKE,
        "Arguments": {"FunctionName": "f", "Payload": "{% $states.input %}"},
        "Assign": {"kept": "{% $states.result.Payload %}"},
        "Output": {"r": "{% $states.result.Payload %}", "i": "{% $states.input %}"},
    }
    tasks = answering({"Payload": {"v": 1}})
    assert output_of(state, {"a": 1}, tasks=tasks) == {"r": {"v": 1}, "i": {"a": 1}}
    assert tasks.requests[0].arguments == {"FunctionName": "f", "Payload": {"a": 1}}


def test_jsonata_output_that_fails_after_the_work_succeeded_can_be_caught() -> None:
    definition = task(
        QueryLanguage="JSONata",
        Output="{% $states.result.nope %}",
        Catch=[
            {
                "ErrorEquals": ["States.QueryEvaluationError"],
                "Next": "E",
                "Output": "{% $states.errorOutput.Error %}",
                "Assign": {"why": "{% $states.errorOutput.Cause %}"},
            }
        ],
    )
    definition["States"]["E"] = {"Type": "Succeed"}
    outcome, execution = execute(definition, tasks=answering({}))
    assert outcome.output == "States.QueryEvaluationError"
    assert types(execution)[4:7] == ["TaskSucceeded", "EvaluationFailed", "TaskStateExited"]
    assert "why" in details(execution, "TaskStateExited")[0]["assignedVariables"]


def test_progress_reported_late_or_twice_does_no_harm() -> None:
    async def work(request: TaskRequest, progress: TaskProgress) -> Any:
        progress.started()
        progress.started()
        progress.heartbeat()
        return 1

    _, execution = execute(task(), tasks=Tasks(work))
    assert types(execution).count("TaskStarted") == 1


def test_progress_reported_after_the_attempt_is_over_is_not_recorded() -> None:
    kept: list[TaskProgress] = []

    async def work(request: TaskRequest, progress: TaskProgress) -> Any:
        kept.append(progress)
        return 1

    _, execution = execute(task(HeartbeatSeconds=5), tasks=Tasks(work))
    before = types(execution)
    kept[0].started()
    kept[0].submitted({})
    kept[0].heartbeat()
    assert types(execution) == before


def test_a_bug_in_a_runner_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        execute(task(), tasks=answering(ZeroDivisionError()))


def test_credentials_name_the_role_to_call_in_the_name_of() -> None:
    state = {"Type": "Task", "Resource": INVOKE}
    for more, role in (
        ({"Credentials": {"RoleArn": ROLE}}, ROLE),
        ({"Credentials": {"RoleArn.$": "$.role"}}, "mine"),
        ({"Credentials": {"RoleArn": "{% $states.input.role %}"}, "QueryLanguage": "JSONata"}, "mine"),
    ):
        tasks = answering({})
        _, execution = execute(single({**state, **more}), {"role": "mine"}, tasks=tasks)
        assert tasks.requests[0].role == role
        assert details(execution, "TaskScheduled")[0]["taskCredentials"] == {"roleArn": role}


def test_a_role_that_is_no_text_fails_the_execution() -> None:
    state = {"Type": "Task", "Resource": INVOKE, "Credentials": {"RoleArn.$": "$.role"}}
    error, cause = failure_of(state, {"role": 1}, tasks=answering({}))
    assert error == "States.Runtime"
    assert cause is not None
    assert "must be a string: 1" in cause
