"""The function ``$formatNumber``: numbers written by a picture such as ``#,##0.00``, those of XPath's
``format-number``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from harness.asl.jsonata.errors import InternalError, JsonataError
from harness.asl.jsonata.integers import regular_grouping
from harness.asl.jsonata.numbers import round_half_even
from harness.asl.jsonata.values import MISSING

__all__ = ["format_number"]

_SYMBOLS: Final = {
    "decimal-separator": ".",
    "grouping-separator": ",",
    "exponent-separator": "e",
    "minus-sign": "-",
    "percent": "%",
    "per-mille": "‰",
    "zero-digit": "0",
    "digit": "#",
    "pattern-separator": ";",
}
_LARGEST_EXPONENT: Final = 700


class _Format:
    """The characters that mean something in pictures."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        symbols = _SYMBOLS | {name: value for name, value in options.items() if isinstance(value, str)}
        self.decimal = symbols["decimal-separator"]
        self.grouping = symbols["grouping-separator"]
        self.exponent = symbols["exponent-separator"]
        self.minus = symbols["minus-sign"]
        self.percent = symbols["percent"]
        self.per_mille = symbols["per-mille"]
        self.optional = symbols["digit"]
        self.pattern = symbols["pattern-separator"]
        zero = ord(symbols["zero-digit"][:1] or "0")
        self.digits = "".join(map(chr, range(zero, zero + 10)))
        self.active = {*self.digits, self.decimal, self.exponent, self.grouping, self.optional, self.pattern}

    def count(self, text: str, *, optional: bool = False) -> int:
        """How many digits a text has."""
        return sum(char in self.digits or (optional and char == self.optional) for char in text)


@dataclass
class _Picture:
    """A sub-picture, taken apart.

    Attributes:
        text: As written.
        prefix: What comes before everything active.
        suffix: What comes after.
        active: What is between.
        mantissa: The number.
        whole: Its part before the decimal separator.
        fraction: Its part after.
        exponent: What follows the exponent separator; None without one.
    """

    text: str
    prefix: str
    suffix: str
    active: str
    mantissa: str
    whole: str
    fraction: str
    exponent: str | None

    @classmethod
    def split(cls, text: str, form: _Format) -> _Picture:
        places = [index for index, char in enumerate(text) if char in form.active and char != form.exponent]
        if not places:
            raise JsonataError("D3086" if text else "D3085")
        prefix, suffix = text[: places[0]], text[places[-1] + 1 :]
        active = text[places[0] : places[-1] + 1]
        mantissa, exponent = active, None
        position = text.find(form.exponent, places[0])
        if position != -1 and position <= len(text) - len(suffix):
            mantissa, exponent = active[:position], active[position + 1 :]
        whole, point, fraction = mantissa.partition(form.decimal)
        return cls(text, prefix, suffix, active, mantissa, whole, fraction if point else suffix, exponent)

    def check(self, form: _Format) -> None:
        """Raises the error of the last rule that is broken, as the reference implementation does."""
        text = self.text
        broken = ""
        for code, char in (("D3081", form.decimal), ("D3082", form.percent), ("D3083", form.per_mille)):
            if text.count(char) > 1:
                broken = code
        scaled = form.percent in text or form.per_mille in text
        if form.percent in text and form.per_mille in text:
            broken = "D3084"
        if not form.count(self.mantissa, optional=True):
            broken = "D3085"
        if any(char not in form.active for char in self.active):
            broken = "D3086"
        point = text.find(form.decimal)
        if point != -1:
            if (
                text[max(point - 1, 0) : point] == form.grouping
                or text[point + 1 : point + 2] == form.grouping
            ):
                broken = "D3087"
        elif self.whole.endswith(form.grouping):
            broken = "D3088"
        if form.grouping * 2 in text:
            broken = "D3089"
        if form.count(self.whole.partition(form.optional)[0]) and form.optional in self.whole:
            broken = "D3090"
        if form.optional in self.fraction and form.count(self.fraction.rpartition(form.optional)[2]):
            broken = "D3091"
        if self.exponent is not None:
            if self.exponent and scaled:
                broken = "D3092"
            if not self.exponent or any(char not in form.digits for char in self.exponent):
                broken = "D3093"
        if broken:
            raise JsonataError(broken)


