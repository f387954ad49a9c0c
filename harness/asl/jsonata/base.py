"""What all parts of the evaluator share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from harness.asl.jsonata.ast import Node
from harness.asl.jsonata.budget import Budget
from harness.asl.jsonata.values import MISSING

__all__ = ["Evaluation", "Frame"]


class Frame:
    """Variables of a scope.

    Args:
        parent: The scope around it.
        bindings: Its variables.
    """

    __slots__ = ("bindings", "parent")

    def __init__(self, parent: Frame | None, bindings: dict[str, Any] | None = None) -> None:
        self.parent = parent
        self.bindings: dict[str, Any] = {} if bindings is None else bindings

    def lookup(self, name: str) -> Any:
        frame: Frame | None = self
        while frame is not None:
            if name in frame.bindings:
                return frame.bindings[name]
            frame = frame.parent
        return MISSING


class Evaluation(ABC):
    """Evaluates one expression once.

    Args:
        budget: Its bounds.
        services: What functions need of the surroundings: ``millis()`` and ``entropy``.
    """

    def __init__(self, budget: Budget, services: Any) -> None:
        self.budget = budget
        self.services = services

    @abstractmethod
    def evaluate(self, node: Node, context: Any, frame: Frame) -> Any:
        """The value of a node; `MISSING` for undefined.

        Raises:
            JsonataError: It cannot be evaluated.
            InternalError: Likewise.
            Failure: It exceeds a bound.
            OverflowError: It uses a number that is infinite.
            RecursionError: It is, or its data are, nested too deeply.
        """
