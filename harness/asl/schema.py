"""Which fields a state may have, per type and query language (AWS developer guide, the pages of the state
types), and the check of an object against such a list."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Literal

from harness.asl.diagnostics import Place
from harness.asl.tasks import JSON

__all__ = ["JSONATA", "JSONPATH", "STATE_FIELDS", "Language", "check_fields", "check_state_fields", "require"]

Language = Literal["JSONPath", "JSONata"]
JSONPATH: Final = "JSONPath"
JSONATA: Final = "JSONata"

_ANY: Final = {"Type", "Comment", "QueryLanguage"}
_GOES_ON: Final = {"Next", "End"}
_FAILS: Final = {"Retry", "Catch"}
_PATHS: Final = {"InputPath", "OutputPath"}
_RESULT: Final = {"ResultSelector", "ResultPath"}

_BOTH: Final[dict[str, set[str]]] = {
    "Choice": {"Choices", "Default", "Assign"},
    "Fail": {"Error", "Cause"},
    "Map": {
        *_GOES_ON,
        *_FAILS,
        "Assign",
        "ItemBatcher",
        "ItemProcessor",
        "ItemReader",
        "ItemSelector",
        "Iterator",
        "Label",
        "MaxConcurrency",
        "ResultWriter",
        "ToleratedFailureCount",
        "ToleratedFailurePercentage",
    },
    "Parallel": {*_GOES_ON, *_FAILS, "Assign", "Branches"},
    "Pass": {*_GOES_ON, "Assign"},
    "Succeed": set(),
    "Task": {
        *_GOES_ON,
        *_FAILS,
        "Assign",
        "Credentials",
        "HeartbeatSeconds",
        "Resource",
        "TimeoutSeconds",
    },
    "Wait": {*_GOES_ON, "Assign", "Seconds", "Timestamp"},
}

_ONLY_JSONPATH: Final[dict[str, set[str]]] = {
    "Choice": _PATHS,
    "Fail": {"CausePath", "ErrorPath"},
    "Map": {
        *_PATHS,
        *_RESULT,
        "ItemsPath",
        "MaxConcurrencyPath",
        "Parameters",
        "ToleratedFailureCountPath",
        "ToleratedFailurePercentagePath",
    },
    "Parallel": {*_PATHS, *_RESULT, "Parameters"},
    "Pass": {*_PATHS, "Parameters", "Result", "ResultPath"},
    "Succeed": _PATHS,
    "Task": {*_PATHS, *_RESULT, "HeartbeatSecondsPath", "Parameters", "TimeoutSecondsPath"},
    "Wait": {*_PATHS, "SecondsPath", "TimestampPath"},
}

_ONLY_JSONATA: Final[dict[str, set[str]]] = {
    "Choice": {"Output"},
    "Fail": set(),
    "Map": {"Items", "Output"},
    "Parallel": {"Arguments", "Output"},
    "Pass": {"Output"},
    "Succeed": {"Output"},
    "Task": {"Arguments", "Output"},
    "Wait": {"Output"},
}

STATE_FIELDS: Final[Mapping[str, Mapping[Language, frozenset[str]]]] = {
    kind: {
        "JSONPath": frozenset(_ANY | fields | _ONLY_JSONPATH[kind]),
        "JSONata": frozenset(_ANY | fields | _ONLY_JSONATA[kind]),
    }
    for kind, fields in _BOTH.items()
}


def check_state_fields(kind: str, language: Language, fields: Mapping[str, JSON], place: Place) -> None:
    """Report the fields that a state of this type and query language cannot have."""
    other: Language = JSONATA if language == JSONPATH else JSONPATH
    for name in fields:
        if name in STATE_FIELDS[kind][language]:
            continue
        if name in STATE_FIELDS[kind][other]:
            place.error(
                f"The QueryLanguage is set to '{language}', but field '{name}' is only supported for the "
                f"'{other}' QueryLanguage"
            )
        else:
            place.error(f"Field '{name}' is not supported")


def check_fields(allowed: Collection[str], fields: Mapping[str, JSON], place: Place) -> None:
    """Report the fields that an object cannot have."""
    for name in fields:
        if name not in allowed:
            place.error(f"Field '{name}' is not supported")


def require(names: Collection[str], fields: Mapping[str, JSON], place: Place) -> None:
    """Report the fields that an object lacks."""
    missing = [name for name in names if name not in fields]
    if missing:
        place.error(f"These fields are required: [{', '.join(missing)}]")
