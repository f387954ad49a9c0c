"""What holds of a container whoever runs it: one suite for both runtimes."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from harness.containers.docker import DockerRuntime
from harness.containers.process import ProcessRuntime
from harness.containers.runtime import (
    Container,
    ContainerRuntime,
    ContainerSpec,
    Gateway,
    Image,
    ImageSource,
    Mount,
)
from harness.errors import ContainerError, DockerfileError
from tests.support import RUNTIMES, build_settings

DOCKERFILE = """\
ARG BASE=python:3.11
FROM ${BASE}
ENV GREETING="hello there" UNUSED=1
COPY program /opt/program
WORKDIR /opt/program
LABEL purpose=test
ENTRYPOINT ["python", "-u", "main.py"]
CMD ["default"]
"""

MAIN = """\
import sys
print("arguments", sys.argv[1:])
"""

ML = PurePosixPath("/opt/ml")

Test = Callable[["Bench"], Awaitable[None]]


class Bench:
    """A runtime, and an image that has Python."""

    def __init__(self, runtime: ContainerRuntime, image: Image) -> None:
        self.runtime = runtime
        self.image = image
        self.lines: list[str] = []
        self._heard = asyncio.Event()

    def hear(self, line: str) -> None:
        self.lines.append(line)
        self._heard.set()

    def spec(self, name: str = "test", **fields: Any) -> ContainerSpec:
        return ContainerSpec(name, self.image, **fields)

    async def start(self, spec: ContainerSpec) -> Container:
        return await self.runtime.start(spec, self.hear)

    async def run(self, spec: ContainerSpec) -> int:
        container = await self.start(spec)
        return await container.wait()

    async def python(self, program: str, *arguments: str, name: str = "test", **fields: Any) -> int:
        """Run a Python program in a container; its exit code."""
        return await self.run(self.script(program, *arguments, name=name, **fields))

    def script(self, program: str, *arguments: str, name: str = "test", **fields: Any) -> ContainerSpec:
        return self.spec(name, entrypoint=("python", "-u", "-c"), arguments=(program, *arguments), **fields)

    async def said(self, text: str) -> None:
        """Wait until a container has said something."""
        async with asyncio.timeout(20):
            while not any(text in line for line in self.lines):
                self._heard.clear()
                await self._heard.wait()


@pytest.fixture(autouse=True)
def builds(monkeypatch: pytest.MonkeyPatch) -> None:
    build_settings(monkeypatch)


@pytest.fixture(params=RUNTIMES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def bench(kind: str, folder: Path, **options: Any) -> AsyncIterator[Bench]:
    context = folder / "context"
    if not context.exists():
        (context / "program").mkdir(parents=True)
        (context / "Dockerfile").write_text(DOCKERFILE)
        (context / "program" / "main.py").write_text(MAIN)
    runtime: ContainerRuntime = DockerRuntime(**options) if kind == "docker" else ProcessRuntime(**options)
    try:
        yield Bench(runtime, await runtime.build(ImageSource("test-runtimes", context)))
    finally:
        await runtime.close()


@pytest.fixture
def on(kind: str, tmp_path: Path) -> Callable[[Test], None]:
    """Run a test on a runtime."""

    def run(test: Test) -> None:
        async def main() -> None:
            async with bench(kind, tmp_path) as made:
                await test(made)

        asyncio.run(main())

    return run


# Images -----------------------------------------------------------------------------------------------


def test_an_image_is_what_its_dockerfile_says(on: Callable[[Test], None]):
    async def test(made: Bench) -> None:
        image = made.image
        assert image.entrypoint == ("python", "-u", "main.py")
        assert image.command == ("default",)
        assert image.environment["GREETING"] == "hello there"
        assert image.labels["purpose"] == "test"
        assert image.digest.startswith("sha256:")

    on(test)


def test_an_unchanged_image_is_not_built_again_and_a_changed_one_is(kind: str, tmp_path: Path):
    async def main() -> None:
        async with bench(kind, tmp_path) as made:
            source = ImageSource("test-runtimes", tmp_path / "context")
            assert (await made.runtime.build(source)).digest == made.image.digest
            (tmp_path / "context" / "program" / "main.py").write_text("print('changed')")
            changed = await made.runtime.build(source)
            assert changed.digest != made.image.digest
            assert await made.run(ContainerSpec("test", changed)) == 0
            assert made.lines == ["changed"]

    asyncio.run(main())


def test_a_dockerfile_step_that_fails_is_named(kind: str, tmp_path: Path):
    async def main() -> None:
        context = tmp_path / "broken"
        context.mkdir()
        (context / "Dockerfile").write_text("ARG BASE=python:3.11\nFROM ${BASE}\nCOPY missing.txt /\n")
        async with bench(kind, tmp_path) as made:
            with pytest.raises(DockerfileError, match=r"missing\.txt"):
                await made.runtime.build(ImageSource("test-broken", context))

    asyncio.run(main())


# What runs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ["default"]),
        ({"arguments": ("train",)}, ["train"]),
        ({"arguments": ("a b", "")}, ["a b", ""]),
        ({"entrypoint": ("python", "main.py")}, []),
        ({"entrypoint": ("python", "main.py"), "arguments": ("x",)}, ["x"]),
    ],
    ids=["as built", "arguments", "odd arguments", "entrypoint", "both"],
)
def test_arguments_replace_cmd_and_an_entrypoint_drops_it(
    on: Callable[[Test], None], fields: dict[str, Any], expected: list[str]
):
    async def test(made: Bench) -> None:
        assert await made.run(made.spec(**fields)) == 0
        assert made.lines == [f"arguments {expected}"]

    on(test)


def test_the_environment_is_the_images_and_the_specs_and_nobody_elses(
    on: Callable[[Test], None], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "x")

    async def test(made: Bench) -> None:
        program = (
            "import os, socket\n"
            "for name in ('GREETING', 'ADDED', 'UNUSED', 'SECRET_OF_THE_CALLER'):\n"
            "    print(name, repr(os.environ.get(name)))\n"
            "print(socket.gethostname(), os.getuid(), os.getcwd(), os.read(0, 1))\n"
        )
        environment = {"ADDED": "a=b 'c'", "UNUSED": "0"}
        assert await made.python(program, hostname="algo-1", environment=environment) == 0
        assert made.lines == [
            "GREETING 'hello there'",
            "ADDED \"a=b 'c'\"",
            "UNUSED '0'",
            "SECRET_OF_THE_CALLER None",
            "algo-1 0 /opt/program b''",
        ]

    on(test)


@pytest.mark.parametrize("code", [0, 3, 255])
def test_exit_codes(on: Callable[[Test], None], code: int):
    async def test(made: Bench) -> None:
        assert await made.python(f"raise SystemExit({code})") == code

    on(test)


def test_a_program_that_cannot_be_started(on: Callable[[Test], None]):
    async def test(made: Bench) -> None:
        assert await made.run(made.spec(entrypoint=("trian",))) == 127
        assert "trian" in made.lines[-1]
        assert await made.run(made.spec(entrypoint=("/no/such/file",))) == 127
        assert await made.run(made.spec(entrypoint=("/opt/program/main.py",))) == 126

    on(test)


def test_a_signal_is_128_and_its_number(on: Callable[[Test], None]):
    async def test(made: Bench) -> None:
        # Process 1 of a container cannot kill itself by a signal: its child can.
        program = (
            "import subprocess, sys\n"
            "done = subprocess.run([sys.executable, '-c', 'import os; os.kill(os.getpid(), 9)'])\n"
            "sys.exit(128 - done.returncode)\n"
        )
        assert await made.python(program) == 137

    on(test)


def test_output_arrives_in_order_and_whole(on: Callable[[Test], None]):
    async def test(made: Bench) -> None:
        program = (
            "import sys\n"
            "for number in range(500):\n"
            "    print(number)\n"
            "print('error', file=sys.stderr)\n"
            "print('é' * 100_000)\n"
            "print('windows', end='\\r\\n')\n"
            "print('no line end', end='')\n"
        )
        assert await made.python(program) == 0
        made.lines.remove("error")  # an engine carries the two streams apart
        assert made.lines[:500] == [str(number) for number in range(500)]
        *pieces, windows, last = made.lines[500:]
        assert "".join(pieces) == "é" * 100_000
        assert (windows, last) == ("windows", "no line end")

    on(test)


# Being stopped ----------------------------------------------------------------------------------------

POLITE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("ready")
time.sleep(60)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("heard"))
print("ready")
while True:
    time.sleep(60)
"""


