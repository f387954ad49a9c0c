"""What executions record of the services their tasks call, and what becomes of a job with its execution."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.asl.tasks import JSON
from harness.clock import run
from harness.cloud.service import Service

from .api import Api
from .fakes import ROLE, FakeCloud, refuse

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:work"
MANAGED = {"Key": "MANAGED_BY_AWS", "Value": "STARTED_BY_STEP_FUNCTIONS"}
REQUEST = {
    "TrainingJobName": "job-1",
    "AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "File"},
    "RoleArn": ROLE,
    "OutputDataConfig": {"S3OutputPath": "s3://b/o"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


class SageMaker(Service):
    """Every job ends with a status, or never (None)."""

    name = "sagemaker"

    def __init__(self, cloud: FakeCloud, status: str | None) -> None:
        super().__init__(cloud)
        self._status = status
        self.running = asyncio.Event()

    async def wait_for_job(self, kind: str, name: str) -> dict[str, Any]:
        self.running.set()
        if self._status is None:
            await asyncio.get_running_loop().create_future()
        reason = {"FailureReason": "AlgorithmError: , exit code: 1"} if self._status == "Failed" else {}
        moment = datetime(2024, 1, 1, tzinfo=UTC)
        return {**REQUEST, "TrainingJobStatus": self._status, "CreationTime": moment, **reason}


def train(**fields: JSON) -> dict[str, JSON]:
    resource = "arn:aws:states:::sagemaker:createTrainingJob.sync"
    return {"Type": "Task", "Resource": resource, "Parameters": REQUEST, "End": True, **fields}


def invoke(resource: str = FUNCTION, **fields: JSON) -> dict[str, JSON]:
    return {"Type": "Task", "Resource": resource, "End": True, **fields}


def machine(state: dict[str, JSON], **others: dict[str, JSON]) -> str:
    return json.dumps({"StartAt": "Work", "States": {"Work": state, **others}})


def execute(
    definition: str,
    prepare: Callable[[Api], None],
    meanwhile: Callable[[Api, str], Awaitable[None]] | None = None,
) -> tuple[dict[str, Any], list[dict[str, Any]], Api]:
    """Description and events of an execution, and where it ran."""
    api = Api()
    prepare(api)

    async def main() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        arn = await api.start(await api.machine(definition))
        if meanwhile is not None:
            await meanwhile(api, arn)
        ended = await api.finished(arn)
        await asyncio.gather(*(t for t in api.cloud.tasks if t.get_name().startswith("stop ")))
        return ended, await api.history(arn)

    ended, events = run(main())
    return ended, events, api


def sagemaker(status: str | None) -> Callable[[Api], None]:
    def prepare(api: Api) -> None:
        api.cloud.services["sagemaker"] = SageMaker(api.cloud, status)
        api.cloud.handlers["sagemaker.CreateTrainingJob"] = lambda params: {"TrainingJobArn": "arn"}
        api.cloud.handlers["sagemaker.StopTrainingJob"] = lambda params: {}

    return prepare


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def details(event: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(value for name, value in event.items() if name.endswith("EventDetails"))
    return found


def calls(api: Api) -> list[str]:
    return [operation for operation, _, _ in api.cloud.calls if operation.startswith("sagemaker.")]


# Jobs ---------------------------------------------------------------------------------------------------


def test_a_job_that_completes() -> None:
    ended, events, _ = execute(machine(train()), sagemaker("Completed"))
    assert types(events) == [
        "ExecutionStarted",
        "TaskStateEntered",
        "TaskScheduled",
        "TaskStarted",
        "TaskSubmitted",
        "TaskSucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ]
    names = {"resourceType": "sagemaker", "resource": "createTrainingJob.sync"}
    scheduled = details(events[2])
    assert json.loads(scheduled["parameters"]) == {**REQUEST, "Tags": [MANAGED]}
    assert {**names, "region": "us-east-1"}.items() <= scheduled.items()
    assert details(events[3]) == names
    assert json.loads(details(events[4])["output"])["TrainingJobArn"] == "arn"
    document = json.loads(details(events[5])["output"])
    assert document == json.loads(ended["output"])
    assert set(document["Tags"]) == {"MANAGED_BY_AWS", "AWS_STEP_FUNCTIONS_EXECUTION_ARN"}


def test_a_job_that_fails_can_be_caught_with_its_reason() -> None:
    catch = [{"ErrorEquals": ["States.TaskFailed"], "Next": "Told"}]
    told = {"Type": "Pass", "Parameters": {"job.$": "States.StringToJson($.Cause)"}, "End": True}
    ended, events, _ = execute(machine(train(Catch=catch), Told=told), sagemaker("Failed"))
    assert ended["status"] == "SUCCEEDED"
    assert json.loads(ended["output"])["job"]["FailureReason"] == "AlgorithmError: , exit code: 1"
    failed = details(events[5])
    assert (events[5]["type"], failed["error"]) == ("TaskFailed", "States.TaskFailed")
    assert (failed["resourceType"], failed["resource"]) == ("sagemaker", "createTrainingJob.sync")


def test_a_job_that_was_stopped_fails_the_execution() -> None:
    ended, _, _ = execute(machine(train()), sagemaker("Stopped"))
    assert (ended["status"], ended["error"]) == ("FAILED", "States.TaskFailed")
    assert json.loads(ended["cause"])["TrainingJobStatus"] == "Stopped"


def test_a_limit_is_retried_by_name() -> None:
    tries: list[int] = []

    def prepare(api: Api) -> None:
        sagemaker("Completed")(api)
        refusal = refuse("ResourceLimitExceeded", "The account-level service limit ...")

        def create(params: dict[str, Any]) -> Any:
            tries.append(1)
            return refusal(params) if len(tries) < 3 else {"TrainingJobArn": "arn"}

        api.cloud.handlers["sagemaker.CreateTrainingJob"] = create

    retry = [{"ErrorEquals": ["SageMaker.ResourceLimitExceededException"], "MaxAttempts": 5}]
    ended, events, _ = execute(machine(train(Retry=retry)), prepare)
    assert ended["status"] == "SUCCEEDED"
    assert len(tries) == 3
    assert types(events).count("TaskSubmitFailed") == 2
    assert types(events).count("TaskSubmitted") == 1


async def _stop(api: Api, arn: str) -> None:
    service = api.cloud.services["sagemaker"]
    assert isinstance(service, SageMaker)
    await service.running.wait()
    await api.stop_execution(executionArn=arn)


@pytest.mark.parametrize(
    ("fields", "meanwhile", "status"),
    [({}, _stop, "ABORTED"), ({"TimeoutSeconds": 5}, None, "FAILED")],
)
def test_a_job_is_stopped_with_its_execution(
    fields: dict[str, JSON], meanwhile: Callable[[Api, str], Awaitable[None]] | None, status: str
) -> None:
    ended, events, api = execute(machine(train(**fields)), sagemaker(None), meanwhile)
    assert ended["status"] == status
    assert calls(api) == ["sagemaker.CreateTrainingJob", "sagemaker.StopTrainingJob"]
    assert ("TaskTimedOut" in types(events)) == (status == "FAILED")


# Functions ----------------------------------------------------------------------------------------------


def function(answer: bytes, **more: Any) -> Callable[[Api], None]:
    def prepare(api: Api) -> None:
        api.cloud.handlers["lambda.Invoke"] = lambda params: {"StatusCode": 200, "Payload": answer, **more}

    return prepare


def test_a_bare_function_has_events_of_its_own() -> None:
    _, events, _ = execute(machine(invoke()), function(b'{"a": 1}'))
    assert types(events)[2:5] == [
        "LambdaFunctionScheduled",
        "LambdaFunctionStarted",
        "LambdaFunctionSucceeded",
    ]
    assert details(events[2])["resource"] == FUNCTION
    assert json.loads(details(events[4])["output"]) == {"a": 1}


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (invoke(), "LambdaFunctionFailed"),
        (invoke("arn:aws:states:::lambda:invoke", Parameters={"FunctionName": "work"}), "TaskFailed"),
    ],
)
def test_a_function_that_fails(state: dict[str, JSON], event: str) -> None:
    answer = b'{"errorMessage": "no", "errorType": "ValueError", "stackTrace": []}'
    ended, events, _ = execute(machine(state), function(answer, FunctionError="Unhandled"))
    assert events[4]["type"] == event
    assert details(events[4])["error"] == ended["error"] == "ValueError"
    assert ended["cause"] == answer.decode()


@pytest.mark.parametrize("name", ["ServiceException", "TooManyRequestsException", "SdkClientException"])
def test_lambdas_own_errors_are_retried_by_name(name: str) -> None:
    tries: list[int] = []

    def prepare(api: Api) -> None:
        def answer(params: dict[str, Any]) -> Any:
            tries.append(1)
            refused = len(tries) < 2
            return refuse(name, "Sorry.", 500)(params) if refused else {"StatusCode": 200, "Payload": b"1"}

        api.cloud.handlers["lambda.Invoke"] = answer

    errors = [
        "Lambda.ServiceException",
        "Lambda.AWSLambdaException",
        "Lambda.SdkClientException",
        "Lambda.TooManyRequestsException",
    ]
    ended, events, _ = execute(machine(invoke(Retry=[{"ErrorEquals": errors}])), prepare)
    assert (ended["status"], ended["output"], len(tries)) == ("SUCCEEDED", "1", 2)
    failed = next(event for event in events if event["type"] == "LambdaFunctionFailed")
    assert details(failed)["error"] == f"Lambda.{name}"


def test_an_answer_that_is_too_large() -> None:
    ended, events, _ = execute(machine(invoke()), function(json.dumps("x" * 262_144).encode()))
    assert (ended["status"], ended["error"]) == ("FAILED", "States.DataLimitExceeded")
    assert ended["cause"] == (
        f"The state/task '{FUNCTION}' returned a result with a size exceeding the maximum number of bytes "
        "service limit."
    )
    assert types(events)[-2:] == ["LambdaFunctionFailed", "ExecutionFailed"]
    assert details(events[-2]) == {"error": ended["error"], "cause": ended["cause"]}


def test_parameters_that_do_not_fit_leave_no_event() -> None:
    state = invoke(
        "arn:aws:states:::lambda:invoke",
        Parameters={"FunctionName.$": "$.n"},
        Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Never"}],
    )
    first = {"Type": "Pass", "Result": {"n": 1}, "Next": "Invoke"}
    definition = machine(first, Invoke=state, Never={"Type": "Succeed"})
    ended, events, _ = execute(definition, function(b"1"))
    assert (ended["status"], ended["error"]) == ("FAILED", "States.Runtime")
    assert ended["cause"].endswith(
        "The Parameters '{\"FunctionName\":1}' could not be used to start the Task: "
        "[The value for the field 'FunctionName' must be a STRING]"
    )
    assert types(events)[-2:] == ["TaskStateEntered", "ExecutionFailed"]
