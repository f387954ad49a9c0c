"""Unpacking deployment packages."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from pathlib import Path

import pytest

from harness.cloud.errors import ServiceError
from harness.cloud.functions.packages import UNUSED, PackageStore


def zipped(*members: tuple[str | zipfile.ZipInfo, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in members:
            archive.writestr(name, text)
    return content.getvalue()


def entry(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


@pytest.fixture
def store(tmp_path: Path) -> PackageStore:
    return PackageStore(tmp_path / "packages")


def unpack(store: PackageStore, *members: tuple[str | zipfile.ZipInfo, str]) -> Path:
    return store.folder / store.add(zipped(*members)).folder


def test_unpacks_files_read_only_and_keeps_what_is_executable(store: PackageStore) -> None:
    folder = unpack(
        store, (entry("bin/tool", 0o100755), "#!"), (entry("a/b.py", 0o100644), "x = 1"), ("empty/", "")
    )
    assert (folder / "a/b.py").read_text() == "x = 1"
    assert stat.S_IMODE((folder / "a/b.py").stat().st_mode) == 0o444
    assert stat.S_IMODE((folder / "bin/tool").stat().st_mode) == 0o555
    assert (folder / "empty").is_dir()


def test_gives_the_hash_and_size_of_the_archive(store: PackageStore) -> None:
    content = zipped(("handler.py", ""))
    package = store.add(content)
    assert package.size == len(content)
    assert package.archive.read_bytes() == content
    assert len(package.digest) == 44


def test_the_same_archive_is_unpacked_once(store: PackageStore) -> None:
    content = zipped(("handler.py", "x = 1"))
    first = store.add(content)
    (store.folder / first.folder / "mark").touch()
    assert store.add(content) == first
    assert (store.folder / first.folder / "mark").exists()


@pytest.mark.parametrize("name", ["../evil.py", "a/../../evil.py", "/etc/evil.py", "..\\evil.py"])
def test_refuses_a_path_that_leads_out(store: PackageStore, name: str) -> None:
    with pytest.raises(ServiceError, match="leads out") as refused:
        store.add(zipped(("fine.py", ""), (name, "")))
    assert refused.value.code == "InvalidParameterValueException"
    assert [path.name for path in store.folder.iterdir()] == [".locks"]


def test_refuses_a_link_that_leads_out_and_keeps_one_that_does_not(store: PackageStore) -> None:
    link = stat.S_IFLNK | 0o777
    with pytest.raises(ServiceError, match="leads out"):
        store.add(zipped((entry("lib/link", link), "../../etc/passwd")))
    folder = unpack(store, ("lib/real.so", "so"), (entry("lib/link.so", link), "real.so"))
    assert (folder / "lib/link.so").read_text() == "so"


@pytest.mark.parametrize(
    "content", [b"", b"not a zip", zipped(("a", "b"))[:-10]], ids=["empty", "text", "cut short"]
)
def test_refuses_what_is_not_an_archive(store: PackageStore, content: bytes) -> None:
    with pytest.raises(ServiceError, match="Could not unzip uploaded file"):
        store.add(content)


def test_times_follow_from_content(store: PackageStore) -> None:
    """Bytecode is matched to its source by time and size: equal archive dates must not confuse it."""
    one = unpack(store, ("handler.py", "x = 1")) / "handler.py"
    two = unpack(store, ("handler.py", "x = 2")) / "handler.py"
    same = unpack(store, ("handler.py", "x = 1"), ("more.py", "")) / "handler.py"
    assert one.stat().st_size == two.stat().st_size
    assert one.stat().st_mtime != two.stat().st_mtime
    assert one.stat().st_mtime == same.stat().st_mtime


def test_later_layers_lie_over_earlier_ones(store: PackageStore) -> None:
    first = store.add(zipped(("python/a.py", "1"), ("python/b.py", "1")))
    second = store.add(zipped(("python/b.py", "2"), ("bin/c", "2")))
    merged = store.merge((first, second))
    assert merged is not None
    texts = {
        str(path.relative_to(store.folder / merged)): path.read_text()
        for path in (store.folder / merged).rglob("*")
        if path.is_file()
    }
    assert texts == {"python/a.py": "1", "python/b.py": "2", "bin/c": "2"}
    assert (store.folder / first.folder / "python/b.py").read_text() == "1"
    assert store.merge((first, second)) == merged
    assert store.merge((second, first)) != merged
    assert store.merge(()) is None


def test_stores_of_two_sessions_share_what_is_unpacked(store: PackageStore) -> None:
    content = zipped(("handler.py", "x = 1"))
    folder = store.folder / store.add(content).folder
    (folder / "mark").touch()
    other = PackageStore(store.folder)
    assert (other.folder / other.add(content).folder / "mark").exists()


def test_what_nobody_used_for_long_is_removed_when_a_store_is_opened(store: PackageStore) -> None:
    old, new = store.add(zipped(("old.py", ""))), store.add(zipped(("new.py", "")))
    used = old.archive.stat().st_mtime - UNUSED - 60
    os.utime(old.archive, (used, used))
    PackageStore(store.folder)
    assert not old.archive.exists()
    assert not (store.folder / old.folder).exists()
    assert (store.folder / new.folder / "new.py").exists()


def test_use_keeps_an_archive(store: PackageStore) -> None:
    content = zipped(("handler.py", ""))
    archive = store.add(content).archive
    os.utime(archive, (0, 0))
    store.add(content)
    PackageStore(store.folder)
    assert archive.exists()
