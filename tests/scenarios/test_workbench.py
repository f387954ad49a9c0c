"""Several scenarios, one after another."""

from __future__ import annotations

from typing import Any

import pytest

from harness.clock import run
from harness.errors import ScenarioError
from harness.scenarios.load import parse_scenario
from harness.scenarios.replay import Replayer
from harness.scenarios.workbench import replay_all
from tests.scenarios.fakes import FakeTarget, Heard, Script

BUNDLE: Any = None  # the target deploys nothing


def replay(tmp_path, *texts: str) -> tuple[FakeTarget, Heard]:
    scenarios = [parse_scenario(text, tmp_path / "a.yaml") for text in texts]
    target, heard = FakeTarget(Script()), Heard()

    async def one_after_another() -> None:
        replayer = Replayer(target, tmp_path / "runs")
        await replay_all(scenarios, BUNDLE, target, replayer, heard)
        await replayer.settled()

    try:
        run(one_after_another())
    except ScenarioError as error:
        heard.words.append(error)
    return target, heard


def test_all_are_replayed(tmp_path):
    target, heard = replay(tmp_path, "name: first", "name: second")
    assert [word[0] for word in heard.words if isinstance(word, tuple)] == ["first", "second"]
    assert [name for name, _ in target.calls].count("StartExecution") == 2


@pytest.mark.parametrize(
    "mistake", ["machine: Other", "faults: [{at: lambda other, throw: Lambda.ServiceException}]"]
)
def test_one_that_does_not_fit_is_found_before_any_is_replayed(tmp_path, mistake):
    target, heard = replay(tmp_path, "name: good", f"name: bad\n{mistake}")
    (error,) = heard.words
    assert "'Other' is deployed" in error.message or "'other' is deployed" in error.message
    assert target.calls == []
