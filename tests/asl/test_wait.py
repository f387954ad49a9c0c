from __future__ import annotations

from typing import Any

import pytest

from harness.asl.values import parse_timestamp, timestamp_text
from tests.asl.helpers import START, execute, single


@pytest.mark.parametrize(
    ("fields", "data", "seconds"),
    [
        ({"Seconds": 0}, {}, 0),
        ({"Seconds": 86_400}, {}, 86_400),
        ({"SecondsPath": "$.s"}, {"s": 5}, 5),
        ({"Timestamp": "2023-11-14T22:13:30Z"}, {}, 10),
        ({"Timestamp": "2000-01-01T00:00:00Z"}, {}, 0),
        ({"TimestampPath": "$.t"}, {"t": "2023-11-14T23:13:30.5+01:00"}, 10.5),
        ({"QueryLanguage": "JSONata", "Seconds": "{% $states.input.s * 2 %}"}, {"s": 5}, 10),
        (
            {"QueryLanguage": "JSONata", "Timestamp": "{% $states.input.t %}"},
            {"t": "2023-11-14T22:14:20Z"},
            60,
        ),
    ],
)
def test_wait(fields: dict[str, Any], data: Any, seconds: float) -> None:
    outcome, execution = execute(single({"Type": "Wait", **fields}), data)
    assert outcome.output == data
    assert execution.stopped == START + seconds


@pytest.mark.parametrize(
    ("expression", "data", "text"),
    [
        ({"Seconds": "{% -1 %}"}, {}, "returned a value that is not between 0 and 99999999: -1"),
        (
            {"Timestamp": "{% 'tomorrow' %}"},
            {},
            "returned a value that is not a valid ISO-8601 extended offset date-time format string: tomorrow",
        ),
    ],
)
def test_unfit_expressions(expression: dict[str, Any], data: Any, text: str) -> None:
    outcome, _ = execute(single({"Type": "Wait", "QueryLanguage": "JSONata", **expression}), data)
    assert outcome.error == "States.QueryEvaluationError"
    assert (outcome.cause or "").endswith(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T19:00:00-05:00", 0),
        ("1970-01-01T00:00:00.123456789Z", 0.123456),
        ("1970-01-01", None),
        ("1970-01-01T00:00:00", None),
        ("1970-01-01 00:00:00Z", None),
        ("1970-13-01T00:00:00Z", None),
        ("1970-01-01T25:00:00Z", None),
        ("1970-01-01T00:00:00+19:00", None),
        ("1970-1-1T0:0:0Z", None),
        ("", None),
    ],
)
def test_timestamps(text: str, seconds: float | None) -> None:
    assert parse_timestamp(text) == seconds


def test_timestamps_of_the_context_object() -> None:
    assert timestamp_text(1_700_000_000.9876) == "2023-11-14T22:13:20.987Z"
