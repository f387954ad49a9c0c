"""What SageMaker promises a serving container.

It finds the unpacked model in ``/opt/ml/model`` and listens on 8080.

Source: SageMaker developer guide, "Custom Inference Code with Hosting Services", "Custom Inference Code with
Batch Transform".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.containers.contract.folder import ROOT
from harness.containers.runtime import ContainerSpec, Image, Mount

__all__ = ["SERVING_PORT", "batch_environment", "serving_spec"]

SERVING_PORT = 8080


def serving_spec(
    *,
    name: str,
    image: Image,
    environment: Mapping[str, str],
    model: Path,
    region: str,
    labels: Mapping[str, str],
) -> ContainerSpec:
    """A container that serves a model, for an endpoint or a transform job.

    Args:
        name: Unique within the session.
        image: What the model's Image names.
        environment: The model's and, for a transform job, the job's.
        model: Folder with the unpacked model; empty when the model has no data.
        region: Where the container is said to run.
        labels: Who the container belongs to.
    """
    return ContainerSpec(
        name=name,
        image=image,
        arguments=("serve",),
        environment={**environment, "AWS_REGION": region},
        mounts=(Mount(model, ROOT / "model", read_only=True),),
        ports=(SERVING_PORT,),
        hostname="model.aws.local",
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
