"""The service behind the gateway, as boto3 sees it. All tests share one server; each has names of its own."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError

from harness.clock import SkippingClock, run
from harness.cloud.cloud import Cloud
from harness.cloud.stepfunctions import StepFunctions

from .api import DONE
from .fakes import ROLE, START

UNKNOWN = "arn:aws:states:us-east-1:123456789012:stateMachine:unknown"


@contextmanager
def served() -> Iterator[str]:
    """A cloud with the Step Functions service only, on a thread of its own; its address."""
    ready: Future[tuple[str, Callable[[], object]]] = Future()

    async def main() -> None:
        stop = asyncio.Event()
        async with Cloud(clock=SkippingClock(START), services=[StepFunctions]) as cloud:
            loop = asyncio.get_running_loop()
            ready.set_result((cloud.endpoint_url, lambda: loop.call_soon_threadsafe(stop.set)))
            await stop.wait()
            assert cloud.failures == []

    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(run, main())
        url, stop = ready.result(10)
        try:
            yield url
        finally:
            stop()
            running.result(10)


def client_of(url: str, **config: Any) -> Any:
    """A boto3 client that does not try again."""
    return boto3.client(
        "stepfunctions",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 0}, **config),
    )


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served() as address:
        yield address


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[Any]:
    # boto3 would put "sync-" before the host name, which an IP address cannot have.
    client = client_of(url, inject_host_prefix=False)
    yield client
    client.close()


def create(client: Any, name: str, definition: str = DONE, **more: Any) -> dict[str, Any]:
    return client.create_state_machine(name=name, definition=definition, roleArn=ROLE, **more)


def wait(client: Any, arn: str) -> dict[str, Any]:
    while (described := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
        pass
    return described


def paged(client: Any, operation: str, key: str, **params: Any) -> list[Any]:
    """All items of a list, from pages of two."""
    pages = client.get_paginator(operation).paginate(**params, PaginationConfig={"PageSize": 2})
    return [item for answer in pages for item in answer[key]]


def test_an_execution(client: Any) -> None:
    day = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 86400, "End": True}}}
    machine = create(client, "day", json.dumps(day))["stateMachineArn"]
    arn = client.start_execution(stateMachineArn=machine, input='{"ä": 1}')["executionArn"]
    described = wait(client, arn)
    assert described["status"] == "SUCCEEDED"
    assert json.loads(described["output"]) == {"ä": 1}
    assert (described["stopDate"] - described["startDate"]).total_seconds() == 86400
    events = paged(client, "get_execution_history", "events", executionArn=arn)
    assert [event["type"] for event in events] == [
        "ExecutionStarted",
        "WaitStateEntered",
        "WaitStateExited",
        "ExecutionSucceeded",
    ]
    again = [client.start_execution(stateMachineArn=machine, name=f"e{n}")["executionArn"] for n in range(4)]
    listed = paged(client, "list_executions", "executions", stateMachineArn=machine)
    assert [item["executionArn"] for item in listed] == [*reversed(again), arn]


def test_a_name_is_an_executions_for_good(client: Any) -> None:
    wait_day = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 86400, "End": True}}}
    machine = create(client, "named", json.dumps(wait_day))["stateMachineArn"]
    arn = client.start_execution(stateMachineArn=machine, name="one", input="1")["executionArn"]
    wait(client, arn)
    for given in ("1", "2"):
        with pytest.raises(client.exceptions.ExecutionAlreadyExists) as caught:
            client.start_execution(stateMachineArn=machine, name="one", input=given)
        assert caught.value.response["Error"]["Message"] == f"Execution Already Exists: '{arn}'"


def test_errors_are_boto3_exceptions(client: Any) -> None:
    with pytest.raises(client.exceptions.InvalidDefinition) as caught:
        create(client, "wrong", "{}")
    assert caught.value.response["Error"]["Code"] == "InvalidDefinition"
    with pytest.raises(client.exceptions.StateMachineDoesNotExist) as caught:
        client.describe_state_machine(stateMachineArn=UNKNOWN)
    assert caught.value.response["Error"]["Message"] == f"State Machine Does Not Exist: '{UNKNOWN}'"
    with pytest.raises(client.exceptions.InvalidArn):
        client.describe_execution(executionArn=UNKNOWN)
    many = [{"key": str(n), "value": ""} for n in range(51)]
    with pytest.raises(client.exceptions.TooManyTags) as caught:
        client.create_activity(name="tagged", tags=many)
    assert caught.value.response["resourceName"].endswith(":activity:tagged")
    with pytest.raises(client.exceptions.InvalidToken):
        client.send_task_success(taskToken="x", output="1")
    with pytest.raises(client.exceptions.ClientError, match="failed to satisfy constraint"):
        client.list_state_machines(maxResults=1001)


def test_an_express_execution_answers_at_once(client: Any) -> None:
    machine = create(client, "express", type="EXPRESS")["stateMachineArn"]
    answer = client.start_sync_execution(stateMachineArn=machine, input="[1]")
    assert (answer["status"], answer["output"]) == ("SUCCEEDED", "[1]")


def test_the_environment_keeps_sdks_from_changing_the_host(
    client: Any, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = create(client, "prefixed", type="EXPRESS")["stateMachineArn"]
    with pytest.raises(EndpointConnectionError, match=r"sync-127\.0\.0\.1"):
        client_of(url).start_sync_execution(stateMachineArn=machine)
    monkeypatch.setenv("AWS_DISABLE_HOST_PREFIX_INJECTION", "true")
    assert client_of(url).start_sync_execution(stateMachineArn=machine)["status"] == "SUCCEEDED"


def test_everything_about_machines(client: Any) -> None:
    arn = create(client, "m", tags=[{"key": "a", "value": "b"}])["stateMachineArn"]
    assert client.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "a", "value": "b"}]
    client.tag_resource(resourceArn=arn, tags=[{"key": "c", "value": "d"}])
    client.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert client.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "c", "value": "d"}]
    updated = client.update_state_machine(stateMachineArn=arn, roleArn=ROLE + "2")
    described = client.describe_state_machine(stateMachineArn=arn)
    assert (described["roleArn"], described["revisionId"]) == (ROLE + "2", updated["revisionId"])
    assert client.validate_state_machine_definition(definition=DONE)["result"] == "OK"
    execution = client.start_execution(stateMachineArn=arn)["executionArn"]
    wait(client, execution)
    assert client.stop_execution(executionArn=execution)["stopDate"]
    described = client.describe_state_machine_for_execution(executionArn=execution)
    assert described["definition"] == DONE
    for name in ("n", "o", "p"):
        create(client, name)
    client.delete_state_machine(stateMachineArn=arn)
    names = [item["name"] for item in paged(client, "list_state_machines", "stateMachines")]
    assert [name for name in names if name in "mnop"] == ["n", "o", "p"]


def test_versions_and_aliases(client: Any) -> None:
    created = create(client, "v", publish=True)
    arn, first = created["stateMachineArn"], created["stateMachineVersionArn"]
    client.update_state_machine(stateMachineArn=arn, roleArn=ROLE + "2")
    second = client.publish_state_machine_version(stateMachineArn=arn)["stateMachineVersionArn"]
    assert (
        [
            item["stateMachineVersionArn"]
            for item in client.list_state_machine_versions(stateMachineArn=arn)["stateMachineVersions"]
        ]
        == [second, first]
        == [f"{arn}:2", f"{arn}:1"]
    )
    routes = [{"stateMachineVersionArn": first, "weight": 100}]
    alias = client.create_state_machine_alias(name="PROD", routingConfiguration=routes)[
        "stateMachineAliasArn"
    ]
    execution = client.start_execution(stateMachineArn=alias)["executionArn"]
    described = wait(client, execution)
    assert described["stateMachineVersionArn"] == first
    assert described["stateMachineAliasArn"] == alias
    routes = [{"stateMachineVersionArn": second, "weight": 100}]
    client.update_state_machine_alias(stateMachineAliasArn=alias, routingConfiguration=routes)
    assert client.describe_state_machine_alias(stateMachineAliasArn=alias)["routingConfiguration"] == routes
    assert client.list_state_machine_aliases(stateMachineArn=first)["stateMachineAliases"] == []
    client.delete_state_machine_version(stateMachineVersionArn=first)
    with pytest.raises(client.exceptions.ConflictException):
        client.delete_state_machine_version(stateMachineVersionArn=second)
    client.delete_state_machine_alias(stateMachineAliasArn=alias)
    with pytest.raises(client.exceptions.ResourceNotFound):
        client.describe_state_machine_alias(stateMachineAliasArn=alias)


def test_activities(client: Any, url: str) -> None:
    arns = [client.create_activity(name=f"a{n}")["activityArn"] for n in range(5)]
    assert [item["activityArn"] for item in paged(client, "list_activities", "activities")] == arns
    assert client.describe_activity(activityArn=arns[0])["name"] == "a0"
    state = {"Type": "Task", "Resource": arns[0], "TimeoutSeconds": 600, "HeartbeatSeconds": 60}
    both = {
        "StartAt": "One",
        "States": {
            "One": {**state, "Next": "Two", "Retry": [{"ErrorEquals": ["Again"], "IntervalSeconds": 3600}]},
            "Two": {**state, "End": True},
        },
    }
    machine = create(client, "worked", json.dumps(both))["stateMachineArn"]
    tokens: list[str] = []

    def work() -> None:
        worker = client_of(url)
        for send in (
            lambda token: worker.send_task_failure(taskToken=token, error="Again", cause="once more"),
            lambda token: worker.send_task_success(taskToken=token, output='"one"'),
            lambda token: worker.send_task_success(taskToken=token, output='"two"'),
        ):
            token = worker.get_activity_task(activityArn=arns[0], workerName="anna")["taskToken"]
            worker.send_task_heartbeat(taskToken=token)
            send(token)
            tokens.append(token)

    thread = threading.Thread(target=work)
    thread.start()
    execution = client.start_execution(stateMachineArn=machine)["executionArn"]
    described = wait(client, execution)
    thread.join(10)
    assert (described["status"], described["output"]) == ("SUCCEEDED", '"two"')
    assert (described["stopDate"] - described["startDate"]).total_seconds() == pytest.approx(3600, abs=60)
    events = client.get_execution_history(executionArn=execution)["events"]
    started = [event for event in events if event["type"] == "ActivityStarted"]
    assert [event["activityStartedEventDetails"] for event in started] == [{"workerName": "anna"}] * 3
    with pytest.raises(client.exceptions.TaskTimedOut):
        client.send_task_heartbeat(taskToken=tokens[0])
    client.delete_activity(activityArn=arns[0])
    with pytest.raises(client.exceptions.ActivityDoesNotExist):
        client.get_activity_task(activityArn=arns[0])


def test_a_state_is_tried(client: Any) -> None:
    retry = [{"ErrorEquals": ["Broken"], "IntervalSeconds": 3}]
    task = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Retry": retry, "End": True}
    definition = json.dumps({**task, "Parameters": {"FunctionName": "f"}})
    answer = client.test_state(
        definition=definition, mock={"errorOutput": {"error": "Broken"}}, inspectionLevel="DEBUG"
    )
    assert (answer["status"], answer["error"]) == ("RETRIABLE", "Broken")
    details = answer["inspectionData"]["errorDetails"]
    assert details == {"retryIndex": 0, "retryBackoffIntervalSeconds": 3}
    with pytest.raises(client.exceptions.ValidationException, match="only one of the following fields"):
        client.test_state(definition=definition, mock={})
    with pytest.raises(client.exceptions.ClientError, match="failed to satisfy constraint"):
        client.test_state(definition=definition, inspectionLevel="ALL")
