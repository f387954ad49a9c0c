"""Faults: which call and which job they hit."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ScenarioError
from harness.scenarios.faults import ScenarioFaults
from harness.scenarios.load import parse_scenario

FUNCTIONS = {"AwaitFunction": "mlops_await", "TrainFunction": "mlops_train"}


def faults(*rules: str) -> ScenarioFaults:
    text = "name: x\nfaults:\n" + "".join(f"  - {rule}\n" for rule in rules)
    return ScenarioFaults(parse_scenario(text, Path("x.yaml")), FUNCTIONS)


def invoke(subject: ScenarioFaults, name: str) -> str | None:
    error = subject.call("lambda", "Invoke", {"FunctionName": name})
    return error.code if error else None


def test_only_the_numbered_call_is_hit():
    subject = faults("{at: 'lambda mlops_await, call 2', throw: Lambda.TooManyRequestsException}")
    assert [invoke(subject, "mlops_await") for _ in range(3)] == [None, "TooManyRequestsException", None]
    assert subject.unused() == []


def test_calls_of_others_do_not_count():
    subject = faults("{at: 'lambda mlops_await, call 1', throw: Lambda.ServiceException}")
    assert invoke(subject, "mlops_train") is None
    assert subject.call("lambda", "GetFunction", {"FunctionName": "mlops_await"}) is None
    assert invoke(subject, "mlops_await") == "ServiceException"


@pytest.mark.parametrize(
    "reference",
    [
        "mlops_await",
        "mlops_await:7",
        "arn:aws:lambda:us-east-1:123456789012:function:mlops_await",
        "arn:aws:lambda:us-east-1:123456789012:function:mlops_await:live",
        "123456789012:function:mlops_await",
    ],
)
def test_a_function_is_known_however_it_is_referred_to(reference):
    for rule in ("lambda mlops_await", "lambda AwaitFunction, every call"):
        subject = faults(f"{{at: '{rule}', throw: Lambda.ServiceException}}")
        assert [invoke(subject, reference), invoke(subject, reference)] == ["ServiceException"] * 2


def test_an_unknown_function_is_refused():
    with pytest.raises(ScenarioError, match="no function 'mlops_awiat' is deployed") as caught:
        faults("{at: lambda mlops_awiat, throw: Lambda.X}")
    assert caught.value.place == "3:5"
    assert caught.value.hint == "did you mean 'mlops_await'?"


def test_service_calls_and_their_status():
    subject = faults(
        "{at: 'sagemaker CreateTransformJob, call 1', throw: ThrottlingException}",
        "{at: s3 GetObject, throw: SlowDown}",
        "{at: sagemaker DescribeTrainingJob, throw: InternalFailure, message: oh, status: 503}",
    )
    throttled = subject.call("sagemaker", "CreateTransformJob", {})
    assert throttled is not None
    assert (throttled.code, throttled.status, throttled.message) == (
        "ThrottlingException",
        400,
        "Rate exceeded",
    )
    assert subject.call("sagemaker", "CreateTransformJob", {}) is None
    slow = subject.call("s3", "GetObject", {})
    assert slow is not None
    assert slow.status == 503
    broken = subject.call("sagemaker", "DescribeTrainingJob", {})
    assert broken is not None
    assert (broken.message, broken.status) == ("oh", 503)


def test_every_rule_counts_and_the_first_decides():
    subject = faults(
        "{at: 'lambda mlops_await, call 1', throw: Lambda.ServiceException}",
        "{at: 'lambda mlops_await, call 2', throw: Lambda.TooManyRequestsException}",
    )
    assert [invoke(subject, "mlops_await") for _ in range(3)] == [
        "ServiceException",
        "TooManyRequestsException",
        None,
    ]


def test_a_failing_job_does_not_run():
    fault = faults("{at: training job, fails: no data, takes: 5m}").job("training", "t", {})
    assert fault is not None
    assert (fault.failure, fault.exit_code, fault.takes, fault.run) == ("no data", 1, 300, False)


def test_a_slow_job_runs():
    fault = faults("{at: training job, takes: 45m}").job("training", "t", {})
    assert fault is not None
    assert (fault.failure, fault.exit_code, fault.takes, fault.run) == (None, None, 2700, True)


def test_spot_instances_are_taken_away():
    fault = faults("{at: training job, interruptions: 2}").job("training", "t", {})
    assert fault is not None
    assert (fault.interruptions, fault.run) == (2, True)


def test_an_exit_code_alone_fails_the_job():
    fault = faults("{at: transform job, exit_code: 137}").job("transform", "t", {})
    assert fault is not None
    assert (fault.failure, fault.exit_code, fault.run) == (None, 137, False)


def test_a_processing_job_can_fail():
    subject = faults("{at: 'processing job clean-*, number 1', exit_code: 3}")
    assert subject.job("training", "clean-1", {}) is None
    fault = subject.job("processing", "clean-1", {})
    assert fault is not None
    assert (fault.failure, fault.exit_code, fault.run) == (None, 3, False)


def test_jobs_by_kind_name_and_number():
    subject = faults("{at: 'training job demo-*, number 2', fails: x}")
    assert subject.job("transform", "demo-1", {}) is None
    assert subject.job("training", "other", {}) is None
    assert subject.job("training", "demo-1", {}) is None
    assert subject.job("training", "demo-2", {}) is not None
    assert subject.job("training", "demo-3", {}) is None


def test_unused_rules_are_known_with_what_they_matched():
    subject = faults(
        "{at: 'lambda mlops_await, call 3', throw: Lambda.X}",
        "{at: endpoint, fails: x}",
        "{at: training job, takes: 1m}",
    )
    invoke(subject, "mlops_await")
    subject.job("training", "t", {})
    assert [(rule.at, matched) for rule, matched in subject.unused()] == [
        ("lambda mlops_await, call 3", 1),
        ("endpoint", 0),
    ]
