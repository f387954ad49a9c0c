"""How a container is started: what this machine offers, and the command line of the sandbox."""

from __future__ import annotations

import math
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from harness.containers.build import Rootfs
from harness.containers.peers import Peers
from harness.containers.runtime import ContainerSpec, Mount
from harness.containers.session import remove_tree
from harness.errors import ContainerError, EnvironmentFault

__all__ = ["BASE_FOLDER", "Plan", "Support", "plan_with_namespaces", "plan_without_namespaces", "probe"]

SANDBOX = Path(__file__).parent / "sandbox" / "__main__.py"
CONTRACT_FOLDER = PurePosixPath("/opt/ml")  # which BASE_FOLDER replaces
BASE_FOLDER = "SAGEMAKER_BASE_DIR"


# What this machine can do -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Support:
    """What this machine offers containers.

    Attributes:
        namespaces: Containers get a root, a network and a process table of their own.
        overlay: Image files are laid over the system without copying them.
        reason: Why something is missing; empty when nothing is.
    """

    namespaces: bool
    overlay: bool
    reason: str = ""


@cache
def probe() -> Support:
    """Try out what this machine offers. Takes some 30 ms once; later calls answer at once.

    With the environment variable HARNESS_NO_NAMESPACES=1 nothing is offered.
    """
    choice = os.environ.get("HARNESS_NO_NAMESPACES", "")
    if choice not in ("", "0", "1"):
        raise EnvironmentFault(f"HARNESS_NO_NAMESPACES is {choice!r}", hint="Set it to 1 or 0, or unset it.")
    if choice == "1":
        return Support(False, False, "HARNESS_NO_NAMESPACES is set")
    if sys.platform != "linux":
        return Support(False, False, f"{sys.platform} has no namespaces")
    reason = _try_sandbox()
    if not reason:
        return Support(True, True)
    without_overlay = _try_sandbox("--no-overlay")
    if without_overlay:
        return Support(False, False, without_overlay)
    return Support(True, False, reason)


