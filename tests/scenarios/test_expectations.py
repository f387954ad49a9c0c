"""Expectations against observations, without a cloud."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.scenarios.expectations import evaluate, match_path
from harness.scenarios.load import parse_scenario
from harness.scenarios.model import Expect
from harness.scenarios.record import Answer, ExecutionRecord, Verdict

SUCCESS: dict[str, Any] = {
    "arn": "arn:x",
    "status": "SUCCEEDED",
    "input": {},
    "output": {"f1score": 0.9},
    "error": None,
    "cause": None,
    "path": ("A", "B", "C"),
    "retries": {"B": 1},
    "started": 0.0,
    "ended": 60.0,
}
FAILURE = {
    **SUCCESS,
    "status": "FAILED",
    "output": None,
    "error": "TrainingJobFailed",
    "cause": "AlgorithmError: x",
}


def execution(base: dict[str, Any] = SUCCESS, **changes: Any) -> ExecutionRecord:
    return ExecutionRecord(**{**base, **changes})


def expect(text: str) -> Expect:
    return parse_scenario(f"name: x\nexpect: {text}", Path(__file__)).expect


def failed(verdicts: list[Verdict]) -> dict[str, str]:
    return {verdict.expectation: verdict.message for verdict in verdicts if not verdict.passed}


GOOD = [
    ("{}", SUCCESS),
    ("{path: [A, ..., C], output: {f1score: {gte: 0.85}}, retries: {B: 1, C: 0}}", SUCCESS),
    ("{status: FAILED, error: TrainingJobFailed, cause: {matches: '^Algo'}}", FAILURE),
]


@pytest.mark.parametrize(("text", "base"), GOOD)
def test_what_holds(text, base):
    assert failed(evaluate(expect(text), [execution(base)])) == {}


BAD = [
    ("{}", FAILURE, "status", "expected SUCCEEDED, got FAILED (TrainingJobFailed: AlgorithmError: x)"),
    ("{status: FAILED}", SUCCESS, "status", "expected FAILED, got SUCCEEDED"),
    ("{status: FAILED, error: Other}", FAILURE, "error", 'expected "Other", got "TrainingJobFailed"'),
    ("{status: FAILED, cause: {contains: y}}", FAILURE, "cause", "contains"),
    ("{output: {f1score: {gte: 0.95}}}", SUCCESS, "output", "f1score: expected ≥ 0.95, got 0.9"),
    ("{retries: {B: 2}}", SUCCESS, "retries of B", "B was retried once, not twice"),
    ("{retries: {C: 3}}", SUCCESS, "retries of C", "C was retried never, not 3 times"),
    ("{path: [A, C]}", SUCCESS, "path", "after A the run did not enter 'C'; it went A → B → C"),
    ("{path: [B, ...]}", SUCCESS, "path", "at its start the run did not enter 'B'"),
    ("{path: [A, B]}", SUCCESS, "path", "did not end at 'B'"),
]


@pytest.mark.parametrize(("text", "base", "expectation", "message"), BAD)
def test_what_does_not_hold(text, base, expectation, message):
    verdicts = failed(evaluate(expect(text), [execution(base)]))
    assert list(verdicts) == [expectation]
    assert message in verdicts[expectation]


def test_each_execution_must_meet_them():
    verdicts = failed(evaluate(expect("{}"), [execution(), execution(FAILURE)]))
    assert list(verdicts) == ["execution 2: status"]


@pytest.mark.parametrize(
    ("pattern", "path", "result"),
    [
        ("A B C", "A B C", (3, True)),
        ("...", "", (1, True)),
        ("... C", "A B C", (2, True)),
        ("A ... C", "A C", (3, True)),
        ("A ... C", "A C C", (3, True)),
        ("A ... B ... C", "A B A B C", (5, True)),
        ("A ... ... C", "A C", (4, True)),
        ("A B", "A B C", (2, False)),
        ("A ... B", "A B C", (3, False)),
        ("A B C", "A B", (2, False)),
        ("A ... D", "A B C", (2, False)),
        ("A", "", (0, False)),
    ],
)
def test_paths(pattern, path, result):
    assert match_path(pattern.split(), path.split()) == result


ENDPOINT = f"{{endpoint: {{send: {Path(__file__).name}, content_type: text/plain, class: '3'}}}}"


def test_an_endpoint_must_answer_right():
    wanted = expect(ENDPOINT)
    right = Answer("e1", {"predictions": {"class": "3"}})
    wrong = Answer("e2", {"predictions": {"class": "5"}})
    silent = Answer("e3", None, "ModelError: it raised")
    assert failed(evaluate(wanted, [execution()], answers=[right])) == {}
    assert failed(evaluate(wanted, [execution()], answers=[right, wrong, silent])) == {
        "endpoint e2": 'predictions.class: expected "3", got "5"',
        "endpoint e3": "ModelError: it raised",
    }
    assert failed(evaluate(wanted, [execution()])) == {"endpoint": "the run created no endpoint"}


def test_endpoints_are_counted():
    assert failed(evaluate(expect("{endpoints: none}"), [execution()])) == {}
    assert failed(evaluate(expect("{endpoints: none}"), [execution()], endpoints=["e"])) == {
        "endpoints": "expected 0 endpoints, got e"
    }
    assert failed(evaluate(expect("{endpoints: {gte: 1}}"), [execution()], endpoints=["e"])) == {}


def test_objects_are_counted():
    wanted = expect("{objects: {s3://b/k: present, s3://b/n: absent, s3://b/p/: {count: 2}}}")
    found = {"s3://b/k": 1, "s3://b/n": 0, "s3://b/p/": 2}
    assert failed(evaluate(wanted, [execution()], objects=found)) == {}
    assert list(failed(evaluate(wanted, [execution()], objects={"s3://b/n": 1, "s3://b/p/": 3}))) == [
        "objects s3://b/k",
        "objects s3://b/n",
        "objects s3://b/p/",
    ]


def test_a_fault_that_never_happened_fails_the_run():
    scenario = parse_scenario("name: x\nfaults: [{at: 'lambda f, call 9', throw: Lambda.X}]", Path(__file__))
    verdicts = failed(evaluate(Expect(), [execution()], unused=[(scenario.faults[0], 2)]))
    assert list(verdicts) == ["fault at 'lambda f, call 9'"]
    assert "2 such calls" in verdicts["fault at 'lambda f, call 9'"]
