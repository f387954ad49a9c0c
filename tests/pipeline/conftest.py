from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from botocore.stub import Stubber

ROOT = Path(__file__).resolve().parents[2]

LoadFunction = Callable[..., ModuleType]


@pytest.fixture
def load_function(monkeypatch: pytest.MonkeyPatch) -> LoadFunction:
    """Import a function's handler with its environment, and credentials that are good for nothing."""

    def load(name: str, **environment: str) -> ModuleType:
        aws = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
        for key, value in {**aws, **environment}.items():
            monkeypatch.setenv(key, value)
        path = ROOT / "lambdas" / name / "handler.py"
        spec = importlib.util.spec_from_file_location(f"lambda_{name}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def stub() -> Iterator[Callable[[object], Stubber]]:
    """Answer a client's calls from a list; what was not called is an error at the end."""
    stubbers: list[Stubber] = []

    def make(client: object) -> Stubber:
        stubber = Stubber(client)
        stubber.activate()
        stubbers.append(stubber)
        return stubber

    yield make
    for stubber in stubbers:
        stubber.assert_no_pending_responses()
        stubber.deactivate()


@pytest.fixture
def import_program(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], ModuleType]]:
    """Import a module of a container's program."""
    before = set(sys.modules)

    def load(container: str, module: str) -> ModuleType:
        monkeypatch.syspath_prepend(ROOT / "containers" / container / "program")
        return importlib.import_module(module)

    yield load
    for name in set(sys.modules) - before:
        if "containers" in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
