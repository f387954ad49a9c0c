"""What must be true of the state machine, whoever edits it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "definitions/mlops.asl.json").read_text()
DEFINITION = json.loads(TEXT)
STATES = DEFINITION["States"]


def of_type(*types):
    return [pytest.param(state, id=name) for name, state in STATES.items() if state["Type"] in types]


def targets(state):
    found = [state[key] for key in ("Next", "Default") if key in state]
    found += [rule["Next"] for rule in state.get("Choices", ())]
    return found + [catcher["Next"] for catcher in state.get("Catch", ())]


@pytest.mark.parametrize("state", of_type("Choice"))
def test_every_choice_has_a_default(state):
    assert state["Default"] in STATES


@pytest.mark.parametrize("state", of_type("Task"))
def test_every_task_retries_transient_errors_and_catches_the_rest(state):
    retried = {name for retrier in state["Retry"] for name in retrier["ErrorEquals"]}
    assert {
        "Lambda.ServiceException",
        "Lambda.AWSLambdaException",
        "Lambda.SdkClientException",
        "Lambda.TooManyRequestsException",
    } <= retried
    assert "States.ALL" not in retried, "a bug does not go away by trying again"
    assert state["Catch"][-1] == {
        "ErrorEquals": ["States.ALL"],
        "ResultPath": "$.failure",
        "Next": "StepFailed",
    }


@pytest.mark.parametrize("state", of_type("Fail"))
def test_every_failure_carries_error_and_cause_from_what_happened(state):
    assert state["ErrorPath"].startswith("$.")
    assert state["CausePath"].startswith("$.")


def test_every_state_can_be_reached_and_every_target_exists():
    reached, pending = set(), [DEFINITION["StartAt"]]
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending += targets(STATES[name])
    assert reached == set(STATES)


@pytest.mark.parametrize(
    ("wait", "check", "status"),
    [
        ("WaitForTraining", "CheckTraining", "TrainingStatus"),
        ("WaitForTransform", "CheckTransform", "TransformStatus"),
        ("WaitForEndpoint", "CheckEndpoint", "EndpointStatus"),
    ],
)
def test_poll_loops_wait_a_minute_before_each_look(wait, check, status):
    assert STATES[wait] == {"Type": "Wait", "Seconds": 60, "Next": check}
    assert STATES[check]["Next"] == status
    assert wait in targets(STATES[status])
    before = [name for name, state in STATES.items() if check in targets(state)]
    assert before == [wait]


def test_a_poll_cannot_go_on_for_ever():
    assert DEFINITION["TimeoutSeconds"] > 0


def test_no_name_arn_or_uri_is_pasted_in():
    assert not re.search(r"\d{12}|s3://|arn:aws:(?!states:::lambda:invoke)", TEXT)
    for path in (ROOT / "lambdas").rglob("*.py"):
        code = path.read_text()
        assert not re.search(r"\d{12}|arn:aws:|dkr\.ecr", code), path
