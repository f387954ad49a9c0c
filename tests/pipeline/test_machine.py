"""The state machine, run by the interpreter; what its functions answer is made up."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from harness import asl, clock
from harness.project.definitions import substitute

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = ("Train", "Batch", "Await", "Eval", "Deploy")
ARNS = {f"{name}FunctionArn": f"arn:aws:lambda:us-east-1:123456789012:function:{name}" for name in FUNCTIONS}
MACHINE = asl.load(substitute((ROOT / "definitions/mlops.asl.json").read_text(), ARNS))

JOBS = {"run": "r", "training_job": "r"}
TRANSFORM = {
    **JOBS,
    "model": "r",
    "model_artifact": "s3://m",
    "transform_job": "r",
    "images": "s3://i",
    "predictions": "p",
}
SCORE = {"run": "r", "model": "r", "model_artifact": "s3://m", "f1score": 0.9, "threshold": 0.3}
ENDPOINT = {**SCORE, "endpoint": "e", "endpoint_config": "r"}

TO_TRAINED = ["StartTraining", "WaitForTraining", "CheckTraining", "TrainingStatus"]
TO_TRANSFORMED = [*TO_TRAINED, "StartTransform", "WaitForTransform", "CheckTransform", "TransformStatus"]
TO_SCORED = [*TO_TRANSFORMED, "Evaluate", "ScoreGate"]
TO_DEPLOYED = [*TO_SCORED, "Deploy", "WaitForEndpoint", "CheckEndpoint", "EndpointStatus"]


def check(status, error="", reason="", **more):
    return {"status": status, "error": error, "reason": reason, **more}


class Functions:
    """Answers invocations from lists; the last answer of a list stands for all that follow."""

    def __init__(self, **answers):
        self.answers = {
            "StartTraining": [JOBS],
            "CheckTraining": [check("Completed", model_artifact="s3://m")],
            "StartTransform": [TRANSFORM],
            "CheckTransform": [check("Completed")],
            "Evaluate": [SCORE],
            "Deploy": [ENDPOINT],
            "CheckEndpoint": [check("InService")],
            **answers,
        }
        self.asked = []

    async def run(self, request, progress):
        progress.started()
        self.asked.append((request.state, request.arguments["Payload"]))
        answers = self.answers[request.state]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, asl.TaskError):
            raise answer
        return {"StatusCode": 200, "Payload": answer}

    def payload(self, state):
        return next(payload for asked, payload in self.asked if asked == state)


def run(functions, given=None):
    """Run the machine to its end; returns the outcome, the path, and how many virtual seconds it took."""
    time = clock.SkippingClock(start=1_767_225_600)
    execution = asl.Execution(
        MACHINE,
        {"prefix": "demo"} if given is None else given,
        context={
            "Execution": {"Id": "arn:e", "Name": "nightly", "RoleArn": "arn:aws:iam::123456789012:role/r"},
            "StateMachine": {"Id": "arn:m", "Name": "mlops"},
        },
        clock=time,
        tasks=functions,
        entropy=random.Random(0),
    )
    outcome = clock.run(execution.run())
    entered = (event.as_dict() for event in execution.history)
    path = [
        event["stateEnteredEventDetails"]["name"]
        for event in entered
        if event["type"].endswith("StateEntered")
    ]
    return outcome, path, time.now() - 1_767_225_600


def test_a_good_model_is_deployed():
    functions = Functions()
    outcome, path, seconds = run(functions)
    assert outcome.status == "SUCCEEDED"
    assert path == [*TO_DEPLOYED, "Deployed"]
    assert seconds == pytest.approx(180)
    assert {key: outcome.output[key] for key in ("f1score", "endpoint", "model_artifact", "run")} == {
        "f1score": 0.9,
        "endpoint": "e",
        "model_artifact": "s3://m",
        "run": "r",
    }


def test_each_function_is_told_what_its_docstring_says():
    functions = Functions()
    run(functions, {"prefix": "demo", "threshold": 0.5})
    assert functions.payload("StartTraining") == {
        "execution": {"id": "arn:e", "name": "nightly", "started": "2026-01-01T00:00:00.000Z"},
        "input": {"prefix": "demo", "threshold": 0.5},
    }
    assert functions.payload("CheckTraining") == {"training_job": "r"}
    assert functions.payload("StartTransform") == {**JOBS, "model_artifact": "s3://m"}
    assert functions.payload("CheckTransform") == {"transform_job": "r"}
    assert functions.payload("Evaluate") == {
        "run": "r",
        "model": "r",
        "model_artifact": "s3://m",
        "images": "s3://i",
        "predictions": "p",
        "input": {"prefix": "demo", "threshold": 0.5},
    }
    assert functions.payload("Deploy") == SCORE
    assert functions.payload("CheckEndpoint") == {"endpoint": "e", "endpoint_config": "r"}


@pytest.mark.parametrize("f1score", [0.29999, 0, 0.0])
def test_a_score_below_the_threshold_ends_well_without_an_endpoint(f1score):
    functions = Functions(Evaluate=[{**SCORE, "f1score": f1score}])
    outcome, path, _ = run(functions)
    assert outcome.status == "SUCCEEDED"
    assert path == [*TO_SCORED, "BelowThreshold"]
    assert outcome.output["f1score"] == f1score
    assert "endpoint" not in outcome.output


def test_a_score_at_the_threshold_is_good_enough():
    assert run(Functions(Evaluate=[{**SCORE, "f1score": 0.3}]))[1][-1] == "Deployed"


@pytest.mark.parametrize(
    ("state", "statuses", "before"),
    [
        ("CheckTraining", ["InProgress", "Stopping", "InProgress"], TO_TRAINED),
        ("CheckTransform", ["InProgress", "Stopping"], TO_TRANSFORMED),
        ("CheckEndpoint", ["Creating", "Updating", "SystemUpdating"], TO_DEPLOYED),
    ],
)
def test_jobs_that_are_not_done_are_looked_at_again_a_minute_later(state, statuses, before):
    done = Functions().answers[state][0]
    outcome, path, seconds = run(
        Functions(**{state: [*({**done, "status": word} for word in statuses), done]})
    )
    assert outcome.status == "SUCCEEDED"
    assert seconds == pytest.approx(180 + 60 * len(statuses))
    again = before[-3:] * len(statuses)
    assert path[: len(before) + len(again)] == before + again


@pytest.mark.parametrize(
    ("state", "before", "end"),
    [
        ("CheckTraining", TO_TRAINED, "TrainingFailed"),
        ("CheckTransform", TO_TRANSFORMED, "TransformFailed"),
        ("CheckEndpoint", TO_DEPLOYED, "EndpointFailed"),
    ],
)
@pytest.mark.parametrize("status", ["Failed", "Stopped", "RollingBack", "OutOfService", "SomethingNew"])
def test_every_other_status_ends_the_run_with_its_reason(state, before, end, status):
    answer = check(status, "ErrorName", "AlgorithmError: out of memory", model_artifact=None)
    outcome, path, _ = run(Functions(**{state: [answer]}))
    assert (outcome.status, outcome.error, outcome.cause) == (
        "FAILED",
        "ErrorName",
        "AlgorithmError: out of memory",
    )
    assert path == [*before, end]


@pytest.mark.parametrize("state", ["StartTraining", "CheckTraining", "StartTransform", "Evaluate", "Deploy"])
@pytest.mark.parametrize(
    "error", ["Lambda.TooManyRequestsException", "Lambda.ServiceException", "ClientError"]
)
def test_a_transient_error_is_retried(state, error):
    good = Functions().answers[state]
    functions = Functions(**{state: [asl.TaskError(error, "once"), *good]})
    outcome, path, _ = run(functions)
    assert outcome.status == "SUCCEEDED"
    assert path == [*TO_DEPLOYED, "Deployed"]
    assert [asked for asked, _ in functions.asked].count(state) == 2


@pytest.mark.parametrize(
    ("error", "attempts"),
    [("Lambda.ServiceException", 7), ("ClientError", 3), ("KeyError", 1), ("Lambda.Unknown", 1)],
)
def test_an_error_that_does_not_go_away_ends_the_run_with_error_and_cause(error, attempts):
    cause = json.dumps({"errorMessage": "no", "errorType": error})
    functions = Functions(StartTransform=[asl.TaskError(error, cause)])
    outcome, path, _ = run(functions)
    assert (outcome.status, outcome.error, outcome.cause) == ("FAILED", error, cause)
    assert path == [*TO_TRAINED, "StartTransform", "StepFailed"]
    assert [asked for asked, _ in functions.asked].count("StartTransform") == attempts


def test_the_same_run_twice_is_the_same_run():
    error = asl.TaskError("Lambda.ServiceException", "again")
    first, second = (
        run(Functions(CheckTraining=[error, error, check("Failed", "E", "r", model_artifact=None)]))
        for _ in "12"
    )
    assert first == second
    assert first[2] > 60, "two retries wait, with jitter"


def test_a_job_that_never_ends_ends_the_run_before_its_history_is_full():
    """A history holds 25,000 events and a poll makes nine, so that polling could go on for 46 hours."""
    outcome, _, seconds = run(Functions(CheckTraining=[check("InProgress", model_artifact=None)]))
    assert outcome.status == "TIMED_OUT"
    assert seconds == pytest.approx(MACHINE.timeout)
