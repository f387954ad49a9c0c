"""Paths and intrinsic function calls of JSONPath states, compiled to readers of a scope."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from harness.asl.errors import INTRINSIC_FAILURE, Fault
from harness.asl.jsonpath.functions import FUNCTIONS, Function, FunctionError
from harness.asl.jsonpath.path import CONTEXT, DOCUMENT, Path, parse_path, scan_path
from harness.asl.jsonpath.scanner import PathSyntaxError, Scanner
from harness.asl.scope import Reader, Scope
from harness.asl.tasks import JSON
from harness.asl.values import MISSING, PAYLOAD_LIMIT, json_text

__all__ = ["PathSyntaxError", "Query", "compile_path", "compile_query", "find"]

MAX_NESTING: Final = 10
"""How deep intrinsic function calls may be nested (AWS developer guide)."""


@dataclass(frozen=True)
class Query:
    """A compiled path or function call.

    Attributes:
        read: The reader.
        references: How often it reads data, weighted with how much each function can lengthen it; together
            with `extra` an upper bound of the result's size (see `Frame.room`).
        extra: Bytes that the result can have on top.
    """

    read: Reader
    references: int
    extra: int


def find(path: Path) -> Reader:
    """A reader that answers `MISSING` where the path leads nowhere."""
    select = path.select
    if path.root == DOCUMENT:
        return lambda document, _: select(document)
    if path.root == CONTEXT:
        return lambda _, scope: select(scope.context())
    name = path.root

    def read(_: JSON, scope: Scope) -> JSON:
        value = scope.variables.get(name, MISSING)
        return MISSING if value is MISSING else select(value)

    return read


def compile_path(path: Path, field: str) -> Reader:
    """A reader that fails where the path leads nowhere.

    Args:
        path: The path.
        field: The field it is written in, for the error's text.
    """
    if path.is_root:
        return lambda document, _: document
    read = find(path)
    if not path.definite and path.root in (DOCUMENT, CONTEXT):
        return read

    def read_or_fail(document: JSON, scope: Scope) -> JSON:
        value = read(document, scope)
        if value is MISSING:
            # As in the recorded cases ``test_invalid_jsonpath``.
            raise Fault(
                f"The JSONPath '{path.text}' specified for the field '{field}' could not be found in the "
                f"input '{json_text(document)}'"
            )
        return value

    return read_or_fail


def compile_query(text: str, field: str) -> Query:
    """Compile what a field whose name ends in ``.$`` may have: a path or an intrinsic function call.

    Raises:
        PathSyntaxError: It is neither.
    """
    if text.startswith("$"):
        # Measured on AWS: in a payload template an index past the end of an array is null.
        path = parse_path(text, past_end=None)
        return Query(compile_path(path, field), _weight(path), 0)
    scanner = Scanner(text)
    query = _Calls(scanner, field).scan_call(1)
    scanner.skip_space()
    if not scanner.at_end():
        raise scanner.error("expected the end of the function call")
    return query


def _weight(path: Path) -> int:
    """`Query.references` of a path; so many for one that repeats data that its result is always measured."""
    return PAYLOAD_LIMIT if path.repeats else 1


class _Calls:
    """Parses nested function calls."""

    def __init__(self, scanner: Scanner, field: str) -> None:
        self._scanner = scanner
        self._field = field

    def scan_call(self, depth: int) -> Query:
        scanner = self._scanner
        if depth > MAX_NESTING:
            raise scanner.error(f"function calls are nested more than {MAX_NESTING} deep")
        start = scanner.position
        name = scanner.take_while(lambda char: char.isalnum() or char in "._")
        function = FUNCTIONS.get(name)
        if function is None:
            raise scanner.error(f"'{name}' is not a path or an intrinsic function")
        scanner.skip_space()
        scanner.expect("(")
        arguments: list[Query] = []
        scanner.skip_space()
        if not scanner.take(")"):
            while True:
                scanner.skip_space()
                arguments.append(self._scan_argument(depth, name == "States.Format" and not arguments))
                scanner.skip_space()
                if scanner.take(")"):
                    break
                scanner.expect(",")
        self._check_count(name, function, len(arguments))
        text = scanner.text[start : scanner.position]
        return Query(
            _call(function, [argument.read for argument in arguments], text),
            function.growth * sum(argument.references for argument in arguments),
            function.extra + function.growth * sum(argument.extra + 1 for argument in arguments),
        )

    def _check_count(self, name: str, function: Function, count: int) -> None:
        if count >= function.least and (function.most is None or count <= function.most):
            return
        if function.most is None:
            expected = f"at least {function.least}"
        elif function.least == function.most:
            expected = f"{function.least}"
        else:
            expected = f"{function.least} to {function.most}"
        raise self._scanner.error(f"{name} takes {expected} arguments, but has {count}")

    def _scan_argument(self, depth: int, is_template: bool) -> Query:
        scanner = self._scanner
        char = scanner.peek()
        if char == "$":
            path = scan_path(scanner, past_end=None)
            return Query(compile_path(path, self._field), _weight(path), 0)
        if char == "'":
            value: JSON = self._scan_text(is_template)
        elif char.isalpha():
            for word, constant in (("true", True), ("false", False), ("null", None)):
                if scanner.take(word):
                    value = constant
                    break
            else:
                return self.scan_call(depth + 1)
        else:
            value = self._scan_number()
        return Query(lambda document, scope: value, 0, len(json_text(value).encode("utf-8", "surrogatepass")))

    def _scan_number(self) -> JSON:
        scanner = self._scanner
        start = scanner.position
        text = scanner.take_while(lambda char: char.isascii() and (char.isdigit() or char in "+-.eE"))
        try:
            return json.loads(text)
        except ValueError:
            scanner.position = start
            raise scanner.error("expected a path, a string, a number or a function call") from None

    def _scan_text(self, keep_escapes: bool) -> str:
        """A string in single quotes. The template of States.Format keeps its escapes, for it tells ``\\{}``
        from ``{}`` only when it is filled in."""
        scanner = self._scanner
        scanner.expect("'")
        characters: list[str] = []
        while not scanner.at_end():
            char = scanner.peek()
            scanner.position += 1
            if char == "'":
                return "".join(characters)
            if char == "\\" and scanner.peek() in ("'", "\\", "{", "}"):
                if keep_escapes:
                    characters.append(char)
                char = scanner.peek()
                scanner.position += 1
            characters.append(char)
        raise scanner.error("expected '''")


def _call(function: Function, arguments: Sequence[Reader], text: str) -> Reader:
    run = function.run

    def call(document: JSON, scope: Scope) -> JSON:
        values = [argument(document, scope) for argument in arguments]
        try:
            return run(values, scope.entropy)
        except FunctionError as error:
            message = f"The function '{text}' had the following error: {error}"
            raise Fault(message, INTRINSIC_FAILURE) from None

    return call
