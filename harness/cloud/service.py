"""The shape of a service of ours, and what it may use of the cloud around it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.clock import Clock
from harness.cloud.events import EventBus
from harness.cloud.faults import Faults
from harness.containers.runtime import ContainerRuntime, Image


@dataclass(frozen=True)
class Caller:
    """Who makes a call.

    Attributes:
        kind: ``user`` (somebody over HTTP), ``function`` or ``execution``.
        name: Function name or execution ARN; empty for a user.
        role: ARN of the role in whose name the call is made, when there is one.
    """

    kind: str = "user"
    name: str = ""
    role: str | None = None


USER = Caller()


class Storage(Protocol):
    """S3 without the protocol: for services that move many objects.

    All methods are synchronous, quick and in memory.
    """

    def list(self, bucket: str, prefix: str = "") -> list[tuple[str, int]]:
        """(key, size in bytes) of every object under a prefix, sorted by key.

        Raises:
            ServiceError: NoSuchBucket.
        """

    def get(self, bucket: str, key: str) -> bytes:
        """The object's content.

        Raises:
            ServiceError: NoSuchBucket, NoSuchKey.
        """

    def put(self, bucket: str, key: str, body: bytes) -> None:
        """Store an object.

        Raises:
            ServiceError: NoSuchBucket; InternalError: the disk is full.
        """

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object, if there is one.

        Raises:
            ServiceError: NoSuchBucket.
        """


class CloudContext(Protocol):
    """What a service sees of the cloud."""

    account: str
    region: str
    partition: str
    clock: Clock
    events: EventBus
    faults: Faults
    entropy: random.Random  # the one source of ids; seeded in replays

    @property
    def storage(self) -> Storage:
        """The objects in S3."""

    @property
    def folder(self) -> Path:
        """Scratch space, deleted with the cloud."""

    @property
    def failed(self) -> Path | None:
        """Where the folders of failed jobs are kept, to be run again by hand; None when they are not."""

    @property
    def containers(self) -> ContainerRuntime:
        """Runs containers."""

    @property
    def images(self) -> Mapping[str, Image]:
        """Image URI, as a request names it -> the built image."""

    @property
    def endpoint_url(self) -> str:
        """http://127.0.0.1:PORT of the gateway."""

    async def call(
        self, service: str, operation: str, params: Mapping[str, Any], *, caller: Caller = USER
    ) -> dict[str, Any]:
        """Call any service of this cloud, ours or moto's, without HTTP where it is ours.

        Params and result are in botocore's Python form (datetimes, bytes), as boto3 would take and give
        them, without ResponseMetadata; what boto3 gives as a stream is given as bytes.

        Raises:
            ServiceError: As the service answers.
        """

    def service(self, name: str) -> Service:
        """The service of ours that botocore calls `name`, for what its API has no operation for."""

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run a background task that is cancelled with the cloud; an exception in it is never lost."""

    def arn(self, service: str, resource: str) -> str:
        """``arn:<partition>:<service>:<region>:<account>:<resource>``."""

    def identify(self, caller: Caller) -> tuple[str, str]:
        """AWS access key id and secret access key that mark requests over HTTP as this caller's."""

    def log(self, group: str, stream: str, lines: list[str]) -> None:
        """Append to CloudWatch Logs, creating group and stream; timestamps are virtual."""


@dataclass(frozen=True)
class Request:
    """One call to a service of ours, parsed and validated against botocore's model."""

    operation: str
    params: dict[str, Any]
    caller: Caller
    request_id: str


class Service:
    """A service of ours. A subclass names itself and has one coroutine per operation it supports.

    The coroutine for ``CreateTrainingJob`` is ``create_training_job(self, request: Request) -> dict``; params
    and result are in botocore's Python form. An operation without one is refused by name.
    """

    name: str  # botocore's service name

    def __init__(self, cloud: CloudContext) -> None:
        self.cloud = cloud

    async def close(self) -> None:
        """Stop everything the service runs."""
