"""The syntax of regular expressions: from text to a tree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

__all__ = [
    "Alternation",
    "Anchor",
    "BackReference",
    "CharacterClass",
    "Group",
    "Look",
    "Part",
    "RegexError",
    "Repetition",
    "Sequence",
    "parse",
]

MAX_DEPTH: Final = 100


class RegexError(ValueError):
    """A regular expression is malformed or not supported."""


@dataclass(frozen=True)
class CharacterClass:
    """One character out of some.

    Attributes:
        ranges: (first, last) code points.
        negative: Whether all others are meant.
        ignore_case: Whether a character stands for its upper and lower case, too.
    """

    ranges: tuple[tuple[int, int], ...]
    negative: bool = False
    ignore_case: bool = False
    _known: dict[str, bool] = field(default_factory=dict, compare=False)

    def accepts(self, char: str) -> bool:
        answer = self._known.get(char)
        if answer is None:
            variants = {char, char.lower(), char.upper()} if self.ignore_case else {char}
            codes = [ord(variant) for variant in variants if len(variant) == 1]
            within = any(first <= code <= last for code in codes for first, last in self.ranges)
            answer = within != self.negative
            if len(self._known) < 1024:
                self._known[char] = answer
        return answer


@dataclass(frozen=True)
class Sequence:
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Alternation:
    choices: tuple[Part, ...]


@dataclass(frozen=True)
class Group:
    """A capturing group, counted from 1; 0 is the whole."""

    part: Part
    index: int


@dataclass(frozen=True)
class Repetition:
    """Attributes: `most` is None for no limit; `groups` are the groups within, as (first, last + 1)."""

    part: Part
    least: int
    most: int | None
    greedy: bool
    groups: tuple[int, int]


@dataclass(frozen=True)
class Anchor:
    """``^``, ``$``, ``b`` or ``B``."""

    kind: str
    multiline: bool


@dataclass(frozen=True)
class BackReference:
    index: int


@dataclass(frozen=True)
class Look:
    """A look ahead or behind."""

    part: Part
    behind: bool
    negative: bool


Part: TypeAlias = CharacterClass | Sequence | Alternation | Group | Repetition | Anchor | BackReference | Look

Ranges: TypeAlias = tuple[tuple[int, int], ...]

_ALL: Final = ((0, 0x10FFFF),)
_DIGIT: Final = ((0x30, 0x39),)
_WORD: Final = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACE: Final = (
    *((0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029)),
    *((0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF)),
)
_JAVA_SPACE: Final = ((0x09, 0x0D), (0x20, 0x20))
_BREAKS: Final = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
_CONTROLS: Final = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13}


def _complement(ranges: Ranges) -> Ranges:
    result = []
    start = 0
    for first, last in sorted(ranges):
        if first > start:
            result.append((start, first - 1))
        start = max(start, last + 1)
    return (*result, (start, 0x10FFFF)) if start <= 0x10FFFF else tuple(result)


def parse(source: str, *, ignore_case: bool, multiline: bool, dot_all: bool, java: bool) -> tuple[Part, int]:
    """(tree, number of groups) of an expression.

    Raises:
        RegexError: It is malformed or not supported.
    """
    return _Parser(source, ignore_case, multiline, dot_all, java).parse()


class _Parser:
    def __init__(self, source: str, ignore_case: bool, multiline: bool, dot_all: bool, java: bool) -> None:
        self._source = source
        self._position = 0
        self._ignore_case = ignore_case
        self._multiline = multiline
        self._dot_all = dot_all
        self._java = java
        self._groups = 0
        self._names, self._total = self._survey()
        self._depth = 0

    def parse(self) -> tuple[Part, int]:
        tree = self._alternation()
        if self._position < len(self._source):
            raise self._error("Unmatched ')'")
        return tree, self._groups

    def _error(self, message: str) -> RegexError:
        return RegexError(f"Invalid regular expression: /{self._source}/: {message}")

    def _survey(self) -> tuple[dict[str, int], int]:
        """The groups' names and number, which decide what ``\\1`` and ``\\k`` mean, also before them."""
        names: dict[str, int] = {}
        count = 0
        in_class = False
        position = 0
        source = self._source
        while position < len(source):
            char = source[position]
            position += 2 if char == "\\" else 1
            if char == "[":
                in_class = True
            elif char == "]":
                in_class = False
            elif char == "(" and not in_class:
                if source[position : position + 1] != "?":
                    count += 1
                elif source.startswith("?<", position) and source[position + 2 : position + 3] not in "=!":
                    count += 1
                    name = source[position + 2 :].partition(">")[0]
                    if name in names:
                        raise self._error("Duplicate capture group name")
                    names[name] = count
        return names, count

    def _peek(self) -> str:
        return self._source[self._position : self._position + 1]

    def _take(self, token: str) -> bool:
        if not self._source.startswith(token, self._position):
            return False
        self._position += len(token)
        return True

    def _class(self, ranges: Ranges, *, negative: bool = False) -> CharacterClass:
        return CharacterClass(ranges, negative, self._ignore_case)

    # Structure -----------------------------------------------------------------------------------------

    def _alternation(self) -> Part:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error("Regular expression too large")
        choices = [self._sequence()]
        while self._take("|"):
            choices.append(self._sequence())
        self._depth -= 1
        return choices[0] if len(choices) == 1 else Alternation(tuple(choices))

    def _sequence(self) -> Part:
        parts: list[Part] = []
        while self._peek() not in ("", "|", ")"):
            groups = self._groups
            part = self._atom()
            parts.append(self._repeated(part, groups))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _atom(self) -> Part:
        if self._take("("):
            return self._group()
        if self._take("["):
            return self._bracket()
        if self._take("\\"):
            return self._escape()
        char = self._peek()
        self._position += 1
        if char in "^$":
            return Anchor(char, self._multiline)
        if char == ".":
            return CharacterClass(_ALL) if self._dot_all else CharacterClass(_BREAKS, negative=True)
        if char in "*+?" or (char == "{" and self._counts(self._position - 1) is not None):
            raise self._error("Nothing to repeat")
        return self._class(((ord(char), ord(char)),))

    def _group(self) -> Part:
        part: Part
        if self._take("?:"):
            part = Sequence((self._alternation(),))  # even an anchor can be repeated within a group
        elif (token := self._source[self._position : self._position + 2]) in ("?=", "?!"):
            self._position += 2
            part = Look(self._alternation(), behind=False, negative=token == "?!")
        elif (token := self._source[self._position : self._position + 3]) in ("?<=", "?<!"):
            self._position += 3
            part = Look(self._alternation(), behind=True, negative=token == "?<!")
        else:
            if self._take("?<"):
                name, closed, _ = self._source[self._position :].partition(">")
                if not closed or not name.replace("$", "_").isidentifier():
                    raise self._error("Invalid capture group name")
                self._position += len(name) + 1
            elif self._peek() == "?":
                raise self._error("Invalid group")
            self._groups += 1
            index = self._groups
            part = Group(self._alternation(), index)
        if not self._take(")"):
            raise self._error("Unterminated group")
        return part

    def _repeated(self, part: Part, groups: int) -> Part:
        char = self._peek()
        counts: tuple[int, int | None, int] | None
        if char in ("*", "+", "?"):
            counts = (char == "+", 1 if char == "?" else None, self._position + 1)
        else:
            counts = self._counts(self._position) if char == "{" else None
        if counts is None:
            return part
        if isinstance(part, Anchor) or (isinstance(part, Look) and part.behind):
            raise self._error("Nothing to repeat")
        least, most, self._position = counts
        if most is not None and most < least:
            raise self._error("numbers out of order in {} quantifier")
        greedy = not self._take("?")
        if self._java and self._peek() == "+":
            raise self._error("Possessive quantifiers are not supported")
        return Repetition(part, int(least), most, greedy, (groups + 1, self._groups + 1))

    def _counts(self, position: int) -> tuple[int, int | None, int] | None:
        """(least, most, position after it) of a ``{least,most}``; None if it is none."""
        inside, closed, _ = self._source[position + 1 :].partition("}")
        first, comma, second = inside.partition(",")
        if not closed or not _is_decimal(first) or not (second == "" or _is_decimal(second)):
            return None
        least = min(int(first), 10**6)
        most = least if not comma else min(int(second), 10**6) if second else None
        return least, most, position + len(inside) + 2

    # Characters ----------------------------------------------------------------------------------------

    def _bracket(self) -> Part:
        negative = self._take("^")
        ranges: list[tuple[int, int]] = []
        while not self._take("]"):
            if self._position >= len(self._source):
                raise self._error("Unterminated character class")
            first = self._member()
            if self._peek() == "-" and self._source[self._position + 1 : self._position + 2] != "]":
                self._position += 1
                if self._position >= len(self._source):
                    raise self._error("Unterminated character class")
                last = self._member()
                if isinstance(first, int) and isinstance(last, int):
                    if last < first:
                        raise self._error("Range out of order in character class")
                    ranges.append((first, last))
                    continue
                ranges += [*_as_ranges(first), (0x2D, 0x2D), *_as_ranges(last)]
            else:
                ranges += _as_ranges(first)
        return self._class(tuple(ranges), negative=negative)

    def _member(self) -> int | Ranges:
        """A character of a class, or a class within it."""
        if self._java and (self._peek() == "[" or self._source.startswith("&&", self._position)):
            raise self._error("Character classes within character classes are not supported")
        if not self._take("\\"):
            char = self._peek()
            self._position += 1
            return ord(char)
        char = self._peek()
        self._position += 1
        if char == "b":
            return 8
        ranges = self._shorthand(char)
        return ranges if ranges is not None else self._code(char)

    def _shorthand(self, char: str) -> Ranges | None:
        space = _JAVA_SPACE if self._java else _SPACE
        ranges = {"d": _DIGIT, "w": _WORD, "s": space}.get(char.lower())
        if ranges is None:
            return None
        return ranges if char.islower() else _complement(ranges)

    def _escape(self) -> Part:
        char = self._peek()
        if not char:
            raise self._error("\\ at end of pattern")
        self._position += 1
        if char in "bB":
            return Anchor(char, multiline=False)
        if self._java and char in "Az":
            return Anchor("^" if char == "A" else "$", multiline=False)
        ranges = self._shorthand(char)
        if ranges is not None:
            return self._class(ranges)
        if char == "k" and self._names:
            return self._named_reference()
        if char in "123456789":
            end = self._position
            while _is_decimal(self._source[end : end + 1]):
                end += 1
            index = int(self._source[self._position - 1 : end])
            if index <= self._total:
                self._position = end
                return BackReference(index)
        code = self._code(char)
        return self._class(((code, code),))

    def _named_reference(self) -> Part:
        name, closed, _ = self._source[self._position + 1 :].partition(">")
        if self._peek() != "<" or not closed:
            raise self._error("Invalid named reference")
        if name not in self._names:
            raise self._error("Invalid named capture referenced")
        self._position += len(name) + 2
        return BackReference(self._names[name])

    def _code(self, char: str) -> int:
        """The character that an escape stands for."""
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char == "c" and self._peek().isascii() and self._peek().isalpha():
            self._position += 1
            return ord(self._source[self._position - 1]) % 32
        for letter, length in (("x", 2), ("u", 4)):
            digits = self._source[self._position : self._position + length]
            if char == letter and len(digits) == length and _is_hexadecimal(digits):
                self._position += length
                return int(digits, 16)
        if not self._java and char in "01234567":
            return self._octal(char)
        if char == "0" and not _is_decimal(self._peek()):
            return 0
        if self._java and char.isascii() and char.isalnum():
            raise self._error(f"The escape \\{char} is not supported")
        return ord(char) if char else 0x5C

    def _octal(self, digits: str) -> int:
        while len(digits) < 3 and self._peek() in tuple("01234567") and int(digits + self._peek(), 8) < 256:
            digits += self._peek()
            self._position += 1
        return int(digits, 8)


def _as_ranges(member: int | Ranges) -> Ranges:
    return ((member, member),) if isinstance(member, int) else member


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _is_hexadecimal(text: str) -> bool:
    return all(char in "0123456789abcdefABCDEF" for char in text)
