from __future__ import annotations

import platform
import sys

import pytest

from harness.errors import EnvironmentFault, UnsupportedError
from harness.project.interpreters import nearest_interpreter, package_target, runtime_version
from harness.project.pythons import Interpreter, installed, nearest

OWN = sys.version_info.minor


def python(minor: int, micro: int = 4) -> Interpreter:
    return Interpreter(f"/python3.{minor}.{micro}", (3, minor, micro), "/", ("/",))


def test_this_interpreter_is_among_the_installed_ones() -> None:
    found = installed()[0]
    assert found.version[:2] == sys.version_info[:2]
    assert found.prefix == sys.base_prefix


@pytest.mark.parametrize(
    ("installed_minors", "wanted", "chosen"),
    [
        ([11, 12, 13], 12, 12),
        ([11, 13], 13, 13),
        ([10, 14], 13, 14),
        ([10, 14], 11, 10),
    ],
)
def test_the_declared_version_or_the_nearest(installed_minors: list[int], wanted: int, chosen: int) -> None:
    among = [python(minor) for minor in installed_minors]
    assert nearest_interpreter(f"python3.{wanted}", among).minor == f"3.{chosen}"


def test_of_two_equally_near_our_own() -> None:
    for other in (OWN - 2, OWN + 2):
        among = [python(other), python(OWN)]
        assert nearest((3, (OWN + other) // 2), among).version[1] == OWN


def test_of_two_equally_near_that_are_not_ours_the_newer() -> None:
    assert nearest((3, OWN + 3), [python(OWN + 2), python(OWN + 4)]).version[1] == OWN + 4


def test_the_newest_of_one_minor_version() -> None:
    among = [python(12, 1), python(12, 9), python(12, 3)]
    assert nearest_interpreter("python3.12", among).version == (3, 12, 9)


def test_one_that_cannot_run_functions_is_no_choice() -> None:
    assert nearest_interpreter("python3.9", [python(9), python(12)]).minor == "3.12"
    with pytest.raises(EnvironmentFault, match=r"3\.10"):
        nearest_interpreter("python3.9", [python(9)])


@pytest.mark.parametrize("runtime", ["nodejs20.x", "python2.7", "provided.al2023", "python3"])
def test_other_runtimes_are_refused_by_name(runtime: str) -> None:
    with pytest.raises(UnsupportedError, match=runtime):
        runtime_version(runtime)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere packages are for another system than Lambda's")
def test_packages_are_for_the_interpreter_that_runs_them() -> None:
    here = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
    other = "arm64" if here == "x86_64" else "x86_64"
    among = [python(OWN)]

    exact = package_target(f"python3.{OWN}", here, among)
    assert (exact.python, exact.architecture, exact.exact) == (f"3.{OWN}", here, True)
    assert exact.platform.startswith(platform.machine())

    assert package_target(f"python3.{OWN}", other, among).architecture == here
    assert not package_target(f"python3.{OWN}", other, among).exact

    older = package_target(f"python3.{OWN + 1}", here, among)
    assert (older.python, older.exact) == (f"3.{OWN}", False)
