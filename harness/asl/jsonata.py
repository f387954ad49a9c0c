"""JSONata expressions of JSONata states.

The language itself is the library `jsonata-python`, imported when the first expression is compiled. Here is
what Step Functions adds to it: ``$states``, its own functions, its error texts, and the rule that an
expression that yields nothing is an error. Plain references such as ``$states.input.order.id`` do not need
the library when they run.
"""

from __future__ import annotations

import functools
import math
import random
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, Final

from harness.asl.diagnostics import UNSUPPORTED_JSONATA_EXPRESSION
from harness.asl.errors import QueryFault
from harness.asl.functions import FunctionError, hash_text, make_uuid
from harness.asl.scope import Scope
from harness.asl.tasks import JSON
from harness.asl.values import (
    MISSING,
    Missing,
    is_number,
    json_text,
    parse_json,
    timestamp_text,
    type_name,
)

__all__ = ["Expression", "ExpressionError", "expression_in"]

MAX_STEPS: Final = 1_000_000
"""Nodes of expressions that one evaluation may visit; beyond that it is taken to be without end."""

SECTIONS: Final = ("input", "context", "result", "errorOutput")

_OPEN, _CLOSE = "{%", "%}"


class ExpressionError(ValueError):
    """An expression is malformed; the text is what AWS says of it."""


def expression_in(text: str) -> str | None:
    """The expression in ``{% expression %}``; None if `text` is just a string.

    The marks must be the very first and last characters (recorded case ``BASE_LITERALS``).
    """
    if len(text) >= 4 and text.startswith(_OPEN) and text.endswith(_CLOSE):
        return text[2:-2].strip()
    return None


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
        library = _library()
        try:
            self._compiled = library.Jsonata(text)
        except library.JException as error:
            raise ExpressionError(_message(error)) from None
        except RecursionError:
            raise ExpressionError("The expression is nested too deeply") from None
        except Exception as error:  # the library's parser stumbles over some malformed texts
            raise ExpressionError(f"Invalid expression: {error}") from None
        self._compiled.set_validate_input(False)
        self._compiled.set_output_convert_nulls(False)
        self._names = frozenset(_variables(self._compiled.ast))
        self._sections = _sections(self._compiled.ast)
        self._reference = _plain_reference(self._compiled.ast)

    def unsupported(self, *, error_output: bool) -> Iterator[tuple[str, str]]:
        """What the expression refers to and must not: (message, code of the finding)."""
        for name in _top_level_names(self._compiled.ast, True):
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
        library = _library()
        null = library.Utils.NULL_VALUE
        bindings: dict[str, Any] = {
            name: _inward(scope.variables[name], null) for name in self._names if name in scope.variables
        }
        if self._sections:
            sections: dict[str, JSON] = dict(extra)
            if "input" in self._sections:
                sections["input"] = scope.data
            if "context" in self._sections:
                sections["context"] = scope.context()
            bindings["states"] = _inward(sections, null)
        for name in self._names & _ADDED.keys():
            bindings[name] = library.Jsonata.JLambda(functools.partial(_ADDED[name], scope))
        bindings["eval"] = None  # AWS has no $eval
        bindings["__evaluate_entry"] = _Fuse()
        try:
            return _outward(self._compiled.evaluate(None, bindings), null)
        except library.JException as error:
            raise self.fault(f"threw an error during evaluation. {error.error}: {_message(error)}") from None
        except RecursionError:
            raise self.fault("threw an error during evaluation: Stack overflow error.") from None
        except Exception as error:  # the library lets Python's own errors through
            raise self.fault(f"threw an error during evaluation: {error}") from None


class _Fuse:
    """Counts the steps of an evaluation and ends it when there are too many. Unlike a time limit it does not
    depend on the machine."""

    def __init__(self) -> None:
        self._left = MAX_STEPS

    def __call__(self, *_: Any) -> None:
        self._left -= 1
        if self._left < 0:
            raise FunctionError("The expression takes too many steps; check for an infinite loop.")


