"""JSON texts that callers send: an execution's input, a task's output."""

from __future__ import annotations

from harness.asl.tasks import JSON
from harness.asl.values import PAYLOAD_LIMIT, parse_json
from harness.cloud.stepfunctions import errors

__all__ = ["parse_payload"]


def parse_payload(member: str, text: str) -> JSON:
    """The value of a JSON text. Its length counts in bytes, which the service model does not check.

    Args:
        member: The request's member, for the error message.
        text: What it says.

    Raises:
        ValueError: It is not JSON, or nested too deeply.
        ServiceError: ValidationException, it is longer than a payload may be.
    """
    if len(text) * 4 > PAYLOAD_LIMIT and len(text.encode()) > PAYLOAD_LIMIT:
        raise errors.validation_failed(
            f"1 validation error detected: Value at '{member}' failed to satisfy constraint: "
            f"Member must have length less than or equal to {PAYLOAD_LIMIT}"
        )
    try:
        return parse_json(text)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error
