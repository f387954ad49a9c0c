from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.asl.jsonpath.path import PathSyntaxError, parse_path
from harness.asl.values import MISSING

STORE = {
    "books": [
        {"title": "A", "price": 5, "tags": ["x", "y"], "isbn": None},
        {"title": "B", "price": 12.5, "tags": []},
        {"title": "C", "price": 20, "tags": ["y"]},
    ],
    "owner": {"name": "N", "delivery-partner": "UPS", "a b": 1},
    "empty": [],
    "limit": 10,
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$", STORE),
        ("$.limit", 10),
        ("$['owner']['name']", "N"),
        ('$["owner"].name', "N"),
        ("$.owner.delivery-partner", "UPS"),
        ("$.owner['a b']", 1),
        ("$.books[0].title", "A"),
        ("$.books[-1].title", "C"),
        ('$.["limit"]', 10),
        ("$.books[3]", MISSING),
        ("$.books[0].isbn", None),
        ("$.books[0].nothing", MISSING),
        ("$.limit.deeper", MISSING),
        ("$.owner['name','a b','none']", {"name": "N", "a b": 1}),
        ("$.books.length()", 3),
        ("$.books[*].price.max()", 20),
        ("$.books[*].price.sum()", 37.5),
        ("$.nothing.length()", MISSING),
        ("$.owner.keys()", ["name", "delivery-partner", "a b"]),
    ],
)
def test_definite_path_leads_to_one_value_or_nowhere(path: str, expected: Any) -> None:
    compiled = parse_path(path)
    found = compiled.select(STORE)
    assert compiled.definite
    assert found is MISSING if expected is MISSING else found == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.books[*].title", ["A", "B", "C"]),
        ("$.books.*.title", ["A", "B", "C"]),
        ("$..title", ["A", "B", "C"]),
        ("$.books[0,2].title", ["A", "C"]),
        ("$.books[0:2].title", ["A", "B"]),
        ("$.books[:1].title", ["A"]),
        ("$.books[-2:].title", ["B", "C"]),
        ("$.books[-9:].title", ["A", "B", "C"]),
        ("$.books[:-1].title", ["A", "B"]),
        ("$.books[:9].title", ["A", "B", "C"]),
        ("$.books[5:].title", []),
        ("$.books[-2:-1].title", ["B"]),
        ("$.books[1:-1].title", []),
        ("$.books[-1:2].title", ["C", "A", "B"]),
        ("$.books[0:9].title", ["A", "B", "C"]),
        (
            "$.books[*]['title','price']",
            [{"title": t, "price": p} for t, p in zip("ABC", (5, 12.5, 20), strict=True)],
        ),
        ("$['owner','books'].name", ["N"]),
        ("$.nothing[*].x", []),
        ("$.nothing..x", []),
        ("$.limit[*]", []),
        ("$.books[?(@.price < 13)].title", ["A", "B"]),
        ("$.books[?(@.price < $.limit)].title", ["A"]),
        ("$.books[?(@.title == 'B' || @.price >= 20)].title", ["B", "C"]),
        ("$.books[?(@.price > 5 && !(@.title == 'C'))].title", ["B"]),
        ("$.books[?(@.isbn)].title", ["A"]),
        ("$.books[?(!@.isbn)].title", ["B", "C"]),
        ("$.books[?(@.isbn == null)].title", ["A"]),
        ("$.books[?(@.title =~ /a|c/i)].title", ["A", "C"]),
        ("$.books[?(@.title in ['A', 'C'])].title", ["A", "C"]),
        ("$.books[?(@.title nin ['A', 'C'])].title", ["B"]),
        ("$.books[?(@.nothing nin ['A'])].title", ["A", "B", "C"]),
        ("$.books[?(@.title IN ['A'])].title", ["A"]),
        ("$.books[?(@.tags all ['x', 'y'])].title", ["A"]),
        ("$.books[?(@.price === '5')].title", []),
        ("$.books[?(@.price === 5)].title", ["A"]),
        ("$.books[?(@.price !== '5')].title", ["A", "B", "C"]),
        ("$.books[?(@.nothing != 1)].title", ["A", "B", "C"]),
        ("$.books[?(@.title =~ /[AB]/ && @.tags size 0)].title", ["B"]),
        ("$.books[?(@.tags[?(@ == 'x')])].title", ["A"]),
        ("$.books[?(@.tags[*] size 2)].title", ["A"]),
        ("$.books[?($.limit == 10)].title", ["A", "B", "C"]),
        ("$.books[?(@.tags.length() == 1)].title", ["C"]),
        ("$.books[?(@.tags contains 'y')].title", ["A", "C"]),
        ("$.books[?(@.tags anyof ['x'])].title", ["A"]),
        ("$.books[?(@.tags noneof ['x'])].title", ["B", "C"]),
        ("$.books[?(@.tags subsetof ['y'])].title", ["B", "C"]),
        ("$.books[?(@.tags size 2)].title", ["A"]),
        ("$.books[?(@.tags empty true)].title", ["B"]),
        ("$.books[?(@.price == '5')].title", ["A"]),
        ("$.books[?(@.price == true)].title", []),
        ("$.owner[?(@.name == 'N')].name", ["N"]),
    ],
)
def test_other_paths_lead_to_an_array_of_what_they_found(path: str, expected: list[Any]) -> None:
    compiled = parse_path(path)
    assert not compiled.definite
    assert compiled.select(STORE) == expected