def test_stop_lets_a_program_end_by_itself(on: Callable[[Test], None]):
    async def test(made: Bench) -> None:
        container = await made.start(made.script(POLITE))
        await made.said("ready")
        assert await container.stop(30) == 7
        assert await container.stop(30) == 7
        assert await container.kill() == 7

    on(test)


def test_stop_kills_after_its_grace(on: Callable[[Test], None]):
    async def test(made: Bench) -> None:
        container = await made.start(made.script(STUBBORN))
        await made.said("ready")
        assert await container.stop(0.2) == 137
        assert "heard" in made.lines

    on(test)


def test_the_first_process_of_a_container_is_spared_what_it_does_not_catch(on: Callable[[Test], None]):
    async def test(made: Bench) -> None:
        container = await made.start(made.script("import time; print('ready'); time.sleep(60)"))
        await made.said("ready")
        assert await container.stop(0.2) == 137  # not 143: SIGTERM did nothing

    on(test)


def test_kill(on: Callable[[Test], None]):
    async def test(made: Bench) -> None:
        container = await made.start(made.script(STUBBORN))
        await made.said("ready")
        assert await container.kill() == 137
        assert await container.wait() == 137
        assert not container.out_of_memory

    on(test)


def test_close_ends_what_runs(kind: str, tmp_path: Path):
    async def main() -> None:
        async with bench(kind, tmp_path) as made:
            container = await made.start(made.script(STUBBORN))
            await made.said("ready")
        assert await container.wait() == 137

    asyncio.run(main())


