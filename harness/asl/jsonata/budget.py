"""The bounds of an evaluation. All are counted, none is measured: an expression fails on every machine or on
none."""

from __future__ import annotations

from typing import Any, Final

from harness.asl.jsonata.errors import Failure
from harness.asl.jsonata.values import size_of

__all__ = ["MAX_DEPTH", "MAX_SIZE", "MAX_STEPS", "MAX_TOTAL", "NUMBERS", "Budget"]

MAX_DEPTH: Final = 100
"""How deep evaluations may be nested (measured on AWS)."""

MAX_SIZE: Final = 6_990_256
"""Bytes that one value may have, as `size_of` counts them (measured on AWS: the largest range it makes has
873,782 elements, the longest string between 2**22 and 2**23 characters)."""

MAX_TOTAL: Final = 1 << 30
"""Bytes that all values together may have, whether they are still in use or not."""

MAX_STEPS: Final = 2_000_000
"""Steps that an evaluation may take; AWS limits the time instead."""

NUMBERS: Final = 16
"""Weight of an array of fresh numbers: eight bytes each on AWS, an object each here."""

_MEMORY: Final = "Expression evaluation memory limit exceeded: Check for excessive memory usage"
_DEPTH: Final = (
    "Stack overflow error: Check for non-terminating recursive function. Consider rewriting as tail-recursive"
)
_TIME: Final = "Expression evaluation timeout: Check for infinite loop"


class Budget:
    """What is left of the bounds for one evaluation."""

    __slots__ = ("depth", "steps", "total")

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self.depth = 0
        self.steps = steps
        self.total = MAX_TOTAL

    def work(self, items: int) -> None:
        """Pay for a loop over so many items outside of the language.

        Raises:
            Failure: The evaluation takes too many steps.
        """
        self.steps -= 1 + items // 4
        if self.steps < 0:
            raise Failure(_TIME)

    def reserve(self, size: int, weight: int = 1) -> None:
        """Pay for a value before it is made.

        Args:
            size: Its bytes.
            weight: How many bytes it takes here for each of them.

        Raises:
            Failure: It, or all values together, are too large.
        """
        self.total -= weight * size
        if size > MAX_SIZE or self.total < 0:
            raise Failure(_MEMORY)

    def add(self, size: int, part: Any) -> int:
        """The size of a value that grows by a part.

        Raises:
            Failure: It is too large.
        """
        size += size_of(part)
        if size > MAX_SIZE:
            raise Failure(_MEMORY)
        return size

    def keep(self, value: Any) -> Any:
        """Pay for a value that has been made; the value.

        Raises:
            Failure: See `reserve` and `work`.
        """
        size = size_of(value)
        self.work(size // 8)
        self.reserve(size)
        return value

    @staticmethod
    def too_deep() -> Failure:
        return Failure(_DEPTH)
