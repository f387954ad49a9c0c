"""Python environments: what images install with pip, made with uv and shared between images."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import uv

from harness.containers.runtime import Output
from harness.containers.session import remove_tree
from harness.errors import ContainerError
from harness.project.cache import cache_folder, locked
from harness.project.pythons import Interpreter

__all__ = ["Installation", "InstallationError", "PythonEnvironment", "environment"]

FORMAT = "1"
"""Changed whenever environments are made differently, so that old ones are not taken for new ones."""

DONE = "complete"  # a file that is made last


class InstallationError(ContainerError):
    """Packages cannot be installed; the message ends with uv's.

    Attributes:
        number: Which of the installations it was, from 0.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


@dataclass(frozen=True)
class Installation:
    """One ``pip install``.

    Attributes:
        arguments: What follows ``uv pip install``, with paths of this machine.
        folder: The folder it runs in.
        identity: Everything that decides what it installs, without paths of this machine.
        variables: Environment variables for uv.
    """

    arguments: tuple[str, ...]
    folder: Path
    identity: str
    variables: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class PythonEnvironment:
    """An interpreter and its packages.

    Attributes:
        interpreter: The interpreter.
        root: The environment's folder in the cache.
    """

    interpreter: Interpreter
    root: Path

    @property
    def scripts(self) -> Path:
        """The folder of ``python`` and of the packages' console scripts."""
        return self.root / "venv" / "bin"

    @property
    def layer(self) -> Path:
        """Files for ``/usr/local/bin``, where Python images have their programs."""
        return self.root / "layer"

    @property
    def shown(self) -> tuple[Path, ...]:
        """Folders of this machine that a container must see where they are."""
        return (self.root / "venv", *map(Path, self.interpreter.folders))

    @property
    def complete(self) -> bool:
        """It has been made, and its interpreter is still there."""
        return (self.root / DONE).exists() and (self.scripts / "python").exists()


def environment(
    interpreter: Interpreter, installations: Sequence[Installation], progress: Output
) -> PythonEnvironment:
    """The environment that results from some installations; made if it is not there yet.

    An environment once made needs no network. Making one needs it only for what uv has not kept.

    Raises:
        InstallationError: A package cannot be installed.
        ContainerError: The environment cannot be made.
    """
    identity = [
        FORMAT,
        interpreter.path,
        repr(interpreter.version),
        *(step.identity for step in installations),
    ]
    key = hashlib.sha256("\0".join(identity).encode()).hexdigest()[:32]
    found = PythonEnvironment(interpreter, cache_folder() / "environments" / key)
    if found.complete:
        return found
    with locked(cache_folder() / "environments", key) as root:
        if not found.complete:
            remove_tree(root)
            root.mkdir()
            _make(found, installations, progress)
            (root / DONE).touch()
    return found


def _make(made: PythonEnvironment, installations: Sequence[Installation], progress: Output) -> None:
    venv = str(made.root / "venv")
    _uv(["venv", "--no-project", "--python", made.interpreter.path, venv], made.root, {}, progress)
    for number, step in enumerate(installations):
        command = ["pip", "install", "--python", venv, *step.arguments]
        try:
            _uv(command, step.folder, dict(step.variables), progress)
        except ContainerError as error:
            # There may be no network today, and all that is needed in uv's own cache.
            try:
                _uv([*command, "--offline"], step.folder, dict(step.variables), progress)
            except ContainerError:
                raise InstallationError(error.message, number) from None
    _make_layer(made)


def _uv(arguments: list[str], folder: Path, variables: dict[str, str], progress: Output) -> None:
    inherited = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    settings = {
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
        "UV_COMPILE_BYTECODE": "1",  # containers see the environment read-only and could not keep their own
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        [uv.find_uv_bin(), *arguments],
        cwd=folder,
        env=inherited | variables | settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        command = " ".join(takewhile(lambda argument: not argument.startswith("-"), arguments))
        raise ContainerError(f"uv {command} failed:\n{done.stdout.rstrip()}")
    if arguments[0] == "pip":
        for line in done.stdout.splitlines():
            progress(line)


def _make_layer(made: PythonEnvironment) -> None:
    """Let /usr/local/bin have what the environment has, for scripts whose first line names that place."""
    folder = made.layer / "usr" / "local" / "bin"
    folder.mkdir(parents=True)
    for script in made.scripts.iterdir():
        if not os.access(script, os.X_OK) or script.is_dir():
            continue
        if not script.name.startswith("python"):
            (folder / script.name).symlink_to(script)
        elif not made.interpreter.path.startswith("/usr/local/bin/"):
            # A link would not do: Python finds its environment by the path it is started by.
            starter = folder / script.name
            starter.write_text(f'#!/bin/sh\nexec {script} "$@"\n')
            starter.chmod(0o755)
