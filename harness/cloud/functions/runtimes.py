"""Which interpreter runs a function, and the packages AWS gives it.

A function declares ``python3.12``; it gets that interpreter if this machine has one, otherwise the one the
harness itself runs on, and `Runtime.substitute` says so. What AWS's runtime has beside the standard library
(boto3, and the runtime interface client) lies in a folder of the cache, made once per interpreter.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

import uv

from harness.errors import EnvironmentFault
from harness.project.cache import locked
from harness.project.interpreters import nearest_interpreter

INTERFACE_CLIENT = "awslambdaric==4.2.2"

SUPPORTED = ("python3.9", "python3.10", "python3.11", "python3.12", "python3.13", "python3.14")
"""The Python runtimes in which AWS lets one create functions."""


@dataclass(frozen=True)
class Runtime:
    """An interpreter that runs functions.

    Attributes:
        declared: What the function asks for, e.g. ``python3.12``.
        version: What it gets, e.g. ``3.11``.
        executable: The interpreter.
        prefix: The folder it is installed in.
    """

    declared: str
    version: str
    executable: Path
    prefix: Path

    @property
    def substitute(self) -> bool:
        """It is not the interpreter asked for."""
        return self.declared != f"python{self.version}"


def find(declared: str) -> Runtime:
    """The interpreter for a runtime name such as ``python3.12``: the one that layers are resolved for."""
    found = nearest_interpreter(declared)
    return Runtime(declared, found.minor, Path(found.path), Path(found.prefix))


def packages(runtime: Runtime, cache: Path) -> Path:
    """The folder with boto3 and the runtime interface client for an interpreter, made if it is missing.

    Blocks, for seconds and with network access the first time; afterwards it only looks.

    Raises:
        EnvironmentFault: It is missing and cannot be made.
    """
    # The harness's own version of boto3: its models are those the local cloud checks requests against.
    requirements = [INTERFACE_CLIENT, f"boto3<={importlib.metadata.version('boto3')}"]
    identity = [
        runtime.version,
        str(runtime.prefix),
        platform.machine(),
        sysconfig.get_platform(),
        *requirements,
    ]
    key = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:16]
    name = f"python{runtime.version}-{key}"
    if (cache / "functions" / name).exists():
        return cache / "functions" / name
    with locked(cache / "functions", name) as folder:
        if not folder.exists():
            _install(runtime, requirements, folder)
    return folder


def _install(runtime: Runtime, requirements: list[str], folder: Path) -> None:
    """Install into a folder beside, then give it its name: a folder of that name is always complete."""
    scratch = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    command = [
        uv.find_uv_bin(),
        *("pip", "install", "--quiet", "--compile-bytecode"),
        *("--python", str(runtime.executable), "--target", str(scratch / "packages")),
        *requirements,
    ]
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    try:
        made = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise EnvironmentFault(
                f"the packages functions run with ({', '.join(requirements)}) cannot be installed for Python "
                f"{runtime.version}: {made.stderr.strip()}",
                hint="this needs the package index once; afterwards functions run without a network",
            )
        (scratch / "packages").rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
