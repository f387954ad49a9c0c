"""The service behind the gateway, as boto3 sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from harness.clock import SkippingClock, run
from harness.cloud.cloud import Cloud
from harness.cloud.stepfunctions import StepFunctions

from .api import DONE
from .fakes import ROLE, START


def over_http(use: Callable[[Any], None]) -> None:
    """Start a cloud with the Step Functions service only, and hand a boto3 client of it to `use`."""

    async def main() -> None:
        async with Cloud(clock=SkippingClock(START), services=[StepFunctions]) as cloud:
            client = boto3.client(
                "stepfunctions",
                endpoint_url=cloud.endpoint_url,
                region_name="us-east-1",
                aws_access_key_id="test",
                aws_secret_access_key="test",
                # boto3 would put "sync-" before the host name, which an IP address cannot have.
                config=Config(retries={"max_attempts": 0}, inject_host_prefix=False),
            )
            try:
                await asyncio.to_thread(use, client)
            finally:
                client.close()
            assert cloud.failures == []

    run(main())


def wait(client: Any, arn: str) -> dict[str, Any]:
    while (described := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
        pass
    return described


def test_an_execution() -> None:
    def use(client: Any) -> None:
        day = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 86400, "End": True}}}
        created = client.create_state_machine(name="m", definition=json.dumps(day), roleArn=ROLE)
        arn = client.start_execution(stateMachineArn=created["stateMachineArn"], input='{"ä": 1}')[
            "executionArn"
        ]
        described = wait(client, arn)
        assert described["status"] == "SUCCEEDED"
        assert json.loads(described["output"]) == {"ä": 1}
        assert (described["stopDate"] - described["startDate"]).total_seconds() == 86400
        assert [
            item["executionArn"]
            for item in client.list_executions(stateMachineArn=created["stateMachineArn"])["executions"]
        ] == [arn]
        events = [
            event["type"]
            for answer in client.get_paginator("get_execution_history").paginate(
                executionArn=arn, PaginationConfig={"PageSize": 2}
            )
            for event in answer["events"]
        ]
        assert events == ["ExecutionStarted", "WaitStateEntered", "WaitStateExited", "ExecutionSucceeded"]

    over_http(use)


def test_errors_are_boto3_exceptions() -> None:
    def use(client: Any) -> None:
        with pytest.raises(client.exceptions.InvalidDefinition) as caught:
            client.create_state_machine(name="m", definition="{}", roleArn=ROLE)
        assert caught.value.response["Error"]["Code"] == "InvalidDefinition"
        unknown = "arn:aws:states:us-east-1:123456789012:stateMachine:unknown"
        with pytest.raises(client.exceptions.StateMachineDoesNotExist) as caught:
            client.describe_state_machine(stateMachineArn=unknown)
        assert caught.value.response["Error"]["Message"] == f"State Machine Does Not Exist: '{unknown}'"
        with pytest.raises(client.exceptions.InvalidArn):
            client.describe_execution(executionArn=unknown)

    over_http(use)


def test_what_is_not_there_is_refused_by_name() -> None:
    def use(client: Any) -> None:
        with pytest.raises(ClientError, match="CreateActivity"):
            client.create_activity(name="a")

    over_http(use)


def test_an_express_execution_answers_at_once() -> None:
    def use(client: Any) -> None:
        created = client.create_state_machine(name="m", definition=DONE, roleArn=ROLE, type="EXPRESS")
        answer = client.start_sync_execution(stateMachineArn=created["stateMachineArn"], input="[1]")
        assert (answer["status"], answer["output"]) == ("SUCCEEDED", "[1]")

    over_http(use)


def test_everything_about_machines() -> None:
    def use(client: Any) -> None:
        arn = client.create_state_machine(
            name="m", definition=DONE, roleArn=ROLE, tags=[{"key": "a", "value": "b"}]
        )["stateMachineArn"]
        assert client.list_state_machines()["stateMachines"][0]["stateMachineArn"] == arn
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
        with pytest.raises(client.exceptions.InvalidToken):
            client.send_task_success(taskToken="x", output="1")
        client.delete_state_machine(stateMachineArn=arn)
        assert client.list_state_machines()["stateMachines"] == []

    over_http(use)
