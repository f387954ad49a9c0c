from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.cloud.faults import JobFault
from harness.cloud.sagemaker.serving import WAITING
from harness.containers.archive import pack
from tests.cloud.sagemaker.fakes import (
    ROLE,
    SERVING,
    START,
    Box,
    FakeCloud,
    image,
    serves,
    variant,
    with_cloud,
)

ARN = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/digits"
OTHER = "123456789012.dkr.ecr.us-east-1.amazonaws.com/other@sha256:" + "cd" * 32


async def prepare(cloud: FakeCloud, *variants: dict[str, Any], config: str = "digits-1") -> None:
    """A model (once) and an endpoint configuration."""
    try:
        await cloud.do("describe_model", ModelName="digits")
    except Exception:
        cloud.put(**{"model.tar.gz": pack(None)})
        container = {"Image": SERVING, "ModelDataUrl": "s3://data/model.tar.gz"}
        await cloud.do("create_model", ModelName="digits", PrimaryContainer=container, ExecutionRoleArn=ROLE)
        cloud.images[OTHER] = image(serves(lambda body: (200, b"other")))
        await cloud.do("create_model", ModelName="other", PrimaryContainer={"Image": OTHER})
    await cloud.do(
        "create_endpoint_config", EndpointConfigName=config, ProductionVariants=list(variants) or [variant()]
    )


async def deploy(cloud: FakeCloud, *variants: dict[str, Any]) -> dict[str, Any]:
    await prepare(cloud, *variants)
    await cloud.do("create_endpoint", EndpointName="digits", EndpointConfigName="digits-1")
    await cloud.settle()
    return await cloud.do("describe_endpoint", EndpointName="digits")


async def invoke(cloud: FakeCloud, body: bytes = b"hi", **params: Any) -> dict[str, Any]:
    return await cloud.do("invoke_endpoint", EndpointName="digits", Body=body, **params)


def test_an_endpoint_goes_into_service_and_answers() -> None:
    seen: list[tuple[str, str, dict[str, str], bytes]] = []

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(serves(seen=seen))
        cloud.faults.jobs["endpoint"] = JobFault(takes=300)
        await prepare(cloud)
        answer = await cloud.do("create_endpoint", EndpointName="digits", EndpointConfigName="digits-1")
        assert answer == {"EndpointArn": ARN}
        statuses = []
        while not statuses or statuses[-1] == "Creating":
            await cloud.clock.sleep(60)
            described = await cloud.do("describe_endpoint", EndpointName="digits")
            statuses.append(described["EndpointStatus"])
        assert statuses == ["Creating"] * 4 + ["InService"]
        assert described["EndpointConfigName"] == "digits-1"
        assert described["CreationTime"] == datetime.fromtimestamp(START, UTC)
        assert described["LastModifiedTime"] == datetime.fromtimestamp(START + 300, UTC)
        [served] = described["ProductionVariants"]
        [deployed] = served.pop("DeployedImages")
        assert deployed["SpecifiedImage"] == SERVING
        assert deployed["ResolvedImage"] == f"{SERVING.removesuffix(':1')}@sha256:{'ab' * 32}"
        assert served == {
            "VariantName": "AllTraffic",
            "CurrentWeight": 1.0,
            "DesiredWeight": 1.0,
            "CurrentInstanceCount": 1,
            "DesiredInstanceCount": 1,
        }
        assert await invoke(
            cloud, ContentType="text/plain", Accept="application/json", CustomAttributes="trace=1"
        ) == {"Body": b"HI", "ContentType": "text/plain", "InvokedProductionVariant": "AllTraffic"}
        headers = seen[-1][2]
        assert headers["content-type"] == "text/plain"
        assert headers["accept"] == "application/json"
        assert headers["x-amzn-sagemaker-custom-attributes"] == "trace=1"
        [((group, stream), lines)] = cloud.logs.items()
        assert group == "/aws/sagemaker/Endpoints/digits"
        assert re.fullmatch(r"AllTraffic/i-[0-9a-f]{17}", stream)
        assert lines == ["listening"]

    with_cloud(scenario)


def test_a_serving_endpoint_does_not_hold_time() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud)
        await cloud.clock.sleep(86_400)
        assert cloud.clock.now() == START + 86_400
        assert (await invoke(cloud))["Body"] == b"HI"

    with_cloud(scenario)


def test_connections_are_kept() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud)
        for _ in range(20):
            await invoke(cloud)
        assert cloud.containers.started[0].connections == 1

    with_cloud(scenario)


async def broken(box: Box) -> int:
    box.say("Traceback")
    return 1


async def deaf(box: Box) -> int:
    await asyncio.Event().wait()
    return 0


