"""A fake cloud whose containers are real, on either runtime."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.containers.docker import DockerRuntime
from harness.containers.launch import probe
from harness.containers.process import ProcessRuntime
from harness.containers.runtime import ContainerRuntime, ImageSource
from tests.cloud.sagemaker.fakes import FakeCloud, with_cloud
from tests.support import build_settings

DOCKERFILE = """\
ARG BASE=python:3.11
FROM ${BASE}
COPY programs /programs
ENTRYPOINT ["python", "-u"]
"""

real = [
    pytest.mark.slow,
    pytest.mark.skipif(not probe().namespaces, reason="this machine has no user namespaces"),
]
"""Marks of a module of such tests."""


def with_containers(
    runtime: str,
    folder: Path,
    uri: str,
    programs: Mapping[str, str],
    scenario: Callable[[FakeCloud], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
    *,
    dockerfile: str = DOCKERFILE,
    **options: Any,
) -> None:
    """Run a scenario in a cloud that has an image of Python programs.

    Args:
        runtime: ``process`` or ``docker``.
        folder: For the build context and the cache.
        uri: What the image is called.
        programs: Texts of programs, by their names in ``/programs``; one is chosen by an argument.
        scenario: What happens in the cloud.
        monkeypatch: Sets the cache's folder.
        dockerfile: Of the image, when it is to say more.
        options: The cloud's.
    """
    monkeypatch.setenv("HARNESS_CACHE", str(folder / "cache"))
    build_settings(monkeypatch)
    context = folder / "context"
    (context / "programs").mkdir(parents=True)
    (context / "Dockerfile").write_text(dockerfile)
    for name, text in programs.items():
        (context / "programs" / name).write_text(text)

    async def started(cloud: FakeCloud) -> None:
        containers: ContainerRuntime = DockerRuntime() if runtime == "docker" else ProcessRuntime()
        cloud.containers = containers  # type: ignore[assignment]
        try:
            cloud.images[uri] = await containers.build(ImageSource("image", context))
            await scenario(cloud)
        finally:
            await containers.close()

    with_cloud(started, **options)
