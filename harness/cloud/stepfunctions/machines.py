"""State machines: what they are, and how they change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from harness.asl import StateMachine
from harness.cloud.errors import ServiceError
from harness.cloud.service import CloudContext
from harness.cloud.stepfunctions import errors
from harness.cloud.stepfunctions.definitions import MachineType, compile_definition
from harness.cloud.stepfunctions.integrations import Integrations
from harness.cloud.stepfunctions.names import check_name, check_role_arn, machine_name, random_uuid

if TYPE_CHECKING:
    from harness.cloud.stepfunctions.executions import Record

__all__ = ["Machine", "Machines", "Revision"]

Settings = Mapping[str, Any]

TAG_LIMIT = 50


@dataclass(frozen=True)
class Revision:
    """A state machine as it was at one time: what UpdateStateMachine replaces.

    Executions keep the revision they were started with.

    Attributes:
        id: Empty for the first one, which AWS does not number either.
        definition: JSON text, as given.
        machine: The definition compiled.
        role_arn: The role in whose name executions call services.
        logging: LoggingConfiguration.
        tracing: TracingConfiguration.
        encryption: EncryptionConfiguration.
        updated: Virtual time.
    """

    id: str
    definition: str
    machine: StateMachine
    role_arn: str
    logging: Settings
    tracing: Settings
    encryption: Settings
    updated: float


@dataclass
class Machine:
    """A state machine.

    Attributes:
        arn: Its ARN, without qualifier.
        name: Unique in the cloud.
        type: STANDARD or EXPRESS.
        created: Virtual time.
        revision: What it is now.
        tags: By key.
        status: DELETING while executions of a deleted machine come to their end.
        running: Its executions that have not ended.
    """

    arn: str
    name: str
    type: MachineType
    created: float
    revision: Revision
    tags: dict[str, str]
    status: Literal["ACTIVE", "DELETING"] = "ACTIVE"
    running: dict[str, Record] = field(default_factory=dict)


class Machines:
    """All state machines of a cloud."""

    def __init__(self, cloud: CloudContext, integrations: Integrations) -> None:
        self._cloud = cloud
        self._integrations = integrations
        self._by_name: dict[str, Machine] = {}

    def __iter__(self) -> Iterator[Machine]:
        """In the order of their creation."""
        return iter(self._by_name.values())

    def get(self, arn: str) -> Machine:
        """The state machine of an ARN.

        Raises:
            ServiceError: InvalidArn, StateMachineDoesNotExist.
        """
        machine = self._by_name.get(machine_name(arn))
        if machine is None or machine.arn != arn:
            raise errors.state_machine_does_not_exist(arn)
        return machine

    def find(self, arn: str) -> Machine | None:
        """The state machine of an ARN, if it is (still) there."""
        machine = self._by_name.get(machine_name(arn))
        return machine if machine is not None and machine.arn == arn else None

    def create(self, params: Mapping[str, Any]) -> Machine:
        """CreateStateMachine: a new machine, or the one there is if it is the same.

        "The same" does not look at role and tags (API reference, CreateStateMachine).

        Raises:
            ServiceError: InvalidName, InvalidArn, InvalidDefinition, StateMachineAlreadyExists and more.
        """
        _refuse_versions(params)
        name = params["name"]
        check_name(name)
        machine_type: MachineType = params.get("type", "STANDARD")
        revision = self._revision(None, params, machine_type)
        tags = _merge({}, params.get("tags", ()))
        found = self._by_name.get(name)
        if found is not None:
            if found.status == "DELETING":
                raise errors.state_machine_deleting(found.arn)
            if found.type != machine_type or not _same(found.revision, revision):
                raise errors.state_machine_already_exists(found.arn)
            return found
        machine = Machine(
            arn=self._cloud.arn("states", f"stateMachine:{name}"),
            name=name,
            type=machine_type,
            created=revision.updated,
            revision=revision,
            tags=tags,
        )
        self._by_name[name] = machine
        self._warn(machine)
        return machine

    def update(self, params: Mapping[str, Any]) -> Machine:
        """UpdateStateMachine.

        Raises:
            ServiceError: StateMachineDoesNotExist, StateMachineDeleting, MissingRequiredParameter and more.
        """
        machine = self.get(params["stateMachineArn"])
        if machine.status == "DELETING":
            raise errors.state_machine_deleting(machine.arn)
        _refuse_versions(params)
        if not params.keys() & _REVISED:
            raise ServiceError(
                "MissingRequiredParameter",
                "Either the definition, the role ARN, the LoggingConfiguration, the TracingConfiguration, or "
                "the EncryptionConfiguration must be specified",
            )
        machine.revision = self._revision(machine.revision, params, machine.type)
        self._warn(machine)
        return machine

    def remove(self, machine: Machine) -> None:
        """Take a machine that has no executions left out of the list."""
        self._by_name.pop(machine.name, None)

    def _revision(
        self, before: Revision | None, params: Mapping[str, Any], machine_type: MachineType
    ) -> Revision:
        changes: dict[str, Any] = {"updated": self._cloud.clock.now()}
        if "roleArn" in params:
            check_role_arn(params["roleArn"])
            changes["role_arn"] = params["roleArn"]
        if "loggingConfiguration" in params or before is None:
            changes["logging"] = _logging(params.get("loggingConfiguration", {}))
        if "tracingConfiguration" in params or before is None:
            changes["tracing"] = {"enabled": False, **params.get("tracingConfiguration", {})}
        if "encryptionConfiguration" in params or before is None:
            changes["encryption"] = _encryption(params.get("encryptionConfiguration", {}))
        if "definition" in params:
            definition = params["definition"]
            changes["definition"] = definition
            changes["machine"] = compile_definition(definition, machine_type, self._integrations)
        if before is None:
            return Revision(id="", **changes)
        return replace(before, id=random_uuid(self._cloud.entropy), **changes)

    def _warn(self, machine: Machine) -> None:
        """Say what of a machine's settings has no effect here."""
        if machine.revision.tracing["enabled"]:
            self._cloud.events.publish(
                "warning", machine.arn, message="X-Ray tracing is enabled, but nothing is traced locally"
            )
        if machine.revision.encryption["type"] != "AWS_OWNED_KEY":
            self._cloud.events.publish(
                "warning", machine.arn, message="a KMS key is configured, but nothing is encrypted locally"
            )


