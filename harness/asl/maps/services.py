"""What a distributed Map needs of the world around the interpreter, without knowing who provides it.

It reads items from S3 and writes results there, and others want to know about its Map Run and the child
executions: they are listed, described, stopped and redriven like any execution.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from harness.asl.tasks import JSON

if TYPE_CHECKING:
    from harness.asl.history import Event
    from harness.asl.maps.run import Child, MapRun

__all__ = ["ALONE", "Caller", "MapServices", "ObjectPage", "StorageError"]

Caller = Mapping[str, JSON]
"""The member ``Execution`` of the context object of the execution that has the Map state."""


class StorageError(Exception):
    """S3 refused a call. The text is what the state's cause is to say."""


class ObjectPage(NamedTuple):
    """Part of a listing.

    Attributes:
        objects: ``{"Etag", "Key", "LastModified", "Size", "StorageClass"}`` of each object, as a Map gets
            them for items: the ETag in its quotes, the time in seconds since the epoch.
        next: What asks for the rest; None at the end.
    """

    objects: list[dict[str, JSON]]
    next: str | None


class MapServices(Protocol):
    """Serves the distributed Maps of an execution and of its child executions.

    Arguments of the calls are those of the S3 API, with the names that Parameters and Arguments use.
    """

    async def list_objects(
        self, arguments: Mapping[str, JSON], page: str | None, caller: Caller
    ) -> ObjectPage:
        """ListObjectsV2.

        Args:
            arguments: ``Bucket``, ``Prefix`` and whatever else the definition gives.
            page: `ObjectPage.next` of the page before; None for the first page.
            caller: In whose name.

        Raises:
            StorageError: S3 refused.
        """

    async def get_object(self, arguments: Mapping[str, JSON], caller: Caller) -> bytes:
        """GetObject: the content.

        Raises:
            StorageError: S3 refused.
        """

    async def put_object(self, bucket: str, key: str, body: bytes, caller: Caller) -> None:
        """PutObject.

        Raises:
            StorageError: S3 refused.
        """

    def later(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        """Run something, under a name, that the execution does not wait for: it is being stopped."""

    def run_started(self, run: MapRun) -> None:
        """A Map Run begins."""

    def run_redriven(self, run: MapRun) -> None:
        """A Map Run goes on: child executions of it are PENDING_REDRIVE."""

    def watch(self, run: MapRun, child: Child) -> Callable[[Event], object] | None:
        """What is to be called with each event of a child execution that is about to start."""

    def child_started(self, run: MapRun, child: Child) -> None:
        """A child execution is about to make its first step; it has its `Execution`."""

    def child_ended(self, run: MapRun, child: Child) -> None:
        """A child execution has come to its end; it has its outcome."""


class Alone:
    """Serves an execution that runs by itself: there is no S3, and nobody who wants to know."""

    async def list_objects(
        self, arguments: Mapping[str, JSON], page: str | None, caller: Caller
    ) -> ObjectPage:
        raise StorageError(_NO_S3)

    async def get_object(self, arguments: Mapping[str, JSON], caller: Caller) -> bytes:
        raise StorageError(_NO_S3)

    async def put_object(self, bucket: str, key: str, body: bytes, caller: Caller) -> None:
        raise StorageError(_NO_S3)

    def later(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        coroutine.close()

    def run_started(self, run: MapRun) -> None:
        pass

    def run_redriven(self, run: MapRun) -> None:
        pass

    def watch(self, run: MapRun, child: Child) -> Callable[[Event], object] | None:
        return None

    def child_started(self, run: MapRun, child: Child) -> None:
        pass

    def child_ended(self, run: MapRun, child: Child) -> None:
        pass


_NO_S3 = "This execution has no Amazon S3 to read from or to write to."

ALONE = Alone()
