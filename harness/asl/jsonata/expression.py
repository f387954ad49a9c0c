"""Expressions of JSONata states: ``$states``, variables, error texts, and the rule that an expression that
yields nothing is an error.

Plain references such as ``$states.input.order.id`` are followed without the evaluator.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from harness.asl.diagnostics import UNSUPPORTED_JSONATA_EXPRESSION
from harness.asl.errors import QueryFault
from harness.asl.jsonata.ast import Node
from harness.asl.jsonata.base import Frame
from harness.asl.jsonata.budget import Budget
from harness.asl.jsonata.builtin import LIBRARY
from harness.asl.jsonata.errors import Failure, InternalError, JsonataError
from harness.asl.jsonata.evaluator import Evaluator
from harness.asl.jsonata.parser import parse
from harness.asl.jsonata.values import Function, number_text
from harness.asl.regex import RegexError
from harness.asl.scope import Scope
from harness.asl.tasks import JSON
from harness.asl.values import MISSING, Missing, json_text, make_uuid, type_name

__all__ = ["Expression", "ExpressionError", "expression_in", "is_half_marked"]

SECTIONS: Final = ("input", "context", "result", "errorOutput")

_OPEN, _CLOSE = "{%", "%}"
_LIBRARY: Final = Frame(None, dict(LIBRARY))


class ExpressionError(ValueError):
    """An expression is malformed; the text is what AWS says of it."""


def expression_in(text: str) -> str | None:
    """The expression in ``{% expression %}``; None if `text` is just a string.

    The marks must be the very first and last characters (recorded case ``BASE_LITERALS``).
    """
    if len(text) >= 4 and text.startswith(_OPEN) and text.endswith(_CLOSE):
        return text[2:-2].strip()
    return None


def is_half_marked(text: str) -> bool:
    """Whether a text that is no expression has one of the marks of one.

    AWS refuses that: "Improperly opening or closing the expression will result in a validation error"
    (developer guide, "Transforming data with JSONata").
    """
    return expression_in(text) is None and (text.startswith(_OPEN) or text.endswith(_CLOSE))


class Expression:
    """A compiled expression.

    Args:
        text: The expression, without its marks.
        field: The field it stands in, relative to the state, for error texts.

    Raises:
        ExpressionError: It does not parse.
    """

    def __init__(self, text: str, field: str) -> None:
        self.text = text
        self.field = field
        try:
            self._tree = parse(text)
            self._names = frozenset(_variables(self._tree))
            self._sections = _sections(self._tree)
        except (JsonataError, RegexError) as error:
            raise ExpressionError(str(error)) from None
        except RecursionError:
            raise ExpressionError("The expression is nested too deeply") from None
        self._reference = _plain_reference(self._tree)

    @property
    def variables(self) -> frozenset[str]:
        """The workflow variables that the expression refers to: names that are neither its own nor the
        language's."""
        own = {name for node in _walk(self._tree) for name in _bound(node)}
        return self._names - own - LIBRARY.keys() - {"", "$", "states"}

    def unsupported(self, *, error_output: bool) -> Iterator[tuple[str, str]]:
        """What the expression refers to and must not: (message, code of the finding)."""
        for name in _top_level_names(self._tree, True):
            yield f"Reference to '{name}' at the top level is not supported.", UNSUPPORTED_JSONATA_EXPRESSION
        if "$" in self._names:
            yield "Reference to '$$' is not supported.", UNSUPPORTED_JSONATA_EXPRESSION
        if "errorOutput" in self._sections and self._sections != SECTIONS and not error_output:
            yield (
                "Reference to '$states.errorOutput' is only supported in a Catch.",
                UNSUPPORTED_JSONATA_EXPRESSION,
            )

    def read(self, extra: JSON, scope: Scope) -> JSON:
        """The expression's value.

        Raises:
            QueryFault: It fails or yields nothing.
        """
        value = self._follow(extra, scope) if self._reference is not None else None
        if value is None:
            value = self._evaluate(extra, scope)
        if value is MISSING:
            raise self.fault("returned nothing (undefined).")
        return value

    def read_as(self, kind: str, accepts: Callable[[JSON], bool], extra: JSON, scope: Scope) -> JSON:
        """The expression's value, which must be of a certain type.

        Args:
            kind: JSON's name of the type.
            accepts: Whether a value is of it.
            extra: See `Reader`.
            scope: See `Reader`.

        Raises:
            QueryFault: It fails, yields nothing, or a value of another type.
        """
        value = self.read(extra, scope)
        if not accepts(value):
            raise self.fault(
                f"returned an unexpected result type. Expected '{kind}', but was '{type_name(value)}' for "
                f"value: {json_text(value)}"
            )
        return value

    def fault(self, what: str) -> QueryFault:
        return QueryFault(
            f"The JSONata expression '{self.text}' specified for the field '{self.field}' {what}", self.field
        )

    def _follow(self, extra: Mapping[str, JSON], scope: Scope) -> JSON:
        """The value of a plain reference; None for null, and where a step leads into an array."""
        assert self._reference is not None
        name, *steps = self._reference
        value: JSON | Missing
        if name == "states":
            section, *steps = steps
            if section == "input":
                value = scope.data
            elif section == "context":
                value = scope.context()
            else:
                value = extra.get(section, MISSING)
        else:
            value = scope.variables.get(name, MISSING)
        for step in steps:
            if not isinstance(value, dict):
                return None
            value = value.get(step, MISSING)
        return value

    def _evaluate(self, extra: Mapping[str, JSON], scope: Scope) -> JSON | Missing:
        frame = Frame(_LIBRARY, self._bindings(extra, scope))
        evaluator = Evaluator(Budget(), _Services(scope))
        try:
            try:
                return _outward(evaluator.evaluate(self._tree, MISSING, frame))
            except JsonataError as error:
                what = f"{error.code}: {error.message}"
            raise self.fault(f"threw an error during evaluation. {what}")
        except OverflowError:
            message = JsonataError("D1001", value=None).message
            raise self.fault(f"threw an error during evaluation. D1001: {message}") from None
        except RecursionError:
            raise self.fault(f"threw an error during evaluation: {Budget.too_deep()}") from None
        except InternalError:
            raise self.fault(
                f"threw an internal error during evaluation. {make_uuid(scope.entropy)}"
            ) from None
        except Failure as error:
            raise self.fault(f"threw an error during evaluation: {error}") from None

    def _bindings(self, extra: Mapping[str, JSON], scope: Scope) -> dict[str, Any]:
        """The variables that the expression mentions."""
        bindings = {name: scope.variables[name] for name in self._names if name in scope.variables}
        if self._sections:
            sections: dict[str, JSON] = dict(extra)
            if "input" in self._sections:
                sections["input"] = scope.data
            if "context" in self._sections:
                sections["context"] = scope.context()
            bindings["states"] = sections
        return bindings


