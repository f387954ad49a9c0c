"""What SageMaker promises a serving container.

It finds the unpacked model in ``/opt/ml/model`` and listens on 8080, or, where several containers serve side
by side, on the port that it is told. A multi-model container finds its models below ``/opt/ml/models``.

Source: SageMaker developer guide, "Custom Inference Code with Hosting Services", "Custom Inference Code with
Batch Transform", "Custom containers contract for multi-model endpoints", "Build your own container for
multi-container endpoints" (labels and ports; which ports SageMaker chooses is not documented).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.containers.contract.folder import ROOT
from harness.containers.runtime import ContainerSpec, Gateway, Image, Mount

__all__ = [
    "BIND_TO_PORT_LABEL",
    "MULTI_MODEL_LABEL",
    "SERVING_PORT",
    "batch_environment",
    "bound_port",
    "serving_spec",
]

SERVING_PORT = 8080

BIND_TO_PORT_LABEL = "com.amazonaws.sagemaker.capabilities.accept-bind-to-port"
"""Label, ``true``: the image's server listens on SAGEMAKER_BIND_TO_PORT."""

MULTI_MODEL_LABEL = "com.amazonaws.sagemaker.capabilities.multi-models"
"""Label, ``true``: the image's server loads and unloads models when it is told to."""


def bound_port(image: Image, number: int) -> int | None:
    """The port a container is told to listen on; None when its image takes no such order.

    Args:
        image: Its image.
        number: Its place among the containers of a model, from 1.
    """
    return SERVING_PORT + number - 1 if image.labels.get(BIND_TO_PORT_LABEL) == "true" else None


def _bind_environment(port: int) -> dict[str, str]:
    first = 9000 + 1000 * (port - SERVING_PORT)
    return {"SAGEMAKER_BIND_TO_PORT": str(port), "SAGEMAKER_SAFE_PORT_RANGE": f"{first}-{first + 999}"}


def serving_spec(
    *,
    name: str,
    image: Image,
    environment: Mapping[str, str],
    model: Path,
    region: str,
    labels: Mapping[str, str],
    bind_to: int | None = None,
    multi_model: bool = False,
    gateway: Gateway | None = None,
    memory: int | None = None,
    cpus: float | None = None,
) -> ContainerSpec:
    """A container that serves a model, for an endpoint or a transform job.

    Args:
        name: Unique within the session.
        image: What the model's Image names.
        environment: The model's and, for a transform job, the job's.
        model: Folder with the unpacked model, empty when the model has no data; of a multi-model container
            the folder where its models will be.
        region: Where the container is said to run.
        labels: Who the container belongs to.
        bind_to: The port it is told to listen on (`bound_port`).
        multi_model: It is told to load its models.
        gateway: What of this machine it reaches.
        memory: Bytes.
        cpus: Processors.
    """
    told = {"AWS_REGION": region}
    if bind_to is not None:
        told |= _bind_environment(bind_to)
    if multi_model:
        told["SAGEMAKER_MULTI_MODEL"] = "true"
    return ContainerSpec(
        name=name,
        image=image,
        arguments=("serve",),
        environment={**environment, **told},
        mounts=(Mount(model, ROOT / ("models" if multi_model else "model"), read_only=True),),
        ports=(bind_to or SERVING_PORT,),
        gateway=gateway,
        hostname="model.aws.local",
        memory=memory,
        cpus=cpus,
        labels=labels,
    )


_STRATEGIES = {"SingleRecord": "SINGLE_RECORD", "MultiRecord": "MULTI_RECORD"}


def batch_environment(model: Mapping[str, str], request: Mapping[str, Any]) -> dict[str, str]:
    """The environment of a transform job's container.

    Args:
        model: The model's own Environment. Where it and the job's clash, the job's holds.
        request: A CreateTransformJob request. What it does not set is not announced either.
    """
    environment = {**model, **request.get("Environment", {}), "SAGEMAKER_BATCH": "true"}
    if "MaxPayloadInMB" in request:
        environment["SAGEMAKER_MAX_PAYLOAD_IN_MB"] = str(request["MaxPayloadInMB"])
    if "BatchStrategy" in request:
        environment["SAGEMAKER_BATCH_STRATEGY"] = _STRATEGIES[request["BatchStrategy"]]
    if "MaxConcurrentTransforms" in request:
        environment["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] = str(request["MaxConcurrentTransforms"])
    return environment
