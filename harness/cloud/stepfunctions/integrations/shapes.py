"""Between the JSON of a state and the requests and responses of AWS services.

Step Functions calls services through the AWS SDK for Java, and its JSON has that SDK's spellings: members in
PascalCase, times as text or numbers, blobs as text. botocore's models say what the members are; a `Dialect`
says how they are spelt. Optimized integrations (``sqs:sendMessage``) speak the dialect of version 1 of that
SDK, ``aws-sdk:*`` integrations that of version 2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from harness.asl.values import json_text
from harness.cloud.models import Shape, load_model

__all__ = ["SDK_V1", "SDK_V2", "Api", "Dialect", "iso", "pascal_case"]


def iso(moment: datetime) -> str:
    """A timestamp as Java's Instant prints it: UTC, a fraction only when there is one."""
    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    unit = "milliseconds" if moment.microsecond % 1000 == 0 else "microseconds"
    text = moment.isoformat(timespec=unit if moment.microsecond else "seconds")
    return text.replace("+00:00", "Z")


# Names --------------------------------------------------------------------------------------------------

_BOUNDARIES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"[^A-Za-z0-9]+"), " "),
    (re.compile(r"([^a-z]{2,})v([0-9]+)"), r"\1 v\2 "),  # SESv2: SES v2
    (re.compile(r"([^A-Z]{2,})V([0-9]+)"), r"\1 V\2 "),
    (re.compile(r"(?<=[a-z])(?=[A-Z][A-Za-z0-9])"), " "),  # SageMaker: Sage Maker; but IoT stays one word
    (re.compile(r"([A-Z]+)([A-Z][a-z])"), r"\1 \2"),  # DBInstance: DB Instance
    (re.compile(r"([0-9])([A-Za-z])"), r"\1 \2"),
)


@cache
def pascal_case(name: str) -> str:
    """A name as version 2 of the AWS SDK for Java spells it: DBInstance becomes DbInstance."""
    for pattern, replacement in _BOUNDARIES:
        name = pattern.sub(replacement, name)
    return "".join(word[:1].upper() + word[1:].lower() for word in name.split())


@cache
def _capitalised(name: str) -> str:
    return name[:1].upper() + name[1:]


# Members that version 2 renames, `equals` to `equalsValue`: words of Java's, and methods of its objects. The
# first is in AWS's developer guide, the others follow the SDK. DynamoDB's NULL has its own name.
_TAKEN = frozenset(
    {
        "Equals",
        "Boolean",
        "Default",
        "Double",
        "Else",
        "Enum",
        "Float",
        "Int",
        "Interface",
        "Long",
        "Package",
        "Public",
        "Return",
        "Static",
    }
)


@cache
def _v2_name(name: str) -> str:
    if name == "NULL":
        return "Nul"
    pascal = pascal_case(name)
    return f"{pascal}Value" if pascal in _TAKEN else pascal


# Models -------------------------------------------------------------------------------------------------


# SQS still answers with the error codes of its former protocol, which its model has no more.
_SQS = "AWS.SimpleQueueService."
_SQS_RENAMED = {"NonExistentQueue": "QueueDoesNotExist", "QueueAlreadyExists": "QueueNameExists"}


