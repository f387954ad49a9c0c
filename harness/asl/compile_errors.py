"""Retry and Catch fields, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from harness.asl.compile_fields import Fields, Limits
from harness.asl.diagnostics import Place
from harness.asl.errors import ALL
from harness.asl.retry import Catcher, Policy, Retrier
from harness.asl.schema import JSONATA, JSONPATH, Language, check_fields, require
from harness.asl.state import State
from harness.asl.tasks import JSON

__all__ = ["compile_policy"]

Link = Callable[[str, Place, Callable[[State], None]], None]
"""Report that a place refers to a state by name, and say what to do with the state once it is compiled."""

_RETRIER: Final = {
    "BackoffRate",
    "Comment",
    "ErrorEquals",
    "IntervalSeconds",
    "JitterStrategy",
    "MaxAttempts",
    "MaxDelaySeconds",
}
_CATCHER: Final[dict[Language, set[str]]] = {
    JSONPATH: {"Assign", "Comment", "ErrorEquals", "Next", "ResultPath"},
    JSONATA: {"Assign", "Comment", "ErrorEquals", "Next", "Output"},
}


def compile_policy(fields: Fields, link: Link) -> Policy:
    """Compile a state's Retry and Catch."""
    return Policy(
        [_retrier(entry) for entry in _entries(fields, "Retry", _RETRIER)],
        [_catcher(entry, link) for entry in _entries(fields, "Catch", _CATCHER[fields.language])],
    )


def _entries(fields: Fields, name: str, allowed: set[str]) -> list[Fields]:
    """The entries of Retry or Catch, with their fields and error names checked."""
    entries: list[Fields] = []
    array = fields.array(name) or []
    for index, value in enumerate(array):
        place = (fields.place / name).item(index)
        if not isinstance(value, dict):
            place.error("Expected value of type OBJECT")
            continue
        check_fields(allowed, value, place)
        require(["ErrorEquals", "Next"] if name == "Catch" else ["ErrorEquals"], value, place)
        entry = Fields(value, place, fields.language, f"{name}[{index}]/")
        if ALL in _names(entry) and index < len(array) - 1:
            (place / "ErrorEquals").error(f"'{ALL}' can only appear in the last element of '{name}'")
        entries.append(entry)
    return entries


def _names(entry: Fields) -> frozenset[str]:
    names = entry.values.get("ErrorEquals")
    return (
        frozenset(filter(lambda name: isinstance(name, str), names))
        if isinstance(names, list)
        else frozenset()
    )


def _checked_names(entry: Fields) -> frozenset[str]:
    names: list[JSON] | None = entry.array("ErrorEquals")
    place = entry.place / "ErrorEquals"
    if names is not None and not names:
        place.error("At least one error name is required")
    for index, name in enumerate(names or []):
        if not isinstance(name, str):
            place.item(index).error("Expected value of type STRING")
    if names is not None and ALL in names and len(names) > 1:
        place.error(f"'{ALL}' must appear alone in 'ErrorEquals'")
    return _names(entry)


def _retrier(entry: Fields) -> Retrier:
    interval = entry.number("IntervalSeconds", Limits(1))
    attempts = entry.number("MaxAttempts", Limits(0))
    backoff = entry.number("BackoffRate", Limits(1, whole=False))
    max_delay = entry.number("MaxDelaySeconds", Limits(1, 31_622_400))
    if max_delay is not None and max_delay <= (interval or 1):
        (entry.place / "MaxDelaySeconds").error("'MaxDelaySeconds' must be greater than 'IntervalSeconds'")
    jitter = entry.text("JitterStrategy")
    if jitter not in (None, "FULL", "NONE"):
        (entry.place / "JitterStrategy").error("Value must be one of [FULL, NONE]")
    default = Retrier(frozenset())
    return Retrier(
        _checked_names(entry),
        default.interval if interval is None else interval,
        default.attempts if attempts is None else int(attempts),
        default.backoff if backoff is None else backoff,
        max_delay,
        jitter == "FULL",
    )


def _catcher(entry: Fields, link: Link) -> Catcher:
    catcher = Catcher(_checked_names(entry), jsonata=entry.is_jsonata)
    catcher.assign = entry.assign(error_output=True)
    if entry.is_jsonata:
        catcher.output = entry.template("Output", error_output=True)
    else:
        catcher.result_path, catcher.result_path_text = entry.result_path()
    target = entry.text("Next")
    if target is not None:

        def set_next(state: State) -> None:
            catcher.next = state

        link(target, entry.place / "Next", set_next)
    return catcher
