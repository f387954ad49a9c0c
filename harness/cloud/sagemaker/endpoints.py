"""Endpoints: their life from Creating to gone."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from harness.cloud.faults import JobFault
from harness.cloud.sagemaker.endpoint_configs import EndpointConfig, EndpointConfigs
from harness.cloud.sagemaker.images import resolved
from harness.cloud.sagemaker.jobs import INTERNAL_ERROR
from harness.cloud.sagemaker.records import Listing, Tags, moment
from harness.cloud.sagemaker.serving import WAITING
from harness.cloud.sagemaker.validation import invalid, only
from harness.cloud.sagemaker.variants import Fleet, StartFailed, Variant
from harness.cloud.service import CloudContext

__all__ = ["Endpoint", "Endpoints"]

IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


class Endpoint:
    """An endpoint as the API knows it."""

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
        """What serves, None before anything does."""
        self.next: Fleet | None = None
        """What is being brought up."""


class Endpoints:
    """CreateEndpoint, DescribeEndpoint, ListEndpoints, UpdateEndpoint, DeleteEndpoint.

    Args:
        cloud: Where they run.
        configs: The endpoint configurations.
        tags: Everybody's tags.
        startup_limit: Real seconds a container has to answer ``/ping``.
    """

    def __init__(
        self, cloud: CloudContext, configs: EndpointConfigs, tags: Tags, *, startup_limit: float
    ) -> None:
        self._cloud = cloud
        self._configs = configs
        self._tags = tags
        self._startup_limit = startup_limit
        self._endpoints: dict[str, Endpoint] = {}
        self._number = 0
        self._deployments = itertools.count(1)
        self._listing = Listing("Endpoints", _summary, descending=True)

    def create(self, params: dict[str, Any]) -> dict[str, Any]:
        """Begin to create an endpoint.

        Raises:
            ServiceError: ValidationException.
        """
        only(params, ("EndpointName", "EndpointConfigName", "Tags"))
        name = params["EndpointName"]
        config = self._configs.get(params["EndpointConfigName"])
        for (
            other
        ) in self._endpoints.values():  # names are compared without regard to case here, and only here
            if other.name.lower() == name.lower():
                raise invalid(f'Cannot create already existing endpoint "{other.arn}".')
        self._number += 1
        endpoint = Endpoint(name, self._arn(name), self._number, self._cloud.clock.now(), config)
        self._endpoints[name] = endpoint
        self._tags.start(endpoint.arn, params.get("Tags", ()))
        self._deploy(endpoint, config, params)
        return {"EndpointArn": endpoint.arn}

    def update(self, params: dict[str, Any]) -> dict[str, Any]:
        """Begin to replace what an endpoint serves: the new beside the old, then only the new.

        Raises:
            ServiceError: ValidationException.
        """
        only(params, ("EndpointName", "EndpointConfigName"))
        endpoint = self.get(params["EndpointName"])
        config = self._configs.get(params["EndpointConfigName"])
        if endpoint.status != "InService":
            raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        self._deploy(endpoint, config, params)
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
                _variant(variant) for variant in endpoint.fleet.variants.values()
            ]
        if endpoint.failure_reason is not None:
            described["FailureReason"] = endpoint.failure_reason
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

    def _deploy(self, endpoint: Endpoint, config: EndpointConfig, params: dict[str, Any]) -> None:
        self._enter(endpoint, "Creating" if endpoint.fleet is None else "Updating")
        fault = self._cloud.faults.job("endpoint", endpoint.name, params) or JobFault()
        fleet = Fleet(self._cloud, endpoint.name, next(self._deployments), config, self._startup_limit)
        self._cloud.spawn(self._bring_up(endpoint, fleet, fault), f"deploy endpoint {endpoint.name}")

    async def _bring_up(self, endpoint: Endpoint, fleet: Fleet, fault: JobFault) -> None:
        clock = self._cloud.clock
        started = clock.now()
        endpoint.next = fleet
        reason: str | None = None
        with clock.work("job"):
            try:
                if fault.run:
                    await fleet.start()
                if fault.failure is not None or fault.exit_code:
                    await fleet.stop()
                    reason = fault.failure or _unhealthy(fleet)
            except StartFailed as failure:
                reason = str(failure)
            except Exception:
                # A mistake of ours. The endpoint must not stay in progress, and the mistake must be seen.
                self._settle(endpoint, INTERNAL_ERROR)
                raise
        await clock.sleep_until(started + fault.takes)
        if reason is not None:
            self._settle(endpoint, reason)
            return
        old = endpoint.fleet
        endpoint.fleet, endpoint.config = fleet, fleet.config
        self._settle(endpoint, None)
        if old is not None:
            await old.stop()

    def _settle(self, endpoint: Endpoint, reason: str | None) -> None:
        """End a deployment: with nothing to serve the endpoint has failed, else what serves goes on."""
        endpoint.next = None
        endpoint.failure_reason = reason
        self._enter(endpoint, "Failed" if endpoint.fleet is None else "InService")

    async def _delete(self, endpoint: Endpoint) -> None:
        with self._cloud.clock.work("job"):
            if endpoint.fleet is not None:
                await endpoint.fleet.stop()
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


def _unhealthy(fleet: Fleet) -> str:
    variant = next(iter(fleet.variants.values()))
    return (
        f"The {variant.model.hostname} container for production variant {variant.name} did not pass the ping "
        "health check. Please check CloudWatch logs for this endpoint."
    )


def _variant(variant: Variant) -> dict[str, Any]:
    described: dict[str, Any] = {"VariantName": variant.name}
    if variant.image is not None and variant.ready_at is not None:
        described["DeployedImages"] = [
            {
                "SpecifiedImage": variant.image_uri,
                "ResolvedImage": resolved(variant.image_uri, variant.image),
                "ResolutionTime": moment(variant.ready_at),
            }
        ]
    return described | {
        "CurrentWeight": variant.weight,
        "DesiredWeight": variant.weight,
        "CurrentInstanceCount": len(variant.instances),
        "DesiredInstanceCount": len(variant.instances),
    }


def _summary(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "CreationTime": moment(endpoint.created),
        "LastModifiedTime": moment(endpoint.modified),
        "EndpointStatus": endpoint.status,
    }
