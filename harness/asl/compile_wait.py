"""The fields of Wait states, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from harness.asl.compile_fields import Fields, Limits, shown
from harness.asl.errors import Fault
from harness.asl.frame import Frame
from harness.asl.jsonpath.query import find
from harness.asl.tasks import JSON
from harness.asl.values import MISSING, parse_timestamp

__all__ = ["wait_until"]

ISO_TEXT: Final = "a valid ISO-8601 extended offset date-time format string"


def wait_until(fields: Fields) -> Callable[[JSON, Frame], float] | None:
    """When a wait is over, from one of the four forms."""
    forms = ("Seconds", "SecondsPath", "Timestamp", "TimestampPath")
    given = [name for name in forms if name in fields]
    if len(given) != 1:
        fields.place.error(f"Exactly one of these fields is required: [{', '.join(forms)}]")
        return None
    if given[0].startswith("Seconds"):
        seconds = fields.seconds("Seconds", Limits(0))
        return None if seconds is None else lambda data, frame: frame.now() + seconds(data, frame)
    if given[0] == "TimestampPath":
        return _timestamp_at(fields)
    return _timestamp(fields)


def _timestamp(fields: Fields) -> Callable[[JSON, Frame], float] | None:
    if fields.has_expression("Timestamp"):
        expression = fields.expression("Timestamp")
        if expression is None:
            return None

        def until(data: JSON, frame: Frame) -> float:
            text = expression.read_as("string", lambda value: isinstance(value, str), {}, frame)
            moment = parse_timestamp(text)
            if moment is None:
                raise expression.fault(f"returned a value that is not {ISO_TEXT}: {text}")
            return moment

        return until
    text = fields.text("Timestamp")
    moment = None if text is None else parse_timestamp(text)
    if text is not None and moment is None:
        (fields.place / "Timestamp").error(f"Value is not {ISO_TEXT}")
    return None if moment is None else lambda data, frame: moment


def _timestamp_at(fields: Fields) -> Callable[[JSON, Frame], float] | None:
    path = fields.reference_path("TimestampPath")
    if path is None:
        return None
    name, read = path.text, find(path)

    def until(data: JSON, frame: Frame) -> float:
        value = read(data, frame)
        if value is MISSING:
            raise Fault(f"The TimestampPath parameter does not reference an input value: {name}")
        moment = parse_timestamp(value) if isinstance(value, str) else None
        if moment is None:
            # As in the recorded cases ``test_wait_timestamp_path``.
            raise Fault(
                f"The TimestampPath parameter does not reference {ISO_TEXT}: {name} == {shown(value)}"
            )
        return moment

    return until
