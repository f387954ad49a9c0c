"""Models: what the serving containers of an endpoint or a transform job are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.cloud.sagemaker.images import require_label, require_model_image
from harness.cloud.sagemaker.models.data import ModelSource, model_source
from harness.cloud.sagemaker.records import Listing, Tags, moment
from harness.cloud.sagemaker.validation import invalid, no_nul, null, one_of, only
from harness.cloud.service import CloudContext
from harness.containers.contract.serving import MULTI_MODEL_LABEL

__all__ = ["Model", "ModelContainer", "Models", "PackageLookup"]

CONTAINER = (
    "ContainerHostname",
    "Environment",
    "Image",
    "ImageConfig.RepositoryAccessMode",
    "Mode",
    "ModelDataSource.S3DataSource.CompressionType",
    "ModelDataSource.S3DataSource.S3DataType",
    "ModelDataSource.S3DataSource.S3Uri",
    "ModelDataUrl",
    "ModelPackageName",
    "MultiModelConfig.ModelCacheSetting",
)
SUPPORTED = (
    "ModelName",
    "ExecutionRoleArn",
    "EnableNetworkIsolation",
    "InferenceExecutionConfig.Mode",
    "Tags",
    *(f"PrimaryContainer.{member}" for member in CONTAINER),
    *(f"Containers.{member}" for member in CONTAINER),
)
ENVIRONMENT_LIMIT = 32 * 1024
"""Bytes of all names and values in the environments of a model, put together."""

PackageLookup = Callable[[str], list[dict[str, Any]]]
"""The containers of a model package (ContainerDefinitions), by name or ARN; raises ServiceError."""


@dataclass(frozen=True)
class ModelContainer:
    """One container of a model.

    Attributes:
        hostname: What messages and callers call it.
        image: Image URI.
        environment: As the request has it.
        source: Its model data; None when it has none.
        multi_model: It serves any model below its source, which it is told to load and unload.
    """

    hostname: str
    image: str
    environment: Mapping[str, str] = field(default_factory=dict)
    source: ModelSource | None = None
    multi_model: bool = False


@dataclass
class Model:
    """A model as the API knows it. It never changes.

    Attributes:
        containers: In the order of the request, those of model packages in their place.
    """

    name: str
    arn: str
    number: int
    created: float
    request: dict[str, Any]
    containers: tuple[ModelContainer, ...]

    status = ""

    @property
    def modified(self) -> float:
        """When it was created."""
        return self.created

    @property
    def role(self) -> str | None:
        """The role its containers act in."""
        return self.request.get("ExecutionRoleArn")

    @property
    def isolated(self) -> bool:
        """Its containers reach nothing."""
        return bool(self.request.get("EnableNetworkIsolation"))

    @property
    def mode(self) -> str:
        """How several containers are invoked: ``Serial``, each with the answer of the last, or ``Direct``."""
        return str(self.request.get("InferenceExecutionConfig", {}).get("Mode", "Serial"))

    @property
    def multi_model(self) -> bool:
        """It serves any model below a prefix."""
        return self.containers[0].multi_model and len(self.containers) == 1


class Models:
    """CreateModel, DescribeModel, ListModels, DeleteModel.

    Args:
        cloud: Where they are.
        tags: Everybody's tags.
        packages: Finds the containers of a model package.
    """

    def __init__(self, cloud: CloudContext, tags: Tags, packages: PackageLookup) -> None:
        self._cloud = cloud
        self._tags = tags
        self._packages = packages
        self._models: dict[str, Model] = {}
        self._number = 0
        self._listing = Listing("Models", _summary, descending=True)

    def create(self, params: dict[str, Any]) -> dict[str, Any]:
        """Record a model.

        Raises:
            ServiceError: ValidationException.
        """
        only(params, SUPPORTED)
        name = params["ModelName"]
        arn = self._arn(name)
        primary, containers = params.get("PrimaryContainer"), params.get("Containers") or []
        if primary and containers:
            raise invalid("PrimaryContainer and Containers cannot both be specified.")
        if not primary and not containers:
            raise null("primaryContainer")
        if name in self._models:
            raise invalid(f'Cannot create already existing model "{arn}".')
        checked = self._containers(
            [primary] if primary else containers, "primaryContainer" if primary else ""
        )
        self._number += 1
        self._models[name] = Model(name, arn, self._number, self._cloud.clock.now(), params, checked)
        self._tags.start(arn, params.get("Tags", ()))
        return {"ModelArn": arn}

    def _containers(self, requested: list[dict[str, Any]], place: str) -> tuple[ModelContainer, ...]:
        """Check the containers of a request and put in those of model packages.

        Args:
            requested: ContainerDefinitions.
            place: Where the one is in the request; empty for a list of containers.
        """
        definitions: list[dict[str, Any]] = []
        for number, container in enumerate(requested, 1):
            _check(container, place or f"containers.{number}.member")
            definitions += self._expanded(container)
        named = [
            container["ContainerHostname"] for container in definitions if container.get("ContainerHostname")
        ]
        if len(definitions) > 1:
            if named and len(named) < len(definitions):
                raise invalid("ContainerHostname must be specified for all containers or for none of them.")
            if len(set(named)) < len(named):
                raise invalid("ContainerHostname must be unique within a model.")
            if sum(container.get("Mode") == "MultiModel" for container in definitions) > 1:
                raise invalid(
                    "More than one container in MultiModel mode is not supported with inference pipeline."
                )
        size = sum(
            len(key.encode()) + len(value.encode())
            for container in definitions
            for key, value in container.get("Environment", {}).items()
        )
        if size > ENVIRONMENT_LIMIT:
            raise invalid(
                f"The environment of the containers has {size} bytes; at most {ENVIRONMENT_LIMIT} are "
                "allowed."
            )
        alone = len(definitions) == 1
        return tuple(
            self._container(container, "primary" if alone else f"container-{number}")
            for number, container in enumerate(definitions, 1)
        )

    def _expanded(self, container: dict[str, Any]) -> list[dict[str, Any]]:
        if not container.get("ModelPackageName"):
            return [container]
        environment = container.get("Environment", {})
        return [
            packaged | {"Environment": {**packaged.get("Environment", {}), **environment}}
            for packaged in self._packages(container["ModelPackageName"])
        ]

    def _container(self, container: dict[str, Any], default: str) -> ModelContainer:
        image = require_model_image(self._cloud.images, container["Image"])
        multi_model = container.get("Mode") == "MultiModel"
        if multi_model:
            require_label(image, container["Image"], MULTI_MODEL_LABEL)
        source = model_source(container)
        if source is not None:
            source.require(self._cloud.storage)
        elif multi_model:
            raise invalid("ModelDataUrl must be specified for a container in MultiModel mode.")
        return ModelContainer(
            hostname=container.get("ContainerHostname") or default,
            image=container["Image"],
            environment=container.get("Environment", {}),
            source=source,
            multi_model=multi_model,
        )

    def get(self, name: str) -> Model:
        """A model by name.

        Raises:
            ServiceError: ValidationException.
        """
        model = self._models.get(name)
        if model is None:
            raise invalid(f'Could not find model "{self._arn(name)}".')
        return model

    def describe(self, name: str) -> dict[str, Any]:
        """DescribeModel.

        Raises:
            ServiceError: ValidationException.
        """
        model = self.get(name)
        request = model.request
        described: dict[str, Any] = {"ModelName": name}
        if "PrimaryContainer" in request:
            described["PrimaryContainer"] = _filled(request["PrimaryContainer"])
        else:
            described["Containers"] = [_filled(container) for container in request["Containers"]]
        for member in ("InferenceExecutionConfig", "ExecutionRoleArn"):
            if member in request:
                described[member] = request[member]
        return described | {
            "CreationTime": moment(model.created),
            "ModelArn": model.arn,
            "EnableNetworkIsolation": model.isolated,
        }

    def list(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListModels.

        Raises:
            ServiceError: ValidationException.
        """
        return self._listing.page(self._models.values(), params)

    def delete(self, name: str) -> None:
        """Forget a model. Its data stays, and so does what serves it.

        Raises:
            ServiceError: ValidationException.
        """
        model = self.get(name)
        del self._models[name]
        self._tags.forget(model.arn)

    def _arn(self, name: str) -> str:
        return self._cloud.arn("sagemaker", f"model/{name}")


def _check(container: Mapping[str, Any], place: str) -> None:
    """Refuse what a ContainerDefinition contradicts itself in, or is not supported."""
    one_of(
        container.get("ImageConfig", {}).get("RepositoryAccessMode"), ("Platform",), "RepositoryAccessMode"
    )
    one_of(container.get("MultiModelConfig", {}).get("ModelCacheSetting"), ("Enabled",), "ModelCacheSetting")
    no_nul(container, ("Environment",))
    if container.get("ModelPackageName"):
        for member in ("Image", "ModelDataUrl", "ModelDataSource", "Mode"):
            if container.get(member):
                raise invalid(f"{member} cannot be specified together with ModelPackageName.")
    elif not container.get("Image"):
        raise null(f"{place}.image")


def _filled(container: dict[str, Any]) -> dict[str, Any]:
    if container.get("ModelPackageName"):
        return container
    return {"Mode": "SingleModel", "Environment": {}, **container}


def _summary(model: Model) -> dict[str, Any]:
    return {"ModelName": model.name, "ModelArn": model.arn, "CreationTime": moment(model.created)}
