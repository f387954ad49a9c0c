"""Scenario files: what they may say, and how mistakes are reported."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pytest

from harness.errors import ScenarioError, UnsupportedError
from harness.scenarios.load import find, load, parse_scenario
from harness.scenarios.model import CallFault, JobRule, Scenario


def read(tmp_path: Path, text: str) -> Scenario:
    return parse_scenario(dedent(text), tmp_path / "scenario.yaml")


def refusal(tmp_path: Path, text: str) -> ScenarioError:
    with pytest.raises(ScenarioError) as caught:
        read(tmp_path, text)
    assert caught.value.file == tmp_path / "scenario.yaml"
    return caught.value


def test_the_whole_grammar(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "one.png").write_bytes(b"png")
    scenario = read(
        tmp_path,
        """
        name: everything
        machine: mlops
        input: {prefix: demo, when: 2024-01-01, answer: no, ratio: 12:30, n: 3, x: 1.5e3}
        data: {"s3://{DataBucket}/train/": train, "s3://{DataBucket}/one.png": one.png}
        containers: auto
        executions: 2
        faults:
          - at: lambda mlops_await, call 2
            throw: Lambda.TooManyRequestsException
          - at: sagemaker CreateTransformJob, every call
            throw: ThrottlingException
            message: slow down
            status: 429
          - at: training job, number 2
            takes: 1h30m
          - at: transform job batch-*
            fails: out of memory
            exit_code: 137
        expect:
          status: SUCCEEDED
          path: [StartTraining, ..., Deployed]
          output: {f1score: {gte: 0.85}}
          endpoint: {send: one.png, class: "3"}
          endpoints: 1
          objects: {"s3://{DataBucket}/runs/": {count: {gte: 1}}, "s3://{DataBucket}/x": absent}
          retries: {CheckTraining: 1}
        """,
    )
    assert scenario.machine == "mlops"
    assert scenario.executions == 2
    # YAML 1.2: no dates, no sexagesimal numbers, and "no" is a word
    assert scenario.input == {
        "prefix": "demo",
        "when": "2024-01-01",
        "answer": "no",
        "ratio": "12:30",
        "n": 3,
        "x": 1500.0,
    }
    assert [(data.uri, data.source) for data in scenario.data] == [
        ("s3://{DataBucket}/train/", tmp_path / "train"),
        ("s3://{DataBucket}/one.png", tmp_path / "one.png"),
    ]
    throttled, transform, slow, broken = scenario.faults
    assert isinstance(throttled, CallFault)
    assert (throttled.service, throttled.operation, throttled.function) == ("lambda", "Invoke", "mlops_await")
    assert (throttled.nth, throttled.code, throttled.status) == (2, "TooManyRequestsException", 429)
    assert isinstance(transform, CallFault)
    assert (transform.service, transform.function, transform.nth) == ("sagemaker", None, None)
    assert (transform.message, transform.status) == ("slow down", 429)
    assert isinstance(slow, JobRule)
    assert (slow.kind, slow.name, slow.nth, slow.takes, slow.failure) == ("training", None, 2, 5400, None)
    assert isinstance(broken, JobRule)
    assert (broken.name, broken.failure, broken.exit_code) == ("batch-*", "out of memory", 137)
    assert scenario.expect.path == ("StartTraining", "...", "Deployed")
    assert scenario.expect.endpoint is not None
    assert scenario.expect.endpoint.content_type == "application/x-image"
    assert scenario.expect.endpoint.response.differences({"predictions": {"class": "3"}}) == []
    assert scenario.expect.endpoint.response.differences({"predictions": {"class": "4"}})
    assert [wanted.uri for wanted in scenario.expect.objects] == [
        "s3://{DataBucket}/runs/",
        "s3://{DataBucket}/x",
    ]
    assert scenario.expect.retries == {"CheckTraining": 1}


def test_only_a_name_is_needed_and_success_is_expected(tmp_path):
    scenario = read(tmp_path, "name: least")
    assert scenario.input == {}
    assert scenario.expect.status == "SUCCEEDED"
    assert scenario.executions == 1


def test_input_from_a_file(tmp_path):
    (tmp_path / "input.json").write_text(json.dumps({"a": [1, None]}))
    assert read(tmp_path, "name: x\ninput: input.json").input == {"a": [1, None]}


MISTAKES = {
    "not YAML": ("name: [1, 2", "1:12", "not YAML", None),
    "a tab": ("name: x\n\tinput: 1", "2:1", "not YAML", None),
    "two documents": ("name: x\n---\nname: y", "2:1", "single document", None),
    "not a mapping": ("- name", "1:1", "must be a mapping, not a list", None),
    "no name": ("input: {}", "1:1", "lacks 'name'", None),
    "an unknown key": ("name: x\nexpects: {}", "2:1", "unknown key 'expects'", "did you mean 'expect'?"),
    "an unknown key inside": (
        "name: x\nexpect:\n  statuss: FAILED",
        "3:3",
        "unknown key 'statuss' in expect",
        "did you mean 'status'?",
    ),
    "a duplicate key": ("name: x\ninput: {a: 1, a: 2}", "2:15", "'a' is here twice", "it is first at 2:9"),
    "a merge key": ("name: x\ninput: {<<: {a: 1}}", "2:9", "merge keys", None),
    "a tag": ("name: x\ninput: !!python/object:os.system {}", "2:8", "tag", None),
    "a recursive alias": ("name: x\ninput: &a [*a]", "2:8", "contains itself", None),
    "a number for a name": ("name: 3", "1:7", "name must be text, not the number 3", 'put it in quotes: "3"'),
    "an empty name": ("name: ''", "1:7", "name is empty", None),
    "a wrong status": (
        "name: x\nexpect: {status: FAILD}",
        "2:18",
        "must be one of SUCCEEDED, FAILED",
        "did you mean 'FAILED'?",
    ),
    "no data there": ("name: x\ndata: {s3://b/k/: nowhere}", "2:19", "there is no", "relative to"),
    "data without an address": ("name: x\ndata: {b/k/: .}", "2:8", "is not an S3 address", None),
    "a folder as a key": ("name: x\ndata: {s3://b/k: .}", "2:8", "is a folder", "end the address with '/'"),
    "no executions": ("name: x\nexecutions: 0", "2:13", "from 1 to 100", None),
    "yes for executions": ("name: x\nexecutions: true", "2:13", "not true", None),
    "an unreadable fault": (
        "name: x\nfaults: [{at: sometimes}]",
        "2:15",
        "does not say where",
        "training job",
    ),
    "a fault nowhere": ("name: x\nfaults: [{throw: X}]", "2:10", "lacks 'at'", None),
    "a fault that does nothing": (
        "name: x\nfaults: [{at: training job}]",
        "2:10",
        "does nothing",
        "fails, exit_code",
    ),
    "a call that does nothing": ("name: x\nfaults: [{at: lambda f}]", "2:10", "does nothing", "throw"),
    "a job that throws": (
        "name: x\nfaults: [{at: training job, throw: X}]",
        "2:36",
        "does not go with",
        "fails, exit_code, takes",
    ),
    "a call that takes long": (
        "name: x\nfaults: [{at: lambda f, throw: Lambda.X, takes: 5m}]",
        "2:49",
        "does not go with",
        "throw, message, status",
    ),
    "a lambda error of another kind": (
        "name: x\nfaults: [{at: lambda f, throw: ValueError}]",
        "2:32",
        "not an error that invoking a function gives",
        "Lambda.<Code>",
    ),
    "an unknown service": (
        "name: x\nfaults: [{at: sagemakr CreateModel, throw: X}]",
        "2:15",
        "no service 'sagemakr'",
        "did you mean 'sagemaker'?",
    ),
    "an unknown operation": (
        "name: x\nfaults: [{at: sagemaker CreateTransfromJob, throw: X}]",
        "2:15",
        "no operation 'CreateTransfromJob'",
        "did you mean 'CreateTransformJob'?",
    ),
    "a call number of zero": (
        "name: x\nfaults: [{at: 'lambda f, call 0', throw: Lambda.X}]",
        "2:15",
        "does not say where",
        None,
    ),
    "a duration without a unit": (
        "name: x\nfaults: [{at: training job, takes: 45}]",
        "2:36",
        "must be a duration, not the number 45",
        "with its unit",
    ),
    "a bad status number": (
        "name: x\nfaults: [{at: sagemaker CreateModel, throw: X, status: 200}]",
        "2:56",
        "from 400 to 599",
        None,
    ),
    "an empty path": ("name: x\nexpect: {path: []}", "2:16", "path is empty", None),
    "a number as a state": ("name: x\nexpect: {path: [1]}", "2:17", "must be text", None),
    "an unknown matcher beside one": (
        "name: x\nexpect: {output: {f1: {gte: 1, lts: 2}}}",
        "2:32",
        "'lts' stands beside the matcher 'gte'",
        "equals",
    ),
    "a bound that is no number": (
        "name: x\nexpect: {output: {f1: {gte: high}}}",
        "2:29",
        "must be a number",
        None,
    ),
    "a bad pattern": ("name: x\nexpect: {output: {matches: '('}}", "2:28", "not a regular expression", None),
    "a bad type": (
        "name: x\nexpect: {output: {type: strng}}",
        "2:25",
        "must be one of",
        "did you mean 'string'?",
    ),
    "an error of a success": ("name: x\nexpect: {error: E}", "2:17", "has no error", "status: FAILED"),
    "an output of a failure": (
        "name: x\nexpect: {status: FAILED, output: {}}",
        "2:34",
        "only a run that SUCCEEDED",
        None,
    ),
    "a bad count": ("name: x\nexpect: {endpoints: few}", "2:21", "'none', a number, or a matcher", None),
    "a bad presence": (
        "name: x\nexpect: {objects: {s3://b/k: presnt}}",
        "2:30",
        "must be one of present, absent",
        "did you mean 'present'?",
    ),
    "retries that are no number": ("name: x\nexpect: {retries: {A: many}}", "2:23", "whole number", None),
    "an endpoint without a file": ("name: x\nexpect: {endpoint: {class: '3'}}", "2:20", "lacks 'send'", None),
    "an endpoint of an unknown type": (
        "name: x\nexpect: {endpoint: {send: data.bin, class: '3'}}",
        "2:20",
        "content type of data.bin is not known",
        "add content_type",
    ),
    "an endpoint without an answer": (
        "name: x\nexpect: {endpoint: {send: data.png}}",
        "2:20",
        "exactly one of class, response",
        None,
    ),
    "a number as a class": (
        "name: x\nexpect: {endpoint: {send: data.png, class: 3}}",
        "2:44",
        "must be text, not the number 3",
        'put it in quotes: "3"',
    ),
}


@pytest.mark.parametrize(("text", "place", "message", "hint"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_are_refused_where_they_stand(tmp_path, text, place, message, hint):
    (tmp_path / "data.bin").write_bytes(b"x")
    (tmp_path / "data.png").write_bytes(b"x")
    error = refusal(tmp_path, text)
    assert message in error.message
    assert error.place == place
    if hint is not None:
        assert hint in (error.hint or "")


def test_an_empty_file(tmp_path):
    assert "empty" in refusal(tmp_path, "").message


@pytest.mark.parametrize("choice", ["auto", "docker", "process"])
def test_containers(tmp_path, choice):
    assert read(tmp_path, f"name: x\ncontainers: {choice}").containers == choice


def test_stubs_are_not_there_yet_and_refused_by_name(tmp_path):
    with pytest.raises(UnsupportedError, match="containers: stub") as caught:
        read(tmp_path, "name: x\ncontainers: stub")
    assert caught.value.place == "2:13"
    assert caught.value.exit_code == 2


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(ScenarioError, match="no such file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_bytes(b"name: \xff")
    with pytest.raises(ScenarioError, match="cannot be read"):
        load(tmp_path / "bad.yaml")


def test_find(tmp_path, monkeypatch):
    for name in ("b.yaml", "a.yml", "c.txt"):
        (tmp_path / name).write_text("name: x")
    assert [path.name for path in find(tmp_path)] == ["a.yml", "b.yaml"]
    assert find(tmp_path, ["b", str(tmp_path / "b.yaml")]) == [tmp_path / "b.yaml"]
    with pytest.raises(ScenarioError) as caught:
        find(tmp_path, ["bb"])
    assert caught.value.hint == "did you mean 'b'?"
    monkeypatch.chdir(tmp_path.parent)
    with pytest.raises(ScenarioError) as caught:
        find(tmp_path, [f"{tmp_path.name}/bb.yaml"])
    assert caught.value.hint == f"did you mean '{tmp_path.name}/b.yaml'?"


def test_find_nothing(tmp_path):
    with pytest.raises(ScenarioError, match="no scenario here"):
        find(tmp_path)