@pytest.mark.parametrize("program", [broken, deaf])
def test_an_endpoint_that_never_gets_ready_has_failed(program: Any) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(program)
        endpoint = await deploy(cloud)
        assert endpoint["EndpointStatus"] == "Failed"
        assert endpoint["FailureReason"] == (
            "The primary container for production variant AllTraffic did not pass the ping health check. "
            "Please check CloudWatch logs for this endpoint."
        )
        assert "ProductionVariants" not in endpoint
        assert all(container.ended for container in cloud.containers.started)
        error = await cloud.error("invoke_endpoint", EndpointName="digits", Body=b"")
        assert error.code == "ValidationError"
        error = await cloud.error("update_endpoint", EndpointName="digits", EndpointConfigName="digits-1")
        assert error.code == "ValidationException"
        await cloud.do("delete_endpoint", EndpointName="digits")
        await cloud.settle()
        error = await cloud.error("describe_endpoint", EndpointName="digits")
        assert error.message == f'Could not find endpoint "{ARN}".'

    with_cloud(scenario, startup_limit=0.2)


def test_one_variant_that_fails_takes_the_others_down() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(broken)
        endpoint = await deploy(cloud, variant("a", "other"), variant("b", "digits"))
        assert endpoint["EndpointStatus"] == "Failed"
        assert "production variant b " in endpoint["FailureReason"]
        assert all(container.ended for container in cloud.containers.started)

    with_cloud(scenario)


def test_a_corrupt_model_fails_the_endpoint() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await prepare(cloud)
        cloud.put(**{"model.tar.gz": b"\x1f\x8b garbage"})
        await cloud.do("create_endpoint", EndpointName="digits", EndpointConfigName="digits-1")
        await cloud.settle()
        endpoint = await cloud.do("describe_endpoint", EndpointName="digits")
        assert endpoint["FailureReason"] == (
            'Failed to extract model data archive for container "primary" from URL "s3://data/model.tar.gz". '
            "Please ensure that the object located at the URL is a valid tar.gz archive."
        )

    with_cloud(scenario)


def test_faults_reach_endpoints() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.faults.jobs["endpoint"] = JobFault(run=False, failure="no capacity", takes=120)
        endpoint = await deploy(cloud)
        assert (endpoint["EndpointStatus"], endpoint["FailureReason"]) == ("Failed", "no capacity")
        assert endpoint["LastModifiedTime"] == datetime.fromtimestamp(START + 120, UTC)
        assert cloud.containers.started == []

    with_cloud(scenario)


@pytest.mark.parametrize(("status", "kind"), [(415, "client"), (500, "server")])
def test_errors_of_the_model_are_handed_on(status: int, kind: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(serves(lambda body: (status, b"not an image")))
        await deploy(cloud)
        error = await cloud.error("invoke_endpoint", EndpointName="digits", Body=b"x")
        assert (error.code, error.status) == ("ModelError", 424)
        assert error.message == (
            f'Received {kind} error ({status}) from primary with message "not an image". See '
            "https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1#logEventViewer:group="
            "/aws/sagemaker/Endpoints/digits in account 123456789012 for more information."
        )
        assert error.fields == {
            "OriginalStatusCode": status,
            "OriginalMessage": "not an image",
            "LogStreamArn": "arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/Endpoints/digits",
        }

    with_cloud(scenario)


@pytest.mark.slow
def test_an_invocation_that_takes_too_long_is_a_model_error() -> None:
    async def program(box: Box) -> int:
        async def handler(
            method: str, path: str, headers: Mapping[str, str], body: bytes
        ) -> tuple[int, dict[str, str], bytes]:
            if body == b"slow":
                await asyncio.sleep(30)
            return 200, {}, b"quick"

        await box.listen(handler)
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(program)
        await deploy(cloud)
        error = await cloud.error("invoke_endpoint", EndpointName="digits", Body=b"slow")
        assert error.code == "ModelError"
        assert error.fields["OriginalStatusCode"] == 0
        assert (
            "Your invocation timed out while waiting for a response from container primary." in error.message
        )
        assert (await invoke(cloud))["Body"] == b"quick"  # on a connection of its own

    with_cloud(scenario)


def test_a_container_that_dies_is_replaced() -> None:
    async def program(box: Box) -> int:
        async def handler(
            method: str, path: str, headers: Mapping[str, str], body: bytes
        ) -> tuple[int, dict[str, str], bytes]:
            if body == b"deadly":
                box.terminated.set()
                await asyncio.Event().wait()
            return 200, {}, b"alive"

        await box.listen(handler)
        return 139

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(program)
        await deploy(cloud)
        error = await cloud.error("invoke_endpoint", EndpointName="digits", Body=b"deadly")
        assert error.code == "ModelError"
        assert error.fields["OriginalStatusCode"] == 0
        assert "the model process exited" in error.message
        async with asyncio.timeout(5):
            while True:
                try:
                    assert (await invoke(cloud))["Body"] == b"alive"
                    break
                except Exception:
                    await asyncio.sleep(0.01)
        endpoint = await cloud.do("describe_endpoint", EndpointName="digits")
        assert endpoint["EndpointStatus"] == "InService"
        names = [container.spec.name for container in cloud.containers.started]
        assert len(names) == len(set(names)) == 2
        await cloud.do("delete_endpoint", EndpointName="digits")
        await cloud.settle()
        assert all(container.ended for container in cloud.containers.started)

    with_cloud(scenario)


def test_traffic_follows_the_weights() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(
            cloud,
            variant("main", InitialVariantWeight=3.0),
            variant("side", "other", InitialVariantWeight=1.0),
            variant("off", "other", InitialVariantWeight=0.0),
        )
        invoked = [(await invoke(cloud))["InvokedProductionVariant"] for _ in range(400)]
        assert 260 < invoked.count("main") < 340
        assert invoked.count("off") == 0
        answer = await invoke(cloud, TargetVariant="off")
        assert (answer["InvokedProductionVariant"], answer["Body"]) == ("off", b"other")
        error = await cloud.error("invoke_endpoint", EndpointName="digits", Body=b"", TargetVariant="none")
        assert error.code == "ValidationError"

    with_cloud(scenario)


def test_instances_take_turns() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        endpoint = await deploy(cloud, variant(InitialInstanceCount=2))
        assert endpoint["ProductionVariants"][0]["CurrentInstanceCount"] == 2
        for _ in range(4):
            await invoke(cloud)
        assert [container.connections for container in cloud.containers.started] == [1, 1]
        assert len({stream for _, stream in cloud.logs}) == 2

    with_cloud(scenario)


def test_an_update_replaces_what_serves() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud)
        await prepare(cloud, variant("green", "other"), config="digits-2")
        cloud.faults.jobs["endpoint"] = JobFault(takes=60)
        await cloud.do("update_endpoint", EndpointName="digits", EndpointConfigName="digits-2")
        await cloud.clock.sleep(30)
        endpoint = await cloud.do("describe_endpoint", EndpointName="digits")
        assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == ("Updating", "digits-1")
        assert (await invoke(cloud))["InvokedProductionVariant"] == "AllTraffic"
        for operation in ("update_endpoint", "delete_endpoint"):
            extra = {"EndpointConfigName": "digits-2"} if operation == "update_endpoint" else {}
            error = await cloud.error(operation, EndpointName="digits", **extra)
            assert error.message == f'Cannot update in-progress endpoint "{ARN}".'
        await cloud.settle()
        endpoint = await cloud.do("describe_endpoint", EndpointName="digits")
        assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == ("InService", "digits-2")
        assert (await invoke(cloud))["InvokedProductionVariant"] == "green"
        assert [container.ended for container in cloud.containers.started] == [True, False]

    with_cloud(scenario)


