"""Data capture of a transform job: manifests of what it read and wrote, in S3.

Nothing is copied: a manifest names the objects. Source: SageMaker developer guide, "Capture data from batch
transform job". The names of the manifests are not documented.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from harness.cloud.sagemaker.data import InputObject
from harness.cloud.sagemaker.validation import S3Location, parse_s3
from harness.cloud.service import CloudContext

__all__ = ["capture"]


def capture(cloud: CloudContext, request: Mapping[str, Any], done: Sequence[InputObject]) -> None:
    """Write the manifests of a job, if it is asked to and has transformed anything.

    Args:
        cloud: Whose S3 takes them.
        request: A CreateTransformJob request.
        done: What has been transformed.

    Raises:
        ServiceError: NoSuchBucket.
    """
    config = request.get("DataCaptureConfig")
    if config is None or not done:
        return
    hour = f"{datetime.fromtimestamp(cloud.clock.now(), UTC):%Y/%m/%d/%H}"
    output = parse_s3(request["TransformOutput"]["S3OutputPath"]).child("")
    for side, prefix, names in (
        ("input", _prefix(done[0]), [item.path for item in done]),
        ("output", output, [f"{item.path}.out" for item in done]),
    ):
        # Not drawn from the cloud's entropy: when a job gets here depends on how fast its containers are, and
        # the ids of all that comes later would depend on that.
        name = uuid.uuid5(uuid.NAMESPACE_URL, f"{request['TransformJobName']}/{side}")
        place = parse_s3(config["DestinationS3Uri"]).child(f"{side}/{hour}/{name}.jsonl")
        cloud.storage.put(place.bucket, place.key, json.dumps([{"prefix": str(prefix)}, *names]).encode())


def _prefix(item: InputObject) -> S3Location:
    """What lies before an object's path in its key; all objects of a job have it in common."""
    return S3Location(item.location.bucket, item.location.key.removesuffix(item.path))
