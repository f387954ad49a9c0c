"""State machines: what they are, and how they change."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from harness.asl import StateMachine
from harness.asl.values import make_uuid
from harness.cloud.errors import ServiceError
from harness.cloud.service import CloudContext
from harness.cloud.stepfunctions import errors
from harness.cloud.stepfunctions.aliases import Alias, Aliases
from harness.cloud.stepfunctions.definitions import MachineType, compile_definition
from harness.cloud.stepfunctions.integrations import Integrations
from harness.cloud.stepfunctions.names import (
    check_name,
    check_role_arn,
    parse_machine_arn,
)
from harness.cloud.stepfunctions.settings import Settings, encryption_of, logging_of, tracing_of, warn_of_key
from harness.cloud.stepfunctions.tags import merge
from harness.cloud.stepfunctions.versions import Version, Versions

if TYPE_CHECKING:
    from harness.cloud.stepfunctions.executions import Record

__all__ = ["Machine", "Machines", "Reference", "Revision"]


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
        serial: What state machines are listed by.
        created: Virtual time.
        revision: What it is now.
        tags: By key.
        versions: What was published of it.
        aliases: Names for its versions.
        published: What CreateStateMachine was told to publish: nothing, or a version with a description.
        status: DELETING while executions of a deleted machine come to their end.
        running: Its executions that have not ended.
    """

    arn: str
    name: str
    type: MachineType
    serial: int
    created: float
    revision: Revision
    tags: dict[str, str]
    versions: Versions
    aliases: Aliases
    published: tuple[bool, str | None]
    status: Literal["ACTIVE", "DELETING"] = "ACTIVE"
    running: dict[str, Record] = field(default_factory=dict)


@dataclass(frozen=True)
class Reference:
    """What the ARN of a state machine, of a version or of an alias refers to.

    Attributes:
        machine: The state machine.
        version: The version, if it is the ARN of one, or of an alias.
        alias: The alias, if it is the ARN of one.
    """

    machine: Machine
    version: Version | None = None
    alias: Alias | None = None

    @property
    def revision(self) -> Revision:
        """What an execution runs."""
        return self.machine.revision if self.version is None else self.version.revision


