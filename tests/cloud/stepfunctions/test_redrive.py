"""RedriveExecution."""

from __future__ import annotations

import json
from typing import Any

from harness.clock import run

from .api import DONE, Api
from .fakes import refuse

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:work"
WORK = json.dumps(
    {"StartAt": "Work", "States": {"Work": {"Type": "Task", "Resource": FUNCTION, "End": True}}}
)


async def failed(api: Api) -> str:
    api.cloud.handlers["lambda.Invoke"] = refuse("ServiceException", "no", 500)
    arn = await api.start(await api.machine(WORK), name="one")
    assert (await api.finished(arn))["status"] == "FAILED"
    return arn


def answer(params: dict[str, Any]) -> dict[str, Any]:
    return {"StatusCode": 200, "Payload": b'"fine"'}


def test_a_failed_execution_goes_on() -> None:
    async def main() -> None:
        api = Api()
        arn = await failed(api)
        before = await api.describe_execution(executionArn=arn)
        assert (before["redriveCount"], before["redriveStatus"]) == (0, "REDRIVABLE")
        assert "redriveDate" not in before
        api.cloud.handlers["lambda.Invoke"] = answer
        date = (await api.redrive_execution(executionArn=arn, clientToken="t"))["redriveDate"]
        running = await api.describe_execution(executionArn=arn)
        assert (running["status"], "error" in running, "stopDate" in running) == ("RUNNING", False, False)
        ended = await api.finished(arn)
        assert (ended["status"], ended["output"]) == ("SUCCEEDED", '"fine"')
        assert (ended["redriveCount"], ended["redriveDate"]) == (1, date)
        kinds = [event["type"] for event in await api.history(arn)]
        assert kinds[-5:] == [
            "LambdaFunctionScheduled",
            "LambdaFunctionStarted",
            "LambdaFunctionSucceeded",
            "TaskStateExited",
            "ExecutionSucceeded",
        ]
        # The same request again is no second redrive.
        assert await api.redrive_execution(executionArn=arn, clientToken="t") == {"redriveDate": date}
        assert (await api.describe_execution(executionArn=arn))["redriveCount"] == 1

    run(main())


def test_lists_tell_redriven_executions_from_others() -> None:
    async def main() -> None:
        api = Api()
        arn = await failed(api)
        machine = arn.replace(":execution:", ":stateMachine:").rpartition(":")[0]
        await api.finished(await api.start(machine, name="two"))
        await api.redrive_execution(executionArn=arn)
        await api.finished(arn)
        for name, wanted in (("REDRIVEN", "one"), ("NOT_REDRIVEN", "two")):
            listed = await api.list_executions(stateMachineArn=machine, redriveFilter=name)
            assert [item["name"] for item in listed["executions"]] == [wanted]
            assert listed["executions"][0]["redriveCount"] == (1 if wanted == "one" else 0)

    run(main())


def test_what_cannot_be_redriven() -> None:
    async def main() -> None:
        api = Api()
        done = await api.start(await api.machine(DONE, name="done"))
        await api.finished(done)
        assert await api.refusal("redrive_execution", executionArn=done) == (
            "ExecutionNotRedrivable",
            "Execution is SUCCEEDED and cannot be redriven",
        )
        arn = await failed(api)
        await api.redrive_execution(executionArn=arn)
        assert (await api.refusal("redrive_execution", executionArn=arn))[1] == (
            "Execution is RUNNING and cannot be redriven"
        )
        await api.finished(arn)
        await api.cloud.clock.sleep(15 * 86_400)
        code, message = await api.refusal("redrive_execution", executionArn=arn)
        assert (code, message) == ("ExecutionNotRedrivable", "Execution redrivable period exceeded")
        described = await api.describe_execution(executionArn=arn)
        assert described["redriveStatusReason"] == message
        unknown = arn + "-2"
        assert (await api.refusal("redrive_execution", executionArn=unknown))[0] == "ExecutionDoesNotExist"

    run(main())


def test_an_execution_of_a_deleted_machine_cannot_be_redriven() -> None:
    async def main() -> None:
        api = Api()
        arn = await failed(api)
        await api.delete_state_machine(
            stateMachineArn=arn.replace(":execution:", ":stateMachine:").rpartition(":")[0]
        )
        assert await api.refusal("redrive_execution", executionArn=arn) == (
            "ExecutionNotRedrivable",
            "State machine is in DELETING status",
        )

    run(main())


def test_a_map_run_is_redriven_with_its_execution() -> None:
    definition = json.dumps(
        {
            "StartAt": "Each",
            "States": {
                "Each": {
                    "Type": "Map",
                    "End": True,
                    "ItemProcessor": {
                        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                        **json.loads(WORK),
                    },
                }
            },
        }
    )

    async def main() -> None:
        api = Api()
        api.cloud.handlers["lambda.Invoke"] = refuse("ServiceException", "no", 500)
        arn = await api.start(await api.machine(definition), input="[1, 2]")
        assert (await api.finished(arn))["status"] == "FAILED"
        (listed,) = (await api.list_map_runs(executionArn=arn))["mapRuns"]
        map_run = listed["mapRunArn"]
        children = (await api.list_executions(mapRunArn=map_run))["executions"]
        described = await api.describe_execution(executionArn=children[0]["executionArn"])
        assert described["redriveStatus"] == "REDRIVABLE_BY_MAP_RUN"
        code, _ = await api.refusal("redrive_execution", executionArn=children[0]["executionArn"])
        assert code == "ExecutionNotRedrivable"

        api.cloud.handlers["lambda.Invoke"] = answer
        date = (await api.redrive_execution(executionArn=arn))["redriveDate"]
        ended = await api.finished(arn)
        assert (ended["status"], ended["output"]) == ("SUCCEEDED", '["fine","fine"]')
        run_described = await api.describe_map_run(mapRunArn=map_run)
        assert (run_described["redriveCount"], run_described["redriveDate"]) == (1, date)
        counts = run_described["executionCounts"]
        assert (counts["succeeded"], counts["failed"], counts["pendingRedrive"]) == (2, 0, 0)
        again = (await api.list_executions(mapRunArn=map_run, redriveFilter="REDRIVEN"))["executions"]
        assert sorted(item["executionArn"] for item in again) == sorted(
            item["executionArn"] for item in children
        )
        kinds = [event["type"] for event in await api.history(again[0]["executionArn"])]
        assert kinds.count("ExecutionStarted") == kinds.count("ExecutionRedriven") == 1

    run(main())
