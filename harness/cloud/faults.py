"""Where a scenario can make the local cloud misbehave.

The cloud asks before each service call and each job; who answers (`harness.scenarios.faults`) is none of its
business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from harness.cloud.errors import ServiceError


@dataclass(frozen=True)
class JobFault:
    """How a job is to differ from what its container does.

    Attributes:
        exit_code: The container's exit code is taken to be this (it is not run when `run` is False).
        failure: Text that stands for ``/opt/ml/output/failure``.
        takes: Virtual seconds from the job's start to its end.
        run: Run the container all the same.
        interruptions: How often the spot instances of a training job are taken away.
        interrupted_after: Real seconds that a container runs until then.
        capacity_after: Virtual seconds until there are instances again.
    """

    exit_code: int | None = None
    failure: str | None = None
    takes: float = 0.0
    run: bool = True
    interruptions: int = 0
    interrupted_after: float = 1.0
    capacity_after: float = 0.0


class Faults(Protocol):
    """Asked by the cloud, answered by a scenario."""

    def call(self, service: str, operation: str, params: Mapping[str, Any]) -> ServiceError | None:
        """The error this call is to get, if any. Asked once per call, so that calls can be counted.

        Args:
            service: botocore's service name, e.g. ``lambda``.
            operation: e.g. ``Invoke``.
            params: The parsed request.
        """

    def job(self, kind: str, name: str, request: Mapping[str, Any]) -> JobFault | None:
        """How this job is to misbehave, if at all.

        Args:
            kind: ``training``, ``transform``, ``processing`` or ``endpoint``.
            name: The job's name.
            request: What it was created by.
        """


class NoFaults:
    """Nothing goes wrong."""

    def call(self, service: str, operation: str, params: Mapping[str, Any]) -> ServiceError | None:
        return None

    def job(self, kind: str, name: str, request: Mapping[str, Any]) -> JobFault | None:
        return None
