"""SageMaker Debugger's hook: where a training container is to leave tensors, and where they go.

The hook itself is a library in the container. The platform tells it what to collect, in a file beside the
hyperparameters, and takes to S3 what it leaves.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.validation import invalid, parse_s3
from harness.cloud.service import CloudContext
from harness.containers.contract.folder import ROOT, ContractFolder

__all__ = ["SUPPORTED", "check_hook", "hook_config", "store_tensors"]

SUPPORTED = ("DebugHookConfig",)
TENSORS = "output/tensors"
"""The hook's LocalPath below ``/opt/ml`` when the request does not say."""


def check_hook(request: Mapping[str, Any]) -> None:
    """Refuse a DebugHookConfig that cannot be followed.

    Raises:
        ServiceError: ValidationException.
    """
    config = request.get("DebugHookConfig")
    if config:
        parse_s3(config["S3OutputPath"])
        if not _local_path(config).is_relative_to(ROOT / "output"):
            raise invalid(f"The LocalPath of DebugHookConfig must lie below {ROOT}/output.")


def hook_config(request: Mapping[str, Any]) -> dict[str, Any] | None:
    """The content of ``input/config/debughookconfig.json``; None when the request has no DebugHookConfig."""
    config = request.get("DebugHookConfig")
    return {"LocalPath": str(_local_path(config)), **config} if config else None


def store_tensors(cloud: CloudContext, request: Mapping[str, Any], folder: ContractFolder) -> None:
    """Take to S3 what the hook left. A bucket that is not there spoils the tensors, not the job.

    Args:
        cloud: Where the job runs.
        request: A CreateTrainingJob request.
        folder: The container's ``/opt/ml``.
    """
    config = request.get("DebugHookConfig")
    if not config:
        return
    place = parse_s3(config["S3OutputPath"]).child(f"{request['TrainingJobName']}/debug-output")
    local = folder.kept(*_local_path(config).relative_to(ROOT).parts)
    if local is None:
        return
    try:
        for parent, _, names in os.walk(local):
            for name in sorted(names):
                file = Path(parent, name)
                if file.is_symlink() or not file.is_file():
                    continue
                target = place.child(str(file.relative_to(local)))
                cloud.storage.put(target.bucket, target.key, file.read_bytes())
    except (ServiceError, OSError) as error:
        cloud.events.publish(
            "warning",
            request["TrainingJobName"],
            message=f"The tensors could not be stored at {place}: {error}",
        )


def _local_path(config: Mapping[str, Any]) -> PurePosixPath:
    return PurePosixPath(os.path.normpath(config.get("LocalPath") or ROOT / TENSORS))
