"""Strict reading of YAML: every value knows its line and column, and nothing is guessed.

The resolver is that of YAML 1.2's core schema rather than PyYAML's 1.1, so ``no``, ``on``, ``12:30`` and
``2024-01-01`` are the strings they look like, and every value is also a JSON value. Duplicate keys, merge
keys, tags and recursive aliases are refused.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from harness.errors import ScenarioError

__all__ = ["Value", "parse", "suggestion"]

_INT = re.compile(r"[-+]?[0-9]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_CONSTANTS: dict[str, bool | None] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_CONSTANTS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")
_STANDARD_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:str")


class _Loader(yaml.SafeLoader):
    """Composes nodes; never constructs. Without resolvers, an untagged scalar has the tag of a string."""


_Loader.yaml_implicit_resolvers = {}


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """``did you mean ...?`` for a misspelt word, or None when nothing is near."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if not near:
        folded = {candidate.casefold(): candidate for candidate in known}
        near = [folded[word.casefold()]] if word.casefold() in folded else []
    return f"did you mean {near[0]!r}?" if near else None


class Value:
    """A value of the file, and where it stands.

    Args:
        node: PyYAML's node.
        file: The file, for messages.
        trail: How to say which value it is, e.g. ``expect.path``.
    """

    def __init__(self, node: yaml.Node, file: Path, trail: str = "") -> None:
        self._node = node
        self.file = file
        self.trail = trail

    @property
    def place(self) -> str:
        """``line:column``, counted from 1."""
        mark = self._node.start_mark
        return f"{mark.line + 1}:{mark.column + 1}"

    def fail(self, message: str, hint: str | None = None) -> NoReturn:
        """Raise a `ScenarioError` that points at this value."""
        raise ScenarioError(message, file=self.file, place=self.place, hint=hint)

    def mismatch(self, wanted: str, hint: str | None = None) -> NoReturn:
        self.fail(f"{self.trail or 'the file'} must be {wanted}, not {self._describe()}", hint)

    def _describe(self) -> str:
        if isinstance(self._node, yaml.MappingNode):
            return "a mapping"
        if isinstance(self._node, yaml.SequenceNode):
            return "a list"
        value = self.json()
        if value is None:
            return "nothing"
        if isinstance(value, bool):
            return "true" if value else "false"
        kind = "the text" if isinstance(value, str) else "the number"
        return f"{kind} {value!r}"

    # Structure ---------------------------------------------------------------------------------------

    @property
    def is_mapping(self) -> bool:
        return isinstance(self._node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        return isinstance(self._node, yaml.SequenceNode)

    def items(self) -> Iterator[tuple[Value, Value]]:
        """(key, value) pairs of a mapping, in the file's order; keys are strings and not repeated."""
        if not isinstance(self._node, yaml.MappingNode):
            self.mismatch("a mapping")
        seen: dict[str, str] = {}
        for key_node, value_node in self._node.value:
            key = Value(key_node, self.file, "a key")
            name = key.key()
            if name == "<<":
                key.fail("merge keys are not supported", "write the keys out")
            if name in seen:
                key.fail(f"{name!r} is here twice", f"it is first at {seen[name]}")
            seen[name] = key.place
            trail = f"{self.trail}.{name}" if self.trail else name
            yield key, Value(value_node, self.file, trail)

    def key(self) -> str:
        """This value as a key: a scalar, taken as text."""
        if not isinstance(self._node, yaml.ScalarNode):
            self.mismatch("text")
        return str(self._node.value)

    def fields(self, known: Iterable[str], required: Iterable[str] = ()) -> dict[str, Value]:
        """A mapping with these keys and no others.

        Raises:
            ScenarioError: A key is unknown, or a required one is missing.
        """
        known = list(known)
        found: dict[str, Value] = {}
        for key, value in self.items():
            name = key.key()
            if name not in known:
                inside = f" in {self.trail}" if self.trail else ""
                hint = suggestion(name, known) or f"known keys: {', '.join(known)}"
                key.fail(f"unknown key {name!r}{inside}", hint)
            found[name] = value
        for name in required:
            if name not in found:
                self.fail(f"{self.trail or 'the scenario'} lacks {name!r}")
        return found

    def elements(self) -> list[Value]:
        if not isinstance(self._node, yaml.SequenceNode):
            self.mismatch("a list")
        return [Value(node, self.file, f"{self.trail}[{n}]") for n, node in enumerate(self._node.value)]

    # Scalars -----------------------------------------------------------------------------------------

    def text(self, hint: str | None = None) -> str:
        value = self.json()
        if not isinstance(value, str):
            if isinstance(value, (int, float)):
                hint = hint or f'put it in quotes: "{self.key()}"'
            self.mismatch("text", hint)
        if not value.strip():
            self.fail(f"{self.trail} is empty")
        return value

    def integer(self, minimum: int, maximum: int | None = None) -> int:
        value = self.json()
        limits = f"{minimum} or more" if maximum is None else f"from {minimum} to {maximum}"
        if not isinstance(value, int) or isinstance(value, bool):
            self.mismatch(f"a whole number ({limits})")
        if value < minimum or (maximum is not None and value > maximum):
            self.mismatch(limits)
        return value

    def choice(self, known: Iterable[str]) -> str:
        known = list(known)
        value = self.text()
        if value not in known:
            self.fail(
                f"{self.trail} is {value!r}; it must be one of {', '.join(known)}", suggestion(value, known)
            )
        return value

    def duration(self) -> float:
        """``24h``, ``45m``, ``1h30m``, ``90s``: seconds."""
        example = "write it with its unit, such as 90s, 45m, 1h30m or 24h"
        value = self.json()
        match = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
        if match is None:
            self.mismatch("a duration", example)
        days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds

    def pattern(self) -> re.Pattern[str]:
        text = self.text()
        try:
            return re.compile(text)
        except re.error as error:
            self.fail(f"{self.trail} is not a regular expression: {error}")

    # Anything ----------------------------------------------------------------------------------------

    def json(self, _inside: tuple[yaml.Node, ...] = ()) -> Any:
        """The value as JSON: None, bool, int, float, str, list or dict."""
        node = self._node
        if node in _inside:
            self.fail(f"{self.trail} contains itself")
        inside = (*_inside, node)
        if node.tag not in _STANDARD_TAGS:
            self.fail(f"the tag {node.tag!r} is not supported", "write plain text, numbers, lists, mappings")
        if isinstance(node, yaml.MappingNode):
            return {key.key(): value.json(inside) for key, value in self.items()}
        if isinstance(node, yaml.SequenceNode):
            return [value.json(inside) for value in self.elements()]
        assert isinstance(node, yaml.ScalarNode)  # there is no fourth kind
        return self._scalar(node)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text = str(node.value)
        if node.style is not None or node.tag == "!":  # quoted, or a block: text, whatever it looks like
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INT.fullmatch(text):
            return int(text)
        if _HEX.fullmatch(text):
            return int(text, 16)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if math.isinf(number):
                self.fail(f"{self.trail} is too large a number")
            return number
        return text


def parse(text: str, file: Path) -> Value:
    """The one document of a YAML file.

    Raises:
        ScenarioError: It is not YAML, empty, or more than one document.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{mark.line + 1}:{mark.column + 1}" if mark else None
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise ScenarioError(f"not YAML: {problem}", file=file, place=place, hint=error.note) from error
    except yaml.reader.ReaderError as error:
        raise ScenarioError(f"not YAML: {error.reason}", file=file, place=f"byte {error.position}") from error
    if node is None:
        raise ScenarioError("the file is empty", file=file, hint="a scenario needs at least a name")
    return Value(node, file)
