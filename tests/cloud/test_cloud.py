from __future__ import annotations

import asyncio
import json
import random
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from harness import clock
from harness.cloud import USER, Caller, Cloud, Request, Service, ServiceError
from harness.cloud.events import Event
from harness.errors import EnvironmentFault

from .support import Machines, blocking, client, in_cloud, send


class Throttled:
    """Faults that throttle the nth call of an operation."""

    def __init__(self, service: str, operation: str, nth: int) -> None:
        self.target = (service, operation)
        self.nth = nth
        self.seen: list[tuple[str, str, dict[str, Any]]] = []

    def call(self, service: str, operation: str, params: Any) -> ServiceError | None:
        self.seen.append((service, operation, dict(params)))
        count = sum(1 for name, what, _ in self.seen if (name, what) == self.target)
        if (service, operation) == self.target and count == self.nth:
            return ServiceError("ThrottlingException", "Rate exceeded")
        return None

    def job(self, kind: str, name: str, request: Any) -> None:
        return None


def test_a_call_over_http_and_one_from_inside_reach_the_same_service() -> None:
    async def body(cloud: Cloud) -> None:
        over_http = await blocking(
            client(cloud, "stepfunctions").describe_state_machine, stateMachineArn="arn:x:m"
        )
        inside = await cloud.call("stepfunctions", "DescribeStateMachine", {"stateMachineArn": "arn:x:m"})
        assert len(over_http.pop("ResponseMetadata")["RequestId"]) == 36
        assert over_http == inside
        assert inside["creationDate"].timestamp() == pytest.approx(1_700_000_000.123, abs=0.001)
        assert "description" not in inside

    in_cloud(body, Machines)


def test_health_says_what_runs_here() -> None:
    async def body(cloud: Cloud) -> None:
        status, headers, text = await blocking(send, cloud, "GET", "/_harness/health")
        assert status == 200
        assert headers["content-type"] == "application/json"
        health = json.loads(text)
        assert health["status"] == "ok"
        assert health["services"] == ["stepfunctions"]
        assert (await blocking(send, cloud, "GET", "/_harness/nothing"))[0] == 404

    in_cloud(body, Machines)


def test_an_application_can_be_mounted_beside_the_services() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode() + message["body"]})

    async def body(cloud: Cloud) -> None:
        cloud.routes["/_harness/run"] = app
        assert (await blocking(send, cloud, "POST", "/_harness/run/x", body=b"!"))[2] == b"/_harness/run/x!"
        assert (await blocking(send, cloud, "POST", "/_harness/running"))[0] == 404

    in_cloud(body)


def test_the_access_key_tells_who_calls() -> None:
    caller = Caller("function", "mlops_train", "arn:aws:iam::123456789012:role/mlops-sm-s3")

    async def body(cloud: Cloud) -> None:
        key, secret = cloud.identify(caller)
        assert (key, secret) == cloud.identify(caller)
        theirs = {"aws_access_key_id": key, "aws_secret_access_key": secret, "aws_session_token": "t"}
        states = client(cloud, "stepfunctions", **theirs)
        await blocking(states.describe_state_machine, stateMachineArn="arn:x")
        await blocking(client(cloud, "stepfunctions").describe_state_machine, stateMachineArn="arn:x")
        service = cloud.service("stepfunctions")
        assert isinstance(service, Machines)
        assert [request.caller for request in service.requests] == [caller, USER]
        identity = await blocking(client(cloud, "sts", **theirs).get_caller_identity)
        assert identity["Arn"] == "arn:aws:sts::123456789012:assumed-role/mlops-sm-s3/mlops_train"
        inside = await cloud.call("sts", "GetCallerIdentity", {}, caller=caller)
        assert inside["Arn"] == identity["Arn"]

    in_cloud(body, Machines)


