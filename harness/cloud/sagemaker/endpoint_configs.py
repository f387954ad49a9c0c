"""Endpoint configurations: which models an endpoint serves, and with what share of the traffic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.cloud.sagemaker.models import Model, Models
from harness.cloud.sagemaker.records import Listing, Tags, moment
from harness.cloud.sagemaker.validation import invalid, null, only
from harness.cloud.service import CloudContext

__all__ = ["EndpointConfig", "EndpointConfigs"]

SUPPORTED = (
    "EndpointConfigName",
    "Tags",
    "ProductionVariants.VariantName",
    "ProductionVariants.ModelName",
    "ProductionVariants.InitialInstanceCount",
    "ProductionVariants.InstanceType",
    "ProductionVariants.InitialVariantWeight",
    "ProductionVariants.ContainerStartupHealthCheckTimeoutInSeconds",
    "EnableNetworkIsolation",
)


@dataclass
class EndpointConfig:
    """An endpoint configuration as the API knows it. It never changes.

    `models` are the models as they were when it was created, by variant: what becomes of them later does
    not concern it.
    """

    name: str
    arn: str
    number: int
    created: float
    request: dict[str, Any]
    models: dict[str, Model]

    status = ""

    @property
    def modified(self) -> float:
        """When it was created."""
        return self.created

    @property
    def variants(self) -> list[dict[str, Any]]:
        """The production variants, with what the request left out filled in."""
        return [{"InitialVariantWeight": 1.0, **variant} for variant in self.request["ProductionVariants"]]


class EndpointConfigs:
    """CreateEndpointConfig, DescribeEndpointConfig, ListEndpointConfigs, DeleteEndpointConfig."""

    def __init__(self, cloud: CloudContext, models: Models, tags: Tags) -> None:
        self._cloud = cloud
        self._models = models
        self._tags = tags
        self._configs: dict[str, EndpointConfig] = {}
        self._number = 0
        self._listing = Listing("EndpointConfigs", _summary, descending=True)

    def create(self, params: dict[str, Any]) -> dict[str, Any]:
        """Record a configuration.

        Raises:
            ServiceError: ValidationException.
        """
        only(params, SUPPORTED)
        name = params["EndpointConfigName"]
        arn = self._arn(name)
        if name in self._configs:
            raise invalid(f'Cannot create already existing endpoint configuration "{arn}".')
        models: dict[str, Model] = {}
        for number, variant in enumerate(params["ProductionVariants"], 1):
            place = f"productionVariants.{number}.member"
            for member in ("ModelName", "InitialInstanceCount", "InstanceType"):
                if not variant.get(member):
                    raise null(f"{place}.{member[0].lower()}{member[1:]}")
            if variant["VariantName"] in models:
                raise invalid(f"Duplicate production variant name: {variant['VariantName']}.")
            models[variant["VariantName"]] = self._models.get(variant["ModelName"])
        self._number += 1
        self._configs[name] = EndpointConfig(name, arn, self._number, self._cloud.clock.now(), params, models)
        self._tags.start(arn, params.get("Tags", ()))
        return {"EndpointConfigArn": arn}

    def get(self, name: str) -> EndpointConfig:
        """A configuration by name.

        Raises:
            ServiceError: ValidationException.
        """
        config = self._configs.get(name)
        if config is None:
            raise invalid(f'Could not find endpoint configuration "{self._arn(name)}".')
        return config

    def describe(self, name: str) -> dict[str, Any]:
        """DescribeEndpointConfig.

        Raises:
            ServiceError: ValidationException.
        """
        config = self.get(name)
        return {
            "EndpointConfigName": config.name,
            "EndpointConfigArn": config.arn,
            "ProductionVariants": config.variants,
            "CreationTime": moment(config.created),
            "EnableNetworkIsolation": config.request.get("EnableNetworkIsolation", False),
        }

    def list(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListEndpointConfigs.

        Raises:
            ServiceError: ValidationException.
        """
        return self._listing.page(self._configs.values(), params)

    def delete(self, name: str) -> None:
        """Forget a configuration. Endpoints that use it go on.

        Raises:
            ServiceError: ValidationException.
        """
        config = self.get(name)
        del self._configs[name]
        self._tags.forget(config.arn)

    def _arn(self, name: str) -> str:
        return self._cloud.arn("sagemaker", f"endpoint-config/{name}")


def _summary(config: EndpointConfig) -> dict[str, Any]:
    return {
        "EndpointConfigName": config.name,
        "EndpointConfigArn": config.arn,
        "CreationTime": moment(config.created),
    }
