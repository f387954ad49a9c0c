"""State machines through the API: create, update, describe, list, delete, validate, tag."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.clock import run

from .api import DONE, Api
from .fakes import MACHINE, ROLE, START

OTHER = json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": True}}})
WAIT = json.dumps({"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}})
UNKNOWN = "arn:aws:states:us-east-1:123456789012:stateMachine:unknown"


def test_create_and_describe() -> None:
    async def main() -> None:
        api = Api()
        created = await api.create_state_machine(name="machine", definition=DONE, roleArn=ROLE)
        assert created["stateMachineArn"] == MACHINE
        assert created["creationDate"].timestamp() == START
        assert await api.describe_state_machine(stateMachineArn=MACHINE) == {
            "stateMachineArn": MACHINE,
            "name": "machine",
            "status": "ACTIVE",
            "definition": DONE,
            "roleArn": ROLE,
            "type": "STANDARD",
            "creationDate": created["creationDate"],
            "loggingConfiguration": {"level": "OFF", "includeExecutionData": False},
            "tracingConfiguration": {"enabled": False},
            "encryptionConfiguration": {"type": "AWS_OWNED_KEY"},
        }
        brief = await api.describe_state_machine(stateMachineArn=MACHINE, includedData="METADATA_ONLY")
        assert brief["definition"] == "{}"

    run(main())


def test_create_again() -> None:
    async def main() -> None:
        api = Api()
        first = await api.create_state_machine(name="machine", definition=DONE, roleArn=ROLE)
        again = await api.create_state_machine(
            name="machine", definition=DONE, roleArn=ROLE + "2", tags=[{"key": "a", "value": "b"}]
        )
        assert again == first
        assert (await api.describe_state_machine(stateMachineArn=MACHINE))["roleArn"] == ROLE
        exists = ("StateMachineAlreadyExists", f"State Machine Already Exists: '{MACHINE}'")
        for different in (
            {"definition": OTHER},
            {"type": "EXPRESS"},
            {"tracingConfiguration": {"enabled": True}},
        ):
            params = {"name": "machine", "definition": DONE, "roleArn": ROLE, **different}
            assert await api.refusal("create_state_machine", **params) == exists

    run(main())


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({"name": "a b"}, "InvalidName", "Invalid Name: 'a b'"),
        ({"roleArn": "role"}, "InvalidArn", "Invalid Role Arn: 'role'"),
        ({"versionDescription": "v"}, "ValidationException", "Version description can only be set"),
        (
            {"loggingConfiguration": {"level": "ALL"}},
            "InvalidLoggingConfiguration",
            "Invalid Logging Configuration: Must specify exactly one Log Destination.",
        ),
        (
            {
                "loggingConfiguration": {
                    "level": "ALL",
                    "destinations": [
                        {"cloudWatchLogsLogGroup": {"logGroupArn": "arn:aws:logs:us-east-1:1:log-group:g"}}
                    ],
                }
            },
            "InvalidLoggingConfiguration",
            "Invalid Logging Configuration: Log Group ARN must be provided with '*' qualifier.",
        ),
        (
            {"encryptionConfiguration": {"type": "CUSTOMER_MANAGED_KMS_KEY"}},
            "InvalidEncryptionConfiguration",
            "Invalid Encryption Configuration",
        ),
        (
            {"tags": [{"key": str(n), "value": ""} for n in range(51)]},
            "TooManyTags",
            "A resource can have at most 50 tags.",
        ),
    ],
)
def test_create_refuses(params: dict[str, Any], code: str, message: str) -> None:
    async def main() -> None:
        api = Api()
        everything = {"name": "machine", "definition": DONE, "roleArn": ROLE, **params}
        refused = await api.refusal("create_state_machine", **everything)
        assert refused[0] == code
        assert refused[1].startswith(message)
        assert (await api.list_state_machines())["stateMachines"] == []

    run(main())


def task(arn: str, **more: Any) -> str:
    state = {"Type": "Task", "Resource": arn, "End": True, **more}
    return json.dumps({"StartAt": "Work", "States": {"Work": state}})


NESTED = json.dumps(
    {
        "StartAt": "Both",
        "States": {
            "Both": {
                "Type": "Parallel",
                "End": True,
                "Branches": [
                    {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}},
                    {
                        "StartAt": "B",
                        "States": {
                            "B": {"Type": "Task", "Resource": "arn:aws:states:::sqs:eat", "End": True},
                        },
                    },
                ],
            }
        },
    }
)


@pytest.mark.parametrize(
    ("definition", "kind", "says"),
    [
        ("{", "STANDARD", "INVALID_JSON_DESCRIPTION: "),
        ("{}", "STANDARD", "SCHEMA_VALIDATION_FAILED: "),
        (
            json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}}}),
            "STANDARD",
            "MISSING_TRANSITION_TARGET: ",
        ),
        (
            task("arn:aws:states:::sqs:eat"),
            "STANDARD",
            "SCHEMA_VALIDATION_FAILED: The resource provided arn:aws:states:::sqs:eat is not recognized. "
            "The value is not a valid resource ARN, or the resource is not available in this region. "
            "at /States/Work/Resource",
        ),
        (
            NESTED,
            "STANDARD",
            "SCHEMA_VALIDATION_FAILED: The resource provided arn:aws:states:::sqs:eat is not recognized. "
            "The value is not a valid resource ARN, or the resource is not available in this region. "
            "at /States/Both/Branches[1]/States/B/Resource",
        ),
        (
            task("arn:aws:states:::sqs:sendMessage", Parameters={"QueueUrl": "q", "Body": "x"}),
            "STANDARD",
            'SCHEMA_VALIDATION_FAILED: The field "Body" is not supported by Step Functions '
            "at /States/Work/Parameters, "
            "SCHEMA_VALIDATION_FAILED: The field 'MessageBody' is required but was missing "
            "at /States/Work/Parameters",
        ),
        (
            task("arn:aws:states:::states:startExecution.sync", Parameters={"StateMachineArn": "x"}),
            "EXPRESS",
            "SCHEMA_VALIDATION_FAILED: Express state machine does not support '.sync' service integration "
            "at /States/Work/Resource",
        ),
    ],
)
def test_definitions_that_are_refused(definition: str, kind: str, says: str) -> None:
    async def main() -> None:
        api = Api()
        code, message = await api.refusal(
            "create_state_machine", name="machine", definition=definition, roleArn=ROLE, type=kind
        )
        assert code == "InvalidDefinition"
        assert message.startswith(f"Invalid State Machine Definition: '{says}")
        answer = await api.validate_state_machine_definition(definition=definition, type=kind)
        assert answer["result"] == "FAIL"
        first = answer["diagnostics"][0]
        assert first["severity"] == "ERROR"
        assert (
            f"{first['code']}: {first['message']}"[: len(says)]
            == says[: len(first["code"] + first["message"]) + 2]
        )

    run(main())


def test_validate() -> None:
    async def main() -> None:
        api = Api()
        answer = await api.validate_state_machine_definition(definition=DONE)
        assert answer == {"result": "OK", "diagnostics": [], "truncated": False}
        two = task("arn:aws:states:::sqs:sendMessage", Parameters={})
        answer = await api.validate_state_machine_definition(definition=two, maxResults=1)
        assert (answer["result"], len(answer["diagnostics"]), answer["truncated"]) == ("FAIL", 1, True)
        assert answer["diagnostics"][0]["location"] == "/States/Work/Parameters"
        assert (await api.list_state_machines())["stateMachines"] == []

    run(main())


def test_update() -> None:
    async def main() -> None:
        api = Api()
        await api.machine()
        await api.cloud.clock.sleep(5)
        updated = await api.update_state_machine(stateMachineArn=MACHINE, definition=OTHER)
        assert updated["updateDate"].timestamp() == START + 5
        described = await api.describe_state_machine(stateMachineArn=MACHINE)
        assert described["definition"] == OTHER
        assert described["roleArn"] == ROLE
        assert described["revisionId"] == updated["revisionId"]
        second = await api.update_state_machine(stateMachineArn=MACHINE, roleArn=ROLE + "2")
        assert second["revisionId"] != updated["revisionId"]
        described = await api.describe_state_machine(stateMachineArn=MACHINE)
        assert (described["definition"], described["roleArn"]) == (OTHER, ROLE + "2")
        unchanged = await api.update_state_machine(stateMachineArn=MACHINE, roleArn=ROLE + "2")
        assert unchanged["revisionId"] == second["revisionId"]
        # From now on the machine is a different one.
        params = {"name": "machine", "definition": DONE, "roleArn": ROLE}
        assert (await api.refusal("create_state_machine", **params))[0] == "StateMachineAlreadyExists"

    run(main())


def test_update_refuses() -> None:
    async def main() -> None:
        api = Api()
        await api.machine()
        missing = ("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{UNKNOWN}'")
        assert await api.refusal("update_state_machine", stateMachineArn=UNKNOWN, roleArn=ROLE) == missing
        code, _ = await api.refusal("update_state_machine", stateMachineArn=MACHINE)
        assert code == "MissingRequiredParameter"
        code, _ = await api.refusal("update_state_machine", stateMachineArn=MACHINE, definition="{")
        assert code == "InvalidDefinition"
        code, _ = await api.refusal("update_state_machine", stateMachineArn="x", roleArn=ROLE)
        assert code == "InvalidArn"
        assert (await api.describe_state_machine(stateMachineArn=MACHINE))["definition"] == DONE

    run(main())


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("describe_state_machine", {"stateMachineArn": UNKNOWN}),
        ("describe_state_machine", {"stateMachineArn": MACHINE + ":1"}),
        ("start_execution", {"stateMachineArn": UNKNOWN}),
        ("start_sync_execution", {"stateMachineArn": UNKNOWN}),
        ("list_executions", {"stateMachineArn": UNKNOWN}),
    ],
)
def test_machines_that_do_not_exist(operation: str, params: dict[str, Any]) -> None:
    async def main() -> None:
        api = Api()
        await api.machine()
        arn = params["stateMachineArn"]
        expected = ("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{arn}'")
        assert await api.refusal(operation, **params) == expected
        assert await api.refusal(operation, **{**params, "stateMachineArn": "x"}) == (
            "InvalidArn",
            "Invalid Arn: 'Invalid ARN prefix: x'",
        )

    run(main())


def test_list_in_pages() -> None:
    async def main() -> None:
        api = Api()
        for name in "abc":
            await api.machine(name=name)
        first = await api.list_state_machines(maxResults=2)
        assert [item["name"] for item in first["stateMachines"]] == ["a", "b"]
        assert first["stateMachines"][0]["type"] == "STANDARD"
        second = await api.list_state_machines(maxResults=2, nextToken=first["nextToken"])
        assert [item["name"] for item in second["stateMachines"]] == ["c"]
        assert "nextToken" not in second
        refused = await api.refusal("list_state_machines", nextToken="x")
        assert refused == ("InvalidToken", "Invalid Token: 'Invalid token'")

    run(main())


def test_delete() -> None:
    async def main() -> None:
        api = Api()
        await api.machine()
        await api.delete_state_machine(stateMachineArn=MACHINE)
        assert (await api.list_state_machines())["stateMachines"] == []
        await api.delete_state_machine(stateMachineArn=MACHINE)
        for arn in ("x", f"{MACHINE}:1", f"{MACHINE}:alias"):
            assert (await api.refusal("delete_state_machine", stateMachineArn=arn))[0] == "InvalidArn"
        await api.machine(OTHER)

    run(main())


def test_delete_ends_running_executions_first() -> None:
    async def main() -> None:
        api = Api()
        await api.machine(WAIT)
        started = await api.start_execution(stateMachineArn=MACHINE)
        with api.cloud.clock.work("call"):  # time stands still, so that the execution cannot end by itself
            await api.delete_state_machine(stateMachineArn=MACHINE)
            assert (await api.describe_state_machine(stateMachineArn=MACHINE))["status"] == "DELETING"
            deleting = ("StateMachineDeleting", f"State Machine is being deleted: '{MACHINE}'")
            assert await api.refusal("start_execution", stateMachineArn=MACHINE) == deleting
            params = {"name": "machine", "definition": WAIT, "roleArn": ROLE}
            assert await api.refusal("create_state_machine", **params) == deleting
            params = {"stateMachineArn": MACHINE, "roleArn": ROLE}
            assert await api.refusal("update_state_machine", **params) == deleting
        await api.service.wait_for_execution(started["executionArn"])
        assert (await api.list_state_machines())["stateMachines"] == []
        described = await api.describe_execution(executionArn=started["executionArn"])
        assert described["status"] == "ABORTED"

    run(main())


def test_tags() -> None:
    async def main() -> None:
        api = Api()
        await api.machine(tags=[{"key": "a", "value": "1"}])
        await api.tag_resource(
            resourceArn=MACHINE, tags=[{"key": "a", "value": "2"}, {"key": "b", "value": "3"}]
        )
        tags = await api.list_tags_for_resource(resourceArn=MACHINE)
        assert tags == {"tags": [{"key": "a", "value": "2"}, {"key": "b", "value": "3"}]}
        await api.untag_resource(resourceArn=MACHINE, tagKeys=["a", "z"])
        tags = await api.list_tags_for_resource(resourceArn=MACHINE)
        assert tags == {"tags": [{"key": "b", "value": "3"}]}
        refused = await api.refusal("list_tags_for_resource", resourceArn=UNKNOWN)
        assert refused == ("ResourceNotFound", f"Resource not found: '{UNKNOWN}'")
        assert (await api.refusal("tag_resource", resourceArn="x", tags=[]))[0] == "InvalidArn"
        version = f"{MACHINE}:1"
        refused = await api.refusal("tag_resource", resourceArn=version, tags=[])
        assert refused == ("ResourceNotFound", f"Resource not found: '{version}'")
        many = [{"key": str(n), "value": ""} for n in range(50)]
        assert (await api.refusal("tag_resource", resourceArn=MACHINE, tags=many))[0] == "TooManyTags"

    run(main())


def test_settings_without_effect_are_said() -> None:
    async def main() -> None:
        api = Api()
        said = []
        api.cloud.events.subscribe(lambda event: said.append((event.kind, event.data["message"])))
        await api.machine(tracingConfiguration={"enabled": True})
        assert said == [("warning", "X-Ray tracing is enabled, but nothing is traced locally")]

    run(main())


def test_the_variables_that_states_refer_to() -> None:
    inner = {"StartAt": "I", "States": {"I": {"Type": "Pass", "Output": "{% $own %}", "End": True}}}
    config = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
    items = {"Type": "Map", "Items": "{% $list %}", "ItemProcessor": {**inner, **config}, "End": True}
    definition = {"QueryLanguage": "JSONata", "StartAt": "M", "States": {"M": items}}

    async def main() -> None:
        api = Api()
        arn = await api.machine(json.dumps(definition))
        described = await api.describe_state_machine(stateMachineArn=arn)
        assert described["variableReferences"] == {"M": ["list"], "I": ["own"]}
        execution = await api.start(arn)
        await api.finished(execution)
        of_execution = await api.describe_state_machine_for_execution(executionArn=execution)
        assert of_execution["variableReferences"] == described["variableReferences"]
        plain = await api.machine(DONE, name="plain")
        assert "variableReferences" not in await api.describe_state_machine(stateMachineArn=plain)

    run(main())
