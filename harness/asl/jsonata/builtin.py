"""The functions of the language, and those that Step Functions adds."""

from __future__ import annotations

import math
from typing import Any, Final

from harness.asl.jsonata import arrays, datetimes, integers, numbers, strings
from harness.asl.jsonata.budget import NUMBERS
from harness.asl.jsonata.calls import Calls, Native
from harness.asl.jsonata.errors import Failure
from harness.asl.jsonata.format_number import format_number
from harness.asl.jsonata.values import MISSING, Array, number
from harness.asl.jsonpath.functions import HASHES
from harness.asl.values import make_uuid, parse_json

__all__ = ["LIBRARY"]


def _now(evaluator: Calls, picture: Any = MISSING, zone: Any = MISSING) -> Any:
    return datetimes.format_time(evaluator.services.millis(), picture, zone)


def _millis(evaluator: Calls) -> Any:
    return evaluator.services.millis()


# What Step Functions adds (AWS developer guide, "Transforming data with JSONata") --------------------------


def _partition(evaluator: Calls, values: Any, size: Any) -> Any:
    if values is MISSING or size is MISSING:
        return MISSING
    length = math.trunc(size)
    if length <= 0:
        raise Failure("The second argument of $partition must be a positive integer")
    return evaluator.budget.keep(
        Array(Array(values[start : start + length]) for start in range(0, len(values), length))
    )


