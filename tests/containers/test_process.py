from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from harness.clock import run
from harness.containers.launch import SANDBOX, plan_with_namespaces, probe
from harness.containers.peers import Peers, tunnel_problem
from harness.containers.process import ProcessContainer, ProcessRuntime
from harness.containers.runtime import ContainerSpec, Gateway, Image, Mount, PrivateNetwork
from harness.containers.sandbox.start import some_of
from harness.containers.session import Session, reap
from harness.errors import ContainerError, EnvironmentFault
from tests.containers.conftest import MakeImage

pytestmark = pytest.mark.slow

needs_namespaces = pytest.mark.skipif(
    not probe().namespaces, reason=f"this machine has no user namespaces: {probe().reason}"
)
needs_peers = pytest.mark.skipif(
    not probe().namespaces or tunnel_problem() is not None,
    reason=f"this machine has no peers: {probe().reason or tunnel_problem()}",
)
modes = pytest.mark.parametrize(
    "namespaces",
    [pytest.param(True, marks=needs_namespaces, id="namespaces"), pytest.param(False, id="without")],
)

SERVER = """
import os, socket, sys
with socket.create_server(("127.0.0.1", int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")))) as server:
    print("ready", flush=True)
    while True:
        connection, _ = server.accept()
        with connection:
            connection.sendall(sys.argv[1].encode())
"""


def shell(image: Image, script: str, **changes: Any) -> ContainerSpec:
    """A container that runs a shell script in an image that has no ENTRYPOINT."""
    return ContainerSpec("test", image, ("sh", "-c", script), **changes)


def ran(spec: ContainerSpec, namespaces: bool = True) -> tuple[int, list[str]]:
    """Run a container to its end; exit code and output."""

    async def main() -> tuple[int, list[str]]:
        lines: list[str] = []
        runtime = ProcessRuntime(namespaces=namespaces)
        try:
            container = await runtime.start(spec, lines.append)
            return await container.wait(), lines
        finally:
            await runtime.close()

    return run(main())


def with_runtime(body: Callable[[ProcessRuntime], Awaitable[None]], namespaces: bool = True) -> None:
    async def main() -> None:
        runtime = ProcessRuntime(namespaces=namespaces)
        try:
            await body(runtime)
        finally:
            await runtime.close()

    run(main())


async def said(lines: list[str], line: str, times: int = 1) -> None:
    """Wait until containers have said a line."""
    async with asyncio.timeout(20):
        while lines.count(line) < times:  # noqa: ASYNC110 - a list has no event
            await asyncio.sleep(0.005)


def descendants_of(pid: int) -> set[int]:
    """The living processes below a process."""
    table = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,stat=,comm="], capture_output=True, text=True, check=True
    ).stdout
    below = {pid}
    rows = [line.split() for line in table.splitlines()]
    while True:
        more = {
            int(row[0]) for row in rows if int(row[1]) in below and "Z" not in row[2] and row[3] != "ps"
        } - below
        if not more:
            return below - {pid}
        below |= more


@pytest.fixture
def plain(image: MakeImage) -> Image:
    """An image without ENTRYPOINT."""
    return image("FROM python:3-slim\n")


# The world inside -------------------------------------------------------------------------------------


@needs_namespaces
def test_files_of_the_image_are_where_it_has_them(image: MakeImage) -> None:
    made = image(
        "FROM python:3-slim\nCOPY f /opt/program/f\nCOPY f /app/f\nCOPY f /usr/src/app/f\nCOPY f /bin/f\n"
        "WORKDIR /app\n",
        {"f": "content"},
    )
    code, lines = ran(shell(made, "pwd; cat /opt/program/f f /usr/src/app/f /usr/bin/f; ls /usr/bin/env"))
    assert (code, lines) == (0, ["/app", "content" * 4 + "/usr/bin/env"])


@needs_namespaces
def test_what_a_container_writes_into_its_image_is_gone_with_it(image: MakeImage) -> None:
    made = image("FROM python:3-slim\nCOPY f /app/f\n", {"f": "old"})
    script = "cat /app/f; printf new > /app/f; cat /app/f; touch /usr/mine /etc/mine /root/mine /tmp/mine"
    assert ran(shell(made, script)) == (0, ["oldnew"])
    assert ran(shell(made, "cat /app/f; ls /usr/mine /etc/mine /root/mine /tmp/mine 2>&1 | wc -l")) == (
        0,
        ["old4"],
    )
    assert ran(shell(made, "test -e /root/mine || test -e /usr/mine"))[0] == 1
    assert not Path("/usr/mine").exists()


