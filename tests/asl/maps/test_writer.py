"""ResultWriter, run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.asl import TaskError, TaskProgress, TaskRequest
from harness.asl.maps.writer import _bodies
from harness.clock import SkippingClock, run
from tests.asl.helpers import INVOKE, START, Tasks, details, execute, shape, start, types
from tests.asl.maps.support import PREFIX, Bucket, distributed

WORK = {"StartAt": "W", "States": {"W": {"Type": "Task", "Resource": INVOKE, "End": True}}}
PUT = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b", "Prefix": "out"}}
BUCKET_ONLY = {**PUT, "Parameters": {"Bucket": "b"}}


def failing(*bad: Any) -> Tasks:
    """Returns what it is given, but fails for some of it."""

    async def work(request: TaskRequest, progress: TaskProgress) -> Any:
        if request.arguments in bad:
            raise TaskError("Oops", "because")
        return request.arguments

    return Tasks(work)


def export(items: Any, writer: dict[str, Any] = PUT, *bad: Any, **fields: Any) -> tuple[Any, Bucket]:
    """The Map's result, and the bucket afterwards."""
    bucket = Bucket()
    definition = distributed(WORK, ResultWriter=writer, Label="L", **fields)
    outcome, _ = execute(definition, items, tasks=failing(*bad), maps=bucket)
    assert outcome.status == "SUCCEEDED", outcome
    return outcome.output, bucket


def test_export() -> None:
    output, bucket = export([{"a": 1}, 2])
    (run_,) = bucket.runs
    folder = f"out/{run_.arn.rpartition(':')[2]}"
    assert output == {
        "MapRunArn": run_.arn,
        "ResultWriterDetails": {"Bucket": "b", "Key": f"{folder}/manifest.json"},
    }
    assert bucket.written == [f"{folder}/SUCCEEDED_0.json", f"{folder}/manifest.json"]
    assert bucket.json(f"{folder}/manifest.json") == {
        "DestinationBucket": "b",
        "MapRunArn": run_.arn,
        "ResultFiles": {
            "FAILED": [],
            "PENDING": [],
            "SUCCEEDED": [
                {
                    "Key": f"{folder}/SUCCEEDED_0.json",
                    "Size": len(bucket.objects[f"{folder}/SUCCEEDED_0.json"]),
                }
            ],
        },
    }
    first, second = bucket.json(f"{folder}/SUCCEEDED_0.json")
    name = first["Name"]
    assert first == {
        "ExecutionArn": f"{PREFIX}:execution:m/L:{name}",
        "Input": '{"a":1}',
        "InputDetails": {"Included": True},
        "Name": name,
        "Output": '{"a":1}',
        "OutputDetails": {"Included": True},
        "RedriveCount": 0,
        "RedriveStatus": "NOT_REDRIVABLE",
        "RedriveStatusReason": "Execution is SUCCEEDED and cannot be redriven",
        "StartDate": "2023-11-14T22:13:20.000Z",
        "StateMachineArn": f"{PREFIX}:stateMachine:m/L",
        "Status": "SUCCEEDED",
        "StopDate": "2023-11-14T22:13:20.000Z",
    }
    assert list(first) == sorted(first)
    assert second["Output"] == "2"
    assert run_.results_written == (2, 2)


def test_failures_have_a_file_of_their_own() -> None:
    output, bucket = export([1, 2, 3], PUT, 2, ToleratedFailureCount=1)
    folder = output["ResultWriterDetails"]["Key"].removesuffix("/manifest.json")
    assert [record["Output"] for record in bucket.json(f"{folder}/SUCCEEDED_0.json")] == ["1", "3"]
    (failed,) = bucket.json(f"{folder}/FAILED_0.json")
    assert (failed["Status"], failed["Error"], failed["Cause"]) == ("FAILED", "Oops", "because")
    assert failed["RedriveStatus"] == "REDRIVABLE_BY_MAP_RUN"
    assert not failed.keys() & {"Output", "RedriveStatusReason"}
    files = bucket.json(f"{folder}/manifest.json")["ResultFiles"]
    assert [len(files[outcome]) for outcome in ("FAILED", "PENDING", "SUCCEEDED")] == [1, 0, 1]


def test_a_run_that_fails_leaves_its_results_too() -> None:
    bucket = Bucket()
    definition = distributed(WORK, ResultWriter=PUT, MaxConcurrency=1)
    outcome, execution = execute(definition, [1, 2, 3], tasks=failing(2), maps=bucket)
    assert outcome.error == "States.ExceedToleratedFailureThreshold"
    assert [key.rpartition("/")[2] for key in bucket.written] == [
        "FAILED_0.json",
        "PENDING_0.json",
        "SUCCEEDED_0.json",
        "manifest.json",
    ]
    (pending,) = bucket.json(bucket.written[1])
    assert (pending["Status"], pending["Input"]) == ("PENDING", "3")
    assert types(execution)[-3:] == ["MapRunFailed", "MapStateFailed", "ExecutionFailed"]


def test_a_run_that_is_aborted_leaves_its_results_behind_it() -> None:
    clock = SkippingClock(START)
    bucket = Bucket()
    slow = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 60, "End": True}}}

    async def main() -> None:
        definition = distributed(slow, ResultWriter=PUT, MaxConcurrency=1)
        execution = start(definition, [1, 2], clock=clock, maps=bucket)
        clock.call_at(START + 5, execution.stop)
        await execution.run()
        assert bucket.written == []  # nobody waits for them
        (export_,) = bucket.left
        await export_

    run(main())
    assert [record["Status"] for record in bucket.json(bucket.written[0])] == ["ABORTED"]
    assert [record["Input"] for record in bucket.json(bucket.written[1])] == ["2"]


