"""Which engine is used, what happens when it dies, and what dead sessions leave on it."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path, PurePosixPath

import pytest

from harness.containers.docker import DockerRuntime, connect
from harness.containers.docker.images import BuildSettings
from harness.containers.docker.leftovers import clear
from harness.containers.runtime import ContainerSpec, Gateway, Image, ImageSource, Mount
from harness.containers.session import Session, reap
from harness.errors import ContainerError, EnvironmentFault
from tests.support import build_settings

# Which engine -----------------------------------------------------------------------------------------


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Docker configuration with two contexts, of which ``there`` is the current one."""
    folder = tmp_path / "docker"
    for name in ("there", "elsewhere"):
        meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
        meta.mkdir(parents=True)
        endpoints = {"docker": {"Host": f"unix:///no/engine/{name}.sock", "SkipTLSVerify": False}}
        (meta / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": endpoints}))
    (folder / "config.json").write_text('{"currentContext": "there"}')
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    for variable in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(variable, raising=False)
    return folder


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, "unix:///no/engine/there.sock"),
        ({"DOCKER_CONTEXT": "elsewhere"}, "unix:///no/engine/elsewhere.sock"),
        ({"DOCKER_HOST": "unix:///no/engine/host.sock"}, "unix:///no/engine/host.sock"),
        (
            {"DOCKER_HOST": "tcp://127.0.0.1:1", "DOCKER_CONTEXT": "elsewhere"},
            "tcp://127.0.0.1:1",
        ),
    ],
    ids=["current context", "DOCKER_CONTEXT", "DOCKER_HOST", "both"],
)
def test_the_engine_is_the_one_that_the_docker_command_would_use(
    configuration: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], address: str
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(EnvironmentFault, match=f"no Docker engine answers at {address}"):
        connect(timeout=1)


def test_a_context_that_does_not_exist(configuration: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DOCKER_CONTEXT", "nowhere")
    with pytest.raises(EnvironmentFault, match="nowhere"):
        connect(timeout=1)


def test_build_settings_of_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HARNESS_DOCKER_BUILD_ARGS", "BASE=a/b:c,X=")
    monkeypatch.setenv("HARNESS_DOCKER_BUILD_NETWORK", "host")
    assert BuildSettings.of_environment() == BuildSettings({"BASE": "a/b:c", "X": ""}, "host")
    monkeypatch.setenv("HARNESS_DOCKER_BUILD_ARGS", "BASE")
    with pytest.raises(EnvironmentFault, match="'BASE'"):
        BuildSettings.of_environment()


# What dead sessions leave -----------------------------------------------------------------------------


def build(runtime: DockerRuntime, folder: Path) -> asyncio.Future[Image]:
    context = folder / "context"
    context.mkdir(exist_ok=True)
    (context / "Dockerfile").write_text('ARG BASE=python\nFROM ${BASE}\nENTRYPOINT ["sleep"]\n')
    return asyncio.ensure_future(runtime.build(ImageSource("test-docker", context)))


@pytest.mark.docker
def test_a_dead_sessions_containers_volumes_and_networks_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    build_settings(monkeypatch)
    (tmp_path / "ml").mkdir()
    session = Session(tmp_path)
    engine = connect()

    def left() -> int:
        wanted = {"label": f"harness.session={session.id}"}
        api = engine.api
        return (
            len(api.containers(all=True, filters=wanted))
            + len(api.networks(filters=wanted))
            + len(api.volumes(filters=wanted)["Volumes"] or ())
        )

    async def main() -> None:
        runtime = DockerRuntime(session=session, copied=True)
        image = await build(runtime, tmp_path)
        mounts = (Mount(tmp_path / "ml", PurePosixPath("/opt/ml")),)
        spec = ContainerSpec("test", image, ("60",), mounts=mounts, ports=(8080,))
        container = await runtime.start(spec, print)
        assert left() == 3
        assert reap(tmp_path) == []  # it lives
        assert left() == 3
        os.close(session._lock or -1)  # as the kernel does when the owner is killed
        done = reap(tmp_path)
        assert len([line for line in done if f"left by session {session.id}" in line]) == 4
        assert left() == 0
        with pytest.raises(ContainerError, match="removed from outside"):
            await container.wait()
        await runtime.close()

    asyncio.run(main())
    engine.close()
    assert not session.path.exists()


def test_what_an_unreachable_engine_has_is_not_forgotten(tmp_path: Path):
    session = Session(tmp_path)
    session.uses_engine("unix:///no/engine.sock")
    os.close(session._lock or -1)
    for _ in range(2):
        (line,) = reap(tmp_path)
        assert "may have left containers: no Docker engine answers at unix:///no/engine.sock" in line
    assert session.path.exists()


# An engine that dies ----------------------------------------------------------------------------------


class Doorway:
    """A way to the real engine that can be closed at once: from then on the engine is dead to who uses it."""

    def __init__(self, path: Path, engine: str) -> None:
        self.address = f"unix://{path}"
        self._engine = engine.removeprefix("unix://")
        self._path = path
        self._passing: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._connected, self._path)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._pass_on(reader, writer))
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(self._engine)
        try:
            await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))
        finally:
            for end in (writer, inner_writer):
                end.transport.abort()

    async def close(self) -> None:
        self._path.unlink()
        self._server.close()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()


