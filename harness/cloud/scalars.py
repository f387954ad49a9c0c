"""Single values on their way in and out: numbers, strings, timestamps, blobs.

Values come in three forms:

``json``    parsed JSON: timestamps are numbers, blobs base64 text
``text``    one string from a header, a query string or a path
``python``  what boto3 takes and gives: `datetime`, `bytes`
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any, Literal

from harness.cloud.errors import ServiceError

Form = Literal["json", "text", "python"]

Reader = Callable[[Any], Any]
"""Turns a value into Python form; ValueError or TypeError says why it cannot."""

Encoder = Callable[[Any], Any]
"""Turns a value in Python form into another form."""


class WrongType(ServiceError):
    """A value cannot be read as the type its shape has."""

    def __init__(self, message: str) -> None:
        super().__init__("SerializationException", message)


def read(reader: Reader, value: Any, path: str) -> Any:
    """Apply a reader.

    Raises:
        WrongType: Naming the path.
    """
    try:
        return reader(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise WrongType(f"{error} at '{path}'") from None


def kind(value: Any) -> str:
    """What AWS's JSON parser calls a value in its messages."""
    match value:
        case None:
            return "NULL_VALUE"
        case True:
            return "TRUE_VALUE"
        case False:
            return "FALSE_VALUE"
        case int() | float():
            return "NUMBER_VALUE"
        case str():
            return "STRING_VALUE"
        case dict():
            return "Start of structure or map"
        case list() | tuple():
            return "Start of list"
        case _:
            return type(value).__name__


def _refuse(value: Any, wanted: str) -> ValueError:
    return ValueError(f"{kind(value)} can not be converted to {wanted}")


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise _refuse(value, "a String")
    if not value.isascii():
        value.encode()  # half of a surrogate pair, which JSON can spell, is no text: a ValueError
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _refuse(value, "a Boolean")
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise _refuse(value, "an Integer")
    return int(value)


def _signed(bits: int, reader: Reader) -> Reader:
    """A reader of whole numbers of so many bits: what AWS's own types hold."""
    limit = 2 ** (bits - 1)

    def fitting(value: Any) -> int:
        number: int = reader(value)
        if not -limit <= number < limit:
            raise _refuse(number, "an Integer" if bits == 32 else "a Long")
        return number

    return fitting


def _float(value: Any) -> float:
    if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refuse(value, "a Double")
    return float(value)


def _timestamp(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, str):
        try:
            return _timestamp(datetime.fromisoformat(value))
        except ValueError:
            return _timestamp(parsedate_to_datetime(value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refuse(value, "a Timestamp")
    return datetime.fromtimestamp(value, UTC)


def _text_timestamp(value: str) -> datetime:
    try:
        return _timestamp(float(value))
    except ValueError:
        return _timestamp(value)


def _base64(value: Any) -> bytes:
    if not isinstance(value, str):
        raise _refuse(value, "a Blob")
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        raise ValueError("a value that is not base64 can not be converted to a Blob") from None


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if hasattr(value, "read"):
        return _bytes(value.read())
    if not isinstance(value, bytes | bytearray | memoryview):
        raise _refuse(value, "a Blob")
    return bytes(value)


def _text_boolean(value: str) -> bool:
    if value not in ("true", "false"):
        raise _refuse(value, "a Boolean")
    return value == "true"


def _text_integer(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise _refuse(value, "an Integer") from None


def _text_float(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise _refuse(value, "a Double") from None


_JSON_READERS: dict[str, Reader] = {
    "string": _string,
    "character": _string,
    "boolean": _boolean,
    "integer": _signed(32, _integer),
    "long": _signed(64, _integer),
    "float": _float,
    "double": _float,
    "timestamp": _timestamp,
    "blob": _base64,
}

READERS: dict[Form, dict[str, Reader]] = {
    "json": _JSON_READERS,
    "python": _JSON_READERS | {"blob": _bytes},
    "text": _JSON_READERS
    | {
        "boolean": _text_boolean,
        "integer": _signed(32, _text_integer),
        "long": _signed(64, _text_integer),
        "float": _text_float,
        "double": _text_float,
        "timestamp": _text_timestamp,
    },
}


def _epoch(value: datetime | float) -> float:
    """Seconds since the epoch, in whole milliseconds, as AWS has all times."""
    return round(value.timestamp() if isinstance(value, datetime) else value, 3)


def _moment(value: datetime | float) -> datetime:
    return datetime.fromtimestamp(_epoch(value), UTC)


WRITERS: dict[Form, dict[str, Encoder]] = {
    "json": {
        "timestamp": _epoch,
        "blob": lambda value: base64.b64encode(value).decode(),
    },
    "text": {
        "boolean": lambda value: "true" if value else "false",
        "integer": str,
        "long": str,
        "float": str,
        "double": str,
        "timestamp": lambda value: format_datetime(_moment(value), usegmt=True),
    },
    "python": {"timestamp": _moment},
}