# The library -----------------------------------------------------------------------------------------------


@functools.cache
def _library() -> ModuleType:
    limit = sys.getrecursionlimit()
    try:
        import jsonata

        module: ModuleType = jsonata
    finally:
        # The library raises the limit for the whole process as it is imported.
        sys.setrecursionlimit(limit)
    return module


_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")

# Messages that the library words unlike jsonata-js, which AWS runs.
_MESSAGES: Final = {
    "T0410": "Argument {{index}} of function {{token}} does not match function signature",
    "T0412": "Argument {{index}} of function {{token}} must be an array of {{type}}",
}
_TYPES: Final = {
    "n": "numbers",
    "s": "strings",
    "b": "booleans",
    "o": "objects",
    "a": "arrays",
    "f": "functions",
}


def _message(error: Any) -> str:
    """An error's text as jsonata-js words it: values in JSON, and "function" where the port says "Object"."""
    template = _MESSAGES.get(error.error) or error.error_codes.get(error.error)
    if template is None or "{{{" in template:
        return str(error)
    values = iter((error.current, error.expected, error.extra))

    def fill(match: re.Match[str]) -> str:
        value = next(values, None)
        if match[1] == "type" and isinstance(value, str):
            value = _TYPES.get(value, value)
        try:
            return "null" if value is None else json_text(_outward(value, _library().Utils.NULL_VALUE))
        except (TypeError, ValueError, FunctionError):
            return str(value)

    return _PLACEHOLDER.sub(fill, template.replace("Object", "function"))


def _inward(value: JSON, null: object) -> JSON:
    """A value as the library wants it: None is *undefined* there. Parts without nulls are not copied."""
    if value is None:
        return null
    if isinstance(value, dict):
        members = {name: _inward(member, null) for name, member in value.items()}
        return members if any(members[name] is not value[name] for name in value) else value
    if isinstance(value, list):
        elements = [_inward(element, null) for element in value]
        return elements if any(a is not b for a, b in zip(elements, value, strict=True)) else value
    return value


def _outward(value: Any, null: object) -> JSON | Missing:
    """A result of the library as a JSON value; `MISSING` for undefined.

    Raises:
        FunctionError: It is or contains a function or a number that JSON does not have.
    """
    if value is None:
        return MISSING
    if value is null:
        return None
    if isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise FunctionError(f"Number out of range: {value}")
        return value
    if isinstance(value, dict):
        members = {name: _outward(member, null) for name, member in value.items()}
        return {name: member for name, member in members.items() if member is not MISSING}
    if isinstance(value, list):
        elements = [_outward(element, null) for element in value]
        return [None if element is MISSING else element for element in elements]
    raise FunctionError("The result is a function, which is not a JSON value.")


# What Step Functions adds to the language ------------------------------------------------------------------


def _whole(value: Any, name: str) -> int:
    if not is_number(value) or value != int(value):
        raise FunctionError(f"The arguments of ${name} must be integers")
    return int(value)


def _partition(_: Scope, array: Any = None, size: Any = None) -> Any:
    if not isinstance(array, list):
        raise FunctionError("The first argument of $partition must be an array")
    length = _whole(size, "partition")
    if length <= 0:
        raise FunctionError("The second argument of $partition must be positive")
    return [array[start : start + length] for start in range(0, len(array), length)]


def _range(_: Scope, first: Any = None, last: Any = None, step: Any = None) -> Any:
    stride = _whole(step, "range")
    if stride == 0:
        raise FunctionError("The third argument of $range must not be zero")
    values = range(_whole(first, "range"), _whole(last, "range") + (1 if stride > 0 else -1), stride)
    if len(values) > 1000:
        raise FunctionError("$range must not yield more than 1000 elements")
    return list(values)


def _random(scope: Scope, seed: Any = None) -> Any:
    if seed is None:
        return scope.entropy.random()
    return random.Random(_whole(seed, "random")).random()