class _Services:
    """What functions need of a scope. The time stands still while an expression is evaluated.

    Attributes:
        entropy: Where random values come from.
    """

    def __init__(self, scope: Scope) -> None:
        self.entropy: random.Random = scope.entropy
        self._scope = scope
        self._millis: int | None = None

    def millis(self) -> int:
        """Now, in milliseconds since the epoch."""
        if self._millis is None:
            self._millis = int(self._scope.now() * 1000)
        return self._millis


def _outward(value: Any) -> JSON | Missing:
    """A result as a JSON value; `MISSING` for undefined. Numbers that JSON does not have become strings, as
    they do on AWS.

    Raises:
        Failure: It is or contains a function.
    """
    kind = type(value)
    if kind is list or kind is dict:
        return value  # part of the input, and unchanged
    if isinstance(value, float) and not math.isfinite(value):
        return number_text(value)
    if isinstance(value, list):
        elements = [_outward(element) for element in value]
        return [None if element is MISSING else element for element in elements]
    if isinstance(value, dict):
        members = {name: _outward(member) for name, member in value.items()}
        return {name: member for name, member in members.items() if member is not MISSING}
    if isinstance(value, Function):
        raise Failure("The result is a function, which is not a JSON value.")
    return value


# What an expression refers to ------------------------------------------------------------------------------


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child, _ in node.children():
        yield from _walk(child)


def _bound(node: Node) -> Iterator[str]:
    """The variables that a node gives a value."""
    if node.type == "bind":
        yield node.value
    elif node.type == "lambda":
        yield from (parameter.value for parameter in node.parts)
    yield from (name for name in (node.focus, node.index) if name is not None)


def _variables(tree: Node) -> Iterator[str]:
    for node in _walk(tree):
        if node.type == "variable":
            yield node.value


def _sections(tree: Node) -> tuple[str, ...]:
    """The members of ``$states`` that are needed; all of them where ``$states`` stands alone."""
    found: set[str] = set()
    direct = 0
    for node in _walk(tree):
        if node.type == "path" and len(node.parts) > 1:
            first, second = node.parts[:2]
            if first.type == "variable" and first.value == "states" and second.type == "name":
                found.add(second.value)
                direct += 1
    mentions = sum(1 for name in _variables(tree) if name == "states")
    return SECTIONS if mentions > direct else tuple(sorted(found))


def _plain_reference(tree: Node) -> tuple[str, ...] | None:
    """``("states", "input", "order")`` of ``$states.input.order``; None for anything less plain."""
    steps = tree.parts if tree.type == "path" else [tree]
    if steps[0].type != "variable" or not steps[0].value or tree.keep_singleton:
        return None
    for node in (tree, *steps):
        if node.predicates or node.stages or node.group or node.keep_array or node.is_tuple:
            return None
    if any(step.type != "name" for step in steps[1:]) or (steps[0].value == "states" and len(steps) < 2):
        return None
    return tuple(step.value for step in steps)


def _top_level_names(node: Node, at_root: bool) -> Iterator[str]:
    """Names looked up in the context value of the whole expression, which Step Functions does not give."""
    if at_root and node.type in ("name", "wildcard", "descendant"):
        yield {"wildcard": "*", "descendant": "**"}.get(node.type) or node.value
    for child, same_context in node.children():
        yield from _top_level_names(child, at_root and same_context)