@pytest.mark.parametrize(
    ("path", "root", "keys"),
    [("$$", "$$", ()), ("$$.Execution.Id", "$$", ("Execution", "Id")), ("$var.x[1]", "var", ("x", 1))],
)
def test_roots(path: str, root: str, keys: tuple[Any, ...]) -> None:
    compiled = parse_path(path)
    assert (compiled.root, compiled.keys) == (root, keys)


@pytest.mark.parametrize("path", ["$.a", "$.a[0].b", "$['x']", "$$.a", "$v.a"])
def test_reference_paths_name_one_node(path: str) -> None:
    assert parse_path(path).is_reference


@pytest.mark.parametrize(
    "path", ["$.a[*]", "$..a", "$.a[-1]", "$.a[0,1]", "$['a','b']", "$.a.length()", "$.a[?(@.b)]"]
)
def test_other_paths_are_no_reference_paths(path: str) -> None:
    assert not parse_path(path).is_reference


def test_backslashes_in_quoted_names_stand_for_themselves_but_before_the_quote() -> None:
    assert parse_path("$['a\\'b']").keys == ("a'b",)
    assert parse_path("$['a\\\"b']").keys == ('a\\"b',)
    assert parse_path("$['a\\\\b']").keys == ("a\\b",)


def test_an_index_past_the_end_can_be_null() -> None:
    path = parse_path("$.books[9]", past_end=None)
    assert path.select(STORE) is None
    assert path.select({}) is MISSING
    assert parse_path("$.books[9].title", past_end=None).select(STORE) is MISSING


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "$.", "$a b", "$.a[", "$.a[]", "$.a['", "$.a['b'", "$.a[1", "$.a[1:2:3]", "$..", "$.a[x]"),
        *(
            "$.a[:]",
            "$.a[?(@.b == $$.x)]",
            "$.a[?(@.b == $v)]",
            "$.a[?(@.b =~ /a++/)]",
            "$.a[?(@.b =~ /x/x)]",
        ),
        *("$.a[?(@.b]", "$.a[?(@.b ==)]", "$.a[?(@.b =~ /(/)]", "$.a[?(@.b =~ /x/q)]", "$.a.nope()"),
        *("$.a[99999999999999999999]", "$.a[0]b"),
    ],
)
def test_malformed_paths_are_refused(text: str) -> None:
    with pytest.raises(PathSyntaxError):
        parse_path(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab$.'", max_size=3),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.sampled_from("abc"), children, max_size=3)
    ),
    max_leaves=8,
)


@given(st.text("$.ab[]*?(@)'\"0:1,-= <!&|/", max_size=14), JSON)
def test_any_text_is_a_path_or_refused_and_any_path_can_be_applied(text: str, document: Any) -> None:
    try:
        path = parse_path("$" + text)
    except PathSyntaxError:
        return
    path.select(document)