def test_too_much_memory_is_fatal_and_known(on: Callable[[Test], None]):
    async def test(made: Bench) -> None:
        program = "data = bytearray(400 << 20); import time; time.sleep(20)"
        container = await made.start(made.script(program, memory=200 << 20))
        assert await container.wait() == 137
        assert container.out_of_memory
        assert await made.python("bytearray(20 << 20)", memory=200 << 20) == 0

    on(test)


# Files ------------------------------------------------------------------------------------------------

WAYS = [
    pytest.param("process", False, id="process"),
    pytest.param("docker", False, id="docker-mounted", marks=pytest.mark.docker),
    pytest.param("docker", True, id="docker-copied", marks=pytest.mark.docker),
]

WRITES = """
import os
os.makedirs("/opt/ml/model/deep")
open("/opt/ml/model/deep/file", "w").write("made")
open("/opt/ml/given", "a").write(" and changed")
os.remove("/opt/ml/deleted")
os.symlink("/etc/passwd", "/opt/ml/model/link")
try:
    open("/opt/ml/input/data/file", "w")
except OSError as error:
    print(error.strerror)
print(open("/opt/ml/input/data/file").read())
"""


@pytest.mark.parametrize(("kind", "copied"), WAYS)
def test_folders_and_who_owns_what_a_container_writes(kind: str, tmp_path: Path, copied: bool):
    options = {"copied": True} if copied else {}
    ml, data = tmp_path / "ml", tmp_path / "data"
    for folder in (ml, data):
        folder.mkdir()
    (ml / "given").write_text("given")
    (ml / "deleted").touch()
    (data / "file").write_text("read")

    async def main() -> None:
        async with bench(kind, tmp_path, **options) as made:
            mounts = (Mount(data, ML / "input" / "data", read_only=True), Mount(ml, ML))
            assert await made.python(WRITES, mounts=mounts) == 0
            assert made.lines == ["Read-only file system", "read"]

    asyncio.run(main())
    assert (ml / "model" / "deep" / "file").read_text() == "made"
    assert (ml / "given").read_text() == "given and changed"
    assert not (ml / "deleted").exists()
    assert (ml / "model" / "link").is_symlink()
    assert {path.lstat().st_uid for path in ml.rglob("*")} == {os.getuid()}