_REVISED = {
    "definition",
    "roleArn",
    "loggingConfiguration",
    "tracingConfiguration",
    "encryptionConfiguration",
}


def _same(one: Revision, other: Revision) -> bool:
    return (one.definition, one.logging, one.tracing, one.encryption) == (
        other.definition,
        other.logging,
        other.tracing,
        other.encryption,
    )


def _refuse_versions(params: Mapping[str, Any]) -> None:
    if params.get("publish"):
        raise errors.refused("publish", "start executions of the state machine without a version")
    if params.get("versionDescription"):
        raise errors.validation_failed("Version description can only be set when publish is true")


def _logging(given: Settings) -> Settings:
    def invalid(why: str) -> ServiceError:
        return ServiceError("InvalidLoggingConfiguration", f"Invalid Logging Configuration: {why}")

    logging = {"level": "OFF", "includeExecutionData": False, **given}
    destinations = logging.get("destinations", ())
    if logging["level"] != "OFF" and len(destinations) != 1:
        raise invalid("Must specify exactly one Log Destination.")
    for destination in destinations:
        arn = destination.get("cloudWatchLogsLogGroup", {}).get("logGroupArn", "")
        if ":log-group:" not in arn:
            raise invalid("Log Destination must be a CloudWatch Logs log group.")
        if not arn.endswith(":*"):
            raise invalid("Log Group ARN must be provided with '*' qualifier.")
    return logging


def _encryption(given: Settings) -> Settings:
    encryption = {"type": "AWS_OWNED_KEY", **given}
    if (encryption["type"] == "CUSTOMER_MANAGED_KMS_KEY") != ("kmsKeyId" in encryption):
        raise ServiceError(
            "InvalidEncryptionConfiguration",
            "Invalid Encryption Configuration: kmsKeyId must be set for type CUSTOMER_MANAGED_KMS_KEY only",
        )
    return encryption


# Tags ---------------------------------------------------------------------------------------------------


def _merge(tags: Mapping[str, str], more: Iterable[Mapping[str, str]]) -> dict[str, str]:
    merged = {**tags, **{tag["key"]: tag.get("value", "") for tag in more}}
    if len(merged) > TAG_LIMIT:
        raise ServiceError("TooManyTags", f"A resource can have at most {TAG_LIMIT} tags.")
    return merged


def tag(machine: Machine, tags: Iterable[Mapping[str, str]]) -> None:
    """Add tags, or change them.

    Raises:
        ServiceError: TooManyTags.
    """
    machine.tags = _merge(machine.tags, tags)


def untag(machine: Machine, keys: Iterable[str]) -> None:
    """Remove tags; one that is not there is none to remove."""
    for key in keys:
        machine.tags.pop(key, None)
