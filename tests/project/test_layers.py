from __future__ import annotations

import platform
import sys

import pytest

from harness.errors import EnvironmentFault, InputError
from harness.project.interpreters import PackageTarget
from harness.project.layers import installed, requirements_key, unpinned

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="for Linux wheels")
MACHINE = platform.machine()


def target(python="3.12"):
    return PackageTarget(python, f"{MACHINE}-manylinux_2_28", "x86_64", exact=True)


@pytest.fixture
def requirements(tmp_path):
    def write(text):
        file = tmp_path / "requirements.txt"
        file.write_text(text)
        return file

    return write


@pytest.mark.slow
def test_packages_come_with_what_they_need_and_without_traces_of_this_machine(requirements, wheels):
    wheels("demo", requires=("helper",))
    tree = installed(requirements(wheels("helper") + "demo==1.0\n"), target())
    assert set(tree) == {
        "demo/__init__.py",
        "demo-1.0.dist-info/METADATA",
        "demo-1.0.dist-info/RECORD",
        "demo-1.0.dist-info/WHEEL",
        "demo-1.0.dist-info/entry_points.txt",
        "helper/__init__.py",
        "helper-1.0.dist-info/METADATA",
        "helper-1.0.dist-info/RECORD",
        "helper-1.0.dist-info/WHEEL",
        "helper-1.0.dist-info/entry_points.txt",
    }
    listed = {
        line.partition(",")[0] for line in tree["demo-1.0.dist-info/RECORD"].content.decode().splitlines()
    }
    assert listed == {path for path in tree if path.startswith("demo")}


@LINUX
@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.12", "3.13"])
def test_wheels_are_chosen_for_the_target_not_for_this_interpreter(requirements, wheels, python):
    tags = {
        version: f"cp{version.replace('.', '')}-cp{version.replace('.', '')}" for version in ("3.12", "3.13")
    }
    for tag in tags.values():
        lines = wheels("native", tag=f"{tag}-manylinux_2_17_{MACHINE}")
    tree = installed(requirements(lines + "native==1.0\n"), target(python))
    assert tags[python] in tree["native-1.0.dist-info/WHEEL"].content.decode()


@pytest.mark.slow
def test_a_package_without_a_wheel_for_the_target(requirements, wheels):
    lines = wheels("native", tag="cp312-cp312-win_amd64")
    with pytest.raises(InputError, match=r"uv cannot install these packages for Python 3\.12") as caught:
        installed(requirements(lines + "native==1.0\n"), target())
    assert "native" in caught.value.message


@pytest.mark.slow
def test_a_download_that_is_not_possible_is_not_the_project_s_fault(requirements, monkeypatch):
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    lines = "--index-url http://127.0.0.1:9/simple\nharness-demo-package==1.0\n"
    with pytest.raises(EnvironmentFault, match="cannot be downloaded"):
        installed(requirements(lines), target())


def test_the_key_is_of_packages_and_target_alone(requirements):
    key = requirements_key(requirements("a==1  # why\n\nb==2\n"), target())
    assert key == requirements_key(requirements("# new comment\na==1\nb==2"), target())
    assert key != requirements_key(requirements("a==1\nb==3\n"), target())
    assert key != requirements_key(requirements("a==1\nb==2\n"), target("3.13"))


@pytest.mark.parametrize(
    "line", ["-r other.txt", "-c limits.txt", "-e .", "./wheels/a.whl", "--requirement=x"]
)
def test_requirements_that_the_file_alone_does_not_decide_are_refused(requirements, line):
    with pytest.raises(InputError, match="outside the file") as caught:
        requirements_key(requirements(f"a==1\n{line}\n"), target())
    assert caught.value.place == "line 2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a==1.0\n", ["b-c"]),
        ("a==1.0\nB_c==2.0 \\\n  --hash=sha256:0\n", []),
        ("a\nb.c>=2\n", ["a", "b-c"]),
        ("a==1.*\nb-c==2\n", ["a"]),
        ("a ; python_version == '3.12'\nb-c[extra]==2 ; python_version == '3.12'\n", ["a"]),
        ("a @ https://example.com/a.whl\nb-c===2\n", []),
    ],
)
def test_packages_whose_version_is_left_open(requirements, text, expected):
    members = ["python/a-1.0.dist-info/METADATA", "python/b_c-2.0.dist-info/METADATA", "python/a/METADATA"]
    assert unpinned(requirements(text), members) == expected