@pytest.mark.parametrize(("kind", "copied"), WAYS)
def test_refresh_shows_what_a_running_container_has_written(kind: str, tmp_path: Path, copied: bool):
    options = {"copied": True} if copied else {}
    ml = tmp_path / "ml"
    (ml / "checkpoints").mkdir(parents=True)
    program = "open('/opt/ml/checkpoints/1', 'w').write('one'); print('written'); import time; time.sleep(60)"

    async def main() -> None:
        async with bench(kind, tmp_path, **options) as made:
            container = await made.start(made.script(program, mounts=(Mount(ml, ML),)))
            await made.said("written")
            await container.refresh(ML / "checkpoints")
            assert (ml / "checkpoints" / "1").read_text() == "one"
            await container.kill()

    asyncio.run(main())


def test_a_pipe_in_a_read_only_folder_is_read_live(on: Callable[[Test], None], tmp_path: Path):
    pipes = tmp_path / "pipes"
    pipes.mkdir()
    os.mkfifo(pipes / "train_0")

    async def test(made: Bench) -> None:
        program = "print('waiting'); print(open('/opt/ml/input/data/train_0').read())"
        mounts = (Mount(pipes, ML / "input" / "data", read_only=True),)
        container = await made.start(made.script(program, mounts=mounts))
        await made.said("waiting")
        await asyncio.to_thread((pipes / "train_0").write_text, "through the pipe")
        assert await container.wait() == 0
        assert made.lines[-1] == "through the pipe"

    on(test)


def test_a_folder_that_is_not_there(on: Callable[[Test], None], tmp_path: Path):
    async def test(made: Bench) -> None:
        with pytest.raises(ContainerError, match="does not exist"):
            await made.start(made.spec(mounts=(Mount(tmp_path / "nowhere", ML),)))

    on(test)


# Who reaches whom -------------------------------------------------------------------------------------

SERVES = """
import socket
server = socket.create_server(("", 8080))
print("listening")
while True:
    connection, _ = server.accept()
    connection.sendall(b"hello " + connection.recv(100))
    connection.close()
"""
CONNECTS = """
import socket, sys
for address in sys.argv[1:]:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=3) as connection:
            connection.sendall(b"peer")
            print(connection.recv(100))
    except OSError as error:
        print(address, "is out of reach")
"""


def test_the_harness_reaches_a_port_and_only_one_that_was_asked_for(on: Callable[[Test], None]):
    async def test(made: Bench) -> None:
        container = await made.start(made.script(SERVES, ports=(8080,)))
        await made.said("listening")
        connection = await container.connect(8080)
        reader, writer = await asyncio.open_connection(sock=connection)
        writer.write(b"harness")
        assert await reader.read(100) == b"hello harness"
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await container.connect(9090)
        await container.kill()
        with pytest.raises(ConnectionError):
            await container.connect(8080)

    on(test)


def test_without_network_nothing_is_reached(on: Callable[[Test], None]):
    async def test(made: Bench) -> None:
        program = "import socket; print(sorted(name for _, name in socket.if_nameindex()))"
        assert await made.python(program) == 0
        assert made.lines == ["['lo']"]

    on(test)


