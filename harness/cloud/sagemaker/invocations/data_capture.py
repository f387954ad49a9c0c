"""Data capture: what goes in and out of an endpoint, in S3 as JSON Lines.

Source: SageMaker developer guide, "Capture data from real-time endpoint".
"""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.http import Response
from harness.cloud.sagemaker.invocations.invocation import Invocation, Route
from harness.cloud.sagemaker.validation import S3Location, parse_s3
from harness.cloud.service import CloudContext

__all__ = ["DataCapture"]

DELAY = 0.5
"""Real seconds that records are gathered before they become a file."""


class DataCapture:
    """Records invocations of endpoints that are configured so.

    Args:
        cloud: Whose S3 takes the files.
    """

    def __init__(self, cloud: CloudContext) -> None:
        self._cloud = cloud
        self._gathered: dict[S3Location, list[str]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def record(
        self, route: Route, invocation: Invocation, answer: Response, *, inference_id: str | None
    ) -> None:
        """Record an invocation that succeeded, if it is one to be recorded.

        Args:
            route: Where it went.
            invocation: What went in.
            answer: What came out.
            inference_id: What the caller calls it.
        """
        config = route.endpoint.data_capture
        if config is None or not config.get("EnableCapture"):
            return
        percentage = config["InitialSamplingPercentage"]
        if percentage < 100 and self._cloud.entropy.random() * 100 >= percentage:
            return
        modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
        types = config.get("CaptureContentTypeHeader", {})
        captured: dict[str, Any] = {}
        if modes & {"Input", "InputAndOutput"}:
            kind = invocation.headers.get("Content-Type")
            captured["endpointInput"] = _data("INPUT", kind, invocation.body, types)
        if modes & {"Output", "InputAndOutput"}:
            kind = answer.headers.get("content-type")
            captured["endpointOutput"] = _data("OUTPUT", kind, answer.body, types)
        now = datetime.fromtimestamp(self._cloud.clock.now(), UTC)
        metadata = {"eventId": self._id()}
        if "X-Amzn-SageMaker-Custom-Attributes" in invocation.headers:
            metadata["customAttributes"] = invocation.headers["X-Amzn-SageMaker-Custom-Attributes"]
        if inference_id is not None:
            metadata["inferenceId"] = inference_id
        metadata["inferenceTime"] = f"{now:%Y-%m-%dT%H:%M:%SZ}"
        event = {"captureData": captured, "eventMetadata": metadata, "eventVersion": "0"}
        hour = f"{route.endpoint.name}/{route.variant.name}/{now:%Y/%m/%d/%H}"
        folder = parse_s3(config["DestinationS3Uri"]).child(hour)
        self._gathered.setdefault(folder, []).append(json.dumps(event))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY, self.flush)

    def flush(self) -> None:
        """Write what has been gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        gathered, self._gathered = self._gathered, {}
        for folder, lines in gathered.items():
            now = datetime.fromtimestamp(self._cloud.clock.now(), UTC)
            place = folder.child(f"{now:%M-%S}-{now.microsecond // 1000:03}-{self._id()}.jsonl")
            try:
                self._cloud.storage.put(place.bucket, place.key, "".join(f"{x}\n" for x in lines).encode())
            except ServiceError as error:
                message = f"captured data could not be written to {place}: {error.message}"
                self._cloud.events.publish("warning", str(folder), message=message)

    def _id(self) -> str:
        return str(uuid.UUID(int=self._cloud.entropy.getrandbits(128), version=4))


def _data(mode: str, content_type: str | None, body: bytes, types: Mapping[str, list[str]]) -> dict[str, Any]:
    """One side of an invocation; text only where the configuration names its type, else base64."""
    plain = (content_type or "").partition(";")[0].strip().lower()
    encoding, data = "BASE64", base64.b64encode(body).decode()
    for member, name in (("CsvContentTypes", "CSV"), ("JsonContentTypes", "JSON")):
        if plain and plain in (kind.lower() for kind in types.get(member, ())):
            encoding, data = name, body.decode(errors="replace")
    observed = {} if content_type is None else {"observedContentType": content_type}
    return {**observed, "mode": mode, "data": data, "encoding": encoding}
