"""Activities: workers fetch tasks, send results, and time does not jump over their heads."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from harness.clock import RealClock, run
from harness.cloud.events import Event

from .api import Api
from .fakes import ROLE, START

PREFIX = "arn:aws:states:us-east-1:123456789012:"
ACTIVITY = f"{PREFIX}activity:work"


def definition(**more: Any) -> str:
    state = {"Type": "Task", "Resource": ACTIVITY, "End": True, **more}
    return json.dumps({"StartAt": "Work", "States": {"Work": state}})


async def scheduled(api: Api, *, input: str = '{"n":1}', **more: Any) -> str:  # noqa: A002
    """An execution whose task waits for a worker; its ARN."""
    await api.create_activity(name="work")
    reached = asyncio.Event()

    def look(event: Event) -> None:
        if event.kind == "history" and event.data["event"]["type"] == "ActivityScheduled":
            reached.set()

    unsubscribe = api.cloud.events.subscribe(look)
    arn = await api.start(await api.machine(definition(**more)), input=input)
    await reached.wait()
    unsubscribe()
    return arn


def brief(events: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Types and details of events."""
    return [
        (event["type"], next((value for key, value in event.items() if key.endswith("EventDetails")), {}))
        for event in events
    ]


# Activities themselves -------------------------------------------------------------------------------------


def test_create_describe_list_and_delete() -> None:
    async def main() -> None:
        api = Api()
        created = await api.create_activity(name="work", tags=[{"key": "a", "value": "1"}])
        assert created["activityArn"] == ACTIVITY
        assert created["creationDate"].timestamp() == START
        assert await api.describe_activity(activityArn=ACTIVITY) == {
            "activityArn": ACTIVITY,
            "name": "work",
            "creationDate": created["creationDate"],
            "encryptionConfiguration": {"type": "AWS_OWNED_KEY"},
        }
        again = await api.create_activity(name="work", tags=[{"key": "b", "value": "2"}])
        assert again == created
        assert await api.list_tags_for_resource(resourceArn=ACTIVITY) == {
            "tags": [{"key": "a", "value": "1"}]
        }
        assert (await api.list_activities())["activities"] == [
            {"activityArn": ACTIVITY, "name": "work", "creationDate": created["creationDate"]}
        ]
        for _ in range(2):
            assert await api.delete_activity(activityArn=ACTIVITY) == {}
        assert (await api.list_activities())["activities"] == []

    run(main())


@pytest.mark.parametrize("operation", ["describe_activity", "get_activity_task"])
def test_activities_that_do_not_exist(operation: str) -> None:
    async def main() -> None:
        api = Api()
        missing = ("ActivityDoesNotExist", f"Activity Does Not Exist: '{ACTIVITY}'")
        assert await api.refusal(operation, activityArn=ACTIVITY) == missing
        for wrong, detail in (
            ("work", "Invalid ARN prefix: work"),
            (f"{PREFIX}stateMachine:work", "Resource type not valid in this context: stateMachine"),
            (f"{ACTIVITY}:1", f"{ACTIVITY}:1"),
        ):
            refused = await api.refusal(operation, activityArn=wrong)
            assert refused == ("InvalidArn", f"Invalid Arn: '{detail}'")

    run(main())


def test_create_refuses() -> None:
    async def main() -> None:
        api = Api()
        assert await api.refusal("create_activity", name="a b") == ("InvalidName", "Invalid Name: 'a b'")
        many = [{"key": str(n), "value": ""} for n in range(51)]
        assert (await api.refusal("create_activity", name="work", tags=many))[0] == "TooManyTags"
        assert (await api.list_activities())["activities"] == []
        await api.create_activity(name="work")
        key = {"type": "CUSTOMER_MANAGED_KMS_KEY", "kmsKeyId": "key"}
        refused = await api.refusal("create_activity", name="work", encryptionConfiguration=key)
        assert refused[0] == "ActivityAlreadyExists"
        said: list[str] = []
        api.cloud.events.subscribe(lambda event: said.append(event.data["message"]))
        await api.create_activity(name="secret", encryptionConfiguration=key)
        assert said == ["a KMS key is configured, but nothing is encrypted locally"]

    run(main())


def test_pages_go_on_where_they_stopped_though_activities_are_deleted() -> None:
    async def main() -> None:
        api = Api()
        for name in "abcde":
            await api.create_activity(name=name)
        first = await api.list_activities(maxResults=2)
        for name in "ac":  # one that was listed, and the one that would come next
            await api.delete_activity(activityArn=f"{PREFIX}activity:{name}")
        second = await api.list_activities(maxResults=2, nextToken=first["nextToken"])
        assert [item["name"] for item in first["activities"]] == ["a", "b"]
        assert [item["name"] for item in second["activities"]] == ["d", "e"]
        assert "nextToken" not in second

    run(main())


# Tasks -----------------------------------------------------------------------------------------------------


