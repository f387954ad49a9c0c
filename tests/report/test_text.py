"""Times, sizes and paths as people read them."""

from __future__ import annotations

import pytest

from harness.report.text import compact_path, duration, offset, size, value


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (1.94, "1.9 s"),
        (42, "42 s"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (86_400, "1 d"),
        (93_600, "1 d 2 h"),
        (86_405, "1 d"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_offsets_and_sizes():
    assert offset(3723.9) == "+1:02:03"
    assert [size(count) for count in (12, 1500, 2_340_000, 5_000_000_000)] == [
        "12 B",
        "1.5 kB",
        "2.3 MB",
        "5.0 GB",
    ]


def test_a_long_value_is_cut():
    assert value({"a": "ü"}) == '{"a": "ü"}'
    assert value("x" * 500, limit=10) == '"xxxxxxxxx...'


@pytest.mark.parametrize(
    ("states", "text"),
    [
        ("", ""),
        ("A B C", "A → B → C"),
        ("A A A", "A ×3"),
        ("A B C B C B C D", "A → (B → C) ×3 → D"),
        ("W C S W C S D W C S D", "(W → C → S) ×2 → D → W → C → S → D"),
    ],
)
def test_paths(states, text):
    assert compact_path(states.split()) == text
