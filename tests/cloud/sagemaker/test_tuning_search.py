from __future__ import annotations

import random
from typing import Any

import pytest

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.tuning.search import (
    GridSearch,
    RandomSearch,
    Range,
    combinations,
    read_ranges,
)


def numbers(kind: str, low: str, high: str, scaling: str | None = None, name: str = "n") -> dict[str, Any]:
    item = {"Name": name, "MinValue": low, "MaxValue": high}
    return {f"{kind}ParameterRanges": [item | ({"ScalingType": scaling} if scaling else {})]}


def words(*values: str, name: str = "w") -> dict[str, Any]:
    return {"CategoricalParameterRanges": [{"Name": name, "Values": list(values)}]}


def draws(request: dict[str, Any], count: int = 2000) -> list[float]:
    [one] = read_ranges(request)
    generator = random.Random(1)
    return [float(one.draw(generator)) for _ in range(count)]


def share(values: list[float], below: float) -> float:
    return sum(value < below for value in values) / len(values)


@pytest.mark.parametrize(
    ("scaling", "middle"),
    [
        (None, 0.5005),
        ("Auto", 0.5005),
        ("Linear", 0.5005),
        ("Logarithmic", 0.0316),
        ("ReverseLogarithmic", 0.9684),
    ],
)
def test_half_of_the_values_lie_below_the_middle_of_the_scale(scaling: str | None, middle: float) -> None:
    low, high = ("0.001", "1.0") if scaling != "ReverseLogarithmic" else ("0.0", "0.999")
    values = draws(numbers("Continuous", low, high, scaling))
    assert all(float(low) <= value <= float(high) for value in values)
    assert share(values, middle) == pytest.approx(0.5, abs=0.05)


def test_integers_are_whole_and_both_ends_are_among_them() -> None:
    [one] = read_ranges(numbers("Integer", "-1", "2"))
    generator = random.Random(1)
    drawn = [one.draw(generator) for _ in range(2000)]
    assert set(drawn) == {"-1", "0", "1", "2"}
    assert drawn.count("2") / 2000 == pytest.approx(0.25, abs=0.05)


def test_logarithmic_integers_are_mostly_small() -> None:
    values = draws(numbers("Integer", "1", "999", "Logarithmic"))
    assert share(values, 32) == pytest.approx(0.5, abs=0.05)
    assert max(values) > 900


def both() -> list[Range]:
    return read_ranges(numbers("Integer", "1", "3") | words("a", "b"))


def test_a_random_search_tries_everything_once_when_it_must() -> None:
    search = RandomSearch(both(), random.Random(1))
    tried = [search.next() for _ in range(6)]
    assert len({tuple(values.items()) for values in tried if values is not None}) == 6
    assert search.next() is None


def test_values_that_are_hardly_ever_drawn_are_found_all_the_same() -> None:
    ranges = read_ranges(numbers("Integer", "1", "1000", "Logarithmic"))
    search = RandomSearch(ranges, random.Random(1))
    assert len({str(search.next()) for _ in range(1000)}) == 1000
    assert search.next() is None


def test_a_grid_goes_in_order() -> None:
    search = GridSearch(read_ranges(words("a", "b")))
    assert [search.next(), search.next(), search.next()] == [{"w": "a"}, {"w": "b"}, None]


def test_combinations_are_counted() -> None:
    assert combinations(both()) == 6
    assert combinations(read_ranges(numbers("Continuous", "0", "1") | words("a"))) is None
    assert combinations(read_ranges(numbers("Integer", "0", str(10**30)))) == 10**30 + 1


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (numbers("Integer", "1", "1.5"), "MinValue or MaxValue of the hyperparameter n is not an integer."),
        (numbers("Continuous", "a", "1"), "MinValue or MaxValue of the hyperparameter n is not a number."),
        (numbers("Continuous", "0", "inf"), "MinValue or MaxValue of the hyperparameter n is not a number."),
        (numbers("Integer", "2", "1"), "MinValue of the hyperparameter n must be less than its MaxValue."),
        (
            numbers("Continuous", "0", "1", "Logarithmic"),
            "Logarithmic scaling of the hyperparameter n needs values greater than 0.",
        ),
        (
            numbers("Continuous", "0", "1", "ReverseLogarithmic"),
            "ReverseLogarithmic scaling of the hyperparameter n needs 0 <= value < 1.",
        ),
        (
            numbers("Integer", "0", "1", "ReverseLogarithmic"),
            "ReverseLogarithmic scaling is not valid for the integer hyperparameter n.",
        ),
        (words("a", "a"), "The values of the hyperparameter w must be distinct."),
        (
            numbers("Integer", "0", "1", name="w") | words("a"),
            "The hyperparameter w has more than one range.",
        ),
    ],
)
def test_ranges_that_make_no_sense_are_refused(request_: dict[str, Any], message: str) -> None:
    with pytest.raises(ServiceError) as caught:
        read_ranges(request_)
    assert (caught.value.code, caught.value.message) == ("ValidationException", message)
