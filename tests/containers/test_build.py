from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from harness.containers.build import build
from harness.containers.context import Ignore
from harness.containers.runtime import Image, ImageSource
from harness.containers.tree import change_mode
from harness.errors import DockerfileError
from harness.project.pythons import installed, nearest
from tests.containers.conftest import MakeContext, MakeImage

PYTHON = "FROM python:3-slim\n"


def files(image: Image) -> dict[str, str]:
    """Content of an image's files, by path."""
    tree: Path = image.payload.tree
    return {str(path.relative_to(tree)): path.read_text() for path in tree.rglob("*") if path.is_file()}


def quiet(line: str) -> None:
    """Progress nobody wants."""


def test_copied_files_lie_where_docker_would_put_them(image: MakeImage) -> None:
    made = image(
        PYTHON
        + "COPY a.txt /opt/file.txt\nCOPY a.txt /opt\nCOPY a.txt b.txt /many/\nCOPY code /opt/code\n"
        + 'COPY *.txt /glob/\nWORKDIR /task\nCOPY code/main.py .\nCOPY ["a.txt", "with space/"]\n'
        + "WORKDIR sub\nCOPY . all\n",
        {"a.txt": "A", "b.txt": "B", "code/main.py": "M", "code/lib/x.py": "X"},
    )
    found = files(made)
    assert found["opt/file.txt"] == found["opt/a.txt"] == found["many/a.txt"] == "A"
    assert found["opt/code/main.py"] == found["task/main.py"] == "M"
    assert found["opt/code/lib/x.py"] == found["task/sub/all/code/lib/x.py"] == "X"
    assert found["glob/a.txt"] == "A"
    assert found["glob/b.txt"] == "B"
    assert found["task/with space/a.txt"] == "A"
    assert made.payload.workdir == "/task/sub"


def test_modes_links_and_chmod(context: MakeContext) -> None:
    folder = context(
        PYTHON
        + "COPY . /opt/\nCOPY --chmod=700 --chown=app:app plain /opt/private\n"
        + "RUN chmod +x /opt/plain && chmod -R go-rwx /opt/sub && ln -s /opt/plain /usr/bin/tool\n",
        {"plain": "p", "program": "x", "sub/one": "1"},
    )
    (folder / "program").chmod(0o775)
    (folder / "plain").chmod(0o600)
    (folder / "link").symlink_to("plain")
    tree = build(ImageSource("x", folder), quiet).payload.tree
    modes = {name: (tree / "opt" / name).stat().st_mode & 0o777 for name in ("plain", "program", "private")}
    assert modes == {"plain": 0o755, "program": 0o755, "private": 0o700}
    assert (tree / "opt/sub/one").stat().st_mode & 0o777 == 0o600
    assert os.readlink(tree / "opt/link") == "plain"
    assert os.readlink(tree / "usr/bin/tool") == "/opt/plain"


@pytest.mark.parametrize(
    ("old", "change", "folder", "new"),
    [
        (0o644, "+x", False, 0o755),
        (0o755, "a-x", False, 0o644),
        (0o644, "u=rwx,go=", False, 0o700),
        (0o644, "g+w", False, 0o664),
        (0o600, "a+rX", False, 0o644),
        (0o600, "a+rX", True, 0o755),
        (0o644, "0711", False, 0o711),
    ],
)
def test_file_modes(old: int, change: str, folder: bool, new: int) -> None:
    assert change_mode(old, change, is_folder=folder) == new