def _range(evaluator: Calls, first: Any, last: Any, step: Any) -> Any:
    if first is MISSING or last is MISSING or step is MISSING or math.trunc(step) == 0:
        return MISSING
    stride = math.trunc(step)
    values = range(math.trunc(first), math.trunc(last) + (1 if stride > 0 else -1), stride)
    size = max(0, (values.stop - values.start + stride - (1 if stride > 0 else -1)) // stride)
    evaluator.budget.reserve(8 * size, NUMBERS)
    evaluator.budget.work(size)
    return Array(map(number, values))


def _hash(evaluator: Calls, value: Any, algorithm: Any = MISSING) -> Any:
    make = HASHES.get("SHA-256" if algorithm is MISSING else algorithm)
    if value is MISSING or make is None:
        return MISSING
    data = strings.string(evaluator, value).encode("utf-8", "surrogatepass")
    return make(data, usedforsecurity=False).hexdigest()


_MULTIPLIER: Final = 0x5DEECE66D
_MASK: Final = (1 << 48) - 1


def _random(evaluator: Calls, seed: Any = MISSING) -> Any:
    """A number from 0 up to 1. With a seed it is the first that java.util.Random gives (measured on AWS)."""
    if seed is MISSING:
        return evaluator.services.entropy.random()
    state = (math.trunc(seed) ^ _MULTIPLIER) & _MASK
    bits = 0
    for width in (26, 27):
        state = (state * _MULTIPLIER + 0xB) & _MASK
        bits = (bits << width) + (state >> (48 - width))
    return bits * 2.0**-53


def _uuid(evaluator: Calls) -> Any:
    return make_uuid(evaluator.services.entropy)


def _parse(evaluator: Calls, text: Any) -> Any:
    if text is MISSING:
        return MISSING
    evaluator.budget.reserve(len(text))
    try:
        return parse_json(text)
    except (ValueError, RecursionError):
        raise Failure("The argument of $parse is not a valid JSON text") from None


LIBRARY: Final[dict[str, Native]] = {
    "abs": Native(numbers.absolute, "<n-:n>"),
    "append": Native(arrays.append, "<xx:a>"),
    "assert": Native(arrays.assertion, "<bs?:x>"),
    "average": Native(numbers.average, "<a<n>:n>"),
    "base64decode": Native(strings.base64decode, "<s-:s>"),
    "base64encode": Native(strings.base64encode, "<s-:s>"),
    "boolean": Native(arrays.boolean, "<x-:b>"),
    "ceil": Native(numbers.ceil, "<n-:n>"),
    "clone": Native(arrays.clone, "<(oa)-:o>"),
    "contains": Native(strings.contains, "<s-(sf):b>"),
    "count": Native(arrays.count, "<a:n>"),
    "decodeUrl": Native(strings.decode_url("decodeUrl", component=False), "<s-:s>"),
    "decodeUrlComponent": Native(strings.decode_url("decodeUrlComponent", component=True), "<s-:s>"),
    "distinct": Native(arrays.distinct, "<x:x>"),
    "each": Native(arrays.each, "<o-f:a>"),
    "encodeUrl": Native(strings.encode_url("encodeUrl", component=False), "<s-:s>"),
    "encodeUrlComponent": Native(strings.encode_url("encodeUrlComponent", component=True), "<s-:s>"),
    "error": Native(arrays.error, "<s?:x>"),
    "exists": Native(arrays.exists, "<x:b>"),
    "filter": Native(arrays.filtered, "<af>"),
    "floor": Native(numbers.floor, "<n-:n>"),
    "formatBase": Native(numbers.format_base, "<n-n?:s>"),
    "formatInteger": Native(integers.format_integer, "<n-s:s>"),
    "formatNumber": Native(format_number, "<n-so?:s>"),
    "fromMillis": Native(datetimes.from_millis, "<n-s?s?:s>"),
    "hash": Native(_hash, "<xs?:s>"),
    "join": Native(strings.join, "<a<s>s?:s>"),
    "keys": Native(arrays.keys, "<x-:a<s>>"),
    "length": Native(strings.length, "<s-:n>"),
    "lookup": Native(arrays.look_up, "<x-s:x>"),
    "lowercase": Native(strings.lowercase, "<s-:s>"),
    "map": Native(arrays.mapped, "<af>"),
    "match": Native(strings.match, "<s-f<s:o>n?:a<o>>"),
    "max": Native(numbers.maximum, "<a<n>:n>"),
    "merge": Native(arrays.merge, "<a<o>:o>"),
    "millis": Native(_millis, "<:n>"),
    "min": Native(numbers.minimum, "<a<n>:n>"),
    "not": Native(arrays.negation, "<x-:b>"),
    "now": Native(_now, "<s?s?:s>"),
    "number": Native(numbers.to_number, "<(nsb)-:n>"),
    "pad": Native(strings.pad, "<s-ns?:s>"),
    "parse": Native(_parse, "<s:x>"),
    "parseInteger": Native(integers.parse_integer, "<s-s:n>"),
    "partition": Native(_partition, "<an:a>"),
    "power": Native(numbers.power, "<n-n:n>"),
    "random": Native(_random, "<n?:n>"),
    "range": Native(_range, "<nnn:a>"),
    "reduce": Native(arrays.reduce, "<afj?:j>"),
    "replace": Native(strings.replace, "<s-(sf)(sf)n?:s>"),
    "reverse": Native(arrays.reverse, "<a:a>"),
    "round": Native(numbers.round_number, "<n-n?:n>"),
    "shuffle": Native(arrays.shuffle, "<a:a>"),
    "sift": Native(arrays.sift, "<o-f?:o>"),
    "single": Native(arrays.single, "<af?>"),
    "sort": Native(arrays.sort, "<af?:a>"),
    "split": Native(strings.split, "<s-(sf)n?:a<s>>"),
    "spread": Native(arrays.spread, "<x-:a<o>>"),
    "sqrt": Native(numbers.sqrt, "<n-:n>"),
    "string": Native(strings.string, "<x-b?:s>", arity=1),
    "substring": Native(strings.substring, "<s-nn?:s>"),
    "substringAfter": Native(strings.substring_after, "<s-s:s>"),
    "substringBefore": Native(strings.substring_before, "<s-s:s>"),
    "sum": Native(numbers.total, "<a<n>:n>"),
    "toMillis": Native(datetimes.to_millis, "<s-s?:n>"),
    "trim": Native(strings.trim, "<s-:s>"),
    "type": Native(arrays.type_of, "<x:s>"),
    "uppercase": Native(strings.uppercase, "<s-:s>"),
    "uuid": Native(_uuid, "<:s>"),
    "zip": Native(arrays.zipped, "<a+>", arity=0),
}
"""By name. There is no ``$eval`` on AWS."""
