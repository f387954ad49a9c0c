"""Names and ARNs of state machines, activities and executions: how they are made, and what is refused."""

from __future__ import annotations

import base64
import random
import re
from dataclasses import dataclass
from typing import Literal

from harness.cloud.errors import ServiceError
from harness.cloud.stepfunctions import errors

__all__ = [
    "ExecutionArn",
    "MachineArn",
    "activity_name",
    "check_map_run_arn",
    "check_name",
    "check_role_arn",
    "machine_name",
    "parse_execution_arn",
    "parse_machine_arn",
    "random_token",
    "resource_kind",
]

# Whitespace, brackets, wildcards, the special characters of the API reference, control characters,
# and what is no character at all.
_FORBIDDEN = re.compile(
    '[\\s<>{}\\[\\]?*"#%\\\\^|~`$&,;:/\u0000-\u001f\u007f-\u009f\ufffe\uffff\ud800-\udfff]'
)
_PREFIX = re.compile(r"arn:aws[a-z-]*:states:[a-z0-9-]+:\d{12}:")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/\S+")


def random_token(entropy: random.Random) -> str:
    """A task token."""
    return base64.b64encode(entropy.randbytes(96)).decode()


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


def _split(arn: str) -> list[str]:
    """The parts after the account."""
    prefix = _PREFIX.match(arn)
    if prefix is None:
        raise errors.invalid_arn(f"Invalid ARN prefix: {arn}")
    return arn[prefix.end() :].split(":")


def resource_kind(arn: str) -> str:
    """What an ARN is of: ``stateMachine``, ``activity`` and so on.

    Raises:
        ServiceError: InvalidArn.
    """
    return _split(arn)[0]


def _resource(arn: str, *kinds: str, labelled: bool = False) -> list[str]:
    """The parts after the account, the first of which is one of `kinds`.

    If it can be labelled, the first part may be ``<state machine>/<label of a Map state>``.
    """
    parts = _split(arn)
    if parts[0] not in kinds:
        raise errors.invalid_arn(f"Resource type not valid in this context: {parts[0]}")
    names = [*parts[1].split("/"), *parts[2:]] if labelled and len(parts) > 1 else parts[1:]
    if not all(names) or any(_FORBIDDEN.search(name) for name in names):
        raise errors.invalid_arn(arn)
    return parts


@dataclass(frozen=True)
class MachineArn:
    """A state machine's ARN, taken apart.

    Attributes:
        name: The state machine's name.
        version: The number, in the ARN of a version.
        alias: The name, in the ARN of an alias.
    """

    name: str
    version: int | None = None
    alias: str | None = None

    @property
    def qualified(self) -> bool:
        """Whether it is the ARN of a version or an alias."""
        return self.version is not None or self.alias is not None


def parse_machine_arn(arn: str) -> MachineArn:
    """Take the ARN of a state machine, a version or an alias apart.

    Raises:
        ServiceError: InvalidArn; ValidationException for the ARN of a Distributed Map state, which ends in
            its label: ``stateMachine:<name>/<label>``.
    """
    name, slash, _ = arn.partition("/")
    parts = _resource(name if slash else arn, "stateMachine")
    if not 2 <= len(parts) <= 3:
        raise errors.invalid_arn(arn)
    if slash:
        raise errors.validation_failed(
            f"State machine ARN with a Map state label is not supported: '{arn}'",
            "API_DOES_NOT_SUPPORT_LABELED_ARNS",
        )
    if len(parts) == 2:
        return MachineArn(parts[1])
    qualifier = parts[2]
    if qualifier.isdecimal():
        return MachineArn(parts[1], version=int(qualifier))
    return MachineArn(parts[1], alias=qualifier)


def machine_name(arn: str) -> str:
    """The name in a state machine's ARN, qualified (by version or alias) or not.

    Raises:
        ServiceError: InvalidArn, ValidationException.
    """
    return parse_machine_arn(arn).name


def activity_name(arn: str) -> str:
    """The name in an activity's ARN.

    Raises:
        ServiceError: InvalidArn.
    """
    parts = _resource(arn, "activity")
    if len(parts) != 2:
        raise errors.invalid_arn(arn)
    return parts[1]


@dataclass(frozen=True)
class ExecutionArn:
    """An execution's ARN, taken apart.

    It ends in ``execution:<machine>:<name>`` or ``express:<machine>:<name>:<id>``; for a child execution of a
    Map, the machine is ``<machine>/<label>``.
    """

    kind: Literal["execution", "express"]
    machine: str
    name: str


def parse_execution_arn(arn: str) -> ExecutionArn:
    """Take an execution's ARN apart.

    Raises:
        ServiceError: InvalidArn.
    """
    parts = _resource(arn, "execution", "express", labelled=True)
    if parts[0] == "express":
        if len(parts) != 4:
            raise errors.invalid_arn(arn)
        return ExecutionArn("express", parts[1], parts[2])
    if len(parts) != 3:
        raise errors.invalid_arn(arn)
    return ExecutionArn("execution", parts[1], parts[2])


def check_map_run_arn(arn: str) -> None:
    """Refuse what is no Map Run's ARN, which ends in ``mapRun:<machine>/<label>:<id>``.

    Raises:
        ServiceError: InvalidArn.
    """
    parts = _resource(arn, "mapRun", labelled=True)
    if len(parts) != 3 or "/" not in parts[1]:
        raise errors.invalid_arn(arn)