def test_faults_are_asked_once_per_call_and_answer_in_the_protocol_of_the_service() -> None:
    faults = Throttled("stepfunctions", "StartExecution", 2)

    async def body(cloud: Cloud) -> None:
        states = client(cloud, "stepfunctions")
        await blocking(states.start_execution, stateMachineArn="arn:x", input="{}")
        with pytest.raises(ClientError, match="Rate exceeded"):
            await blocking(states.start_execution, stateMachineArn="arn:x", input="{}")
        await cloud.call("stepfunctions", "StartExecution", {"stateMachineArn": "arn:x"})
        assert [seen[:2] for seen in faults.seen] == [("stepfunctions", "StartExecution")] * 3
        assert faults.seen[0][2] == {"stateMachineArn": "arn:x", "input": "{}"}

    in_cloud(body, Machines, faults=faults)


@pytest.mark.parametrize(
    ("service", "operation", "params"),
    [
        ("s3", "PutObject", {"Bucket": "some-bucket", "Key": "a/b c", "Body": b"x"}),
        ("sqs", "SendMessage", {"QueueUrl": "http://127.0.0.1/1/q", "MessageBody": "m"}),
        ("iam", "GetRole", {"RoleName": "r"}),
        ("dynamodb", "DescribeTable", {"TableName": "table"}),
        ("cloudwatch", "ListMetrics", {"Namespace": "n"}),
    ],
)
def test_faults_reach_the_services_of_moto(service: str, operation: str, params: dict[str, Any]) -> None:
    faults = Throttled(service, operation, 1)

    async def body(cloud: Cloud) -> None:
        boto = client(cloud, service)
        method = {name: method for method, name in boto.meta.method_to_api_mapping.items()}[operation]
        with pytest.raises(ClientError) as caught:
            await blocking(getattr(boto, method), **params)
        assert caught.value.response["Error"]["Code"] == "ThrottlingException"
        assert caught.value.response["Error"]["Message"] == "Rate exceeded"
        seen = faults.seen[0][2]
        assert {name: seen[name] for name in params if name != "Body"} == {
            name: value for name, value in params.items() if name != "Body"
        }
        faults.seen.clear()
        with pytest.raises(ServiceError, match="Rate exceeded"):
            await cloud.call(service, operation, params)

    in_cloud(body, faults=faults)


def test_every_call_is_published() -> None:
    calls: list[Event] = []

    async def body(cloud: Cloud) -> None:
        cloud.events.subscribe(calls.append)
        states, s3 = client(cloud, "stepfunctions"), client(cloud, "s3")
        await blocking(states.describe_state_machine, stateMachineArn="arn:x")
        with pytest.raises(ClientError):
            await blocking(states.describe_state_machine, stateMachineArn="arn:missing")
        with pytest.raises(ClientError):
            await blocking(states.describe_state_machine, stateMachineArn="a" * 300)
        with pytest.raises(ServiceError):
            await cloud.call("s3", "GetObject", {"Bucket": "no-bucket", "Key": "k"})
        with pytest.raises(ClientError):
            await blocking(s3.get_object, Bucket="no-bucket", Key="k")

    in_cloud(body, Machines)
    assert [(event.kind, event.subject, event.data["error"]) for event in calls] == [
        ("call", "stepfunctions.DescribeStateMachine", None),
        ("call", "stepfunctions.DescribeStateMachine", "StateMachineDoesNotExist"),
        ("call", "stepfunctions.DescribeStateMachine", "ValidationException"),
        ("call", "s3.GetObject", "NoSuchBucket"),
        ("call", "s3.GetObject", "NoSuchBucket"),
    ]
    assert calls[0].data["caller"] == {"kind": "user", "name": ""}
    assert calls[0].data["fault"] is False
    assert 0 <= calls[0].data["seconds"] < 10


