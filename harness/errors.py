"""The errors a user of the harness can meet, all under one root.

    HarnessError
    ├── InputError          a file the user wrote is missing or wrong (exit code 2)
    │   ├── SettingsError     harness.toml
    │   ├── TemplateError     the SAM/CloudFormation template
    │   ├── DefinitionError   a state machine definition (harness.asl)
    │   ├── ScenarioError     a scenario file
    │   └── DockerfileError   a Dockerfile the process runtime cannot honour, or a step of it that fails
    ├── UnsupportedError    valid on AWS, not supported here; refused by name (exit code 2)
    ├── EnvironmentFault    this machine lacks something: an interpreter, a port, namespaces (exit code 2)
    └── ContainerError      a container could not be started

Errors that the AWS APIs answer with are not in this tree: they are `harness.cloud.errors.ServiceError`,
and error names of the States Language are data (`harness.asl.StatesError`).
"""

from __future__ import annotations

from pathlib import Path


class HarnessError(Exception):
    """What went wrong, where, and what to do about it.

    Attributes:
        message: One sentence: what happened.
        file: The file it happened in, if it is about a file.
        place: Where in that file: ``line 12``, ``States.Train.Next``, ``[images.training]``.
        hint: What the user can do.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        file: str | Path | None = None,
        place: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.file = Path(file) if file is not None else None
        self.place = place
        self.hint = hint

    def __str__(self) -> str:
        where = ": ".join(str(part) for part in (self.file, self.place) if part)
        text = f"{where}: {self.message}" if where else self.message
        return f"{text}\n  {self.hint}" if self.hint else text


class InputError(HarnessError):
    """A file the user wrote is missing, malformed or inconsistent."""

    exit_code = 2


class SettingsError(InputError):
    """harness.toml is missing or wrong."""


class TemplateError(InputError):
    """The SAM/CloudFormation template is missing or wrong."""


class DefinitionError(InputError):
    """A state machine definition is missing or wrong."""


class ScenarioError(InputError):
    """A scenario file is missing or wrong."""


class DockerfileError(InputError):
    """A Dockerfile is missing, malformed, or has a step that fails or cannot be honoured without Docker."""


class UnsupportedError(HarnessError):
    """Something AWS has and the harness does not; refused by name rather than ignored."""

    exit_code = 2


class EnvironmentFault(HarnessError):
    """This machine lacks what the command needs."""

    exit_code = 2


class ContainerError(HarnessError):
    """A container could not be started."""
