from __future__ import annotations

from typing import Any

import pytest

from harness.asl.regex import Regex, RegexError


class Meter:
    """Has so much to spend."""

    def __init__(self, left: int = 10**6) -> None:
        self.left = left

    def work(self, items: int) -> None:
        self.left -= items
        if self.left < 0:
            raise TimeoutError


def found(source: str, text: str, **options: Any) -> list[str | None] | None:
    """The match and its groups."""
    match = Regex(source, **options).search(text, 0, Meter())
    if match is None:
        return None
    return [None if span is None else text[span[0] : span[1]] for span in (match.span, *match.groups)]


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        # The examples of ECMA-262, "RegExp (Regular Expression) Objects".
        ("a|ab", "abc", ["a"]),
        ("((a)|(ab))((c)|(bc))", "abc", ["abc", "a", "a", None, "bc", None, "bc"]),
        ("a[a-z]{2,4}", "abcdefghi", ["abcde"]),
        ("a[a-z]{2,4}?", "abcdefghi", ["abc"]),
        ("(aa|aabaac|ba|b|c)*", "aabaac", ["aaba", "ba"]),
        ("(z)((a+)?(b+)?(c))*", "zaacbbbcac", ["zaacbbbcac", "z", "ac", "a", None, "c"]),
        ("(a*)*", "b", ["", None]),
        ("(?=(a+))", "baaabac", ["", "aaa"]),
        ("(?=(a+))a*b\\1", "baaabac", ["aba", "a"]),
        ("(.*?)a(?!(a+)b\\2c)\\2(.*)", "baaabaac", ["baaabaac", "ba", None, "abaac"]),
        # Where JavaScript is not Python.
        ("\\d+", "١1", ["1"]),
        ("\\w", "éa", ["a"]),
        ("a$", "a\n", None),
        ("[^]", "\n", ["\n"]),
        ("[]|b", "ab", ["b"]),
        (".", "\u2028x", ["x"]),
        ("x{,2}", "x{,2}", ["x{,2}"]),
        ("(?<=(\\d+)(\\d+))$", "1053", ["", "1", "053"]),
        ("(?<!a|bb)c", "acbbcc", ["c"]),
        ("(?<y>\\d{4})-\\k<y>", "1999-1999", ["1999-1999", "1999"]),
        ("\\1(a)", "aa", ["a", "a"]),
        ("\\101\\x41\\u0041\\cJ\\0", "AAA\n\0", ["AAA\n\0"]),
        ("(?:^){2}a", "a", ["a"]),
    ],
)
def test_search(source: str, text: str, expected: list[str | None] | None) -> None:
    assert found(source, text) == expected


def test_flags() -> None:
    assert found("B[c-d]", "abC", ignore_case=True) == ["bC"]
    assert found("(é)\\1", "éÉ", ignore_case=True) == ["éÉ", "é"]
    assert found("^b$", "a\nb\nc", multiline=True) == ["b"]
    assert found("a.b", "a\nb", dot_all=True) == ["a\nb"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("(", "Unterminated group"),
        (")", "Unmatched ')'"),
        ("[a", "Unterminated character class"),
        ("[b-a]", "Range out of order in character class"),
        ("*", "Nothing to repeat"),
        ("a**", "Nothing to repeat"),
        ("^*", "Nothing to repeat"),
        ("a{2,1}", "numbers out of order in {} quantifier"),
        ("(?x)", "Invalid group"),
        ("(?<1>a)", "Invalid capture group name"),
        ("(?<a>.)(?<a>.)", "Duplicate capture group name"),
        ("(?<a>.)\\k<b>", "Invalid named capture referenced"),
        ("a\\", "\\ at end of pattern"),
        ("(" * 200 + ")" * 200, "Regular expression too large"),
    ],
)
def test_malformed(source: str, message: str) -> None:
    with pytest.raises(RegexError) as error:
        Regex(source)
    assert str(error.value) == f"Invalid regular expression: /{source}/: {message}"


@pytest.mark.parametrize("source", ["a++", "\\Qa\\E", "\\p{L}", "[a&&b]", "[a[b]]", "\\Z", "(?i)a", "(?>a)"])
def test_what_java_reads_differently_is_refused(source: str) -> None:
    with pytest.raises(RegexError):
        Regex(source, java=True)


@pytest.mark.parametrize(
    "source", ["(a+)+$", "(a|a)*$", "(a|aa)+$", "([a-z]*)*$", "^(([a-z])+.)+[A-Z]([a-z])+$"]
)
def test_backtracking_without_end_is_paid_for(source: str) -> None:
    with pytest.raises(TimeoutError):
        Regex(source).search("a" * 50 + "!", 0, Meter())


def test_large_repetitions_are_refused_or_paid_for() -> None:
    with pytest.raises(RegexError, match="too large"):
        Regex("(?:ab){1000000}")
    with pytest.raises(RegexError, match="too large"):
        Regex("((a{100}){100}){100}")
    assert Regex("a{1000000}").search("a" * 1000, 0, Meter(10**8)) is None


def test_long_texts() -> None:
    assert found("a*b", "a" * 100_000 + "b") == ["a" * 100_000 + "b"]
    assert found("(?:a|b)*c", "ab" * 5_000 + "c") == ["ab" * 5_000 + "c"]
