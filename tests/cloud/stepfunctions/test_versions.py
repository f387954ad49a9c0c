"""Versions of state machines: published, listed, started, deleted."""

from __future__ import annotations

import json

import pytest

from harness.clock import run
from harness.cloud.stepfunctions import versions

from .api import DONE, Api
from .fakes import MACHINE, ROLE, START

OTHER = json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Pass", "Result": "other", "End": True}}})
MISSING = "arn:aws:states:us-east-1:123456789012:stateMachine:missing"


async def publish(api: Api, **more: str) -> str:
    answer = await api.publish_state_machine_version(stateMachineArn=MACHINE, **more)
    return answer["stateMachineVersionArn"]


async def revise(api: Api, n: int) -> str:
    """Give the state machine another revision; its id."""
    return (await api.update_state_machine(stateMachineArn=MACHINE, roleArn=f"{ROLE}{n}"))["revisionId"]


def test_publish_describe_and_list() -> None:
    async def main() -> None:
        api = Api()
        await api.machine()
        await api.cloud.clock.sleep(5)
        answer = await api.publish_state_machine_version(stateMachineArn=MACHINE, description="first")
        assert answer["stateMachineVersionArn"] == f"{MACHINE}:1"
        assert answer["creationDate"].timestamp() == START + 5
        revision = (await api.update_state_machine(stateMachineArn=MACHINE, definition=OTHER))["revisionId"]
        assert await publish(api) == f"{MACHINE}:2"

        first = await api.describe_state_machine(stateMachineArn=f"{MACHINE}:1")
        assert first["stateMachineArn"] == f"{MACHINE}:1"
        assert (first["name"], first["status"], first["definition"]) == ("machine", "ACTIVE", DONE)
        assert (first["description"], first["creationDate"]) == ("first", answer["creationDate"])
        assert "revisionId" not in first
        second = await api.describe_state_machine(stateMachineArn=f"{MACHINE}:2")
        assert (second["definition"], second["revisionId"]) == (OTHER, revision)
        assert "description" not in second

        listed = (await api.list_state_machine_versions(stateMachineArn=MACHINE))["stateMachineVersions"]
        assert [item["stateMachineVersionArn"] for item in listed] == [f"{MACHINE}:2", f"{MACHINE}:1"]
        assert listed[1]["creationDate"] == answer["creationDate"]

    run(main())


def test_a_revision_is_published_once() -> None:
    async def main() -> None:
        api = Api()
        await api.machine()
        assert await publish(api) == f"{MACHINE}:1"
        assert await publish(api, description="again") == f"{MACHINE}:1"
        revision = await revise(api, 2)
        assert await publish(api, revisionId=revision) == f"{MACHINE}:2"
        await api.delete_state_machine_version(stateMachineVersionArn=f"{MACHINE}:2")
        assert await publish(api) == f"{MACHINE}:3"  # no number is given out twice

    run(main())


def test_the_revision_that_the_caller_means() -> None:
    async def main() -> None:
        api = Api()
        await api.machine()
        assert await api.refusal(
            "publish_state_machine_version", stateMachineArn=MACHINE, revisionId="x"
        ) == (
            "ConflictException",
            "Failed to publish the State Machine version for revision x. "
            "The current State Machine revision is INITIAL.",
        )
        assert await publish(api, revisionId="INITIAL") == f"{MACHINE}:1"
        revision = await revise(api, 2)
        assert await api.refusal(
            "publish_state_machine_version", stateMachineArn=MACHINE, revisionId="INITIAL"
        ) == (
            "ConflictException",
            "Failed to publish the State Machine version for revision INITIAL. "
            f"The current State Machine revision is {revision}.",
        )

    run(main())


def test_publish_with_create_and_update() -> None:
    async def main() -> None:
        api = Api()
        params = {"name": "machine", "definition": DONE, "roleArn": ROLE}
        create = {**params, "publish": True, "versionDescription": "first"}
        created = await api.create_state_machine(**create)
        assert created["stateMachineVersionArn"] == f"{MACHINE}:1"
        described = await api.describe_state_machine(stateMachineArn=f"{MACHINE}:1")
        assert described["description"] == "first"
        assert await api.create_state_machine(**create) == created
        exists = ("StateMachineAlreadyExists", f"State Machine Already Exists: '{MACHINE}'")
        assert await api.refusal("create_state_machine", **params) == exists
        assert await api.refusal("create_state_machine", **create | {"versionDescription": "x"}) == exists

        updated = await api.update_state_machine(stateMachineArn=MACHINE, definition=OTHER, publish=True)
        assert updated["stateMachineVersionArn"] == f"{MACHINE}:2"
        unchanged = await api.update_state_machine(stateMachineArn=MACHINE, definition=OTHER, publish=True)
        assert unchanged["stateMachineVersionArn"] == f"{MACHINE}:2"
        assert unchanged["revisionId"] == updated["revisionId"]
        unpublished = await api.update_state_machine(stateMachineArn=MACHINE, definition=DONE)
        assert "stateMachineVersionArn" not in unpublished
        description = ("ValidationException", "Version description can only be set when publish is true")
        for operation, more in (
            ("create_state_machine", params | {"name": "another"}),
            ("update_state_machine", {"stateMachineArn": MACHINE, "definition": OTHER}),
        ):
            assert await api.refusal(operation, **more, versionDescription="v") == description
        assert (await api.describe_state_machine(stateMachineArn=MACHINE))["definition"] == DONE

    run(main())


