"""How an endpoint gets from one version to another, and back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from harness.clock import SkippingClock
from harness.cloud.faults import JobFault
from tests.cloud.sagemaker.fakes import SERVING, START, Box, FakeCloud, image, serves, variant, with_cloud

ARN = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/digits"
OTHER = "123456789012.dkr.ecr.us-east-1.amazonaws.com/other:1"
CANARY = {
    "Type": "CANARY",
    "WaitIntervalInSeconds": 600,
    "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 25},
}
LINEAR = {
    "Type": "LINEAR",
    "WaitIntervalInSeconds": 100,
    "LinearStepSize": {"Type": "INSTANCE_COUNT", "Value": 1},
}
ALARMS = {"Alarms": [{"AlarmName": "errors"}, {"AlarmName": "latency"}]}
HALF = {"Type": "CAPACITY_PERCENT", "Value": 50}


async def broken(box: Box) -> int:
    return 1


def blue_green(routing: dict[str, Any], **policy: Any) -> dict[str, Any]:
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, **policy}}


def rolling(**policy: Any) -> dict[str, Any]:
    return {"RollingUpdatePolicy": {"MaximumBatchSize": HALF, "WaitIntervalInSeconds": 60, **policy}}


async def deploy(cloud: FakeCloud, *variants: dict[str, Any], **params: Any) -> None:
    """An endpoint that serves ``digits``, and a configuration ``new`` that serves ``other``."""
    cloud.images[OTHER] = image(serves(lambda body: (200, b"other")))
    for name, uri in (("digits", SERVING), ("other", OTHER)):
        await cloud.do("create_model", ModelName=name, PrimaryContainer={"Image": uri})
    old = list(variants) or [variant()]
    new = [item | {"ModelName": "other"} for item in old]
    await cloud.do("create_endpoint_config", EndpointConfigName="old", ProductionVariants=old)
    await cloud.do("create_endpoint_config", EndpointConfigName="new", ProductionVariants=new)
    await cloud.do("create_endpoint", EndpointName="digits", EndpointConfigName="old", **params)
    await cloud.settle()


async def update(cloud: FakeCloud, config: dict[str, Any] | None = None, **params: Any) -> None:
    if config is not None:
        params["DeploymentConfig"] = config
    await cloud.do("update_endpoint", EndpointName="digits", EndpointConfigName="new", **params)


async def describe(cloud: FakeCloud) -> dict[str, Any]:
    return await cloud.do("describe_endpoint", EndpointName="digits")


async def new_share(cloud: FakeCloud, calls: int = 200) -> float:
    """The share of the traffic that the new version gets."""
    answers = [
        (await cloud.do("invoke_endpoint", EndpointName="digits", Body=b"x"))["Body"] for _ in range(calls)
    ]
    return answers.count(b"other") / calls


def endpoint_of(cloud: FakeCloud) -> Any:
    return cloud.sagemaker.endpoints.get("digits")


def running(cloud: FakeCloud) -> list[str]:
    return [
        "new" if container.spec.image is cloud.images[OTHER] else "old"
        for container in cloud.containers.started
        if not container.ended
    ]


def test_a_canary_proves_itself_before_the_rest_follows() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud, variant(InitialInstanceCount=4))
        config = blue_green(CANARY, TerminationWaitInSeconds=300)
        await update(cloud, config)
        await cloud.clock.sleep(1)
        described = await describe(cloud)
        assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("Updating", "old")
        pending = described["PendingDeploymentSummary"]
        assert pending["EndpointConfigName"] == "new"
        [green] = pending["ProductionVariants"]
        assert green["VariantStatus"][0]["Status"] == "Baking"
        assert green["CurrentInstanceCount"] == 4
        assert endpoint_of(cloud).share == 0.25
        assert sorted(running(cloud)) == ["new"] * 4 + ["old"] * 4
        await cloud.clock.sleep(600)
        assert endpoint_of(cloud).share == 1
        assert "old" in running(cloud)  # until the termination wait is over
        assert (await describe(cloud))["EndpointStatus"] == "Updating"
        await cloud.settle()
        assert cloud.clock.now() == pytest.approx(START + 900, abs=1)
        described = await describe(cloud)
        assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "new")
        assert described["LastDeploymentConfig"] == config
        assert "PendingDeploymentSummary" not in described
        assert running(cloud) == ["new"] * 4
        assert await new_share(cloud, 5) == 1

    with_cloud(scenario)


def test_traffic_moves_with_the_share() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud)
        routing = CANARY | {"CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50}}
        await update(cloud, blue_green(routing))
        await cloud.clock.sleep(1)
        endpoint = endpoint_of(cloud)
        chosen = [endpoint.choose(cloud.entropy.random).model.name for _ in range(200)]
        assert 70 < chosen.count("other") < 130
        targeted = [endpoint.choose(cloud.entropy.random, "AllTraffic").model.name for _ in range(200)]
        assert 70 < targeted.count("other") < 130
        assert endpoint.choose(cloud.entropy.random, "none") is None
        await cloud.settle()
        assert await new_share(cloud, 5) == 1

    with_cloud(scenario)


def test_linear_steps() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud, variant(InitialInstanceCount=4))
        await update(cloud, blue_green(LINEAR))
        shares = []
        await cloud.clock.sleep(1)
        for _ in range(4):
            shares.append(endpoint_of(cloud).share)
            await cloud.clock.sleep(100)
        assert shares == [0.25, 0.5, 0.75, 0.0]  # in the end the new version is what serves
        assert (await describe(cloud))["EndpointStatus"] == "InService"
        assert (await describe(cloud))["EndpointConfigName"] == "new"

    with_cloud(scenario)


@pytest.mark.parametrize("config", [None, blue_green(CANARY), rolling()])
def test_a_bad_version_is_rolled_back(config: dict[str, Any] | None) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud, variant(InitialInstanceCount=2))
        cloud.images[OTHER] = image(broken)
        await update(cloud, config)
        await cloud.settle()
        described = await describe(cloud)
        assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "old")
        assert described["FailureReason"].startswith(
            "The primary container for production variant AllTraffic"
        )
        statuses = [event.data["status"] for event in cloud.events_of("job")]
        assert statuses[-3:] == ["Updating", "RollingBack", "InService"]
        assert running(cloud) == ["old", "old"]
        assert await new_share(cloud, 5) == 0
        cloud.images[OTHER] = image(serves(lambda body: (200, b"other")))
        await update(cloud)  # a reason stays only until the next update
        assert "FailureReason" not in await describe(cloud)
        await cloud.settle()
        assert await new_share(cloud, 5) == 1

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("states", "reason"),
    [
        ({"errors": "OK", "latency": "ALARM"}, "went into the state ALARM during the deployment: latency."),
        ({"errors": "OK"}, "CloudWatch alarms do not exist: latency."),
    ],
)
@pytest.mark.parametrize("policy", [blue_green(CANARY, TerminationWaitInSeconds=60), rolling()])
def test_an_alarm_during_the_baking_rolls_back(
    states: dict[str, str], reason: str, policy: dict[str, Any]
) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        now = {"errors": "OK", "latency": "INSUFFICIENT_DATA"}

        def alarms(params: Mapping[str, Any]) -> dict[str, Any]:
            assert params["AlarmNames"] == ["errors", "latency"]
            return {"MetricAlarms": [{"AlarmName": name, "StateValue": state} for name, state in now.items()]}

        cloud.others["cloudwatch", "DescribeAlarms"] = alarms
        await deploy(cloud, variant(InitialInstanceCount=2))
        await update(cloud, policy | {"AutoRollbackConfiguration": ALARMS})
        await cloud.clock.sleep(40)
        assert (await describe(cloud))["EndpointStatus"] == "Updating"
        now.clear()
        now.update(states)
        await cloud.settle()
        described = await describe(cloud)
        assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "old")
        assert reason in described["FailureReason"]
        assert running(cloud) == ["old", "old"]
        assert cloud.clock.now() <= START + 61

    with_cloud(scenario)


def test_alarms_that_stay_quiet_let_the_update_pass() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        names = [alarm["AlarmName"] for alarm in ALARMS["Alarms"]]
        answer = {"CompositeAlarms": [{"AlarmName": name, "StateValue": "OK"} for name in names]}
        cloud.others["cloudwatch", "DescribeAlarms"] = lambda params: answer
        await deploy(cloud)
        routing = CANARY | {"CanarySize": HALF}
        await update(cloud, blue_green(routing) | {"AutoRollbackConfiguration": ALARMS})
        await cloud.settle()
        assert (await describe(cloud))["EndpointConfigName"] == "new"

    with_cloud(scenario)


def test_a_rolling_update_exchanges_instances_batch_by_batch() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud, variant(InitialInstanceCount=4))
        await update(cloud, rolling())
        await cloud.clock.sleep(1)
        assert sorted(running(cloud)) == ["new"] * 2 + ["old"] * 4
        assert endpoint_of(cloud).share == 0.5
        await cloud.clock.sleep(60)
        assert sorted(running(cloud)) == ["new"] * 4 + ["old"] * 2
        await cloud.settle()
        assert running(cloud) == ["new"] * 4
        assert (await describe(cloud))["EndpointConfigName"] == "new"

    with_cloud(scenario)


def test_a_rollback_that_fails_leaves_both_versions_serving() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        now = {"errors": "OK", "latency": "OK"}
        cloud.others["cloudwatch", "DescribeAlarms"] = lambda params: {
            "MetricAlarms": [{"AlarmName": name, "StateValue": state} for name, state in now.items()]
        }
        await deploy(cloud, variant(InitialInstanceCount=4))
        await update(cloud, rolling() | {"AutoRollbackConfiguration": ALARMS})
        await cloud.clock.sleep(61)  # the second batch bakes
        now["errors"] = "ALARM"
        cloud.images[SERVING] = image(broken)
        await cloud.settle()
        described = await describe(cloud)
        assert described["EndpointStatus"] == "UpdateRollbackFailed"
        assert "errors. The rollback failed, too: The primary container" in described["FailureReason"]
        assert {"new", "old"} == set(running(cloud))
        await cloud.do("delete_endpoint", EndpointName="digits")
        await cloud.settle()
        assert running(cloud) == []

    with_cloud(scenario)


def test_an_update_that_takes_too_long_is_rolled_back() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud)
        cloud.faults.jobs["endpoint"] = JobFault(takes=500)
        routing = CANARY | {"CanarySize": HALF}
        await update(cloud, blue_green(routing, MaximumExecutionTimeoutInSeconds=600))
        await cloud.settle()
        described = await describe(cloud)
        assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "old")
        assert described["FailureReason"] == "The deployment did not complete within 600 seconds."
        assert cloud.clock.now() == START + 600

    with_cloud(scenario)


def test_variant_properties_are_retained() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        capture = {
            "EnableCapture": True,
            "InitialSamplingPercentage": 30,
            "DestinationS3Uri": "s3://data/c",
            "CaptureOptions": [{"CaptureMode": "Input"}],
        }
        await deploy(cloud, variant(InitialInstanceCount=1, InitialVariantWeight=2.0))
        changed = {"VariantName": "AllTraffic", "DesiredInstanceCount": 3, "DesiredWeight": 5.0}
        await cloud.do(
            "update_endpoint_weights_and_capacities",
            EndpointName="digits",
            DesiredWeightsAndCapacities=[changed],
        )
        await cloud.settle()
        await cloud.do(
            "create_endpoint_config",
            EndpointConfigName="captured",
            ProductionVariants=[variant(InitialVariantWeight=2.0)],
            DataCaptureConfig=capture,
        )
        await cloud.do(
            "update_endpoint",
            EndpointName="digits",
            EndpointConfigName="captured",
            RetainAllVariantProperties=True,
            ExcludeRetainedVariantProperties=[
                {"VariantPropertyType": "DesiredWeight"},
                {"VariantPropertyType": "DataCaptureConfig"},
            ],
        )
        await cloud.settle()
        described = await describe(cloud)
        [served] = described["ProductionVariants"]
        assert (served["CurrentInstanceCount"], served["DesiredInstanceCount"]) == (3, 3)
        assert (served["CurrentWeight"], served["DesiredWeight"]) == (2.0, 2.0)
        assert described["DataCaptureConfig"] == {
            "EnableCapture": True,
            "CaptureStatus": "Started",
            "CurrentSamplingPercentage": 30,
            "DestinationS3Uri": "s3://data/c",
            "KmsKeyId": "",
        }
        assert endpoint_of(cloud).data_capture == capture
        await update(cloud, RetainAllVariantProperties=True)
        await cloud.settle()
        assert endpoint_of(cloud).data_capture == capture  # though "new" has none
        await update(cloud)
        await cloud.settle()
        assert endpoint_of(cloud).data_capture is None

    with_cloud(scenario)


def test_the_last_deployment_configuration_is_used_again_when_asked_for() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        config = blue_green(CANARY | {"CanarySize": HALF})
        await deploy(cloud, DeploymentConfig=config)
        assert (await describe(cloud))["LastDeploymentConfig"] == config
        await update(cloud, RetainDeploymentConfig=True)
        await cloud.settle()
        assert cloud.clock.now() == START + 600
        await update(cloud)
        await cloud.settle()
        assert cloud.clock.now() == START + 600
        assert "LastDeploymentConfig" not in await describe(cloud)
        error = await cloud.error(
            "update_endpoint",
            EndpointName="digits",
            EndpointConfigName="new",
            RetainDeploymentConfig=True,
            DeploymentConfig=config,
        )
        assert "cannot both be specified" in error.message

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            blue_green({"Type": "CANARY", "WaitIntervalInSeconds": 0}),
            "trafficRoutingConfiguration.canarySize'",
        ),
        (
            blue_green({"Type": "LINEAR", "WaitIntervalInSeconds": 0}),
            "trafficRoutingConfiguration.linearStepSize'",
        ),
        (blue_green(CANARY | {"Type": "ALL_AT_ONCE"}), "CanarySize can only be specified with"),
        (
            blue_green(CANARY | {"CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 51}}),
            "between 0% and 50%",
        ),
        (
            blue_green(LINEAR | {"LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 9}}),
            "between 10% and 50%",
        ),
        (rolling(MaximumBatchSize={"Type": "INSTANCE_COUNT", "Value": 3}), "between 5% and 50%"),
        (blue_green(CANARY) | rolling(), "cannot both be specified"),
        (
            blue_green(CANARY, MaximumExecutionTimeoutInSeconds=600, TerminationWaitInSeconds=1),
            "MaximumExecutionTimeoutInSeconds (600) must be larger than the total waiting time (601).",
        ),
    ],
)
def test_deployment_configurations_that_make_no_sense(config: dict[str, Any], message: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud, variant(InitialInstanceCount=4))
        error = await cloud.error(
            "update_endpoint", EndpointName="digits", EndpointConfigName="new", DeploymentConfig=config
        )
        assert error.code == "ValidationException"
        assert message in error.message
        assert (await describe(cloud))["EndpointStatus"] == "InService"

    with_cloud(scenario)


def test_no_invocation_is_lost_while_the_old_version_goes() -> None:
    """The old container takes its time to answer; it is stopped only afterwards."""
    release: list[asyncio.Event] = []

    async def program(box: Box) -> int:
        event = asyncio.Event()
        release.append(event)

        async def handler(
            method: str, path: str, headers: Mapping[str, str], body: bytes
        ) -> tuple[int, dict[str, str], bytes]:
            if path != "/ping":
                await event.wait()
            return 200, {}, b"old"

        await box.listen(handler)
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(program)
        await deploy(cloud)
        [instance] = endpoint_of(cloud).fleet.variants["AllTraffic"].instances
        [old] = cloud.containers.started

        async def invoke() -> bytes:
            with instance.invocation():
                answer = await instance.servers["primary"].invoke(b"", {}, timeout=5)
                return bytes(answer.body)

        invocation = asyncio.ensure_future(invoke())
        await asyncio.sleep(0)
        updated = asyncio.Event()
        cloud.events.subscribe(
            lambda event: updated.set() if event.data.get("status") == "InService" else None
        )
        await update(cloud)
        await updated.wait()
        assert await new_share(cloud, 5) == 1
        assert not old.signals
        release[0].set()
        assert await invocation == b"old"
        await cloud.settle()
        assert old.signals == ["TERM 30"]

    with_cloud(scenario, clock=SkippingClock(START))


# Weights and capacities -------------------------------------------------------------------------------


async def change(cloud: FakeCloud, *changes: dict[str, Any]) -> None:
    answer = await cloud.do(
        "update_endpoint_weights_and_capacities",
        EndpointName="digits",
        DesiredWeightsAndCapacities=list(changes),
    )
    assert answer == {"EndpointArn": ARN}


def test_instances_come_and_go() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud, variant(InitialInstanceCount=2), variant("side"))
        await change(
            cloud,
            {"VariantName": "AllTraffic", "DesiredInstanceCount": 3},
            {"VariantName": "side", "DesiredWeight": 0.0},
        )
        described = await describe(cloud)
        assert described["EndpointStatus"] == "Updating"
        error = await cloud.error("delete_endpoint", EndpointName="digits")
        assert error.message == f'Cannot update in-progress endpoint "{ARN}".'
        await cloud.settle()
        described = await describe(cloud)
        assert described["EndpointStatus"] == "InService"
        main, side = described["ProductionVariants"]
        assert (main["CurrentInstanceCount"], main["CurrentWeight"]) == (3, 1.0)
        assert (side["CurrentInstanceCount"], side["CurrentWeight"]) == (1, 0.0)
        assert len(running(cloud)) == 4
        await change(cloud, {"VariantName": "AllTraffic", "DesiredInstanceCount": 1})
        await cloud.settle()
        assert len(running(cloud)) == 2
        assert [container.signals for container in cloud.containers.started if container.ended] == [
            ["TERM 30"],
            ["TERM 30"],
        ]
        assert await new_share(cloud, 3) == 0

    with_cloud(scenario)


def test_more_instances_than_the_quota_are_refused() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        limit = "The account-level service limit 'ml.t2.medium for endpoint usage' is 100 Instances, with "
        await deploy(cloud, variant(InitialInstanceCount=2))
        large = {"EndpointConfigName": "large", "ProductionVariants": [variant(InitialInstanceCount=101)]}
        await cloud.do("create_endpoint_config", **large)
        scaled = {"VariantName": "AllTraffic", "DesiredInstanceCount": 101}
        errors = [
            await cloud.error("create_endpoint", EndpointName="other", EndpointConfigName="large"),
            await cloud.error("update_endpoint", EndpointName="digits", EndpointConfigName="large"),
            await cloud.error(
                "update_endpoint_weights_and_capacities",
                EndpointName="digits",
                DesiredWeightsAndCapacities=[scaled],
            ),
        ]
        assert [error.code for error in errors] == ["ResourceLimitExceeded"] * 3
        for error, there in zip(errors, (0, 0, 2), strict=True):
            assert error.message.startswith(f"{limit}current utilization of {there} Instances and a request ")
            assert f" request delta of {101 - there} Instances. " in error.message
        assert [each["EndpointName"] for each in (await cloud.do("list_endpoints"))["Endpoints"]] == [
            "digits"
        ]
        assert (await describe(cloud))["EndpointStatus"] == "InService"
        assert len(running(cloud)) == 2

    with_cloud(scenario)


def test_scaling_that_fails_keeps_what_there_is() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud)
        cloud.images[SERVING] = image(broken)
        await change(cloud, {"VariantName": "AllTraffic", "DesiredInstanceCount": 3})
        await cloud.settle()
        described = await describe(cloud)
        assert described["EndpointStatus"] == "InService"
        assert "did not pass the ping health check" in described["FailureReason"]
        assert described["ProductionVariants"][0]["CurrentInstanceCount"] == 1
        assert described["ProductionVariants"][0]["DesiredInstanceCount"] == 1
        assert len(running(cloud)) == 1

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"VariantName": "none"}, 'The variant name(s) "none" is/are not present within endpoint.'),
        ({"VariantName": "AllTraffic", "DesiredInstanceCount": 0}, "needs at least one instance"),
        (
            {"VariantName": "AllTraffic", "ServerlessUpdateConfig": {"MaxConcurrency": 1}},
            "ServerlessUpdateConfig can only be specified for a serverless variant.",
        ),
    ],
)
def test_changes_that_cannot_be_made(asked: dict[str, Any], message: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud)
        error = await cloud.error(
            "update_endpoint_weights_and_capacities",
            EndpointName="digits",
            DesiredWeightsAndCapacities=[asked],
        )
        assert message in error.message

    with_cloud(scenario)


def test_a_serverless_variant_has_no_instances_to_be_seen() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        serverless = {"MemorySizeInMB": 2048, "MaxConcurrency": 3}
        asked = {"VariantName": "v", "ModelName": "digits", "ServerlessConfig": serverless}
        await deploy(cloud, asked)
        [served] = (await describe(cloud))["ProductionVariants"]
        assert served["CurrentInstanceCount"] == 0
        assert served["CurrentServerlessConfig"] == serverless
        assert cloud.containers.started[0].spec.memory == 2 * 2**30
        await change(cloud, {"VariantName": "v", "ServerlessUpdateConfig": {"MaxConcurrency": 7}})
        await cloud.settle()
        assert endpoint_of(cloud).fleet.variants["v"].concurrency == 7

    with_cloud(scenario)
