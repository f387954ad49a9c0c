"""A build context becomes an image on the engine."""

from __future__ import annotations

import hashlib
import io
import json
import os
import posixpath
import re
import signal
import tarfile
import tempfile
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from docker.errors import APIError, ImageNotFound

from harness.containers.context import Context, open_context
from harness.containers.docker.engine import FAILURES, Engine, explanation
from harness.containers.runtime import Image, ImageSource, Output
from harness.errors import ContainerError, DockerfileError, EnvironmentFault

__all__ = ["BuildSettings", "DockerImage", "build"]

FORMAT = "1"
"""Changed whenever images are built differently, so that old ones are not taken for new ones."""

TAIL = 40
"""Lines of a failed step's output that its error shows."""

ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
"""The engine colours what a step writes to stderr."""

SPOOL = 64 * 2**20
"""Bytes of a context that are kept in memory."""


@dataclass(frozen=True)
class BuildSettings:
    """What this machine needs for builds, and no project should say.

    Attributes:
        arguments: Build arguments before all others: HARNESS_DOCKER_BUILD_ARGS, ``NAME=value,NAME=value``.
        network: The network of RUN steps: HARNESS_DOCKER_BUILD_NETWORK, e.g. ``host``.
    """

    arguments: Mapping[str, str]
    network: str | None

    @classmethod
    def of_environment(cls) -> BuildSettings:
        """Read the environment variables.

        Raises:
            EnvironmentFault: One of them makes no sense.
        """
        arguments = {}
        for item in filter(None, os.environ.get("HARNESS_DOCKER_BUILD_ARGS", "").split(",")):
            name, equals, value = item.partition("=")
            if not equals or not name:
                raise EnvironmentFault(
                    f"HARNESS_DOCKER_BUILD_ARGS has {item!r}", hint="Write NAME=value,NAME=value."
                )
            arguments[name] = value
        return cls(arguments, os.environ.get("HARNESS_DOCKER_BUILD_NETWORK") or None)


@dataclass(frozen=True)
class DockerImage:
    """The payload of an `Image` on an engine.

    Attributes:
        id: ``sha256:...`` of its configuration, by which containers name it.
        stop_signal: Asks its program to end.
    """

    id: str
    stop_signal: signal.Signals


def build(engine: Engine, source: ImageSource, settings: BuildSettings, progress: Output) -> Image:
    """Build an image, or find it built. Blocks.

    An image is known by what goes into it: the context, the build arguments, and the base images as the
    engine has them at the moment.

    Raises:
        DockerfileError: The Dockerfile is missing, or a step failed.
        ContainerError: The engine does not answer.
    """
    context, recipe = open_context(source.context, source.dockerfile)
    arguments = {**source.build_args, **_known(recipe, settings.arguments)}
    try:
        digest = _digest(engine, source, context, recipe, arguments)
        tag = f"harness/{re.sub(r'[^a-z0-9._-]', '-', source.name.lower()).strip('-._') or 'image'}:{digest}"
        found = _inspect(engine, tag)
        if found is None:
            with _archive(context, source.dockerfile, recipe) as archive:
                _build(engine, source, archive, tag, arguments, settings.network, progress)
            found = engine.api.inspect_image(tag)
        return _image(source.name, found)
    except FAILURES as error:
        reason = explanation(error)
    raise ContainerError(f"image {source.name} cannot be built: {reason}")


def _known(recipe: str, arguments: Mapping[str, str]) -> dict[str, str]:
    """Those arguments that the Dockerfile takes: the others are meant for other images."""
    taken = re.findall(r"^\s*ARG\s+(\w+)", recipe, re.MULTILINE | re.IGNORECASE)
    return {name: value for name, value in arguments.items() if name in taken}


