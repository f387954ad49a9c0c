"""The replayer, on a target that needs no cloud."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from textwrap import dedent

import pytest

from harness.clock import run
from harness.cloud.faults import NoFaults
from harness.errors import ScenarioError
from harness.scenarios.load import parse_scenario
from harness.scenarios.record import RunRecord
from harness.scenarios.replay import Replayer
from tests.scenarios.fakes import DELETION, DEPLOYMENT, FakeTarget, Script


def replay(tmp_path: Path, text: str, script: Script | None = None, *, keep: bool = False):
    scenario = parse_scenario(dedent(text), tmp_path / "a scenario.yaml")
    target = FakeTarget(script or Script())

    async def to_the_end() -> RunRecord:
        replayer = Replayer(target, tmp_path / "runs")
        record = await replayer.replay(scenario, DEPLOYMENT, keep=keep)
        await replayer.settled()
        return record

    record = run(to_the_end())
    assert not target.events.wanted
    return record, target


def failed(record: RunRecord) -> list[str]:
    return [verdict.expectation for verdict in record.verdicts if not verdict.passed]


def test_a_run_is_recorded(tmp_path):
    record, _ = replay(tmp_path, "name: a run\ninput: {a: 1}\nexpect: {path: [Train, Done]}")
    assert record.passed
    assert record.scenario == "a run"
    (execution,) = record.executions
    assert (execution.status, execution.input, execution.output) == ("SUCCEEDED", {"a": 1}, {"f1score": 0.9})
    assert execution.path == ("Train", "Done")
    assert record.virtual_seconds == 120
    assert record.real_seconds < 60

    folder = tmp_path / "runs" / record.id
    stored = json.loads((folder / "record.json").read_text())
    assert RunRecord.from_dict(stored) == record
    kinds = [json.loads(line)["kind"] for line in (folder / "events.jsonl").read_text().splitlines()]
    assert kinds == ["execution", "history", "history", "execution"]
    assert len(json.loads((folder / "history.json").read_text())["arn:execution:1"]) == 2


def test_a_failed_expectation_fails_the_run(tmp_path):
    record, _ = replay(tmp_path, "name: x\nexpect: {output: {f1score: {gte: 0.95}}}")
    assert not record.passed
    assert failed(record) == ["output"]


def test_a_failed_execution(tmp_path):
    text = "name: x\nexpect: {status: FAILED, error: Broken, cause: {contains: broke}}"
    record, _ = replay(tmp_path, text, Script(status="FAILED"))
    assert failed(record) == []


def test_data_is_there_before_the_execution(tmp_path):
    (tmp_path / "train" / "3").mkdir(parents=True)
    (tmp_path / "train" / "3" / "a.png").write_bytes(b"3a")
    (tmp_path / "one.png").write_bytes(b"one")
    seen: list[dict] = []
    script = Script(act=lambda target: seen.append(dict(target.objects)))
    text = """
    name: x
    data:
      s3://{DataBucket}/train/: train
      s3://{DataBucket}/test/: one.png
      s3://{DataBucket}/other.png: one.png
    """
    replay(tmp_path, text, script)
    assert {key: body for (_, key), (body, _) in seen[0].items()} == {
        "train/3/a.png": b"3a",
        "test/one.png": b"one",
        "other.png": b"one",
    }


def test_data_that_a_later_run_does_not_have_is_removed(tmp_path):
    (tmp_path / "train").mkdir()
    for name in ("a", "b"):
        (tmp_path / "train" / name).write_bytes(b"x")
    scenario = parse_scenario("name: x\ndata: {'s3://{DataBucket}/train/': train}", tmp_path / "x.yaml")
    target = FakeTarget(Script(objects=(("data", "train/made-by-the-run"),)))
    replayer = Replayer(target, tmp_path / "runs")

    async def twice() -> None:
        await replayer.replay(scenario, DEPLOYMENT)
        (tmp_path / "train" / "b").unlink()
        await replayer.replay(scenario, DEPLOYMENT)

    run(twice())
    assert {key for _, key in target.objects} == {"train/a", "train/made-by-the-run"}


def test_objects_are_those_the_run_wrote(tmp_path):
    text = """
    name: x
    expect:
      objects:
        s3://{DataBucket}/out/: {count: 3}
        s3://{DataBucket}/out/*/model.tar.gz: present
        s3://{DataBucket}/out/old: absent
        s3://{DataBucket}/elsewhere/: absent
        s3://nowhere/at/all: absent
    """
    scenario = parse_scenario(dedent(text), tmp_path / "x.yaml")
    target = FakeTarget(Script(objects=tuple(("data", f"out/{n}/model.tar.gz") for n in range(3))))
    target.put("data", "out/old", b"of an earlier run")
    target.put("data", "out/0/model.tar.gz", b"overwritten by this run")
    record = run(Replayer(target, tmp_path / "runs").replay(scenario, DEPLOYMENT))
    assert failed(record) == []


def test_several_executions_start_at_the_same_moment(tmp_path):
    record, _ = replay(tmp_path, "name: x\nexecutions: 3")
    assert len(record.executions) == 3
    assert {execution.started for execution in record.executions} == {1_000_000.0}
    assert len(record.verdicts) == 3


ENDPOINT = """
name: x
expect: {endpoint: {send: three.txt, content_type: text/plain, class: "3"}, endpoints: 1}
"""


def test_endpoints_are_asked_and_deleted(tmp_path):
    (tmp_path / "three.txt").write_bytes(b"3")
    record, target = replay(tmp_path, ENDPOINT, Script(endpoints=("e1",)))
    assert failed(record) == []
    assert record.answers[0].body == {"predictions": {"class": "3"}}
    assert ("DeleteEndpoint", {"EndpointName": "e1"}) in target.calls
    assert [job.status for job in record.jobs] == ["InService"]


def test_a_run_begins_when_the_endpoints_of_the_last_one_are_gone(tmp_path):
    scenario = parse_scenario("name: x", tmp_path / "x.yaml")
    target = FakeTarget(Script(endpoints=("e1",)))
    replayer = Replayer(target, tmp_path / "runs")

    async def twice() -> tuple[RunRecord, RunRecord]:
        first = await replayer.replay(scenario, DEPLOYMENT)
        return first, await replayer.replay(scenario, DEPLOYMENT)

    first, second = run(twice())
    assert second.executions[0].started == first.executions[0].ended + DELETION
    events = (tmp_path / "runs" / second.id / "events.jsonl").read_text()
    assert '"Deleted"' not in events


def test_endpoints_are_kept_when_asked_to(tmp_path):
    (tmp_path / "three.txt").write_bytes(b"3")
    _, target = replay(tmp_path, ENDPOINT, Script(endpoints=("e1",)), keep=True)
    assert not [operation for operation, _ in target.calls if operation == "DeleteEndpoint"]


def test_an_endpoint_that_does_not_answer(tmp_path):
    (tmp_path / "three.txt").write_bytes(b"3")
    record, _ = replay(tmp_path, ENDPOINT, Script(endpoints=("broken",)))
    assert failed(record) == ["endpoint broken"]
    assert record.answers[0].error == "ModelError: it raised"


def test_faults_are_in_force_only_while_executions_run(tmp_path):
    outcomes = []

    def invoke(target: FakeTarget) -> None:
        outcomes.append(target.faults.call("lambda", "Invoke", {"FunctionName": "mlops_train"}))

    text = "name: x\nfaults: [{at: lambda mlops_train, throw: Lambda.ServiceException}]"
    record, target = replay(tmp_path, text, Script(act=invoke))
    assert [error.code for error in outcomes] == ["ServiceException"]
    assert isinstance(target.injected[-1], NoFaults)
    assert record.passed


def test_a_fault_that_never_happened_fails_the_run(tmp_path):
    record, _ = replay(tmp_path, "name: x\nfaults: [{at: training job, fails: x}]")
    assert failed(record) == ["fault at 'training job'"]


def test_what_failed_functions_and_jobs_logged(tmp_path):
    def fail(target: FakeTarget) -> None:
        publish = target.events.publish
        for number in range(30):
            publish("function.log", "mlops_eval", request_id="r1", line=f"line {number}")
        publish("function.log", "mlops_eval", request_id="r2", line="another invocation")
        publish(
            "function", "mlops_eval", phase="end", request_id="r1", status="error", error="ValueError: no"
        )
        publish("job", "t1", type="training", status="InProgress", reason=None)
        publish("job.log", "t1", type="training", host="algo-1", line="Traceback")
        publish("job", "t1", type="training", status="Failed", reason="AlgorithmError")
        publish("warning", "clock", message="ran late")

    record, _ = replay(tmp_path, "name: x", Script(act=fail))
    (failure,) = record.failures
    assert (failure.function, failure.error) == ("mlops_eval", "ValueError: no")
    assert failure.log[-1] == "line 29"
    assert len(failure.log) == 20
    (job,) = record.jobs
    assert (job.status, job.reason, job.log) == ("Failed", "AlgorithmError", ("Traceback",))
    assert record.warnings == ("clock: ran late",)
    logs = tmp_path / "runs" / record.id / "logs"
    assert (logs / "function-mlops_eval.log").read_text().count("\n") == 31
    assert (logs / "training-t1.log").read_text() == "Traceback\n"


UNKNOWN = {
    "a machine": ("name: x\nmachine: mlop", "2:10", "no state machine 'mlop'", "did you mean 'mlops'?"),
    "a state on the path": ("name: x\nexpect: {path: [Trian]}", "2:16", "no state 'Trian'", "'Train'"),
    "a state to retry": ("name: x\nexpect: {retries: {Stp: 1}}", "2:19", "no state 'Stp'", "'Step'"),
    "an output": ("name: x\ndata: {'s3://{DataBuket}/': .}", "2:8", "{DataBuket}", "'DataBucket'"),
    "a bucket": (
        "name: x\ndata: {'s3://data-bucket/x.yaml': x.yaml}",
        "2:8",
        "does not exist",
        "the template",
    ),
    "a function": (
        "name: x\nfaults: [{at: lambda mlops_trian, throw: Lambda.X}]",
        "2:10",
        "no function 'mlops_trian'",
        "'mlops_train'",
    ),
}


@pytest.mark.parametrize(("text", "place", "message", "hint"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_names_that_the_pipeline_does_not_have(tmp_path, text, place, message, hint):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ScenarioError) as caught:
        replay(tmp_path, text)
    assert message in caught.value.message
    assert caught.value.place == place
    assert hint in (caught.value.hint or "")


def test_a_machine_by_its_logical_id_or_its_name(tmp_path):
    for name in ("StateMachine", "mlops"):
        assert replay(tmp_path, f"name: x\nmachine: {name}")[0].passed


def test_a_replay_that_is_stopped_stops_the_execution(tmp_path):
    scenario = parse_scenario("name: x", tmp_path / "x.yaml")
    target = FakeTarget(Script(hangs=True))

    async def stop_early() -> None:
        begun = asyncio.Event()
        replayer = Replayer(target, tmp_path / "runs")
        task = asyncio.create_task(replayer.replay(scenario, DEPLOYMENT, lambda event: begun.set()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(stop_early())
    assert "StopExecution" in [operation for operation, _ in target.calls]
    assert isinstance(target.faults, NoFaults)
    assert not target.events.wanted


def test_jobs_that_nobody_waits_for_are_ended(tmp_path):
    def start(target: FakeTarget) -> None:
        async def start_another() -> None:
            # The execution has ended; what its function was starting is there only now.
            await target.clock.sleep(5)
            target.events.publish("job", "late", type="transform", status="InProgress", reason=None)

        target.events.publish("job", "first", type="training", status="InProgress", reason=None)
        target.events.publish("job", "done", type="training", status="Completed", reason=None)
        target.begin(start_another())

    _, target = replay(tmp_path, "name: x", Script(act=start))
    assert [call for call in target.calls if call[0].startswith("Stop")] == [
        ("StopTrainingJob", {"TrainingJobName": "first"}),
        ("StopTransformJob", {"TransformJobName": "late"}),
    ]


def test_jobs_of_every_kind_are_ended(tmp_path):
    def start(target: FakeTarget) -> None:
        for kind in ("training", "transform", "processing", "tuning"):
            target.events.publish("job", kind, type=kind, status="InProgress", reason=None)

    record, target = replay(tmp_path, "name: x", Script(act=start))
    assert [call for call in target.calls if call[0].startswith("Stop")] == [
        ("StopTrainingJob", {"TrainingJobName": "training"}),
        ("StopTransformJob", {"TransformJobName": "transform"}),
        ("StopProcessingJob", {"ProcessingJobName": "processing"}),
        ("StopHyperParameterTuningJob", {"HyperParameterTuningJobName": "tuning"}),
    ]
    assert record.warnings == ()


def test_an_endpoint_that_is_still_being_made_is_deleted_once_it_is(tmp_path):
    def create(target: FakeTarget) -> None:
        async def come_up() -> None:
            await target.clock.sleep(5)
            target.events.publish("job", "e1", type="endpoint", status="InService", reason=None)

        target.events.publish("job", "e1", type="endpoint", status="Creating", reason=None)
        target.begin(come_up())

    _, target = replay(tmp_path, "name: x", Script(act=create))
    assert target.calls[-1] == ("DeleteEndpoint", {"EndpointName": "e1"})
    assert target.clock.now() == 1_000_000 + 120 + 5 + DELETION
