"""What the control plane remembers: named records, their listings, their tags."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from harness.cloud.sagemaker.validation import invalid

__all__ = ["Listing", "Record", "Tags", "check_tags", "moment"]


def moment(seconds: float) -> datetime:
    """A virtual time as the API gives it: UTC, whole milliseconds."""
    return datetime.fromtimestamp(int(seconds * 1000) / 1000, UTC)


class Record(Protocol):
    """Something that can be listed. Times are virtual seconds; `number` counts creations."""

    name: str
    number: int
    created: float

    @property
    def modified(self) -> float:
        """When it last changed."""

    @property
    def status(self) -> str:
        """Its status; empty when it has none."""


R = TypeVar("R", bound=Record)

SortKey = tuple[Any, int]
_KEYS: dict[str, Callable[[Any], Any]] = {
    "Name": lambda record: record.name,
    "Status": lambda record: record.status,
    "CreationTime": lambda record: record.created,
}


class Listing:
    """How a List operation sorts, filters and pages.

    Args:
        result: Key of the list in the response.
        summary: A record's summary.
        descending: The default order.
        sort_by: What is sorted by when the request does not say.
        keys: What can be sorted by besides Name, Status and CreationTime: numbers.
        page_before_status: Apply StatusEquals to the page instead of to the whole, so that pages may be short
            or empty and still have a NextToken. ListTrainingJobs is documented to.
    """

    def __init__(
        self,
        result: str,
        summary: Callable[[Any], dict[str, Any]],
        *,
        descending: bool,
        sort_by: str = "CreationTime",
        keys: Mapping[str, Callable[[Any], Any]] | None = None,
        page_before_status: bool = False,
    ) -> None:
        self._result = result
        self._summary = summary
        self._descending = descending
        self._sort_by = sort_by
        self._keys = _KEYS | dict(keys or {})
        self._page_before_status = page_before_status

    def page(self, records: Iterable[R], params: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a List request.

        Raises:
            ServiceError: ValidationException for a NextToken that is not of this listing.
        """
        sort_by = params.get("SortBy", self._sort_by)
        first = self._keys[sort_by]
        descending = (
            params.get("SortOrder", "Descending" if self._descending else "Ascending") == "Descending"
        )
        size = params.get("MaxResults", 10)
        status = params.get("StatusEquals")

        keyed = sorted(
            (((first(record), record.number), record) for record in records if _selected(record, params)),
            key=lambda pair: pair[0],
            reverse=descending,
        )
        if params.get("NextToken"):
            after = _decode(params["NextToken"], sort_by)
            keyed = [pair for pair in keyed if (pair[0] < after if descending else pair[0] > after)]
        if status and not self._page_before_status:
            keyed = [pair for pair in keyed if pair[1].status == status]
        page, more = keyed[:size], len(keyed) > size
        answer: dict[str, Any] = {
            self._result: [
                self._summary(record) for _, record in page if not status or record.status == status
            ]
        }
        if more:
            answer["NextToken"] = _encode(page[-1][0], sort_by)
        return answer


def _selected(record: Record, params: Mapping[str, Any]) -> bool:
    limits = (
        ("CreationTimeAfter", "CreationTimeBefore", record.created),
        ("LastModifiedTimeAfter", "LastModifiedTimeBefore", record.modified),
    )
    if params.get("NameContains", "") not in record.name:
        return False
    for after, before, at in limits:
        if after in params and not moment(at) > params[after]:
            return False
        if before in params and not moment(at) < params[before]:
            return False
    return True


def _encode(key: SortKey, sort_by: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([sort_by, *key]).encode()).decode()


def _decode(token: str, sort_by: str) -> SortKey:
    try:
        made_for, first, number = json.loads(base64.urlsafe_b64decode(token))
    except ValueError:
        made_for = first = number = None
    expected = str if sort_by in ("Name", "Status") else float
    if made_for != sort_by or not isinstance(first, expected) or not isinstance(number, int):
        raise invalid("Invalid NextToken.")
    return first, number


def check_tags(tags: Iterable[Mapping[str, str]]) -> None:
    """Refuse tags that a caller may not give: AWS's own, and one key twice.

    Raises:
        ServiceError: ValidationException.
    """
    seen: set[str] = set()
    for tag in tags:
        if tag["Key"].lower().startswith("aws:"):
            raise invalid("aws: prefixed tag key names are not allowed for external use.")
        if tag["Key"] in seen:
            raise invalid(f"Duplicate tag key: {tag['Key']}. Tag keys must be unique per resource.")
        seen.add(tag["Key"])


class Tags:
    """The tags of every resource, by ARN."""

    LIMIT = 50

    def __init__(self) -> None:
        self._of: dict[str, dict[str, str]] = {}

    def start(self, arn: str, tags: Iterable[Mapping[str, str]]) -> None:
        """Give a new resource its tags."""
        self._of[arn] = {}
        self.add(arn, tags)

    def known(self, arn: str) -> bool:
        """Whether the resource exists."""
        return arn in self._of

    def add(self, arn: str, tags: Iterable[Mapping[str, str]]) -> None:
        """Add tags or change their values.

        Raises:
            ServiceError: ValidationException when the resource would have more than `LIMIT`; none is added.
        """
        merged = self._of[arn] | {tag["Key"]: tag["Value"] for tag in tags}
        if len(merged) > self.LIMIT:
            raise invalid(f"A resource can have at most {self.LIMIT} tags.")
        self._of[arn] = merged

    def remove(self, arn: str, keys: Iterable[str]) -> None:
        """Remove tags; keys it does not have are passed over."""
        for key in keys:
            self._of[arn].pop(key, None)

    def of(self, arn: str) -> list[dict[str, str]]:
        """The tags, as the API gives them."""
        return [{"Key": key, "Value": value} for key, value in self._of.get(arn, {}).items()]

    def forget(self, arn: str) -> None:
        """The resource is gone."""
        self._of.pop(arn, None)
