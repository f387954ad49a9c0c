"""Pages of lists that may grow while somebody turns them.

A page token says which list it belongs to and where to go on, so that a token of another list, another
filter, or of nobody's making is refused, as AWS does.
"""

from __future__ import annotations

import base64
import binascii
import json
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
) -> tuple[list[T], str | None]:
    """One page of `items`, which only ever grow at their end.

    Args:
        items: Oldest first.
        scope: The list and its filters; a token is good only within its scope.
        limit: maxResults; `DEFAULT_PAGE` when None or 0.
        token: nextToken of the page before.
        newest_first: Go backwards through `items`.
        keep: Which items are on the list at all.

    Returns:
        The items, and the token of the next page if there is one.

    Raises:
        ServiceError: InvalidToken.
    """
    size = limit or DEFAULT_PAGE
    step = -1 if newest_first else 1
    start = (len(items) - 1 if newest_first else 0) if token is None else _decode(token, scope)
    if start >= len(items) and token is not None:
        raise errors.invalid_token()
    chosen: list[T] = []
    for position in range(start, -1 if newest_first else len(items), step):
        item = items[position]
        if keep is not None and not keep(item):
            continue
        if len(chosen) == size:
            return chosen, _encode(scope, position)
        chosen.append(item)
    return chosen, None
