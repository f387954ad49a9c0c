"""What the service checks beyond botocore's model, and how it says no.

Nothing in a request is ever ignored: `only` refuses, by name, every member that this implementation does not
act upon, also those that a newer botocore brings along.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.cloud.errors import ServiceError

__all__ = ["S3Location", "invalid", "no_nul", "null", "one_of", "only", "parse_s3", "unsupported"]


def invalid(message: str) -> ServiceError:
    """The error SageMaker answers nearly every refusal with."""
    return ServiceError("ValidationException", message)


def unsupported(what: str) -> ServiceError:
    """Valid on AWS, refused here rather than ignored."""
    return invalid(f"harness does not support {what} yet.")


def null(path: str) -> ServiceError:
    """A member is missing that the service requires though its model does not.

    Args:
        path: In camel case, as SageMaker writes it: ``resourceConfig.instanceType``.
    """
    return invalid(
        f"1 validation error detected: Value null at '{path}' failed to satisfy constraint: "
        "Member must not be null"
    )


def only(params: Mapping[str, Any], supported: Iterable[str]) -> None:
    """Refuse a request that has members other than the supported ones.

    Args:
        params: The request.
        supported: Paths such as ``AlgorithmSpecification.TrainingImage``. What lies below a path is supported
            with it; lists are looked through. A member set to what it is anyway (false, 0, empty) passes.

    Raises:
        ServiceError: ValidationException naming the first such member.
    """
    paths = frozenset(supported)
    parents = frozenset(path[:end] for path in paths for end in _dots(path))
    _only(params, "", paths, parents)


def _dots(path: str) -> list[int]:
    return [match.start() for match in re.finditer(r"\.", path)]


def _only(value: Any, path: str, paths: frozenset[str], parents: frozenset[str]) -> None:
    if isinstance(value, list):
        for item in value:
            _only(item, path, paths, parents)
    elif isinstance(value, Mapping):
        for key, member in value.items():
            below = f"{path}.{key}" if path else key
            if below in paths or member in (None, False, "", [], {}):
                continue
            if below not in parents:
                raise unsupported(below)
            _only(member, below, paths, parents)


def one_of(value: Any, allowed: Iterable[Any], what: str) -> None:
    """Refuse a value that AWS knows and this implementation does not.

    Args:
        value: None when it was not given, which passes.
        allowed: The supported values.
        what: The member's path.
    """
    if value is not None and value not in allowed:
        raise unsupported(f"{what} {value}")


def no_nul(params: Mapping[str, Any], members: Iterable[str]) -> None:
    """Refuse NUL characters in what a program is started with: no operating system can pass them on.

    Args:
        params: A request, or a part of it.
        members: Its members that become arguments, environment variables or paths.

    Raises:
        ServiceError: ValidationException naming the first such member.
    """
    for member in members:
        if _has_nul(params.get(member)):
            raise invalid(f"{member} must not contain NUL characters.")


def _has_nul(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_nul, value.values()))
    if isinstance(value, list):
        return any(map(_has_nul, value))
    return isinstance(value, str) and "\0" in value


@dataclass(frozen=True)
class S3Location:
    """A bucket and a key, or a key prefix."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def child(self, name: str) -> S3Location:
        """A key below this one, with one slash between."""
        prefix = f"{self.key.rstrip('/')}/" if self.key else ""
        return S3Location(self.bucket, prefix + name)


_S3_URI = re.compile(r"s3://(?P<bucket>[^/]+)/?(?P<key>.*)", re.DOTALL)
_PATH_STYLE = re.compile(
    r"https://s3[.-][^/]*amazonaws\.com(?:\.cn)?/(?P<bucket>[^/]+)/?(?P<key>.*)", re.DOTALL
)
_HOST_STYLE = re.compile(
    r"https://(?P<bucket>[^/]+?)\.s3[.-][^/]*amazonaws\.com(?:\.cn)?/?(?P<key>.*)", re.DOTALL
)


def parse_s3(uri: str) -> S3Location:
    """Take an S3 URI apart: ``s3://bucket/key`` or an https address of S3.

    Raises:
        ServiceError: ValidationException.
    """
    for form in (_S3_URI, _PATH_STYLE, _HOST_STYLE):
        match = form.fullmatch(uri)
        if match:
            return S3Location(match["bucket"], match["key"])
    raise invalid(f'"{uri}" is not a valid S3 URI.')
