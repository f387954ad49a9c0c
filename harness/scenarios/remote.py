"""Replaying in the process of a cloud that is already up, asked for over its port.

``POST /_harness/run`` with ``{"scenarios": [paths], "logs": bool, "keep": bool}`` is answered with one JSON
object a line, as things happen: ``{"note": text}``, ``{"started": {...}}``, ``{"event": {...}}``,
``{"finished": record}`` and at last ``{"done": true}`` or ``{"error": {...}}``. A client that goes away stops
the replay.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import traceback
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import harness.errors
from harness.cloud.events import Event
from harness.errors import HarnessError
from harness.scenarios.load import load
from harness.scenarios.record import RunRecord, event_dict
from harness.scenarios.replay import Replayer
from harness.scenarios.workbench import Reporter, build, replay_all
from harness.targets.base import Target

__all__ = ["PATH", "RunService", "run_remotely"]

PATH = "/_harness/run"

_LOGS = frozenset({"job.log", "function.log"})
Message = MutableMapping[str, Any]


class RunService:
    """The ASGI application behind `PATH`. Replays one request at a time: faults are the whole cloud's.

    Args:
        root: The project's folder.
        target: The target in this process.
    """

    def __init__(self, root: Path, target: Target) -> None:
        self._root = root
        self._target = target
        self._replayer = Replayer(target, root / ".harness" / "runs")
        self._turn = asyncio.Lock()

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["method"] != "POST":
            await send({"type": "http.response.start", "status": 405, "headers": [(b"allow", b"POST")]})
            await send({"type": "http.response.body", "body": b""})
            return
        request = json.loads(await _body(receive))
        headers = [(b"content-type", b"application/x-ndjson")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        lines = _Lines(logs=bool(request["logs"]))
        run = asyncio.create_task(self._run(request, lines))
        gone = asyncio.create_task(_disconnected(receive))
        gone.add_done_callback(lambda _: run.cancel())
        run.add_done_callback(lambda _: lines.end())
        try:
            while (piece := await lines.next()) is not None:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            if not gone.done():
                await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            run.cancel()
            with suppress(asyncio.CancelledError):
                await run

    async def _run(self, request: dict[str, Any], lines: _Lines) -> None:
        try:
            if self._turn.locked():
                lines.note("waiting for another run to end")
            async with self._turn:
                scenarios = [load(Path(path)) for path in request["scenarios"]]
                bundle = await build(self._root, lines.note)
                keep = bool(request["keep"])
                await replay_all(scenarios, bundle, self._target, self._replayer, lines, keep=keep)
            lines.put({"done": True})
        except HarnessError as error:
            lines.put({"error": _error_dict(error)})
        except Exception:
            lines.put({"error": {"type": "", "traceback": traceback.format_exc()}})


class _Lines:
    """A reporter that turns what it hears into lines."""

    def __init__(self, *, logs: bool) -> None:
        self._logs = logs
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    def note(self, text: str) -> None:
        self.put({"note": text})

    def started(self, name: str, file: str) -> None:
        self.put({"started": {"name": name, "file": file}})

    def event(self, event: Event) -> None:
        if self._logs or event.kind not in _LOGS:
            self.put({"event": event_dict(event)})

    def finished(self, record: RunRecord) -> None:
        self.put({"finished": record.as_dict()})

    def put(self, message: dict[str, Any]) -> None:
        self._queue.put_nowait(json.dumps(message, default=str).encode() + b"\n")

    def end(self) -> None:
        self._queue.put_nowait(None)

    async def next(self) -> bytes | None:
        return await self._queue.get()


async def _body(receive: Callable[[], Awaitable[Message]]) -> bytes:
    pieces = []
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


async def _disconnected(receive: Callable[[], Awaitable[Message]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _error_dict(error: HarnessError) -> dict[str, Any]:
    return {
        "type": type(error).__name__,
        "message": error.message,
        "file": str(error.file) if error.file else None,
        "place": error.place,
        "hint": error.hint,
    }


# The client ------------------------------------------------------------------------------------------


def run_remotely(
    endpoint: str, scenarios: Sequence[Path], reporter: Reporter, *, logs: bool, keep: bool
) -> list[RunRecord]:
    """Have the cloud at `endpoint` replay scenarios.

    Raises:
        HarnessError: As the replay raises, or the cloud went away meanwhile.
    """
    address = urlsplit(endpoint)
    connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port)
    request = {"scenarios": [str(path.resolve()) for path in scenarios], "logs": logs, "keep": keep}
    records: list[RunRecord] = []
    try:
        connection.request("POST", PATH, json.dumps(request), {"Content-Type": "application/json"})
        with connection.getresponse() as response:
            while line := response.readline():
                message = json.loads(line)
                if "done" in message:
                    return records
                _dispatch(message, reporter, records)
    except (ConnectionError, http.client.HTTPException) as error:
        raise HarnessError(f"the cloud at {endpoint} went away: {error}") from error
    finally:
        connection.close()
    raise HarnessError(f"the cloud at {endpoint} went away", hint="start it again with: harness up")


def _dispatch(message: dict[str, Any], reporter: Reporter, records: list[RunRecord]) -> None:
    match message:
        case {"note": text}:
            reporter.note(text)
        case {"started": {"name": name, "file": file}}:
            reporter.started(name, file)
        case {"event": event}:
            reporter.event(Event(**event))
        case {"finished": data}:
            records.append(RunRecord.from_dict(data))
            reporter.finished(records[-1])
        case {"error": {"traceback": text}}:
            raise RuntimeError(f"the cloud's process failed:\n{text}")
        case {"error": error}:
            kind: type[HarnessError] = getattr(harness.errors, error.pop("type"))
            raise kind(error.pop("message"), **error)
