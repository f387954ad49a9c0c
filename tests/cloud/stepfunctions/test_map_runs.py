"""Map Runs and child executions, as the API shows them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.clock import SkippingClock, run
from harness.cloud.cloud import Cloud
from harness.cloud.service import Caller
from harness.cloud.stepfunctions import StepFunctions

from .api import Api
from .fakes import ROLE, START, refuse

PREFIX = "arn:aws:states:us-east-1:123456789012"
ECHO = {"StartAt": "W", "States": {"W": {"Type": "Pass", "End": True}}}
WAIT = {
    "StartAt": "W",
    "States": {
        "W": {"Type": "Wait", "SecondsPath": "$.s", "Next": "C"},
        "C": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.fail", "IsPresent": True, "Next": "F"}],
            "Default": "D",
        },
        "F": {"Type": "Fail", "Error": "Oops", "Cause": "because"},
        "D": {"Type": "Succeed"},
    },
}


def mapping(processor: dict[str, Any] = ECHO, *, kind: str = "STANDARD", **fields: Any) -> str:
    config = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": kind}}
    state = {"Type": "Map", "Label": "L", "ItemProcessor": {**processor, **config}, "End": True, **fields}
    return json.dumps({"StartAt": "M", "States": {"M": state}})


async def begin(api: Api, items: Any, definition: str) -> str:
    return await api.start(await api.machine(definition), input=json.dumps(items))


async def run_of(api: Api, execution: str) -> str:
    """ARN of the only Map Run of an execution."""
    (found,) = (await api.list_map_runs(executionArn=execution))["mapRuns"]
    arn: str = found["mapRunArn"]
    return arn


async def children_of(api: Api, run_arn: str, **more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api.list_executions(mapRunArn=run_arn, **more))["executions"]
    return found


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(START + seconds, UTC)


def test_a_map_run_is_listed_and_described() -> None:
    async def main() -> None:
        api = Api()
        execution = await begin(api, [{"s": 5}, {"s": 7}], mapping(WAIT, MaxConcurrency=3))
        await api.finished(execution)
        (listed,) = (await api.list_map_runs(executionArn=execution))["mapRuns"]
        arn = listed["mapRunArn"]
        assert arn.startswith(f"{PREFIX}:mapRun:machine/L:")
        assert listed == {
            "executionArn": execution,
            "mapRunArn": arn,
            "stateMachineArn": f"{PREFIX}:stateMachine:machine",
            "startDate": at(0),
            "stopDate": at(7),
        }
        counts = {
            "pending": 0,
            "running": 0,
            "succeeded": 2,
            "failed": 0,
            "timedOut": 0,
            "aborted": 0,
            "total": 2,
            "resultsWritten": 2,
            "failuresNotRedrivable": 0,
            "pendingRedrive": 0,
        }
        assert await api.describe_map_run(mapRunArn=arn) == {
            "mapRunArn": arn,
            "executionArn": execution,
            "status": "SUCCEEDED",
            "startDate": at(0),
            "stopDate": at(7),
            "maxConcurrency": 3,
            "toleratedFailurePercentage": 0.0,
            "toleratedFailureCount": 0,
            "itemCounts": counts,
            "executionCounts": counts,
            "redriveCount": 0,
        }

    run(main())


def test_a_running_map_run() -> None:
    async def main() -> None:
        api = Api()
        definition = mapping(WAIT, MaxConcurrency=1, ToleratedFailurePercentage=50, ToleratedFailureCount=2)
        execution = await begin(api, [{"s": 5}, {"s": 7}], definition)
        await api.cloud.clock.sleep(6)
        found = await api.describe_map_run(mapRunArn=await run_of(api, execution))
        assert found["status"] == "RUNNING"
        assert "stopDate" not in found
        assert (found["toleratedFailurePercentage"], found["toleratedFailureCount"]) == (50.0, 2)
        counts = found["executionCounts"]
        assert (counts["succeeded"], counts["running"], counts["resultsWritten"]) == (1, 1, 0)

    run(main())


def test_a_map_run_of_an_execution_that_is_stopped() -> None:
    async def main() -> None:
        api = Api()
        execution = await begin(api, [{"s": 60}] * 3, mapping(WAIT, MaxConcurrency=2))
        await api.cloud.clock.sleep(5)
        arn = await run_of(api, execution)
        await api.stop_execution(executionArn=execution)
        found = await api.describe_map_run(mapRunArn=arn)
        assert (found["status"], found["stopDate"]) == ("ABORTED", at(5))
        assert (found["itemCounts"]["aborted"], found["itemCounts"]["pending"]) == (2, 1)
        children = await children_of(api, arn)
        assert [child["status"] for child in children] == ["ABORTED", "ABORTED"]
        assert (await api.history(children[0]["executionArn"]))[-1]["type"] == "ExecutionAborted"

    run(main())


def test_child_executions_are_executions() -> None:
    async def main() -> None:
        api = Api()
        definition = mapping(
            WAIT, ItemBatcher={"MaxItemsPerBatch": 1, "BatchInput": {}}, ToleratedFailureCount=1
        )
        definition = definition.replace("$.s", "$.Items[0].s").replace("$.fail", "$.Items[0].fail")
        execution = await begin(api, [{"s": 5}, {"s": 1, "fail": 1}], definition)
        await api.finished(execution)
        arn = await run_of(api, execution)
        failed, succeeded = await children_of(api, arn)
        name = succeeded["name"]
        assert succeeded == {
            "executionArn": f"{PREFIX}:execution:machine/L:{name}",
            "stateMachineArn": f"{PREFIX}:stateMachine:machine/L",
            "name": name,
            "status": "SUCCEEDED",
            "startDate": at(0),
            "stopDate": at(5),
            "redriveCount": 0,
            "mapRunArn": arn,
            "itemCount": 1,
        }
        described = await api.describe_execution(executionArn=succeeded["executionArn"])
        assert described["mapRunArn"] == arn
        assert described["stateMachineArn"] == f"{PREFIX}:stateMachine:machine/L"
        assert json.loads(described["input"]) == {"BatchInput": {}, "Items": [{"s": 5}]}
        assert described["output"] == described["input"]
        assert described["redriveStatus"] == "NOT_REDRIVABLE"
        assert described["redriveStatusReason"] == "Execution is SUCCEEDED and cannot be redriven"
        described = await api.describe_execution(executionArn=failed["executionArn"])
        assert (described["status"], described["error"], described["cause"]) == ("FAILED", "Oops", "because")
        assert described["redriveStatus"] == "REDRIVABLE_BY_MAP_RUN"
        assert [event["type"] for event in await api.history(failed["executionArn"])] == [
            "ExecutionStarted",
            "WaitStateEntered",
            "WaitStateExited",
            "ChoiceStateEntered",
            "ChoiceStateExited",
            "FailStateEntered",
            "ExecutionFailed",
        ]

    run(main())


def test_the_machine_of_a_child_execution() -> None:
    async def main() -> None:
        api = Api()
        execution = await begin(api, [1], mapping())
        await api.finished(execution)
        arn = await run_of(api, execution)
        (child,) = await children_of(api, arn)
        found = await api.describe_state_machine_for_execution(executionArn=child["executionArn"])
        assert (found["mapRunArn"], found["label"], found["name"]) == (arn, "L", "machine/L")
        assert found["stateMachineArn"] == f"{PREFIX}:stateMachine:machine/L"
        assert json.loads(found["definition"])["States"] == ECHO["States"]

    run(main())


def test_child_executions_are_listed_by_status_and_in_pages() -> None:
    async def main() -> None:
        api = Api()
        items = [{"s": 1, "fail": 1} if i % 3 == 0 else {"s": 1} for i in range(7)]
        execution = await begin(api, items, mapping(WAIT, ToleratedFailurePercentage=100))
        await api.finished(execution)
        arn = await run_of(api, execution)
        assert len(await children_of(api, arn, statusFilter="FAILED")) == 3
        assert len(await children_of(api, arn, statusFilter="SUCCEEDED")) == 4
        assert await children_of(api, arn, statusFilter="RUNNING") == []
        assert await children_of(api, arn, redriveFilter="REDRIVEN") == []
        seen = []
        page = await api.list_executions(mapRunArn=arn, maxResults=3)
        while True:
            seen += [child["name"] for child in page["executions"]]
            if "nextToken" not in page:
                break
            page = await api.list_executions(mapRunArn=arn, maxResults=3, nextToken=page["nextToken"])
        assert len(seen) == len(set(seen)) == 7
        # They are not among those of the state machine.
        of_machine = await api.list_executions(stateMachineArn=f"{PREFIX}:stateMachine:machine")
        assert [found["executionArn"] for found in of_machine["executions"]] == [execution]

    run(main())


def test_express_child_executions_cannot_be_asked_about() -> None:
    async def main() -> None:
        api = Api()
        execution = await begin(api, [1, 2], mapping(kind="EXPRESS"))
        assert (await api.finished(execution))["output"] == "[1,2]"
        arn = await run_of(api, execution)
        assert (await api.describe_map_run(mapRunArn=arn))["executionCounts"]["succeeded"] == 2
        assert (await api.refusal("list_executions", mapRunArn=arn))[0] == "StateMachineTypeNotSupported"
        child = f"{PREFIX}:express:machine/L:a:b"
        assert (await api.refusal("describe_execution", executionArn=child))[0] == "InvalidArn"

    run(main())


def test_a_child_execution_can_be_stopped() -> None:
    async def main() -> None:
        api = Api()
        execution = await begin(api, [{"s": 60}, {"s": 9}], mapping(WAIT))
        await api.cloud.clock.sleep(5)
        arn = await run_of(api, execution)
        child = (await children_of(api, arn))[1]["executionArn"]
        await api.stop_execution(executionArn=child, error="E", cause="c")
        described = await api.describe_execution(executionArn=child)
        assert (described["status"], described["error"]) == ("ABORTED", "E")
        answer = await api.finished(execution)
        assert (answer["status"], answer["stopDate"]) == ("SUCCEEDED", at(9))
        assert [result.get("Status") for result in json.loads(answer["output"])] == ["ABORTED", None]

    run(main())


def test_update_map_run() -> None:
    async def main() -> None:
        api = Api()
        items = [{"s": 10}, {"s": 10, "fail": 1}, {"s": 10}]
        execution = await begin(api, items, mapping(WAIT, MaxConcurrency=1))
        await api.cloud.clock.sleep(5)
        arn = await run_of(api, execution)
        await api.update_map_run(
            mapRunArn=arn, maxConcurrency=10, toleratedFailureCount=1, toleratedFailurePercentage=40.0
        )
        found = await api.describe_map_run(mapRunArn=arn)
        assert (found["maxConcurrency"], found["toleratedFailureCount"]) == (10, 1)
        assert found["toleratedFailurePercentage"] == 40.0
        answer = await api.finished(execution)
        assert (answer["status"], answer["stopDate"]) == ("SUCCEEDED", at(15))
        code, message = await api.refusal("update_map_run", mapRunArn=arn, maxConcurrency=1)
        assert code == "ValidationException"
        assert "SUCCEEDED" in message

    run(main())


def test_update_map_run_with_nothing() -> None:
    async def main() -> None:
        api = Api()
        execution = await begin(api, [{"s": 10}], mapping(WAIT))
        await api.cloud.clock.sleep(5)
        arn = await run_of(api, execution)
        assert (await api.refusal("update_map_run", mapRunArn=arn))[0] == "ValidationException"
        # A threshold of nothing is one: it does not take effect before something fails.
        await api.update_map_run(mapRunArn=arn, toleratedFailureCount=0)
        assert (await api.finished(execution))["status"] == "SUCCEEDED"

    run(main())


@pytest.mark.parametrize("operation", ["describe_map_run", "update_map_run"])
def test_map_runs_that_are_not_there(operation: str) -> None:
    async def main() -> None:
        api = Api()
        arn = f"{PREFIX}:mapRun:machine/L:00000000-0000-0000-0000-000000000000"
        assert await api.refusal(operation, mapRunArn=arn) == (
            "ResourceNotFound",
            f"Resource not found: '{arn}'",
        )
        for bad in ("nonsense", f"{PREFIX}:mapRun:machine:x", f"{PREFIX}:execution:machine/L:x", f"{arn}:y"):
            assert (await api.refusal(operation, mapRunArn=bad))[0] == "InvalidArn"

    run(main())


def test_lists_of_what_is_not_there() -> None:
    async def main() -> None:
        api = Api()
        arn = f"{PREFIX}:mapRun:machine/L:x"
        assert (await api.refusal("list_executions", mapRunArn=arn))[0] == "ResourceNotFound"
        execution = f"{PREFIX}:execution:machine:nope"
        assert await api.refusal("list_map_runs", executionArn=execution) == (
            "ExecutionDoesNotExist",
            f"Execution Does Not Exist: '{execution}'",
        )
        child = f"{PREFIX}:execution:machine/L:nope"
        assert (await api.refusal("describe_execution", executionArn=child))[0] == "ExecutionDoesNotExist"
        assert (await api.refusal("list_map_runs", executionArn="x"))[0] == "InvalidArn"

    run(main())


def test_map_runs_are_listed_in_pages_newest_first() -> None:
    async def main() -> None:
        api = Api()
        inner = json.loads(mapping())
        inner["States"]["M"].pop("Label")
        inner["States"] = {"N": inner["States"]["M"]}
        inner["StartAt"] = "N"
        outer = {"Type": "Map", "ItemProcessor": inner, "MaxConcurrency": 1, "End": True}
        definition = json.dumps({"StartAt": "O", "States": {"O": outer}})
        execution = await begin(api, [[1], [2], [3]], definition)
        await api.finished(execution)
        first = await api.list_map_runs(executionArn=execution, maxResults=2)
        assert len(first["mapRuns"]) == 2
        second = await api.list_map_runs(executionArn=execution, maxResults=2, nextToken=first["nextToken"])
        assert len(second["mapRuns"]) == 1
        assert "nextToken" not in second
        arns = [found["mapRunArn"] for page in (first, second) for found in page["mapRuns"]]
        assert len(set(arns)) == 3
        (child,) = await children_of(api, arns[0])
        assert (await api.describe_execution(executionArn=child["executionArn"]))["input"] == "3"
        assert (await api.refusal("list_map_runs", executionArn=execution, nextToken="x"))[
            0
        ] == "InvalidToken"

    run(main())


def test_nested_map_runs_belong_to_the_child_execution() -> None:
    async def main() -> None:
        api = Api()
        inner = json.loads(mapping().replace('"M"', '"N"').replace('"Label": "L"', '"Label": "In"'))
        execution = await begin(api, [[1]], mapping(inner))
        await api.finished(execution)
        (child,) = await children_of(api, await run_of(api, execution))
        (nested,) = (await api.list_map_runs(executionArn=child["executionArn"]))["mapRuns"]
        assert nested["stateMachineArn"] == f"{PREFIX}:stateMachine:machine/L"
        (grandchild,) = await children_of(api, nested["mapRunArn"])
        assert grandchild["executionArn"].startswith(f"{PREFIX}:execution:machine/L/In:")
        assert (await api.describe_execution(executionArn=grandchild["executionArn"]))["output"] == "1"

    run(main())


def test_child_executions_and_their_events_are_published() -> None:
    async def main() -> None:
        api = Api()
        seen: list[tuple[str, str, Any]] = []
        api.cloud.events.subscribe(lambda event: seen.append((event.kind, event.subject, event.data)))
        execution = await begin(api, [1], mapping(kind="EXPRESS"))
        await api.finished(execution)
        children = {subject for _, subject, _ in seen if ":express:" in subject}
        assert len(children) == 1
        of_child = [(kind, data) for kind, subject, data in seen if subject in children]
        assert [data["status"] for kind, data in of_child if kind == "execution"] == ["RUNNING", "SUCCEEDED"]
        assert len([data for kind, data in of_child if kind == "history"]) == 4

    run(main())


# S3 --------------------------------------------------------------------------------------------------------

READ = {
    "Resource": "arn:aws:states:::s3:getObject",
    "ReaderConfig": {"InputType": "JSON"},
    "Parameters": {"Bucket": "data", "Key": "k"},
}


def test_s3_is_read_in_the_name_of_the_execution() -> None:
    async def main() -> None:
        api = Api()
        api.cloud.handlers["s3.GetObject"] = lambda params: {"Body": b"[1, 2]"}
        execution = await begin(api, {}, mapping(ItemReader=READ))
        assert (await api.finished(execution))["output"] == "[1,2]"
        ((call, params, caller),) = [call for call in api.cloud.calls if call[0].startswith("s3")]
        assert (call, params) == ("s3.GetObject", {"Bucket": "data", "Key": "k"})
        assert caller == Caller("execution", execution, ROLE)

    run(main())


def test_a_refusal_reads_as_the_sdk_for_java_prints_it() -> None:
    async def main() -> None:
        api = Api()
        api.cloud.handlers["s3.GetObject"] = refuse("AccessDenied", "Access Denied", status=403)
        execution = await begin(api, {}, mapping(ItemReader=READ))
        answer = await api.finished(execution)
        assert answer["error"] == "States.ItemReaderFailed"
        assert answer["cause"].startswith(
            "Access Denied (Service: Amazon S3; Status Code: 403; Error Code: AccessDenied; Request ID: "
        )

    run(main())


def test_results_of_a_stopped_execution_are_written_afterwards() -> None:
    async def main() -> None:
        api = Api()
        written: list[str] = []
        api.cloud.handlers["s3.PutObject"] = lambda params: written.append(params["Key"]) or {}
        writer = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "data"}}
        execution = await begin(api, [{"s": 60}], mapping(WAIT, ResultWriter=writer))
        await api.cloud.clock.sleep(5)
        await api.stop_execution(executionArn=execution)
        for task in api.cloud.tasks:
            await task
        assert [key.rpartition("/")[2] for key in written] == ["FAILED_0.json", "manifest.json"]

    run(main())


@pytest.mark.slow
def test_with_the_s3_there_is() -> None:
    async def main() -> None:
        async with Cloud(clock=SkippingClock(START), services=[StepFunctions]) as cloud:

            async def s3(operation: str, **params: Any) -> dict[str, Any]:
                return await cloud.call("s3", operation, params)

            await s3("CreateBucket", Bucket="data")
            for number in range(3):
                body = f"id|name\n{number}|n{number}\n".encode()
                await s3("PutObject", Bucket="data", Key=f"in/{number}.csv", Body=body)
            listing = {
                "Resource": "arn:aws:states:::s3:listObjectsV2",
                "Parameters": {"Bucket": "data", "Prefix.$": "$.prefix"},
            }
            content = {
                "InputType": "CSV",
                "CSVHeaderLocation": "FIRST_ROW",
                "CSVDelimiter": "PIPE",
                "Transformation": "LOAD_AND_FLATTEN",
            }
            writer = {
                "Resource": "arn:aws:states:::s3:putObject",
                "Parameters": {"Bucket": "data", "Prefix": "out"},
                "WriterConfig": {"OutputType": "JSON", "Transformation": "COMPACT"},
            }

            async def outcome(name: str, definition: str) -> dict[str, Any]:
                created = await cloud.call(
                    "stepfunctions",
                    "CreateStateMachine",
                    {"name": name, "definition": definition, "roleArn": ROLE},
                )
                started = await cloud.call(
                    "stepfunctions",
                    "StartExecution",
                    {"stateMachineArn": created["stateMachineArn"], "input": '{"prefix": "in/"}'},
                )
                service = cloud.service("stepfunctions")
                assert isinstance(service, StepFunctions)
                return await service.wait_for_execution(started["executionArn"])

            metadata = json.loads((await outcome("list", mapping(ItemReader=listing)))["output"])
            assert [item["Key"] for item in metadata] == ["in/0.csv", "in/1.csv", "in/2.csv"]
            assert set(metadata[0]) == {"Etag", "Key", "LastModified", "Size", "StorageClass"}
            assert metadata[0]["Etag"].startswith('"')
            assert metadata[0]["StorageClass"] == "STANDARD"
            assert isinstance(metadata[0]["LastModified"], int)

            reader = {**listing, "ReaderConfig": content}
            flat = await outcome("flat", mapping(ItemReader=reader, ResultWriter=writer, kind="EXPRESS"))
            key = json.loads(flat["output"])["ResultWriterDetails"]["Key"]
            manifest = json.loads((await s3("GetObject", Bucket="data", Key=key))["Body"])
            (file,) = manifest["ResultFiles"]["SUCCEEDED"]
            body = (await s3("GetObject", Bucket="data", Key=file["Key"]))["Body"]
            assert len(body) == file["Size"]
            assert json.loads(body) == [{"id": str(i), "name": f"n{i}"} for i in range(3)]

            missing = await outcome(
                "missing", mapping(ItemReader={**READ, "Parameters": {"Bucket": "data", "Key": "x"}})
            )
            assert missing["error"] == "States.ItemReaderFailed"
            assert missing["cause"].startswith(
                "The specified key does not exist. (Service: Amazon S3; Status Code: 404; Error Code: NoSuch"
            )
            nowhere = {**writer, "Parameters": {"Bucket": "nowhere"}}
            refused = await outcome("nowhere", mapping(ItemReader=listing, ResultWriter=nowhere))
            assert refused["error"] == "States.ResultWriterFailed"
            assert "Error Code: NoSuchBucket" in refused["cause"]

    run(main())
