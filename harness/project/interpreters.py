"""Which Python runs a function that declares, say, python3.12, and what its packages are resolved for.

The version that it declares, if this machine has it; else the nearest, and the difference is reported.
Packages with native code must be resolved for the interpreter that will really run them, so layers ask the
same question.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import UnsupportedError
from harness.project.pythons import Interpreter, nearest

__all__ = ["PackageTarget", "nearest_interpreter", "package_target", "runtime_version"]

OLDEST = 10
"""Current versions of boto3 and of AWS's runtime interface client need this minor version of Python 3."""

_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class PackageTarget:
    """What packages are resolved for.

    Attributes:
        python: ``3.12``.
        platform: uv's name for it, e.g. ``x86_64-manylinux2014``.
        architecture: ``x86_64`` or ``arm64``.
        exact: It is what Lambda would run.
    """

    python: str
    platform: str
    architecture: str
    exact: bool


def runtime_version(runtime: str) -> str:
    """``python3.12`` -> ``3.12``.

    Raises:
        UnsupportedError: It is not a Python runtime.
    """
    match = re.fullmatch(r"python(3\.\d+)", runtime)
    if match is None:
        raise UnsupportedError(
            f"functions with the runtime {runtime} cannot be run locally", hint="python3.x runtimes can"
        )
    return match[1]


def nearest_interpreter(runtime: str, among: Sequence[Interpreter] | None = None) -> Interpreter:
    """The interpreter that runs functions of a runtime on this machine; see `nearest`.

    Args:
        runtime: ``python3.12``.
        among: The interpreters to choose from; those installed when None.

    Raises:
        UnsupportedError: It is not a Python runtime.
        EnvironmentFault: No interpreter here can run functions.
    """
    return nearest((3, _minor(runtime_version(runtime))), among, oldest=OLDEST)


def package_target(
    runtime: str, architecture: str, among: Sequence[Interpreter] | None = None
) -> PackageTarget:
    """What a function's packages are to be resolved for.

    Args:
        runtime: ``python3.12``.
        architecture: ``x86_64`` or ``arm64``.
        among: As for `nearest_interpreter`.

    Raises:
        UnsupportedError: It is not a Python runtime.
    """
    interpreter = nearest_interpreter(runtime, among)
    machine = _ARCHITECTURES.get(platform.machine().lower(), platform.machine())
    linux = sys.platform == "linux"
    if not linux:
        system = "apple-darwin"
    elif _minor(runtime_version(runtime)) >= 12:
        system = "manylinux_2_28"  # Amazon Linux 2023 has glibc 2.34
    else:
        system = "manylinux2014"  # Amazon Linux 2 has glibc 2.26
    exact = interpreter.minor == runtime_version(runtime) and linux and machine == architecture
    name = f"{'aarch64' if machine == 'arm64' else machine}-{system}"
    return PackageTarget(interpreter.minor, name, machine, exact)


def _minor(version: str) -> int:
    return int(version.partition(".")[2])
