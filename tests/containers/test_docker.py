"""Which engine is used, what happens when it dies, and what dead sessions leave on it."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import io
import json
import os
import secrets
import tarfile
from contextlib import suppress
from pathlib import Path, PurePosixPath

import pytest

from harness.containers.docker import DockerRuntime, connect
from harness.containers.docker.engine import THREADS, is_here
from harness.containers.docker.folders import unpack
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


# An engine that does not share this machine's files, or its network -------------------------------------


class Tunnel(Doorway):
    """A way to the real engine over TCP, by which it looks like one on another machine."""

    def __init__(self, engine: str) -> None:
        super().__init__(Path(), engine)

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.address = f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        self._server.close()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)


@pytest.mark.docker
def test_data_travels_by_copy_to_an_engine_over_tcp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    build_settings(monkeypatch)
    ml = tmp_path / "ml"
    (ml / "input").mkdir(parents=True)
    (ml / "input" / "given.txt").write_text("given")

    async def main() -> None:
        tunnel = Tunnel(os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
        await tunnel.open()
        engine = await asyncio.to_thread(connect, address=tunnel.address)
        assert (engine.local, engine.here, engine.owned) == (False, True, False)
        runtime = DockerRuntime(engine=engine)
        image = await build(runtime, tmp_path)
        spec = ContainerSpec(
            "test",
            image,
            entrypoint=("cp", "/opt/ml/input/given.txt", "/opt/ml/made.txt"),
            mounts=(Mount(ml, PurePosixPath("/opt/ml")),),
        )
        assert await (await runtime.start(spec, print)).wait() == 0
        assert (ml / "made.txt").read_text() == "given"
        assert (ml / "made.txt").stat().st_uid == os.getuid()
        os.mkfifo(ml / "input" / "train_0")
        with pytest.raises(ContainerError, match="train_0 is a pipe"):
            await runtime.start(spec, print)
        await runtime.close()
        await tunnel.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("unix:///var/run/docker.sock", True),
        ("tcp://127.0.0.1:2375", True),
        ("tcp://localhost:2375", True),
        ("tcp://192.0.2.1:2375", False),  # an address of nobody's
        ("ssh://somebody@localhost", False),  # over there it is another machine's localhost, as often as not
    ],
)
def test_whose_network_an_address_is_in(address: str, here: bool):
    assert is_here(address) is here


@pytest.mark.docker
def test_ports_that_are_published_elsewhere_fail_the_start_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    build_settings(monkeypatch)
    engine = connect()
    engine.here = False  # as of an engine on another machine

    async def main() -> None:
        runtime = DockerRuntime(engine=engine)
        image = await build(runtime, tmp_path)
        with pytest.raises(ContainerError, match="its ports cannot be reached") as raised:
            await runtime.start(ContainerSpec("test", image, ("60",), ports=(8080,)), print)
        assert "--containers process" in (raised.value.hint or "")
        wanted = {"label": f"harness.session={runtime.id}"}
        assert await engine.call(engine.api.containers, all=True, filters=wanted) == []
        await runtime.close()

    asyncio.run(main())


@pytest.mark.docker
def test_pipes_where_folders_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An ordinary user's folders are copied; pipes and what is beside them work all the same."""
    build_settings(monkeypatch)
    ml = tmp_path / "ml"
    data = ml / "input" / "data"
    (data / "file").mkdir(parents=True)
    (data / "file" / "given.txt").write_text("given")
    os.mkfifo(data / "train_0")
    program = (
        "echo waiting; read line </opt/ml/input/data/train_0; echo $line; "
        "cp /opt/ml/input/data/file/given.txt /opt/ml/input/data/file/made.txt; echo $line >/opt/ml/model"
    )

    async def main() -> None:
        runtime = DockerRuntime(copied=True)
        image = await build(runtime, tmp_path)
        said = asyncio.Queue[str]()
        mounts = (Mount(ml, PurePosixPath("/opt/ml")),)
        spec = ContainerSpec("test", image, entrypoint=("sh", "-c", program), mounts=mounts)
        container = await runtime.start(spec, said.put_nowait)
        async with asyncio.timeout(20):
            assert await said.get() == "waiting"
            await asyncio.to_thread((data / "train_0").write_text, "through the pipe\n")
            assert await container.wait() == 0
        assert (ml / "model").read_text() == "through the pipe\n"
        assert (data / "file" / "made.txt").read_text() == "given"
        assert (data / "train_0").is_fifo()  # who made it removes it
        await runtime.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "members",
    [
        [("../out", tarfile.REGTYPE, "")],
        [("..", tarfile.DIRTYPE, "")],
        [("/out", tarfile.REGTYPE, "")],
        [("link", tarfile.SYMTYPE, ".."), ("link/out", tarfile.REGTYPE, "")],
        [("hard", tarfile.LNKTYPE, "../secret")],
    ],
    ids=["above", "folder above", "absolute", "through a link", "hard link"],
)
def test_nothing_that_is_fetched_leads_outside(tmp_path: Path, members: list[tuple[str, bytes, str]]):
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "folder"
    folder.mkdir()
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, kind, target in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            tar.addfile(member)
    file.seek(0)
    with pytest.raises(tarfile.TarError, match="leads outside"):
        unpack(file, folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "secret"]


