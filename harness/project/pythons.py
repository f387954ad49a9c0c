"""The Python interpreters of this machine, and which of them is nearest to a version that is asked for.

Functions, the packages of their layers, and images all run on one of these; nothing is ever downloaded.
"""

from __future__ import annotations

import glob
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import EnvironmentFault
from harness.project.cache import cache_folder

__all__ = ["Interpreter", "installed", "nearest"]

FORMAT = 2  # of the file that remembers what is known of interpreters

QUESTIONS = """
import json, os, re, sys, sysconfig
inside = {sys.base_prefix, sys.base_exec_prefix, os.path.dirname(os.path.realpath(sys.executable))}
try:
    with open("/proc/self/maps") as maps:
        inside |= {os.path.dirname(path) for path in re.findall(r" (/.*\\.so[.\\d]*)$", maps.read(), re.M)}
except OSError:
    pass
print(json.dumps({
    "implementation": sys.implementation.name,
    "version": list(sys.version_info[:3]),
    "prefix": sys.base_prefix,
    "threads": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "folders": sorted(os.path.realpath(path) for path in inside),
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """A CPython of this machine.

    Attributes:
        path: The executable itself, without links in the path.
        version: (major, minor, micro).
        prefix: The folder it is installed in.
        folders: Where it and the libraries it loads lie; none inside another.
    """

    path: str
    version: tuple[int, int, int]
    prefix: str
    folders: tuple[str, ...]

    @property
    def minor(self) -> str:
        """``3.12``"""
        return f"{self.version[0]}.{self.version[1]}"


def nearest(
    wanted: tuple[int, int] | None, among: Sequence[Interpreter] | None = None, *, oldest: int = 7
) -> Interpreter:
    """The interpreter that is nearest to a version.

    Of two equally near, the one the harness itself runs on, else the newer.

    Args:
        wanted: (major, minor); None takes the harness's own.
        among: The interpreters to choose from; those installed when None.
        oldest: Minor version below which an interpreter is of no use.

    Raises:
        EnvironmentFault: There is none at all.
    """
    candidates = [found for found in (installed() if among is None else among) if found.version[1] >= oldest]
    if not candidates:
        raise EnvironmentFault(
            f"no Python 3.{oldest} or newer was found",
            hint="Install Python, e.g. with your system's packages.",
        )
    own = sys.version_info[:2]
    target = own if wanted is None else wanted

    def merit(found: Interpreter) -> tuple[int, bool, tuple[int, int, int]]:
        return -abs(found.version[1] - target[1]), found.version[:2] == own, found.version

    # Of several with one minor version the newest; `max` keeps the first of equals, i.e. this process's own.
    return max(candidates, key=merit)


def installed() -> list[Interpreter]:
    """Every CPython 3 found on PATH and in the usual places, this process's own first.

    What an interpreter says of itself is remembered, so that only new ones are started.
    """
    remembered = _Memory(cache_folder() / "interpreters.json")
    found = [remembered.ask(path) for path in _candidates()]
    remembered.save()
    return [interpreter for interpreter in found if interpreter is not None]


def _candidates() -> list[str]:
    own = getattr(sys, "_base_executable", None) or sys.executable
    folders = [*os.environ.get("PATH", "").split(":"), "/usr/local/bin", "/usr/bin"]
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    managed = os.environ.get("UV_PYTHON_INSTALL_DIR") or f"{data}/uv/python"
    for home in (f"{pyenv}/versions", managed):
        folders += sorted(glob.glob(f"{glob.escape(home)}/*/bin"))
    paths: dict[str, None] = {os.path.realpath(own): None}
    for folder in filter(os.path.isabs, folders):
        try:
            names = sorted(name for name in os.listdir(folder) if re.fullmatch(r"python3(\.\d+)?", name))
        except OSError:
            continue
        for name in names:
            path = os.path.realpath(f"{folder}/{name}")
            if _is_program(path):
                paths[path] = None
    return list(paths)


def _is_program(path: str) -> bool:
    """Not a script that decides only when it is run which interpreter it stands for (pyenv's shims)."""
    try:
        with open(path, "rb") as file:
            return file.read(2) != b"#!" and os.access(path, os.X_OK)
    except OSError:
        return False


class _Memory:
    """What interpreters said of themselves, for as long as their file does not change."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._changed = False
        try:
            content = json.loads(file.read_text())
            self._known = content["known"] if content["format"] == FORMAT else {}
        except (OSError, ValueError, KeyError, TypeError):
            self._known = {}

    def ask(self, path: str) -> Interpreter | None:
        state = os.stat(path)
        key = f"{path} {state.st_size} {state.st_mtime_ns}"
        if key not in self._known:
            self._known[key] = _ask(path)
            self._changed = True
        answer = self._known[key]
        if answer is None:
            return None
        return Interpreter(path, tuple(answer["version"]), answer["prefix"], _outermost(answer["folders"]))

    def save(self) -> None:
        if self._changed:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._file.with_name(f"{self._file.name}.{os.getpid()}")
            temporary.write_text(json.dumps({"format": FORMAT, "known": self._known}))
            temporary.replace(self._file)


def _ask(path: str) -> dict[str, object] | None:
    """What an interpreter says of itself; None when it is not one we can use."""
    try:
        done = subprocess.run(
            [path, "-I", "-c", QUESTIONS], capture_output=True, text=True, timeout=20, check=True, env={}
        )
        answer = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    usable = answer["implementation"] == "cpython" and answer["version"][0] == 3 and not answer["threads"]
    return answer if usable and answer["version"][1] >= 7 else None


def _outermost(folders: list[str]) -> tuple[str, ...]:
    """Those of some folders that are not inside another."""
    return tuple(folder for folder in folders if not any(folder.startswith(f"{other}/") for other in folders))
