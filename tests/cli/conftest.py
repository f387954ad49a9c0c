"""A copy of the shipped project to run commands in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.processes import Workspace

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, copied once for a module, so that its layer is installed once."""
    root = tmp_path_factory.mktemp("project")
    for name in ("harness.toml", "definitions", "lambdas", "containers", "scenarios"):
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)
    return root


@pytest.fixture
def workspace(built: Path, tmp_path: Path) -> Iterator[Workspace]:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    workspace = Workspace(built, temporary)
    yield workspace
    workspace.harness("down")
