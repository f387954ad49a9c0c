"""Data capture of endpoints."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from tests.cloud.sagemaker.fakes import SERVING, FakeCloud, with_cloud
from tests.cloud.sagemaker.test_invoke import deploy, invoke

MODEL = {"PrimaryContainer": {"Image": SERVING}}


def configuration(*modes: str, percentage: int = 100, **config: Any) -> dict[str, Any]:
    return {
        "DataCaptureConfig": {
            "EnableCapture": True,
            "InitialSamplingPercentage": percentage,
            "DestinationS3Uri": "s3://data/captured",
            "CaptureOptions": [{"CaptureMode": mode} for mode in modes or ("Input", "Output")],
            **config,
        }
    }


async def captured(cloud: FakeCloud) -> list[dict[str, Any]]:
    """Everything, written out: the service closes."""
    await cloud.runtime.close()
    files = [key for key, _ in cloud.storage.list("data", "captured/")]
    pattern = r"captured/digits/AllTraffic/2025/06/15/15/\d\d-\d\d-\d{3}-[0-9a-f-]{36}\.jsonl"
    assert all(re.fullmatch(pattern, key) for key in files)
    return [json.loads(line) for key in files for line in cloud.storage.get("data", key).splitlines()]


def test_both_sides_are_captured() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        types = {"CsvContentTypes": ["text/csv"]}
        await deploy(cloud, MODEL, **configuration(CaptureContentTypeHeader=types))
        await invoke(cloud, b"a,b", ContentType="text/csv; charset=utf-8", InferenceId="mine")
        await invoke(cloud, b"\xff")
        first, second = await captured(cloud)
        assert re.fullmatch(r"[0-9a-f-]{36}", first["eventMetadata"].pop("eventId"))
        assert re.fullmatch(r"2025-06-15T15:0\d:\d\dZ", first["eventMetadata"].pop("inferenceTime"))
        assert first == {
            "captureData": {
                "endpointInput": {
                    "observedContentType": "text/csv; charset=utf-8",
                    "mode": "INPUT",
                    "data": "a,b",
                    "encoding": "CSV",
                },
                "endpointOutput": {
                    "observedContentType": "text/plain",
                    "mode": "OUTPUT",
                    "data": base64.b64encode(b"A,B").decode(),
                    "encoding": "BASE64",
                },
            },
            "eventMetadata": {"inferenceId": "mine"},
            "eventVersion": "0",
        }
        assert second["captureData"]["endpointInput"] == {
            "mode": "INPUT",
            "data": base64.b64encode(b"\xff").decode(),
            "encoding": "BASE64",
        }

    with_cloud(scenario)


@pytest.mark.parametrize(("mode", "side"), [("Input", "endpointInput"), ("Output", "endpointOutput")])
def test_one_side_alone(mode: str, side: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud, MODEL, **configuration(mode))
        await invoke(cloud)
        [event] = await captured(cloud)
        assert list(event["captureData"]) == [side]

    with_cloud(scenario)


def test_samples() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud, MODEL, **configuration(percentage=25))
        for _ in range(200):
            await invoke(cloud)
        assert 25 < len(await captured(cloud)) < 75

    with_cloud(scenario)


def test_capture_that_is_off_or_has_no_bucket() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud, MODEL, **configuration(DestinationS3Uri="s3://gone/captured"))
        assert (await invoke(cloud))["Body"] == b"HI"
        assert await captured(cloud) == []
        [warning] = cloud.events_of("warning")
        assert "could not be written" in warning.data["message"]

    async def off(cloud: FakeCloud) -> None:
        await deploy(cloud, MODEL, **configuration(EnableCapture=False))
        await invoke(cloud)
        assert await captured(cloud) == []

    with_cloud(scenario)
    with_cloud(off)
