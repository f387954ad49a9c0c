"""Functions on strings. Every function takes the evaluator first; undefined is `MISSING`."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from harness.asl.jsonata.calls import Calls
from harness.asl.jsonata.errors import Failure, InternalError, JsonataError
from harness.asl.jsonata.operators import string as text_of
from harness.asl.jsonata.values import MISSING, Array, Function, Object, sequence

__all__ = [
    "base64decode",
    "base64encode",
    "contains",
    "decode_url",
    "encode_url",
    "join",
    "length",
    "lowercase",
    "match",
    "pad",
    "replace",
    "split",
    "string",
    "substring",
    "substring_after",
    "substring_before",
    "trim",
    "uppercase",
]


def string(evaluator: Calls, value: Any, pretty: Any = MISSING) -> Any:
    return MISSING if value is MISSING else text_of(evaluator.budget, value, pretty=pretty is True)


def substring(_: Calls, text: Any, start: Any, length: Any = MISSING) -> Any:
    if text is MISSING:
        return MISSING
    if start is MISSING:
        return text if length is MISSING else ""
    start = max(start, -len(text))
    if length is MISSING:
        return text[math.trunc(start) :]
    if length <= 0:
        return ""
    first = start if start >= 0 else len(text) + start
    return text[math.trunc(first) : math.trunc(min(first + length, len(text)))]


def substring_before(_: Calls, text: Any, part: Any) -> Any:
    if text is MISSING:
        return MISSING
    part = _word(part)
    return text.partition(part)[0] if part else ""


def substring_after(_: Calls, text: Any, part: Any) -> Any:
    if text is MISSING:
        return MISSING
    part = _word(part)
    return text.partition(part)[2] if part and part in text else text


def _word(part: Any) -> str:
    """A string, as JavaScript looks for it."""
    return part if isinstance(part, str) else "undefined"


def lowercase(_: Calls, text: Any) -> Any:
    return MISSING if text is MISSING else text.lower()


def uppercase(_: Calls, text: Any) -> Any:
    return MISSING if text is MISSING else text.upper()


def length(_: Calls, text: Any) -> Any:
    return MISSING if text is MISSING else len(text)


def trim(_: Calls, text: Any) -> Any:
    if text is MISSING:
        return MISSING
    return re.sub(r"[ \t\n\r]+", " ", text).strip(" ")


def pad(evaluator: Calls, text: Any, width: Any, filler: Any = MISSING) -> Any:
    if text is MISSING or width is MISSING or not math.isfinite(width):
        return text
    if filler is MISSING or not filler:
        filler = " "
    missing = math.ceil(abs(width)) - len(text)
    if missing <= 0:
        return text
    if not float(width).is_integer():
        raise Failure("Invalid array length")
    evaluator.budget.reserve(missing + len(text))
    padding = (filler * (missing // len(filler) + 1))[:missing]
    return text + padding if width > 0 else padding + text


def _matches(evaluator: Calls, matcher: Any, text: str) -> Iterator[dict[str, Any]]:
    """What a matcher function finds in a text, one after the other; see `Matcher`.

    Raises:
        InternalError: It gives something else than matches.
        JsonataError: It gives something that does not even look like one.
    """
    found = evaluator.apply(matcher, [text])
    while found is not MISSING:
        if not isinstance(found, dict) or not {"start", "groups", "next"} & found.keys():
            raise JsonataError("T1010") if found else InternalError
        if not (
            type(found.get("start")) is type(found.get("end")) is int
            and isinstance(found.get("match"), str)
            and isinstance(found.get("groups"), list)
        ):
            raise InternalError
        yield found
        found = evaluator.apply(found.get("next", MISSING), [])


def contains(evaluator: Calls, text: Any, part: Any) -> Any:
    if text is MISSING:
        return MISSING
    if isinstance(part, str):
        return part in text
    return next(_matches(evaluator, part, text), MISSING) is not MISSING


def match(evaluator: Calls, text: Any, matcher: Any, limit: Any = MISSING) -> Any:
    if text is MISSING:
        return MISSING
    if limit is not MISSING and limit < 0:
        raise JsonataError("D3040", value=limit, index=3)
    result = sequence()
    if limit == 0:
        return result
    for found in _matches(evaluator, matcher, text):
        result.append(
            Object(
                {
                    "match": found["match"],
                    "index": found["start"],
                    "groups": found["groups"],
                }
            )
        )
        if limit is not MISSING and len(result) >= limit:
            break
    return evaluator.budget.keep(result)


def replace(evaluator: Calls, text: Any, pattern: Any, replacement: Any, limit: Any = MISSING) -> Any:
    if text is MISSING:
        return MISSING
    if pattern == "":
        raise JsonataError("D3010", value=pattern, index=2)
    if limit is not MISSING and limit < 0:
        raise JsonataError("D3011", value=limit, index=4)
    most = math.inf if limit is MISSING else limit
    if isinstance(pattern, str):
        if isinstance(replacement, Function):
            raise InternalError
        replacement = _word(replacement)
        count = min(text.count(pattern), math.ceil(min(most, len(text))))
        evaluator.budget.work(len(text))
        evaluator.budget.reserve(len(text) + count * len(replacement))
        return text.replace(pattern, replacement, count)
    if most <= 0:
        return text
    parts: list[str] = []
    position = size = 0
    for count, found in enumerate(_matches(evaluator, pattern, text), 1):
        if isinstance(replacement, str):
            substitute = _expand(replacement, found)
        else:
            substitute = evaluator.apply(replacement, [found])
        if not isinstance(substitute, str):
            raise JsonataError("D3012", value=substitute)
        size = evaluator.budget.add(size, substitute)
        parts += (text[position : found["start"]], substitute)
        position = found["start"] + len(found["match"])
        if count >= most:
            break
    result = "".join(parts) + text[position:]
    evaluator.budget.reserve(len(result))
    return result


_REFERENCE = re.compile(r"\$(\$|0|[0-9]*)")


def _expand(template: str, found: Any) -> str:
    """Fill in ``$0``, ``$1`` and so on; ``$$`` is a dollar sign. A number has as many digits as the highest
    group needs, or one less if there is no such group."""
    groups = found["groups"]
    most = len(str(len(groups))) if groups else 1

    def fill(match: re.Match[str]) -> str:
        reference = match[1]
        if reference == "$":
            return "$"
        if reference[:1] == "0":
            return str(found["match"]) + reference[1:]
        digits = reference[:most]
        if not digits:
            return "$"
        if most > 1 and int(digits) > len(groups):
            digits = digits[:-1]
        index = int(digits)
        group = groups[index - 1] if 0 < index <= len(groups) else MISSING
        return ("" if group is MISSING else str(group)) + reference[len(str(index)) :]

    return _REFERENCE.sub(fill, template)


def split(evaluator: Calls, text: Any, separator: Any, limit: Any = MISSING) -> Any:
    if text is MISSING:
        return MISSING
    if limit is not MISSING and limit < 0:
        raise JsonataError("D3020", value=limit, index=3)
    most = len(text) + 2 if limit is MISSING else limit
    evaluator.budget.work(len(text))
    if isinstance(separator, str):
        parts = text.split(separator) if separator else list(text)
        return evaluator.budget.keep(Array(parts[: math.trunc(most)]))
    result = Array()
    if limit is not MISSING and limit <= 0:
        return result
    position = 0
    for found in _matches(evaluator, separator, text):
        result.append(text[position : found["start"]])
        position = found["end"]
        if len(result) >= most:
            return evaluator.budget.keep(result)
    result.append(text[position:])
    return evaluator.budget.keep(result)


def join(evaluator: Calls, parts: Any, separator: Any = MISSING) -> Any:
    if parts is MISSING:
        return MISSING
    between = "" if separator is MISSING else separator
    evaluator.budget.work(len(parts))
    evaluator.budget.reserve(sum(map(len, parts)) + len(between) * len(parts))
    return between.join(parts)


# Encodings -------------------------------------------------------------------------------------------------


def base64encode(evaluator: Calls, text: Any) -> Any:
    if text is MISSING:
        return MISSING
    evaluator.budget.reserve(2 * len(text))
    # Like JavaScript's btoa: one byte a character.
    return base64.b64encode(bytes(ord(char) & 0xFF for char in text)).decode()


def base64decode(evaluator: Calls, text: Any) -> Any:
    if text is MISSING:
        return MISSING
    evaluator.budget.reserve(len(text))
    digits = text.rstrip("=")
    if not _BASE64.fullmatch(digits) or len(digits) % 4 == 1:
        raise InternalError  # measured on AWS, where anything else is not skipped
    return base64.b64decode(digits + "=" * (-len(digits) % 4)).decode("latin-1")


_BASE64 = re.compile(r"[A-Za-z0-9+/]*")


_COMPONENT = "!'()*-._~"
_ADDRESS = _COMPONENT + ";/?:@&=+$,#"


def encode_url(name: str, *, component: bool) -> Any:
    def encode(evaluator: Calls, text: Any) -> Any:
        if text is MISSING:
            return MISSING
        evaluator.budget.reserve(3 * len(text))
        try:
            return quote(text, safe=_COMPONENT if component else _ADDRESS, errors="strict")
        except UnicodeEncodeError:
            raise JsonataError("D3140", value=text, functionName=name) from None

    return encode


_ESCAPE = re.compile(r"(?:%[0-9A-Fa-f]{2})+|%")


def decode_url(name: str, *, component: bool) -> Any:
    kept = b"" if component else b";/?:@&=+$,#"

    def fill(match: re.Match[str]) -> str:
        raw = match[0]
        if raw == "%":
            raise ValueError(raw)
        data = unquote_to_bytes(raw)
        parts = [
            f"%{raw[3 * i + 1 : 3 * i + 3]}".encode() if byte in kept else bytes((byte,))
            for i, byte in enumerate(data)
        ]
        return b"".join(parts).decode()

    def decode(evaluator: Calls, text: Any) -> Any:
        if text is MISSING:
            return MISSING
        evaluator.budget.reserve(len(text))
        try:
            return _ESCAPE.sub(fill, text)
        except ValueError:
            raise JsonataError("D3140", value=text, functionName=name) from None

    return decode
