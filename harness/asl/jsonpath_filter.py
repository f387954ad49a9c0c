"""Filter expressions of JSONPath: what stands in ``[?(...)]``, compiled to predicates."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

from harness.asl.scanner import Scanner
from harness.asl.tasks import JSON
from harness.asl.values import MISSING, is_number, type_name

__all__ = ["FilterParser"]

Predicate: TypeAlias = Callable[[JSON, JSON], bool]  # (element, root of the document)
Operand: TypeAlias = Callable[[JSON, JSON], JSON]
ScanRelative: TypeAlias = Callable[[Scanner], tuple[Callable[[JSON], JSON], bool]]


class _AbsolutePath(Protocol):
    @property
    def select(self) -> Callable[[JSON], JSON]: ...


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
        scan_relative: ScanRelative,
        scan_absolute: Callable[[Scanner], _AbsolutePath],
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
        return lambda element, root: any(term(element, root) for term in terms)

    def _all(self) -> Predicate:
        terms = [self._not()]
        while self._scanner.take("&&"):
            terms.append(self._not())
        if len(terms) == 1:
            return terms[0]
        return lambda element, root: all(term(element, root) for term in terms)

    def _not(self) -> Predicate:
        scanner = self._scanner
        scanner.skip_space()
        if scanner.take("!"):
            term = self._not()
            return lambda element, root: not term(element, root)
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
        for token, compare in _OPERATORS:
            if scanner.take(token):
                scanner.skip_space()
                if token == "=~":
                    pattern = self._regex()
                    return lambda element, root: (
                        isinstance(value := left(element, root), str) and pattern.fullmatch(value) is not None
                    )
                right = self._operand()
                return lambda element, root: compare(left(element, root), right(element, root))
        return lambda element, root: left(element, root) is not MISSING

    def _operand(self) -> Operand:
        scanner = self._scanner
        char = scanner.peek()
        if scanner.take("@"):
            relative, definite = self._scan_relative(scanner)
            if definite:
                return lambda element, _: relative(element)
            return lambda element, _: relative(element) or MISSING
        if char == "$":
            absolute = self._scan_absolute(scanner).select
            return lambda _, root: absolute(root)
        literal = self._literal(char)
        return lambda element, root: literal

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

    def _regex(self) -> re.Pattern[str]:
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
        flags = re.NOFLAG
        for letter in scanner.take_while(str.isalpha):
            if letter not in _REGEX_FLAGS:
                raise scanner.error(f"unknown flag {letter} of a regular expression")
            flags |= _REGEX_FLAGS[letter]
        try:
            return re.compile("".join(characters), flags)
        except re.error as error:
            raise scanner.error(f"invalid regular expression ({error})") from None


_REGEX_FLAGS: Final = {
    "i": re.IGNORECASE,
    "m": re.MULTILINE,
    "s": re.DOTALL,
    "u": re.UNICODE,
    "x": re.VERBOSE,
}


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


# Longer tokens come before their prefixes.
_OPERATORS: Final[tuple[tuple[str, Callable[[JSON, JSON], bool]], ...]] = (
    ("==", _equal),
    ("!=", lambda left, right: not _equal(left, right)),
    ("=~", _equal),  # compiled apart: its right side is a regular expression
    ("<=", _ordered(operator.le)),
    (">=", _ordered(operator.ge)),
    ("<", _ordered(operator.lt)),
    (">", _ordered(operator.gt)),
    ("in ", _in),
    ("nin ", lambda left, right: left is not MISSING and not _in(left, right)),
    ("subsetof ", lambda left, right: isinstance(left, list) and all(_in(item, right) for item in left)),
    ("anyof ", _any_of),
    ("noneof ", lambda left, right: isinstance(left, list) and not _any_of(left, right)),
    ("contains ", _contains),
    ("size ", _size),
    ("empty ", _empty),
)