@pytest.mark.parametrize(
    ("writer", "start_"),
    [(BUCKET_ONLY, ""), ({**PUT, "Parameters": {"Bucket": "b", "Prefix": "x/y/"}}, "x/y/")],
)
def test_prefixes(writer: dict[str, Any], start_: str) -> None:
    output, bucket = export([1], writer)
    id_ = bucket.runs[0].arn.rpartition(":")[2]
    assert output["ResultWriterDetails"]["Key"] == f"{start_}{id_}/manifest.json"


ITEMS = [[1, 2], "x", [[3], 4]]


@pytest.mark.parametrize(
    ("transformation", "results"),
    [("COMPACT", ITEMS), ("FLATTEN", [1, 2, "x", [3], 4])],
)
def test_transformations(transformation: str, results: Any) -> None:
    config = {"Transformation": transformation, "OutputType": "JSON"}
    output, bucket = export(ITEMS, {**PUT, "WriterConfig": config})
    assert bucket.json(bucket.written[0]) == results
    assert output["ResultWriterDetails"]["Bucket"] == "b"
    here, bucket = export(ITEMS, {"WriterConfig": config})
    assert here == results
    assert bucket.written == []
    lines, _ = export(ITEMS, {"WriterConfig": {**config, "OutputType": "JSONL"}})
    assert [json.loads(line) for line in lines.split("\n")] == results


def test_json_lines_in_files() -> None:
    config = {"Transformation": "COMPACT", "OutputType": "JSONL"}
    _, bucket = export([{"a": 1}, 2], {**PUT, "WriterConfig": config})
    assert bucket.objects[bucket.written[0]] == b'{"a":1}\n2'


def test_transformation_none_as_the_result() -> None:
    output, _ = export([1], {"WriterConfig": {"Transformation": "NONE", "OutputType": "JSON"}})
    assert (output[0]["Status"], output[0]["Output"]) == ("SUCCEEDED", "1")


def test_a_failure_is_left_as_it_is_by_every_transformation() -> None:
    config = {"Transformation": "FLATTEN", "OutputType": "JSON"}
    output, _ = export([[1], 2, [3]], {"WriterConfig": config}, 2, ToleratedFailureCount=1)
    assert (output[0], output[2]) == (1, 3)
    assert output[1]["Error"] == "Oops"


def test_results_too_large_for_the_state_can_be_exported() -> None:
    items = ["x" * 200_000, "y" * 200_000]
    big = {
        "StartAt": "W",
        "States": {"W": {"Type": "Pass", "Parameters": {"v.$": "States.Format('{}{}', $, $)"}, "End": True}},
    }
    bucket = Bucket({"k": json.dumps(items).encode()})
    fields = {
        "ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSON"},
            "Parameters": {"Bucket": "b", "Key": "k"},
        }
    }
    outcome, execution = execute(distributed(**fields), maps=bucket)
    assert (outcome.error, outcome.cause) == (
        "States.DataLimitExceeded",
        "The state/task 'M' returned a result with a size exceeding the maximum number of bytes service "
        "limit.",
    )
    assert types(execution)[-3:] == ["MapRunFailed", "MapStateFailed", "ExecutionFailed"]
    outcome, _ = execute(distributed(ResultWriter=PUT, **fields), maps=bucket)
    assert outcome.status == "SUCCEEDED"
    outcome, _ = execute(distributed(big, ResultWriter=PUT, ToleratedFailureCount=9, **fields), maps=bucket)
    assert outcome.status == "SUCCEEDED"
    assert [r["Error"] for r in bucket.json(bucket.written[-2])] == ["States.DataLimitExceeded"] * 2


def test_what_s3_refuses() -> None:
    bucket = Bucket()
    bucket.refusal = "The specified bucket does not exist"
    definition = distributed(
        ResultWriter=PUT, Catch=[{"ErrorEquals": ["States.ResultWriterFailed"], "Next": "E"}]
    )
    definition["States"]["E"] = {"Type": "Succeed"}
    outcome, execution = execute(definition, [1], maps=bucket)
    assert outcome.output == {"Error": "States.ResultWriterFailed", "Cause": bucket.refusal}
    assert shape(execution)[3:6] == ["3->4 MapRunStarted", "4->5 MapRunFailed", "5->6 MapStateFailed"]
    assert details(execution, "MapRunFailed")[0]["error"] == "States.ResultWriterFailed"
    assert bucket.runs[0].status == "FAILED"
    assert len(bucket.reads) == 1


def test_a_destination_that_is_none() -> None:
    writer = {**PUT, "Parameters": {"Bucket.$": "$[0]"}}
    outcome, _ = execute(distributed(ResultWriter=writer), [7])
    assert outcome.error == "States.ResultWriterFailed"
    assert outcome.cause == "The value for the field 'Bucket' must be a STRING"


def test_jsonata_destination() -> None:
    bucket = Bucket()
    writer = {"Resource": PUT["Resource"], "Arguments": {"Bucket": "b", "Prefix": "{% $states.input.p %}"}}
    definition = distributed(
        ResultWriter=writer, Items=[1], Output="{% $states.result.ResultWriterDetails %}"
    )
    outcome, _ = execute({**definition, "QueryLanguage": "JSONata"}, {"p": "here"}, maps=bucket)
    assert outcome.output["Key"].startswith("here/")


def test_files_have_a_largest_size() -> None:
    results = ["x" * 10] * 5
    bodies = list(_bodies(results, "JSON", limit=28))
    assert [len(json.loads(body)) for body in bodies] == [2, 2, 1]
    assert all(len(body) <= 28 for body in bodies)
    assert [len(body.split(b"\n")) for body in _bodies(results, "JSONL", limit=5)] == [1] * 5
    assert list(_bodies([], "JSON")) == []
