"""Expressions, token by token."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final

from harness.asl.jsonata.errors import JsonataError
from harness.asl.jsonata.values import number
from harness.asl.regex import Regex

__all__ = ["Lexer", "Token"]


@dataclass(frozen=True, slots=True)
class Token:
    """A token.

    Attributes:
        type: ``operator``, ``name``, ``variable``, ``string``, ``number``, ``value`` or ``regex``.
        value: The operator or name, the literal's value, or the `Regex`.
    """

    type: str
    value: Any


_SPACE: Final = " \t\n\r\v"
_LONG: Final = ("..", ":=", "!=", ">=", "<=", "**", "~>")
_SHORT: Final = frozenset(".[]{}(),@#;:?+-*/%|=<>^&!~")
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "/": "/"}
_NUMBER: Final = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[Ee][-+]?[0-9]+)?")
_HEX: Final = re.compile(r"[0-9a-fA-F]+")
_VALUES: Final = {"true": True, "false": False, "null": None}


class Lexer:
    """A text and a position in it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def next(self, *, infix: bool) -> Token | None:
        """The next token; None at the end.

        Args:
            infix: Whether an operand has just been read, so that a slash divides.

        Raises:
            JsonataError: A token is malformed.
        """
        self._skip()
        text = self._text
        start = self._position
        char = text[start : start + 1]
        if not char:
            return None
        if char == "/" and not infix:
            self._position += 1
            return Token("regex", self._regex())
        if text[start : start + 2] in _LONG:
            self._position += 2
            return Token("operator", text[start : start + 2])
        if char in _SHORT:
            self._position += 1
            return Token("operator", char)
        if char in "\"'":
            self._position += 1
            return Token("string", self._string(char))
        match = _NUMBER.match(text, start)
        if match is not None:
            value = float(match[0])
            if not math.isfinite(value):
                raise JsonataError("S0102", token=match[0])
            self._position = match.end()
            return Token("number", number(value))
        if char == "`":
            end = text.find("`", start + 1)
            if end < 0:
                raise JsonataError("S0105")
            self._position = end + 1
            return Token("name", text[start + 1 : end])
        return self._word()

    def _skip(self) -> None:
        """Move on to where the next token begins."""
        text = self._text
        while True:
            while self._position < len(text) and text[self._position] in _SPACE:
                self._position += 1
            if not text.startswith("/*", self._position):
                return
            end = text.find("*/", self._position + 2)
            if end < 0:
                raise JsonataError("S0106")
            self._position = end + 2

    def _word(self) -> Token:
        text = self._text
        end = start = self._position
        while end < len(text) and text[end] not in _SPACE and text[end] not in _SHORT:
            end += 1
        self._position = end
        word = text[start:end]
        if word.startswith("$"):
            return Token("variable", word[1:])
        if word in ("or", "in", "and"):
            return Token("operator", word)
        if word in _VALUES:
            return Token("value", _VALUES[word])
        return Token("name", word)

    def _string(self, quote: str) -> str:
        text = self._text
        characters: list[str] = []
        while self._position < len(text):
            char = text[self._position]
            self._position += 1
            if char == quote:
                # Two escapes can be the two halves of one character.
                joined = "".join(characters)
                return joined.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
            if char == "\\":
                char = self._escape()
            characters.append(char)
        raise JsonataError("S0101")

    def _escape(self) -> str:
        text = self._text
        char = text[self._position : self._position + 1]
        self._position += 1
        if char in _ESCAPES:
            return _ESCAPES[char]
        if char != "u":
            raise JsonataError("S0103", token=char)
        digits = text[self._position : self._position + 4]
        if not _HEX.fullmatch(digits):
            raise JsonataError("S0104")
        self._position += 4
        return chr(int(digits, 16))

    def _regex(self) -> Regex:
        """Read up to the slash that ends a regular expression: one outside of all brackets."""
        text = self._text
        start = self._position
        depth = 0
        escaped = False
        for position in range(start, len(text)):
            char = text[position]
            if char == "/" and depth == 0 and not escaped:
                if position == start:
                    raise JsonataError("S0301")
                end = position + 1
                while text[end : end + 1] in ("i", "m"):
                    end += 1
                flags = text[position + 1 : end]
                self._position = end
                return Regex(text[start:position], ignore_case="i" in flags, multiline="m" in flags)
            if text[position - 1] != "\\":
                depth += (char in "([{") - (char in ")]}")
            escaped = char == "\\" and not escaped
        raise JsonataError("S0302")
