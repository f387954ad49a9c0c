"""Search: training jobs and the model registry, by what their descriptions say.

A search expression is compiled into a predicate over a *document*: what the resource's Describe operation
answers, with its tags.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from harness.cloud.models import load_model
from harness.cloud.sagemaker.records import Tags
from harness.cloud.sagemaker.validation import invalid, null, one_of, only, unsupported

__all__ = ["Search"]

Document = dict[str, Any]
Predicate = Callable[[Document], bool]

MOST_CONDITIONS = 50
"""Filters, nested filters and subexpressions in one search expression."""

DEFAULT_PAGE = 10
SUPPORTED = (
    *("Resource", "SearchExpression", "SortBy", "SortOrder", "NextToken", "MaxResults"),
    "CrossAccountFilterOption",
)
TIME_FORMS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ")


class Search:
    """The Search operation.

    Args:
        documents: By resource type, the descriptions of all resources of that type.
        tags: Their tags.
    """

    def __init__(self, documents: Mapping[str, Callable[[], Iterable[Document]]], tags: Tags) -> None:
        self._documents = documents
        self._tags = tags

    def search(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer a Search request.

        Raises:
            ServiceError: ValidationException.
        """
        only(params, SUPPORTED)
        one_of(params.get("CrossAccountFilterOption"), ("SameAccount",), "CrossAccountFilterOption")
        resource = params["Resource"]
        if resource not in self._documents:
            raise unsupported(f"Search for the resource {resource}")
        expression = params.get("SearchExpression")
        sort_by = params.get("SortBy", "LastModifiedTime")
        _check_names([*_names(expression or {}), sort_by], resource)
        satisfied = _expression(expression) if expression else lambda document: True
        found = [document for document in self._tagged(resource) if satisfied(document)]
        found.sort(key=lambda document: _order(document, sort_by), reverse=_descending(params))
        start = _decode(params["NextToken"]) if params.get("NextToken") else 0
        end = start + params.get("MaxResults", DEFAULT_PAGE)
        answer: dict[str, Any] = {
            "Results": [{resource: document} for document in found[start:end]],
            "TotalHits": {"Value": len(found), "Relation": "EqualTo"},
        }
        if end < len(found):
            answer["NextToken"] = _encode(end)
        return answer

    def _tagged(self, resource: str) -> list[Document]:
        """Documents with tags, and without what Describe tells and Search does not."""
        members = _members(resource)
        return [
            {name: value for name, value in document.items() if name in members}
            | {"Tags": self._tags.of(document[f"{resource}Arn"])}
            for document in self._documents[resource]()
        ]


def _members(resource: str) -> Mapping[str, Any]:
    members: Mapping[str, Any] = load_model("sagemaker").shapes[resource]["members"]
    return members


def _check_names(names: Iterable[str], resource: str) -> None:
    """Refuse a property that resources of a type never have.

    Raises:
        ServiceError: ValidationException.
    """
    known = {*_members(resource), "LastModifiedTime", "Metrics"}
    for name in names:
        if name.partition(".")[0] not in known:
            raise invalid(f"Unknown property name: {name}")


def _descending(params: Mapping[str, Any]) -> bool:
    return bool(params.get("SortOrder", "Descending") == "Descending")


def _order(document: Document, name: str) -> tuple[bool, Any]:
    """Where a document is sorted; those without the property come before all others."""
    values = _values(document, name)
    if name == "LastModifiedTime" and not values:  # model package groups never change
        values = _values(document, "CreationTime")
    first = values[0] if values else None
    if isinstance(first, datetime):
        first = first.timestamp()
    if isinstance(first, list | dict):
        raise invalid(f"Results cannot be sorted by {name}.")
    return first is not None, first if first is not None else 0


# Expressions --------------------------------------------------------------------------------------------


def _expression(expression: Mapping[str, Any]) -> Predicate:
    """Compile a search expression.

    Raises:
        ServiceError: ValidationException.
    """
    if _size(expression) > MOST_CONDITIONS:
        raise invalid(f"A search expression can have at most {MOST_CONDITIONS} conditions.")
    conditions = [
        *map(_filter, expression.get("Filters", ())),
        *map(_nested, expression.get("NestedFilters", ())),
        *map(_expression, expression.get("SubExpressions", ())),
    ]
    if not conditions:
        raise invalid("A search expression needs at least one filter, nested filter or subexpression.")
    combined = any if expression.get("Operator", "And") == "Or" else all
    return lambda document: combined(condition(document) for condition in conditions)


def _names(expression: Mapping[str, Any]) -> Iterator[str]:
    """The properties that a search expression asks for."""
    for item in expression.get("Filters", ()):
        yield item["Name"]
    for nested in expression.get("NestedFilters", ()):
        yield nested["NestedPropertyName"]
    for below in expression.get("SubExpressions", ()):
        yield from _names(below)