@pytest.mark.docker
# Where nobody answers, the SDK leaves the sockets open with which it tried.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_engine_that_dies_is_noticed_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    build_settings(monkeypatch)
    real = connect()
    if not real.local:
        pytest.skip("the engine is not on this machine")
    dead = r"the Docker engine does not answer"

    async def main() -> None:
        doorway = Doorway(tmp_path / "docker.sock", real.address)
        await doorway.open()
        with Session(tmp_path) as session:
            runtime = DockerRuntime(
                engine=await asyncio.to_thread(connect, address=doorway.address), session=session
            )
            image = await build(runtime, tmp_path)
            container = await runtime.start(ContainerSpec("test", image, ("60",)), print)
            await doorway.close()
            async with asyncio.timeout(20):
                with pytest.raises(ContainerError, match=dead):
                    await container.wait()
                with pytest.raises(ContainerError, match=dead):
                    await container.stop(1)
                with pytest.raises(ContainerError, match=dead):
                    await runtime.start(ContainerSpec("test", image, ("60",)), print)
                with pytest.raises(ContainerError, match=dead):
                    await build(runtime, tmp_path)
                with pytest.raises(ContainerError, match=dead):
                    await runtime.network("job", ["algo-1", "algo-2"])
                await runtime.close()
        assert session.path.exists()  # what is on the engine is not forgotten
        assert clear(real, session.id)

    asyncio.run(main())
    real.close()
    gc.collect()


@pytest.mark.docker
def test_a_container_killed_or_removed_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    build_settings(monkeypatch)
    outside = connect()

    async def main() -> None:
        runtime = DockerRuntime()
        image = await build(runtime, tmp_path)
        for remove in (False, True):
            spec = ContainerSpec(f"test-outside-{remove}", image, ("60",))
            container = await runtime.start(spec, print)
            (found,) = outside.api.containers(filters={"name": spec.name})
            if remove:
                outside.api.remove_container(found["Id"], force=True)
            else:
                outside.api.kill(found["Id"])
            async with asyncio.timeout(20):
                if remove:
                    with pytest.raises(ContainerError, match="removed from outside"):
                        await container.wait()
                else:
                    assert await container.wait() == 137
        await runtime.close()

    asyncio.run(main())
    outside.close()


@pytest.mark.docker
def test_an_engine_that_cannot_be_reached_from_containers_is_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    build_settings(monkeypatch)
    engine = connect()
    engine.rootless = True  # as a rootless engine says of itself

    async def main() -> None:
        runtime = DockerRuntime(engine=engine)
        image = await build(runtime, tmp_path)
        lines: list[str] = []
        spec = ContainerSpec("test", image, entrypoint=("env",), gateway=Gateway(4566, ("AWS_ENDPOINT_URL",)))
        assert await (await runtime.start(spec, lines.append)).wait() == 0
        assert not any(line.startswith("AWS_ENDPOINT_URL") for line in lines)
        assert any("cannot reach the local cloud" in warning for warning in runtime.warnings)
        await runtime.close()

    asyncio.run(main())
