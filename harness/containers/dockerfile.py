"""Read a Dockerfile.

Only the language is dealt with here: lines, directives, variables, and the form of each instruction.
What an instruction does to an image is `harness.containers.build`'s business.

Source: the Dockerfile reference, https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from harness.containers.shellwords import SyntaxProblem, expand, split_words
from harness.errors import DockerfileError

__all__ = ["Dockerfile", "Instruction", "parse"]

INSTRUCTIONS = frozenset(
    [
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    ]
)
FLAGGED = frozenset(["ADD", "COPY", "FROM", "HEALTHCHECK", "RUN"])
"""Instructions that take ``--flags``."""

HEREDOC = re.compile(r"<<-?\s*([\"']?)[A-Za-z_]\w*\1")


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        keyword: In capitals.
        text: What follows the keyword and the flags, with continuation lines joined.
        line: Number of its first line.
        flags: ``--name=value`` options; the value is empty for a bare ``--name``.
    """

    keyword: str
    text: str
    line: int
    flags: tuple[tuple[str, str], ...] = ()

    def json_form(self) -> list[str] | None:
        """The words when written as a JSON array, None when not."""
        if not self.text.startswith("["):
            return None
        try:
            words = json.loads(self.text)
        except ValueError:
            return None  # Docker takes it for a shell command, too
        return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else None

    def __str__(self) -> str:
        flags = "".join(f"--{name}={value} " if value else f"--{name} " for name, value in self.flags)
        return f"{self.keyword} {flags}{' '.join(self.text.split())}"


@dataclass
class Dockerfile:
    """A Dockerfile, taken apart.

    Attributes:
        name: Path of the file, for messages.
        arguments: The ARG instructions in front of FROM.
        base: The FROM instruction.
        steps: What follows it.
        escape: The escape character.
    """

    name: str
    arguments: list[Instruction]
    base: Instruction
    steps: list[Instruction]
    escape: str = "\\"

    def error(self, instruction: Instruction, message: str, hint: str | None = None) -> DockerfileError:
        """An error about one instruction, naming the file and the line."""
        place = f"line {instruction.line}: {instruction.keyword}"
        return DockerfileError(message, file=self.name, place=place, hint=hint)


def parse(text: str, name: str) -> Dockerfile:
    """Read a Dockerfile.

    Args:
        text: Its content.
        name: Its path, for messages.

    Raises:
        DockerfileError: It is malformed, or has more than one stage.
    """
    escape = _escape_directive(text, name)
    instructions = [_instruction(line, number, name) for number, line in _logical_lines(text, escape)]
    if not instructions:
        raise DockerfileError("the Dockerfile is empty", file=name, hint="It needs at least a FROM line.")
    arguments: list[Instruction] = []
    for position, instruction in enumerate(instructions):
        if instruction.keyword == "FROM":
            dockerfile = Dockerfile(name, arguments, instruction, instructions[position + 1 :], escape)
            break
        if instruction.keyword != "ARG":
            raise DockerfileError(
                "only ARG may stand before FROM",
                file=name,
                place=f"line {instruction.line}: {instruction.keyword}",
            )
        arguments.append(instruction)
    else:
        raise DockerfileError(
            "there is no FROM", file=name, hint="Name the base image: FROM python:3.12-slim"
        )
    for step in dockerfile.steps:
        if step.keyword == "FROM":
            raise dockerfile.error(
                step,
                f"a second stage ({step.text}) needs Docker: without it only a single stage can be built",
                "Make the Dockerfile a single stage.",
            )
    return dockerfile


def _escape_directive(text: str, name: str) -> str:
    """Parser directives are comments of the form ``# name=value`` above everything else."""
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r"\s*#\s*([A-Za-z]+)\s*=\s*(.*?)\s*$", line)
        if match is None or match[1].lower() not in ("syntax", "escape", "check"):
            break
        if match[1].lower() == "escape":
            if match[2] not in ("\\", "`"):
                raise DockerfileError(
                    f"the escape character must be \\ or `, not {match[2]!r}",
                    file=name,
                    place=f"line {number}",
                )
            return match[2]
    return "\\"


