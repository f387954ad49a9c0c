"""Filter expressions of JSONPath: what stands in ``[?(...)]``, compiled to predicates."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

from harness.asl.jsonpath.scanner import Scanner
from harness.asl.jsonpath.steps import Search, Select
from harness.asl.regex import Regex, RegexError
from harness.asl.tasks import JSON
from harness.asl.values import MISSING, is_number, type_name

__all__ = ["FilterParser"]

Predicate: TypeAlias = Callable[[JSON, Search], bool]
Operand: TypeAlias = Callable[[JSON, Search], JSON]


class _Path(Protocol):
    """A compiled path; see `jsonpath.Path`."""

    @property
    def definite(self) -> bool: ...

    @property
    def search(self) -> Select: ...


class FilterParser:
    """Parses one filter expression.

    Args:
        scanner: Stands after the ``?``.
        scan_relative: Compiles the path after ``@``.
        scan_absolute: Compiles a path that starts at ``$``.
    """

    def __init__(
        self,
        scanner: Scanner,
        scan_relative: Callable[[Scanner], _Path],
        scan_absolute: Callable[[Scanner], _Path],
    ) -> None:
        self._scanner = scanner
        self._scan_relative = scan_relative
        self._scan_absolute = scan_absolute

    def parse(self) -> Predicate:
        self._scanner.expect("(")
        predicate = self._either()
        self._scanner.expect(")")
        return predicate

    def _either(self) -> Predicate:
        terms = [self._all()]
        while self._scanner.take("||"):
            terms.append(self._all())
        if len(terms) == 1:
            return terms[0]
        return lambda element, search: any(term(element, search) for term in terms)

    def _all(self) -> Predicate:
        terms = [self._not()]
        while self._scanner.take("&&"):
            terms.append(self._not())
        if len(terms) == 1:
            return terms[0]
        return lambda element, search: all(term(element, search) for term in terms)

    def _not(self) -> Predicate:
        scanner = self._scanner
        scanner.skip_space()
        if scanner.take("!"):
            term = self._not()
            return lambda element, search: not term(element, search)
        if scanner.take("("):
            inner = self._either()
            scanner.expect(")")
            scanner.skip_space()
            return inner
        comparison = self._comparison()
        scanner.skip_space()
        return comparison

    def _comparison(self) -> Predicate:
        scanner = self._scanner
        left = self._operand()
        scanner.skip_space()
        operator = self._operator()
        if operator is None:
            return lambda element, search: left(element, search) is not MISSING
        scanner.skip_space()
        if operator == "=~":
            pattern = self._regex()
            return lambda element, search: (
                isinstance(value := left(element, search), str) and pattern.full_match(value, search)
            )
        right = self._operand()
        compare = _OPERATORS[operator]
        return lambda element, search: compare(left(element, search), right(element, search))

    def _operator(self) -> str | None:
        """Consume an operator, if one comes next; words are known in any case."""
        scanner = self._scanner
        for token in _SIGNS:
            if scanner.take(token):
                return token
        start = scanner.position
        word = scanner.take_while(str.isalpha).lower()
        if word in _OPERATORS:
            return word
        scanner.position = start
        return None

    def _operand(self) -> Operand:
        scanner = self._scanner
        char = scanner.peek()
        if scanner.take("@"):
            return _operand(self._scan_relative(scanner), from_root=False)
        if char == "$":
            return _operand(self._scan_absolute(scanner), from_root=True)
        literal = self._literal(char)
        return lambda element, search: literal

    def _literal(self, char: str) -> JSON:
        scanner = self._scanner
        if char in ("'", '"'):
            return scanner.quoted()
        for word, value in (("true", True), ("false", False), ("null", None), ("empty", True)):
            if char.isalpha() and scanner.take(word):
                return value
        if char in ("[", "{"):
            return self._json()
        start = scanner.position
        text = scanner.take_while(lambda c: c.isascii() and (c.isdigit() or c in "+-.eE"))
        try:
            return json.loads(text)
        except ValueError:
            scanner.position = start
            raise scanner.error("expected a path or a value") from None

    def _json(self) -> JSON:
        scanner = self._scanner
        try:
            value, end = json.JSONDecoder().raw_decode(scanner.text.replace("'", '"'), scanner.position)
        except ValueError:
            raise scanner.error("expected a JSON value") from None
        scanner.position = end
        return value

    def _regex(self) -> Regex:
        scanner = self._scanner
        scanner.expect("/")
        characters: list[str] = []
        while not scanner.at_end() and scanner.peek() != "/":
            if scanner.take("\\/"):
                characters.append("/")
                continue
            if scanner.peek() == "\\":
                characters.append("\\")
                scanner.position += 1
            characters.append(scanner.peek())
            scanner.position += 1
        scanner.expect("/")
        flags = scanner.take_while(str.isalpha)
        for letter in flags:
            if letter not in _REGEX_FLAGS:
                raise scanner.error(f"the flag {letter} of regular expressions is not supported")
        try:
            return Regex(
                "".join(characters),
                ignore_case="i" in flags,
                multiline="m" in flags,
                dot_all="s" in flags,
                java=True,
            )
        except RegexError as error:
            raise scanner.error(str(error)) from None


_REGEX_FLAGS: Final = "imsu"


def _operand(path: _Path, *, from_root: bool) -> Operand:
    find = path.search
    if path.definite:
        if from_root:
            return lambda _, search: find(search.root, search)
        return find
    # An indefinite path leads somewhere only if it finds something.
    if from_root:
        return lambda _, search: find(search.root, search) or MISSING
    return lambda element, search: find(element, search) or MISSING


def _equal(left: JSON, right: JSON) -> bool:
    if left is MISSING or right is MISSING:
        return False
    if isinstance(left, str) and is_number(right):
        return left == json.dumps(right)
    if is_number(left) and isinstance(right, str):
        try:
            return bool(left == float(right))
        except ValueError:
            return False
    return type_name(left) == type_name(right) and bool(left == right)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[JSON, JSON], bool]:
    def apply(left: JSON, right: JSON) -> bool:
        if (is_number(left) and is_number(right)) or (isinstance(left, str) and isinstance(right, str)):
            return compare(left, right)
        return False

    return apply


def _in(left: JSON, right: JSON) -> bool:
    return isinstance(right, list) and any(_equal(left, element) for element in right)


def _contains(left: JSON, right: JSON) -> bool:
    if isinstance(left, str):
        return isinstance(right, str) and right in left
    return isinstance(left, list) and any(_equal(element, right) for element in left)


def _any_of(left: JSON, right: JSON) -> bool:
    return isinstance(left, list) and any(_in(element, right) for element in left)


def _size(left: JSON, right: JSON) -> bool:
    return isinstance(left, str | list) and is_number(right) and len(left) == right


def _empty(left: JSON, right: JSON) -> bool:
    return isinstance(left, str | list | dict) and (not left) == right


def _all(left: JSON, right: JSON) -> bool:
    return isinstance(left, list) and isinstance(right, list) and all(_in(item, left) for item in right)


def _identical(left: JSON, right: JSON) -> bool:
    return type_name(left) == type_name(right) and _equal(left, right)


_OPERATORS: Final[dict[str, Callable[[JSON, JSON], bool]]] = {
    "===": _identical,
    "!==": lambda left, right: not _identical(left, right),
    "==": _equal,
    "!=": lambda left, right: not _equal(left, right),
    "<=": _ordered(operator.le),
    ">=": _ordered(operator.ge),
    "<": _ordered(operator.lt),
    ">": _ordered(operator.gt),
    "in": _in,
    "nin": lambda left, right: not _in(left, right),
    "all": _all,
    "subsetof": lambda left, right: isinstance(left, list) and all(_in(item, right) for item in left),
    "anyof": _any_of,
    "noneof": lambda left, right: isinstance(left, list) and not _any_of(left, right),
    "contains": _contains,
    "size": _size,
    "empty": _empty,
}
_SIGNS: Final = ("===", "!==", "==", "!=", "=~", "<=", ">=", "<", ">")
"""The operators that are no words; longer ones come before their beginnings."""
