"""Pages of lists that may grow and shrink while somebody turns them.

A page token says which list it belongs to and where to go on, so that a token of another list, another
filter, or of nobody's making is refused, as AWS does.
"""

from __future__ import annotations

import base64
import binascii
import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import TypeVar

from harness.cloud.stepfunctions import errors

__all__ = ["DEFAULT_PAGE", "page"]

DEFAULT_PAGE = 100
"""Items on a page when maxResults is absent or 0."""

T = TypeVar("T")


def _encode(scope: str, position: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([scope, position]).encode()).decode()


def _decode(token: str, scope: str) -> int:
    try:
        found, position = json.loads(base64.urlsafe_b64decode(token.encode("ascii")))
    except (ValueError, TypeError, binascii.Error) as error:
        raise errors.invalid_token() from error
    if found != scope or not isinstance(position, int) or position < 0:
        raise errors.invalid_token()
    return position


def page(
    items: Sequence[T],
    *,
    scope: str,
    limit: int | None,
    token: str | None,
    newest_first: bool = False,
    keep: Callable[[T], bool] | None = None,
    serial: Callable[[T], int] | None = None,
) -> tuple[list[T], str | None]:
    """One page of `items`.

    Args:
        items: Oldest first.
        scope: The list and its filters; a token is good only within its scope.
        limit: maxResults; `DEFAULT_PAGE` when None or 0.
        token: nextToken of the page before.
        newest_first: Go backwards through `items`.
        keep: Which items are on the list at all.
        serial: An item's number, by which they are sorted, if items can also be taken off the list. A list
            that only ever grows at its end needs none.

    Returns:
        The items, and the token of the next page if there is one.

    Raises:
        ServiceError: InvalidToken.
    """
    size = limit or DEFAULT_PAGE
    step = -1 if newest_first else 1
    if token is None:
        start = len(items) - 1 if newest_first else 0
    elif serial is None:
        start = _decode(token, scope)
        if start >= len(items):
            raise errors.invalid_token()
    elif newest_first:
        start = bisect_right(items, _decode(token, scope), key=serial) - 1
    else:
        start = bisect_left(items, _decode(token, scope), key=serial)
    chosen: list[T] = []
    for position in range(start, -1 if newest_first else len(items), step):
        item = items[position]
        if keep is not None and not keep(item):
            continue
        if len(chosen) == size:
            return chosen, _encode(scope, position if serial is None else serial(item))
        chosen.append(item)
    return chosen, None
