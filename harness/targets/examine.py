"""Looking at a machine: can pipelines run here, and how."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.errors import HarnessError

__all__ = ["Finding", "examine"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What.
        state: ``ok``; ``note``: works, but differs from AWS or from the best case; ``broken``: does not work.
        message: What was found.
        advice: What to do about it; empty when nothing is to be done.
    """

    subject: str
    state: Literal["ok", "note", "broken"]
    message: str
    advice: str = ""


def examine(root: Path | None) -> list[Finding]:
    """Look at this machine, and at a project on it.

    Args:
        root: The project's folder, if there is one.
    """
    findings = [_python(), _uv(), _containers(), _docker(), _cache()]
    if root is None:
        findings.append(
            Finding("project", "note", "there is no harness.toml here", "go to a project's folder")
        )
    else:
        findings += [*_project(root), *_leftovers(root), _cloud(root)]
    return findings


def _python() -> Finding:
    version = platform.python_version()
    return Finding("Python", "ok", f"{version} ({sys.executable})")


def _uv() -> Finding:
    from uv import find_uv_bin

    try:
        path = find_uv_bin()
        done = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(
            "uv", "broken", f"cannot be run: {error}", "install it again: pip install --force-reinstall uv"
        )
    return Finding("uv", "ok", f"{done.stdout.strip()} ({path})")


def _containers() -> Finding:
    from harness.containers.launch import probe

    support = probe()
    if not support.namespaces:
        return Finding(
            "containers",
            "note",
            f"run as ordinary processes, without namespaces: {support.reason}",
            "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, "
            "kernel.apparmor_restrict_unprivileged_userns=0) to isolate them",
        )
    if not support.overlay:
        return Finding("containers", "note", f"run in namespaces, without overlays: {support.reason}")
    return Finding("containers", "ok", "run in namespaces of their own, with overlays; no Docker is needed")


def _docker() -> Finding:
    from harness.targets.runtimes import find_engine

    engine, problem = find_engine()
    if engine is None:
        return Finding("Docker", "ok", f"{problem}; none is needed")
    try:
        version = engine.api.version()
        kind = "rootless" if engine.rootless else "remote" if not engine.local else "local"
        return Finding(
            "Docker",
            "ok",
            f"the {kind} engine at {engine.address} answers, version {version.get('Version')}; "
            "containers run there unless --containers process is given",
        )
    finally:
        engine.close()


def _cache() -> Finding:
    from harness.project.cache import cache_folder

    folder = cache_folder()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        advice = "make it writable, or name another folder in HARNESS_CACHE"
        return Finding("cache", "broken", f"{folder} cannot be written to", advice)
    entries = sum(1 for _ in folder.iterdir()) if folder.exists() else 0
    return Finding("cache", "ok", f"{folder}, {entries} entries" if entries else f"{folder}, still empty")


def _project(root: Path) -> Iterator[Finding]:
    from harness.project.interpreters import nearest_interpreter
    from harness.project.project import Project

    try:
        project = Project.load(root)
    except HarnessError as error:
        yield Finding("project", "broken", str(error).splitlines()[0], error.hint or "")
        return
    yield Finding("project", "ok", str(root))
    if not project.template.is_file():
        yield Finding("template", "broken", f"there is no {project.template}", "harness.toml names it")
        return
    # Every runtime the template names, wherever: a mention in a comment does no harm here.
    for runtime in sorted(set(re.findall(r"python3\.\d+", project.template.read_text(encoding="utf-8")))):
        try:
            interpreter = nearest_interpreter(runtime)
        except HarnessError as error:
            yield Finding(f"runtime {runtime}", "broken", error.message, error.hint or "")
            continue
        if runtime == f"python{interpreter.minor}":
            yield Finding(f"runtime {runtime}", "ok", interpreter.path)
        else:
            advice = f"install it: uv python install {runtime.removeprefix('python')}"
            message = f"runs on Python {interpreter.minor} ({interpreter.path}), the nearest there is"
            yield Finding(f"runtime {runtime}", "note", message, advice)


def _leftovers(root: Path) -> Iterator[Finding]:
    from harness.containers.session import reap

    cleared = reap(root)
    if not cleared:
        yield Finding("leftovers", "ok", "no dead session has left anything")
    for line in cleared:
        yield Finding("leftovers", "ok", line)


def _cloud(root: Path) -> Finding:
    from harness.targets.standing import find

    cloud = find(root)
    return Finding("local cloud", "ok", f"up at {cloud.endpoint}, process {cloud.pid}" if cloud else "not up")
