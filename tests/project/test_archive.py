from __future__ import annotations

import io
import os
import tarfile
import zipfile

import pytest

from harness.errors import InputError
from harness.project.archive import Member, read_tree, tree_digest, write_tar, write_zip


def packed(write, tree):
    buffer = io.BytesIO()
    write(tree, buffer)
    return buffer.getvalue()


def write_files(folder, umask=0o022, mtime=1_700_000_000, order=1):
    before = os.umask(umask)
    try:
        files = [("b.py", "b"), ("a/x.sh", "x"), ("a/y.txt", "y")][::order]
        for name, content in files:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            if name.endswith(".sh"):
                path.chmod(path.stat().st_mode | 0o100)
            os.utime(path, (mtime, mtime))
    finally:
        os.umask(before)


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_place_time_umask_and_order_do_not_matter(tmp_path, write):
    first, second = tmp_path / "first", tmp_path / "elsewhere" / "second"
    first.mkdir()
    second.mkdir(parents=True)
    write_files(first)
    write_files(second, umask=0o077, mtime=1_000_000_000, order=-1)
    trees = read_tree(first), read_tree(second)
    assert tree_digest(trees[0]) == tree_digest(trees[1])
    assert packed(write, trees[0]) == packed(write, trees[1])


def test_content_name_and_mode_do_matter():
    base = {"a": Member(b"1"), "b": Member(b"2")}
    others = [
        {"a": Member(b"2"), "b": Member(b"2")},
        {"c": Member(b"1"), "b": Member(b"2")},
        {"a": Member(b"1", executable=True), "b": Member(b"2")},
        {"a": Member(b"1")},
        {"a": Member(b"12"), "b": Member(b"")},
        {"a": Member(b"", link="1"), "b": Member(b"2")},
    ]
    digests = {tree_digest(tree) for tree in [base, *others]}
    assert len(digests) == 1 + len(others)


def test_a_zip_keeps_content_and_the_executable_bit(tmp_path):
    write_files(tmp_path)
    with zipfile.ZipFile(io.BytesIO(packed(write_zip, read_tree(tmp_path)))) as archive:
        assert archive.namelist() == ["a/x.sh", "a/y.txt", "b.py"]
        assert archive.read("a/y.txt") == b"y"
        modes = {info.filename: oct(info.external_attr >> 16) for info in archive.infolist()}
    assert modes == {"a/x.sh": "0o100755", "a/y.txt": "0o100644", "b.py": "0o100644"}


def test_a_tar_keeps_links(tmp_path):
    write_files(tmp_path)
    (tmp_path / "link").symlink_to("a/y.txt")
    (tmp_path / "folder").symlink_to("a")
    with tarfile.open(fileobj=io.BytesIO(packed(write_tar, read_tree(tmp_path, links=True)))) as archive:
        links = {member.name: member.linkname for member in archive if member.issym()}
        assert links == {"link": "a/y.txt", "folder": "a"}
        assert {member.mtime for member in archive} == {0}


def test_what_tools_leave_behind_is_left_out(tmp_path):
    write_files(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "b.cpython-312.pyc").write_bytes(b"")
    (tmp_path / "c.pyc").write_bytes(b"")
    (tmp_path / ".DS_Store").write_bytes(b"")
    assert sorted(read_tree(tmp_path)) == ["a/x.sh", "a/y.txt", "b.py"]


def test_links_to_files_are_followed_in_a_zip_and_others_refused(tmp_path):
    write_files(tmp_path)
    (tmp_path / "link").symlink_to("b.py")
    assert read_tree(tmp_path)["link"] == Member(b"b")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        read_tree(tmp_path)


def test_a_missing_folder(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        read_tree(tmp_path / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="not a folder"):
        read_tree(tmp_path / "file")
