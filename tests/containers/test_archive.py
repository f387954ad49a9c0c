from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from harness.containers.archive import HEADER_LIMIT, ArchiveError, pack, unpack
from harness.containers.launch import probe

# Packing ----------------------------------------------------------------------------------------------


def filled(root: Path) -> Path:
    (root / "sub" / "empty").mkdir(parents=True)
    (root / "weights").write_bytes(b"w" * 10_000)
    (root / "sub" / "run.sh").write_text("#!/bin/sh")
    (root / "sub" / "run.sh").chmod(0o700)
    return root


def test_packing_is_deterministic_and_members_are_at_the_root(tmp_path: Path) -> None:
    first, second = filled(tmp_path / "1"), filled(tmp_path / "2")
    for path in (first / "weights", first / "sub"):
        os.utime(path, (1, 1))
    (second / "weights").chmod(0o600)
    archive = pack(first)
    assert archive == pack(second)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert tar.getnames() == ["sub", "sub/empty", "sub/run.sh", "weights"]
        assert {(member.uid, member.gid, member.mtime) for member in tar} == {(0, 0, 0)}


def test_what_is_packed_can_be_unpacked(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    unpack(pack(filled(tmp_path / "source")), target)
    assert (target / "weights").read_bytes() == b"w" * 10_000
    assert (target / "sub" / "empty").is_dir()
    assert os.access(target / "sub" / "run.sh", os.X_OK)
    assert not os.access(target / "weights", os.X_OK)


def test_an_archive_without_members(tmp_path: Path) -> None:
    unpack(pack(None), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_links_are_packed_as_links_and_devices_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with tarfile.open(fileobj=io.BytesIO(pack(tmp_path))) as tar:
        [member] = tar
        assert (member.issym(), member.linkname) == (True, "/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArchiveError, match='"pipe" is neither a file nor a folder'):
        pack(tmp_path)


def archive_of(*members: tarfile.TarInfo, content: bytes = b"evil") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member in members:
            if member.isreg():
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content) if member.isreg() else None)
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


@pytest.mark.parametrize(
    ("evil", "said"),
    [
        (member("/etc/evil"), "outside"),
        (member("../evil"), "outside"),
        (member("a/../../evil"), "outside"),
        (member("link", tarfile.SYMTYPE, "/etc"), "a link"),
        (member("link", tarfile.SYMTYPE, "inside"), "a link"),
        (member("link", tarfile.LNKTYPE, "../../etc/passwd"), "a link"),
        (member("device", tarfile.CHRTYPE), "a device"),
        (member("pipe", tarfile.FIFOTYPE), "a device"),
    ],
)
def test_members_that_are_not_safe_are_refused(tmp_path: Path, evil: tarfile.TarInfo, said: str) -> None:
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(ArchiveError, match=said):
        unpack(archive_of(evil), target)
    assert list(target.iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    bomb = archive_of(member("zeros"), content=bytes(2_000_000))
    assert len(bomb) < 10_000
    with pytest.raises(ArchiveError, match="more than 1,000,000 bytes"):
        unpack(bomb, tmp_path, limit=1_000_000)
    unpack(bomb, tmp_path, limit=2_100_000)
    assert (tmp_path / "zeros").stat().st_size == 2_000_000


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"no archive at all",
        gzip.compress(b"no tar in here" * 100),
        archive_of(member("a"), content=os.urandom(20_000))[:-5000],
        archive_of(member("a"))[:-9] + b"\0" * 9,
    ],
    ids=["empty", "text", "gzip without tar", "cut off", "wrong checksum"],
)
def test_a_damaged_archive_is_refused(tmp_path: Path, damaged: bytes) -> None:
    with pytest.raises(ArchiveError):
        unpack(damaged, tmp_path)


def test_a_tar_without_compression_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"not a valid tar\.gz archive"):
        unpack(gzip.decompress(archive_of(member("a"))), tmp_path)


def sparse(name: str, size: int) -> tarfile.TarInfo:
    """A member that says it is a file of `size` bytes without having any of them in the archive."""
    made = member(name)
    made.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.name": name,
        "GNU.sparse.size": str(size),
        "GNU.sparse.map": "0,0",
    }
    return made


def test_a_sparse_file_counts_with_its_full_size(tmp_path: Path) -> None:
    archive = archive_of(sparse("zeros", 5_000_000), content=b"")
    with pytest.raises(ArchiveError, match="more than 1,000,000 bytes"):
        unpack(archive, tmp_path, limit=1_000_000)
    assert list(tmp_path.iterdir()) == []
    unpack(archive, tmp_path, limit=5_000_000)
    assert (tmp_path / "zeros").stat().st_size == 5_000_000


def test_headers_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    bloated = member("a")
    bloated.pax_headers = {"comment": "x" * (2 * HEADER_LIMIT)}
    with pytest.raises(ArchiveError, match="the header of a member has more than"):
        unpack(archive_of(bloated), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_headers_in_headers_without_end_are_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("h")
    header.type = tarfile.XGLTYPE
    archive = gzip.compress(header.tobuf() * 1500 + member("a").tobuf() + bytes(1024))
    with pytest.raises(ArchiveError, match=r"not a valid tar\.gz archive"):
        unpack(archive, tmp_path)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (member("a"), member("a/b")),
        (member("a/b"), member("a")),
        (member("a"), member("a", tarfile.DIRTYPE)),
        (member("."), member("b")),
    ],
    ids=["folder of a file", "file of a folder", "folder instead of a file", "file instead of the root"],
)
def test_members_in_one_anothers_place_are_refused(
    tmp_path: Path, first: tarfile.TarInfo, second: tarfile.TarInfo
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(ArchiveError, match=r"cannot be unpacked: (File exists|(Not|Is) a directory)"):
        unpack(archive_of(first, second), target)
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_nothing_is_written_through_a_link(tmp_path: Path, kind: bytes) -> None:
    target, outside = tmp_path / "target", tmp_path / "outside"
    target.mkdir()
    outside.write_text("untouched")
    with pytest.raises(ArchiveError, match='"a" is a link'):
        unpack(archive_of(member("a", kind, str(outside)), member("a")), target)
    with pytest.raises(ArchiveError, match='"a" is a link'):
        unpack(archive_of(member("a"), member("a", kind, str(outside)), member("a")), target)
    assert outside.read_text() == "untouched"
    assert not (target / "a").is_symlink()


def test_a_member_that_comes_twice_has_its_last_content(tmp_path: Path) -> None:
    first = member("a")
    first.size = 3
    second = member("a")
    second.size = 2
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(first, io.BytesIO(b"old"))
        tar.addfile(second, io.BytesIO(b"ok"))
    unpack(buffer.getvalue(), tmp_path)
    assert (tmp_path / "a").read_bytes() == b"ok"


FULL_DISK = """
import sys
from pathlib import Path
from harness.containers.archive import ArchiveError, unpack
from harness.containers.sandbox import kernel

kernel.new_user(0, 0, kernel.CLONE_NEWNS)
kernel.mount("tmpfs", sys.argv[2], "tmpfs", 0, "size=64k")
try:
    unpack(Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]))
except ArchiveError as error:
    print(error)
"""


@pytest.mark.skipif(not probe().namespaces, reason="this machine has no user namespaces")
def test_a_full_disk_is_the_reason(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / "a.tar.gz").write_bytes(archive_of(member("a"), content=bytes(1_000_000)))
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "a.tar.gz"), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "cannot be unpacked: No space left on device\n"
