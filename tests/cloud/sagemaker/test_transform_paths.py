from __future__ import annotations

from typing import Any

import pytest

from harness.cloud.sagemaker.transform.paths import FilterPath, PathError

RECORD = {
    "id": 7,
    "features": [1, 2, 3],
    "nested": {"a": {"b": "deep"}, "c": "flat", "with space": 1},
    "rows": [{"x": 1, "y": 2}, {"x": 3, "y": 4}],
}


@pytest.mark.parametrize(
    ("path", "selected"),
    [
        ("$", RECORD),
        ("", RECORD),
        ("$.id", 7),
        ("$.features", [1, 2, 3]),
        ("$['features']", [1, 2, 3]),
        ('$["features"]', [1, 2, 3]),
        ("$.nested.a.b", "deep"),
        ("$.nested['with space']", 1),
        ("$['id','features']", {"id": 7, "features": [1, 2, 3]}),
        ("$['features', 'id']", {"features": [1, 2, 3], "id": 7}),
        ("$.nested.['a','c']", {"a": {"b": "deep"}, "c": "flat"}),
        ("$.features[0]", 1),
        ("$.features[-1]", 3),
        ("$.features[0,-1]", [1, 3]),
        ("$.features[1:]", [2, 3]),
        ("$.features[:-1]", [1, 2]),
        ("$.features[0:2]", [1, 2]),
        ("$.features[:]", [1, 2, 3]),
        ("$.features[5:]", []),
        ("$.features[2, 0:2]", [3, 1, 2]),
        ("$.features.*", [1, 2, 3]),
        ("$.features[*]", [1, 2, 3]),
        ("$.nested.a.*", ["deep"]),
        ("$.rows[*].x", [1, 3]),
        ("$.rows[0,1]['y']", [2, 4]),
    ],
)
def test_what_a_path_selects(path: str, selected: Any) -> None:
    assert FilterPath(path).select(RECORD) == selected


@pytest.mark.parametrize(
    "path",
    [
        "id",
        "@.id",
        "$..id",
        "$.",
        "$[",
        "$[]",
        "$['a'",
        "$[a]",
        "$[?(@.x > 1)]",
        "$[(@.length-1)]",
        "$['a']['b','c'].d",
        "$.nested['a','a.b']",
        "$[['a']]",
        "$[0:3:2]",
        "$[0,'a']",
        "$['a','b'][0]",
        "$.a b",
        "$.length()",
    ],
)
def test_what_is_not_understood_is_refused(path: str) -> None:
    with pytest.raises(PathError):
        FilterPath(path)


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("$.missing", "there is no 'missing'"),
        ("$['id','missing']", "there is no 'missing'"),
        ("$.features.x", "there is no 'x'"),
        ("$.features[3]", "the index 3 is out of range: there are 3 items"),
        ("$.features[-4]", "the index -4 is out of range"),
        ("$.features[0,3]", "out of range"),
        ("$.id[0]", "no items"),
        ("$[0]", "no items"),
        ("$.id.*", "no children"),
    ],
)
def test_what_is_not_there_is_an_error(path: str, complaint: str) -> None:
    with pytest.raises(PathError, match=complaint):
        FilterPath(path).select(RECORD)


def test_only_indexes_apply_to_a_row() -> None:
    for path in ("$", "$[0]", "$[1:]", "$[0,-1]", "$[0,5:]", "$[*]", "$.*"):
        assert FilterPath(path).of_row
    for path in ("$.a", "$['a']", "$['a','b']", "$[0].a", "$[0][0]"):
        assert not FilterPath(path).of_row
    assert FilterPath(" $ ").all
    assert not FilterPath("$[0]").all
