"""Which Python runs a function that declares, say, python3.12.

The one that it declares, if this machine has it; else the nearest, and the difference is reported. Packages
with native code must be resolved for the interpreter that will really run them, so layers ask the same
question.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.errors import UnsupportedError

__all__ = ["Interpreter", "PackageTarget", "nearest_interpreter", "package_target", "runtime_version"]

OLDEST = (3, 10)
"""No older interpreter can run current versions of boto3 and AWS's runtime interface client."""

NEWEST = (3, 19)

_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class Interpreter:
    """A Python of this machine.

    Attributes:
        version: ``3.12``.
        path: Its executable.
        exact: It is the version that was asked for.
    """

    version: str
    path: str
    exact: bool


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


def nearest_interpreter(runtime: str) -> Interpreter:
    """The interpreter that runs functions of a runtime on this machine.

    The declared version, wherever it is found: the harness's own interpreter, the PATH, uv's and pyenv's
    installations. Otherwise the nearest version there is; of two equally near, the harness's own.

    Args:
        runtime: ``python3.12``.

    Raises:
        UnsupportedError: It is not a Python runtime.
    """
    wanted = runtime_version(runtime)
    if wanted == _own_version():
        return Interpreter(wanted, sys.executable, exact=True)
    found = _find(_minor(wanted))
    if found is not None:
        return Interpreter(wanted, found, exact=True)
    own = sys.version_info.minor
    by_distance = sorted(
        range(OLDEST[1], NEWEST[1] + 1), key=lambda minor: (abs(minor - _minor(wanted)), minor != own, minor)
    )
    for minor in by_distance:
        if minor == own:
            break
        found = _find(minor)
        if found is not None:
            return Interpreter(f"3.{minor}", found, exact=False)
    return Interpreter(_own_version(), sys.executable, exact=False)


def package_target(runtime: str, architecture: str) -> PackageTarget:
    """What a function's packages are to be resolved for.

    Args:
        runtime: ``python3.12``.
        architecture: ``x86_64`` or ``arm64``.

    Raises:
        UnsupportedError: It is not a Python runtime.
    """
    interpreter = nearest_interpreter(runtime)
    machine = _ARCHITECTURES.get(platform.machine().lower(), platform.machine())
    linux = sys.platform == "linux"
    if not linux:
        system = "apple-darwin"
    elif _minor(runtime_version(runtime)) >= 12:
        system = "manylinux_2_28"  # Amazon Linux 2023 has glibc 2.34
    else:
        system = "manylinux2014"  # Amazon Linux 2 has glibc 2.26
    exact = interpreter.exact and linux and machine == architecture
    name = f"{'aarch64' if machine == 'arm64' else machine}-{system}"
    return PackageTarget(interpreter.version, name, machine, exact)


def _own_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _minor(version: str) -> int:
    return int(version.partition(".")[2])


@cache
def _find(minor: int) -> str | None:
    """An interpreter of that version that works."""
    if minor < OLDEST[1]:
        return None
    return next((str(path) for path in _candidates(minor) if _works(path, minor)), None)


def _candidates(minor: int) -> Iterator[Path]:
    name = f"python3.{minor}"
    on_path = shutil.which(name, path=_path_without_shims())
    if on_path:
        yield Path(on_path)
    home = Path.home()
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv/python")
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    yield from _newest_first(uv.glob(f"cpython-3.{minor}.*/bin/{name}"))
    yield from _newest_first((pyenv / "versions").glob(f"3.{minor}.*/bin/{name}"))


def _path_without_shims() -> str:
    """pyenv's shims answer for versions that are installed but not selected, with an error."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if Path(folder).name != "shims")


def _newest_first(paths: Iterator[Path]) -> Sequence[Path]:
    return sorted(
        paths, key=lambda path: [int(part) for part in re.findall(r"\d+", path.parts[-3])], reverse=True
    )


def _works(path: Path, minor: int) -> bool:
    """It starts, and is the CPython it says it is."""
    question = (
        "import json, platform, sys; "
        "print(json.dumps([platform.python_implementation(), *sys.version_info[:2]]))"
    )
    try:
        done = subprocess.run(
            [path, "-I", "-S", "-c", question],
            capture_output=True,
            timeout=20,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        answer = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return False
    return bool(answer == ["CPython", 3, minor])
