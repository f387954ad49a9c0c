"""Names and ARNs of state machines and executions: how they are made, and what is refused."""

from __future__ import annotations

import random
import re
import uuid
from dataclasses import dataclass
from typing import Literal

from harness.cloud.errors import ServiceError
from harness.cloud.stepfunctions import errors

__all__ = [
    "ExecutionArn",
    "check_name",
    "check_role_arn",
    "machine_name",
    "parse_execution_arn",
    "random_uuid",
]

# Whitespace, brackets, wildcards, the special characters of the API reference, control characters,
# and what is no character at all.
_FORBIDDEN = re.compile(
    '[\\s<>{}\\[\\]?*"#%\\\\^|~`$&,;:/\u0000-\u001f\u007f-\u009f\ufffe\uffff\ud800-\udfff]'
)
_PREFIX = re.compile(r"arn:aws[a-z-]*:states:[a-z0-9-]+:\d{12}:")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/\S+")


def random_uuid(entropy: random.Random) -> str:
    """A version 4 UUID from the injected source of ids."""
    return str(uuid.UUID(int=entropy.getrandbits(128), version=4))


def check_name(name: str) -> None:
    """Refuse a name that AWS refuses.

    Raises:
        ServiceError: InvalidName.
    """
    if not 0 < len(name) <= 80 or _FORBIDDEN.search(name):
        raise errors.invalid_name(name)


def check_role_arn(arn: str) -> None:
    """Refuse what is no role's ARN. Whether the role exists is not looked at, nor does AWS at once.

    Raises:
        ServiceError: InvalidArn.
    """
    if not _ROLE.fullmatch(arn):
        raise ServiceError("InvalidArn", f"Invalid Role Arn: '{arn}'")


def _resource(arn: str, *kinds: str) -> list[str]:
    """The parts after the account, the first of which is one of `kinds`."""
    prefix = _PREFIX.match(arn)
    if prefix is None:
        raise errors.invalid_arn(f"Invalid ARN prefix: {arn}")
    parts = arn[prefix.end() :].split(":")
    if parts[0] not in kinds:
        raise errors.invalid_arn(f"Resource type not valid in this context: {parts[0]}")
    if not all(parts[1:]) or any(_FORBIDDEN.search(part) for part in parts[1:]):
        raise errors.invalid_arn(arn)
    return parts


def machine_name(arn: str) -> str:
    """The name in a state machine's ARN, qualified (by version or alias) or not.

    Raises:
        ServiceError: InvalidArn.
    """
    parts = _resource(arn, "stateMachine")
    if not 2 <= len(parts) <= 3:
        raise errors.invalid_arn(arn)
    return parts[1]


@dataclass(frozen=True)
class ExecutionArn:
    """An execution's ARN, taken apart.

    It ends in ``execution:<machine>:<name>`` or ``express:<machine>:<name>:<id>``.
    """

    kind: Literal["execution", "express"]
    machine: str
    name: str


def parse_execution_arn(arn: str) -> ExecutionArn:
    """Take an execution's ARN apart.

    Raises:
        ServiceError: InvalidArn.
    """
    parts = _resource(arn, "execution", "express")
    if parts[0] == "express":
        if len(parts) != 4:
            raise errors.invalid_arn(arn)
        return ExecutionArn("express", parts[1], parts[2])
    if len(parts) != 3:
        raise errors.invalid_arn(arn)
    return ExecutionArn("execution", parts[1], parts[2])
