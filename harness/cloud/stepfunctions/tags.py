"""Tags of state machines and activities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from harness.cloud.errors import ServiceError

__all__ = ["Tagged", "merge", "tag", "untag"]

LIMIT = 50
"""Tags a resource can have."""

Given = Iterable[Mapping[str, str]]
"""As requests carry tags: ``{"key": ..., "value": ...}`` each."""


class Tagged(Protocol):
    """Something with tags."""

    arn: str
    tags: dict[str, str]


def merge(arn: str, tags: Mapping[str, str], more: Given) -> dict[str, str]:
    """Tags with more of them added, or given other values.

    Raises:
        ServiceError: TooManyTags.
    """
    merged = {**tags, **{tag["key"]: tag.get("value", "") for tag in more if "key" in tag}}
    if len(merged) > LIMIT:
        raise ServiceError(
            "TooManyTags", f"A resource can have at most {LIMIT} tags.", fields={"resourceName": arn}
        )
    return merged


def tag(resource: Tagged, tags: Given) -> None:
    """Add tags, or change them.

    Raises:
        ServiceError: TooManyTags.
    """
    resource.tags = merge(resource.arn, resource.tags, tags)


def untag(resource: Tagged, keys: Iterable[str]) -> None:
    """Remove tags; one that is not there is none to remove."""
    for key in keys:
        resource.tags.pop(key, None)
