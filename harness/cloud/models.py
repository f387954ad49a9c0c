"""The AWS service models, read from the data files that botocore ships.

The files are read as they are, without importing botocore: its import costs about 0.2 s, which a local cloud
that is started for one execution would feel, and a user's own models in ``~/.aws/models`` must not change
what the local cloud accepts.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentFault

Shape = Mapping[str, Any]
"""A shape as the model file has it: ``type``, ``members``, ``required``, ``min``, ``pattern`` ..."""


@dataclass(frozen=True)
class OperationModel:
    """One operation of a service.

    Attributes:
        name: e.g. ``CreateTrainingJob``.
        method: HTTP method.
        uri: Request URI template, with its literal query string if it has one.
        status: HTTP status of a success.
        input: Name of the input shape; None when it takes nothing.
        output: Name of the output shape; None when it answers nothing.
    """

    name: str
    method: str
    uri: str
    status: int
    input: str | None
    output: str | None


@dataclass(frozen=True)
class ErrorModel:
    """One modelled error.

    Attributes:
        code: What clients see.
        status: HTTP status; None when the model does not say.
        members: Of the error's shape, name -> reference.
    """

    code: str
    status: int | None
    members: Mapping[str, Any]


@dataclass(frozen=True)
class ServiceModel:
    """What botocore knows about a service.

    Attributes:
        service: botocore's service name.
        service_id: The service's name in the AWS SDKs: ``SageMaker``, ``CloudWatch Logs``.
        protocol: ``json`` or ``rest-json`` for the services we carry ourselves.
        json_version: ``1.0`` or ``1.1``.
        target_prefix: What stands before the dot in X-Amz-Target.
        shapes: All shapes by name.
        operations: All operations by name.
        errors: Modelled errors by code.
    """

    service: str
    service_id: str
    protocol: str
    json_version: str
    target_prefix: str
    shapes: Mapping[str, Shape]
    operations: Mapping[str, OperationModel]
    errors: Mapping[str, ErrorModel]


_OUTGROWN = {"sagemaker-runtime": ("BodyBlob",)}
"""Shapes whose greatest length in the model is no longer the service's, which checks its own: endpoints take
25 MB today."""


@cache
def load_model(service: str) -> ServiceModel:
    """The newest model of a service.

    Raises:
        KeyError: botocore has no such service.
    """
    data = _read(service)
    metadata = data["metadata"]
    shapes = data["shapes"]
    for name in _OUTGROWN.get(service, ()):
        del shapes[name]["max"]
    return ServiceModel(
        service=service,
        service_id=metadata["serviceId"],
        protocol=metadata["protocol"],
        json_version=metadata.get("jsonVersion", "1.1"),
        target_prefix=metadata.get("targetPrefix", ""),
        shapes=shapes,
        operations={name: _operation(raw) for name, raw in data["operations"].items()},
        errors={error.code: error for error in map(_error, shapes, shapes.values()) if error},
    )


def _operation(raw: Mapping[str, Any]) -> OperationModel:
    http = raw["http"]
    return OperationModel(
        name=raw["name"],
        method=http["method"],
        uri=http["requestUri"],
        status=http.get("responseCode", 200),
        input=raw.get("input", {}).get("shape"),
        output=raw.get("output", {}).get("shape"),
    )


def _error(name: str, shape: Shape) -> ErrorModel | None:
    if not shape.get("exception"):
        return None
    error = shape.get("error", {})
    status = error.get("httpStatusCode", 500 if shape.get("fault") else None)
    return ErrorModel(error.get("code", name), status, shape["members"])


@cache
def service_names() -> frozenset[str]:
    """botocore's names of all services it has a model of."""
    return frozenset(path.name for path in _data_folder().iterdir() if path.is_dir())


def _data_folder() -> Path:
    spec = importlib.util.find_spec("botocore")
    if spec is None or not spec.submodule_search_locations:
        raise EnvironmentFault("botocore is not installed", hint="reinstall harness: pip install harness")
    return Path(spec.submodule_search_locations[0], "data")


def _read(service: str) -> dict[str, Any]:
    folder = _data_folder() / service
    versions = sorted(folder.iterdir()) if folder.is_dir() else []
    if not versions:
        raise KeyError(service)
    packed = versions[-1] / "service-2.json.gz"
    content = gzip.decompress(packed.read_bytes()) if packed.exists() else packed.with_suffix("").read_bytes()
    model: dict[str, Any] = json.loads(content)
    return model
