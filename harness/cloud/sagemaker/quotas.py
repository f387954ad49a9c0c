"""The service quota on instances.

Every instance of a job or an endpoint is a container on this machine. A request for more of them than a
machine can hold is refused as SageMaker refuses one that goes beyond the quota of an account.
"""

from __future__ import annotations

from typing import Literal

from harness.cloud.errors import ServiceError

__all__ = ["INSTANCE_LIMIT", "require_quota"]

INSTANCE_LIMIT = 100
"""Instances of one job or production variant: as many as CreateProcessingJob's model allows."""


def require_quota(
    usage: Literal["training job", "transform job", "endpoint"],
    instance_type: str,
    count: int,
    *,
    utilization: int = 0,
) -> None:
    """Refuse more instances than the quota allows.

    Args:
        usage: What they are for.
        instance_type: Such as ``ml.m5.large``.
        count: How many are asked for in all.
        utilization: How many of them there are already.

    Raises:
        ServiceError: ResourceLimitExceeded.
    """
    if count > INSTANCE_LIMIT:
        raise ServiceError(
            "ResourceLimitExceeded",
            f"The account-level service limit '{instance_type} for {usage} usage' is {INSTANCE_LIMIT} "
            f"Instances, with current utilization of {utilization} Instances and a request delta of "
            f"{count - utilization} Instances. Please contact AWS support to request an increase for this "
            "limit.",
        )
