"""What an expression may look at while it is evaluated."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from harness.asl.tasks import JSON

__all__ = ["Reader", "Scope"]


class Scope(Protocol):
    """The surroundings of the state that is being run.

    Attributes:
        data: The state's input, as it was entered with.
        variables: Workflow variables in scope.
        entropy: Where random values come from.
    """

    @property
    def data(self) -> JSON: ...

    @property
    def variables(self) -> Mapping[str, JSON]: ...

    @property
    def entropy(self) -> random.Random: ...

    def context(self) -> dict[str, JSON]:
        """The context object."""

    def now(self) -> float:
        """The time, in seconds since the epoch."""


Reader: TypeAlias = Callable[[JSON, Scope], JSON]
"""A compiled path, template or expression.

Its first argument is what the expression works on. For JSONPath that is the document ``$``. For JSONata it is
what ``$states`` has besides input and context: ``{"result": ...}``, ``{"errorOutput": ...}`` or ``{}``.

Raises:
    Fault: It cannot be evaluated.
"""