@needs_namespaces
def test_mounts(plain: Image, tmp_path: Path) -> None:
    (tmp_path / "ml" / "model").mkdir(parents=True)
    (tmp_path / "fixed").mkdir()
    (tmp_path / "fixed" / "f").write_text("fixed")
    mounts = (
        Mount(tmp_path / "fixed", PurePosixPath("/opt/ml/input"), read_only=True),
        Mount(tmp_path / "ml", PurePosixPath("/opt/ml")),
    )
    script = (
        "ls /opt/ml; cat /opt/ml/input/f; echo; echo made > /opt/ml/model/m"
        " && ! touch /opt/ml/input/x && ! mount -o remount,rw /opt/ml/input"
    )
    code, lines = ran(shell(plain, script, mounts=mounts))
    assert code == 0, lines
    assert lines[:3] == ["input", "model", "fixed"]
    assert (tmp_path / "ml/model/m").read_text() == "made\n"
    assert os.stat(tmp_path / "ml/model/m").st_uid == os.getuid()
    assert not (tmp_path / "fixed/x").exists()


@needs_namespaces
def test_a_mount_of_what_does_not_exist_is_refused(plain: Image, tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match="does not exist"):
        ran(shell(plain, "true", mounts=(Mount(tmp_path / "none", PurePosixPath("/opt/ml")),)))


@needs_namespaces
def test_nothing_of_the_callers_home_or_environment_is_seen(
    plain: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sentinel-secret")
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("sentinel-secret")
    monkeypatch.setenv("HOME", str(tmp_path))
    script = (
        f"cat {tmp_path}/.aws/credentials ~/.aws/credentials; env | sort;"
        " cat /proc/*/environ | tr '\\0' '\\n' | grep SECRET; ls /root"
    )
    _, lines = ran(shell(plain, script, environment={"GIVEN": "1"}))
    assert not any("sentinel" in line for line in lines)
    names = {line.split("=")[0] for line in lines if "=" in line}
    assert names == {"GIVEN", "HOME", "HOSTNAME", "LANG", "PATH", "PWD"}


@needs_namespaces
def test_private_settings_of_this_machine_are_hidden(plain: Image) -> None:
    code, lines = ran(shell(plain, "cat /etc/shadow 2>/dev/null | wc -c"))
    assert (code, lines) == (0, ["0"])


@needs_namespaces
def test_own_processes_host_name_and_user(plain: Image) -> None:
    script = "hostname; id -u; ls -d /proc/[0-9]* | wc -l; getent hosts algo-1 | cut -d' ' -f1"
    code, lines = ran(shell(plain, script, hostname="algo-1"))
    assert code == 0
    assert lines[:2] == ["algo-1", "0"]
    assert int(lines[2]) < 6
    assert lines[3] == "127.0.0.1"


@needs_namespaces
@pytest.mark.parametrize("ports", [(), (8080,)])
def test_there_is_no_network_but_the_containers_own(plain: Image, ports: Any) -> None:
    program = (
        "import socket, sys\n"
        "print([name for _, name in socket.if_nameindex() if name == 'lo'])\n"
        "for address in (('127.0.0.1', int(sys.argv[1])), ('192.0.2.1', 80)):\n"
        "    try: socket.create_connection(address, timeout=5); print('reached')\n"
        "    except OSError as error: print(type(error).__name__)\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        _, lines = ran(ContainerSpec("test", plain, ("python", "-c", program, port), ports=ports))
    assert lines == ["['lo']", "ConnectionRefusedError", "OSError"]


@needs_namespaces
def test_python_and_its_scripts_are_the_images(plain: Image) -> None:
    script = (
        "echo 'import sys; print(sys.prefix)' > /tmp/p; python /tmp/p; /usr/local/bin/python3 /tmp/p;"
        " (echo '#!/usr/local/bin/python'; cat /tmp/p) > /tmp/x; chmod +x /tmp/x; /tmp/x"
    )
    _, lines = ran(shell(plain, script))
    assert lines == [str(plain.payload.python.root / "venv")] * 3


@needs_namespaces
def test_variables_for_the_loader_reach_the_program_only(plain: Image) -> None:
    spec = shell(plain, "echo $LD_LIBRARY_PATH", environment={"LD_LIBRARY_PATH": "/nowhere"})
    assert ran(spec) == (0, ["/nowhere"])


@needs_namespaces
def test_capabilities_are_dockers(plain: Image) -> None:
    _, lines = ran(
        shell(plain, "grep CapEff /proc/self/status; mount -t tmpfs x /mnt 2>/dev/null || echo no")
    )
    assert lines == ["CapEff:\t00000000a80425fb", "no"]


@needs_namespaces
def test_without_overlays_the_world_looks_the_same(image: MakeImage) -> None:
    made = image("FROM python:3-slim\nCOPY d /opt/d\nCOPY d/f /usr/local/bin/f\nCOPY d /app\n", {"d/f": "x"})
    script = "cat /opt/d/f /usr/local/bin/f /app/f; echo > /app/new; ls /app; python -c 'print(1)'; hostname"
    plan = plan_with_namespaces(shell(made, script), overlay=False)
    done = subprocess.run(
        plan.command(), env=plan.process_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["xxxf", "new", "1", "test"]


# How containers end -----------------------------------------------------------------------------------


@modes
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("sh", "-c", "exit 0"), 0, ""),
        (("sh", "-c", "exit 3"), 3, ""),
        (("sh", "-c", "kill -KILL $$"), 137, ""),
        (("sh", "-c", "kill -SEGV $$"), 139, ""),
        (("no-such-program",), 127, "not found in $PATH"),
        (("/no/such/program",), 127, "no such file"),
        (("/data/wrong-interpreter",), 127, "#!/no/such/interpreter"),
        (("/data/not-executable",), 126, "Permission denied"),
        (("/etc",), 126, "Permission denied"),
    ],
)
def test_exit_codes(
    image: MakeImage, namespaces: bool, arguments: tuple[str, ...], code: int, words: str
) -> None:
    made = image(
        "FROM python:3-slim\nCOPY . /data/\nRUN chmod +x /data/wrong-interpreter\n",
        {"not-executable": "#!/bin/sh\n", "wrong-interpreter": "#!/no/such/interpreter\n"},
    )
    found, lines = ran(ContainerSpec("test", made, arguments), namespaces)
    assert found == code
    assert words in "\n".join(lines)


