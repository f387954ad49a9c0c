"""System metrics of training jobs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from harness.cloud.sagemaker.training.profiler import profiled
from tests.cloud.sagemaker.fakes import START, FakeCloud, training_request, with_cloud

MEMORY = "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    250 kB\n"


def request(**config: Any) -> dict[str, Any]:
    return training_request(
        ProfilerConfig={"S3OutputPath": "s3://data/p", "ProfilingIntervalInMilliseconds": 100} | config
    )


def write(proc: Path, *, idle: int, busy: int) -> None:
    (proc / "stat").write_text(
        f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 {busy} 0 0 {idle} 0 0 0 0 0 0\nctxt 5\n"
    )
    (proc / "meminfo").write_text(MEMORY)


def test_processors_and_memory_are_watched(tmp_path: Path) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        write(tmp_path, idle=100, busy=0)
        async with profiled(cloud, request(), proc=tmp_path):
            await asyncio.sleep(0)  # the first look
            write(tmp_path, idle=125, busy=75)
            await asyncio.sleep(0.15)
        minute = int(START) // 60 * 60
        key = f"p/train-1/profiler-output/system/incremental/2025061515/{minute}.algo-1.json"
        assert list(cloud.storage.buckets["data"]) == [key]
        samples = [json.loads(line) for line in cloud.storage.get("data", key).splitlines()]
        common = {"NodeId": "algo-1", "Timestamp": START}
        assert samples == [
            {"Type": "cpu", "Name": "cpu0", "Dimension": "CPUUtilization", "Value": 75.0, **common},
            {"Type": "memory", "Name": "memory", "Dimension": "MemoryUsedPercent", "Value": 75.0, **common},
        ]

    with_cloud(scenario)


@pytest.mark.parametrize("config", [{"DisableProfiler": True}, {"S3OutputPath": ""}])
def test_a_job_that_does_not_ask_is_not_watched(tmp_path: Path, config: dict[str, Any]) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        async with profiled(cloud, request(**config), proc=tmp_path / "none"):
            await asyncio.sleep(0)
        assert cloud.storage.buckets["data"] == {}

    with_cloud(scenario)


def test_metrics_that_cannot_be_stored_do_not_spoil_the_job() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        async with profiled(cloud, request(S3OutputPath="s3://none/p")):
            await asyncio.sleep(0.15)
        assert "could not be stored at s3://none/p" in cloud.events_of("warning")[0].data["message"]

    with_cloud(scenario)


def test_a_machine_that_tells_nothing_is_said_to(tmp_path: Path) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        async with profiled(cloud, request(), proc=tmp_path):
            await asyncio.sleep(0)
        assert "no system metrics are gathered" in cloud.events_of("warning")[0].data["message"]
        assert cloud.storage.buckets["data"] == {}

    with_cloud(scenario)


def test_describe_tells_of_the_profiler() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        config = {"S3OutputPath": "s3://data/p", "DisableProfiler": False}
        await cloud.do("create_training_job", **training_request(ProfilerConfig=config))
        job = await cloud.sagemaker.wait_for_job("training", "train-1")
        assert (job["ProfilingStatus"], job["ProfilerConfig"]) == ("Enabled", config)
        error = await cloud.error(
            "create_training_job", **request(ProfilingIntervalInMilliseconds=300) | {"TrainingJobName": "b"}
        )
        assert error.message == (
            "ProfilingIntervalInMilliseconds must be one of 100, 200, 500, 1000, 5000, 60000."
        )

    with_cloud(scenario)
