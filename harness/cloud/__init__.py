"""The embedded cloud: AWS on one loopback port, in this process.

    async with Cloud(clock=SkippingClock(), containers=runtime) as cloud:
        boto3.client("stepfunctions", endpoint_url=cloud.endpoint_url)      # from anywhere
        await cloud.call("stepfunctions", "StartExecution", {...})          # from inside

Follow a request: `gateway` reads it, `addressing` says whose it is, `protocol` and `rest` turn it into
parameters by botocore's `models` and `shapes`, and `cloud` has a `service` of ours carry it out, or `moto`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.cloud.cloud import SERVICES, Cloud

from harness.cloud.errors import ServiceError
from harness.cloud.service import USER, Caller, CloudContext, Request, Service

__all__ = ["SERVICES", "USER", "Caller", "Cloud", "CloudContext", "Request", "Service", "ServiceError"]


def __getattr__(name: str) -> Any:
    # The parts of the cloud import this package; what is built from all of them cannot be imported here.
    if name in ("Cloud", "SERVICES"):
        from harness.cloud import cloud

        return getattr(cloud, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
