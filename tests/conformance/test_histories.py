"""Every recorded history, replayed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.recorded import HISTORIES, Case, Comparison, read_cases, replay

CASES = read_cases()


def read_not_yet() -> dict[str, str]:
    lines = (Path(__file__).parent / "not_yet.txt").read_text().splitlines()
    entries = (line.partition("\t") for line in lines if line and not line.startswith("#"))
    return {case: reason for case, _, reason in entries}


NOT_YET = read_not_yet()


@pytest.mark.skipif(bool(CASES), reason="the recorded histories are there")
def test_histories_are_there() -> None:
    pytest.skip(f"no recorded histories at {HISTORIES}; set HARNESS_CONFORMANCE to where they are")


@pytest.mark.skipif(not CASES, reason="no recorded histories")
def test_list_of_failures_is_of_known_cases_with_reasons() -> None:
    assert NOT_YET.keys() <= {case.id for case in CASES}
    assert all(NOT_YET.values())


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_history(case: Case) -> None:
    try:
        found = Comparison(case).differences(replay(case))
    except Exception as error:
        if case.id not in NOT_YET:
            raise
        found = [repr(error)]
    if case.id in NOT_YET:
        assert found, f"passes now: take it off not_yet.txt ({NOT_YET[case.id]})"
    else:
        assert not found, "\n".join(found)