class Api:
    """One operation of a service, as its model describes it.

    Args:
        service: botocore's name.
        operation: The operation.
        fields: The members of the request that Step Functions takes; None for all.

    Attributes:
        shapes: All shapes of the service.
        input: Name of the input shape, if there is one.
        output: Name of the output shape, if there is one.
        names: Of the structures that a dialect has read: JSON name to botocore name, by the shape's name.
    """

    def __init__(self, service: str, operation: str, fields: Collection[str] | None = None) -> None:
        model = load_model(service)
        described = model.operations[operation]
        self.shapes = model.shapes
        self.input = described.input
        self.output = described.output
        self.fields = fields
        self.names: dict[str, Mapping[str, str]] = {}

    def takes(self, of: str) -> Iterable[str]:
        """The members of a structure that a request may have."""
        members: Iterable[str] = self.shapes[of]["members"]
        return members if self.fields is None or of != self.input else self.fields

    def exception(self, code: str) -> str | None:
        """The SDK's exception class for a modelled error; None where the SDK falls back to its base class."""
        name = self._exception_shape(code)
        if name is None:
            return None
        stem = name.removesuffix("Fault")
        return stem if stem.endswith("Exception") else stem + "Exception"

    def _exception_shape(self, code: str) -> str | None:
        plain = code.removeprefix(_SQS)
        code = _SQS_RENAMED.get(plain, plain)
        found = None
        for name, shape in self.shapes.items():
            if shape.get("exception"):
                if name == code:
                    return name
                if shape.get("error", {}).get("code") == code:
                    found = name
        return found


def _automatic(shape: Shape, member: str) -> bool:
    """The SDK fills in a member that it was not given."""
    return bool(shape["members"][member].get("idempotencyToken"))


# Dialects -----------------------------------------------------------------------------------------------

_KINDS = {
    "list": "a LIST",
    "map": "an OBJECT",
    "structure": "an OBJECT",
    "string": "a STRING",
    "boolean": "a BOOLEAN",
    "integer": "an INTEGER",
    "long": "an INTEGER",
    "float": "a NUMBER",
    "double": "a NUMBER",
    "timestamp": "a valid RFC3339 timestamp",
}


def _plain(key: str) -> str:
    return key.removesuffix(".$")


# The quotes differ on AWS too (recorded with CreateStateMachine and in the causes of executions).


def _unsupported(field: str) -> str:
    return f'The field "{field}" is not supported by Step Functions'


def _missing(field: str) -> str:
    return f"The field '{field}' is required but was missing"


