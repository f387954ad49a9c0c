"""Versions: revisions of a state machine that were published, and stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.cloud.stepfunctions import errors

if TYPE_CHECKING:
    from harness.cloud.stepfunctions.machines import Revision

__all__ = ["INITIAL", "Version", "Versions"]

INITIAL: Final = "INITIAL"
"""What requests call the revision that a state machine was created with, which has no id."""
LIMIT: Final = 1000
"""Versions a state machine can have (API reference, PublishStateMachineVersion)."""


@dataclass(frozen=True)
class Version:
    """A published revision.

    Attributes:
        arn: The state machine's ARN and the number.
        machine_arn: The state machine's ARN.
        number: 1 for the first; no number is given out twice.
        revision: What was published.
        description: As given.
        created: Virtual time.
    """

    arn: str
    machine_arn: str
    number: int
    revision: Revision
    description: str | None
    created: float


class Versions:
    """The versions of one state machine.

    Args:
        machine_arn: The state machine's ARN.
    """

    def __init__(self, machine_arn: str) -> None:
        self._machine_arn = machine_arn
        self._by_number: dict[int, Version] = {}
        self._last = 0

    def __iter__(self) -> Iterator[Version]:
        """Oldest first."""
        return iter(self._by_number.values())

    def get(self, number: int) -> Version | None:
        """The version of a number."""
        return self._by_number.get(number)

    def of(self, revision: Revision) -> Version | None:
        """The version that a revision was published as."""
        return next((version for version in self if version.revision.id == revision.id), None)

    def publish(
        self, revision: Revision, now: float, description: str | None = None, *, expected: str | None = None
    ) -> Version:
        """PublishStateMachineVersion: a new version, or the one there is of this revision.

        Args:
            revision: The state machine as it is.
            now: Virtual time.
            description: Of the version.
            expected: revisionId of the revision that the caller means; `INITIAL` for the first.

        Raises:
            ServiceError: ConflictException, ServiceQuotaExceededException.
        """
        current = revision.id or INITIAL
        if expected is not None and expected != current:
            raise errors.conflict(
                f"Failed to publish the State Machine version for revision {expected}. "
                f"The current State Machine revision is {current}."
            )
        version = self.of(revision)
        if version is not None:
            return version
        if len(self._by_number) >= LIMIT:
            raise errors.quota_exceeded(f"The state machine already has the maximum of {LIMIT} versions")
        self._last += 1
        version = Version(
            arn=f"{self._machine_arn}:{self._last}",
            machine_arn=self._machine_arn,
            number=self._last,
            revision=revision,
            description=description,
            created=now,
        )
        self._by_number[version.number] = version
        return version

    def delete(self, number: int) -> None:
        """Delete a version; one that is not there is none to delete. Aliases must not route to it."""
        self._by_number.pop(number, None)
