"""What an environment writes, and what Lambda adds to it, on its way to CloudWatch Logs."""

from __future__ import annotations

import asyncio
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

TAIL = 4096
"""Bytes of the log that Invoke returns."""

_LEVELS = ("DEBUG", "INFO", "WARN")


class LogPipe:
    """The read end of a pipe that is an environment's stdout and stderr.

    Args:
        on_lines: Called with the lines that have arrived.

    Attributes:
        write_end: File descriptor for the environment; close it once it has been handed over.
    """

    def __init__(self, on_lines: Callable[[list[str]], object]) -> None:
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._on_lines = on_lines
        self._partial = b""
        self._open = True
        asyncio.get_running_loop().add_reader(self._read_end, self._read)

    def drain(self) -> None:
        """Deliver everything that has been written so far, a last line without its end included."""
        for _ in range(64):  # somebody may write faster than we read
            if not self._read():
                break
        if self._partial:
            partial, self._partial = self._partial, b""
            self._deliver([partial])

    def close(self) -> None:
        """Deliver what is left and let go of the pipe."""
        if self._open:
            self.drain()
        if self._open:  # still: draining may have come to the end, and the number now be another file's
            self._release()

    def _read(self) -> bool:
        """Read some; returns whether there may be more."""
        if not self._open:
            return False
        try:
            data = os.read(self._read_end, 1 << 16)
        except BlockingIOError:
            return False
        if not data:
            self._release()
            return False
        *lines, self._partial = (self._partial + data).split(b"\n")
        if lines:
            self._deliver(lines)
        return True

    def _deliver(self, lines: list[bytes]) -> None:
        # The interface client keeps a message of several lines together by separating them with \r.
        self._on_lines([line.decode("utf-8", "replace").rstrip("\r").replace("\r", "\n") for line in lines])

    def _release(self) -> None:
        self._open = False
        asyncio.get_running_loop().remove_reader(self._read_end)
        os.close(self._read_end)


@dataclass(frozen=True)
class Usage:
    """What an invocation took.

    Attributes:
        duration: Milliseconds from when the function got the event.
        init: Milliseconds the environment took to initialise, when this invocation caused it.
        memory: Bytes, see `harness.cloud.functions.memory`.
        status: ``success``, ``error`` or ``timeout``.
        error_type: When Lambda itself ended it: ``Runtime.ExitError`` and the like.
    """

    duration: float
    init: float | None
    memory: int
    status: str = "success"
    error_type: str | None = None


class SystemLog:
    """Words Lambda's own log lines, as text or, where LoggingConfig says so, as JSON."""

    def __init__(self, logging_config: Mapping[str, Any], memory_size: int) -> None:
        self._json = logging_config.get("LogFormat") == "JSON"
        self._level = _LEVELS.index(logging_config.get("SystemLogLevel", "INFO"))
        self._memory_size = memory_size

    def start(self, now: float, request_id: str, version: str) -> list[str]:
        if self._json:
            return self._record(now, "platform.start", {"requestId": request_id, "version": version})
        return [f"START RequestId: {request_id} Version: {version}"]

    def init_report(
        self, now: float, duration: float, phase: str, status: str, error_type: str | None
    ) -> list[str]:
        """Only initialisations that failed are reported on their own."""
        if self._json:
            record = {"phase": phase, "status": status, "metrics": {"durationMs": round(duration, 3)}}
            if error_type:
                record["errorType"] = error_type
            return self._record(now, "platform.initReport", record, level="WARN")
        line = f"INIT_REPORT Init Duration: {duration:.2f} ms\tPhase: {phase}\tStatus: {status}"
        return [f"{line}\tError Type: {error_type}" if error_type else line]

    def end(self, now: float, request_id: str, usage: Usage) -> list[str]:
        billed = math.ceil(usage.duration + (usage.init or 0))
        used = min(max(1, math.ceil(usage.memory / (1 << 20))), self._memory_size)
        if self._json:
            metrics: dict[str, Any] = {
                "durationMs": round(usage.duration, 3),
                "billedDurationMs": billed,
                "memorySizeMB": self._memory_size,
                "maxMemoryUsedMB": used,
            }
            if usage.init is not None:
                metrics["initDurationMs"] = round(usage.init, 3)
            record = {"requestId": request_id, "metrics": metrics, "status": usage.status}
            if usage.error_type:
                record["errorType"] = usage.error_type
            return self._record(now, "platform.report", record)
        fields = [
            f"REPORT RequestId: {request_id}",
            f"Duration: {usage.duration:.2f} ms",
            f"Billed Duration: {billed} ms",
            f"Memory Size: {self._memory_size} MB",
            f"Max Memory Used: {used} MB",
        ]
        if usage.init is not None:
            fields.append(f"Init Duration: {usage.init:.2f} ms")
        if usage.status == "timeout" or usage.error_type:
            fields.append(f"Status: {usage.status}")
        if usage.error_type:
            fields.append(f"Error Type: {usage.error_type}")
        return [f"END RequestId: {request_id}", "\t".join(fields)]

    def _record(self, now: float, kind: str, record: dict[str, Any], level: str = "INFO") -> list[str]:
        if _LEVELS.index(level) < self._level:
            return []
        return [json.dumps({"time": timestamp(now), "type": kind, "record": record})]


def timestamp(now: float) -> str:
    """As in Lambda's log lines: 2026-01-02T03:04:05.678Z."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def tail(lines: list[str]) -> bytes:
    """The end of an invocation's log, as Invoke returns it."""
    return "".join(f"{line}\n" for line in lines).encode()[-TAIL:]
