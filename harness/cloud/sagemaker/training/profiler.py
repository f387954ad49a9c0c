"""System metrics of a training job, as SageMaker Debugger's basic monitoring gathers them.

The instance of a job is this machine: its processors and its memory are watched while the job's containers
run. The metrics go to S3 as the developer guide lays them out: a file a minute, a line a sample.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.records import moment
from harness.cloud.sagemaker.validation import S3Location, invalid, parse_s3
from harness.cloud.service import CloudContext

__all__ = ["SUPPORTED", "check_profiler", "profiled", "profiles"]

SUPPORTED = (
    "ProfilerConfig.DisableProfiler",
    "ProfilerConfig.ProfilingIntervalInMilliseconds",
    "ProfilerConfig.S3OutputPath",
)
INTERVALS = (100, 200, 500, 1000, 5000, 60_000)
"""What ProfilingIntervalInMilliseconds may be: real milliseconds."""

DEFAULT_INTERVAL = 500
MINUTE = 60
PROC = Path("/proc")


def check_profiler(request: Mapping[str, Any]) -> None:
    """Refuse a ProfilerConfig that cannot be followed.

    Raises:
        ServiceError: ValidationException.
    """
    config = request.get("ProfilerConfig", {})
    interval = config.get("ProfilingIntervalInMilliseconds")
    if interval is not None and interval not in INTERVALS:
        raise invalid(f"ProfilingIntervalInMilliseconds must be one of {', '.join(map(str, INTERVALS))}.")
    if profiles(request):
        parse_s3(config["S3OutputPath"])


def profiles(request: Mapping[str, Any]) -> bool:
    """A CreateTrainingJob request asks for system metrics."""
    config = request.get("ProfilerConfig", {})
    return bool(config.get("S3OutputPath")) and not config.get("DisableProfiler")


@asynccontextmanager
async def profiled(
    cloud: CloudContext, request: Mapping[str, Any], host: str = "algo-1", *, proc: Path = PROC
) -> AsyncIterator[None]:
    """Gather system metrics in the meantime if the request asks for them, and store them at the end.

    Args:
        cloud: Where the job runs.
        request: A CreateTrainingJob request.
        host: Which instance is watched.
        proc: Where the kernel tells of processors and memory.
    """
    if not profiles(request):
        yield
        return
    if not (proc / "stat").exists():
        _warn(cloud, request, "This machine does not tell of its processors: no system metrics are gathered.")
        yield
        return
    config = request["ProfilerConfig"]
    interval = config.get("ProfilingIntervalInMilliseconds", DEFAULT_INTERVAL) / 1000
    place = parse_s3(config["S3OutputPath"]).child(f"{request['TrainingJobName']}/profiler-output")
    samples: list[dict[str, Any]] = []
    watch = asyncio.get_running_loop().create_task(_watch(cloud, samples, host, interval, proc))
    try:
        yield
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch
        try:
            _store(cloud, place, samples, host)
        except ServiceError as error:
            _warn(cloud, request, f"The system metrics could not be stored at {place}: {error.message}")


def _warn(cloud: CloudContext, request: Mapping[str, Any], message: str) -> None:
    cloud.events.publish("warning", request["TrainingJobName"], message=message)


async def _watch(
    cloud: CloudContext, samples: list[dict[str, Any]], host: str, interval: float, proc: Path
) -> None:
    before = _processors(proc)
    while True:
        await asyncio.sleep(interval)
        now, after = cloud.clock.now(), _processors(proc)
        measured = [("cpu", name, "CPUUtilization", _busy(before.get(name), after[name])) for name in after]
        measured.append(("memory", "memory", "MemoryUsedPercent", _memory(proc)))
        for kind, name, dimension, value in measured:
            samples.append(
                {
                    "Type": kind,
                    "Name": name,
                    "Dimension": dimension,
                    "Value": round(value, 2),
                    "NodeId": host,
                    "Timestamp": now,
                }
            )
        before = after


def _store(cloud: CloudContext, place: S3Location, samples: list[dict[str, Any]], host: str) -> None:
    minutes: dict[int, list[str]] = {}
    for sample in samples:
        minute = int(sample["Timestamp"]) // MINUTE * MINUTE
        minutes.setdefault(minute, []).append(json.dumps(sample))
    for minute, lines in minutes.items():
        hour = moment(minute).strftime("%Y%m%d%H")
        key = place.child(f"system/incremental/{hour}/{minute}.{host}.json")
        cloud.storage.put(key.bucket, key.key, "".join(f"{line}\n" for line in lines).encode())


def _processors(proc: Path) -> dict[str, tuple[int, int]]:
    """By processor, ticks since the machine started: (idle, all)."""
    ticks: dict[str, tuple[int, int]] = {}
    for line in (proc / "stat").read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            numbers = [int(field) for field in fields[:8]]
            ticks[name] = (numbers[3] + numbers[4], sum(numbers))  # idle, and waiting for a disk
    return ticks


def _busy(before: tuple[int, int] | None, after: tuple[int, int]) -> float:
    """In percent."""
    if before is None or after[1] <= before[1]:
        return 0.0
    return 100 * (1 - (after[0] - before[0]) / (after[1] - before[1]))


def _memory(proc: Path) -> float:
    """In percent."""
    amounts = dict(line.split(":") for line in (proc / "meminfo").read_text().splitlines())
    whole, free = (int(amounts[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    return 100 * (1 - free / whole)
