"""Endpoint configurations: which models an endpoint serves, and with what share of the traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.cloud.sagemaker.models.models import Model, Models
from harness.cloud.sagemaker.records import Listing, Tags, moment
from harness.cloud.sagemaker.validation import invalid, null, one_of, only, parse_s3
from harness.cloud.service import CloudContext

__all__ = ["EndpointConfig", "EndpointConfigs"]

VARIANT = (
    "ContainerStartupHealthCheckTimeoutInSeconds",
    "InitialInstanceCount",
    "InitialVariantWeight",
    "InstanceType",
    "ModelDataDownloadTimeoutInSeconds",
    "ModelName",
    "RoutingConfig.RoutingStrategy",
    "ServerlessConfig.MaxConcurrency",
    "ServerlessConfig.MemorySizeInMB",
    "VariantName",
    "VolumeSizeInGB",
)
ASYNC = (
    "ClientConfig.MaxConcurrentInvocationsPerInstance",
    "OutputConfig.NotificationConfig",
    "OutputConfig.S3FailurePath",
    "OutputConfig.S3OutputPath",
)
CAPTURE = (
    "CaptureContentTypeHeader",
    "CaptureOptions",
    "DestinationS3Uri",
    "EnableCapture",
    "InitialSamplingPercentage",
)
SUPPORTED = (
    "EndpointConfigName",
    "EnableNetworkIsolation",
    "Tags",
    *(f"AsyncInferenceConfig.{member}" for member in ASYNC),
    *(f"DataCaptureConfig.{member}" for member in CAPTURE),
    *(f"ProductionVariants.{member}" for member in VARIANT),
)
ECHOED = ("AsyncInferenceConfig", "DataCaptureConfig")
STRATEGIES = ("LEAST_OUTSTANDING_REQUESTS", "RANDOM")
INSTANCE_MEMBERS = ("InitialInstanceCount", "InstanceType", "VolumeSizeInGB", "RoutingConfig")
"""What a serverless variant has not."""

SERVERLESS_MEMORY = range(1024, 6145, 1024)


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

    @property
    def isolated(self) -> bool:
        """Its containers reach nothing, whatever their models say."""
        return bool(self.request.get("EnableNetworkIsolation"))


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
            _check_variant(variant, f"productionVariants.{number}.member")
            if variant["VariantName"] in models:
                raise invalid(f"Duplicate production variant name: {variant['VariantName']}.")
            model = self._models.get(variant["ModelName"])
            _check_model(variant, model)
            models[variant["VariantName"]] = model
        if "AsyncInferenceConfig" in params:
            _check_async(params)
        if "DataCaptureConfig" in params:
            parse_s3(params["DataCaptureConfig"]["DestinationS3Uri"])
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
        echoed = {member: config.request[member] for member in ECHOED if member in config.request}
        return {
            "EndpointConfigName": config.name,
            "EndpointConfigArn": config.arn,
            "ProductionVariants": config.variants,
            **echoed,
            "CreationTime": moment(config.created),
            "EnableNetworkIsolation": config.isolated,
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


def _check_variant(variant: Mapping[str, Any], place: str) -> None:
    if not variant.get("ModelName"):
        raise null(f"{place}.modelName")
    one_of(variant.get("RoutingConfig", {}).get("RoutingStrategy"), STRATEGIES, "RoutingStrategy")
    serverless = variant.get("ServerlessConfig")
    if serverless is None:
        for member in ("InitialInstanceCount", "InstanceType"):
            if not variant.get(member):
                raise null(f"{place}.{member[0].lower()}{member[1:]}")
        return
    for member in INSTANCE_MEMBERS:
        if variant.get(member):
            raise invalid(f"{member} cannot be specified together with ServerlessConfig.")
    if serverless["MemorySizeInMB"] not in SERVERLESS_MEMORY:
        sizes = ", ".join(str(size) for size in SERVERLESS_MEMORY)
        raise invalid(f"MemorySizeInMB {serverless['MemorySizeInMB']} is not one of {sizes}.")


def _check_model(variant: Mapping[str, Any], model: Model) -> None:
    """Refuse what serverless variants cannot serve (SageMaker developer guide, "Feature exclusions")."""
    if "ServerlessConfig" not in variant:
        return
    if len(model.containers) > 1 or model.multi_model:
        raise invalid("A serverless variant can only serve a model of one container in SingleModel mode.")
    if model.containers[0].source is not None and model.containers[0].source.form != "archive":
        raise invalid("ModelDataSource is not supported for a serverless variant.")


def _check_async(params: Mapping[str, Any]) -> None:
    output = params["AsyncInferenceConfig"]["OutputConfig"]
    for member in ("S3OutputPath", "S3FailurePath"):
        if output.get(member):
            parse_s3(output[member])
    if any("ServerlessConfig" in variant for variant in params["ProductionVariants"]):
        raise invalid("AsyncInferenceConfig is not supported for a serverless variant.")


def _summary(config: EndpointConfig) -> dict[str, Any]:
    return {
        "EndpointConfigName": config.name,
        "EndpointConfigArn": config.arn,
        "CreationTime": moment(config.created),
    }
