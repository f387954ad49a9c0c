"""The two little languages inside a Dockerfile: variable substitution, and the shell of simple RUN steps."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["SyntaxProblem", "commands", "expand", "split_words"]

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class SyntaxProblem(ValueError):
    """Something that cannot be read, or is beyond what is supported; the text says what."""


def split_words(text: str, escape: str = "\\") -> list[str]:
    """Split at white space outside quotes. Quotes and escapes stay in the words, for `expand`.

    Raises:
        SyntaxProblem: A quote is not closed.
    """
    words: list[str] = []
    word = ""
    quote = ""
    characters = iter(text)
    for character in characters:
        if character.isspace() and not quote:
            if word:
                words.append(word)
            word = ""
            continue
        word += character
        if quote:
            if character == quote:
                quote = ""
            elif character == escape and quote == '"':
                word += next(characters, "")
        elif character in "\"'":
            quote = character
        elif character == escape:
            word += next(characters, "")
    if quote:
        raise SyntaxProblem(f"a quote is not closed: {text}")
    return [*words, word] if word else words


def expand(text: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """Substitute variables and remove quotes and escapes, as Docker does in an instruction's words.

    ``$NAME``, ``${NAME}``, ``${NAME:-word}`` and ``${NAME:+word}``; without the colon an empty variable
    counts as set. An unset variable is empty.

    Raises:
        SyntaxProblem: A quote or brace is not closed, or the form is another one.
    """
    return _Expansion(text, variables, escape).run()


class _Expansion:
    def __init__(self, text: str, variables: Mapping[str, str], escape: str) -> None:
        self._text = text
        self._variables = variables
        self._escape = escape
        self._at = 0

    def run(self, end: str = "") -> str:
        """Expand up to the character `end`, or to the end of the text."""
        result = ""
        quote = ""
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == end and not quote:
                return result
            self._at += 1
            if character == "'" and quote != '"':
                quote = "" if quote else "'"
            elif character == '"' and quote != "'":
                quote = "" if quote else '"'
            elif character == self._escape and quote != "'":
                following = self._text[self._at : self._at + 1]
                self._at += 1
                # Inside double quotes a backslash is itself, unless it takes away a special meaning.
                plain = quote == '"' and following not in ('"', "$", self._escape)
                result += self._escape + following if plain else following
            elif character == "$" and quote != "'":
                result += self._variable()
            else:
                result += character
        if quote or end:
            raise SyntaxProblem(f"a {'quote' if quote else 'brace'} is not closed: {self._text}")
        return result

    def _variable(self) -> str:
        if self._text[self._at : self._at + 1] != "{":
            match = NAME.match(self._text, self._at)
            if match is None:
                return "$"
            self._at = match.end()
            return self._variables.get(match[0], "")
        match = NAME.match(self._text, self._at + 1)
        if match is None:
            raise SyntaxProblem(f"not a variable: {self._text[self._at - 1 :]}")
        self._at = match.end()
        value = self._variables.get(match[0])
        operator = re.compile(r":?[-+]|(?=\})").match(self._text, self._at)
        if operator is None:
            raise SyntaxProblem(
                f"${{{match[0]}...}}: only ${{NAME}}, ${{NAME:-word}} and ${{NAME:+word}} are supported"
            )
        self._at = operator.end()
        word = self.run("}") if operator[0] else ""
        self._at += 1
        present = value is not None and (value != "" or not operator[0].startswith(":"))
        if operator[0].endswith("+"):
            return word if present else ""
        return (value or "") if present or not operator[0] else word


def commands(text: str, variables: Mapping[str, str]) -> list[list[str]]:
    """Take apart a shell line made of simple commands joined by ``&&``, ``;`` or line ends.

    Returns:
        The words of each command, with variables substituted. Assignments in front are left out.

    Raises:
        SyntaxProblem: It uses more of the shell than that; the text says what.
    """
    found: list[list[str]] = [[]]
    for token in _tokens(text):
        if token in ("&&", ";"):
            found.append([])
        else:
            found[-1].append(_shell_word(token, variables))
    return [words for words in map(_without_assignments, found) if words]


def _tokens(text: str) -> list[str]:
    """Words, quotes included, and operators."""
    tokens: list[str] = []
    at = 0
    pattern = re.compile(
        r"""(?P<space>[ \t]+)
        | (?P<comment>\#[^\n]*)
        | (?P<join>&&|;|\n)
        | (?P<word>(?: [^\s;&|<>()`"'\\$] | \$(?!\() | \\. | '[^']*' | "(?: [^"\\`] | \\. )*" )+)
        """,
        re.VERBOSE | re.DOTALL,
    )
    while at < len(text):
        match = pattern.match(text, at)
        if match is None:
            operator = re.compile(r"\$\(|\|\||<+|>+|.", re.DOTALL).match(text, at)
            assert operator is not None
            raise SyntaxProblem(f"the shell's {operator[0].replace('$(', '$(...)')}")
        at = match.end()
        if match.lastgroup == "join":
            tokens.append("&&" if match[0] == "&&" else ";")
        elif match.lastgroup == "word":
            if "$(" in match[0] and not match[0].startswith("'"):
                raise SyntaxProblem("the shell's $(...)")
            tokens.append(match[0])
    return tokens


def _shell_word(token: str, variables: Mapping[str, str]) -> str:
    word = expand(token, variables)
    return f"/root{word[1:]}" if token == "~" or token.startswith("~/") else word


def _without_assignments(words: list[str]) -> list[str]:
    position = 0
    while position < len(words) and re.match(r"[A-Za-z_][A-Za-z0-9_]*=", words[position]):
        position += 1
    return words[position:]
