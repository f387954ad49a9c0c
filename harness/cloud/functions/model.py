"""What the service knows of a function: names, versions, layers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.functions.packages import Package

LATEST = "$LATEST"


@dataclass(frozen=True)
class LayerVersion:
    """A published version of a layer.

    Attributes:
        description: As GetLayerVersion answers, without Content.
        package: Its content.
    """

    description: Mapping[str, Any]
    package: Package

    @property
    def arn(self) -> str:
        arn: str = self.description["LayerVersionArn"]
        return arn

    @property
    def number(self) -> int:
        number: int = self.description["Version"]
        return number


@dataclass(frozen=True, eq=False)
class Version:
    """A function as it is at one moment: ``$LATEST`` between two updates, or a published version.

    Compared by identity: an update makes a new one, and the environments of the old one are not reused.

    Attributes:
        configuration: As GetFunctionConfiguration answers, with the unqualified ARN.
        code: The deployment package.
        layers: In the order in which they are laid over one another.
    """

    configuration: Mapping[str, Any]
    code: Package
    layers: tuple[LayerVersion, ...] = ()

    @property
    def name(self) -> str:
        name: str = self.configuration["FunctionName"]
        return name

    @property
    def number(self) -> str:
        """``$LATEST``, or the number of the version."""
        number: str = self.configuration["Version"]
        return number

    @property
    def runtime(self) -> str:
        runtime: str = self.configuration["Runtime"]
        return runtime

    @property
    def role(self) -> str:
        role: str = self.configuration["Role"]
        return role

    @property
    def timeout(self) -> float:
        """Seconds."""
        return float(self.configuration["Timeout"])

    @property
    def memory_size(self) -> int:
        """Megabytes."""
        size: int = self.configuration["MemorySize"]
        return size

    @property
    def variables(self) -> Mapping[str, str]:
        """The function's own environment variables."""
        variables: Mapping[str, str] = self.configuration.get("Environment", {}).get("Variables", {})
        return variables

    @property
    def log_group(self) -> str:
        group: str = self.configuration["LoggingConfig"]["LogGroup"]
        return group


@dataclass
class Function:
    """A function with everything that belongs to it.

    Attributes:
        latest: What $LATEST is now.
        versions: Published versions by number, in order.
        aliases: As GetAlias answers, by name.
        policies: Statements of the resource policy by qualifier ("" for the function), then by Sid.
        tags: Its tags.
        reserved: Reserved concurrency; None when it shares the account's.
        next_version: Number of the next version to publish; numbers are never used again.
    """

    latest: Version
    versions: dict[str, Version] = field(default_factory=dict)
    aliases: dict[str, dict[str, Any]] = field(default_factory=dict)
    policies: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    reserved: int | None = None
    next_version: int = 1

    @property
    def arn(self) -> str:
        arn: str = self.latest.configuration["FunctionArn"]
        return arn


@dataclass(frozen=True)
class FunctionName:
    """What a request calls a function.

    Attributes:
        name: Its name.
        qualifier: Version or alias, if the name has one.
        account, region: Those of the ARN or partial ARN, if it is one.
    """

    name: str
    qualifier: str | None
    account: str | None
    region: str | None

    @classmethod
    def parse(cls, text: str) -> FunctionName:
        """Take apart a name, a partial ARN or an ARN.

        Raises:
            ServiceError: ValidationException: it is none of these.
        """
        match = _FUNCTION_NAME.fullmatch(text)
        if match is None:
            raise ServiceError(
                "ValidationException",
                f"1 validation error detected: Value '{text}' at 'functionName' failed to satisfy "
                f"constraint: Member must satisfy regular expression pattern: {_FUNCTION_NAME.pattern}",
            )
        return cls(match["name"], match["qualifier"], match["account"], match["region"])


_FUNCTION_NAME = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:(?P<region>[a-z0-9-]+):)?(?:(?P<account>\d{12}):)?(?:function:)?"
    r"(?P<name>[a-zA-Z0-9-_]+)(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?"
)


def parse_layer(text: str) -> tuple[str, int | None]:
    """Name and version number of a layer given as a name, an ARN or a version ARN."""
    name, _, rest = text.partition(":layer:")[2].partition(":") if ":layer:" in text else (text, "", "")
    return name, int(rest) if rest.isdigit() else None


def invalid(message: str) -> ServiceError:
    """InvalidParameterValueException."""
    return ServiceError("InvalidParameterValueException", message, fields={"Type": "User"})


def conflict(message: str) -> ServiceError:
    """ResourceConflictException."""
    return ServiceError("ResourceConflictException", message, status=409, fields={"Type": "User"})


def not_found(message: str) -> ServiceError:
    """ResourceNotFoundException."""
    return ServiceError("ResourceNotFoundException", message, status=404, fields={"Type": "User"})
