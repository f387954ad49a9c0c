"""What a place that a pipeline can be deployed to offers to those who replay scenarios on it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.clock import Clock
from harness.cloud.events import EventBus
from harness.cloud.faults import Faults
from harness.project.bundle import Bundle

__all__ = ["Deployment", "Machine", "Progress", "Target"]

Progress = Callable[[str], object]
"""Called with a short line about what is being done."""


@dataclass(frozen=True)
class Machine:
    """A deployed state machine.

    Attributes:
        arn: Its ARN.
        definition: Its definition, with substitutions done.
    """

    arn: str
    definition: Mapping[str, Any]


@dataclass(frozen=True)
class Deployment:
    """A bundle that stands on a target.

    Attributes:
        bundle: Its id.
        names: What ``{Name}`` stands for in a scenario: the stack's outputs, parameters and resources
            (physical ids), by logical name.
        functions: Function names by logical id.
        machines: State machines by logical id.
        warnings: Where what was deployed differs from what AWS would run.
    """

    bundle: str
    names: Mapping[str, str]
    functions: Mapping[str, str]
    machines: Mapping[str, Machine]
    warnings: tuple[str, ...] = field(default=())


class Target(Protocol):
    """A place where a pipeline can live."""

    name: str

    @property
    def clock(self) -> Clock:
        """Time there."""

    @property
    def events(self) -> EventBus:
        """What happens there."""

    @property
    def containers(self) -> str:
        """Name of the container runtime."""

    async def deploy(self, bundle: Bundle, on_progress: Progress) -> Deployment:
        """Make the target run this bundle. Again with the same bundle, it changes nothing.

        Raises:
            UnsupportedError: The template has a resource or property that the target does not have.
            HarnessError: A resource could not be created.
        """

    async def call(self, service: str, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Call an AWS service of the target; params and result as boto3 has them.

        Raises:
            ServiceError: As the service answers.
        """

    def put(self, bucket: str, key: str, body: bytes) -> None:
        """Store an object.

        Raises:
            ServiceError: NoSuchBucket.
        """

    def versions(self, bucket: str, prefix: str) -> Mapping[str, Hashable]:
        """By key, what tells one version of an object under a prefix from another.

        Raises:
            ServiceError: NoSuchBucket.
        """

    def inject(self, faults: Faults) -> None:
        """Let `faults` decide, from now on, which calls and jobs go wrong."""
