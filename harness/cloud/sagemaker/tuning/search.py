"""Which hyperparameters a tuning job tries: the ranges, and the ways through them.

Everything here is a function of the request and of a random generator; values are strings, as
hyperparameters are.

Source: SageMaker developer guide, "How Hyperparameter Tuning Works" and "Define Hyperparameter Ranges".
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.cloud.sagemaker.validation import invalid

__all__ = ["GridSearch", "RandomSearch", "Range", "Search", "Values", "combinations", "read_ranges"]

Values = dict[str, str]
"""A value for each tuned hyperparameter."""


# Ranges -----------------------------------------------------------------------------------------------


class Range(Protocol):
    """A hyperparameter and the values it may have."""

    @property
    def name(self) -> str:
        """The hyperparameter."""

    @property
    def size(self) -> int | None:
        """How many values there are; None when they are not discrete."""

    def draw(self, generator: random.Random) -> str:
        """A value at random."""

    def values(self) -> Iterator[str]:
        """All values, in order, of a range that is discrete."""


@dataclass(frozen=True)
class Categorical:
    """One of some words."""

    name: str
    words: tuple[str, ...]

    @property
    def size(self) -> int:
        return len(self.words)

    def draw(self, generator: random.Random) -> str:
        return generator.choice(self.words)

    def values(self) -> Iterator[str]:
        return iter(self.words)


Scale = tuple[Callable[[float], float], Callable[[float], float]]
"""From values to where they are spread evenly, and back."""

_LINEAR: Scale = (lambda x: x, lambda y: y)
_SCALES: dict[str, Scale] = {
    "Linear": _LINEAR,
    "Logarithmic": (math.log, math.exp),
    "ReverseLogarithmic": (lambda x: -math.log1p(-x), lambda y: -math.expm1(-y)),
    "Auto": _LINEAR,  # how SageMaker chooses is not published
}


@dataclass(frozen=True)
class Continuous:
    """A number between two others."""

    name: str
    low: float
    high: float
    scale: Scale
    size: None = None

    def draw(self, generator: random.Random) -> str:
        return repr(min(max(_spread(generator, self.scale, self.low, self.high), self.low), self.high))

    def values(self) -> Iterator[str]:
        raise TypeError(f"{self.name} is not discrete")


@dataclass(frozen=True)
class Integer:
    """A whole number from one to another."""

    name: str
    low: int
    high: int
    scale: Scale

    @property
    def size(self) -> int:
        return self.high - self.low + 1

    def draw(self, generator: random.Random) -> str:
        value = math.floor(_spread(generator, self.scale, self.low, self.high + 1))
        return str(min(max(value, self.low), self.high))

    def values(self) -> Iterator[str]:
        return map(str, range(self.low, self.high + 1))


def _spread(generator: random.Random, scale: Scale, low: float, high: float) -> float:
    forth, back = scale
    return back(generator.uniform(forth(low), forth(high)))


def read_ranges(request: Mapping[str, Any]) -> list[Range]:
    """Make sense of ParameterRanges.

    Raises:
        ServiceError: ValidationException: a range is empty or does not go with its scaling, or two are for
            the same hyperparameter.
    """
    ranges: list[Range] = [_integer(item) for item in request.get("IntegerParameterRanges", ())]
    ranges += [_continuous(item) for item in request.get("ContinuousParameterRanges", ())]
    ranges += [_categorical(item) for item in request.get("CategoricalParameterRanges", ())]
    names = [each.name for each in ranges]
    for name in names:
        if names.count(name) > 1:
            raise invalid(f"The hyperparameter {name} has more than one range.")
    return ranges


def _integer(item: Mapping[str, Any]) -> Integer:
    scaling = item.get("ScalingType", "Auto")
    if scaling == "ReverseLogarithmic":
        raise invalid(
            f"ReverseLogarithmic scaling is not valid for the integer hyperparameter {item['Name']}."
        )
    low, high = _limits(item, int)
    return Integer(item["Name"], low, high, _SCALES[scaling])


def _continuous(item: Mapping[str, Any]) -> Continuous:
    low, high = _limits(item, float)
    return Continuous(item["Name"], low, high, _SCALES[item.get("ScalingType", "Auto")])


def _limits(item: Mapping[str, Any], number: Callable[[str], Any]) -> tuple[Any, Any]:
    name, scaling = item["Name"], item.get("ScalingType", "Auto")
    try:
        low, high = number(item["MinValue"]), number(item["MaxValue"])
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError
    except (ValueError, OverflowError):
        kind = "an integer" if number is int else "a number"
        raise invalid(f"MinValue or MaxValue of the hyperparameter {name} is not {kind}.") from None
    if low >= high:
        raise invalid(f"MinValue of the hyperparameter {name} must be less than its MaxValue.")
    if scaling == "Logarithmic" and low <= 0:
        raise invalid(f"Logarithmic scaling of the hyperparameter {name} needs values greater than 0.")
    if scaling == "ReverseLogarithmic" and not (low >= 0 and high < 1):
        raise invalid(f"ReverseLogarithmic scaling of the hyperparameter {name} needs 0 <= value < 1.")
    return low, high


def _categorical(item: Mapping[str, Any]) -> Categorical:
    words = tuple(item["Values"])
    if len(set(words)) < len(words):
        raise invalid(f"The values of the hyperparameter {item['Name']} must be distinct.")
    return Categorical(item["Name"], words)


def combinations(ranges: Sequence[Range]) -> int | None:
    """How many combinations of values there are; None for no end of them."""
    sizes = [each.size for each in ranges]
    return None if None in sizes else math.prod(size for size in sizes if size is not None)


# Searches ---------------------------------------------------------------------------------------------


class Search(Protocol):
    """A way through the ranges."""

    def next(self) -> Values | None:
        """The values to try next, never the same twice; None when all have been tried."""


class GridSearch:
    """Every combination of discrete ranges, in order."""

    def __init__(self, ranges: Sequence[Range]) -> None:
        self._combinations = _all(ranges)

    def next(self) -> Values | None:
        return next(self._combinations, None)


class RandomSearch:
    """Combinations at random.

    Args:
        ranges: The ranges.
        generator: Decides; a generator in the same state decides the same.
        tried: Values that need not be tried again.
    """

    DRAWS = 100
    """How often a combination may turn out to have been tried before what is left is taken in order."""

    def __init__(
        self,
        ranges: Sequence[Range],
        generator: random.Random,
        tried: Iterable[Mapping[str, str]] = (),
    ) -> None:
        self._ranges = ranges
        self._generator = generator
        names = [each.name for each in ranges]
        self._tried = {tuple(each[name] for name in names) for each in tried if each.keys() == set(names)}

    def next(self) -> Values | None:
        for _ in range(self.DRAWS):
            values = {each.name: each.draw(self._generator) for each in self._ranges}
            if self._untried(values):
                return values
        if combinations(self._ranges) is None:
            return None  # a range so narrow that there are hardly any floats in it
        return next((values for values in _all(self._ranges) if self._untried(values)), None)

    def _untried(self, values: Values) -> bool:
        """Whether this is new; it no longer is then."""
        key = tuple(values.values())
        if key in self._tried:
            return False
        self._tried.add(key)
        return True


def _all(ranges: Sequence[Range]) -> Iterator[Values]:
    names = [each.name for each in ranges]
    for values in _product([each.values for each in ranges]):
        yield dict(zip(names, values, strict=True))


def _product(columns: Sequence[Callable[[], Iterator[str]]]) -> Iterator[tuple[str, ...]]:
    """`itertools.product` without holding the columns: an integer range may be huge."""
    if not columns:
        yield ()
        return
    for first in columns[0]():
        for rest in _product(columns[1:]):
            yield (first, *rest)