@dataclass
class _Layout:
    """How a number is laid out.

    Attributes:
        picture: The sub-picture.
        prefix: What is written before the number.
        groups: Distances of the separators from the decimal separator, to the left.
        fraction_groups: The same to the right.
        least_whole: Digits before the decimal separator, at least.
        scale: Digits before it in a number with an exponent.
        least_fraction: Digits after it, at least.
        most_fraction: Digits after it, at most.
        least_exponent: Digits of the exponent, at least; 0 for none.
    """

    picture: _Picture
    prefix: str
    groups: list[int]
    fraction_groups: list[int]
    least_whole: int
    scale: int
    least_fraction: int
    most_fraction: int
    least_exponent: int

    @classmethod
    def of(cls, picture: _Picture, form: _Format) -> _Layout:
        least_whole = scale = form.count(picture.whole)
        least_fraction = form.count(picture.fraction)
        most_fraction = form.count(picture.fraction, optional=True)
        has_exponent = picture.exponent is not None
        if least_whole == 0 and most_fraction == 0:
            if has_exponent:
                least_fraction = most_fraction = 1
            else:
                least_whole = 1
        if has_exponent and least_whole == 0 and form.optional in picture.whole:
            least_whole = 1
        if least_whole == 0 and least_fraction == 0:
            least_fraction = 1
        return cls(
            picture,
            picture.prefix,
            _distances(picture.whole, picture, form, left=False),
            _distances(picture.fraction, picture, form, left=True),
            least_whole,
            scale,
            least_fraction,
            most_fraction,
            form.count(picture.exponent or ""),
        )

    def write(self, value: float, form: _Format) -> str:
        text = self.picture.text
        if form.percent in text:
            value *= 100
        elif form.per_mille in text:
            value *= 1000
        exponent = 0
        if self.least_exponent:
            value, exponent = self._scaled(value)
        digits = _fixed(abs(round_half_even(value, self.most_fraction)), self.most_fraction)
        whole, _, fraction = digits.partition(".")
        whole = whole.lstrip("0").rjust(self.least_whole, "0")
        fraction = fraction.rstrip("0").ljust(self.least_fraction, "0")
        result = self._grouped(_translated(whole, form), form)
        if form.decimal in text and fraction:
            result += form.decimal + self._grouped_fraction(_translated(fraction, form), form)
        if self.least_exponent:
            result += form.exponent + (form.minus if exponent < 0 else "")
            result += _translated(str(abs(exponent)).rjust(self.least_exponent, "0"), form)
        return self.prefix + result + self.picture.suffix

    def _scaled(self, value: float) -> tuple[float, int]:
        """(mantissa, exponent) of a number."""
        exponent = 0
        least, most = 10.0 ** (self.scale - 1), 10.0**self.scale
        while value < least and exponent > -_LARGEST_EXPONENT:
            value *= 10
            exponent -= 1
        while value > most and exponent < _LARGEST_EXPONENT:
            value /= 10
            exponent += 1
        return value, exponent

    def _grouped(self, whole: str, form: _Format) -> str:
        step = regular_grouping(self.groups)
        end = len(whole)
        if step:
            for place in range((end - 1) // step * step, 0, -step):
                whole = whole[: len(whole) - place] + form.grouping + whole[len(whole) - place :]
                end += 1
            return whole
        for place in self.groups:
            cut = max(end - place, 0)
            whole = whole[:cut] + form.grouping + whole[cut:]
            end += 1
        return whole

    def _grouped_fraction(self, fraction: str, form: _Format) -> str:
        for place in self.fraction_groups:
            fraction = fraction[:place] + form.grouping + fraction[place:]
        return fraction


def _distances(part: str, picture: _Picture, form: _Format, *, left: bool) -> list[int]:
    """The digits between every grouping separator and the decimal separator."""
    distances = []
    position = part.find(form.grouping)
    while position != -1:
        distances.append(form.count(part[:position] if left else part[position:], optional=True))
        position = picture.whole.find(form.grouping, position + 1)
    return distances


def _fixed(value: float, places: int) -> str:
    return f"{Decimal(value):.{places}f}" if math.isfinite(value) else "0"


def _translated(digits: str, form: _Format) -> str:
    return "".join(form.digits[ord(digit) - 0x30] for digit in digits)


def format_number(evaluator: Any, value: Any, picture: Any, options: Any = MISSING) -> Any:
    """The function ``$formatNumber``.

    Raises:
        InternalError: The picture is undefined.
        JsonataError: It breaks a rule.
    """
    if value is MISSING:
        return MISSING
    if picture is MISSING:
        raise InternalError
    evaluator.budget.work(16 * len(picture))
    form = _Format(options if isinstance(options, dict) else {})
    texts = picture.split(form.pattern) if form.pattern else [picture]
    if len(texts) > 2:
        raise JsonataError("D3080")
    pictures = [_Picture.split(text, form) for text in texts]
    for part in pictures:
        part.check(form)
    layouts = [_Layout.of(part, form) for part in pictures]
    if value >= 0:
        return layouts[0].write(value, form)
    layout = layouts[-1]
    if len(layouts) == 1:
        layout.prefix = form.minus + layout.prefix
    return layout.write(value, form)
