"""A cloud with nothing in it but Lambda, for tests of functions."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import random
import shutil
import tempfile
import textwrap
import zipfile
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from harness.clock import Clock, RealClock, SkippingClock
from harness.cloud.errors import ServiceError
from harness.cloud.events import Event, EventBus
from harness.cloud.faults import NoFaults
from harness.cloud.functions import Lambda
from harness.cloud.service import USER, Caller, Request

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/mlops-sm-s3"


class FakeStorage:
    """Buckets as dictionaries."""

    def __init__(self) -> None:
        self.buckets: dict[str, dict[str, bytes]] = {}

    def get(self, bucket: str, key: str) -> bytes:
        if bucket not in self.buckets:
            raise ServiceError("NoSuchBucket", "The specified bucket does not exist", status=404)
        if key not in self.buckets[bucket]:
            raise ServiceError("NoSuchKey", "The specified key does not exist.", status=404)
        return self.buckets[bucket][key]


class FakeCloud:
    """What `harness.cloud.service.CloudContext` asks for, as far as Lambda uses it."""

    account = ACCOUNT
    region = "us-east-1"
    partition = "aws"
    endpoint_url = "http://127.0.0.1:9"

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.events = EventBus(clock)
        self.faults = NoFaults()
        self.entropy = random.Random(7)
        self.folder = Path(tempfile.mkdtemp(prefix="harness-test-"))
        self.storage = FakeStorage()
        self.logs: dict[tuple[str, str], list[str]] = {}
        self.calls: list[tuple[str, str, Mapping[str, Any]]] = []
        self.tasks: set[asyncio.Task[Any]] = set()

    async def call(
        self, service: str, operation: str, params: Mapping[str, Any], *, caller: Caller = USER
    ) -> dict[str, Any]:
        self.calls.append((service, operation, params))
        return {"QueueUrl": "http://queue"}

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = asyncio.create_task(coroutine, name=name)
        self.tasks.add(task)
        return task

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def identify(self, caller: Caller) -> tuple[str, str]:
        return f"ASIA-{caller.kind}-{caller.name}", "made-up"

    def log(self, group: str, stream: str, lines: list[str]) -> None:
        self.logs.setdefault((group, stream), []).extend(lines)


class Functions:
    """Lambda in a fake cloud, with less to type."""

    def __init__(self, cloud: FakeCloud) -> None:
        self.cloud = cloud
        self.service = Lambda(cloud)  # type: ignore[arg-type]
        self.events: list[Event] = []
        cloud.events.subscribe(self.events.append)
        self._numbers = 0

    async def call(self, operation: str, **params: Any) -> dict[str, Any]:
        """Call an operation by its Python name."""
        self._numbers += 1
        request_id = f"00000000-0000-4000-8000-{self._numbers:012d}"
        answer: dict[str, Any] = await getattr(self.service, operation)(
            Request(operation, params, USER, request_id)
        )
        return answer

    async def create(self, code: str | Mapping[str, str], name: str = "f", **params: Any) -> dict[str, Any]:
        """Create a function from the source of handler.py, or of several files."""
        request = {
            "FunctionName": name,
            "Runtime": "python3.11",
            "Role": ROLE,
            "Handler": "handler.handler",
            "Code": {"ZipFile": archive(code)},
            **params,
        }
        return await self.call("create_function", **request)

    async def invoke(self, payload: Any = None, name: str = "f", **params: Any) -> dict[str, Any]:
        """Invoke and wait for the answer."""
        return await self.call("invoke", FunctionName=name, Payload=json.dumps(payload).encode(), **params)

    async def result(self, payload: Any = None, name: str = "f", **params: Any) -> Any:
        """The result of a function that must succeed."""
        answer = await self.invoke(payload, name, **params)
        assert "FunctionError" not in answer, answer
        return json.loads(answer["Payload"])

    async def error(self, payload: Any = None, name: str = "f", **params: Any) -> dict[str, Any]:
        """The error of a function that must fail."""
        answer = await self.invoke(payload, name, **params)
        assert answer["FunctionError"] == "Unhandled"
        assert answer["StatusCode"] == 200
        error: dict[str, Any] = json.loads(answer["Payload"])
        return error

    def log(self, name: str = "f") -> list[str]:
        """Every line in a function's log group."""
        return [
            line
            for (group, _), lines in self.cloud.logs.items()
            if group == f"/aws/lambda/{name}"
            for line in lines
        ]

    def warnings(self) -> list[str]:
        return [event.data["message"] for event in self.events if event.kind == "warning"]


def archive(code: str | Mapping[str, str]) -> bytes:
    """A zip archive: of handler.py, or of the files given."""
    files = {"handler.py": code} if isinstance(code, str) else code
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        for name, text in files.items():
            opened.writestr(name, textwrap.dedent(text))
    return content.getvalue()


@contextlib.asynccontextmanager
async def functions(clock: Clock | None = None) -> AsyncIterator[Functions]:
    """Lambda, closed afterwards."""
    cloud = FakeCloud(clock or RealClock())
    opened = Functions(cloud)
    try:
        yield opened
    finally:
        await opened.service.close()
        failures = await asyncio.gather(*cloud.tasks, return_exceptions=True)
        shutil.rmtree(cloud.folder)
        assert not [failure for failure in failures if isinstance(failure, Exception)], failures


def skipping(**options: Any) -> SkippingClock:
    """A virtual clock that starts at a round time."""
    return SkippingClock(start=1_750_000_000.0, **options)


Story = Callable[[Functions], Coroutine[Any, Any, None]]