def _size(expression: Mapping[str, Any]) -> int:
    below = expression.get("SubExpressions", ())
    return (
        len(expression.get("Filters", ()))
        + sum(len(nested["Filters"]) for nested in expression.get("NestedFilters", ()))
        + len(below)
        + sum(map(_size, below))
    )


def _nested(nested: Mapping[str, Any]) -> Predicate:
    """One item of a list satisfies all filters. Their names go on from the list's."""
    prefix = nested["NestedPropertyName"]
    filters = []
    for item in nested["Filters"]:
        if not item["Name"].startswith(f"{prefix}."):
            raise invalid(f"{item['Name']} is not a property of {prefix}.")
        filters.append(_filter({**item, "Name": item["Name"].removeprefix(f"{prefix}.")}))

    def satisfied(document: Document) -> bool:
        items = _values(document, prefix)
        return any(all(holds(item) for holds in filters) for item in items if isinstance(item, dict))

    return satisfied


def _filter(item: Mapping[str, Any]) -> Predicate:
    name, operator, wanted = item["Name"], item.get("Operator", "Equals"), item.get("Value")
    if operator in ("Exists", "NotExists"):
        return lambda document: bool(_values(document, name)) is (operator == "Exists")
    if wanted is None:
        raise null("searchExpression.filters.value")
    if operator == "NotEquals":
        return lambda document: not any(_equal(value, wanted) for value in _values(document, name))
    compare = _COMPARISONS[operator]
    return lambda document: any(compare(value, wanted) for value in _values(document, name))


def _values(document: Document, name: str) -> list[Any]:
    """What a property name stands for: nothing, a value, or several where a list is on the way."""
    if name.startswith("Tags."):
        return [tag["Value"] for tag in document.get("Tags", ()) if tag["Key"] == name[5:]]
    if name.startswith("Metrics."):
        metrics = document.get("FinalMetricDataList", ())
        return [metric["Value"] for metric in metrics if metric["MetricName"] == name[8:]]
    values: list[Any] = [document]
    rest = name
    while rest:
        part, _, rest = rest.partition(".")
        if part in ("HyperParameters", "Environment", "CustomerMetadataProperties") and rest:
            # A map: what is left is one key, which may have dots in it.
            return [value[part][rest] for value in values if rest in value.get(part, ())]
        reached = [value[part] for value in values if isinstance(value, dict) and part in value]
        values = [item for value in reached for item in (value if isinstance(value, list) else [value])]
    return values


def _equal(value: Any, wanted: str) -> bool:
    if isinstance(value, str):
        return value == wanted
    if isinstance(value, bool):
        return str(value).lower() == wanted.lower()
    pair = _pair(value, wanted)
    return pair[0] == pair[1]


def _pair(value: Any, wanted: str) -> tuple[float, float]:
    """A value and what it is compared with, as numbers.

    Raises:
        ServiceError: ValidationException: they cannot be compared.
    """
    if isinstance(value, datetime):
        for form in TIME_FORMS:
            try:
                return value.timestamp(), datetime.strptime(wanted, form).replace(tzinfo=UTC).timestamp()
            except ValueError:
                continue
        raise invalid(f'"{wanted}" is not a date and time in ISO 8601.')
    try:
        return float(value), float(wanted)
    except (TypeError, ValueError):
        raise invalid(f'"{wanted}" cannot be compared with {value!r}: one of them is not a number.') from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise invalid("The operators Contains and In are only supported for text properties.")
    return value


_COMPARISONS: dict[str, Callable[[Any, str], bool]] = {
    "Equals": _equal,
    "GreaterThan": lambda value, wanted: (pair := _pair(value, wanted))[0] > pair[1],
    "GreaterThanOrEqualTo": lambda value, wanted: (pair := _pair(value, wanted))[0] >= pair[1],
    "LessThan": lambda value, wanted: (pair := _pair(value, wanted))[0] < pair[1],
    "LessThanOrEqualTo": lambda value, wanted: (pair := _pair(value, wanted))[0] <= pair[1],
    "Contains": lambda value, wanted: wanted in _text(value),
    "In": lambda value, wanted: _text(value) in [item.strip() for item in wanted.split(",")],
}


# Pages --------------------------------------------------------------------------------------------------


def _encode(position: int) -> str:
    return base64.urlsafe_b64encode(str(position).encode()).decode()


def _decode(token: str) -> int:
    try:
        return int(base64.urlsafe_b64decode(token))
    except ValueError:
        raise invalid("Invalid NextToken.") from None
