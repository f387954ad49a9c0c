"""What the scripts have in common, and what they and the tests call things."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/doubler:1"
TOOLKIT_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/toolkit:1"
ROLE = "arn:aws:iam::123456789012:role/sagemaker"
BUCKET = "sagemaker-us-east-1-123456789012"
INSTANCE = "ml.m5.large"

E = TypeVar("E", bound=Exception)


def refusal(kind: type[E], call: Callable[[], object]) -> E:
    """The error with which a call must end."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")