def _digest(
    engine: Engine, source: ImageSource, context: Context, recipe: str, arguments: Mapping[str, str]
) -> str:
    bases = {name: (_inspect(engine, name) or {}).get("Id", "") for name in _bases(recipe, arguments)}
    parts = [FORMAT, context.digest(), recipe, source.dockerfile, dict(arguments), bases]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _bases(recipe: str, arguments: Mapping[str, str]) -> list[str]:
    """The images that FROM instructions name, as far as arguments and their defaults tell."""
    defaults = re.findall(r"^\s*ARG\s+(\w+)=(\S*)", recipe, re.MULTILINE | re.IGNORECASE)
    values = {name: value.strip("\"'") for name, value in defaults} | dict(arguments)
    named = re.findall(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)", recipe, re.MULTILINE | re.IGNORECASE)
    return [
        re.sub(r"\$(?:\{(\w+)[^}]*\}|(\w+))", lambda match: values.get(match[1] or match[2], ""), name)
        for name in named
    ]


def _inspect(engine: Engine, name: str) -> dict[str, Any] | None:
    """An image that the engine has, None when it does not have it, or when that is no image's name."""
    try:
        found: dict[str, Any] = engine.api.inspect_image(name)
    except ImageNotFound:
        return None
    except APIError as error:
        if error.is_client_error():
            return None
        raise
    except ValueError:  # an empty name
        return None
    return found


def _archive(context: Context, dockerfile: str, recipe: str) -> IO[bytes]:
    """The context as a tar archive, with the Dockerfile in it even where .dockerignore leaves it out."""
    file = tempfile.SpooledTemporaryFile(SPOOL)  # noqa: SIM115 - the caller closes it
    with tarfile.open(fileobj=file, mode="w") as tar:
        for path, entry in sorted(context.entries.items()):
            member = tarfile.TarInfo(path)
            member.mode = 0o755 if entry.executable or entry.kind == "folder" else 0o644
            if entry.kind == "folder":
                member.type = tarfile.DIRTYPE
                tar.addfile(member)
            elif entry.kind == "link":
                member.type, member.linkname = tarfile.SYMTYPE, entry.target
                tar.addfile(member)
            else:
                content = entry.read()
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        name = posixpath.normpath(dockerfile)
        if name not in context.entries:
            member = tarfile.TarInfo(name)
            member.size = len(recipe.encode())
            tar.addfile(member, io.BytesIO(recipe.encode()))
    file.seek(0)
    return file


def _build(
    engine: Engine,
    source: ImageSource,
    archive: IO[bytes],
    tag: str,
    arguments: Mapping[str, str],
    network: str | None,
    progress: Output,
) -> None:
    output: deque[str] = deque(maxlen=TAIL)
    stream = engine.api.build(
        fileobj=archive,
        custom_context=True,
        dockerfile=posixpath.normpath(source.dockerfile),
        tag=tag,
        buildargs=dict(arguments),
        labels={"harness.image": source.name},
        network_mode=network,
        rm=True,
        forcerm=True,
        decode=True,
        timeout=None,  # a build takes what it takes
    )
    failure: str | None = None
    for message in stream:  # to its end, else its connection stays open
        failure = failure or message.get("error")
        text = ESCAPES.sub("", str(message.get("stream") or message.get("status") or ""))
        for line in text.splitlines():
            if line.strip():
                if re.match(r"Step \d+/\d+ : ", line):
                    output.clear()  # an error shows the output of its own step
                output.append(line)
                progress(line)
    if failure:
        raise _failed(source, failure, output)


def _failed(source: ImageSource, reason: str, output: deque[str]) -> DockerfileError:
    shown = "\n".join(f"  {line}" for line in output)
    path: Path = source.context / source.dockerfile if source.context.is_dir() else source.context
    hint = None
    if re.search(r"no such host|connection refused|dial tcp|i/o timeout|manifest unknown|not found", reason):
        hint = "The base image has to be on the engine, or in a registry that it reaches."
    return DockerfileError(f"{reason.strip()}\n{shown}" if shown else reason.strip(), file=path, hint=hint)


def _image(name: str, found: Mapping[str, Any]) -> Image:
    config = found.get("Config") or {}
    environment = dict(item.partition("=")[::2] for item in config.get("Env") or ())
    stop = config.get("StopSignal") or "SIGTERM"
    number = int(stop) if stop.isdigit() else signal.Signals[f"SIG{stop.removeprefix('SIG')}"]
    return Image(
        name=name,
        digest=found["Id"],
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        environment=environment,
        labels=config.get("Labels") or {},
        payload=DockerImage(found["Id"], signal.Signals(number)),
    )