def test_a_mistake_of_ours_is_a_500_and_is_heard() -> None:
    heard: list[str] = []
    warnings: list[Event] = []

    async def body(cloud: Cloud) -> None:
        cloud.events.subscribe(lambda event: warnings.append(event) if event.kind == "warning" else None)
        with pytest.raises(ClientError) as caught:
            await blocking(client(cloud, "stepfunctions").stop_execution, executionArn="arn:x")
        assert caught.value.response["Error"]["Code"] == "InternalFailure"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
        with pytest.raises(ClientError, match="surprise"):
            await blocking(client(cloud, "stepfunctions").list_executions, stateMachineArn="arn:x")
        with pytest.raises(ServiceError, match="a mistake in the service"):
            await cloud.call("stepfunctions", "StopExecution", {"executionArn": "arn:x"})
        with pytest.raises(ServiceError, match=r"InternalFailure: .*has no member 'surprise'"):
            await cloud.call("stepfunctions", "ListExecutions", {"stateMachineArn": "arn:x"})

    in_cloud(body, Machines, log=heard.append)
    assert any("KeyError: 'a mistake in the service'" in line for line in heard)
    assert warnings[0].subject == "stepfunctions.StopExecution"


def test_a_background_task_that_fails_is_not_lost() -> None:
    heard: list[str] = []

    async def failing() -> None:
        raise ValueError("lost?")

    async def body(cloud: Cloud) -> None:
        task = cloud.spawn(failing(), "a failing task")
        endless = cloud.spawn(asyncio.Event().wait(), "an endless task")
        await asyncio.wait([task])
        await asyncio.sleep(0)
        assert [str(failure) for failure in cloud.failures] == ["lost?"]
        await cloud.stop()
        assert endless.cancelled()

    in_cloud(body, log=heard.append)
    assert any("a failing task" in line for line in heard)


def test_what_the_service_does_not_have_is_refused_by_name() -> None:
    async def body(cloud: Cloud) -> None:
        with pytest.raises(ClientError) as caught:
            await blocking(client(cloud, "stepfunctions").list_activities)
        assert caught.value.response["Error"] == {
            "Code": "NotImplementedException",
            "Message": "harness does not support stepfunctions ListActivities",
        }
        with pytest.raises(ClientError, match="this local cloud has no lambda"):
            await blocking(client(cloud, "lambda").list_functions)
        with pytest.raises(ServiceError, match="this local cloud has no lambda"):
            await cloud.call("lambda", "ListFunctions", {})
        with pytest.raises(ClientError, match="no service 'braket'"):
            await blocking(client(cloud, "braket").search_devices, filters=[])
        with pytest.raises(ServiceError, match="AWS has no service 'nonsense'"):
            await cloud.call("nonsense", "Do", {})
        with pytest.raises(ServiceError, match="no operation 'DoIt'"):
            await cloud.call("stepfunctions", "DoIt", {})
        with pytest.raises(ServiceError, match="no operation 'DoIt'"):
            await cloud.call("s3", "DoIt", {})

    in_cloud(body, Machines)


def test_many_requests_at_once() -> None:
    class Slow(Service):
        name = "stepfunctions"

        def __init__(self, cloud: Any) -> None:
            super().__init__(cloud)
            self.together = asyncio.Barrier(20)  # nobody is answered before all have asked

        async def describe_state_machine(self, request: Request) -> dict[str, Any]:
            await self.together.wait()
            return {"stateMachineArn": request.params["stateMachineArn"]}

    async def body(cloud: Cloud) -> None:
        async def ask(number: int) -> str:
            body = json.dumps({"stateMachineArn": f"arn:{number}"})
            headers = {"X-Amz-Target": "AWSStepFunctions.DescribeStateMachine"}
            answer = await loop.run_in_executor(
                threads, lambda: send(cloud, "POST", "/", body=body, headers=headers)
            )
            return str(json.loads(answer[2])["stateMachineArn"])

        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(20) as threads:
            answers = await asyncio.gather(*(ask(number) for number in range(20)))
        assert answers == [f"arn:{number}" for number in range(20)]

    in_cloud(body, Slow)


def test_a_port_in_use_is_named() -> None:
    async def main() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            cloud = Cloud(services=())
            with pytest.raises(EnvironmentFault, match=f"port {port} is in use"):
                await cloud.start(port)
        await cloud.start(port)  # and once it is free, it can be had
        assert cloud.endpoint_url == f"http://127.0.0.1:{port}"
        await cloud.stop()

    clock.run(main())