@modes
def test_the_command_follows_dockers_rules(image: MakeImage, namespaces: bool) -> None:
    made = image('FROM python:3-slim\nENTRYPOINT ["echo", "entry"]\nCMD ["default"]\n')
    assert ran(ContainerSpec("a", made), namespaces)[1] == ["entry default"]
    assert ran(ContainerSpec("b", made, ("train",)), namespaces)[1] == ["entry train"]
    assert ran(ContainerSpec("c", made, entrypoint=("echo", "other")), namespaces)[1] == ["other"]
    assert ran(ContainerSpec("d", made, ("x",), entrypoint=("echo",)), namespaces)[1] == ["x"]


def test_an_image_that_says_nothing_to_run(image: MakeImage) -> None:
    made = image("FROM python:3-slim\nENTRYPOINT []\n")
    with pytest.raises(ContainerError, match="neither ENTRYPOINT nor CMD"):
        ran(ContainerSpec("test", made))


@modes
def test_a_program_asked_to_stop_may_clean_up(plain: Image, namespaces: bool) -> None:
    async def body(runtime: ProcessRuntime) -> None:
        lines: list[str] = []
        script = "trap 'echo cleaning; exit 5' TERM; echo ready; while :; do sleep 0.01; done"
        container = await runtime.start(shell(plain, script), lines.append)
        await said(lines, "ready")
        assert await container.stop(20) == 5
        assert lines == ["ready", "cleaning"]
        assert await container.stop(20) == 5

    with_runtime(body, namespaces)


@modes
def test_a_program_that_does_not_stop_is_killed(plain: Image, namespaces: bool) -> None:
    async def body(runtime: ProcessRuntime) -> None:
        lines: list[str] = []
        container = await runtime.start(
            shell(plain, "trap '' TERM; echo ready; while :; do sleep 1; done"), lines.append
        )
        await said(lines, "ready")
        start = time.monotonic()
        assert await container.stop(0.2) == 137
        assert 0.2 <= time.monotonic() - start < 10

    with_runtime(body, namespaces)


def test_the_images_stop_signal_is_used(image: MakeImage) -> None:
    made = image("FROM python:3-slim\nSTOPSIGNAL SIGINT\n")

    async def body(runtime: ProcessRuntime) -> None:
        lines: list[str] = []
        script = "trap 'exit 9' INT; echo ready; while :; do sleep 0.01; done"
        container = await runtime.start(shell(made, script), lines.append)
        await said(lines, "ready")
        assert await container.stop(20) == 9

    with_runtime(body, probe().namespaces)


@modes
def test_nothing_of_a_container_survives_it(plain: Image, namespaces: bool) -> None:
    async def body(runtime: ProcessRuntime) -> None:
        lines: list[str] = []
        script = "setsid sh -c 'while :; do sleep 1; done' & setsid setsid sleep 600 & echo ready; {}"
        ended = await runtime.start(shell(plain, script.format("sleep 0.05")), lines.append)
        assert await ended.wait() == 0
        killed = await runtime.start(shell(plain, script.format("sleep 600")), lines.append)
        await said(lines, "ready", 2)
        assert len(descendants_of(os.getpid()) - before) >= 4
        assert await killed.kill() == 137
        assert await killed.kill() == 137
        assert descendants_of(os.getpid()) - before == set()

    before = descendants_of(os.getpid())
    with_runtime(body, namespaces)


