"""CloudWatch Logs of executions: which events, in which form, and where to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.asl.values import PAYLOAD_LIMIT
from harness.clock import SkippingClock, run
from harness.cloud.cloud import Cloud
from harness.cloud.errors import ServiceError
from harness.cloud.stepfunctions import StepFunctions

from .api import Api
from .fakes import MACHINE, ROLE, START

GROUP = "/aws/vendedlogs/states/m"
FAIL = json.dumps(
    {"StartAt": "No", "States": {"No": {"Type": "Fail", "Error": "Custom", "Cause": "it had to"}}}
)
PASS = json.dumps(
    {
        "StartAt": "Yes",
        "States": {"Yes": {"Type": "Pass", "Assign": {"x": 1}, "Next": "Done"}, "Done": {"Type": "Succeed"}},
    }
)
DENIED = (
    "AccessDeniedException",
    "The state machine IAM Role is not authorized to access the Log Destination",
)


def logging(level: str = "ALL", *, data: bool = False, groups: tuple[str, ...] = (GROUP,)) -> dict[str, Any]:
    """A loggingConfiguration."""
    prefix = "arn:aws:logs:us-east-1:123456789012:log-group:"
    destinations = [{"cloudWatchLogsLogGroup": {"logGroupArn": f"{prefix}{group}:*"}} for group in groups]
    return {"level": level, "includeExecutionData": data, "destinations": destinations}


class LogsApi(Api):
    """Step Functions, and CloudWatch Logs with one log group."""

    def __init__(self) -> None:
        super().__init__()
        self.cloud.handlers["logs.DescribeLogGroups"] = lambda params: {
            "logGroups": [
                {"logGroupName": name}
                for name in (GROUP, f"{GROUP}-2")
                if name.startswith(params["logGroupNamePrefix"])
            ][: params["limit"]]
        }

    def lines(self) -> list[dict[str, Any]]:
        """What has been logged."""
        return [json.loads(line) for _, _, logged in self.cloud.logged for line in logged]


@pytest.mark.parametrize(
    ("level", "types"),
    [
        ("ALL", ["ExecutionStarted", "FailStateEntered", "ExecutionFailed"]),
        ("ERROR", ["FailStateEntered", "ExecutionFailed"]),
        ("FATAL", ["ExecutionFailed"]),
        ("OFF", []),
    ],
)
@pytest.mark.parametrize("kind", ["STANDARD", "EXPRESS"])
def test_levels(level: str, types: list[str], kind: str) -> None:
    async def main() -> None:
        api = LogsApi()
        machine = await api.machine(FAIL, loggingConfiguration=logging(level), type=kind)
        arn = await api.start(machine, name="run")
        await api.cloud.clock.sleep(1)
        assert [line["type"] for line in api.lines()] == types
        if types:
            stream = f"states/machine/2023-11-14-22-13/{arn.rpartition(':')[2]}"
            assert {(group, stream) for group, stream, _ in api.cloud.logged} == {(GROUP, stream)}
            assert api.lines()[-1] == {
                "id": "3",
                "type": "ExecutionFailed",
                "details": {"error": "Custom", "cause": "it had to"},
                "redrive_count": "0",
                "previous_event_id": "2",
                "event_timestamp": str(int(START * 1000)),
                "execution_arn": arn,
            }

    run(main())


def test_execution_data() -> None:
    async def main() -> None:
        api = LogsApi()
        started = await api.start(await api.machine(PASS, loggingConfiguration=logging(data=True)))
        await api.finished(started)
        details = {line["type"]: line["details"] for line in api.lines()}
        whole = {"truncated": False}
        assert details["ExecutionStarted"] == {"input": "{}", "inputDetails": whole, "roleArn": ROLE}
        assert details["PassStateExited"] == {
            "name": "Yes",
            "output": "{}",
            "outputDetails": whole,
            "assignedVariables": {"x": "1"},
            "assignedVariablesDetails": whole,
        }

        api.cloud.logged.clear()
        await api.update_state_machine(stateMachineArn=MACHINE, loggingConfiguration=logging())
        await api.finished(await api.start(MACHINE))
        details = {line["type"]: line["details"] for line in api.lines()}
        assert details["ExecutionStarted"] == {"roleArn": ROLE}
        assert details["PassStateExited"] == {"name": "Yes"}
        assert details["ExecutionSucceeded"] == {}

    run(main())


def test_data_that_is_too_long_for_a_log_event() -> None:
    async def main() -> None:
        api = LogsApi()
        text = json.dumps("x" * (PAYLOAD_LIMIT - 2))
        machine = await api.machine(PASS, loggingConfiguration=logging(data=True))
        await api.finished(await api.start(machine, input=text))
        lines = [line for _, _, logged in api.cloud.logged for line in logged]
        assert all(len(line.encode()) + 26 <= 256 * 1024 for line in lines)
        assert json.loads(lines[0])["details"] == {"inputDetails": {"truncated": True}, "roleArn": ROLE}

    run(main())


def test_redrives_are_counted() -> None:
    async def main() -> None:
        api = LogsApi()
        arn = await api.start(await api.machine(FAIL, loggingConfiguration=logging("FATAL")))
        await api.finished(arn)
        await api.redrive_execution(executionArn=arn)
        await api.finished(arn)
        assert [line["redrive_count"] for line in api.lines()] == ["0", "1"]

    run(main())


@pytest.mark.parametrize("group", ["/aws/vendedlogs/states", "missing"])
def test_log_groups_that_do_not_exist(group: str) -> None:
    async def main() -> None:
        api = LogsApi()
        said: list[str] = []
        api.cloud.events.subscribe(lambda event: said.append(event.data.get("message", "")))
        missing = logging(groups=(group,))
        params = {"name": "machine", "definition": PASS, "roleArn": ROLE, "loggingConfiguration": missing}
        assert await api.refusal("create_state_machine", **params) == DENIED
        assert said == [f"the log group {group} does not exist"]
        assert (await api.list_state_machines())["stateMachines"] == []
        arn = await api.machine(PASS)
        refused = await api.refusal("update_state_machine", stateMachineArn=arn, loggingConfiguration=missing)
        assert refused == DENIED
        off = missing | {"level": "OFF"}
        await api.update_state_machine(stateMachineArn=arn, loggingConfiguration=off)

    run(main())


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ({"level": "ALL"}, "Must specify exactly one Log Destination."),
        (logging(groups=("a", "b")), "Must specify exactly one Log Destination."),
        ({"level": "ALL", "destinations": [{}]}, "Log Destination must be a CloudWatch Logs log group."),
        (
            {
                "level": "ERROR",
                "destinations": [
                    {"cloudWatchLogsLogGroup": {"logGroupArn": "arn:aws:logs:us-east-1:1:log-group:g"}}
                ],
            },
            "Log Group ARN must be provided with '*' qualifier.",
        ),
    ],
)
def test_configurations_that_are_refused(configuration: dict[str, Any], message: str) -> None:
    async def main() -> None:
        api = LogsApi()
        params = {"name": "m", "definition": PASS, "roleArn": ROLE, "loggingConfiguration": configuration}
        refused = await api.refusal("create_state_machine", **params)
        assert refused == ("InvalidLoggingConfiguration", f"Invalid Logging Configuration: {message}")

    run(main())


@pytest.mark.slow
def test_lines_are_in_cloudwatch_logs() -> None:
    async def main() -> None:
        cloud = Cloud(clock=SkippingClock(START), services=[StepFunctions])
        await cloud.start(port=None)
        async with cloud:

            async def call(service: str, operation: str, **params: Any) -> dict[str, Any]:
                return await cloud.call(service, operation, params)

            params = {"name": "m", "definition": PASS, "roleArn": ROLE, "loggingConfiguration": logging()}
            with pytest.raises(ServiceError) as caught:
                await call("stepfunctions", "CreateStateMachine", **params)
            assert (caught.value.code, caught.value.message) == DENIED
            await call("logs", "CreateLogGroup", logGroupName=GROUP)
            machine = await call("stepfunctions", "CreateStateMachine", **params)
            started = await call(
                "stepfunctions", "StartExecution", stateMachineArn=machine["stateMachineArn"], name="run"
            )
            await cloud.clock.sleep(1)
            events = (
                await call(
                    "logs",
                    "GetLogEvents",
                    logGroupName=GROUP,
                    logStreamName="states/m/2023-11-14-22-13/run",
                    startFromHead=True,
                )
            )["events"]
            lines = [json.loads(event["message"]) for event in events]
            assert lines[0]["execution_arn"] == started["executionArn"]
            assert lines[0]["event_timestamp"] == str(events[0]["timestamp"])
            assert [line["type"] for line in lines] == [
                "ExecutionStarted",
                "PassStateEntered",
                "PassStateExited",
                "SucceedStateEntered",
                "SucceedStateExited",
                "ExecutionSucceeded",
            ]

    run(main())
