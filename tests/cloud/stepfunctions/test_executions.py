"""Executions through the API."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from harness.clock import RealClock, run
from harness.cloud.cloud import Cloud
from harness.cloud.errors import ServiceError
from harness.cloud.stepfunctions import StepFunctions

from .api import DONE, Api
from .fakes import MACHINE, ROLE, START, refuse

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:work"
UNKNOWN = "arn:aws:states:us-east-1:123456789012:execution:machine:unknown"


def machine(**states: Any) -> str:
    return json.dumps({"StartAt": next(iter(states)), "States": states})


WAIT_A_DAY = machine(Wait={"Type": "Wait", "Seconds": 86400, "End": True})
FAIL = machine(Fail={"Type": "Fail", "Error": "Custom", "Cause": "it had to"})


def task(arn: str, **more: Any) -> str:
    return machine(Work={"Type": "Task", "Resource": arn, "End": True, **more})


def test_a_day_passes_at_once() -> None:
    async def main() -> None:
        api = Api()
        arn = await api.start(await api.machine(WAIT_A_DAY), name="first", input='{"a": 1}')
        assert arn == "arn:aws:states:us-east-1:123456789012:execution:machine:first"
        running = await api.describe_execution(executionArn=arn)
        assert (running["status"], running["redriveStatus"]) == ("RUNNING", "NOT_REDRIVABLE")
        assert running["redriveStatusReason"] == "Execution is RUNNING and cannot be redriven"
        assert running.keys().isdisjoint({"stopDate", "output", "outputDetails"})
        ended = await api.finished(arn)
        assert ended == {
            "executionArn": arn,
            "stateMachineArn": MACHINE,
            "name": "first",
            "status": "SUCCEEDED",
            "startDate": ended["startDate"],
            "stopDate": ended["stopDate"],
            "input": '{"a": 1}',
            "inputDetails": {"included": True},
            "output": '{"a":1}',
            "outputDetails": {"included": True},
            "redriveCount": 0,
            "redriveStatus": "NOT_REDRIVABLE",
            "redriveStatusReason": "Execution is SUCCEEDED and cannot be redriven",
        }
        assert ended["startDate"].timestamp() == START
        assert ended["stopDate"].timestamp() == START + 86400
        brief = await api.describe_execution(executionArn=arn, includedData="METADATA_ONLY")
        assert brief.keys().isdisjoint({"input", "output"})

    run(main())


def test_names_are_uuids_and_inputs_objects_when_not_given() -> None:
    async def main() -> None:
        api = Api()
        await api.machine()
        first, second = [await api.finished(await api.start(MACHINE)) for _ in range(2)]
        assert len(first["name"]) == 36
        assert first["name"] != second["name"]
        assert first["input"] == "{}"
        twin = Api()
        await twin.machine()
        assert (await twin.finished(await twin.start(MACHINE)))["name"] == first["name"]

    run(main())


def test_failure_is_described() -> None:
    async def main() -> None:
        api = Api()
        ended = await api.finished(await api.start(await api.machine(FAIL)))
        assert (ended["status"], ended["error"], ended["cause"]) == ("FAILED", "Custom", "it had to")
        assert ended["redriveStatus"] == "REDRIVABLE"
        assert "output" not in ended

    run(main())


def test_machine_timeout() -> None:
    async def main() -> None:
        api = Api()
        definition = json.dumps({**json.loads(WAIT_A_DAY), "TimeoutSeconds": 10})
        ended = await api.finished(await api.start(await api.machine(definition)))
        assert ended["status"] == "TIMED_OUT"
        assert ended["stopDate"].timestamp() == START + 10

    run(main())


def test_start_is_idempotent_while_it_runs() -> None:
    async def main() -> None:
        api = Api()
        await api.machine(WAIT_A_DAY)
        params = {"stateMachineArn": MACHINE, "name": "one", "input": "[1]"}
        first = await api.start_execution(**params)
        assert await api.start_execution(**params) == first
        arn = first["executionArn"]
        exists = ("ExecutionAlreadyExists", f"Execution Already Exists: '{arn}'")
        assert await api.refusal("start_execution", **{**params, "input": "[2]"}) == exists
        await api.finished(arn)
        assert await api.refusal("start_execution", **params) == exists
        assert len((await api.list_executions(stateMachineArn=MACHINE))["executions"]) == 1
        await api.cloud.clock.sleep(90 * 86400)  # after which the name is free again
        assert (await api.start_execution(**params))["startDate"] > first["startDate"]
        assert len((await api.list_executions(stateMachineArn=MACHINE))["executions"]) == 1

    run(main())


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({"name": "a/b"}, "InvalidName", "Invalid Name: 'a/b'"),
        ({"input": "{"}, "InvalidExecutionInput", "Invalid State Machine Execution Input: '"),
        ({"input": "NaN"}, "InvalidExecutionInput", "Invalid State Machine Execution Input: '"),
        (
            {"input": "1e400"},
            "InvalidExecutionInput",
            "Invalid State Machine Execution Input: 'the number 1e400 is out of range'",
        ),
        (
            {"input": "9" * 5000},
            "InvalidExecutionInput",
            "Invalid State Machine Execution Input: 'a number has too many digits'",
        ),
        ({"input": ""}, "InvalidExecutionInput", "Invalid State Machine Execution Input: '"),
        (
            {"input": '"' + "é" * 131072 + '"'},
            "ValidationException",
            "1 validation error detected: Value at 'in",
        ),
    ],
)
def test_start_refuses(params: dict[str, Any], code: str, message: str) -> None:
    async def main() -> None:
        api = Api()
        await api.machine()
        refused = await api.refusal("start_execution", stateMachineArn=MACHINE, **params)
        assert refused[0] == code
        assert refused[1].startswith(message)
        assert (await api.list_executions(stateMachineArn=MACHINE))["executions"] == []

    run(main())


def test_largest_input() -> None:
    async def main() -> None:
        api = Api()
        await api.machine()
        text = '"' + "é" * 131071 + '"'
        assert (await api.finished(await api.start(MACHINE, input=text)))["status"] == "SUCCEEDED"

    run(main())


@pytest.mark.parametrize(
    "operation",
    [
        "describe_execution",
        "stop_execution",
        "get_execution_history",
        "describe_state_machine_for_execution",
    ],
)
def test_executions_that_do_not_exist(operation: str) -> None:
    async def main() -> None:
        api = Api()
        await api.machine()
        refused = await api.refusal(operation, executionArn=UNKNOWN)
        assert refused == ("ExecutionDoesNotExist", f"Execution Does Not Exist: '{UNKNOWN}'")
        refused = await api.refusal(operation, executionArn=MACHINE)
        assert refused == (
            "InvalidArn",
            "Invalid Arn: 'Resource type not valid in this context: stateMachine'",
        )
        assert (await api.refusal(operation, executionArn="x"))[0] == "InvalidArn"

    run(main())


def test_stop() -> None:
    async def main() -> None:
        api = Api()
        arn = await api.start(await api.machine(WAIT_A_DAY))
        await asyncio.sleep(0)  # into the Wait; only an idle loop would skip the day
        with api.cloud.clock.work("call"):
            stopped = await api.stop_execution(executionArn=arn, error="Enough", cause="no patience")
        assert stopped["stopDate"].timestamp() == START
        ended = await api.describe_execution(executionArn=arn)
        assert (ended["status"], ended["error"], ended["cause"]) == ("ABORTED", "Enough", "no patience")
        assert ended["stopDate"] == stopped["stopDate"]
        assert (await api.history(arn))[-1]["type"] == "ExecutionAborted"
        # To stop what has ended is no error and changes nothing.
        assert await api.stop_execution(executionArn=arn, error="Again") == stopped
        assert (await api.describe_execution(executionArn=arn))["error"] == "Enough"

    run(main())


def test_stop_before_the_first_state() -> None:
    async def main() -> None:
        api = Api()
        arn = await api.start(await api.machine(WAIT_A_DAY))
        await api.stop_execution(executionArn=arn)
        ended = await api.describe_execution(executionArn=arn)
        assert ended["status"] == "ABORTED"
        assert ended["stopDate"].timestamp() == START
        assert ended.keys().isdisjoint({"error", "cause"})

    run(main())


def test_history_pages() -> None:
    async def main() -> None:
        api = Api()
        states = {f"S{n}": {"Type": "Pass", "Next": f"S{n + 1}"} for n in range(3)}
        arn = await api.start(await api.machine(machine(**states, S3={"Type": "Succeed"})), input='{"a":1}')
        await api.finished(arn)
        everything = await api.history(arn)
        assert [event["id"] for event in everything] == list(range(1, 11))
        assert everything[0]["type"] == "ExecutionStarted"
        assert everything[0]["executionStartedEventDetails"]["input"] == '{"a":1}'
        assert everything[0]["executionStartedEventDetails"]["roleArn"] == ROLE
        assert everything[-1]["type"] == "ExecutionSucceeded"
        assert everything[0]["timestamp"].timestamp() == START
        for backwards in (False, True):
            found: list[int] = []
            more: dict[str, Any] = {}
            while True:
                answer = await api.get_execution_history(
                    executionArn=arn, maxResults=3, reverseOrder=backwards, **more
                )
                assert len(answer["events"]) <= 3
                found += [event["id"] for event in answer["events"]]
                if "nextToken" not in answer:
                    break
                more = {"nextToken": answer["nextToken"]}
            assert found == sorted(range(1, 11), reverse=backwards)
        bare = await api.history(arn, includeExecutionData=False, maxResults=1)
        assert "input" not in bare[0]["executionStartedEventDetails"]
        refused = await api.refusal("get_execution_history", executionArn=arn, nextToken="x")
        assert refused[0] == "InvalidToken"

    run(main())


def test_list_executions() -> None:
    async def main() -> None:
        api = Api()
        await api.machine(WAIT_A_DAY)
        arns = [await api.start(MACHINE, name=name) for name in "abcde"]
        await api.stop_execution(executionArn=arns[1])
        listed = await api.list_executions(stateMachineArn=MACHINE, statusFilter="RUNNING", maxResults=3)
        assert [item["name"] for item in listed["executions"]] == ["e", "d", "c"]
        assert "stopDate" not in listed["executions"][0]
        more = await api.list_executions(
            stateMachineArn=MACHINE, statusFilter="RUNNING", maxResults=3, nextToken=listed["nextToken"]
        )
        assert [item["name"] for item in more["executions"]] == ["a"]
        assert "nextToken" not in more
        aborted = await api.list_executions(stateMachineArn=MACHINE, statusFilter="ABORTED")
        assert [item["executionArn"] for item in aborted["executions"]] == [arns[1]]
        assert aborted["executions"][0]["stopDate"].timestamp() == START
        refused = await api.refusal(
            "list_executions", stateMachineArn=MACHINE, statusFilter="ABORTED", nextToken=listed["nextToken"]
        )
        assert refused == ("InvalidToken", "Invalid Token: 'Invalid token'")
        redriven = await api.list_executions(stateMachineArn=MACHINE, redriveFilter="REDRIVEN")
        assert redriven == {"executions": []}
        assert (await api.refusal("list_executions"))[0] == "ValidationException"
        pending = {"stateMachineArn": MACHINE, "statusFilter": "PENDING_REDRIVE"}
        assert (await api.refusal("list_executions", **pending))[0] == "ValidationException"
        assert (await api.refusal("list_executions", mapRunArn="m"))[0] == "InvalidArn"

    run(main())


def test_executions_keep_the_machine_they_started_with() -> None:
    async def main() -> None:
        api = Api()
        arn = await api.start(await api.machine(WAIT_A_DAY))
        await api.update_state_machine(stateMachineArn=MACHINE, definition=DONE)
        described = await api.describe_state_machine_for_execution(executionArn=arn)
        assert described["definition"] == WAIT_A_DAY
        assert described["name"] == "machine"
        assert "revisionId" not in described
        ended = await api.finished(arn)
        assert ended["stopDate"].timestamp() == START + 86400
        second = await api.start(MACHINE)
        described = await api.describe_state_machine_for_execution(executionArn=second)
        assert described["definition"] == DONE
        assert described["revisionId"]

    run(main())


def test_express() -> None:
    async def main() -> None:
        api = Api()
        await api.machine(WAIT_A_DAY, type="EXPRESS")
        wait = machine(Wait={"Type": "Wait", "Seconds": 2, "Next": "Done"}, Done={"Type": "Succeed"})
        await api.update_state_machine(stateMachineArn=MACHINE, definition=wait)
        answer = await api.start_sync_execution(stateMachineArn=MACHINE, name="run", input="[1]")
        assert answer["executionArn"].startswith("arn:aws:states:us-east-1:123456789012:express:machine:run:")
        assert (answer["status"], answer["output"]) == ("SUCCEEDED", "[1]")
        assert answer["billingDetails"] == {
            "billedMemoryUsedInMB": 64,
            "billedDurationInMilliseconds": 2000,
        }
        assert "redriveCount" not in answer
        # The same name again is no conflict, and nothing is kept.
        arn = await api.start(MACHINE, name="run")
        assert arn != answer["executionArn"]
        express = ("InvalidArn", "Invalid Arn: 'Resource type not valid in this context: express'")
        assert await api.refusal("describe_execution", executionArn=arn) == express
        unsupported = (
            "StateMachineTypeNotSupported",
            "This operation is not supported by this type of state machine",
        )
        assert await api.refusal("list_executions", stateMachineArn=MACHINE) == unsupported
        await api.machine(name="standard")
        standard = MACHINE.replace(":machine", ":standard")
        assert await api.refusal("start_sync_execution", stateMachineArn=standard) == unsupported

    run(main())


def test_sync_failure() -> None:
    async def main() -> None:
        api = Api()
        await api.machine(FAIL, type="EXPRESS")
        answer = await api.start_sync_execution(stateMachineArn=MACHINE)
        assert (answer["status"], answer["error"]) == ("FAILED", "Custom")

    run(main())


# Tasks --------------------------------------------------------------------------------------------------


def test_retries() -> None:
    async def main() -> None:
        api = Api()
        attempts: list[float] = []

        def invoke(params: dict[str, Any]) -> dict[str, Any]:
            attempts.append(api.cloud.clock.now() - START)
            if len(attempts) < 3:
                raise ServiceError("TooManyRequestsException", "Rate Exceeded.", status=429)
            return {"StatusCode": 200, "Payload": b'"done"'}

        api.cloud.handlers["lambda.Invoke"] = invoke
        retry = {"ErrorEquals": ["Lambda.TooManyRequestsException"], "IntervalSeconds": 10, "BackoffRate": 2}
        ended = await api.finished(await api.start(await api.machine(task(FUNCTION, Retry=[retry]))))
        assert (ended["status"], ended["output"]) == ("SUCCEEDED", '"done"')
        assert attempts == [0, 10, 30]
        types = [event["type"] for event in await api.history(ended["executionArn"])]
        assert types.count("LambdaFunctionFailed") == 2

    run(main())


def test_function_failure_fails_the_execution() -> None:
    async def main() -> None:
        api = Api()
        payload = {"errorMessage": "no", "errorType": "ValueError"}
        api.cloud.handlers["lambda.Invoke"] = lambda params: {
            "StatusCode": 200,
            "FunctionError": "Unhandled",
            "Payload": json.dumps(payload).encode(),
        }
        ended = await api.finished(await api.start(await api.machine(task(FUNCTION))))
        assert (ended["status"], ended["error"]) == ("FAILED", "ValueError")
        assert json.loads(ended["cause"]) == payload

    run(main())


def test_optimized_task_in_the_history() -> None:
    async def main() -> None:
        api = Api()
        api.cloud.handlers["sqs.SendMessage"] = refuse("QueueDoesNotExist", "No such queue.")
        definition = task(
            "arn:aws:states:::sqs:sendMessage", Parameters={"QueueUrl": "u", "MessageBody.$": "$.text"}
        )
        arn = await api.start(await api.machine(definition), input='{"text": "hi"}')
        ended = await api.finished(arn)
        assert ended["error"] == "SQS.QueueDoesNotExistException"
        events = {event["type"]: event for event in await api.history(arn)}
        scheduled = events["TaskScheduled"]["taskScheduledEventDetails"]
        assert (scheduled["resourceType"], scheduled["resource"]) == ("sqs", "sendMessage")
        assert (scheduled["region"], json.loads(scheduled["parameters"])["MessageBody"]) == (
            "us-east-1",
            "hi",
        )
        assert "TaskStarted" in events
        assert events["TaskFailed"]["taskFailedEventDetails"]["error"] == "SQS.QueueDoesNotExistException"

    run(main())


CALLBACK = task(
    "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
    Parameters={"QueueUrl": "u", "MessageBody.$": "$$.Task.Token"},
    HeartbeatSeconds=100,
)


async def _waiting_for_callback(api: Api) -> tuple[str, str]:
    """An execution that waits for a callback: its ARN and the token."""
    sent: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def send(params: dict[str, Any]) -> dict[str, Any]:
        sent.set_result(params["MessageBody"])
        return {"MessageId": "m"}

    api.cloud.handlers["sqs.SendMessage"] = send
    arn = await api.start(await api.machine(CALLBACK))
    return arn, await sent


def test_callback_success() -> None:
    async def main() -> None:
        api = Api()
        arn, token = await _waiting_for_callback(api)
        await api.send_task_success(taskToken=token, output='{"yes": true}')
        ended = await api.finished(arn)
        assert (ended["status"], ended["output"]) == ("SUCCEEDED", '{"yes":true}')
        types = [event["type"] for event in await api.history(arn)]
        assert types[2:6] == ["TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskSucceeded"]
        late = await api.refusal("send_task_success", taskToken=token, output="1")
        assert late == ("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")

    run(main())


def test_callback_failure() -> None:
    async def main() -> None:
        api = Api()
        arn, token = await _waiting_for_callback(api)
        await api.send_task_failure(taskToken=token, error="Rejected", cause="by hand")
        ended = await api.finished(arn)
        assert (ended["status"], ended["error"], ended["cause"]) == ("FAILED", "Rejected", "by hand")

    run(main())


def test_callback_heartbeats() -> None:
    async def main() -> None:
        api = Api()
        arn, token = await _waiting_for_callback(api)
        for _ in range(3):
            await api.cloud.clock.sleep(90)
            await api.send_task_heartbeat(taskToken=token)
        ended = await api.finished(arn)
        assert ended["stopDate"].timestamp() == START + 270 + 100
        assert ended["status"] == "FAILED"
        assert ended["error"] == "States.Timeout"
        assert (await api.refusal("send_task_heartbeat", taskToken=token))[0] == "TaskTimedOut"

    run(main())


def test_callbacks_nobody_asked_for() -> None:
    async def main() -> None:
        api = Api()
        assert (await api.refusal("send_task_success", taskToken="x", output="1"))[0] == "InvalidToken"
        assert (await api.refusal("send_task_success", taskToken="x", output="{"))[0] == "InvalidOutput"
        assert (await api.refusal("send_task_failure", taskToken="x"))[0] == "InvalidToken"
        assert (await api.refusal("send_task_heartbeat", taskToken="x"))[0] == "InvalidToken"

    run(main())


# Nested executions --------------------------------------------------------------------------------------


async def _nested(api: Api, pattern: str, child: str) -> dict[str, Any]:
    await api.machine(child, name="child")
    parameters = {
        "StateMachineArn": MACHINE.replace(":machine", ":child"),
        "Input": {"n": 1},
        "Name": "inner",
    }
    definition = task(f"arn:aws:states:::states:startExecution{pattern}", Parameters=parameters)
    return await api.finished(await api.start(await api.machine(definition)))


def test_nested_execution_is_started() -> None:
    async def main() -> None:
        api = Api()
        ended = await _nested(api, "", WAIT_A_DAY)
        assert ended["stopDate"].timestamp() == START
        output = json.loads(ended["output"])
        assert output["ExecutionArn"].endswith(":execution:child:inner")
        assert output["StartDate"] == START * 1000
        assert output["SdkHttpMetadata"]["HttpStatusCode"] == 200
        child = await api.finished(output["ExecutionArn"])
        assert child["input"] == '{"n":1}'

    run(main())


@pytest.mark.parametrize(("pattern", "data"), [(".sync", '{"n":1}'), (".sync:2", {"n": 1})])
def test_nested_execution_is_waited_for(pattern: str, data: Any) -> None:
    async def main() -> None:
        api = Api()
        ended = await _nested(api, pattern, WAIT_A_DAY)
        assert ended["stopDate"].timestamp() == START + 86400
        assert json.loads(ended["output"]) == {
            "ExecutionArn": "arn:aws:states:us-east-1:123456789012:execution:child:inner",
            "Input": data,
            "InputDetails": {"Included": True},
            "Name": "inner",
            "Output": data,
            "OutputDetails": {"Included": True},
            "RedriveCount": 0,
            "RedriveStatus": "NOT_REDRIVABLE",
            "RedriveStatusReason": "Execution is SUCCEEDED and cannot be redriven",
            "StartDate": START * 1000,
            "StateMachineArn": MACHINE.replace(":machine", ":child"),
            "Status": "SUCCEEDED",
            "StopDate": (START + 86400) * 1000,
        }

    run(main())


def test_nested_execution_fails() -> None:
    async def main() -> None:
        api = Api()
        ended = await _nested(api, ".sync", FAIL)
        assert (ended["status"], ended["error"]) == ("FAILED", "States.TaskFailed")
        cause = json.loads(ended["cause"])
        assert (cause["Status"], cause["Error"], cause["Cause"]) == ("FAILED", "Custom", "it had to")

    run(main())


def test_nested_execution_is_stopped_with_its_parent() -> None:
    async def main() -> None:
        api = Api()
        await api.machine(WAIT_A_DAY, name="child")
        parameters = {"StateMachineArn": MACHINE.replace(":machine", ":child"), "Name": "inner"}
        definition = task(
            "arn:aws:states:::states:startExecution.sync", Parameters=parameters, TimeoutSeconds=60
        )
        ended = await api.finished(await api.start(await api.machine(definition)))
        assert ended["error"] == "States.Timeout"
        child = "arn:aws:states:us-east-1:123456789012:execution:child:inner"
        described = await api.finished(child)
        assert described["status"] == "ABORTED"
        assert described["stopDate"].timestamp() == START + 60

    run(main())


def test_nested_express_execution_cannot_be_waited_for() -> None:
    async def main() -> None:
        api = Api()
        await api.machine(name="child", type="EXPRESS")
        parameters = {"StateMachineArn": MACHINE.replace(":machine", ":child")}
        definition = task("arn:aws:states:::states:startExecution.sync", Parameters=parameters)
        ended = await api.finished(await api.start(await api.machine(definition)))
        assert ended["error"] == "StepFunctions.InvalidArnException"

    run(main())


def test_nothing_is_left_when_the_cloud_stops() -> None:
    async def main() -> None:
        async with Cloud(clock=RealClock(), services=[StepFunctions]) as cloud:

            async def call(operation: str, **params: Any) -> Any:
                return await cloud.call("stepfunctions", operation, params)

            child = await call("CreateStateMachine", name="child", definition=WAIT_A_DAY, roleArn=ROLE)
            parent = task("arn:aws:states:::states:startExecution.sync", Parameters=child_parameters(child))
            created = await call("CreateStateMachine", name="m", definition=parent, roleArn=ROLE)
            waiting = asyncio.Event()
            cloud.events.subscribe(
                lambda event: (
                    waiting.set() if event.data.get("event", {}).get("type") == "TaskSubmitted" else None
                )
            )
            await call("StartExecution", stateMachineArn=created["stateMachineArn"])
            await waiting.wait()
            assert len(asyncio.all_tasks()) > 1
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert cloud.failures == []

    def child_parameters(child: dict[str, Any]) -> dict[str, Any]:
        return {"StateMachineArn": child["stateMachineArn"]}

    run(main())


def test_nested_execution_of_an_unknown_machine() -> None:
    async def main() -> None:
        api = Api()
        unknown = MACHINE.replace(":machine", ":unknown")
        definition = task("arn:aws:states:::states:startExecution", Parameters={"StateMachineArn": unknown})
        ended = await api.finished(await api.start(await api.machine(definition)))
        assert ended["error"] == "StepFunctions.StateMachineDoesNotExistException"
        assert ended["cause"].startswith(
            f"State Machine Does Not Exist: '{unknown}' (Service: AWSStepFunctions; Status Code: 400; "
        )

    run(main())


# Events --------------------------------------------------------------------------------------------------


def test_what_happens_is_published() -> None:
    async def main() -> None:
        api = Api()
        seen: list[tuple[str, Any]] = []
        api.cloud.events.subscribe(
            lambda event: seen.append((event.kind, event.data.get("status") or event.data["event"]["type"]))
        )
        await api.finished(await api.start(await api.machine(FAIL)))
        assert seen == [
            ("execution", "RUNNING"),
            ("history", "ExecutionStarted"),
            ("history", "FailStateEntered"),
            ("history", "ExecutionFailed"),
            ("execution", "FAILED"),
        ]

    run(main())
