"""Choice states, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from harness.asl.choice import COMPARISONS, TESTS, Choice, Comparison, Condition, Rule
from harness.asl.compile_errors import Link
from harness.asl.compile_fields import JSON_TYPES, Fields
from harness.asl.errors import Fault
from harness.asl.frame import Frame
from harness.asl.jsonpath.path import Path
from harness.asl.jsonpath.query import find
from harness.asl.schema import JSONATA, JSONPATH, Language, check_fields, require
from harness.asl.state import JSONPathFlow, State
from harness.asl.tasks import JSON
from harness.asl.values import MISSING

__all__ = ["compile_choice"]

_RULE: Final[dict[Language, set[str]]] = {
    JSONPATH: {"Assign", "Comment", "Next"},
    JSONATA: {"Assign", "Comment", "Condition", "Next", "Output"},
}
_COMBINATORS: Final = ("And", "Or", "Not")
_OPERATORS: Final = frozenset(
    {*_COMBINATORS, *TESTS, *COMPARISONS, *(f"{name}Path" for name in COMPARISONS if name != "StringMatches")}
)


def compile_choice(name: str, fields: Fields, flow: JSONPathFlow | None, link: Link) -> Choice:
    """Compile a Choice state.

    Args:
        name: Its name.
        fields: Its fields.
        flow: InputPath and OutputPath of a JSONPath state.
        link: See `Link`.
    """
    require(["Choices"], fields.values, fields.place)
    choices = fields.array("Choices")
    if choices is not None and not choices:
        (fields.place / "Choices").error("At least one choice rule is required")
    rules: list[Rule] = []
    for index, value in enumerate(choices or []):
        place = (fields.place / "Choices").item(index)
        if isinstance(value, dict):
            rules.append(_rule(Fields(value, place, fields.language, f"Choices[{index}]/"), link))
        else:
            place.error("Expected value of type OBJECT")
    default = None
    target = fields.text("Default")
    if target is not None:
        default = Rule(lambda data, frame: True)
        default.assign = fields.assign()
        default.output = fields.template("Output") if fields.is_jsonata else None
        link(target, fields.place / "Default", _setter(default))
    return Choice(name, flow, rules, default)


def _setter(rule: Rule) -> Callable[[State], None]:
    def set_next(state: State) -> None:
        rule.next = state

    return set_next


def _rule(fields: Fields, link: Link) -> Rule:
    require(["Next", "Condition"] if fields.is_jsonata else ["Next"], fields.values, fields.place)
    if fields.is_jsonata:
        check_fields(_RULE[JSONATA], fields.values, fields.place)
        rule = Rule(_jsonata_condition(fields))
        rule.output = fields.template("Output")
    else:
        rule = Rule(_condition(fields, _RULE[JSONPATH]))
    rule.assign = fields.assign()
    target = fields.text("Next")
    if target is not None:
        link(target, fields.place / "Next", _setter(rule))
    return rule


def _jsonata_condition(fields: Fields) -> Condition:
    if fields.has_expression("Condition"):
        expression = fields.expression("Condition")
        if expression is not None:
            accepts = JSON_TYPES["BOOLEAN"]
            return lambda data, frame: bool(expression.read_as("boolean", accepts, {}, frame))
        return _never
    value = fields.flag("Condition")
    return lambda data, frame: value is True


def _never(data: JSON, frame: Frame) -> bool:
    return False


# Conditions of JSONPath rules ------------------------------------------------------------------------------


def _condition(fields: Fields, others: set[str]) -> Condition:
    """Compile a rule or one of the rules inside it.

    Args:
        fields: Its fields.
        others: The fields it can have besides the operator and Variable.
    """
    operators = [name for name in fields.values if name in _OPERATORS]
    allowed = {*others, *operators}
    if len(operators) != 1:
        fields.place.error(
            f"Exactly one comparison operator is required, but found: [{', '.join(sorted(operators))}]"
        )
        return _never
    name = operators[0]
    if name in _COMBINATORS:
        check_fields(allowed, fields.values, fields.place)
        return _combination(fields, name)
    check_fields({*allowed, "Variable"}, fields.values, fields.place)
    require(["Variable"], fields.values, fields.place)
    variable = fields.reference_path("Variable")
    if name in TESTS:
        return _test(fields, name, variable)
    return _comparison(fields, name, variable)


def _combination(fields: Fields, name: str) -> Condition:
    if name == "Not":
        value = fields.object(name)
        if value is None:
            return _never
        inner = _condition(Fields(value, fields.place / name, fields.language), {"Comment"})
        return lambda data, frame: not inner(data, frame)
    entries = fields.array(name)
    if entries is None:
        return _never
    if not entries:
        (fields.place / name).error("At least one rule is required")
    conditions: list[Condition] = []
    for index, entry in enumerate(entries):
        place = (fields.place / name).item(index)
        if isinstance(entry, dict):
            conditions.append(_condition(Fields(entry, place, fields.language), {"Comment"}))
        else:
            place.error("Expected value of type OBJECT")
    if name == "And":
        return lambda data, frame: all(condition(data, frame) for condition in conditions)
    return lambda data, frame: any(condition(data, frame) for condition in conditions)


def _value_at(path: Path) -> Callable[[JSON, Frame], JSON]:
    read, text = find(path), path.text

    def value(data: JSON, frame: Frame) -> JSON:
        found = read(data, frame)
        if found is MISSING:
            raise Fault(
                f"Invalid path '{text}': The choice state's condition path references an invalid value."
            )
        return found

    return value


def _test(fields: Fields, name: str, variable: Path | None) -> Condition:
    test, wanted = TESTS[name], fields.flag(name)
    if variable is None or wanted is None:
        return _never
    read = find(variable) if name == "IsPresent" else _value_at(variable)
    return lambda data, frame: test(read(data, frame)) is wanted


def _comparison(fields: Fields, name: str, variable: Path | None) -> Condition:
    is_path = name.endswith("Path")
    comparison = COMPARISONS[name.removesuffix("Path")]
    if is_path:
        operand = fields.reference_path(name)
        if variable is None or operand is None:
            return _never
        return _compare(comparison, _value_at(variable), _value_at(operand))
    value = fields.values[name]
    if not comparison.accepts(value):
        (fields.place / name).error(f"Expected value of type {comparison.expected}")
        return _never
    if variable is None:
        return _never
    return _compare(comparison, _value_at(variable), lambda data, frame: value)


def _compare(
    comparison: Comparison,
    left: Callable[[JSON, Frame], JSON],
    right: Callable[[JSON, Frame], JSON],
) -> Condition:
    accepts, compare = comparison.accepts, comparison.compare

    def condition(data: JSON, frame: Frame) -> bool:
        first, second = left(data, frame), right(data, frame)
        return accepts(first) and accepts(second) and compare(first, second)

    return condition
