"""Times written by a picture, such as ``[Y0001]-[M01]-[D01]``: those of XPath's ``format-dateTime``.

Times are milliseconds since the epoch, on the calendar that reaches before and after the years that Python's
`datetime` has.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

from harness.asl.jsonata.errors import JsonataError
from harness.asl.jsonata.integers import TITLE, UPPER, IntegerPicture
from harness.asl.jsonata.values import MISSING, number

__all__ = ["format_time", "from_millis", "parse_time", "to_millis"]

DAY: Final = 86_400_000
LARGEST: Final = 8_640_000_000_000_000
"""The last time there is, in milliseconds, as in JavaScript."""

_DAYS: Final = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_MONTHS: Final = [
    *("January", "February", "March", "April", "May", "June", "July", "August", "September", "October"),
    *("November", "December"),
]
_DEFAULTS: Final = {
    **dict.fromkeys("YMDdWwXxHhf", "1"),
    **dict.fromkeys("FPCE", "n"),
    **dict.fromkeys("ms", "01"),
    **dict.fromkeys("Zz", "01:01"),
}
_ISO: Final = "[Y0001]-[M01]-[D01]T[H01]:[m01]:[s01].[f001][Z01:01t]"


# The calendar ----------------------------------------------------------------------------------------------


class Moment(NamedTuple):
    """A time, taken apart."""

    year: int
    month: int
    day: int
    hour: int
    minute: int
    second: int
    millisecond: int


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1 January 1970; the month may be any number, the day too."""
    year += (month - 1) // 12
    month = (month - 1) % 12 + 1
    shifted = year - (month <= 2)
    era, year_of_era = divmod(shifted, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5
    return (
        era * 146_097
        + year_of_era * 365
        + year_of_era // 4
        - year_of_era // 100
        + day_of_year
        - 719_469
        + day
    )


def moment(millis: int) -> Moment:
    days, rest = divmod(millis, DAY)
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400 + (month <= 2)
    return Moment(year, month, day, rest // 3_600_000, rest // 60_000 % 60, rest // 1000 % 60, rest % 1000)


def _weekday(days: int) -> int:
    """1 for Monday to 7 for Sunday."""
    return (days + 3) % 7 + 1


def _first_week(year: int, month: int) -> int:
    """The day on which the first week of a month begins: the one that has its first Thursday."""
    first = days_from_civil(year, month, 1)
    weekday = _weekday(first)
    return first + 8 - weekday if weekday > 4 else first - weekday + 1


def _week(today: int, year: int, month: int, length: int, most: int) -> int:
    """The week of a day in a period of so many months, of which `most` are certain."""
    week = (today - _first_week(year, month)) // 7 + 1
    if week > most and today >= _first_week(year, month + length):
        return 1
    if week < 1:
        return (today - _first_week(year, month - length)) // 7 + 1
    return week


def _component(time: Moment, component: str) -> Any:
    """A part of a time, as a number or, for the half of the day, the calendar and the era, as a text."""
    today = days_from_civil(time.year, time.month, time.day)
    if component == "d":
        return today - days_from_civil(time.year, 1, 1) + 1
    if component == "F":
        return _weekday(today)
    if component == "W":
        return _week(today, time.year, 1, 12, 52)
    if component == "w":
        return _week(today, time.year, time.month, 1, 4)
    if component == "X":
        return time.year - (today < _first_week(time.year, 1)) + (today >= _first_week(time.year + 1, 1))
    if component == "x":
        before = today < _first_week(time.year, time.month)
        after = today >= _first_week(time.year, time.month + 1)
        return (time.month - before + after - 1) % 12 + 1
    if component == "h":
        return time.hour % 12 or 12
    if component == "P":
        return "pm" if time.hour >= 12 else "am"
    fields = {"Y": 0, "M": 1, "D": 2, "H": 3, "m": 4, "s": 5, "f": 6}
    return time[fields[component]] if component in fields else "ISO"


# Pictures --------------------------------------------------------------------------------------------------


@dataclass
class Marker:
    """A part of a picture in brackets.

    Attributes:
        component: Which part of the time.
        names: How its name is written (``upper``, ``lower``, ``title``); None for a number.
        integer: How the number is written.
        least: The smallest width; None if none is given.
        most: The largest.
        digits: Of a year, month or day: to how many digits it is cut; -1 for all.
        traditional: Whether the modifier ``t`` is given: ``Z`` for no offset.
    """

    component: str
    names: str | None = None
    integer: IntegerPicture | None = None
    least: int | None = None
    most: int | None = None
    digits: int = -1
    traditional: bool = False


@lru_cache(maxsize=256)
def _analyse(picture: str) -> tuple[str | Marker, ...]:
    """The literals and markers of a picture.

    Raises:
        JsonataError: It is malformed.
    """
    parts: list[str | Marker] = []
    start = position = 0
    while position < len(picture):
        if picture[position] != "[":
            position += 1
            continue
        if position > start:
            parts.append(picture[start:position].replace("]]", "]"))
        if picture.startswith("[[", position):
            parts.append("[")
            position += 2
        else:
            end = picture.find("]", position)
            if end < 0:
                raise JsonataError("D3135")
            parts.append(_marker(re.sub(r"\s+", "", picture[position + 1 : end])))
            position = end + 1
        start = position
    if start < len(picture):
        parts.append(picture[start:].replace("]]", "]"))
    return tuple(parts)


def _marker(text: str) -> Marker:
    marker = Marker(text[:1])
    presentation, comma, width = text[1:].rpartition(",")
    if not comma:
        presentation = text[1:]
    else:
        least, _, most = width.partition("-")
        marker.least, marker.most = _width(least), _width(most)
    modifier = ""
    if len(presentation) > 1 and presentation[-1] in "atco":
        presentation, modifier = presentation[:-1], presentation[-1]
    if not presentation:
        if marker.component not in _DEFAULTS:
            raise JsonataError("D3132", value=marker.component)
        presentation = _DEFAULTS[marker.component]
    marker.traditional = modifier == "t"
    if presentation[0] in "nN":
        marker.names = "lower" if presentation[0] == "n" else TITLE if presentation[1:2] == "n" else UPPER
    elif marker.component and marker.component in "YMDdFWwXxHhmsf":
        marker.integer = IntegerPicture.parse(f"{presentation};{modifier}" if modifier else presentation)
        _set_width(marker, marker.integer)
    if marker.component in ("Z", "z"):
        marker.integer = IntegerPicture.parse(presentation)
    return marker


def _width(text: str) -> int | None:
    match = re.match(r"\d+", text, re.ASCII)
    return min(int(match[0]), 1000) if match else None


def _set_width(marker: Marker, integer: IntegerPicture) -> None:
    if marker.least is not None and integer.mandatory < marker.least:
        integer.mandatory = marker.least
    if marker.component in "YMD":
        if marker.most is not None:
            marker.digits = integer.mandatory = marker.most
        elif integer.mandatory + integer.optional >= 2:
            marker.digits = integer.mandatory + integer.optional


# Writing ---------------------------------------------------------------------------------------------------


def format_time(millis: float, picture: Any = MISSING, zone: Any = MISSING) -> str:
    """A time as a picture has it.

    Args:
        millis: The time.
        picture: The picture; ISO 8601 if undefined.
        zone: The offset from UTC, such as ``+0100``.

    Raises:
        JsonataError: The picture is malformed, or does not go with the time.
    """
    match = re.match(r"\s*([-+]?\d+)", zone, re.ASCII) if zone is not MISSING else None
    offset = int(match[1][:6]) if match else 0
    hours, minutes = offset // 100, int(math.fmod(offset, 100))
    shifted = math.trunc(millis) + (60 * hours + minutes) * 60_000
    if not -LARGEST <= shifted <= LARGEST:
        raise JsonataError("D1001", value=millis)
    time = moment(shifted)
    parts = _analyse(_ISO if picture is MISSING else picture)
    return "".join(part if isinstance(part, str) else _written(time, part, hours, minutes) for part in parts)


def _written(time: Moment, marker: Marker, hours: int, minutes: int) -> str:
    component = marker.component
    if component in ("Z", "z"):
        return _offset(marker, hours, minutes)
    value = _component(time, component)
    if isinstance(value, str):
        return value.upper() if component == "P" and marker.names == UPPER else value
    if component == "Y" and marker.digits != -1:
        value = int(math.fmod(value, 10**marker.digits))
    if marker.names is None or component == "f":
        if marker.integer is None:
            raise JsonataError("D3133", value=component)
        return marker.integer.format(value)
    if component in ("M", "x"):
        name = _MONTHS[value - 1]
    elif component == "F":
        name = _DAYS[value - 1]
    else:
        raise JsonataError("D3133", value=component)
    if marker.names != TITLE:
        name = name.upper() if marker.names == UPPER else name.lower()
    return str(name[: marker.most])


def _offset(marker: Marker, hours: int, minutes: int) -> str:
    integer = marker.integer
    assert integer is not None
    offset = hours * 100 + minutes
    if offset == 0 and marker.traditional:
        return "Z"
    if integer.regular:
        text = integer.format(offset)
    elif integer.mandatory in (1, 2):
        text = integer.format(hours) + (f":{minutes:02d}" if minutes else "")
    elif integer.mandatory in (3, 4):
        text = integer.format(offset)
    else:
        raise JsonataError("D3134", value=integer.mandatory)
    return ("GMT" if marker.component == "z" else "") + ("+" if offset >= 0 else "") + text


def from_millis(_: Any, millis: Any, picture: Any = MISSING, zone: Any = MISSING) -> Any:
    """The function ``$fromMillis``."""
    return MISSING if millis is MISSING else format_time(millis, picture, zone)


# Reading ---------------------------------------------------------------------------------------------------

_TIMESTAMP: Final = re.compile(
    r"\d{4}(-[01]\d)*(-[0-3]\d)*(T[0-2]\d:[0-5]\d:[0-5]\d)*(\.\d+)?([+-][0-2]\d:?[0-5]\d|Z)?", re.ASCII
)
_DATE: Final = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?(?:T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?)?(?:Z|([+-])(\d\d):?(\d\d))?",
    re.ASCII,
)


def to_millis(evaluator: Any, text: Any, picture: Any = MISSING) -> Any:
    """The function ``$toMillis``."""
    if text is MISSING:
        return MISSING
    if picture is not MISSING:
        return parse_time(text, picture, evaluator.services.millis())
    if not _TIMESTAMP.fullmatch(text):
        raise JsonataError("D3110", value=text)
    match = _DATE.fullmatch(text)
    if match is None:
        return math.nan
    year, month, day, hour, minute, second = (
        int(part) if part else default
        for part, default in zip(match.groups()[:6], (0, 1, 1, 0, 0, 0), strict=True)
    )
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour <= 24) or (hour == 24 and (minute or second)):
        return math.nan
    if match[8] and match[4] is None:
        return math.nan
    millis = days_from_civil(year, month, day) * DAY + hour * 3_600_000 + minute * 60_000 + second * 1000
    millis += int((match[7] or "").ljust(3, "0")[:3])
    if match[8]:
        shift = int(match[9]) * 60 + int(match[10])
        millis -= (shift if match[8] == "+" else -shift) * 60_000
    return number(millis)


