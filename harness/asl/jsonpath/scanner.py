"""Reading paths and intrinsic function calls character by character."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["PathSyntaxError", "Scanner"]


class PathSyntaxError(ValueError):
    """A path or an intrinsic function call is malformed."""


class Scanner:
    """A text and a position in it. Beyond the end there is the empty string."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def error(self, message: str) -> PathSyntaxError:
        return PathSyntaxError(f"{message} at character {self.position + 1} of {self.text}")

    def at_end(self) -> bool:
        return self.position >= len(self.text)

    def peek(self) -> str:
        """The next character, not consumed."""
        return self.text[self.position : self.position + 1]

    def take(self, token: str) -> bool:
        """Consume `token` if it comes next."""
        if self.text.startswith(token, self.position):
            self.position += len(token)
            return True
        return False

    def expect(self, token: str) -> None:
        """Consume `token`.

        Raises:
            PathSyntaxError: Something else comes next.
        """
        if not self.take(token):
            raise self.error(f"expected '{token}'")

    def take_while(self, accept: Callable[[str], bool]) -> str:
        start = self.position
        while self.position < len(self.text) and accept(self.text[self.position]):
            self.position += 1
        return self.text[start : self.position]

    def skip_space(self) -> None:
        self.take_while(str.isspace)

    def integer(self) -> int | None:
        """Consume an optionally negative integer, if one comes next."""
        start = self.position
        self.take("-")
        digits = self.take_while(lambda char: char.isascii() and char.isdigit())
        if not digits:
            self.position = start
            return None
        if len(digits) > 18:
            raise self.error("the number is too large")
        return int(self.text[start : self.position])

    def quoted(self) -> str:
        """Consume a property name in single or double quotes.

        A backslash escapes only the quote that encloses the name and itself before that quote; elsewhere it
        stands for itself (recorded case ``ESCAPE_SEQUENCES_JSONPATH``).

        Raises:
            PathSyntaxError: There is none, or it does not end.
        """
        quote = self.peek()
        if quote not in ("'", '"'):
            raise self.error("expected a quoted name")
        self.position += 1
        characters: list[str] = []
        while not self.at_end():
            char = self.peek()
            self.position += 1
            if char == quote:
                return "".join(characters)
            if char == "\\" and self.peek() in (quote, "\\"):
                char = self.peek()
                self.position += 1
            characters.append(char)
        raise self.error(f"expected '{quote}'")