def test_one_cloud_at_a_time() -> None:
    async def main() -> None:
        async with Cloud(services=()):
            with pytest.raises(EnvironmentFault, match="another local cloud"):
                await Cloud(services=()).start()
        async with Cloud(services=()):
            pass

    clock.run(main())


def test_a_cloud_may_have_no_port() -> None:
    async def main() -> None:
        cloud = Cloud(services=[Machines])
        await cloud.start(port=None)
        answer = await cloud.call("stepfunctions", "DescribeStateMachine", {"stateMachineArn": "arn:m"})
        assert answer["name"] == "m"
        with pytest.raises(RuntimeError, match="no port"):
            _ = cloud.endpoint_url
        await cloud.stop()

    clock.run(main())


def test_stopping_closes_services_and_connections_and_deletes_the_folder(tmp_path: Path) -> None:
    async def main() -> None:
        cloud = Cloud(services=[Machines], folder=tmp_path / "session")
        await cloud.start()
        machines = cloud.service("stepfunctions")
        assert isinstance(machines, Machines)
        (cloud.folder / "file").write_text("x")
        port = int(cloud.endpoint_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)  # an idle keep-alive connection
        writer.write(b"GET /_harness/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in await reader.readuntil(b"\r\n")
        async with asyncio.timeout(5):
            await cloud.stop()
            while await reader.read(1000):
                pass
        writer.close()
        assert machines.closed
        assert list((tmp_path / "session").iterdir()) == []
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await cloud.stop()  # harmless

    clock.run(main())


def test_nothing_is_left_of_moto_for_the_next_cloud() -> None:
    async def body(cloud: Cloud) -> list[Any]:
        buckets = (await cloud.call("s3", "ListBuckets", {}))["Buckets"]
        await cloud.call("s3", "CreateBucket", {"Bucket": "left-over"})
        return list(buckets)

    assert in_cloud(body) == []
    assert in_cloud(body) == []


def test_log_lines_reach_cloudwatch_logs_at_virtual_times() -> None:
    async def body(cloud: Cloud) -> None:
        start = cloud.clock.now()
        cloud.log("/aws/lambda/f", "stream", ["one", "two"])
        await cloud.clock.sleep(86_400)
        cloud.log("/aws/lambda/f", "stream", ["three"])
        events = (
            await blocking(
                client(cloud, "logs").get_log_events,
                logGroupName="/aws/lambda/f",
                logStreamName="stream",
                startFromHead=True,
            )
        )["events"]
        assert [event["message"] for event in events] == ["one", "two", "three"]
        assert events[0]["timestamp"] == round(start * 1000)
        assert events[2]["timestamp"] - events[0]["timestamp"] == pytest.approx(86_400_000, abs=1)
        cloud.log("/aws/lambda/f", "stream", ["four"])
        found = await cloud.call(
            "logs", "FilterLogEvents", {"logGroupName": "/aws/lambda/f", "filterPattern": "four"}
        )
        assert [event["message"] for event in found["events"]] == ["four"]

    in_cloud(body, clock=clock.SkippingClock())


def test_ids_of_calls_from_inside_come_from_the_injected_entropy() -> None:
    def ids() -> list[str]:
        async def body(cloud: Cloud) -> list[str]:
            for _ in range(2):
                await cloud.call("stepfunctions", "StartExecution", {"stateMachineArn": "arn:x"})
            await blocking(client(cloud, "stepfunctions").start_execution, stateMachineArn="arn:x")
            await cloud.call("stepfunctions", "StartExecution", {"stateMachineArn": "arn:x"})
            service = cloud.service("stepfunctions")
            assert isinstance(service, Machines)
            made = [request.request_id for request in service.requests]
            return [*made[:2], made[3]]

        return in_cloud(body, Machines, entropy=random.Random(7))

    assert ids() == ids()