@modes
def test_close_ends_everything(plain: Image, namespaces: bool) -> None:
    async def main() -> None:
        runtime = ProcessRuntime(namespaces=namespaces)
        containers = [await runtime.start(shell(plain, "sleep 600"), print) for _ in range(3)]
        await runtime.close()
        assert [await container.wait() for container in containers] == [137] * 3

    run(main())


@modes
def test_a_container_that_uses_too_much_memory_is_killed(plain: Image, namespaces: bool) -> None:
    program = "import time; kept = bytearray(200 << 20); print('kept', flush=True); time.sleep(60)"
    spec = ContainerSpec("test", plain, ("python", "-c", program), memory=100 << 20)
    code, lines = ran(spec, namespaces)
    assert code == 137
    assert any("out of memory" in line for line in lines)


# Output -----------------------------------------------------------------------------------------------


@modes
def test_all_output_arrives_in_order_before_the_end(plain: Image, namespaces: bool) -> None:
    program = (
        "import sys\nfor n in range(10000): print(n, file=sys.stdout if n % 2 else sys.stderr, flush=True)"
    )
    code, lines = ran(ContainerSpec("test", plain, ("python", "-c", program)), namespaces)
    assert code == 0
    assert lines == [str(number) for number in range(10000)]


def test_output_that_is_not_text_or_has_no_end(plain: Image) -> None:
    script = r"printf 'a\377b\r\n\n\303\244\n'; head -c 150000 /dev/zero | tr '\0' x; printf '\nlast'"
    _, lines = ran(shell(plain, script), probe().namespaces)
    assert lines[:3] == ["a\ufffdb", "", "ä"]
    assert [len(line) for line in lines[3:-1]] == [65536, 65536, 150000 - 2 * 65536]
    assert lines[-1] == "last"


# Ports ------------------------------------------------------------------------------------------------


@modes
def test_two_servers_on_the_same_port(image: MakeImage, namespaces: bool) -> None:
    made = image(
        'FROM python:3-slim\nCOPY server.py /app/\nENTRYPOINT ["python", "/app/server.py"]\n',
        {"server.py": SERVER},
    )

    async def ask(container: ProcessContainer) -> bytes:
        connection = await container.connect(8080)
        with connection:
            assert connection.getblocking() is False
            return await asyncio.get_running_loop().sock_recv(connection, 100)

    async def body(runtime: ProcessRuntime) -> None:
        lines: list[str] = []
        names = ("first", "second")
        containers = [
            await runtime.start(ContainerSpec(name, made, (name,), ports=(8080,)), lines.append)
            for name in names
        ]
        await said(lines, "ready", 2)
        answers = await asyncio.gather(*(ask(container) for _ in range(50) for container in containers))
        assert answers == [b"first", b"second"] * 50
        await containers[0].kill()
        with pytest.raises(ConnectionError):
            await containers[0].connect(8080)
        assert await ask(containers[1]) == b"second"

    with_runtime(body, namespaces)


@modes
def test_a_port_nobody_listens_on_refuses_at_once(plain: Image, namespaces: bool) -> None:
    async def body(runtime: ProcessRuntime) -> None:
        container = await runtime.start(shell(plain, "sleep 60", ports=(8080,)), print)
        async with asyncio.timeout(5):
            for _ in range(20):
                with pytest.raises(ConnectionRefusedError):
                    await container.connect(8080)
        closed = await runtime.start(shell(plain, "sleep 60"), print)
        with pytest.raises(ConnectionRefusedError, match="does not offer"):
            await closed.connect(8080)

    with_runtime(body, namespaces)


@needs_namespaces
def test_who_stops_waiting_for_a_connection_leaves_none_behind(plain: Image) -> None:
    async def body(runtime: ProcessRuntime) -> None:
        container = await runtime.start(shell(plain, "sleep 60", ports=(8080,)), print)
        attempts = [asyncio.create_task(container.connect(8080)) for _ in range(20)]
        await asyncio.sleep(0)
        for attempt in attempts[::2]:
            attempt.cancel()
        results = await asyncio.gather(*attempts, return_exceptions=True)
        assert {type(result) for result in results[1::2]} == {ConnectionRefusedError}
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(ConnectionRefusedError):
            await container.connect(8080)
        assert len(os.listdir("/proc/self/fd")) == before

    with_runtime(body)


# Starting ---------------------------------------------------------------------------------------------


@modes
def test_many_containers_start_at_once(plain: Image, namespaces: bool) -> None:
    async def body(runtime: ProcessRuntime) -> None:
        lines: list[str] = []
        specs = [
            ContainerSpec(f"c{number}", plain, ("sh", "-c", f"echo {number}; exit {number}"))
            for number in range(12)
        ]
        containers = await asyncio.gather(*(runtime.start(spec, lines.append) for spec in specs))
        assert [await container.wait() for container in containers] == list(range(12))
        assert sorted(lines, key=int) == [str(number) for number in range(12)]

    with_runtime(body, namespaces)