def _parse(_: Scope, text: Any = None) -> Any:
    if not isinstance(text, str):
        raise FunctionError("The argument of $parse must be a string")
    return _inward(parse_json(text), _library().Utils.NULL_VALUE)


def _now(scope: Scope, picture: Any = None, zone: Any = None) -> Any:
    if picture is None and zone is None:
        return timestamp_text(scope.now())
    return _library().DateTimeUtils.format_datetime(int(scope.now() * 1000), picture, zone)


_ADDED: Final[dict[str, Callable[..., Any]]] = {
    "hash": lambda _, value=None, algorithm="SHA-256": hash_text(value, algorithm),
    "millis": lambda scope: int(scope.now() * 1000),
    "now": _now,
    "parse": _parse,
    "partition": _partition,
    "random": _random,
    "range": _range,
    "uuid": lambda scope: make_uuid(scope.entropy),
}


# What an expression refers to ------------------------------------------------------------------------------

_RELATIVE: Final = ("stages", "predicate", "group", "pattern", "update", "delete")
_PARTS: Final = (
    "procedure",
    "arguments",
    "lhs",
    "rhs",
    "lhs_object",
    "rhs_object",
    "expression",
    "expressions",
    "condition",
    "then",
    "_else",
    "body",
    "terms",
    "expr",
)


def _nodes(node: Any, names: tuple[str, ...]) -> Iterator[Any]:
    """The nodes that hang on a node under these names."""
    for name in names:
        part = getattr(node, name, None)
        pending = [part]
        while pending:
            item = pending.pop(0)
            if isinstance(item, list | tuple):
                pending[:0] = item
            elif item is not None and hasattr(item, "type"):
                yield item


def _walk(node: Any) -> Iterator[Any]:
    yield node
    for child in _nodes(node, ("steps", *_PARTS, *_RELATIVE)):
        yield from _walk(child)


def _variables(ast: Any) -> Iterator[str]:
    for node in _walk(ast):
        if node.type == "variable" and isinstance(node.value, str):
            yield node.value


def _sections(ast: Any) -> tuple[str, ...]:
    """The members of ``$states`` that are needed; all of them where ``$states`` stands alone."""
    found: set[str] = set()
    direct = 0
    for node in _walk(ast):
        if node.type == "path" and len(node.steps) > 1:
            first, second = node.steps[:2]
            if first.type == "variable" and first.value == "states" and second.type == "name":
                found.add(second.value)
                direct += 1
    mentions = sum(1 for name in _variables(ast) if name == "states")
    return SECTIONS if mentions > direct else tuple(sorted(found))


def _plain_reference(ast: Any) -> tuple[str, ...] | None:
    """``("states", "input", "order")`` of ``$states.input.order``; None for anything less plain."""
    steps = ast.steps if ast.type == "path" else [ast]
    if ast.type not in ("path", "variable"):
        return None
    decorated = (*_RELATIVE, "focus", "index", "ancestor", "seeking_parent")
    for node in (ast, *steps):
        if any(getattr(node, name, None) for name in decorated) or getattr(node, "keep_array", False):
            return None
    if getattr(ast, "keep_singleton_array", False) or steps[0].type != "variable" or not steps[0].value:
        return None
    if any(step.type != "name" for step in steps[1:]) or (steps[0].value == "states" and len(steps) < 2):
        return None
    return tuple(step.value for step in steps)


def _top_level_names(node: Any, at_root: bool) -> Iterator[str]:
    """Names looked up in the context value of the whole expression, which Step Functions does not give."""
    if node.type == "path":
        for index, step in enumerate(node.steps):
            yield from _top_level_names(step, at_root and index == 0)
    elif node.type == "name" and at_root:
        yield node.value
    elif node.type in ("wildcard", "descendant") and at_root:
        yield "*" if node.type == "wildcard" else "**"
    for child in _nodes(node, _PARTS):
        yield from _top_level_names(child, at_root and node.type != "sort")
    for child in _nodes(node, _RELATIVE):
        yield from _top_level_names(child, False)