class Machines:
    """All state machines of a cloud."""

    def __init__(self, cloud: CloudContext, integrations: Integrations) -> None:
        self._cloud = cloud
        self._integrations = integrations
        self._by_arn: dict[str, Machine] = {}
        self._serials = itertools.count()

    def __iter__(self) -> Iterator[Machine]:
        """In the order of their creation."""
        return iter(self._by_arn.values())

    def get(self, arn: str) -> Machine:
        """The state machine of an ARN that is not qualified.

        Raises:
            ServiceError: InvalidArn, ValidationException, StateMachineDoesNotExist.
        """
        machine = self.find(arn)
        if machine is None:
            raise errors.state_machine_does_not_exist(arn)
        return machine

    def find(self, arn: str) -> Machine | None:
        """The state machine of an ARN, if it is (still) there.

        Raises:
            ServiceError: InvalidArn, ValidationException.
        """
        machine = self._by_arn.get(arn)
        if machine is None:
            parse_machine_arn(arn)
        return machine

    def resolve(self, arn: str, *, choose: bool = False) -> Reference:
        """What an ARN, qualified or not, refers to.

        Args:
            arn: ARN of a state machine, a version or an alias.
            choose: Let the weights of an alias decide which version it is this time. Otherwise it is the one
                that gets most executions.

        Raises:
            ServiceError: InvalidArn, ValidationException, StateMachineDoesNotExist.
        """
        machine = self._by_arn.get(arn)
        if machine is not None:
            return Reference(machine)
        parsed = parse_machine_arn(arn)
        machine = self._by_arn.get(arn.rpartition(":")[0])
        if machine is not None and parsed.version is not None:
            version = machine.versions.get(parsed.version)
            if version is not None and version.arn == arn:
                return Reference(machine, version)
        if machine is not None and parsed.alias is not None:
            alias = machine.aliases.get(parsed.alias)
            if alias is not None:
                version = alias.choose(self._cloud.entropy) if choose else alias.main
                return Reference(machine, version, alias)
        raise errors.state_machine_does_not_exist(arn)

    def create(self, params: Mapping[str, Any]) -> Machine:
        """CreateStateMachine: a new machine, or the one there is if it is the same.

        "The same" does not look at role and tags (API reference, CreateStateMachine).

        Raises:
            ServiceError: InvalidName, InvalidArn, InvalidDefinition, StateMachineAlreadyExists and more.
        """
        published = _published(params)
        name = params["name"]
        check_name(name)
        machine_type: MachineType = params.get("type", "STANDARD")
        revision = self._revision(None, params, machine_type)
        arn = self._cloud.arn("states", f"stateMachine:{name}")
        tags = merge(arn, {}, params.get("tags", ()))
        found = self._by_arn.get(arn)
        if found is not None:
            if found.status == "DELETING":
                raise errors.state_machine_deleting(found.arn)
            same = found.type == machine_type and found.published == published
            if not same or not _same(found.revision, revision):
                raise errors.state_machine_already_exists(found.arn)
            return found
        machine = Machine(
            arn=arn,
            name=name,
            type=machine_type,
            serial=next(self._serials),
            created=revision.updated,
            revision=revision,
            tags=tags,
            versions=Versions(arn),
            aliases=Aliases(arn),
            published=published,
        )
        if params.get("publish"):
            machine.versions.publish(revision, revision.updated, params.get("versionDescription"))
        self._by_arn[arn] = machine
        self._warn(machine)
        return machine

    def update(self, params: Mapping[str, Any]) -> Machine:
        """UpdateStateMachine. What changes nothing is no new revision.

        Raises:
            ServiceError: StateMachineDoesNotExist, StateMachineDeleting, MissingRequiredParameter and more.
        """
        machine = self.get(params["stateMachineArn"])
        if machine.status == "DELETING":
            raise errors.state_machine_deleting(machine.arn)
        publish, description = _published(params)
        if not params.keys() & _REVISED:
            raise ServiceError(
                "MissingRequiredParameter",
                "Either the definition, the role ARN, the LoggingConfiguration, the TracingConfiguration, or "
                "the EncryptionConfiguration must be specified",
            )
        revision = self._revision(machine.revision, params, machine.type)
        if not _same(machine.revision, revision) or machine.revision.role_arn != revision.role_arn:
            machine.revision = revision
            self._warn(machine)
        if publish:
            machine.versions.publish(machine.revision, self._cloud.clock.now(), description)
        return machine

    def remove(self, machine: Machine) -> None:
        """Take a machine that has no executions left out of the list."""
        self._by_arn.pop(machine.arn, None)

    def _revision(
        self, before: Revision | None, params: Mapping[str, Any], machine_type: MachineType
    ) -> Revision:
        changes: dict[str, Any] = {"updated": self._cloud.clock.now()}
        if "roleArn" in params:
            check_role_arn(params["roleArn"])
            changes["role_arn"] = params["roleArn"]
        if "loggingConfiguration" in params or before is None:
            changes["logging"] = logging_of(params)
        if "tracingConfiguration" in params or before is None:
            changes["tracing"] = tracing_of(params)
        if "encryptionConfiguration" in params or before is None:
            changes["encryption"] = encryption_of(params)
        if "definition" in params:
            definition = params["definition"]
            changes["definition"] = definition
            changes["machine"] = compile_definition(definition, machine_type, self._integrations)
        if before is None:
            return Revision(id="", **changes)
        return replace(before, id=make_uuid(self._cloud.entropy), **changes)

    def _warn(self, machine: Machine) -> None:
        """Say what of a machine's settings has no effect here."""
        if machine.revision.tracing["enabled"]:
            self._cloud.events.publish(
                "warning", machine.arn, message="X-Ray tracing is enabled, but nothing is traced locally"
            )
        warn_of_key(self._cloud, machine.arn, machine.revision.encryption)


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


def _published(params: Mapping[str, Any]) -> tuple[bool, str | None]:
    """Whether a request publishes a version, and the version's description.

    Raises:
        ServiceError: ValidationException, a description of no version.
    """
    publish, description = params.get("publish", False), params.get("versionDescription")
    if description and not publish:
        raise errors.validation_failed("Version description can only be set when publish is true")
    return publish, description
