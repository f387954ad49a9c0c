"""Choice states."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from harness.asl.errors import Fault
from harness.asl.frame import Frame
from harness.asl.jsonpath.functions import same
from harness.asl.payload import Template
from harness.asl.state import JSONPathFlow, State
from harness.asl.tasks import JSON
from harness.asl.values import MISSING, is_number, parse_timestamp

__all__ = ["COMPARISONS", "TESTS", "Choice", "Comparison", "Rule"]

Condition: TypeAlias = Callable[[JSON, Frame], bool]
"""From the effective input to whether a rule applies.

Raises:
    Fault: It refers to something that is not there.
"""


@dataclass
class Rule:
    """One of the Choices, or the Default.

    Attributes:
        condition: When it applies.
        next: The state to go on with, linked later.
        assign: Template of Assign.
        output: Template of a JSONata rule's Output.
    """

    condition: Condition
    next: State | None = None
    assign: Template | None = None
    output: Template | None = None


class Choice(State):
    """Goes on with the first rule that applies.

    Args:
        name: Its name.
        flow: InputPath and OutputPath of a JSONPath state; None for a JSONata state.
        rules: In order.
        default: What applies when none of them does; None when nothing does.
    """

    kind = "Choice"

    def __init__(
        self, name: str, flow: JSONPathFlow | None, rules: Sequence[Rule], default: Rule | None
    ) -> None:
        super().__init__(name)
        self.flow = flow
        self.rules = rules
        self.default = default

    def step(self, frame: Frame) -> State | None:
        frame.enter(self)
        data: JSON = {} if self.flow is None else self.flow.select_input(frame)
        for rule in self.rules:
            if rule.condition(data, frame):
                break
        else:
            if self.default is None:
                # AWS reports States.Runtime here, not the States.NoChoiceMatched of the specification.
                raise Fault(
                    "Failed to transition out of the state. The state does not point to a next state."
                )
            rule = self.default
        output, bound = frame.data, frame.room
        if rule.output is not None:
            output, bound = frame.fill(rule.output, data)
        elif self.flow is not None:
            output = data if self.flow.output_path is None else self.flow.output_path(data, frame)
        frame.leave(self, output, bound, frame.assignment(rule.assign, data))
        return rule.next


# Data tests of JSONPath rules ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """A comparison operator, without its ``Path`` form.

    Attributes:
        accepts: Whether a value is of the type it compares. If one of the two is not, they do not match.
        expected: Name of that type, for findings.
        compare: (variable, operand) -> whether they match.
    """

    accepts: Callable[[JSON], bool]
    expected: str
    compare: Callable[[Any, Any], bool]


def _is_text(value: JSON) -> bool:
    return isinstance(value, str)


def _is_boolean(value: JSON) -> bool:
    return isinstance(value, bool)


def _is_timestamp(value: JSON) -> bool:
    return isinstance(value, str) and parse_timestamp(value) is not None


def _by_time(compare: Callable[[Any, Any], bool]) -> Callable[[str, str], bool]:
    return lambda left, right: compare(parse_timestamp(left), parse_timestamp(right))


def matches_pattern(text: str, pattern: str) -> bool:
    """StringMatches: ``*`` matches anything, ``\\*`` an asterisk and ``\\\\`` a backslash.

    The parts between asterisks are looked for from left to right, in one pass over the text.
    """
    parts = [""]
    characters = iter(pattern)
    for char in characters:
        if char == "*":
            parts.append("")
        else:
            parts[-1] += next(characters, "\\") if char == "\\" else char
    first, *middle = parts
    if not middle:
        return text == first
    last = middle.pop()
    if not text.startswith(first) or len(text) < len(first) + len(last) or not text.endswith(last):
        return False
    position, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


def _ordering(prefix: str, accepts: Callable[[JSON], bool], expected: str) -> dict[str, Comparison]:
    by_time = prefix == "Timestamp"
    return {
        f"{prefix}{name}": Comparison(accepts, expected, _by_time(compare) if by_time else compare)
        for name, compare in (
            ("Equals", operator.eq),
            ("LessThan", operator.lt),
            ("LessThanEquals", operator.le),
            ("GreaterThan", operator.gt),
            ("GreaterThanEquals", operator.ge),
        )
    }


COMPARISONS: Final[dict[str, Comparison]] = {
    "BooleanEquals": Comparison(_is_boolean, "BOOLEAN", same),
    **_ordering("Numeric", is_number, "NUMBER"),
    **_ordering("String", _is_text, "STRING"),
    **_ordering("Timestamp", _is_timestamp, "TIMESTAMP"),
    "StringMatches": Comparison(_is_text, "STRING", matches_pattern),
}

TESTS: Final[dict[str, Callable[[JSON], bool]]] = {
    "IsBoolean": _is_boolean,
    "IsNull": lambda value: value is None,
    "IsNumeric": is_number,
    "IsPresent": lambda value: value is not MISSING,
    "IsString": _is_text,
    "IsTimestamp": _is_timestamp,
}
