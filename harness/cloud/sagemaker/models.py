"""Models: what a serving container is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.images import require_model_image
from harness.cloud.sagemaker.records import Listing, Tags, moment
from harness.cloud.sagemaker.validation import invalid, null, one_of, only, parse_s3, unsupported
from harness.cloud.service import CloudContext

__all__ = ["Model", "Models"]

CONTAINER = ("ContainerHostname", "Image", "Mode", "ModelDataUrl", "Environment")
SUPPORTED = (
    "ModelName",
    "ExecutionRoleArn",
    "EnableNetworkIsolation",
    "Tags",
    *(f"PrimaryContainer.{member}" for member in CONTAINER),
    *(f"Containers.{member}" for member in CONTAINER),
)


@dataclass
class Model:
    """A model as the API knows it. It never changes."""

    name: str
    arn: str
    number: int
    created: float
    request: dict[str, Any]

    status = ""

    @property
    def modified(self) -> float:
        """When it was created."""
        return self.created

    @property
    def container(self) -> dict[str, Any]:
        """Its one container."""
        if "PrimaryContainer" in self.request:
            return self.request["PrimaryContainer"]  # type: ignore[no-any-return]
        return self.request["Containers"][0]  # type: ignore[no-any-return]

    @property
    def hostname(self) -> str:
        """What messages call the container."""
        return self.container.get("ContainerHostname") or "primary"


class Models:
    """CreateModel, DescribeModel, ListModels, DeleteModel."""

    def __init__(self, cloud: CloudContext, tags: Tags) -> None:
        self._cloud = cloud
        self._tags = tags
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
        if len(containers) > 1:
            raise unsupported("an inference pipeline (more than one of Containers)")
        if name in self._models:
            raise invalid(f'Cannot create already existing model "{arn}".')
        self._check(primary or containers[0])
        self._number += 1
        self._models[name] = Model(name, arn, self._number, self._cloud.clock.now(), params)
        self._tags.start(arn, params.get("Tags", ()))
        return {"ModelArn": arn}

    def _check(self, container: dict[str, Any]) -> None:
        one_of(container.get("Mode"), ("SingleModel",), "Mode")
        if not container.get("Image"):
            raise null("primaryContainer.image")
        require_model_image(self._cloud.images, container["Image"])
        url = container.get("ModelDataUrl")
        if not url:
            return
        place = parse_s3(url)
        if not place.key.endswith(".tar.gz"):
            raise invalid(
                f"The model data at {url} is not a .tar.gz archive; uncompressed model data needs "
                "ModelDataSource."
            )
        try:
            keys = self._cloud.storage.list(place.bucket, place.key)
        except ServiceError as error:
            raise invalid(f"Could not access model data at {url}. {error.message}") from error
        if all(key != place.key for key, _ in keys):
            raise invalid(f"Could not find model data at {url}.")

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
        container = {"Mode": "SingleModel", "Environment": {}, **model.container}
        described: dict[str, Any] = {"ModelName": name}
        if "PrimaryContainer" in model.request:
            described["PrimaryContainer"] = container
        else:
            described["Containers"] = [container]
        if "ExecutionRoleArn" in model.request:
            described["ExecutionRoleArn"] = model.request["ExecutionRoleArn"]
        return described | {
            "CreationTime": moment(model.created),
            "ModelArn": model.arn,
            "EnableNetworkIsolation": model.request.get("EnableNetworkIsolation", False),
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


def _summary(model: Model) -> dict[str, Any]:
    return {"ModelName": model.name, "ModelArn": model.arn, "CreationTime": moment(model.created)}
