"""JSONPath as Step Functions has it, compiled to closures.

The dialect is Jayway's. A *definite* path (names and indexes only) leads to one value or nowhere; any other
path leads to an array of what it found, which is empty when it found nothing, even where something on the way
is missing (recorded cases ``test_json_path_array_wildcard_or_slice_with_no_input``).

Roots: ``$`` is the document, ``$$`` the context object, ``$name`` a variable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from harness.asl.jsonpath import steps as steps
from harness.asl.jsonpath.filter import FilterParser
from harness.asl.jsonpath.scanner import PathSyntaxError, Scanner
from harness.asl.jsonpath.steps import FUNCTIONS, Key, Search, Select, Step
from harness.asl.tasks import JSON
from harness.asl.values import MISSING, Missing

__all__ = ["Key", "Path", "PathSyntaxError", "parse_path", "scan_path"]

DOCUMENT: Final = "$"
CONTEXT: Final = "$$"

_NAME_ENDS: Final = frozenset(".[]() \t\r\n,")


@dataclass(frozen=True)
class Path:
    """A compiled path.

    Attributes:
        text: As written.
        root: ``$``, ``$$``, or the name of a variable.
        definite: Whether it leads to one value at most.
        repeats: Whether its result can hold a part of the data more than once, and so be longer than it.
        keys: The names and indexes of a definite path without functions, the form that reference paths
            require; None for other paths.
        select: From the root's value to the value the path leads to, or `MISSING`. Raises `Fault` when it
            leads to more values than can be looked at.
        search: The same within another path's filter, which pays for it.
    """

    text: str
    root: str
    definite: bool
    repeats: bool
    keys: tuple[Key, ...] | None
    select: Callable[[JSON], JSON]
    search: Select

    @property
    def is_root(self) -> bool:
        """``$`` itself: the identity."""
        return self.root == DOCUMENT and self.keys == ()

    @property
    def is_reference(self) -> bool:
        """Whether this is a reference path: it names one node."""
        return self.keys is not None and all(isinstance(key, str) or key >= 0 for key in self.keys)


def parse_path(text: str, *, past_end: JSON | Missing = MISSING) -> Path:
    """Compile a path.

    Args:
        text: The path.
        past_end: What an index past the end of an array leads to.

    Raises:
        PathSyntaxError: `text` is no path.
    """
    scanner = Scanner(text)
    path = scan_path(scanner, past_end=past_end)
    if not scanner.at_end():
        raise scanner.error("expected the end of the path")
    return path


def scan_path(scanner: Scanner, *, past_end: JSON | Missing = MISSING) -> Path:
    """Compile the path that starts where the scanner stands.

    Raises:
        PathSyntaxError: There is none.
    """
    start = scanner.position
    scanner.expect("$")
    if scanner.take("$"):
        root = CONTEXT
    else:
        name = scanner.take_while(lambda char: char.isalnum() or char == "_")
        root = name or DOCUMENT
    builder = _Builder(scanner, past_end)
    builder.scan_steps()
    return builder.finish(scanner.text[start : scanner.position], root)


def scan_relative(scanner: Scanner) -> Path:
    """Compile the path after ``@`` in a filter."""
    builder = _Builder(scanner, MISSING)
    builder.scan_steps()
    return builder.finish("", DOCUMENT)


def scan_absolute(scanner: Scanner) -> Path:
    """Compile the path from ``$`` in a filter.

    Raises:
        PathSyntaxError: It is malformed, or does not start at the document.
    """
    path = scan_path(scanner)
    if path.root != DOCUMENT:
        raise scanner.error("a filter can only refer to the document, $, and to the element, @")
    return path


class _Builder:
    """Collects the steps of one path."""

    def __init__(self, scanner: Scanner, past_end: JSON | Missing) -> None:
        self._scanner = scanner
        self._past_end = past_end
        self._keys: list[Key] | None = []
        self._steps: list[Step] = []
        self._function: Callable[[JSON], JSON] | None = None
        self._pick: tuple[str, ...] | None = None
        self._repeats = False

    def finish(self, text: str, root: str) -> Path:
        keys = tuple(self._keys) if self._keys is not None else None
        definite = keys is not None
        if keys is not None and self._function is None:
            follow = _definite(keys, self._past_end)
            if self._pick is not None:
                follow, keys = _pick(self._pick, follow), None
            return Path(text, root, True, self._repeats, keys, follow, lambda value, _: follow(value))
        search = _indefinite(tuple(self._steps), self._pick)
        if keys is not None:
            follow = _definite(keys, self._past_end)
            search = lambda value, _: follow(value)  # noqa: E731
        if self._function is not None:
            search, definite = _apply(self._function, search), True
        return Path(
            text, root, definite, self._repeats, None, lambda root: search(root, Search(root)), search
        )

    # Steps ---------------------------------------------------------------------------------------------

    def _key(self, key: Key) -> None:
        if self._keys is not None:
            self._keys.append(key)
        self._steps.append(steps.child(key))

    def _many(self, step: Step) -> None:
        self._keys = None
        self._steps.append(step)

    def scan_steps(self) -> None:
        scanner = self._scanner
        while True:
            if self._pick is not None:
                # Several names are merged into one object at the end of a path, and branch before it.
                if scanner.peek() not in (".", "["):
                    return
                names, self._pick = self._pick, None
                self._repeats = True
                self._many(steps.members(names))
            if scanner.take(".."):
                self._repeats = True
                self._many(steps.descend)
                if scanner.peek() == "[":
                    self._scan_bracket()
                elif scanner.take("*"):
                    self._many(steps.wildcard)
                else:
                    self._key(self._scan_name())
            elif scanner.take("."):
                if scanner.take("*"):
                    self._many(steps.wildcard)
                elif scanner.peek() == "[":
                    self._scan_bracket()
                else:
                    name = self._scan_name()
                    if scanner.take("("):
                        self._function = self._scan_function(name)
                        return
                    self._key(name)
            elif scanner.peek() == "[":
                self._scan_bracket()
            else:
                return

    def _scan_name(self) -> str:
        name = self._scanner.take_while(lambda char: char not in _NAME_ENDS)
        if not name:
            raise self._scanner.error("expected a property name")
        return name

    def _scan_function(self, name: str) -> Callable[[JSON], JSON]:
        function = FUNCTIONS.get(name)
        if function is None:
            raise self._scanner.error(f"unknown function {name}()")
        self._scanner.skip_space()
        self._scanner.expect(")")
        return function

    def _scan_bracket(self) -> None:
        scanner = self._scanner
        scanner.expect("[")
        scanner.skip_space()
        char = scanner.peek()
        if char in ("'", '"'):
            names = [scanner.quoted()]
            scanner.skip_space()
            while scanner.take(","):
                scanner.skip_space()
                names.append(scanner.quoted())
                scanner.skip_space()
            if len(names) == 1:
                self._key(names[0])
            else:
                self._pick = tuple(names)
        elif scanner.take("*"):
            scanner.skip_space()
            self._many(steps.wildcard)
        elif scanner.take("?"):
            scanner.skip_space()
            self._many(steps.filtered(FilterParser(scanner, scan_relative, scan_absolute).parse()))
            scanner.skip_space()
        else:
            self._scan_indexes()
        scanner.expect("]")

    def _scan_indexes(self) -> None:
        scanner = self._scanner
        first = scanner.integer()
        scanner.skip_space()
        if scanner.take(":"):
            scanner.skip_space()
            last = scanner.integer()
            scanner.skip_space()
            if first is None and last is None:
                raise scanner.error("expected an index")
            self._many(steps.part(first, last))
            return
        if first is None:
            raise scanner.error("expected an index, a name, a slice, a filter or *")
        indexes = [first]
        while scanner.take(","):
            scanner.skip_space()
            index = scanner.integer()
            if index is None:
                raise scanner.error("expected an index")
            indexes.append(index)
            scanner.skip_space()
        if len(indexes) == 1:
            self._key(first)
        else:
            self._repeats = True
            self._many(steps.elements(tuple(indexes)))


# Putting steps together ------------------------------------------------------------------------------------


def _definite(keys: tuple[Key, ...], past_end: JSON | Missing) -> Callable[[JSON], JSON]:
    if not keys:
        return lambda document: document
    if len(keys) == 1 and isinstance(keys[0], str):
        name = keys[0]
        return lambda document: document.get(name, MISSING) if isinstance(document, dict) else MISSING

    def select(document: JSON) -> JSON:
        for key in keys:
            if isinstance(key, str):
                if not isinstance(document, dict):
                    return MISSING
                document = document.get(key, MISSING)
                if document is MISSING:
                    return MISSING
            else:
                if not isinstance(document, list):
                    return MISSING
                if -len(document) <= key < len(document):
                    document = document[key]
                elif past_end is MISSING:
                    return MISSING
                else:
                    document = past_end
        return document

    return select


def _indefinite(chain: tuple[Step, ...], pick: tuple[str, ...] | None) -> Select:
    def select(value: JSON, search: Search) -> JSON:
        nodes = [value]
        for step in chain:
            nodes = step(nodes, search)
        if pick is not None:
            return [_picked(pick, node) for node in nodes if isinstance(node, dict)]
        return nodes

    return select


def _picked(names: tuple[str, ...], node: dict[str, JSON]) -> JSON:
    return {name: node[name] for name in names if name in node}


def _pick(names: tuple[str, ...], select: Callable[[JSON], JSON]) -> Callable[[JSON], JSON]:
    def pick(document: JSON) -> JSON:
        node = select(document)
        return _picked(names, node) if isinstance(node, dict) else MISSING

    return pick


def _apply(function: Callable[[JSON], JSON], select: Select) -> Select:
    def apply(value: JSON, search: Search) -> JSON:
        found = select(value, search)
        return MISSING if found is MISSING else function(found)

    return apply
