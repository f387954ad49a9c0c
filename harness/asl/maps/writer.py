"""ResultWriter: what becomes of the results of child executions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from harness.asl.errors import RESULT_WRITER_FAILED, StatesError
from harness.asl.frame import Frame
from harness.asl.maps.run import Child, MapRun
from harness.asl.maps.services import Caller, MapServices, StorageError
from harness.asl.payload import Template
from harness.asl.scope import Reader
from harness.asl.tasks import JSON
from harness.asl.values import json_text, timestamp_text

__all__ = ["COMPACT", "Destination", "OutputType", "ResultWriter", "Transformation"]

FILE_LIMIT: Final = 5 * 1024**3
"""Bytes of one result file."""

Transformation = Literal["NONE", "COMPACT", "FLATTEN"]
OutputType = Literal["JSON", "JSONL"]
Outcome = Literal["FAILED", "PENDING", "SUCCEEDED"]
"""The kinds of result file. FAILED has the child executions that timed out or were aborted, too."""


@dataclass(frozen=True)
class Destination:
    """Where in S3 results go.

    Attributes:
        bucket: The bucket.
        prefix: What the keys begin with; empty or ending in a slash.
    """

    bucket: str
    prefix: str


@dataclass(frozen=True)
class ResultWriter:
    """ResultWriter (AWS developer guide, "ResultWriter (Map)").

    Attributes:
        arguments: Parameters or Arguments; None when results are not exported.
        document: What they work on, from the effective input.
        transformation: Transformation of WriterConfig.
        output_type: OutputType of WriterConfig.
    """

    arguments: Template | None
    document: Reader
    transformation: Transformation
    output_type: OutputType

    def destination(self, frame: Frame, data: JSON) -> Destination | None:
        """Where to export to; None for nowhere.

        Raises:
            Fault: Parameters or Arguments cannot be evaluated.
            StatesError: States.ResultWriterFailed: they name no place.
        """
        if self.arguments is None:
            return None
        given = frame.fill(self.arguments, self.document(data, frame))[0]
        values = {"Prefix": "", **given} if isinstance(given, dict) else {}
        for name in ("Bucket", "Prefix"):
            if not isinstance(values.get(name), str):
                raise StatesError(RESULT_WRITER_FAILED, f"The value for the field '{name}' must be a STRING")
        prefix = values["Prefix"].rstrip("/")
        return Destination(values["Bucket"], f"{prefix}/" if prefix else "")

    def output(self, run: MapRun) -> JSON:
        """The results as the state's own."""
        results = list(self._results(run, run.children))
        if self.output_type == "JSONL":
            return "\n".join(map(json_text, results))
        return results

    async def export(
        self, run: MapRun, destination: Destination, services: MapServices, caller: Caller
    ) -> JSON:
        """Write the results to S3; the state's result, which says where they are.

        Raises:
            StatesError: States.ResultWriterFailed.
        """
        folder = f"{destination.prefix}{run.arn.rpartition(':')[2]}"
        files: dict[str, list[JSON]] = {"FAILED": [], "PENDING": [], "SUCCEEDED": []}
        try:
            for outcome, written in files.items():
                children = [child for child in run.children if _outcome(child) == outcome]
                for number, body in enumerate(_bodies(self._results(run, children), self.output_type)):
                    key = f"{folder}/{outcome}_{number}.json"
                    await services.put_object(destination.bucket, key, body, caller)
                    written.append({"Key": key, "Size": len(body)})
            manifest = {
                "DestinationBucket": destination.bucket,
                "MapRunArn": run.arn,
                "ResultFiles": files,
            }
            key = f"{folder}/manifest.json"
            await services.put_object(destination.bucket, key, json_text(manifest).encode(), caller)
        except StorageError as error:
            raise StatesError(RESULT_WRITER_FAILED, str(error)) from None
        return {
            "MapRunArn": run.arn,
            "ResultWriterDetails": {"Bucket": destination.bucket, "Key": key},
        }

    def _results(self, run: MapRun, children: Iterable[Child]) -> Iterator[JSON]:
        """The results after Transformation, which leaves those of child executions without success alone."""
        for child in children:
            if self.transformation == "NONE" or child.status != "SUCCEEDED" or child.outcome is None:
                yield _describe(run, child)
            elif self.transformation == "FLATTEN" and isinstance(child.outcome.output, list):
                yield from child.outcome.output
            else:
                yield child.outcome.output


COMPACT: Final = ResultWriter(None, lambda data, _: data, "COMPACT", "JSON")
"""What a Map without ResultWriter does."""


def _outcome(child: Child) -> Outcome:
    if child.status in ("PENDING", "RUNNING"):
        return "PENDING"
    return "SUCCEEDED" if child.status == "SUCCEEDED" else "FAILED"


def _describe(run: MapRun, child: Child) -> dict[str, JSON]:
    """A child execution, as the result files of AWS have it: members sorted by name."""
    described: dict[str, Any] = {
        "ExecutionArn": child.arn,
        "Input": json_text(child.input),
        "InputDetails": {"Included": True},
        "Name": child.name,
        "StateMachineArn": run.machine_arn,
        "Status": child.status,
    }
    outcome = child.outcome
    if outcome is not None and child.started is not None and child.stopped is not None:
        described |= {
            "OutputDetails": {"Included": True},
            "RedriveCount": 0,
            "StartDate": timestamp_text(child.started),
            "StopDate": timestamp_text(child.stopped),
        }
        if outcome.status == "SUCCEEDED":
            described["Output"] = json_text(outcome.output)
            described["RedriveStatus"] = "NOT_REDRIVABLE"
            described["RedriveStatusReason"] = "Execution is SUCCEEDED and cannot be redriven"
        else:
            described["RedriveStatus"] = "REDRIVABLE_BY_MAP_RUN"
        if outcome.error is not None:
            described["Error"] = outcome.error
        if outcome.cause is not None:
            described["Cause"] = outcome.cause
    return dict(sorted(described.items()))


def _bodies(results: Iterable[JSON], output_type: OutputType, limit: int = FILE_LIMIT) -> Iterator[bytes]:
    """The contents of result files, none larger than `limit` unless it has a single result."""
    texts: list[bytes] = []
    size = 0
    for result in results:
        text = json_text(result).encode("utf-8", "surrogatepass")
        if texts and size + len(text) + 2 > limit:
            yield _body(texts, output_type)
            texts, size = [], 0
        texts.append(text)
        size += len(text) + 1
    if texts:
        yield _body(texts, output_type)


def _body(texts: Sequence[bytes], output_type: OutputType) -> bytes:
    return b"[" + b",".join(texts) + b"]" if output_type == "JSON" else b"\n".join(texts)