def test_an_update_that_fails_keeps_what_serves() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud)
        await prepare(cloud, variant("green", "other"), config="digits-2")
        cloud.images[OTHER] = image(broken)
        await cloud.do("update_endpoint", EndpointName="digits", EndpointConfigName="digits-2")
        await cloud.settle()
        endpoint = await cloud.do("describe_endpoint", EndpointName="digits")
        assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == ("InService", "digits-1")
        assert "production variant green did not pass the ping health check" in endpoint["FailureReason"]
        assert (await invoke(cloud))["InvokedProductionVariant"] == "AllTraffic"

    with_cloud(scenario)


def test_deleting_stops_the_containers() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud)
        assert await cloud.do("delete_endpoint", EndpointName="digits") == {}
        endpoint = await cloud.do("describe_endpoint", EndpointName="digits")
        assert endpoint["EndpointStatus"] == "Deleting"
        await cloud.settle()
        [container] = cloud.containers.started
        assert container.signals == ["TERM 30"]
        assert container.ended
        error = await cloud.error("describe_endpoint", EndpointName="digits")
        assert (error.code, error.message) == ("ValidationException", f'Could not find endpoint "{ARN}".')
        assert await cloud.do("list_endpoints") == {"Endpoints": []}
        told = [(event.data["status"], event.data.get("message")) for event in cloud.events_of("job")]
        assert told == [("Creating", WAITING), ("InService", None), ("Deleting", None), ("Deleted", None)]

    with_cloud(scenario)


def test_an_unknown_endpoint_is_a_validation_error() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        error = await cloud.error("invoke_endpoint", EndpointName="none", Body=b"")
        assert (error.code, error.message, error.status) == (
            "ValidationError",
            "Endpoint none of account 123456789012 not found.",
            400,
        )

    with_cloud(scenario)


@pytest.mark.parametrize("member", ["EnableExplanations", "InferenceComponentName", "PrefixAwareId"])
def test_what_an_invocation_cannot_do_is_refused_by_name(member: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud)
        error = await cloud.error("invoke_endpoint", EndpointName="digits", Body=b"", **{member: "x"})
        assert error.message == f"harness does not support {member} yet."

    with_cloud(scenario)


def test_names_of_endpoints_are_compared_without_case_when_created() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud)
        error = await cloud.error("create_endpoint", EndpointName="Digits", EndpointConfigName="digits-1")
        assert error.message == f'Cannot create already existing endpoint "{ARN}".'
        error = await cloud.error("create_endpoint", EndpointName="x", EndpointConfigName="none")
        assert error.message == (
            "Could not find endpoint configuration "
            '"arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/none".'
        )

    with_cloud(scenario)


def test_closing_the_cloud_stops_every_container() -> None:
    containers = []

    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud)
        containers.extend(cloud.containers.started)
        await cloud.sagemaker.close()
        assert containers[0].ended

    with_cloud(scenario)
