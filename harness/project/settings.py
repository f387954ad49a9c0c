"""harness.toml: what the template cannot say.

template = "definitions/template.yaml"

[images.training]                      # one table for each image
context = "containers/training"
dockerfile = "Dockerfile"              # inside the context; this is the default
parameter = "TrainingImageUri"         # the template parameter that receives the image's URI
build_args = {BASE = "python:3.12"}    # for ARG instructions
ignore = ["RUN apt-get install *"]     # steps to do without where there is no Docker; each becomes a warning

[local]
parameters = {NameSuffix = "-local"}   # template parameters on the local cloud

[stages.dev]                           # one table for each place to promote to
account = "123456789012"
region = "eu-central-1"
parameters = {NameSuffix = "-dev"}

[scenarios]
folder = "scenarios"
containers = "auto"                    # or docker, process, stub: for scenarios that do not say

[containers]
internet = false                       # on Docker: jobs without network isolation reach the internet
startup_limit = 480                    # real seconds a serving container has to answer /ping
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn, cast, get_args

from harness.errors import SettingsError

__all__ = [
    "FILE_NAME",
    "ContainerSettings",
    "Containers",
    "ImageSettings",
    "ScenarioSettings",
    "Settings",
    "StageSettings",
    "nearest",
]

FILE_NAME = "harness.toml"

Containers = Literal["auto", "docker", "process", "stub"]

_IMAGE_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")  # what may stand as an ECR repository's last part
_ACCOUNT = re.compile(r"\d{12}")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d")


@dataclass(frozen=True)
class ImageSettings:
    """How an image is made.

    Attributes:
        context: Build context, relative to the project.
        dockerfile: Relative to the context.
        parameter: The template parameter that receives the image's URI.
        build_args: Values for ARG instructions.
        ignore: Steps to leave out without Docker, see `harness.containers.runtime.ImageSource`.
    """

    context: str
    parameter: str
    dockerfile: str = "Dockerfile"
    build_args: Mapping[str, str] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True)
class StageSettings:
    """Where a pipeline is promoted to, and the template parameters it gets there."""

    account: str
    region: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ScenarioSettings:
    """Where scenarios lie, and how their containers run unless they say otherwise."""

    folder: str = "scenarios"
    containers: Containers = "auto"


@dataclass(frozen=True)
class ContainerSettings:
    """What containers are given on the local cloud.

    Attributes:
        internet: On Docker, containers of jobs and models without network isolation reach the internet.
        startup_limit: Real seconds a serving container has to answer ``/ping``, where a request does not say.
    """

    internet: bool = False
    startup_limit: float = 480.0


@dataclass(frozen=True)
class Settings:
    """harness.toml.

    Attributes:
        file: The file itself.
        template: The SAM/CloudFormation template, relative to the project.
        images: By name.
        local: Template parameters on the local cloud.
        stages: By name.
        scenarios: Defaults.
        containers: Of the local cloud.
    """

    file: Path
    template: str
    images: Mapping[str, ImageSettings] = field(default_factory=dict)
    local: Mapping[str, str] = field(default_factory=dict)
    stages: Mapping[str, StageSettings] = field(default_factory=dict)
    scenarios: ScenarioSettings = field(default_factory=ScenarioSettings)
    containers: ContainerSettings = field(default_factory=ContainerSettings)

    @classmethod
    def load(cls, file: Path) -> Settings:
        """Read the file.

        Raises:
            SettingsError: It is missing, not TOML, or says something that is not in this module's docstring.
        """
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise SettingsError(
                "there is no such file", file=file, hint="a project is a folder with a harness.toml"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"cannot be read: {error}", file=file) from error
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            message, place = _toml_problem(error)
            raise SettingsError(f"not TOML: {message}", file=file, place=place) from error
        return _settings(_Table(document, file, ()), file)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """A hint for a name that nobody knows: the nearest one, or all there are."""
    known = list(known)
    if not known:
        return None
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"


def _toml_problem(error: tomllib.TOMLDecodeError) -> tuple[str, str | None]:
    """tomllib puts the place into its text: ``... (at line 3, column 5)``."""
    match = re.fullmatch(r"(.*) \(at (line \d+, column \d+|end of document)\)", str(error), re.DOTALL)
    return (match[1], match[2]) if match else (str(error), None)


class _Table:
    """A TOML table, read strictly."""

    def __init__(self, values: Mapping[str, Any], file: Path, path: tuple[str, ...]) -> None:
        self._values = values
        self._file = file
        self._path = path

    def fail(self, message: str, hint: str | None = None) -> NoReturn:
        place = f"[{'.'.join(self._path)}]" if self._path else None
        raise SettingsError(message, file=self._file, place=place, hint=hint)

    def only(self, *known: str) -> None:
        """Refuse any other key."""
        for key in self._values:
            if key not in known:
                self.fail(f"unknown key {key}", nearest(key, known))

    def text(self, key: str, default: str | None = None, pattern: re.Pattern[str] | None = None) -> str:
        value = self._values.get(key, default)
        if value is None:
            self.fail(f"{key} is missing")
        if not isinstance(value, str) or not value:
            self.fail(f"{key} must be a text, not {_shown(value)}")
        if pattern is not None and not pattern.fullmatch(value):
            self.fail(f"{key} cannot be {value!r}", f"it must match {pattern.pattern}")
        return value

    def choice(self, key: str, known: tuple[str, ...], default: str) -> str:
        value = self.text(key, default)
        if value not in known:
            self.fail(f"{key} cannot be {value!r}", f"it is one of {', '.join(known)}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self._values.get(key, default)
        if not isinstance(value, bool):
            self.fail(f"{key} must be true or false, not {_shown(value)}")
        return value

    def seconds(self, key: str, default: float) -> float:
        value = self._values.get(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
            self.fail(f"{key} must be a number of seconds greater than 0, not {_shown(value)}")
        return float(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        values = self._values.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            self.fail(f"{key} must be a list of texts")
        return tuple(values)

    def strings(self, key: str) -> dict[str, str]:
        """A table of plain values, as the text CloudFormation takes for them."""
        table = self._values.get(key, {})
        if not isinstance(table, dict):
            self.fail(f"{key} must be a table, not {_shown(table)}")
        strings = {}
        for name, value in table.items():
            if isinstance(value, bool):
                strings[name] = "true" if value else "false"
            elif isinstance(value, str | int | float):
                strings[name] = str(value)
            else:
                self.fail(f"{key}.{name} must be a text or a number, not {_shown(value)}")
        return strings

    def table(self, key: str) -> _Table:
        value = self._values.get(key, {})
        if not isinstance(value, dict):
            self.fail(f"{key} must be a table, not {_shown(value)}")
        return _Table(value, self._file, (*self._path, key))

    def tables(self, key: str) -> dict[str, _Table]:
        """The tables of a table."""
        outer = self.table(key)
        return {name: outer.table(name) for name in outer._values}


def _shown(value: object) -> str:
    kinds: dict[type, str] = {
        bool: "a boolean",
        dict: "a table",
        list: "a list",
        int: "a number",
        float: "a number",
    }
    return repr(value) if isinstance(value, str) else kinds.get(type(value), f"a {type(value).__name__}")


def _settings(top: _Table, file: Path) -> Settings:
    top.only("template", "images", "local", "stages", "scenarios", "containers")
    images = {}
    for name, table in top.tables("images").items():
        table.only("context", "dockerfile", "parameter", "build_args", "ignore")
        if not _IMAGE_NAME.fullmatch(name):
            table.fail(
                f"an image cannot be called {name!r}",
                "use lower-case letters, digits, and - _ . between them",
            )
        images[name] = ImageSettings(
            context=table.text("context"),
            dockerfile=table.text("dockerfile", "Dockerfile"),
            parameter=table.text("parameter"),
            build_args=table.strings("build_args"),
            ignore=table.texts("ignore"),
        )
    stages = {}
    for name, table in top.tables("stages").items():
        table.only("account", "region", "parameters")
        stages[name] = StageSettings(
            account=table.text("account", pattern=_ACCOUNT),
            region=table.text("region", pattern=_REGION),
            parameters=table.strings("parameters"),
        )
    local = top.table("local")
    local.only("parameters")
    scenarios = top.table("scenarios")
    scenarios.only("folder", "containers")
    containers = top.table("containers")
    containers.only("internet", "startup_limit")
    return Settings(
        file=file,
        template=top.text("template"),
        images=images,
        local=local.strings("parameters"),
        stages=stages,
        scenarios=ScenarioSettings(
            folder=scenarios.text("folder", "scenarios"),
            containers=cast("Containers", scenarios.choice("containers", get_args(Containers), "auto")),
        ),
        containers=ContainerSettings(
            internet=containers.flag("internet", ContainerSettings.internet),
            startup_limit=containers.seconds("startup_limit", ContainerSettings.startup_limit),
        ),
    )
