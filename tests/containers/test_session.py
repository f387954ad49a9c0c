from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from harness.containers.session import Session, reap, remove_tree


def folders(root: Path) -> set[str]:
    return {path.name for path in (root / ".harness/sessions").iterdir() if path.is_dir()}


def test_a_session_removes_its_folder(tmp_path: Path) -> None:
    with Session(tmp_path) as session:
        assert session.folder("scratch").is_dir()
        assert folders(tmp_path) == {session.id}
    assert folders(tmp_path) == set()
    session.close()


def test_a_session_kills_what_it_recorded(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as kept, subprocess.Popen(["sleep", "600"]) as forgotten:
        with Session(tmp_path) as session:
            session.record(kept.pid)
            session.record(forgotten.pid)
            session.forget(forgotten.pid)
        assert kept.wait(10) == -9
        assert forgotten.poll() is None
        forgotten.kill()


def test_a_process_that_took_over_the_number_is_spared(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as other:
        with Session(tmp_path) as session:
            session.record(other.pid)
            record = session.path / "children" / str(other.pid)
            boot, start = record.read_text().split()
            record.write_text(f"{boot} {int(start) - 1}")
        assert other.poll() is None
        other.kill()


ABANDON = """
import os, signal, subprocess, sys
from pathlib import Path
from harness.containers.session import Session
session = Session(Path(sys.argv[1]))
child = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
session.record(child.pid)
session.record(2**22 - 1)
locked = session.folder("a/b")
(locked / "file").write_text("")
locked.chmod(0o500)
print(child.pid, session.id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_reap_clears_dead_sessions_and_only_those(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ABANDON, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == -9
    child, dead = done.stdout.split()
    with Session(tmp_path) as live:
        assert folders(tmp_path) == {live.id, dead}
        said = reap(tmp_path)
        assert said[0] == f"killed process {child}, left by session {dead}"
        assert said[1].endswith(f"left by session {dead}")
        assert folders(tmp_path) == {live.id}
        assert reap(tmp_path) == []
    assert not Path(f"/proc/{child}").exists() or " Z " in Path(f"/proc/{child}/stat").read_text()


def test_reap_where_there_never_was_a_session(tmp_path: Path) -> None:
    assert reap(tmp_path) == []


def test_sessions_come_and_go_while_others_reap(tmp_path: Path) -> None:
    problems: list[BaseException] = []

    def work(action: int) -> None:
        try:
            for _ in range(30):
                if action:
                    reap(tmp_path)
                else:
                    with Session(tmp_path) as session:
                        session.folder("x")
        except BaseException as error:
            problems.append(error)

    workers = [threading.Thread(target=work, args=(number % 2,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert problems == []
    assert folders(tmp_path) == set()


def test_write_protected_folders_are_removed(tmp_path: Path) -> None:
    deep = tmp_path / "top" / "middle" / "deep"
    deep.mkdir(parents=True)
    (deep / "file").write_text("")
    (deep / "link").symlink_to(tmp_path)
    for folder in (deep, deep.parent, tmp_path / "top"):
        folder.chmod(0o000 if os.getuid() == 0 else 0o500)
    remove_tree(tmp_path / "top")
    assert list(tmp_path.iterdir()) == []
    remove_tree(tmp_path / "top")
