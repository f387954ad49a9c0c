"""The errors the AWS APIs answer with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ServiceError(Exception):
    """An error response of an AWS service.

    Attributes:
        code: The error code clients see, e.g. ``ValidationException``.
        message: The text.
        status: HTTP status: 4xx for the caller's faults, 5xx for the service's.
        fields: Further members of the modelled error shape.
    """

    def __init__(
        self, code: str, message: str, *, status: int = 400, fields: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.fields = dict(fields or {})
