from __future__ import annotations

import pytest

from harness.cloud.constraints import compile_pattern, constraints_of, problem
from harness.cloud.models import load_model

from .test_protocol import OURS


@pytest.mark.parametrize(
    ("pattern", "fits", "misses"),
    [
        ("[a-z]+", ["abc"], ["abC", "abc\n", ""]),
        (r"\d{12}", ["123456789012"], ["١٢٣٤٥٦٧٨٩٠١٢"]),  # digits of ASCII alone, as in Java
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", ["Größe 1", "名前", ""], ["a,b", "a<b"]),
        (r"\p{ASCII}*", ["plain"], ["é"]),
        (r"\A\S[\p{Print}]*\z", ["a b"], [" a", "a\n", "aé"]),
        (r"arn:[\p{Alnum}\-]+:x", ["arn:aws-cn:x"], ["arn:aws_cn:x"]),
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*", ["text 😀"], ["\x01"]),
        (r"[\p{L}\p{M}\p{S}\p{N}\p{P}]+", ["a+b", "é"], [""]),
    ],
)
def test_patterns_are_java_s_and_match_the_whole_value(
    pattern: str, fits: list[str], misses: list[str]
) -> None:
    matcher = compile_pattern(pattern)
    assert matcher is not None
    assert [value for value in fits if not matcher.fullmatch(value)] == []
    assert [value for value in misses if matcher.fullmatch(value)] == []


def test_every_pattern_of_our_services_is_enforced_but_the_broken_ones() -> None:
    broken = {
        (service, name)
        for service in OURS
        for name, shape in load_model(service).shapes.items()
        if "pattern" in shape and compile_pattern(shape["pattern"]) is None
    }
    # `(...)${1,128}` repeats the end of the text: neither language knows what to make of it.
    assert broken == {("sagemaker", "CustomerMetadataKey"), ("sagemaker", "CustomerMetadataValue")}


def test_constraints_of_numbers() -> None:
    constraints = constraints_of({"type": "integer", "min": 0, "max": 5})
    assert [text for satisfied, text in constraints if not satisfied(6)] == [
        "Member must have value less than or equal to 5"
    ]
    assert [text for satisfied, text in constraints if not satisfied(-1)] == [
        "Member must have value greater than or equal to 0"
    ]
    assert all(satisfied(5) and satisfied(0) for satisfied, _ in constraints)


def test_values_are_shown_as_java_prints_them() -> None:
    shape = {"type": "list"}
    shown = problem(shape, [{"a": True, "b": None}, 1.5, "x"], "p", "R")
    assert shown == "Value '[{a=true, b=null}, 1.5, x]' at 'p' failed to satisfy constraint: R"
    assert (
        problem({**shape, "sensitive": True}, ["x"], "p", "R")
        == "Value at 'p' failed to satisfy constraint: R"
    )
