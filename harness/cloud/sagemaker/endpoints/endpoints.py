"""Endpoints: their life from Creating to gone."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from harness.cloud.faults import JobFault
from harness.cloud.sagemaker.endpoints.configs import EndpointConfig, EndpointConfigs
from harness.cloud.sagemaker.endpoints.instance import Health, unhealthy
from harness.cloud.sagemaker.endpoints.rollout import DeploymentPolicy, RollbackFailed, Rollout, RolloutFailed
from harness.cloud.sagemaker.endpoints.variants import Fleet, StartFailed, Variant
from harness.cloud.sagemaker.jobs import INTERNAL_ERROR
from harness.cloud.sagemaker.quotas import require_quota
from harness.cloud.sagemaker.records import Listing, Tags, moment
from harness.cloud.sagemaker.serving import WAITING
from harness.cloud.sagemaker.validation import invalid, only
from harness.cloud.service import CloudContext

__all__ = ["Endpoint", "Endpoints"]

IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
UPDATABLE = ("InService", "UpdateRollbackFailed")
UPDATE = (
    "DeploymentConfig",
    "EndpointConfigName",
    "EndpointName",
    "ExcludeRetainedVariantProperties",
    "RetainAllVariantProperties",
    "RetainDeploymentConfig",
)
CAPACITIES = (
    "EndpointName",
    "DesiredWeightsAndCapacities.DesiredInstanceCount",
    "DesiredWeightsAndCapacities.DesiredWeight",
    "DesiredWeightsAndCapacities.ServerlessUpdateConfig.MaxConcurrency",
    "DesiredWeightsAndCapacities.VariantName",
)


class Endpoint:
    """An endpoint as the API knows it.

    Attributes:
        config: The configuration of what serves.
        fleet: What serves, None before anything does.
        next: What is being brought up.
        share: The share of the traffic, from 0 to 1, that `next` gets.
        deployment: The DeploymentConfig of the last deployment, None when it had none.
        data_capture: The DataCaptureConfig in force, None when there is none.
    """

    def __init__(self, name: str, arn: str, number: int, created: float, config: EndpointConfig) -> None:
        self.name = name
        self.arn = arn
        self.number = number
        self.created = created
        self.modified = created
        self.config = config
        self.status = "Creating"
        self.failure_reason: str | None = None
        self.fleet: Fleet | None = None
        self.next: Fleet | None = None
        self.next_since = created
        self.share = 0.0
        self.deployment: Mapping[str, Any] | None = None
        self.data_capture: Mapping[str, Any] | None = config.request.get("DataCaptureConfig")

    def choose(self, draw: Callable[[], float], target: str | None = None) -> Variant | None:
        """The variant an invocation goes to.

        Args:
            draw: A random number in [0, 1); only asked when there is a choice.
            target: TargetVariant, when the invocation has one.

        Returns:
            None when there is no such variant, or no variant has a weight.
        """
        fleets = [(self.fleet, 1 - self.share), (self.next, self.share)]
        open_ones = [
            (fleet, share)
            for fleet, share in fleets
            if fleet is not None and share > 0 and (target is None or target in fleet.variants)
        ]
        if not open_ones:
            return None
        fleet, share = open_ones[0]
        if len(open_ones) > 1 and draw() >= share:
            fleet, _ = open_ones[1]
        return fleet.choose(draw) if target is None else fleet.variants[target]


class Endpoints:
    """CreateEndpoint, DescribeEndpoint, ListEndpoints, UpdateEndpoint, DeleteEndpoint.

    Args:
        cloud: Where they run.
        configs: The endpoint configurations.
        tags: Everybody's tags.
        health: When a container counts as healthy.
    """

    def __init__(self, cloud: CloudContext, configs: EndpointConfigs, tags: Tags, health: Health) -> None:
        self._cloud = cloud
        self._configs = configs
        self._tags = tags
        self._health = health
        self._endpoints: dict[str, Endpoint] = {}
        self._number = 0
        self._deployments = itertools.count(1)
        self._listing = Listing("Endpoints", _summary, descending=True)

    def create(self, params: dict[str, Any]) -> dict[str, Any]:
        """Begin to create an endpoint.

        Raises:
            ServiceError: ValidationException.
        """
        only(params, ("DeploymentConfig", "EndpointName", "EndpointConfigName", "Tags"))
        name = params["EndpointName"]
        config = self._configs.get(params["EndpointConfigName"])
        policy = self._policy(params.get("DeploymentConfig"))
        for other in self._endpoints.values():
            # Names are compared without regard to case here, and only here.
            if other.name.lower() == name.lower():
                raise invalid(f'Cannot create already existing endpoint "{other.arn}".')
        _check_quota(config)
        self._number += 1
        endpoint = Endpoint(name, self._arn(name), self._number, self._cloud.clock.now(), config)
        endpoint.deployment = policy.request or None
        self._endpoints[name] = endpoint
        self._tags.start(endpoint.arn, params.get("Tags", ()))
        fleet = self._fleet(endpoint, config)
        self._begin(endpoint, "Creating", self._bring_up(endpoint, fleet, self._fault(endpoint, params)))
        return {"EndpointArn": endpoint.arn}

    def update(self, params: dict[str, Any]) -> dict[str, Any]:
        """Begin to replace what an endpoint serves, step by step as its DeploymentConfig says.

        Raises:
            ServiceError: ValidationException.
        """
        only(params, UPDATE)
        endpoint = self._updatable(params["EndpointName"])
        config = self._configs.get(params["EndpointConfigName"])
        wanted = params.get("DeploymentConfig")
        if params.get("RetainDeploymentConfig"):
            if wanted:
                raise invalid("DeploymentConfig and RetainDeploymentConfig cannot both be specified.")
            wanted = endpoint.deployment
        policy = self._policy(wanted)
        _check_quota(config)
        fleet = self._fleet(endpoint, config)
        capture = config.request.get("DataCaptureConfig")
        if params.get("RetainAllVariantProperties"):
            excluded = {
                item["VariantPropertyType"] for item in params.get("ExcludeRetainedVariantProperties", ())
            }
            _retain(endpoint, fleet, excluded)
            if "DataCaptureConfig" not in excluded:
                capture = endpoint.data_capture
        elif params.get("ExcludeRetainedVariantProperties"):
            raise invalid("ExcludeRetainedVariantProperties needs RetainAllVariantProperties.")
        policy.check_for([variant.desired_count for variant in fleet.variants.values()])
        endpoint.deployment = policy.request or None
        fault = self._fault(endpoint, params)
        self._begin(endpoint, "Updating", self._replace(endpoint, fleet, policy, capture, fault))
        return {"EndpointArn": endpoint.arn}

    def update_weights_and_capacities(self, params: dict[str, Any]) -> dict[str, Any]:
        """Begin to give variants other weights and other numbers of instances.

        Raises:
            ServiceError: ValidationException.
        """
        only(params, CAPACITIES)
        endpoint = self._updatable(params["EndpointName"])
        assert endpoint.fleet is not None  # it can be updated
        changes: list[tuple[Variant, dict[str, Any]]] = []
        for change in params["DesiredWeightsAndCapacities"]:
            variant = endpoint.fleet.variants.get(change["VariantName"])
            if variant is None:
                raise invalid(
                    f'The variant name(s) "{change["VariantName"]}" is/are not present within endpoint.'
                )
            if variant.serverless is not None and "DesiredInstanceCount" in change:
                raise invalid("DesiredInstanceCount cannot be specified for a serverless variant.")
            if variant.serverless is None and "ServerlessUpdateConfig" in change:
                raise invalid("ServerlessUpdateConfig can only be specified for a serverless variant.")
            if change.get("DesiredInstanceCount") == 0:
                raise invalid(f"The variant {variant.name} needs at least one instance.")
            require_quota(
                "endpoint",
                variant.config.get("InstanceType", ""),
                change.get("DesiredInstanceCount", 0),
                utilization=len(variant.instances),
            )
            changes.append((variant, change))
        self._begin(endpoint, "Updating", self._change(endpoint, changes))
        return {"EndpointArn": endpoint.arn}

    def delete(self, name: str) -> None:
        """Begin to delete an endpoint.

        Raises:
            ServiceError: ValidationException.
        """
        endpoint = self.get(name)
        if endpoint.status in IN_PROGRESS:
            raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        self._enter(endpoint, "Deleting")
        self._cloud.spawn(self._delete(endpoint), f"delete endpoint {name}")

    def get(self, name: str) -> Endpoint:
        """An endpoint by name.

        Raises:
            ServiceError: ValidationException.
        """
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            raise invalid(f'Could not find endpoint "{self._arn(name)}".')
        return endpoint

    def serving(self, name: str) -> Endpoint | None:
        """An endpoint that can be invoked."""
        endpoint = self._endpoints.get(name)
        if endpoint is None or endpoint.fleet is None or endpoint.status == "Deleting":
            return None
        return endpoint

    def describe(self, name: str) -> dict[str, Any]:
        """DescribeEndpoint.

        Raises:
            ServiceError: ValidationException.
        """
        endpoint = self.get(name)
        described: dict[str, Any] = {
            "EndpointName": endpoint.name,
            "EndpointArn": endpoint.arn,
            "EndpointConfigName": endpoint.config.name,
            "EndpointStatus": endpoint.status,
            "CreationTime": moment(endpoint.created),
            "LastModifiedTime": moment(endpoint.modified),
        }
        if endpoint.fleet is not None:
            described["ProductionVariants"] = [
                variant.describe() for variant in endpoint.fleet.variants.values()
            ]
        if endpoint.data_capture is not None:
            described["DataCaptureConfig"] = _capture(endpoint)
        if "AsyncInferenceConfig" in endpoint.config.request:
            described["AsyncInferenceConfig"] = endpoint.config.request["AsyncInferenceConfig"]
        if endpoint.deployment is not None:
            described["LastDeploymentConfig"] = endpoint.deployment
        if endpoint.failure_reason is not None:
            described["FailureReason"] = endpoint.failure_reason
        if endpoint.next is not None:
            described["PendingDeploymentSummary"] = _pending(endpoint, endpoint.next)
        return described

    def list(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListEndpoints.

        Raises:
            ServiceError: ValidationException.
        """
        return self._listing.page(self._endpoints.values(), params)

    async def close(self) -> None:
        """Stop everything that serves, without grace."""
        fleets = [fleet for endpoint in self._endpoints.values() for fleet in (endpoint.fleet, endpoint.next)]
        await asyncio.gather(*(fleet.stop(grace=0) for fleet in fleets if fleet is not None))

    # The work behind it ------------------------------------------------------------------------------

    def _updatable(self, name: str) -> Endpoint:
        endpoint = self.get(name)
        if endpoint.status not in UPDATABLE:
            raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        return endpoint

    @staticmethod
    def _policy(request: Mapping[str, Any] | None) -> DeploymentPolicy:
        return DeploymentPolicy(request or {})

    def _fleet(self, endpoint: Endpoint, config: EndpointConfig) -> Fleet:
        return Fleet(self._cloud, endpoint.name, next(self._deployments), config, self._health)

    def _fault(self, endpoint: Endpoint, params: dict[str, Any]) -> JobFault:
        return self._cloud.faults.job("endpoint", endpoint.name, params) or JobFault()

    def _begin(self, endpoint: Endpoint, status: str, work: Coroutine[Any, Any, None]) -> None:
        """Enter a status that `work` leads out of."""
        endpoint.failure_reason = None
        self._enter(endpoint, status)
        self._cloud.spawn(self._survive(endpoint, work), f"deploy endpoint {endpoint.name}")

    async def _survive(self, endpoint: Endpoint, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            # A mistake of ours. The endpoint must not stay in progress, and the mistake must be seen.
            unfinished = endpoint.next
            self._settle(endpoint, INTERNAL_ERROR)
            if unfinished is not None:
                await unfinished.stop(grace=0)
            raise

    async def _bring_up(self, endpoint: Endpoint, fleet: Fleet, fault: JobFault) -> None:
        """Create: nothing serves before everything is ready."""
        started = self._announce(endpoint, fleet)
        reason: str | None = None
        with self._cloud.clock.work("job"):
            try:
                if fault.run:
                    await fleet.start()
                reason = await self._failed_on_purpose(fleet, fault)
            except StartFailed as failure:
                reason = str(failure)
        await self._cloud.clock.sleep_until(started + fault.takes)
        if reason is None:
            endpoint.fleet = fleet
        self._settle(endpoint, reason)

    async def _replace(
        self,
        endpoint: Endpoint,
        fleet: Fleet,
        policy: DeploymentPolicy,
        capture: Mapping[str, Any] | None,
        fault: JobFault,
    ) -> None:
        """Update: what serves goes on until the new version has proved itself."""
        old = endpoint.fleet
        assert old is not None  # it can be updated
        started = self._announce(endpoint, fleet)
        rollout = Rollout(self._cloud, policy, old, fleet, partial(setattr, endpoint, "share"))

        async def provisioned() -> None:
            reason = await self._failed_on_purpose(fleet, fault)
            await self._cloud.clock.sleep_until(started + fault.takes)
            if reason is not None:
                raise RolloutFailed(reason)

        try:
            await rollout.run(provisioned)
        except RolloutFailed as failure:
            await self._cloud.clock.sleep_until(started + fault.takes)
            await self._roll_back(endpoint, rollout, str(failure))
            return
        endpoint.fleet, endpoint.config, endpoint.data_capture = fleet, fleet.config, capture
        self._settle(endpoint, None)
        with self._cloud.clock.work("job"):
            await old.stop()

    async def _roll_back(self, endpoint: Endpoint, rollout: Rollout, reason: str) -> None:
        endpoint.failure_reason = reason
        self._enter(endpoint, "RollingBack")
        try:
            await rollout.roll_back()
        except RollbackFailed as failure:
            endpoint.failure_reason = f"{reason} The rollback failed, too: {failure}"
            self._enter(endpoint, "UpdateRollbackFailed")  # both versions go on serving
            return
        self._settle(endpoint, reason)

    async def _change(self, endpoint: Endpoint, changes: Sequence[tuple[Variant, dict[str, Any]]]) -> None:
        """Other weights and capacities."""
        reason: str | None = None
        for variant, change in changes:
            variant.desired_weight = change.get("DesiredWeight", variant.weight)
            variant.desired_count = change.get("DesiredInstanceCount", variant.desired_count)
        with self._cloud.clock.work("job"):
            for variant, change in changes:
                if "ServerlessUpdateConfig" in change:
                    assert variant.serverless is not None  # checked
                    variant.serverless = {**variant.serverless, **change["ServerlessUpdateConfig"]}
                elif variant.desired_count != len(variant.instances):
                    try:
                        await variant.scale(variant.desired_count)
                    except StartFailed as failure:
                        reason = str(failure)
                        variant.desired_count = len(variant.instances)
                        variant.desired_weight = variant.weight
                        continue
                variant.weight = variant.desired_weight
        self._settle(endpoint, reason)

    def _announce(self, endpoint: Endpoint, fleet: Fleet) -> float:
        """Let a new fleet be seen; the time it was."""
        endpoint.next, endpoint.next_since = fleet, self._cloud.clock.now()
        return endpoint.next_since

    @staticmethod
    async def _failed_on_purpose(fleet: Fleet, fault: JobFault) -> str | None:
        """Why a scenario lets a deployment fail, None when it does not."""
        if fault.failure is None and not fault.exit_code:
            return None
        await fleet.stop()
        variant = next(iter(fleet.variants.values()))
        return fault.failure or unhealthy(variant.model.containers[0].hostname, variant.name)

    def _settle(self, endpoint: Endpoint, reason: str | None) -> None:
        """End a deployment: with nothing to serve the endpoint has failed, else what serves goes on."""
        endpoint.next = None
        endpoint.share = 0.0
        endpoint.failure_reason = reason
        self._enter(endpoint, "Failed" if endpoint.fleet is None else "InService")

    async def _delete(self, endpoint: Endpoint) -> None:
        with self._cloud.clock.work("job"):
            fleets = [fleet for fleet in (endpoint.fleet, endpoint.next) if fleet is not None]
            await asyncio.gather(*(fleet.stop() for fleet in fleets))
        del self._endpoints[endpoint.name]
        self._tags.forget(endpoint.arn)
        self._cloud.events.publish("job", endpoint.name, type="endpoint", status="Deleted", reason=None)

    def _enter(self, endpoint: Endpoint, status: str) -> None:
        endpoint.status = status
        endpoint.modified = self._cloud.clock.now()
        self._cloud.events.publish(
            "job",
            endpoint.name,
            type="endpoint",
            status=status,
            reason=endpoint.failure_reason,
            message=WAITING if status in ("Creating", "Updating") else None,
        )

    def _arn(self, name: str) -> str:
        return self._cloud.arn("sagemaker", f"endpoint/{name}")


def _check_quota(config: EndpointConfig) -> None:
    for variant in config.variants:
        if "ServerlessConfig" not in variant:
            require_quota("endpoint", variant["InstanceType"], variant["InitialInstanceCount"])


def _retain(endpoint: Endpoint, fleet: Fleet, excluded: set[str]) -> None:
    """Give the variants of a new fleet what those of the same name have: weights and numbers of instances."""
    assert endpoint.fleet is not None  # it can be updated
    for name, variant in fleet.variants.items():
        before = endpoint.fleet.variants.get(name)
        if before is None:
            continue
        if "DesiredWeight" not in excluded:
            variant.weight = variant.desired_weight = before.desired_weight
        if "DesiredInstanceCount" not in excluded and variant.serverless is None:
            variant.desired_count = before.desired_count


def _capture(endpoint: Endpoint) -> dict[str, Any]:
    capture = endpoint.data_capture
    assert capture is not None  # asked for
    on = bool(capture.get("EnableCapture")) and endpoint.status == "InService"
    return {
        "EnableCapture": bool(capture.get("EnableCapture")),
        "CaptureStatus": "Started" if on else "Stopped",
        "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
        "DestinationS3Uri": capture["DestinationS3Uri"],
        "KmsKeyId": "",
    }


def _pending(endpoint: Endpoint, fleet: Fleet) -> dict[str, Any]:
    """PendingDeploymentSummary."""
    status = {"Status": fleet.stage, "StartTime": moment(fleet.stage_since)}
    return {
        "EndpointConfigName": fleet.config.name,
        "ProductionVariants": [
            {**variant.describe(), "VariantStatus": [status]} for variant in fleet.variants.values()
        ],
        "StartTime": moment(endpoint.next_since),
    }


def _summary(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "CreationTime": moment(endpoint.created),
        "LastModifiedTime": moment(endpoint.modified),
        "EndpointStatus": endpoint.status,
    }
