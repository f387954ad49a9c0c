"""How a transform job sends its data: the request's word, else the container's, else SageMaker's default."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.cloud.sagemaker.http import Response

__all__ = ["MB", "Settings", "offered"]

MB = 2**20

UNLIMITED = 2**30
"""Bytes of a request when MaxPayloadInMB is 0. SageMaker has no limit then; here requests are in memory."""


@dataclass(frozen=True)
class Settings:
    """How to send the data to one instance.

    Attributes:
        concurrent: Requests at a time.
        payload_mb: MaxPayloadInMB; 0 for no limit, and then the body is sent in chunks.
        multi_record: Put as many records into a request as fit.
    """

    concurrent: int
    payload_mb: int
    multi_record: bool

    @classmethod
    def decide(cls, request: Mapping[str, Any], container: Mapping[str, Any]) -> Settings:
        """Put both together.

        Args:
            request: A CreateTransformJob request.
            container: What the container offers (`offered`). What makes no sense in it is passed over.
        """
        concurrent = request.get("MaxConcurrentTransforms") or _count(container, "MaxConcurrentTransforms", 1)
        payload = request.get("MaxPayloadInMB")
        if payload is None:
            payload = _count(container, "MaxPayloadInMB", 6, least=0)
        strategy = request.get("BatchStrategy")
        if strategy is None:
            strategy = {"SINGLE_RECORD": "SingleRecord"}.get(
                str(container.get("BatchStrategy")), "MultiRecord"
            )
        return cls(concurrent, payload, strategy == "MultiRecord")

    @property
    def chunked(self) -> bool:
        """Send bodies in chunks."""
        return not self.payload_mb

    @property
    def limit(self) -> int:
        """Bytes a request may have."""
        return self.payload_mb * MB or UNLIMITED

    def __str__(self) -> str:
        strategy = "MULTI_RECORD" if self.multi_record else "SINGLE_RECORD"
        return (
            f"MaxConcurrentTransforms={self.concurrent}, MaxPayloadInMB={self.payload_mb}, "
            f"BatchStrategy={strategy}"
        )


def _count(container: Mapping[str, Any], name: str, default: int, *, least: int = 1) -> int:
    value = container.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= least else default


def offered(response: Response | None) -> dict[str, Any]:
    """What a container says of itself at ``/execution-parameters``; nothing unless it is a JSON object."""
    try:
        offer = json.loads(response.body) if response is not None else {}
    except (ValueError, RecursionError):
        offer = {}
    return offer if isinstance(offer, dict) else {}
