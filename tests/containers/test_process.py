from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from harness.clock import run
from harness.containers.launch import SANDBOX, plan_with_namespaces, probe
from harness.containers.process import ProcessContainer, ProcessRuntime
from harness.containers.runtime import ContainerSpec, Image, Mount
from harness.containers.session import Session, reap
from harness.errors import ContainerError, EnvironmentFault
from tests.containers.conftest import MakeImage

pytestmark = pytest.mark.slow

needs_namespaces = pytest.mark.skipif(
    not probe().namespaces, reason=f"this machine has no user namespaces: {probe().reason}"
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
