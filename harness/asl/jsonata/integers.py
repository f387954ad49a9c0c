"""Integers written by a picture: digits with separators, Roman numerals, letters, English words.

The pictures are those of XPath's ``format-integer``: ``#,##0``, ``001``, ``I``, ``a``, ``Ww``, ``1;o``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Final

from harness.asl.jsonata.errors import InternalError, JsonataError
from harness.asl.jsonata.values import MISSING, number, number_text

__all__ = ["IntegerPicture", "format_integer", "parse_integer", "regular_grouping"]

DECIMAL, LETTERS, ROMAN, WORDS, SEQUENCE = "decimal", "letters", "roman", "words", "sequence"
UPPER, LOWER, TITLE = "upper", "lower", "title"

_FEW: Final = [
    *("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven"),
    *("Twelve", "Thirteen", "Fourteen", "Fifteen", "Sixteen", "Seventeen", "Eighteen", "Nineteen"),
]
_ORDINALS: Final = [
    *("Zeroth", "First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Eighth", "Ninth"),
    *("Tenth", "Eleventh", "Twelfth", "Thirteenth", "Fourteenth", "Fifteenth", "Sixteenth", "Seventeenth"),
    *("Eighteenth", "Nineteenth"),
]
_DECADES: Final = ["Twenty", "Thirty", "Forty", "Fifty", "Sixty", "Seventy", "Eighty", "Ninety", "Hundred"]
_MAGNITUDES: Final = ["Thousand", "Million", "Billion", "Trillion"]
_NUMERALS: Final = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl")),
    *((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)
_ROMAN: Final = {"M": 1000, "D": 500, "C": 100, "L": 50, "X": 10, "V": 5, "I": 1}
_ZEROS: Final = (
    *(0x30, 0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66),
    *(0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50),
    *(0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10),
)


def _word_values() -> dict[str, int]:
    values = {word.lower(): index for words in (_FEW, _ORDINALS) for index, word in enumerate(words)}
    for index, word in enumerate(_DECADES):
        values[word.lower()] = values[f"{word.lower()[:-1]}ieth"] = (index + 2) * 10
    values["hundredth"] = 100
    for index, word in enumerate(_MAGNITUDES):
        values[word.lower()] = values[f"{word.lower()}th"] = 1000 ** (index + 1)
    return values


WORD_VALUES: Final = _word_values()


@dataclass
class IntegerPicture:
    """An analysed picture.

    Attributes:
        primary: ``decimal``, ``letters``, ``roman``, ``words``, or ``sequence`` for what is not supported.
        case: Of letters, Roman numerals and words.
        ordinal: Whether it is first, second, third rather than one, two, three.
        zero: Code point of the digit zero.
        mandatory: Number of digits there are at least.
        optional: Number of further places.
        regular: Distance of the separators where it is always the same; 0 otherwise.
        separators: (digits to the right, character), from right to left; of a regular picture the first.
        token: The picture.
    """

    primary: str = DECIMAL
    case: str = LOWER
    ordinal: bool = False
    zero: int = 0x30
    mandatory: int = 0
    optional: int = 0
    regular: int = 0
    separators: list[tuple[int, str]] = field(default_factory=list)
    token: str = ""

    @classmethod
    def parse(cls, text: Any) -> IntegerPicture:
        """Analyse a picture.

        Raises:
            InternalError: It is undefined.
            JsonataError: It mixes digits of several scripts.
        """
        if text is MISSING:
            raise InternalError
        token, semicolon, modifier = text.rpartition(";")
        token = token if semicolon else text
        picture = cls(token=token, ordinal=bool(semicolon) and modifier[:1] == "o")
        if token in ("A", "a", "I", "i", "W", "w", "Ww"):
            picture.primary = {"A": LETTERS, "I": ROMAN, "W": WORDS}[token[0].upper()]
            picture.case = TITLE if token == "Ww" else UPPER if token.isupper() else LOWER
            return picture
        picture._analyse_digits(token)
        return picture

    def _analyse_digits(self, token: str) -> None:
        zero: int | None = None
        position = 0
        for char in reversed(token):
            code = ord(char)
            group = next((start for start in _ZEROS if start <= code <= start + 9), None)
            if group is not None:
                if zero is not None and zero != group:
                    raise JsonataError("D3131")
                zero = group
                self.mandatory += 1
                position += 1
            elif char == "#":
                self.optional += 1
                position += 1
            else:
                self.separators.append((position, char))
        if zero is None:
            self.primary = SEQUENCE
            return
        self.zero = zero
        if len({char for _, char in self.separators}) == 1:
            self.regular = regular_grouping([place for place, _ in self.separators])

    def format(self, value: float) -> str:
        """Write a whole number.

        Raises:
            JsonataError: The picture is not supported.
        """
        if self.primary == SEQUENCE:
            raise JsonataError("D3130", value=self.token)
        size = abs(value)
        if self.primary == LETTERS:
            text = _letters(int(size), "A" if self.case == UPPER else "a")
        elif self.primary == ROMAN:
            text = _roman(int(size))
            text = text.upper() if self.case == UPPER else text
        elif self.primary == WORDS:
            text = _words(int(size), ordinal=self.ordinal)
            text = text.upper() if self.case == UPPER else text.lower() if self.case == LOWER else text
        else:
            text = self._digits(size)
        return f"-{text}" if value < 0 else text

    def _digits(self, size: float) -> str:
        text = number_text(size).rjust(self.mandatory, "0")
        if self.zero != 0x30:
            text = "".join(chr(ord(char) + self.zero - 0x30) for char in text)
        if self.regular:
            _, char = self.separators[0]
            places = range((len(text) - 1) // self.regular, 0, -1)
            separators = [(place * self.regular, char) for place in places]
        else:
            separators = self.separators[::-1]
        for place, char in separators:
            cut = max(len(text) - place, 0)
            text = text[:cut] + char + text[cut:]
        if self.ordinal:
            teen = len(text) > 1 and text[-2] == "1"
            text += "th" if teen else {"1": "st", "2": "nd", "3": "rd"}.get(text[-1], "th")
        return text

    def pattern(self, digits: int | None) -> str:
        """A regular expression of what the picture writes.

        Args:
            digits: How many digits there are at most; None for any number.

        Raises:
            JsonataError: The picture is not supported.
        """
        if self.primary == SEQUENCE:
            raise JsonataError("D3130", value=self.token)
        if self.primary == LETTERS:
            return "[A-Z]+" if self.case == UPPER else "[a-z]+"
        if self.primary == ROMAN:
            return "[MDCLXVI]+" if self.case == UPPER else "[mdclxvi]+"
        if self.primary == WORDS:
            return f"(?:{'|'.join((*WORD_VALUES, 'and', '[-, ]'))})+"
        count = "+"
        if digits is not None and digits > 0:
            least = digits - self.optional
            count = f"{{{least},{digits}}}" if self.optional and least >= 0 else f"{{{digits}}}"
        return f"[0-9]{count}" + ("(?:th|st|nd|rd)" if self.ordinal else "")

    def read(self, text: str) -> float:
        """The number that a text stands for; NaN if it stands for none.

        Raises:
            JsonataError: The picture is not supported.
        """
        if self.primary == SEQUENCE:
            raise JsonataError("D3130", value=self.token)
        if self.primary == LETTERS:
            base = ord("A" if self.case == UPPER else "a")
            total = 0
            for char in text:
                total = total * 26 + ord(char) - base + 1
            return number(total)
        if self.primary == ROMAN:
            return _read_roman(text if self.case == UPPER else text.upper())
        if self.primary == WORDS:
            return _read_words(text.lower())
        digits = text[:-2] if self.ordinal else text
        for char in [","] if self.regular else [char for _, char in self.separators]:
            digits = digits.replace(char, "")
        digits = "".join(chr(max(ord(char) - self.zero + 0x30, 0)) for char in digits)
        match = re.match(r"\s*([-+]?[0-9]+)", digits, re.ASCII)
        return number(float(match[1])) if match else math.nan


def regular_grouping(places: list[int]) -> int:
    """The distance of separators that stand at multiples of it, without a gap; 0 if there is none."""
    if not places:
        return 0
    factor = reduce(math.gcd, places)
    if factor == 0:
        return 0
    return factor if all(index * factor in places for index in range(1, len(places) + 1)) else 0


def format_integer(_: Any, value: Any, picture: Any) -> Any:
    """The function ``$formatInteger``."""
    if value is MISSING:
        return MISSING
    return IntegerPicture.parse(picture).format(number(math.floor(value)))


def parse_integer(_: Any, text: Any, picture: Any) -> Any:
    """The function ``$parseInteger``."""
    return MISSING if text is MISSING else IntegerPicture.parse(picture).read(text)


def _words(value: int, *, after: bool = False, ordinal: bool = False) -> str:
    """A number in English words.

    Args:
        value: The number.
        after: Whether hundreds or more come before it.
        ordinal: Whether it is an ordinal.
    """
    if value <= 19:
        return (" and " if after else "") + (_ORDINALS if ordinal else _FEW)[value]
    if value < 100:
        tens, rest = divmod(value, 10)
        words = (" and " if after else "") + _DECADES[tens - 2]
        if rest:
            return f"{words}-{_words(rest, ordinal=ordinal)}"
        return f"{words[:-1]}ieth" if ordinal else words
    if value < 1000:
        hundreds, rest = divmod(value, 100)
        words = (", " if after else "") + _FEW[hundreds] + " Hundred"
    else:
        magnitude = min((len(str(value)) - 1) // 3, len(_MAGNITUDES))
        front, rest = divmod(value, 1000**magnitude)
        words = (", " if after else "") + _words(front) + " " + _MAGNITUDES[magnitude - 1]
    if rest:
        return words + _words(rest, after=True, ordinal=ordinal)
    return f"{words}th" if ordinal else words


def _read_words(text: str) -> float:
    segments: list[float] = [0]
    for word in re.split(r",\s|\sand\s|[\s\\-]", text):
        value = WORD_VALUES.get(word)
        if value is None:
            return math.nan
        if value < 100:
            top = segments.pop()
            if top >= 1000:
                segments.append(top)
                top = 0
            segments.append(top + value)
        else:
            segments.append(segments.pop() * value)
    return number(sum(segments))


def _roman(value: int) -> str:
    # Beyond any number that is written so in earnest, the M's alone would fill the memory.
    if value > 1_000_000:
        raise JsonataError("D1001", value=value)
    parts = []
    for size, numeral in _NUMERALS:
        count, value = divmod(value, size)
        parts.append(numeral * count)
    return "".join(parts)


def _read_roman(text: str) -> float:
    total = 0
    most = 1
    for char in reversed(text):
        value = _ROMAN.get(char)
        if value is None:
            return math.nan
        if value < most:
            total -= value
        else:
            most = value
            total += value
    return total


def _letters(value: int, first: str) -> str:
    letters = []
    while value > 0:
        value, letter = divmod(value - 1, 26)
        letters.append(chr(ord(first) + letter))
    return "".join(reversed(letters))
