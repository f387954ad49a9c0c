"""Expressions without end, or without measure, fail as they do on AWS."""

from __future__ import annotations

from typing import Any

import pytest

from harness.asl.jsonata.budget import MAX_SIZE, MAX_TOTAL, Budget
from harness.asl.jsonata.errors import Failure
from tests.asl.helpers import failure_of, output_of

MEMORY = "Expression evaluation memory limit exceeded: Check for excessive memory usage"
DEPTH = (
    "Stack overflow error: Check for non-terminating recursive function. Consider rewriting as tail-recursive"
)
TIME = "Expression evaluation timeout: Check for infinite loop"


def state(expression: str) -> dict[str, Any]:
    return {"Type": "Pass", "QueryLanguage": "JSONata", "Output": f"{{% {expression} %}}"}


def failure(expression: str) -> str:
    error, cause = failure_of(state(expression))
    assert error == "States.QueryEvaluationError"
    assert cause is not None
    return cause.partition("specified for the field 'Output' threw an error during evaluation")[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("[1..873782] ~> $count()", 873782),
        ('($p := function($s, $n) { $n = 0 ? $s : $p($s & $s, $n - 1) }; $length($p("x", 22)))', 2**22),
        ("+".join("1" * 100).replace("+", " + "), 100),
        ("($f := function($n, $t) { $n = 0 ? $t : $f($n - 1, $t + 1) }; $f(5000, 0))", 5000),
    ],
)
def test_just_within_the_bounds(expression: str, value: Any) -> None:
    assert output_of(state(expression)) == value


@pytest.mark.slow
@pytest.mark.parametrize(
    "expression",
    [
        "[1..873783] ~> $count()",
        "$sum([1..900000])",
        '($p := function($s, $n) { $n = 0 ? $s : $p($s & $s, $n - 1) }; $length($p("x", 23)))',
        "($p := function($s, $n) { $n = 0 ? $s : $p([$s, $s], $n - 1) }; $p(1, 60))",
        "($p := function($s, $n) { $n = 0 ? $s : $p($append($s, $s), $n - 1) }; $p([1], 60))",
        "($p := function($s, $n) { $n = 0 ? $s : $p({'a': $s, 'b': $s}, $n - 1) }; $p(1, 60))",
        "$map([1..1000], function($x) { [1..500000] })",
        "[1..1000].([1..500000])",
        '$pad("x", 1e9)',
        '$pad("x", -1e15)',
        '$join($split($pad("", 100000, "a,"), ","), $pad("", 1000))',
        '$replace($pad("", 100000, "a"), "a", $pad("", 1000, "b"))',
        '$replace($pad("", 100000, "a"), /a/, $pad("", 1000, "b"))',
        "$range(1, 1e15, 1)",
    ],
)
def test_values_beyond_measure(expression: str) -> None:
    assert failure(expression) == f": {MEMORY}"


def test_a_range_too_long_for_the_language_itself() -> None:
    assert failure("[1..1e9]") == (
        ". D2014: The size of the sequence allocated by the range operator (..) must not exceed 1e6.  "
        "Attempted to allocate 1000000000."
    )


@pytest.mark.parametrize(
    "expression",
    [
        " + ".join("1" * 102),
        "($f := function($n) { 1 + $f($n) }; $f(1))",
        "($f := function($n) { [$f($n)] }; $f(1))",
        "($f := function($n) { $map([1], $f) }; $f(1))",
        "($f := function($n) { $sort([2, 1], $f) }; $f(1))",
        "(" * 150 + "1" + ")" * 150,
        "[" * 150 + "]" * 150,
        "($f := function($n, $x) { $n = 0 ? $x : $f($n - 1, [[$x]]) }; $string($f(20000, 1)))",
    ],
)
def test_recursion_without_end(expression: str) -> None:
    assert failure(expression) == f": {DEPTH}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "expression",
    [
        "($f := function($n) { $f($n + 1) }; $f(1))",
        '$contains($pad("", 40, "a") & "b", /^(a+)+$/)',
        '$match($pad("", 40, "a") & "b", /^(a|a)*$/)',
        '$replace($pad("", 40, "a") & "b", /(.*)*c/, "x")',
        "$reduce([1..1000], function($a, $b) { $count($distinct([1..800000])) })",
    ],
)
def test_loops_without_end(expression: str) -> None:
    assert failure(expression) == f": {TIME}"


def test_the_budget_counts_all_values_together() -> None:
    budget = Budget()
    for _ in range(MAX_TOTAL // MAX_SIZE):
        budget.reserve(MAX_SIZE)
    with pytest.raises(Failure, match="memory limit"):
        budget.reserve(MAX_SIZE)