def parse_time(text: str, picture: str, now: int) -> Any:
    """The time that a text stands for; undefined if it does not look like the picture.

    Args:
        text: The text.
        picture: The picture.
        now: The time from which parts are taken that the picture leaves out.

    Raises:
        JsonataError: The picture is malformed, or too much is missing.
    """
    readers = [_reader(part) for part in _analyse(picture)]
    match = re.fullmatch("".join(f"({pattern})" for _, pattern, _ in readers), text, re.IGNORECASE | re.ASCII)
    if match is None:
        return MISSING
    found: dict[str, Any] = {
        component: read(match[index])
        for index, (component, _, read) in enumerate(readers, 1)
        if read is not None
    }
    if not found:
        return MISSING
    return _assembled(found, now)


Reader = tuple[str, str, Callable[[str], Any] | None]


def _reader(part: str | Marker) -> Reader:
    """(component, regular expression, what makes a number of a match) of a part of a picture."""
    if isinstance(part, str):
        return "", re.escape(part), None
    component, integer = part.component, part.integer
    if component in ("Z", "z"):
        assert integer is not None
        separator = integer.separators[0][1] if integer.regular else None
        pattern = ("GMT" if component == "z" else "") + "[-+][0-9]+"
        if separator is not None:
            pattern += re.escape(separator) + "[0-9]+"
        return component, pattern, lambda text: _read_offset(text.removeprefix("GMT"), separator)
    if integer is not None:
        return component, integer.pattern(part.digits if component in "YMD" else None), integer.read
    if component in ("M", "x"):
        names = {name[: part.most or None]: index for index, name in enumerate(_MONTHS, 1)}
    elif component == "F":
        names = {name[: part.most or None]: index for index, name in enumerate(_DAYS, 1)}
    elif component == "P":
        names = {"am": 0, "AM": 0, "pm": 1, "PM": 1}
    else:
        raise JsonataError("D3133", value=component)
    return component, "[a-zA-Z]+", names.get