def test_nothing_is_written_outside_the_tree_through_links(context: MakeContext, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = context(
        PYTHON + "COPY dir /opt/dir\nCOPY file /opt/dir/escape/file\n", {"file": "f", "dir/x": "x"}
    )
    (folder / "dir" / "escape").symlink_to(outside)
    made = build(ImageSource("x", folder), quiet)
    assert list(outside.iterdir()) == []
    assert files(made)[f"{str(outside)[1:]}/file"] == "f"


def test_add_unpacks_archives_and_copies_the_rest(context: MakeContext) -> None:
    folder = context(PYTHON + "ADD data.tar.gz /data\nADD a.txt /data/\n", {"a.txt": "A"})
    with tarfile.open(folder / "data.tar.gz", "w:gz") as archive:
        archive.add(folder / "a.txt", "inside/b.txt")
    found = files(build(ImageSource("x", folder), quiet))
    assert found == {"data/inside/b.txt": "A", "data/a.txt": "A"}


@pytest.mark.parametrize(
    ("rules", "path", "left_out"),
    [
        ("*.pyc", "a.pyc", True),
        ("*.pyc", "sub/a.pyc", False),
        ("**/*.pyc", "sub/deep/a.pyc", True),
        ("**/*.pyc", "a.pyc", True),
        ("build", "build/x/y", True),
        ("/build/", "build/x", True),
        ("b?ild", "build", True),
        ("*\n!keep.txt", "keep.txt", False),
        ("*\n!keep.txt", "other", True),
        ("docs\n!docs/README.md", "docs/README.md", False),
        ("!a\na", "a", True),
        ("# a\n\n", "a", False),
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z", True),
        ("[ab].txt", "b.txt", True),
        ("[!ab].txt", "[x].txt", False),
    ],
)
def test_dockerignore_rules(rules: str, path: str, left_out: bool) -> None:
    assert Ignore(rules)(path) is left_out


def test_ignored_files_are_neither_copied_nor_counted(context: MakeContext) -> None:
    folder = context(
        PYTHON + "COPY . /x/\n",
        {
            "a": "1",
            "secret.env": "s",
            "docs/b": "2",
            "docs/keep": "3",
            ".dockerignore": "*.env\ndocs\n!docs/keep\n",
        },
    )
    first = build(ImageSource("x", folder), quiet)
    assert set(files(first)) == {"x/a", "x/docs/keep", "x/Dockerfile", "x/.dockerignore"}
    (folder / "secret.env").write_text("changed")
    assert build(ImageSource("x", folder), quiet).digest == first.digest


def test_a_copy_of_an_ignored_file_says_why_it_is_missing(image: MakeImage) -> None:
    with pytest.raises(DockerfileError, match=r"a\.env is excluded by \.dockerignore"):
        image(PYTHON + "COPY a.env /x\n", {"a.env": "", ".dockerignore": "*.env"})


def test_a_dockerfiles_own_ignore_file_goes_before_the_common_one(image: MakeImage) -> None:
    made = image(
        PYTHON + "COPY . /x/\n", {"a": "1", ".dockerignore": "*", "Dockerfile.dockerignore": "Dockerfile*"}
    )
    assert set(files(made)) == {"x/a", "x/.dockerignore"}


def test_an_unchanged_context_is_not_built_again(context: MakeContext, own_cache: Path) -> None:
    folder = context(PYTHON + "COPY . /x/\n", {"a": "1"})
    progress: list[str] = []
    first = build(ImageSource("x", folder), progress.append)
    assert progress
    progress.clear()
    os.utime(folder / "a", (1, 1))
    start = time.perf_counter()
    second = build(ImageSource("x", folder), progress.append)
    assert time.perf_counter() - start < 1
    assert progress == []
    assert second == first


def test_what_changes_the_digest(context: MakeContext) -> None:
    folder = context(PYTHON + "COPY . /x/\n", {"a": "1"})
    digests = [build(ImageSource("x", folder), quiet).digest]
    (folder / "a").write_text("2")
    digests.append(build(ImageSource("x", folder), quiet).digest)
    (folder / "a").chmod(0o755)
    digests.append(build(ImageSource("x", folder), quiet).digest)
    (folder / "Dockerfile").write_text(PYTHON + "COPY . /y/\n")
    digests.append(build(ImageSource("x", folder), quiet).digest)
    digests.append(build(ImageSource("x", folder, build_args={"A": "1"}), quiet).digest)
    (folder / "b").mkdir()
    digests.append(build(ImageSource("x", folder), quiet).digest)
    assert len(set(digests)) == len(digests)


def test_a_tar_of_a_folder_is_the_same_image(context: MakeContext, tmp_path: Path) -> None:
    folder = context(
        PYTHON + "COPY code /x\n", {"code/a.py": "1", "code/b/c.py": "2", ".dockerignore": "code/b"}
    )
    archive = tmp_path / "context.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):  # without the folders
            tar.add(path, str(path.relative_to(folder)))
    assert build(ImageSource("x", archive), quiet) == build(ImageSource("x", folder), quiet)


def test_an_archive_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_text("not a tar")
    with pytest.raises(DockerfileError, match="neither a folder nor a readable tar archive"):
        build(ImageSource("x", tmp_path / "x.tar"), quiet)


def test_an_archive_that_leads_outside(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(PYTHON)
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(tmp_path / "Dockerfile", "../Dockerfile")
    with pytest.raises(DockerfileError, match="outside the context"):
        build(ImageSource("x", tmp_path / "x.tar"), quiet)


def build_in_another_process(folder: str, results: multiprocessing.Queue[str]) -> None:
    image = build(ImageSource("x", Path(folder)), quiet)
    results.put(f"{image.digest} {image.payload.tree} {image.payload.python.complete}")


@pytest.mark.slow
def test_two_processes_that_build_the_same_do_not_collide(context: MakeContext, own_cache: Path) -> None:
    folder = context(PYTHON + "COPY . /x/\n", {f"f{number}": "x" * 1000 for number in range(200)})
    spawn = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[str] = spawn.Queue()
    builders = [spawn.Process(target=build_in_another_process, args=(str(folder), results)) for _ in range(2)]
    for builder in builders:
        builder.start()
    answers = {results.get(timeout=60) for _ in builders}
    for builder in builders:
        builder.join()
    assert len(answers) == 1
    assert answers.pop().endswith("True")
    assert len([path for path in (own_cache / "images").iterdir() if not path.name.startswith(".")]) == 1


PROJECT = """
[project]
name = "shipped"
version = "1"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = """
import os
import zipfile

FILES = {
    "shipped.py": "WORDS = 'shipped with the image'",
    "shipped-1.dist-info/METADATA": "Metadata-Version: 2.1\\nName: shipped\\nVersion: 1",
    "shipped-1.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any",
    "shipped-1.dist-info/entry_points.txt": "[console_scripts]\\nsay = shipped:main",
    "shipped-1.dist-info/RECORD": "",
}

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "shipped-1-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        for path, content in FILES.items():
            wheel.writestr(path, content + "\\n")
    return name
"""


@pytest.mark.slow
def test_requirements_are_installed_without_a_network_and_shared(image: MakeImage) -> None:
    package = {"package/pyproject.toml": PROJECT, "package/backend.py": BACKEND}
    step = (
        "COPY package /tmp/package\n"
        "RUN pip install --no-cache-dir --no-index /tmp/package && rm -rf /tmp/package\n"
    )
    made = image(PYTHON + step, package)
    python = made.payload.python
    said = subprocess.run(
        [python.scripts / "python", "-c", "import shipped; print(shipped.WORDS)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "shipped with the image\n"
    assert (python.layer / "usr/local/bin/say").is_symlink()
    assert not (made.payload.tree / "tmp/package").exists()
    other = image(PYTHON + "ENV A=1\n" + step, package, name="other")
    assert other.payload.python == python
    changed = image(PYTHON + step, {**package, "package/backend.py": BACKEND + "\n"}, name="changed")
    assert changed.payload.python != python


@pytest.mark.slow
def test_a_package_that_cannot_be_installed_says_why(image: MakeImage) -> None:
    with pytest.raises(DockerfileError, match=r"uv pip install failed:\n(.|\n)*no-such-package") as caught:
        image(PYTHON + "ENV A=1\nRUN true && pip install --no-index no-such-package\n")
    assert caught.value.place == "line 3: RUN"


@pytest.mark.slow
def test_nested_requirement_files_are_followed(image: MakeImage) -> None:
    made = image(
        PYTHON + "WORKDIR /srv\nCOPY . .\nRUN pip install --no-index -r requirements.txt\n",
        {
            "requirements.txt": "-r more/base.txt\n",
            "more/base.txt": "-c ../limits.txt\n# nothing\n",
            "limits.txt": "six<2\n",
        },
    )
    assert made.payload.python.complete


@pytest.mark.parametrize("line", ["-e .", "./local", "file:///x", "-r https://example.com/r.txt"])
def test_requirements_that_are_not_supported_are_named(image: MakeImage, line: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        image(PYTHON + "COPY r.txt /r.txt\nRUN pip install -r /r.txt\n", {"r.txt": f"{line}\n"})
    assert caught.value.place == "line 3: RUN"


def test_the_nearest_interpreter_is_chosen() -> None:
    own = sys.version_info[:2]
    assert nearest(None).version[:2] == own
    assert nearest((3, own[1])).version[1] == own[1]
    distances = [abs(found.version[1] - 99) for found in installed()]
    assert abs(nearest((3, 99)).version[1] - 99) == min(distances)


def test_interpreters_are_programs_not_launchers() -> None:
    for found in installed():
        assert Path(found.path).read_bytes()[:2] != b"#!"
        assert any(Path(found.path).is_relative_to(folder) for folder in (*found.folders, "/usr"))
