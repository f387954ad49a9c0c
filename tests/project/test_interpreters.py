from __future__ import annotations

import platform
import sys

import pytest

from harness.errors import UnsupportedError
from harness.project import interpreters
from harness.project.interpreters import nearest_interpreter, package_target, runtime_version

OWN = sys.version_info.minor


@pytest.fixture
def only_own_interpreter(monkeypatch, tmp_path):
    """A machine on which nothing but the harness's own Python is installed."""
    for name in ("PATH", "XDG_DATA_HOME", "UV_PYTHON_INSTALL_DIR", "PYENV_ROOT", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    interpreters._find.cache_clear()
    yield tmp_path
    interpreters._find.cache_clear()


def install(folder, minor, answers=None):
    """A stand-in for an interpreter: answers what its version is."""
    answers = minor if answers is None else answers
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"python3.{minor}"
    path.write_text(f"#!/bin/sh\necho '[\"CPython\", 3, {answers}]'\n")
    path.chmod(0o755)
    return str(path)


def test_the_declared_version_when_it_is_our_own(only_own_interpreter):
    found = nearest_interpreter(f"python3.{OWN}")
    assert (found.version, found.path, found.exact) == (f"3.{OWN}", sys.executable, True)


def test_the_declared_version_on_the_path(only_own_interpreter):
    path = install(only_own_interpreter, OWN + 1)
    found = nearest_interpreter(f"python3.{OWN + 1}")
    assert (found.version, found.path, found.exact) == (f"3.{OWN + 1}", path, True)


@pytest.mark.parametrize("folder", ["uv/python/cpython-3.{}.4-linux-x86_64-gnu/bin", "versions/3.{}.4/bin"])
def test_the_newest_where_uv_and_pyenv_install_it(only_own_interpreter, monkeypatch, folder):
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(only_own_interpreter / "uv/python"))
    install(only_own_interpreter / folder.format(OWN + 1), OWN + 1)
    newer = install(only_own_interpreter / folder.format(OWN + 1).replace(".4", ".12"), OWN + 1)
    assert nearest_interpreter(f"python3.{OWN + 1}").path == newer


def test_without_the_declared_version_our_own_when_nothing_is_nearer(only_own_interpreter):
    install(only_own_interpreter, OWN + 4)
    found = nearest_interpreter(f"python3.{OWN + 2}")
    assert (found.version, found.path, found.exact) == (f"3.{OWN}", sys.executable, False)


def test_without_the_declared_version_a_nearer_one_than_our_own(only_own_interpreter):
    path = install(only_own_interpreter, OWN + 4)
    found = nearest_interpreter(f"python3.{OWN + 3}")
    assert (found.version, found.path, found.exact) == (f"3.{OWN + 4}", path, False)


def test_one_that_is_not_what_its_name_says_is_passed_over(only_own_interpreter):
    install(only_own_interpreter, OWN + 1, answers=OWN)
    assert not nearest_interpreter(f"python3.{OWN + 1}").exact


def test_a_shim_of_pyenv_is_not_asked(only_own_interpreter, monkeypatch):
    shims = only_own_interpreter / "shims"
    install(shims, OWN + 1)
    monkeypatch.setenv("PATH", str(shims))
    assert not nearest_interpreter(f"python3.{OWN + 1}").exact


@pytest.mark.parametrize("runtime", ["nodejs20.x", "python2.7", "provided.al2023", "python3"])
def test_other_runtimes_are_refused_by_name(runtime):
    with pytest.raises(UnsupportedError, match=runtime):
        runtime_version(runtime)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere packages are for another system than Lambda's")
def test_packages_are_for_the_interpreter_that_runs_them(only_own_interpreter):
    here = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
    other = "arm64" if here == "x86_64" else "x86_64"

    exact = package_target(f"python3.{OWN}", here)
    assert (exact.python, exact.architecture, exact.exact) == (f"3.{OWN}", here, True)
    assert exact.platform.startswith(platform.machine())

    assert package_target(f"python3.{OWN}", other).architecture == here
    assert not package_target(f"python3.{OWN}", other).exact

    older = package_target(f"python3.{OWN + 1}", here)
    assert (older.python, older.exact) == (f"3.{OWN}", False)
