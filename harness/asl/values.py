"""JSON values: their text, their size, their types, and timestamps written as strings."""

from __future__ import annotations

import json
import math
import random
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from harness.asl.errors import DATA_LIMIT_EXCEEDED, StatesError
from harness.asl.tasks import JSON

__all__ = [
    "MISSING",
    "PAYLOAD_LIMIT",
    "json_size",
    "json_text",
    "make_uuid",
    "parse_json",
    "parse_timestamp",
    "timestamp_text",
]

PAYLOAD_LIMIT: Final = 256 * 1024
"""Bytes of UTF-8 that an input, a result or an output may have (AWS: service quotas)."""


class Missing:
    """The type of `MISSING`."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()
"""What a path leads to when it leads nowhere. Unlike null it is not a JSON value."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def json_text(value: JSON) -> str:
    """The compact JSON text of a value, however deep it is nested."""
    try:
        return _encode(value)
    except RecursionError:
        return _encode_deep(value)


def _encode_deep(value: JSON) -> str:
    """`json_text` without recursion: a state machine that wraps its data in a loop gets deeper than Python's
    stack long before it reaches a limit of its own."""
    parts: list[str] = []
    pending: list[tuple[str, JSON]] = [("", value)]  # (text before the value, value), last first
    while pending:
        text, item = pending.pop()
        parts.append(text)
        if isinstance(item, dict) and item:
            pending.append(("}", MISSING))
            members = [(f"{',' if i else '{'}{_encode(name)}:", item[name]) for i, name in enumerate(item)]
            pending.extend(reversed(members))
        elif isinstance(item, list) and item:
            pending.append(("]", MISSING))
            pending.extend(reversed([("," if i else "[", element) for i, element in enumerate(item)]))
        elif item is not MISSING:
            parts.append(_encode(item))
    return "".join(parts)


def json_size(value: JSON) -> int:
    """The size of a value's JSON text in bytes."""
    return len(json_text(value).encode("utf-8", "surrogatepass"))


def parse_json(
    text: str | bytes, members: Callable[[list[tuple[str, JSON]]], dict[str, JSON]] | None = None
) -> JSON:
    """The value of a JSON text, strictly: no NaN, no Infinity, no number that is too large.

    Args:
        text: The text.
        members: Makes an object of its members; None for what a dict makes of them: the last of a name.

    Raises:
        ValueError: It is not JSON.
        RecursionError: It is nested too deeply.
    """
    try:
        return json.loads(text, object_pairs_hook=members, parse_constant=_refuse, parse_float=_finite)
    except ValueError as error:
        if "set_int_max_str_digits" in str(error):  # Python's advice to its programmers
            raise ValueError("a number has too many digits") from None
        raise


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text} is out of range")
    return value


def _refuse(constant: str) -> JSON:
    raise ValueError(f"{constant} is not JSON")


def ensure_fits(value: JSON, state: str) -> int:
    """The size of a value in bytes.

    Raises:
        StatesError: States.DataLimitExceeded, worded as in the recorded case ``test_start_large_input``.
    """
    size = json_size(value)
    if size > PAYLOAD_LIMIT:
        raise StatesError(
            DATA_LIMIT_EXCEEDED,
            f"The state/task '{state}' returned a result with a size exceeding the maximum number of bytes "
            "service limit.",
        )
    return size


def type_name(value: JSON) -> str:
    """JSON's name of a value's type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def is_number(value: JSON) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# ISO-8601 extended offset date-time, as java.time's ISO_OFFSET_DATE_TIME has it: up to nine digits of a
# second, seconds may be left out, the offset may not.
_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(?:Z|([+-])(\d\d):(\d\d)(?::(\d\d))?)",
    re.ASCII,
)


def parse_timestamp(text: str) -> float | None:
    """Seconds since the epoch of an ISO-8601 date-time with an offset; None if `text` is none.

    Digits beyond microseconds are cut off.
    """
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, sign = match.groups()[:8]
    offset_hours, offset_minutes, offset_seconds = (int(part or 0) for part in match.groups()[8:])
    offset = timedelta(hours=offset_hours, minutes=offset_minutes, seconds=offset_seconds)
    if offset > timedelta(hours=18):
        return None
    try:
        return datetime(
            int(year),
            int(month),
            int(day),
            int(hour),
            int(minute),
            int(second or 0),
            int((fraction or "0").ljust(6, "0")[:6]),
            timezone(-offset if sign == "-" else offset),
        ).timestamp()
    except (ValueError, OverflowError):
        return None


def timestamp_text(seconds: float) -> str:
    """A time as the context object writes it: UTC with milliseconds, ``2024-07-15T13:00:19.123Z``."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def make_uuid(entropy: random.Random) -> str:
    """A version 4 UUID."""
    return str(uuid.UUID(int=entropy.getrandbits(128), version=4))
