"""Histories of executions that ended a while ago."""

from __future__ import annotations

import json

import pytest

from harness.clock import run
from harness.cloud.stepfunctions import packed
from harness.cloud.stepfunctions.packed import PackedHistory

from .api import Api

PASS = json.dumps(
    {"StartAt": "P", "States": {"P": {"Type": "Pass", "Result": {"text": "\ud800é"}, "End": True}}}
)


def test_a_packed_history_reads_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "LEFT", 4)

    async def main() -> None:
        api = Api()
        machine = await api.machine(PASS)
        first = await api.start(machine, input='{"a": 1}')
        await api.finished(first)
        record = api.service.executions.get(first)
        plain, bare = await api.history(first), await api.history(first, includeExecutionData=False)
        assert not isinstance(record.history, PackedHistory)
        second = await api.start(machine)
        await api.finished(second)
        assert isinstance(record.history, PackedHistory)
        assert not isinstance(api.service.executions.get(second).history, PackedHistory)
        assert len(record.history) == len(plain) == 4
        assert await api.history(first) == plain
        assert await api.history(first, includeExecutionData=False) == bare
        page = await api.get_execution_history(executionArn=first, maxResults=3, reverseOrder=True)
        assert page["events"] == plain[:0:-1]
        assert (await api.describe_execution(executionArn=first))["status"] == "SUCCEEDED"

    run(main())


def test_what_can_be_redriven_is_not_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "LEFT", 0)

    async def main() -> None:
        api = Api()
        failing = json.dumps({"StartAt": "F", "States": {"F": {"Type": "Fail"}}})
        arn = await api.start(await api.machine(failing))
        await api.finished(arn)
        assert not isinstance(api.service.executions.get(arn).history, PackedHistory)

    run(main())
