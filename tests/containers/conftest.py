"""Contexts to build and a cache to build them in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness.containers.build import build
from harness.containers.runtime import Image, ImageSource

MakeContext = Callable[..., Path]
MakeImage = Callable[..., Image]


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for all tests that do not test the cache: its one Python environment is made once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(shared_cache))
    monkeypatch.delenv("HARNESS_NO_NAMESPACES", raising=False)
    return shared_cache


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with nothing in it."""
    folder = tmp_path / "own-cache"
    monkeypatch.setenv("HARNESS_CACHE", str(folder))
    return folder


@pytest.fixture
def context(tmp_path: Path) -> MakeContext:
    """Make a build context: ``context(dockerfile, {"path": "content", ...})``."""

    def make(dockerfile: str, files: Mapping[str, str] | None = None, name: str = "context") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "Dockerfile").write_text(dockerfile)
        for path, content in (files or {}).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content)
        return folder

    return make


@pytest.fixture
def image(context: MakeContext) -> MakeImage:
    """Make and build a context."""

    def make(
        dockerfile: str,
        files: Mapping[str, str] | None = None,
        *,
        build_args: Mapping[str, str] | None = None,
        ignore: tuple[str, ...] = (),
        name: str = "context",
    ) -> Image:
        folder = context(dockerfile, files, name)
        source = ImageSource("image", folder, build_args=build_args or {}, ignore=ignore)
        return build(source, lambda line: None)

    return make