# Many at once -------------------------------------------------------------------------------------------


@pytest.mark.docker
def test_any_number_of_containers_run_and_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    build_settings(monkeypatch)

    async def main() -> None:
        runtime = DockerRuntime()
        image = await build(runtime, tmp_path)
        many = THREADS + 2
        quiet = ("sh", "-c", "exec >&- 2>&-; exec sleep 60")  # output ends long before the container
        started = await asyncio.gather(
            *(runtime.start(ContainerSpec(f"test-{n}", image, entrypoint=quiet), print) for n in range(many))
        )
        async with asyncio.timeout(30):
            assert await asyncio.gather(*(container.kill() for container in started)) == [137] * many
        await runtime.close()

    asyncio.run(main())


@pytest.mark.docker
def test_lines_of_the_two_streams_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    build_settings(monkeypatch)

    async def main() -> None:
        runtime = DockerRuntime()
        image = await build(runtime, tmp_path)
        program = "printf 'one '; sleep 0.2; echo error >&2; sleep 0.2; echo line"
        lines: list[str] = []
        spec = ContainerSpec("test", image, entrypoint=("sh", "-c", program))
        assert await (await runtime.start(spec, lines.append)).wait() == 0
        assert sorted(lines) == ["error", "one line"]
        await runtime.close()

    asyncio.run(main())


# Builds -------------------------------------------------------------------------------------------------


@pytest.mark.docker
def test_an_interrupted_build_is_left_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    build_settings(monkeypatch)
    context = tmp_path / "slow"
    context.mkdir()
    mark = secrets.token_hex(8)  # never built before
    (context / "Dockerfile").write_text(
        f"ARG BASE=python\nFROM ${{BASE}}\nRUN echo {mark} begins && sleep 20\n"
    )

    async def main() -> None:
        runtime = DockerRuntime()
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def progress(line: str) -> None:
            if line == f"{mark} begins":
                loop.call_soon_threadsafe(begun.set)

        task = asyncio.create_task(runtime.build(ImageSource("test-slow", context), progress))
        async with asyncio.timeout(20):
            await begun.wait()
        task.cancel()
        async with asyncio.timeout(2):
            with pytest.raises(asyncio.CancelledError):
                await task
            await runtime.close()

    asyncio.run(main())


@pytest.mark.docker
@pytest.mark.parametrize("internet", [False, True])
def test_a_way_out_is_there_only_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, internet: bool
):
    build_settings(monkeypatch)
    engine = connect()

    async def main() -> None:
        runtime = DockerRuntime(internet=internet)
        image = await build(runtime, tmp_path)
        gateway = Gateway(4566, ("AWS_ENDPOINT_URL",))
        await (await runtime.start(ContainerSpec("test", image, ("0",), gateway=gateway), print)).wait()
        (network,) = engine.api.networks(filters={"label": f"harness.session={runtime.id}"})
        masquerade = network["Options"]["com.docker.network.bridge.enable_ip_masquerade"]
        assert masquerade == str(internet).lower()
        await runtime.close()

    asyncio.run(main())
    engine.close()