def test_containers_of_different_jobs_do_not_reach_each_other(on: Callable[[Test], None]):
    async def test(made: Bench) -> None:
        address = "import socket; print('at', socket.gethostbyname(socket.gethostname()))\n"
        one = await made.start(made.script(address + SERVES, name="one", ports=(8080,)))
        await made.said("listening")
        found = made.lines[0].removeprefix("at ")
        await made.python(CONNECTS, f"{found}:8080", name="two", ports=(8080,))
        assert made.lines[-1].endswith("is out of reach")
        await one.kill()

    on(test)


def test_a_gateway_leads_to_one_port_of_this_machine(on: Callable[[Test], None]):
    async def test(made: Bench) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"the cloud, " + await reader.read(100))
            writer.close()

        wanted = await asyncio.start_server(answer, "127.0.0.1", 0)
        other = await asyncio.start_server(answer, "127.0.0.1", 0)
        ports = [server.sockets[0].getsockname()[1] for server in (wanted, other)]
        program = (
            "import os, sys\nfrom urllib.parse import urlsplit\n"
            "assert os.environ['A_URL'] == os.environ['B_URL']\n"
            "url = urlsplit(os.environ['A_URL'])\n"
            "sys.argv = ['', f'{url.hostname}:{url.port}', f'{url.hostname}:' + sys.argv[1]]\n" + CONNECTS
        )
        gateway = Gateway(ports[0], ("A_URL", "B_URL"))
        assert await made.python(program, str(ports[1]), gateway=gateway) == 0
        assert made.lines[0] == "b'the cloud, peer'"
        assert made.lines[1].endswith("is out of reach")
        for server in (wanted, other):
            server.close()

    on(test)


def test_peers_reach_each_other_by_name_on_one_network(on: Callable[[Test], None]):
    async def test(made: Bench) -> None:
        hosts = ("algo-1", "algo-2")
        network = await made.runtime.network("job", hosts)
        other = await made.runtime.network("other-job", hosts)
        interface = "import socket; print(sorted(name for _, name in socket.if_nameindex()))\n"
        first = await made.start(made.script(interface + SERVES, network=network, hostname="algo-1"))
        await made.said("listening")
        assert "eth0" in made.lines[0]
        own = "import socket; print(socket.gethostname())\n"
        await made.python(own + CONNECTS, "algo-1:8080", name="b", network=network, hostname="algo-2")
        assert made.lines[-2:] == ["algo-2", "b'hello peer'"]
        await made.python(CONNECTS, "algo-1:8080", name="c", network=other, hostname="algo-2")
        assert made.lines[-1] == "algo-1:8080 is out of reach"
        with pytest.raises(ContainerError, match="not on its network"):
            await made.start(made.spec(network=network, hostname="algo-9"))
        await first.kill()
        for made_network in (network, other):
            await made_network.close()

    on(test)


# By hand ----------------------------------------------------------------------------------------------


def test_the_command_that_reproduces_a_container_works_when_typed(on: Callable[[Test], None], tmp_path: Path):
    ml = tmp_path / "ml"
    ml.mkdir()

    async def test(made: Bench) -> None:
        program = (
            "import os; print('with', os.environ['NAME']); open('/opt/ml/done', 'w'); raise SystemExit(5)"
        )
        spec = made.script(program, environment={"NAME": "a 'b' $c"}, mounts=(Mount(ml, ML),))
        container = await made.start(spec)
        assert await container.wait() == 5
        (ml / "done").unlink()
        by_hand = await typed(container.reproduce())
        assert (by_hand.returncode, by_hand.stdout) == (5, "with a 'b' $c\n")
        assert (ml / "done").exists()

    on(test)


def typed(command: str) -> Coroutine[Any, Any, subprocess.CompletedProcess[str]]:
    """Run a command in a shell."""
    assert shlex.split(command)
    return asyncio.to_thread(
        subprocess.run, ["sh", "-c", command], capture_output=True, text=True, check=False
    )