def _is_timestamp(value: Any) -> bool:
    if isinstance(value, str):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            return False
        return True
    return _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Dialect:
    """How a version of the SDK spells a service's members.

    Attributes:
        name: The JSON name of a botocore member.
        time: The JSON value of a timestamp.
    """

    name: Callable[[str], str]
    time: Callable[[datetime], str | int]

    def members(self, api: Api, of: str) -> Mapping[str, str]:
        """JSON name to botocore name, for the members of a structure."""
        names = api.names.get(of)
        if names is None:
            names = api.names[of] = self._members(api.takes(of))
        return names

    def _members(self, members: Iterable[str]) -> dict[str, str]:
        names = {self.name(member): member for member in members}
        # A member that begins with a capital is taken in the service's own spelling too (BOOL beside Bool):
        # nobody has recorded that AWS refuses it.
        names.update({member: member for member in members if member[:1].isupper()})
        return names

    def problems(self, api: Api, parameters: Mapping[str, Any]) -> list[str]:
        """What is wrong with Parameters as a definition has them: unknown members at any depth, and missing
        ones of the request itself.

        Args:
            api: The operation.
            parameters: Keys may end in ``.$``, values may be expressions.
        """
        if api.input is None:
            return [_unsupported(key) for key in sorted(map(_plain, parameters))]
        shape = api.shapes[api.input]
        names = self.members(api, api.input)
        given = {names.get(_plain(key)) for key in parameters}
        return list(dict.fromkeys(self._unknown(api, api.input, parameters))) + [
            _missing(self.name(member))
            for member in shape.get("required", ())
            if member not in given and not _automatic(shape, member)
        ]

    def _unknown(self, api: Api, of: str, value: Any) -> Iterator[str]:
        """What is said of members that a structure does not have, in the literal parts of a template."""
        shape = api.shapes[of]
        match shape["type"]:
            case "structure" if isinstance(value, Mapping) and not shape.get("document"):
                names = self.members(api, of)
                for key, item in sorted(value.items()):
                    member = names.get(_plain(key))
                    if member is None:
                        yield _unsupported(_plain(key))
                    elif not key.endswith(".$"):
                        yield from self._unknown(api, shape["members"][member]["shape"], item)
            case "list" if isinstance(value, list):
                for item in value:
                    yield from self._unknown(api, shape["member"]["shape"], item)
            case "map" if isinstance(value, Mapping):
                for key, item in value.items():
                    if not key.endswith(".$"):
                        yield from self._unknown(api, shape["value"]["shape"], item)

    def to_request(self, api: Api, arguments: Any) -> tuple[dict[str, Any], list[str]]:
        """The botocore form of a request, and what in it does not fit the API."""
        problems: list[str] = []
        if api.input is None:
            return {}, problems
        request = self._read(api, api.input, arguments, problems, "Parameters")
        return request if isinstance(request, dict) else {}, problems

    def _read(self, api: Api, of: str, value: Any, problems: list[str], field: str) -> Any:
        shape = api.shapes[of]
        match shape["type"]:
            case "structure" if shape.get("document"):
                return value
            case "structure" if isinstance(value, Mapping):
                return self._read_structure(api, of, value, problems)
            case "list" if isinstance(value, list):
                item_of = shape["member"]["shape"]
                return [self._read(api, item_of, item, problems, field) for item in value]
            case "map" if isinstance(value, Mapping):
                item_of = shape["value"]["shape"]
                return {
                    key: self._read(api, item_of, item, problems, field)
                    for key, item in value.items()
                    if item is not None
                }
            case "string" if isinstance(value, str):
                return value
            case "string" if isinstance(value, list | dict):
                return json_text(value)
            case "blob":
                return (value if isinstance(value, str) else json_text(value)).encode()
            case "timestamp" if _is_timestamp(value):
                return value
            case "boolean" if isinstance(value, bool):
                return value
            case "integer" | "long" if _is_number(value) and value == int(value):
                return int(value)
            case "float" | "double" if _is_number(value):
                return value
            case kind:
                problems.append(f"The value for the field '{field}' must be {_KINDS.get(kind, 'valid')}")
                return value

    def _read_structure(
        self, api: Api, of: str, value: Mapping[str, Any], problems: list[str]
    ) -> dict[str, Any]:
        shape = api.shapes[of]
        names = self.members(api, of)
        request = {}
        for key, item in value.items():
            member = names.get(key)
            if member is None:
                problems.append(_unsupported(key))
            elif item is not None:
                request[member] = self._read(api, shape["members"][member]["shape"], item, problems, key)
        problems.extend(
            _missing(self.name(member))
            for member in shape.get("required", ())
            if member not in request and not _automatic(shape, member)
        )
        return request

    def to_json(self, api: Api, response: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON form of a response, members sorted by name as Step Functions shows them."""
        result = self._write(api.shapes, api.output, response) if api.output else {}
        assert isinstance(result, dict)
        return result

    def _write(self, shapes: Mapping[str, Shape], name: str, value: Any) -> Any:
        shape = shapes[name]
        match shape["type"]:
            case "structure" if not shape.get("document"):
                members = shape["members"]
                found = {
                    self.name(key): self._write(shapes, members[key]["shape"], item)
                    for key, item in value.items()
                    if item is not None and key in members
                }
                return dict(sorted(found.items()))
            case "list":
                of = shape["member"]["shape"]
                return [self._write(shapes, of, item) for item in value]
            case "map":
                of = shape["value"]["shape"]
                return {key: self._write(shapes, of, item) for key, item in value.items()}
            case "blob" if isinstance(value, bytes | bytearray):
                return value.decode(errors="replace")
            case "timestamp" if isinstance(value, datetime):
                return self.time(value)
            case _:
                return value


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


SDK_V1 = Dialect(name=_capitalised, time=_milliseconds)
SDK_V2 = Dialect(name=_v2_name, time=iso)
