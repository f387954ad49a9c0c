"""The framing of streamed results (``application/vnd.amazon.eventstream``).

https://smithy.io/2.0/aws/amazon-eventstream.html: a message is total length, headers length, CRC of these
two, headers, payload, CRC of everything before it; all numbers big-endian.
"""

from __future__ import annotations

import struct
from binascii import crc32
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.messages import dump
from harness.cloud.models import Shape

_STRING = 7  # the type of a header value; the only one events of our services use


async def encode_events(
    shape: Shape, shapes: Mapping[str, Shape], events: AsyncIterable[Mapping[str, Any]]
) -> AsyncIterator[bytes]:
    """Frame events as they come.

    Args:
        shape: The event stream's shape: a union of events.
        shapes: All shapes of the service.
        events: Each ``{event name: {member: value}}``, as boto3 gives them. A `ServiceError` raised while
            they are read ends the stream as an exception message.
    """
    try:
        async for event in events:
            for name, members in event.items():
                yield _event(name, shapes[shape["members"][name]["shape"]], members)
    except ServiceError as error:
        headers = {
            ":message-type": "exception",
            ":exception-type": error.code,
            ":content-type": "application/json",
        }
        yield frame(headers, dump({"Message": error.message} | error.fields))


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message."""
    block = b"".join(
        struct.pack("!B", len(name))
        + name.encode()
        + struct.pack("!BH", _STRING, len(value))
        + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", 16 + len(block) + len(payload), len(block))
    head = prelude + struct.pack("!I", crc32(prelude))
    return head + block + payload + struct.pack("!I", crc32(head + block + payload))


def _event(name: str, shape: Shape, members: Mapping[str, Any]) -> bytes:
    headers = {":message-type": "event", ":event-type": name}
    for member, ref in shape["members"].items():
        if ref.get("eventpayload"):
            return frame(headers | {":content-type": "application/octet-stream"}, members.get(member, b""))
    return frame(headers | {":content-type": "application/json"}, dump(members))
