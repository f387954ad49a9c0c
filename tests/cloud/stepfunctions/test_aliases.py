"""Aliases: they lead to one or two versions, and share executions out between them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.clock import run
from harness.cloud.stepfunctions import aliases

from .api import Api
from .fakes import MACHINE, ROLE, START

PROD = f"{MACHINE}:PROD"
MISSING = f"{MACHINE}:missing"


def answering(value: str) -> str:
    state = {"Type": "Pass", "Result": value, "End": True}
    return json.dumps({"StartAt": "Done", "States": {"Done": state}})


def routes(*weights: int) -> list[dict[str, Any]]:
    """Weights of version 1, version 2 and so on."""
    return [{"stateMachineVersionArn": f"{MACHINE}:{n}", "weight": w} for n, w in enumerate(weights, 1)]


async def published(**more: Any) -> Api:
    """A state machine with two versions, which answer "one" and "two"."""
    api = Api()
    await api.machine(answering("one"), publish=True, **more)
    await api.update_state_machine(stateMachineArn=MACHINE, definition=answering("two"), publish=True)
    return api


async def create(api: Api, *weights: int, **more: str) -> dict[str, Any]:
    params = {"name": "PROD", "routingConfiguration": routes(*weights), **more}
    return await api.create_state_machine_alias(**params)


def test_create_describe_update_and_delete() -> None:
    async def main() -> None:
        api = await published()
        created = await create(api, 100)
        assert created["stateMachineAliasArn"] == PROD
        assert created["creationDate"].timestamp() == START
        assert await api.describe_state_machine_alias(stateMachineAliasArn=PROD) == {
            "stateMachineAliasArn": PROD,
            "name": "PROD",
            "routingConfiguration": routes(100),
            "creationDate": created["creationDate"],
            "updateDate": created["creationDate"],
        }
        await api.cloud.clock.sleep(5)
        updated = await api.update_state_machine_alias(
            stateMachineAliasArn=PROD, routingConfiguration=routes(20, 80)
        )
        await api.update_state_machine_alias(stateMachineAliasArn=PROD, description="live")
        assert updated["updateDate"].timestamp() == START + 5
        assert await api.describe_state_machine_alias(stateMachineAliasArn=PROD) == {
            "stateMachineAliasArn": PROD,
            "name": "PROD",
            "description": "live",
            "routingConfiguration": routes(20, 80),
            "creationDate": created["creationDate"],
            "updateDate": updated["updateDate"],
        }
        assert await api.delete_state_machine_alias(stateMachineAliasArn=PROD) == {}
        missing = ("ResourceNotFound", f"Resource not found: '{PROD}'")
        for operation in (
            "describe_state_machine_alias",
            "update_state_machine_alias",
            "delete_state_machine_alias",
        ):
            assert await api.refusal(operation, stateMachineAliasArn=PROD) == missing
            refused = await api.refusal(operation, stateMachineAliasArn=MACHINE)
            assert refused == ("InvalidArn", f"Invalid Arn: '{MACHINE}'")

    run(main())


def test_create_again() -> None:
    async def main() -> None:
        api = await published()
        created = await create(api, 50, 50, description="d")
        assert await create(api, 50, 50, description="d") == created
        for different in (
            {"routingConfiguration": routes(40, 60), "description": "d"},
            {"routingConfiguration": routes(50, 50), "description": "e"},
        ):
            refused = await api.refusal("create_state_machine_alias", name="PROD", **different)
            assert refused == (
                "ConflictException",
                "Failed to create alias because an alias with the same name and a different routing "
                "configuration already exists.",
            )

    run(main())


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        (
            [{"stateMachineVersionArn": f"{MACHINE}:1", "weight": 50}] * 2,
            "ValidationException",
            "Routing configuration must contain distinct state machine version ARNs. "
            f"Received: [{MACHINE}:1, {MACHINE}:1]",
        ),
        (
            routes(50, 60),
            "ValidationException",
            "Sum of routing configuration weights must equal 100. Received: [50, 60]",
        ),
        (
            [{"stateMachineVersionArn": MACHINE, "weight": 100}],
            "ValidationException",
            f"Routing configuration must contain state machine version ARNs. Received: [{MACHINE}]",
        ),
        (
            [
                {"stateMachineVersionArn": f"{MACHINE}:1", "weight": 50},
                {"stateMachineVersionArn": f"{MACHINE}2:1", "weight": 50},
            ],
            "ValidationException",
            "Routing configuration must contain versions of one state machine. "
            f"Received: [{MACHINE}:1, {MACHINE}2:1]",
        ),
        (
            [{"stateMachineVersionArn": f"{MACHINE}:9", "weight": 100}],
            "ResourceNotFound",
            f"Resource not found: '{MACHINE}:9'",
        ),
        (
            [{"stateMachineVersionArn": "x", "weight": 100}],
            "InvalidArn",
            "Invalid Arn: 'Invalid ARN prefix: x'",
        ),
    ],
)
def test_routes_that_are_refused(given: list[dict[str, Any]], code: str, message: str) -> None:
    async def main() -> None:
        api = await published()
        refused = await api.refusal("create_state_machine_alias", name="OTHER", routingConfiguration=given)
        assert refused == (code, message)
        await create(api, 100)
        params = {"stateMachineAliasArn": PROD, "routingConfiguration": given}
        assert await api.refusal("update_state_machine_alias", **params) == (code, message)
        described = await api.describe_state_machine_alias(stateMachineAliasArn=PROD)
        assert described["routingConfiguration"] == routes(100)

    run(main())


def test_update_refuses() -> None:
    async def main() -> None:
        api = await published()
        await create(api, 100)
        code, _ = await api.refusal("update_state_machine_alias", stateMachineAliasArn=PROD)
        assert code == "ValidationException"
        await api.machine(name="machine2", publish=True)
        elsewhere = [{"stateMachineVersionArn": f"{MACHINE}2:1", "weight": 100}]
        code, message = await api.refusal(
            "update_state_machine_alias", stateMachineAliasArn=PROD, routingConfiguration=elsewhere
        )
        assert (code, MACHINE in message) == ("ValidationException", True)

    run(main())


def test_list() -> None:
    async def main() -> None:
        api = await published()
        for name, weights in (("a", (100,)), ("b", (0, 100)), ("c", (50, 50))):
            await api.create_state_machine_alias(name=name, routingConfiguration=routes(*weights))

        async def names(arn: str, **more: Any) -> tuple[list[str], str | None]:
            answer = await api.list_state_machine_aliases(stateMachineArn=arn, **more)
            found = [item["stateMachineAliasArn"] for item in answer["stateMachineAliases"]]
            return [arn.rpartition(":")[2] for arn in found], answer.get("nextToken")

        assert await names(MACHINE) == (["c", "b", "a"], None)
        assert await names(f"{MACHINE}:2") == (["c", "b"], None)
        first, token = await names(MACHINE, maxResults=1)
        assert first == ["c"]
        await api.delete_state_machine_alias(stateMachineAliasArn=f"{MACHINE}:b")
        assert await names(MACHINE, maxResults=1, nextToken=token) == (["a"], None)
        for arn, code in (
            (MISSING, "StateMachineDoesNotExist"),
            ("x", "InvalidArn"),
            (f"{MACHINE}:a", "InvalidArn"),
        ):
            assert (await api.refusal("list_state_machine_aliases", stateMachineArn=arn))[0] == code

    run(main())


def test_executions_of_an_alias() -> None:
    async def main() -> None:
        api = await published()
        await create(api, 100)
        first = await api.start(PROD)
        await api.update_state_machine_alias(stateMachineAliasArn=PROD, routingConfiguration=routes(0, 100))
        second = await api.start(PROD)
        for arn, output, version in ((first, '"one"', f"{MACHINE}:1"), (second, '"two"', f"{MACHINE}:2")):
            described = await api.finished(arn)
            assert (described["output"], described["stateMachineArn"]) == (output, MACHINE)
            assert described["stateMachineAliasArn"] == PROD
            assert described["stateMachineVersionArn"] == version
        listed = (await api.list_executions(stateMachineArn=PROD))["executions"]
        assert [item["executionArn"] for item in listed] == [second, first]
        assert {item["stateMachineAliasArn"] for item in listed} == {PROD}
        listed = (await api.list_executions(stateMachineArn=f"{MACHINE}:1"))["executions"]
        assert [item["executionArn"] for item in listed] == [first]
        gone = ("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{MISSING}'")
        for operation in ("start_execution", "list_executions", "describe_state_machine"):
            assert await api.refusal(operation, stateMachineArn=MISSING) == gone

    run(main())


def test_executions_are_shared_out_by_weight() -> None:
    async def main() -> None:
        api = await published()
        await create(api, 20, 80)
        arns = [await api.start(PROD) for _ in range(400)]
        outputs = [(await api.finished(arn))["output"] for arn in arns]
        assert 50 < outputs.count('"one"') < 110  # 80 are expected, give or take four standard deviations

    run(main())


def test_synchronous_executions() -> None:
    async def main() -> None:
        api = await published(type="EXPRESS")
        await create(api, 0, 100)
        answer = await api.start_sync_execution(stateMachineArn=PROD)
        assert (answer["output"], answer["stateMachineArn"]) == ('"two"', MACHINE)
        assert not answer.keys() & {"stateMachineAliasArn", "stateMachineVersionArn"}
        assert (await api.start_sync_execution(stateMachineArn=f"{MACHINE}:1"))["output"] == '"one"'

    run(main())


def test_an_alias_shows_its_main_version() -> None:
    async def main() -> None:
        api = await published()
        await create(api, 20, 80)
        described = await api.describe_state_machine(stateMachineArn=PROD)
        assert (described["stateMachineArn"], described["definition"]) == (PROD, answering("two"))

    run(main())


def test_a_version_stays_while_an_alias_leads_to_it() -> None:
    async def main() -> None:
        api = await published()
        await create(api, 0, 100)
        for name in ("PROD", "TEST"):
            await api.create_state_machine_alias(name=name, routingConfiguration=routes(0, 100))
        refused = await api.refusal("delete_state_machine_version", stateMachineVersionArn=f"{MACHINE}:1")
        assert refused == (
            "ConflictException",
            "Version to be deleted must not be referenced by an alias. "
            "Current list of aliases referencing this version: [PROD, TEST]",
        )
        for name in ("PROD", "TEST"):
            await api.delete_state_machine_alias(stateMachineAliasArn=f"{MACHINE}:{name}")
        await api.delete_state_machine_version(stateMachineVersionArn=f"{MACHINE}:1")

    run(main())


def test_they_go_with_their_state_machine() -> None:
    async def main() -> None:
        api = await published()
        await create(api, 100)
        await api.delete_state_machine(stateMachineArn=MACHINE)
        assert (await api.refusal("describe_state_machine_alias", stateMachineAliasArn=PROD))[0] == (
            "ResourceNotFound"
        )
        await api.create_state_machine(name="machine", definition=answering("three"), roleArn=ROLE)
        assert await api.list_state_machine_versions(stateMachineArn=MACHINE) == {"stateMachineVersions": []}
        assert await api.list_state_machine_aliases(stateMachineArn=MACHINE) == {"stateMachineAliases": []}

    run(main())


def test_there_is_a_limit() -> None:
    async def main() -> None:
        api = await published()
        for n in range(aliases.LIMIT):
            await api.create_state_machine_alias(name=f"a{n}", routingConfiguration=routes(100))
        refused = await api.refusal(
            "create_state_machine_alias", name="more", routingConfiguration=routes(100)
        )
        assert refused[0] == "ServiceQuotaExceededException"

    run(main())
