"""The metrics of a training job: found in its log, shown by its description and in CloudWatch."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.access import SAGEMAKER
from harness.cloud.sagemaker.records import moment
from harness.cloud.service import CloudContext

__all__ = ["Metrics", "single"]

NAMESPACE = "/aws/sagemaker/TrainingJobs"

BATCH = 1000
"""Values that CloudWatch takes in one request."""


class Metrics:
    """What the metric definitions of a job find in its log.

    A value goes to CloudWatch with the dimension TrainingJobName, as those of SageMaker's algorithms do; that
    is where the SDK's TrainingJobAnalytics looks for it.

    Args:
        cloud: Where CloudWatch is.
        request: A CreateTrainingJob request.
        found: Called with each metric's name, its value, and when it was logged, in whole seconds.
    """

    def __init__(
        self, cloud: CloudContext, request: Mapping[str, Any], found: Callable[[str, float, int], object]
    ) -> None:
        self._cloud = cloud
        self._job: str = request["TrainingJobName"]
        self._found = found
        self._patterns = [
            (definition["Name"], re.compile(definition["Regex"]))
            for definition in request["AlgorithmSpecification"].get("MetricDefinitions", ())
        ]
        self._unsent: list[dict[str, Any]] = []

    def scan(self, line: str) -> None:
        """Look for values in a line of the log."""
        for name, pattern in self._patterns:
            match = pattern.search(line)
            if match is None or not pattern.groups:
                continue
            try:
                value = single(float(match.group(1)))
            except (TypeError, ValueError, OverflowError):
                continue  # not a number
            if not math.isfinite(value):
                continue  # CloudWatch does not take these
            now = int(self._cloud.clock.now())
            self._found(name, value, now)
            self._unsent.append(
                {
                    "MetricName": name,
                    "Dimensions": [{"Name": "TrainingJobName", "Value": self._job}],
                    "Timestamp": moment(now),
                    "Value": value,
                }
            )

    async def send(self) -> None:
        """Send to CloudWatch what has been found since the last time. What it refuses spoils no job."""
        while batch := self._unsent[:BATCH]:
            del self._unsent[:BATCH]
            try:
                await self._cloud.call(
                    "cloudwatch",
                    "PutMetricData",
                    {"Namespace": NAMESPACE, "MetricData": batch},
                    caller=SAGEMAKER,
                )
            except ServiceError as error:
                self._cloud.events.publish(
                    "warning",
                    self._job,
                    message=f"CloudWatch did not take the job's metrics: {error.message}",
                )


def single(value: float) -> float:
    """What is left of a number that has been a 32-bit float, as metric values have."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])