def _try_sandbox(*options: str) -> str:
    """Why a container cannot be set up; empty when it can."""
    command = [*_sandbox_command(), *options, "--", "/bin/sh", "-c", ":"]
    done = subprocess.run(
        command, env={}, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"


def _sandbox_command() -> list[str]:
    # The interpreter itself, not a virtual environment's: it starts faster.
    python = getattr(sys, "_base_executable", None) or sys.executable
    return [python, "-I", "-S", str(SANDBOX)]


# From specification to command line -------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """How to start a container.

    Attributes:
        options: Options of the sandbox.
        program: What it runs.
        environment: The program's environment, complete.
        stop_signal: Asks the program to end.
        namespaces: The container has a network of its own.
        ports: Which port of this machine stands for a port of the container, without namespaces.
    """

    options: tuple[str, ...]
    program: tuple[str, ...]
    environment: Mapping[str, str]
    stop_signal: signal.Signals
    namespaces: bool
    ports: Mapping[int, int]

    def command(self, *options: str) -> list[str]:
        """The command that starts the container, in `process_environment`.

        Args:
            options: Further options of the sandbox.
        """
        return [*_sandbox_command(), *options, *self._arguments()]

    def shell_command(self) -> str:
        """The same for somebody who types it."""
        environment = [f"{name}={value}" for name, value in self.process_environment().items()]
        return shlex.join(["env", "-i", *environment, *_sandbox_command(), *self._arguments()])

    def process_environment(self) -> dict[str, str]:
        """The sandbox's environment: the program's, but for what would change how the sandbox is loaded."""
        return {name: value for name, value in self.environment.items() if not name.startswith("LD_")}

    def _arguments(self) -> list[str]:
        loader = [f"{name}={value}" for name, value in self.environment.items() if name.startswith("LD_")]
        given = [word for assignment in loader for word in ("--env", assignment)]
        return [*self.options, *given, "--", *self.program]


def plan_with_namespaces(spec: ContainerSpec, *, overlay: bool) -> Plan:
    """Start the image in namespaces: its files, folders and port are where the image has them."""
    rootfs: Rootfs = spec.image.payload
    python = rootfs.python
    options = [] if overlay else ["--no-overlay"]
    for layer in (rootfs.tree, python.layer):
        options += ["--layer", str(layer)]
    for path in python.shown:
        options += ["--show", str(path)]
    for mount in spec.mounts:
        options += ["--bind-ro" if mount.read_only else "--bind", str(mount.source), str(mount.target)]
    options += ["--workdir", rootfs.workdir, *_limits(spec)]
    if spec.gateway is not None:
        options += ["--gateway", str(spec.gateway.port)]
    if spec.network is not None:
        options += _peers(spec)
    environment = _environment(spec)
    return Plan(tuple(options), _program(spec), environment, rootfs.stop_signal, True, {})


def plan_without_namespaces(spec: ContainerSpec, folder: Path) -> Plan:
    """Start the image as an ordinary process: paths of the image are replaced by paths in `folder`.

    Args:
        spec: The container.
        folder: An empty folder that becomes a stand-in for the container's root.
    """
    rootfs: Rootfs = spec.image.payload
    shutil.copytree(rootfs.tree, folder, symlinks=True, dirs_exist_ok=True)
    for mount in sorted(spec.mounts, key=lambda mount: len(mount.target.parts)):
        _link(mount, folder)
    for name in ("root", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    known = [path.name for path in folder.iterdir()]

    def translate(text: str) -> str:
        """Replace each path that exists in the container's stand-in root."""

        def replace(match: re.Match[str]) -> str:
            inside = folder / match[0][1:]
            first = PurePosixPath(match[0]).parts[1:2]
            return str(inside) if first and first[0] in known and os.path.lexists(inside) else match[0]

        return re.sub(r"(?<![\w./-])/(?!/)[^\s:;,'\"=]+", replace, text)

    environment = {name: translate(value) for name, value in _environment(spec).items()}
    # Beside, not instead: a folder of the image may bear the name of one of this machine's.
    paths = [part for entry in _environment(spec)["PATH"].split(":") for part in (translate(entry), entry)]
    environment["PATH"] = ":".join(dict.fromkeys(paths))
    environment[BASE_FOLDER] = str(folder / CONTRACT_FOLDER.relative_to("/"))
    ports = {port: _free_port() for port in spec.ports}
    if ports:
        environment["SAGEMAKER_BIND_TO_PORT"] = str(next(iter(ports.values())))
    options = ("--no-namespaces", "--workdir", str(folder / rootfs.workdir.lstrip("/")), *_limits(spec))
    program = tuple(translate(word) for word in _program(spec))
    return Plan(options, program, environment, rootfs.stop_signal, False, ports)


def _link(mount: Mount, folder: Path) -> None:
    """Let a mount's target in a stand-in root be a link to its source."""
    target = folder / mount.target.relative_to("/")
    if target.parent.resolve().is_relative_to(folder.resolve()):
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir() and not target.is_symlink():
            remove_tree(target)
        target.unlink(missing_ok=True)
        target.symlink_to(mount.source.resolve())
        return
    raise ContainerError(
        f"{mount.target} cannot be mounted inside another mount without namespaces",
        hint="Use a machine that allows user namespaces.",
    )


def _peers(spec: ContainerSpec) -> list[str]:
    if not isinstance(spec.network, Peers):
        raise ContainerError(f"container {spec.name}: its network is another runtime's")
    if spec.hostname not in spec.network.hosts:
        raise ContainerError(f"container {spec.name}: {spec.hostname} is not on its network")
    return spec.network.options(spec.hostname)


def _limits(spec: ContainerSpec) -> list[str]:
    options = ["--hostname", (spec.hostname or spec.name)[:64]]
    if spec.memory is not None:
        options += ["--memory", str(spec.memory)]
    if spec.cpus is not None:
        options += ["--processors", str(max(1, math.ceil(spec.cpus)))]
    return options


def _program(spec: ContainerSpec) -> tuple[str, ...]:
    image = spec.image
    entrypoint = image.entrypoint if spec.entrypoint is None else spec.entrypoint
    default = image.command if spec.entrypoint is None else ()
    program = (*entrypoint, *(default if spec.arguments is None else spec.arguments))
    if not program:
        raise ContainerError(
            f"container {spec.name} has no command: image {image.name} has neither ENTRYPOINT nor CMD"
        )
    # Python images keep Python in /usr/local/bin; here it is in the environment.
    name = program[0].removeprefix("/usr/local/bin/")
    scripts: Path = image.payload.python.scripts
    if name != program[0] and (scripts / name).exists():
        return (str(scripts / name), *program[1:])
    return program


def _environment(spec: ContainerSpec) -> dict[str, str]:
    """The complete environment: image, then specification, then what every container has."""
    rootfs: Rootfs = spec.image.payload
    given = {**spec.image.environment, **spec.environment}
    if spec.gateway is not None:
        # The port is the same in the container, whether it has a network of its own or not.
        given |= dict.fromkeys(spec.gateway.variables, f"http://127.0.0.1:{spec.gateway.port}")
    environment = {"HOSTNAME": (spec.hostname or spec.name)[:64], "HOME": "/root", **given}
    path = environment["PATH"].split(":")
    # Where a Python image has its programs the environment's come first; with no such place, before all else.
    place = path.index("/usr/local/bin") if "/usr/local/bin" in path else 0
    environment["PATH"] = ":".join([*path[:place], str(rootfs.python.scripts), *path[place:]])
    return environment


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