def _read_offset(text: str, separator: str | None) -> int:
    """An offset in minutes."""
    if separator is not None:
        hours, _, minutes = text.partition(separator)
        return int(hours) * 60 + int(minutes)
    if len(text) <= 3:
        return int(text) * 60
    return int(text[:3]) * 60 + int(text[3:])


def _assembled(found: dict[str, Any], now: int) -> Any:
    dates = _type(found, "YXMxWwdD", 0b10100001, 0b10000010, 0b01010100, 0b01001000)
    times = _type(found, "PHhmsf", 0b010111, 0b101111)
    components = ("YMD", "YMD", "YD", "XxwF", "XWF")[dates + 1] + ("Hmsf", "Hmsf", "Phmsf")[times + 1]
    current = moment(now)
    started = ended = False
    for component in components:
        if found.get(component) is not None:
            started = True
            if ended:
                raise JsonataError("D3136")
        elif started:
            found[component] = 1 if component in "MDd" else 0
            ended = True
        else:
            found[component] = _component(current, component)
    if dates > 1:
        raise JsonataError("D3136")  # weeks cannot be read
    month = max(found.get("M") or 0, 1)
    day = found["D"]
    if dates == 1:
        month, day = 1, found.get("d", math.nan)
    hour = found.get("H")
    if times == 1:
        hour = (0 if found["h"] == 12 else found["h"]) + (12 if found["P"] == 1 else 0)
    values: tuple[Any, ...] = (found["Y"], month, day, hour, found["m"], found["s"], found["f"])
    if any(value is None or not math.isfinite(value) or abs(value) > 10**9 for value in values):
        return math.nan
    year, month, day, hour, minute, second, fraction = map(int, values)
    if 0 <= year <= 99:
        year += 1900
    days = days_from_civil(year, month, day)
    millis = days * DAY + hour * 3_600_000 + minute * 60_000 + second * 1000 + fraction
    return number(millis - (found.get("Z") or found.get("z") or 0) * 60_000)


def _type(found: dict[str, Any], components: str, *types: int) -> int:
    """Which of some sets of components the found ones belong to: they are all within it; -1 if to none.

    Args:
        found: The components.
        components: All that are looked at, from the highest bit to the lowest.
        types: The sets, as bits.
    """
    mask = 0
    for component in components:
        mask = mask << 1 | bool(found.get(component))
    return next((index for index, bits in enumerate(types) if mask & bits and not mask & ~bits), -1)