def _logical_lines(text: str, escape: str) -> Iterator[tuple[int, str]]:
    """(number of the first line, text) with continuation lines joined and comments and blank lines gone."""
    continued = re.compile(re.escape(escape) + r"[ \t]*$")
    parts: list[str] = []
    start = 0
    for number, raw in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        line = raw.lstrip()
        if not line or line.startswith("#"):
            continue  # also inside a continued instruction
        if not parts:
            start = number
        else:
            line = raw
        match = continued.search(line)
        parts.append(line[: match.start()] if match else line)
        if not match:
            yield start, "".join(parts).strip()
            parts = []
    if parts:
        yield start, "".join(parts).strip()


def _instruction(line: str, number: int, name: str) -> Instruction:
    keyword, _, text = re.sub(r"\s+", " ", line, count=1).partition(" ")
    keyword = keyword.upper()
    place = f"line {number}: {keyword}"
    if keyword not in INSTRUCTIONS:
        raise DockerfileError("there is no such instruction", file=name, place=place)
    text = text.strip()
    if keyword in ("RUN", "COPY", "ADD") and HEREDOC.search(text):
        raise DockerfileError(
            "here-documents (<<) are not supported without Docker",
            file=name,
            place=place,
            hint="Put the text into a file of the context and COPY it.",
        )
    flags = []
    while keyword in FLAGGED and (match := re.match(r"--([a-z][a-z-]*)(?:=(\S*))?(?:\s+|$)", text)):
        flags.append((match[1], match[2] or ""))
        text = text[match.end() :]
    if not text:
        raise DockerfileError("the instruction has no arguments", file=name, place=place)
    return Instruction(keyword, text, number, tuple(flags))


# Variables --------------------------------------------------------------------------------------------


@dataclass
class Variables:
    """The variables in force at some point of a Dockerfile.

    Attributes:
        environment: ENV.
        arguments: ARG, those that have a value.
        used: Names of build arguments that an ARG has declared.
    """

    build_args: Mapping[str, str]
    environment: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def all(self) -> dict[str, str]:
        """ENV wins over ARG."""
        return self.arguments | self.environment

    def declare(self, dockerfile: Dockerfile, instruction: Instruction, defaults: Mapping[str, str]) -> None:
        """Carry out an ARG instruction.

        Args:
            dockerfile: The file it stands in.
            instruction: The instruction.
            defaults: What an ARG without a value means: those declared before FROM.
        """
        for word in words(dockerfile, instruction):
            name, given, default = word.partition("=")
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise dockerfile.error(instruction, f"{name!r} is not a variable's name")
            self.used.add(name)
            if name in self.build_args:
                self.arguments[name] = self.build_args[name]
            elif given:
                self.arguments[name] = substitute(dockerfile, instruction, default, self.all())
            elif name in defaults:
                self.arguments[name] = defaults[name]


def platform_arguments() -> dict[str, str]:
    """The arguments that are there before FROM without being declared."""
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    values = {"OS": "linux", "ARCH": architecture, "PLATFORM": f"linux/{architecture}"}
    return {f"{side}{name}": value for side in ("BUILD", "TARGET") for name, value in values.items()}


def words(dockerfile: Dockerfile, instruction: Instruction) -> list[str]:
    """The words of an instruction, not yet substituted."""
    try:
        return split_words(instruction.text, dockerfile.escape)
    except SyntaxProblem as problem:
        raise dockerfile.error(instruction, str(problem)) from problem


def substitute(
    dockerfile: Dockerfile, instruction: Instruction, text: str, variables: Mapping[str, str]
) -> str:
    """`expand`, with errors that name the line."""
    try:
        return expand(text, variables, dockerfile.escape)
    except SyntaxProblem as problem:
        raise dockerfile.error(instruction, str(problem)) from problem


def assignments(
    dockerfile: Dockerfile, instruction: Instruction, variables: Mapping[str, str]
) -> dict[str, str]:
    """The pairs of an ENV or LABEL instruction: ``NAME=value ...``, or the old form ``NAME the rest``."""
    first, *others = words(dockerfile, instruction)
    if "=" not in first:
        if not others:
            raise dockerfile.error(
                instruction, f"{first} has no value", f"Write {instruction.keyword} {first}=..."
            )
        rest = instruction.text[len(first) :].strip()
        return {first: substitute(dockerfile, instruction, rest, variables)}
    pairs: dict[str, str] = {}
    for word in (first, *others):
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise dockerfile.error(instruction, f"{word!r} is not of the form NAME=value")
        name = substitute(dockerfile, instruction, name, variables)
        pairs[name] = substitute(dockerfile, instruction, value, variables)
    return pairs