@modes
def test_reproduce_gives_a_command_that_works_by_hand(
    image: MakeImage, namespaces: bool, tmp_path: Path
) -> None:
    made = image(
        'FROM python:3-slim\nENV GREETING="good day"\nCOPY run.sh /app/\nENTRYPOINT ["sh", "/app/run.sh"]\n',
        {"run.sh": 'echo "$GREETING $1 $NAME"; exit 4'},
    )

    lines: list[str] = []
    commands: list[str] = []

    async def main() -> None:
        runtime = ProcessRuntime(namespaces=namespaces, session=session)
        spec = ContainerSpec("test", made, ("it's",), environment={"NAME": "you & me", "LD_X": "y"})
        container = await runtime.start(spec, lines.append)
        assert await container.wait() == 4
        commands.append(container.reproduce())
        await runtime.close()

    with Session(tmp_path) as session:
        run(main())
        again = subprocess.run(
            commands[0],
            shell=True,
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (again.returncode, again.stdout.splitlines()) == (4, lines)
    assert lines == ["good day it's you & me"]


@needs_namespaces
def test_a_container_that_cannot_be_set_up_is_an_error_with_the_reason(plain: Image, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    mounts = (Mount(tmp_path / "file", PurePosixPath("/opt/x")), Mount(tmp_path, PurePosixPath("/opt/x/y")))
    with pytest.raises(ContainerError, match=r"cannot be set up: .*/opt/x"):
        ran(shell(plain, "true", mounts=mounts))


@pytest.mark.parametrize("path", [SANDBOX, SANDBOX.parent])
def test_the_sandbox_explains_wrong_usage(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", path, "--nonsense"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (125, "sandbox: unknown option --nonsense\n")


@needs_namespaces
@pytest.mark.parametrize(("program", "code"), [("sh", 0), ("none", 127), ("/none", 127), ("/etc", 126)])
def test_the_sandbox_needs_nothing_of_its_own_interpreter_inside(program: str, code: int) -> None:
    # Nothing shows the interpreter that runs the sandbox to the container.
    command = [
        sys.executable,
        "-I",
        "-S",
        SANDBOX,
        "--memory",
        "1000000000",
        "--",
        program,
        "-c",
        "sleep 0.2",
    ]
    done = subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


# Mounts in mounts, pipes ------------------------------------------------------------------------------


@needs_namespaces
def test_pipes_and_read_only_folders_in_a_mount(plain: Image, tmp_path: Path) -> None:
    (tmp_path / "ml/input/data").mkdir(parents=True)
    (tmp_path / "pipes").mkdir()
    (tmp_path / "fixed").mkdir()
    os.mkfifo(tmp_path / "pipes/train_0")
    mounts = (
        Mount(tmp_path / "fixed", PurePosixPath("/opt/ml/input/data/fixed"), read_only=True),
        Mount(tmp_path / "pipes", PurePosixPath("/opt/ml/input/data/pipes")),
        Mount(tmp_path / "pipes/train_0", PurePosixPath("/opt/ml/input/data/train_0")),
        Mount(tmp_path / "ml", PurePosixPath("/opt/ml")),
    )
    script = (
        "cd /opt/ml/input/data; cat train_0; cat pipes/train_0; touch written;"
        " touch fixed/x 2>/dev/null || echo fixed"
    )

    async def body(runtime: ProcessRuntime) -> None:
        lines: list[str] = []
        container = await runtime.start(shell(plain, script, mounts=mounts), lines.append)
        for line in ("first\n", "second\n"):
            async with asyncio.timeout(20):
                await asyncio.to_thread((tmp_path / "pipes/train_0").write_text, line)
                await said(lines, line.strip())
        assert await container.wait() == 0
        assert lines == ["first", "second", "fixed"]

    with_runtime(body)
    assert (tmp_path / "ml/input/data/written").exists()
    assert list((tmp_path / "fixed").iterdir()) == []


# Limits -----------------------------------------------------------------------------------------------


@modes
@pytest.mark.parametrize("cpus", [1, 0.5])
def test_a_container_sees_as_many_processors_as_it_may_use(
    plain: Image, namespaces: bool, cpus: float
) -> None:
    assert ran(shell(plain, "nproc", cpus=cpus), namespaces) == (0, ["1"])


def test_processors_are_chosen_among_those_there_are() -> None:
    processors = [1, 3, 5, 7]
    for count in (1, 3, 4):
        chosen = some_of(processors, count)
        assert len(chosen) == len(set(chosen)) == count
        assert set(chosen) <= set(processors)
        assert processors[os.getpid() % 4] in chosen
    assert sorted(some_of(processors, 96)) == processors


@modes
def test_only_who_uses_too_much_memory_is_said_to_have(plain: Image, namespaces: bool) -> None:
    async def body(runtime: ProcessRuntime) -> None:
        program = "import time; kept = bytearray(200 << 20); time.sleep(60)"
        spec = ContainerSpec("test", plain, ("python", "-c", program), memory=100 << 20)
        greedy = await runtime.start(spec, lambda line: None)
        modest = await runtime.start(shell(plain, "kill -KILL $$", memory=100 << 20), print)
        assert (await greedy.wait(), greedy.out_of_memory) == (137, True)
        assert (await modest.wait(), modest.out_of_memory) == (137, False)

    with_runtime(body, namespaces)


# The local cloud and the peers ------------------------------------------------------------------------

ASK = """
import os, socket, sys
host, port = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://").split(":")
with socket.create_connection((host, int(port))) as connection:
    connection.sendall(b"x" * 1_000_000)
    connection.shutdown(socket.SHUT_WR)
    answer = b"".join(iter(lambda: connection.recv(65536), b""))
print(len(answer), os.environ["S3_ENDPOINT_URL"] == os.environ["AWS_ENDPOINT_URL"])
"""


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer once the other has said all: it takes a half-closed connection."""
    writer.write(await reader.read())
    writer.write_eof()
    await writer.drain()
    writer.close()


def cloud_at(server: asyncio.Server) -> Gateway:
    return Gateway(server.sockets[0].getsockname()[1], ("AWS_ENDPOINT_URL", "S3_ENDPOINT_URL"))


@modes
def test_a_gateway_leads_to_the_local_cloud(plain: Image, namespaces: bool) -> None:
    async def body(runtime: ProcessRuntime) -> None:
        lines: list[str] = []
        async with await asyncio.start_server(echo, "127.0.0.1") as server:
            spec = ContainerSpec("test", plain, ("python", "-c", ASK), gateway=cloud_at(server))
            containers = [await runtime.start(spec, lines.append) for _ in range(3)]
            assert [await container.wait() for container in containers] == [0] * 3
        assert lines == ["1000000 True"] * 3

    with_runtime(body, namespaces)


@needs_namespaces
def test_a_gateway_leads_nowhere_else(plain: Image) -> None:
    program = (
        "import socket, sys\n"
        "for address in (('127.0.0.1', int(sys.argv[1])), ('192.0.2.1', 80)):\n"
        "    try: socket.create_connection(address, timeout=5); print('reached')\n"
        "    except OSError as error: print(type(error).__name__)\n"
    )

    async def body(runtime: ProcessRuntime) -> None:
        lines: list[str] = []
        async with (
            await asyncio.start_server(echo, "127.0.0.1") as server,
            await asyncio.start_server(echo, "127.0.0.1") as other,
        ):
            port = str(cloud_at(other).port)
            command = ("python", "-c", program, port)
            container = await runtime.start(
                ContainerSpec("test", plain, command, gateway=cloud_at(server)), lines.append
            )
            assert await container.wait() == 0
        assert lines == ["ConnectionRefusedError", "OSError"]

    with_runtime(body)


@needs_namespaces
def test_connections_to_the_local_cloud_end_with_the_container(plain: Image) -> None:
    ended: list[bytes] = []

    async def body(runtime: ProcessRuntime) -> None:
        arrived, gone = asyncio.Event(), asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            arrived.set()
            try:
                ended.append(await reader.read())
            except ConnectionError:
                ended.append(b"")
            gone.set()
            writer.close()

        script = (
            "import os, socket, time\n"
            "port = int(os.environ['AWS_ENDPOINT_URL'].rpartition(':')[2])\n"
            "kept = socket.create_connection(('127.0.0.1', port)); time.sleep(600)\n"
        )
        before = len(os.listdir("/proc/self/fd"))
        server = await asyncio.start_server(silent, "127.0.0.1")
        async with server, asyncio.timeout(20):
            container = await runtime.start(
                ContainerSpec("test", plain, ("python", "-c", script), gateway=cloud_at(server)), print
            )
            await arrived.wait()
            assert await container.kill() == 137
            await gone.wait()
        await asyncio.sleep(0)
        assert len(os.listdir("/proc/self/fd")) <= before + 1

    with_runtime(body)
    assert ended == [b""]


PEER = """
import os, socket, sys, time
own, other = sys.argv[1:]
assert {name for _, name in socket.if_nameindex()} >= {"lo", "eth0"}
server = socket.create_server((own, 7777))
while True:
    try:
        with socket.create_connection((other, 7777), 5) as connection:
            connection.sendall(own.encode() * 100_000)
        break
    except ConnectionRefusedError:
        time.sleep(0.01)
connection, (address, _) = server.accept()
content = b"".join(iter(lambda: connection.recv(65536), b""))
assert address == socket.gethostbyname(other) != socket.gethostbyname(own)
print(socket.gethostname(), content == other.encode() * 100_000, flush=True)
port = int(os.environ["AWS_ENDPOINT_URL"].rpartition(":")[2])
socket.create_connection(("127.0.0.1", port)).close()
with socket.create_server(("127.0.0.1", 8080)) as serving:
    print("ready", flush=True)
    with serving.accept()[0] as asked:
        asked.sendall(own.encode())
"""


@needs_peers
def test_peers_reach_one_another_the_cloud_and_the_harness(plain: Image) -> None:
    async def body(runtime: ProcessRuntime) -> None:
        lines: list[str] = []
        hosts = ("algo-1", "algo-2")
        network = await runtime.network("job", hosts)
        async with await asyncio.start_server(echo, "127.0.0.1") as server:
            containers = [
                await runtime.start(
                    ContainerSpec(
                        f"job-{own}",
                        plain,
                        ("python", "-c", PEER, own, other),
                        ports=(8080,),
                        gateway=cloud_at(server),
                        network=network,
                        hostname=own,
                    ),
                    lines.append,
                )
                for own, other in (hosts, hosts[::-1])
            ]
            await said(lines, "ready", 2)
            for container in containers:
                with await container.connect(8080) as connection:
                    answer = await asyncio.get_running_loop().sock_recv(connection, 100)
                assert answer == (container.spec.hostname or "").encode()
            assert [await container.wait() for container in containers] == [0, 0]
        await network.close()
        assert sorted(lines) == ["algo-1 True", "algo-2 True", "ready", "ready"]

    with_runtime(body)


@needs_peers
def test_two_networks_do_not_reach_each_other(plain: Image) -> None:
    # Both have the same addresses: the first host of the one would answer for that of the other.
    serve = (
        "import socket, time\n"
        "server = socket.create_server(('', 7777)); print('ready', flush=True); time.sleep(60)\n"
    )
    ask = (
        "import socket\n"
        "try: socket.create_connection(('algo-1', 7777), timeout=0.5); print('reached')\n"
        "except OSError as error: print(type(error).__name__)\n"
    )

    async def body(runtime: ProcessRuntime) -> None:
        lines: list[str] = []
        hosts = ("algo-1", "algo-2")
        networks = [await runtime.network(name, hosts) for name in ("first", "second")]

        async def start(program: str, network: PrivateNetwork, host: str) -> ProcessContainer:
            command = ("python", "-c", program)
            spec = ContainerSpec("test", plain, command, network=network, hostname=host)
            return await runtime.start(spec, lines.append)

        await start(serve, networks[0], "algo-1")
        await said(lines, "ready")
        await (await start(ask, networks[1], "algo-2")).wait()
        await (await start(ask, networks[0], "algo-2")).wait()
        assert lines == ["ready", "TimeoutError", "reached"]

    with_runtime(body)


def test_without_namespaces_there_are_no_peers() -> None:
    async def body(runtime: ProcessRuntime) -> None:
        with pytest.raises(ContainerError, match="algo-1 and algo-2: containers run without namespaces"):
            await runtime.network("job", ("algo-1", "algo-2"))

    with_runtime(body, namespaces=False)


@needs_namespaces
def test_a_host_that_is_not_on_the_network_is_refused(plain: Image) -> None:
    async def body(runtime: ProcessRuntime) -> None:
        network = Peers("job", ("algo-1", "algo-2"))
        with pytest.raises(ContainerError, match="algo-3 is not on its network"):
            await runtime.start(shell(plain, "true", network=network, hostname="algo-3"), print)

    with_runtime(body)
    with pytest.raises(ContainerError, match="two hosts of one name"):
        Peers("job", ("algo-1", "algo-1"))


# Killed by somebody else ------------------------------------------------------------------------------


def marked(mark: str) -> list[str]:
    """The processes with a mark in their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (entry / "environ").read_bytes():
                found.append(entry.name)
    return found


@modes
@pytest.mark.parametrize("which", ["sandbox", "its child"])
def test_a_container_killed_from_outside_has_ended(
    plain: Image, namespaces: bool, which: str, tmp_path: Path
) -> None:
    mark = str(tmp_path)

    async def body(runtime: ProcessRuntime) -> None:
        lines: list[str] = []
        script = "setsid sh -c 'trap \"\" TERM HUP; sleep 600; :' & echo ready; sleep 600"
        spec = shell(plain, script, environment={"MARK": mark}, ports=(8080,))
        container = await runtime.start(spec, lines.append)
        await said(lines, "ready")
        first, *others = sorted(map(int, marked(mark)))
        os.kill(first if which == "sandbox" else others[0], signal.SIGKILL)
        async with asyncio.timeout(10):
            assert await container.wait() == 137
        with pytest.raises(ConnectionError):
            await container.connect(8080)
        deadline = time.monotonic() + 10  # the kernel ends the processes in its own time
        while marked(mark) and time.monotonic() < deadline:
            pass
        assert marked(mark) == []

    with_runtime(body, namespaces)


# When the owner dies ----------------------------------------------------------------------------------

OWNER = """
import sys
from pathlib import Path
from harness.clock import run
from harness.containers.build import build
from harness.containers.process import ProcessRuntime
from harness.containers.runtime import ContainerSpec, ImageSource
from harness.containers.session import Session

async def main():
    session = Session(Path(sys.argv[1]))
    runtime = ProcessRuntime(session=session, namespaces=sys.argv[3] == "True")
    image = await runtime.build(ImageSource("image", Path(sys.argv[2])))
    script = "setsid sleep 600 & trap '' TERM HUP; echo ready; while :; do sleep 1; done"
    spec = ContainerSpec("c", image, ("sh", "-c", script))
    container = await runtime.start(spec, lambda line: print(line, flush=True))
    await container.wait()

run(main())
"""


@modes
def test_kill_9_of_the_owner_leaves_no_process_and_reap_no_folder(
    image: MakeImage, tmp_path: Path, namespaces: bool
) -> None:
    image("FROM python:3-slim\n")
    command = [sys.executable, "-c", OWNER, str(tmp_path), str(tmp_path / "context"), str(namespaces)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        processes = descendants_of(owner.pid)
        assert len(processes) >= 3
        with Session(tmp_path) as live:
            assert reap(tmp_path) == []
            owner.send_signal(signal.SIGKILL)
            owner.wait()
            deadline = time.monotonic() + 10
            while any(Path(f"/proc/{pid}").exists() for pid in processes) and time.monotonic() < deadline:
                pass
            assert not any(Path(f"/proc/{pid}").exists() for pid in processes)
            done = reap(tmp_path)
            assert len(done) == 1
            assert done[0].startswith("removed ")
            assert [path.name for path in live.path.parent.iterdir() if path.is_dir()] == [live.id]


# Without namespaces -----------------------------------------------------------------------------------


def test_without_namespaces_folders_and_paths_are_translated_and_it_is_said(
    image: MakeImage, tmp_path: Path
) -> None:
    made = image(
        "FROM python:3-slim\nCOPY run.sh /opt/program/run.sh\nWORKDIR /opt/program\n"
        "ENV DATA=/opt/ml/model:/opt/none\n"
        'ENTRYPOINT ["sh", "/opt/program/run.sh", "--dir=/opt/ml/model"]\n',
        {
            "run.sh": 'pwd; echo "$1"; echo "$DATA"; cat "$SAGEMAKER_BASE_DIR/model/m"; '
            'echo "$HOME"; ls; echo > new'
        },
    )
    model = tmp_path / "model"
    model.mkdir()
    (model / "m").write_text("model\n")
    folders: list[str] = []

    async def main() -> None:
        lines: list[str] = []
        runtime = ProcessRuntime(namespaces=False)
        assert "without namespaces" in runtime.warnings[0]
        spec = ContainerSpec(
            "test", made, mounts=(Mount(model, PurePosixPath("/opt/ml/model"), read_only=True),)
        )
        container = await runtime.start(spec, lines.append)
        assert await container.wait() == 0
        folder = lines[0].removesuffix("/opt/program")
        assert lines[1:] == [
            f"--dir={folder}/opt/ml/model",
            f"{folder}/opt/ml/model:/opt/none",
            "model",
            f"{folder}/root",
            "run.sh",
        ]
        await runtime.close()
        folders.append(folder)

    run(main())
    assert not (made.payload.tree / "opt/program/new").exists()
    assert not Path(folders[0]).exists()


def test_without_namespaces_a_mount_inside_another_is_refused(plain: Image, tmp_path: Path) -> None:
    mounts = (Mount(tmp_path, PurePosixPath("/opt/ml")), Mount(tmp_path, PurePosixPath("/opt/ml/x")))
    with pytest.raises(ContainerError, match="/opt/ml/x cannot be mounted inside another mount"):
        ran(shell(plain, "true", mounts=mounts), namespaces=False)


def test_namespaces_can_be_switched_off_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    probe.cache_clear()
    try:
        monkeypatch.setenv("HARNESS_NO_NAMESPACES", "1")
        assert probe().namespaces is False
        assert "HARNESS_NO_NAMESPACES" in ProcessRuntime().warnings[0]
        probe.cache_clear()
        monkeypatch.setenv("HARNESS_NO_NAMESPACES", "yes")
        with pytest.raises(EnvironmentFault):
            probe()
    finally:
        probe.cache_clear()
