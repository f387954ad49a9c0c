"""A folder that is brought to S3 while a container writes it."""

from __future__ import annotations

import os
import threading
from pathlib import Path, PurePath

import pytest

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.mirror import Mirror
from harness.cloud.sagemaker.validation import parse_s3
from harness.containers.contract.folder import ContractFolder
from tests.cloud.sagemaker.fakes import MemoryStorage


class Storage(MemoryStorage):
    """Remembers what is put. The first put waits until it may go on."""

    def __init__(self) -> None:
        super().__init__("data")
        self.puts: list[tuple[str, bytes]] = []
        self.began = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def put(self, bucket: str, key: str, body: bytes) -> None:
        if not self.began.is_set():
            self.began.set()
            assert self.go_on.wait(timeout=10)
        super().put(bucket, key, body)
        self.puts.append((key, body))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    path = tmp_path / "ml" / "processing" / "out"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def storage() -> Storage:
    return Storage()


def mirror(storage: Storage, out: Path, uri: str = "s3://data/to", *, deletions: bool = False) -> Mirror:
    folder = ContractFolder(out.parents[1])
    return Mirror(storage, parse_s3(uri), folder, PurePath("processing/out"), deletions=deletions)


def test_only_what_is_new_is_stored(storage: Storage, out: Path) -> None:
    made = mirror(storage, out)
    (out / "sub").mkdir()
    (out / "sub" / "a").write_bytes(b"1")
    made.store()
    made.store()
    (out / "b").write_bytes(b"2")
    (out / "sub" / "a").write_bytes(b"longer")
    made.store()
    assert storage.puts[0] == ("to/sub/a", b"1")
    assert sorted(storage.puts[1:]) == [("to/b", b"2"), ("to/sub/a", b"longer")]


@pytest.mark.parametrize("deletions", [False, True])
def test_what_is_deleted_may_stay(storage: Storage, out: Path, deletions: bool) -> None:
    made = mirror(storage, out, deletions=deletions)
    (out / "a").write_bytes(b"1")
    made.store()
    (out / "a").unlink()
    made.store()
    assert ("to/a" in storage.buckets["data"]) is not deletions


def test_only_regular_files_are_stored(storage: Storage, out: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (out / "link").symlink_to(tmp_path / "secret")
    (out / "folder").symlink_to(tmp_path)
    os.mkfifo(out / "pipe")
    (out / "a").write_bytes(b"1")
    made = mirror(storage, out)
    made.store()
    assert storage.puts == [("to/a", b"1")]
    out.rename(tmp_path / "moved")
    out.symlink_to(tmp_path)
    made.store()
    assert storage.puts == [("to/a", b"1")]


def test_what_could_not_be_stored_is_tried_again(storage: Storage, out: Path) -> None:
    (out / "a").write_bytes(b"1")
    made = mirror(storage, out, "s3://later/to")
    with pytest.raises(ServiceError, match="does not exist"):
        made.store()
    storage.buckets["later"] = {}
    made.store()
    assert storage.buckets["later"] == {"to/a": b"1"}


def test_a_late_look_does_not_put_the_old_over_the_new(storage: Storage, out: Path) -> None:
    made = mirror(storage, out)
    (out / "a").write_bytes(b"old")
    storage.go_on.clear()
    looks = [threading.Thread(target=made.store), threading.Thread(target=made.store)]
    looks[0].start()
    assert storage.began.wait(timeout=10)
    (out / "a").write_bytes(b"the newer")  # the first look has read the old
    looks[1].start()
    looks[1].join(timeout=0.1)  # as long as it would take, did it not wait
    storage.go_on.set()
    for look in looks:
        look.join(timeout=10)
    assert storage.puts == [("to/a", b"old"), ("to/a", b"the newer")]