def test_executions_of_a_version() -> None:
    async def main() -> None:
        api = Api()
        await api.machine(OTHER)
        await publish(api)
        await api.update_state_machine(stateMachineArn=MACHINE, definition=DONE)
        of_version = await api.start(f"{MACHINE}:1", name="version")
        of_machine = await api.start(MACHINE, name="machine")
        assert of_version == "arn:aws:states:us-east-1:123456789012:execution:machine:version"
        described = await api.finished(of_version)
        assert described["output"] == '"other"'
        assert described["stateMachineArn"] == MACHINE
        assert described["stateMachineVersionArn"] == f"{MACHINE}:1"
        assert "stateMachineAliasArn" not in described
        assert "stateMachineVersionArn" not in await api.finished(of_machine)
        machine = await api.describe_state_machine_for_execution(executionArn=of_version)
        assert (machine["stateMachineArn"], machine["definition"]) == (MACHINE, OTHER)

        everything = (await api.list_executions(stateMachineArn=MACHINE))["executions"]
        assert [item["executionArn"] for item in everything] == [of_machine, of_version]
        of_one = (await api.list_executions(stateMachineArn=f"{MACHINE}:1"))["executions"]
        assert [item["executionArn"] for item in of_one] == [of_version]
        assert of_one[0]["stateMachineVersionArn"] == f"{MACHINE}:1"

    run(main())


def test_delete() -> None:
    async def main() -> None:
        api = Api()
        await api.machine()
        await publish(api)
        for arn in (f"{MACHINE}:1", f"{MACHINE}:1", f"{MISSING}:1"):
            assert await api.delete_state_machine_version(stateMachineVersionArn=arn) == {}
        assert await api.list_state_machine_versions(stateMachineArn=MACHINE) == {"stateMachineVersions": []}
        gone = ("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{MACHINE}:1'")
        for operation in ("start_execution", "describe_state_machine", "list_executions"):
            assert await api.refusal(operation, stateMachineArn=f"{MACHINE}:1") == gone
        refused = await api.refusal("delete_state_machine_version", stateMachineVersionArn=MACHINE)
        assert refused == ("InvalidArn", f"Invalid Arn: '{MACHINE}'")

    run(main())


def test_pages() -> None:
    async def main() -> None:
        api = Api()
        await api.machine()
        for n in range(1, 6):
            await publish(api)
            await revise(api, n)
        first = await api.list_state_machine_versions(stateMachineArn=MACHINE, maxResults=2)
        for n in (5, 3):  # one that was listed, and the one that would come next
            await api.delete_state_machine_version(stateMachineVersionArn=f"{MACHINE}:{n}")
        second = await api.list_state_machine_versions(
            stateMachineArn=MACHINE, maxResults=2, nextToken=first["nextToken"]
        )
        numbers = [
            [item["stateMachineVersionArn"].rpartition(":")[2] for item in page["stateMachineVersions"]]
            for page in (first, second)
        ]
        assert numbers == [["5", "4"], ["2", "1"]]
        assert "nextToken" not in second

    run(main())


@pytest.mark.parametrize("operation", ["publish_state_machine_version", "list_state_machine_versions"])
def test_machines_that_do_not_exist(operation: str) -> None:
    async def main() -> None:
        api = Api()
        for arn in (MISSING, f"{MISSING}:1"):
            refused = await api.refusal(operation, stateMachineArn=arn)
            assert refused == ("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{arn}'")
        assert (await api.refusal(operation, stateMachineArn="x"))[0] == "InvalidArn"

    run(main())


def test_there_is_a_limit() -> None:
    async def main() -> None:
        api = Api()
        await api.machine()
        machine = api.service.machines.get(MACHINE)
        for n in range(versions.LIMIT):
            await revise(api, n)
            machine.versions.publish(machine.revision, START)
        await revise(api, versions.LIMIT)
        refused = await api.refusal("publish_state_machine_version", stateMachineArn=MACHINE)
        assert refused[0] == "ServiceQuotaExceededException"

    run(main())
