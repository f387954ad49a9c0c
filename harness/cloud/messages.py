"""HTTP requests and responses as the parts of the cloud hand them to each other, and JSON in them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from harness.cloud.errors import ServiceError


@dataclass(slots=True)
class HttpRequest:
    """A request, read to its end.

    Attributes:
        method: In upper case.
        path: As sent, percent-encoded, without the query.
        query: As sent, percent-encoded, without the question mark.
        headers: Names in lower case; values of repeated headers are joined with a comma.
        body: Without any transfer encoding.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class HttpResponse:
    """A response.

    Attributes:
        status: HTTP status.
        headers: Without Content-Length, Date and Server.
        body: Whole, or in pieces as they come.
    """

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | AsyncIterator[bytes] = b""


def load(body: bytes) -> Any:
    """The JSON document of a request body; nothing at all counts as an empty one.

    Raises:
        ServiceError: SerializationException.
    """
    if not body:
        return {}
    try:
        return _DECODER.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise ServiceError("SerializationException", f"the request body is not JSON: {error}") from None


def dump(document: Any) -> bytes:
    """JSON as AWS sends it: compact, ASCII."""
    return _ENCODER.encode(document).encode()


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


# json.loads and json.dumps would make new ones for every message.
_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
