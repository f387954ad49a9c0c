"""Distributed Maps, and what they read from and write to."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from harness.asl import Event
from harness.asl.maps.run import Child, MapRun
from harness.asl.maps.services import Caller, ObjectPage, StorageError

ECHO = {"StartAt": "W", "States": {"W": {"Type": "Pass", "End": True}}}
STANDARD = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
EXPRESS = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}}
PREFIX = "arn:aws:states:us-east-1:123456789012"


def distributed(
    processor: dict[str, Any] = ECHO, *, name: str = "M", express: bool = False, **fields: Any
) -> dict[str, Any]:
    """A machine whose only state is a distributed Map."""
    processor = {**processor, **(EXPRESS if express else STANDARD)}
    return {
        "StartAt": name,
        "States": {name: {"Type": "Map", "ItemProcessor": processor, "End": True, **fields}},
    }


def text_of(value: Any) -> bytes:
    return json.dumps(value).encode()


class Bucket:
    """`MapServices` over one bucket, ``b``; listings have two objects a page.

    Attributes:
        objects: Content by key.
        reads: The arguments of every call.
        written: Keys of the objects that were written, in order.
        callers: In whose name the calls were made.
        refusal: What S3 says to every call; None if it works.
        runs: Map Runs, in order.
        redriven: Map Runs that were redriven, in order.
        started: Child executions that have started, in order.
        ended: Those that have ended.
        left: What was left to be done later.
    """

    def __init__(self, objects: Mapping[str, bytes] | None = None) -> None:
        self.objects = dict(objects or {})
        self.reads: list[Mapping[str, Any]] = []
        self.written: list[str] = []
        self.callers: list[Caller] = []
        self.refusal: str | None = None
        self.runs: list[MapRun] = []
        self.redriven: list[MapRun] = []
        self.started: list[Child] = []
        self.ended: list[Child] = []
        self.left: list[Coroutine[Any, Any, None]] = []

    def json(self, key: str) -> Any:
        return json.loads(self.objects[key])

    def _call(self, arguments: Mapping[str, Any], caller: Caller) -> None:
        self.reads.append(arguments)
        self.callers.append(caller)
        if self.refusal is not None:
            raise StorageError(self.refusal)

    async def list_objects(
        self, arguments: Mapping[str, Any], page: str | None, caller: Caller
    ) -> ObjectPage:
        self._call(arguments, caller)
        keys = sorted(key for key in self.objects if key.startswith(arguments.get("Prefix", "")))
        start = 0 if page is None else int(page)
        objects = [
            {
                "Etag": f'"{key}"',
                "Key": key,
                "LastModified": 1_700_000_000,
                "Size": len(self.objects[key]),
                "StorageClass": "STANDARD",
            }
            for key in keys[start : start + 2]
        ]
        return ObjectPage(objects, str(start + 2) if len(keys) > start + 2 else None)

    async def get_object(self, arguments: Mapping[str, Any], caller: Caller) -> bytes:
        self._call(arguments, caller)
        if arguments["Key"] not in self.objects:
            raise StorageError("The specified key does not exist.")
        return self.objects[arguments["Key"]]

    async def put_object(self, bucket: str, key: str, body: bytes, caller: Caller) -> None:
        self._call({"Bucket": bucket, "Key": key}, caller)
        self.written.append(key)
        self.objects[key] = body

    def later(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        self.left.append(coroutine)

    def run_started(self, run: MapRun) -> None:
        self.runs.append(run)

    def run_redriven(self, run: MapRun) -> None:
        self.redriven.append(run)

    def watch(self, run: MapRun, child: Child) -> Callable[[Event], object] | None:
        return None

    def child_started(self, run: MapRun, child: Child) -> None:
        self.started.append(child)

    def child_ended(self, run: MapRun, child: Child) -> None:
        self.ended.append(child)