def test_a_worker_does_a_task() -> None:
    async def main() -> None:
        api = Api()
        arn = await scheduled(api, TimeoutSeconds=60, HeartbeatSeconds=10)
        task = await api.get_activity_task(activityArn=ACTIVITY, workerName="anna")
        assert json.loads(task["input"]) == {"n": 1}
        await api.send_task_heartbeat(taskToken=task["taskToken"])
        await api.send_task_success(taskToken=task["taskToken"], output='{"done":true}')
        assert (await api.finished(arn))["output"] == '{"done":true}'
        included = {"truncated": False}
        assert brief(await api.history(arn))[2:5] == [
            (
                "ActivityScheduled",
                {
                    "resource": ACTIVITY,
                    "input": '{"n":1}',
                    "inputDetails": included,
                    "timeoutInSeconds": 60,
                    "heartbeatInSeconds": 10,
                },
            ),
            ("ActivityStarted", {"workerName": "anna"}),
            ("ActivitySucceeded", {"output": '{"done":true}', "outputDetails": included}),
        ]
        gone = ("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
        assert await api.refusal("send_task_success", taskToken=task["taskToken"], output="1") == gone

    run(main())


def test_a_worker_that_waits_gets_the_task_at_once() -> None:
    async def main() -> None:
        api = Api()
        await api.create_activity(name="work")
        polls = [asyncio.ensure_future(api.get_activity_task(activityArn=ACTIVITY)) for _ in range(2)]
        await asyncio.sleep(0)
        machine = await api.machine(definition())
        first = await api.start(machine, input="1")
        task = await polls[0]  # the worker that has asked longest
        assert task["input"] == "1"
        await api.send_task_success(taskToken=task["taskToken"], output="2")
        assert (await api.finished(first))["status"] == "SUCCEEDED"
        assert brief(await api.history(first))[3] == ("ActivityStarted", {})
        assert not polls[1].done()
        polls[1].cancel()

    run(main())


def test_tasks_are_handed_out_in_order() -> None:
    async def main() -> None:
        api = Api()
        await scheduled(api, input="0")
        machine = f"{PREFIX}stateMachine:machine"
        for n in (1, 2):
            await api.start(machine, input=str(n))
        await asyncio.sleep(0)
        inputs = [(await api.get_activity_task(activityArn=ACTIVITY))["input"] for _ in range(3)]
        assert inputs == ["0", "1", "2"]

    run(main())


def test_failure() -> None:
    async def main() -> None:
        api = Api()
        arn = await scheduled(api)
        task = await api.get_activity_task(activityArn=ACTIVITY)
        await api.send_task_failure(taskToken=task["taskToken"], error="Broken", cause="a part")
        described = await api.finished(arn)
        assert (described["status"], described["error"], described["cause"]) == (
            "FAILED",
            "Broken",
            "a part",
        )
        failure = {"error": "Broken", "cause": "a part"}
        assert brief(await api.history(arn))[-2:] == [
            ("ActivityFailed", failure),
            ("ExecutionFailed", failure),
        ]

    run(main())


def test_nothing_to_do() -> None:
    async def main() -> None:
        api = Api()
        api.service.activities.poll_time = 0.01
        await api.create_activity(name="work")
        assert await api.get_activity_task(activityArn=ACTIVITY) == {}
        arn = await scheduled(api)  # the poll that has ended gets nothing more
        assert brief(await api.history(arn))[-1][0] == "ActivityScheduled"

    run(main())


def test_a_poll_that_is_given_up_gets_no_task() -> None:
    async def main() -> None:
        api = Api()
        await api.create_activity(name="work")
        for ticks in range(4):
            poll = asyncio.ensure_future(api.get_activity_task(activityArn=ACTIVITY))
            await asyncio.sleep(0)
            arn = await api.start(await api.machine(definition()), name=str(ticks), input=str(ticks))
            for _ in range(ticks):  # whether or not it has been given the task meanwhile
                await asyncio.sleep(0)
            if not poll.done():
                poll.cancel()
                await asyncio.wait([poll])
            task = poll.result() if not poll.cancelled() else None
            task = task or await api.get_activity_task(activityArn=ACTIVITY)
            await api.send_task_success(taskToken=task["taskToken"], output="0")
            assert (await api.finished(arn))["status"] == "SUCCEEDED"

    run(main())


def test_an_activity_that_does_not_exist() -> None:
    async def main() -> None:
        api = Api()
        arn = await api.start(await api.machine(definition()))
        described = await api.finished(arn)
        assert (described["status"], described["error"]) == ("FAILED", "States.Runtime")
        assert described["cause"] == (
            "An error occurred while executing the state 'Work' (entered at the event id #2). "
            f"The activity {ACTIVITY} does not exist."
        )
        types = [event["type"] for event in await api.history(arn)]
        assert types == ["ExecutionStarted", "TaskStateEntered", "ExecutionFailed"]

    run(main())


def test_express_state_machines_have_no_activities() -> None:
    async def main() -> None:
        api = Api()
        code, message = await api.refusal(
            "create_state_machine", name="m", definition=definition(), roleArn=ROLE, type="EXPRESS"
        )
        assert code == "InvalidDefinition"
        assert "Express state machine does not support activities" in message

    run(main())


# Time ------------------------------------------------------------------------------------------------------


def test_no_limit_counts_before_a_worker_starts() -> None:
    async def main() -> None:
        api = Api()
        arn = await scheduled(api, TimeoutSeconds=60, HeartbeatSeconds=10)
        await api.cloud.clock.sleep(86400)
        assert (await api.describe_execution(executionArn=arn))["status"] == "RUNNING"
        task = await api.get_activity_task(activityArn=ACTIVITY)
        await api.send_task_success(taskToken=task["taskToken"], output="1")
        assert (await api.finished(arn))["status"] == "SUCCEEDED"

    run(main())


@pytest.mark.parametrize("limit", ["TimeoutSeconds", "HeartbeatSeconds"])
def test_a_worker_that_says_nothing(limit: str) -> None:
    async def main() -> None:
        api = Api(RealClock(scale=100))
        arn = await scheduled(api, **{limit: 1})
        task = await api.get_activity_task(activityArn=ACTIVITY)
        described = await api.finished(arn)
        assert (described["status"], described["error"]) == ("FAILED", "States.Timeout")
        assert brief(await api.history(arn))[-2] == ("ActivityTimedOut", {"error": "States.Timeout"})
        gone = ("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
        assert await api.refusal("send_task_heartbeat", taskToken=task["taskToken"]) == gone
        assert await api.refusal("send_task_failure", taskToken=task["taskToken"]) == gone

    run(main())


def test_time_runs_at_wall_speed_while_a_worker_has_a_task() -> None:
    async def main() -> None:
        api = Api()
        arn = await scheduled(api, TimeoutSeconds=3600)
        task = await api.get_activity_task(activityArn=ACTIVITY)
        await asyncio.sleep(0.02)  # of real time, in which the clock could jump
        assert api.cloud.clock.now() < START + 60
        await api.send_task_success(taskToken=task["taskToken"], output="1")
        assert (await api.finished(arn))["status"] == "SUCCEEDED"
        await api.cloud.clock.sleep(86400)  # and jumps again

    run(main())


def test_time_waits_for_a_worker_between_two_tasks() -> None:
    """A live worker comes back for the next task; the limit of the execution is not jumped to meanwhile."""

    async def main() -> None:
        api = Api()
        await api.create_activity(name="work")
        two = {
            "StartAt": "One",
            "TimeoutSeconds": 3600,
            "States": {
                "One": {"Type": "Task", "Resource": ACTIVITY, "Next": "Two"},
                "Two": {"Type": "Task", "Resource": ACTIVITY, "End": True},
            },
        }
        poll = asyncio.ensure_future(api.get_activity_task(activityArn=ACTIVITY))
        arn = await api.start(await api.machine(json.dumps(two)))
        await api.send_task_success(taskToken=(await poll)["taskToken"], output="1")
        await asyncio.sleep(0.02)
        task = await api.get_activity_task(activityArn=ACTIVITY)
        await api.send_task_success(taskToken=task["taskToken"], output="2")
        assert (await api.finished(arn))["status"] == "SUCCEEDED"

    run(main())


@pytest.mark.parametrize("polled", [True, False])
def test_time_jumps_when_no_worker_is_alive(polled: bool) -> None:
    async def main() -> None:
        api = Api()
        api.service.activities.poll_time = 0.0
        api.service.activities.lively = 0.02
        await api.create_activity(name="work")
        if polled:
            await api.get_activity_task(activityArn=ACTIVITY)
        limited = json.loads(definition()) | {"TimeoutSeconds": 3600}
        described = await api.finished(await api.start(await api.machine(json.dumps(limited))))
        assert described["status"] == "TIMED_OUT"
        assert (described["stopDate"] - described["startDate"]).total_seconds() == pytest.approx(3600, abs=1)

    run(main())


def test_a_worker_that_finds_nothing_to_do_holds_nothing_up() -> None:
    async def main() -> None:
        api = Api()
        await api.create_activity(name="work")
        poll = asyncio.ensure_future(api.get_activity_task(activityArn=ACTIVITY))
        await api.cloud.clock.sleep(86400)
        assert not poll.done()
        poll.cancel()

    run(main())


def test_a_stopped_execution_lets_go_of_its_task() -> None:
    async def main() -> None:
        api = Api()
        queued = await scheduled(api)
        await api.stop_execution(executionArn=queued)
        second = await api.start(f"{PREFIX}stateMachine:machine", input="2")
        task = await api.get_activity_task(activityArn=ACTIVITY)
        assert task["input"] == "2"  # not the first one's
        await api.stop_execution(executionArn=second)
        assert (await api.refusal("send_task_success", taskToken=task["taskToken"], output="1"))[
            0
        ] == "TaskTimedOut"
        types = [event["type"] for event in await api.history(second)]
        assert types[-1] == "ExecutionAborted"
        await api.cloud.clock.sleep(86400)  # nothing holds the clock any more

    run(main())
