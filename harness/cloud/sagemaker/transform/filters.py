"""DataProcessing of a transform job: what of a record is sent, and what becomes of the answer.

A record is split off, filtered, sent; the answer is joined to the record as it was before it was filtered,
and filtered again. Sources: SageMaker developer guide, "Associate Prediction Results with Input Records";
SageMaker API reference, DataProcessing; for the texts of errors what users quote in public issues.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.cloud.sagemaker.transform.paths import FilterPath, PathError
from harness.cloud.sagemaker.validation import invalid

__all__ = ["DataProcessing", "FilterError"]

Format = Literal["csv", "json"]

_FORMATS: dict[str, Format] = {
    "text/csv": "csv",
    "application/json": "json",
    "application/jsonlines": "json",
    "application/x-jsonlines": "json",
}

UNREADABLE = ValueError, csv.Error, RecursionError
"""What the parsers raise: UnicodeDecodeError and JSONDecodeError are ValueErrors."""

FIELD_LIMIT = 2**30
"""Characters of a field of CSV. Python's own limit would be 131,072."""

INPUT = "Failed to parse input"
OUTPUT = "Failed to parse output from the algorithm"


class FilterError(Exception):
    """A record or an answer cannot be parsed, filtered or joined."""


@dataclass(frozen=True)
class DataProcessing:
    """The filters and the join of a job.

    Attributes:
        source: How records are written.
        answer: How answers are written.
        before: What of a record is sent.
        join: Put the record before its answer.
        after: What of that is kept.
    """

    source: Format | None
    answer: Format | None
    before: FilterPath
    join: bool
    after: FilterPath

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> DataProcessing | None:
        """What a request asks for; None when records and answers stay as they are.

        Args:
            request: A CreateTransformJob request.

        Raises:
            ServiceError: ValidationException.
        """
        asked = request.get("DataProcessing", {})
        before, after = (_path(asked.get(member, ""), member) for member in ("InputFilter", "OutputFilter"))
        join = asked.get("JoinSource", "None") == "Input"
        if before.all and after.all and not join:
            return None
        given, taken = request["TransformInput"], request["TransformOutput"]
        if join:
            _same(given, "ContentType", taken, "Accept", None)
            _same(given, "SplitType", taken, "AssembleWith", "None")
        source = _format(given.get("ContentType"))
        answer = _format(taken.get("Accept") or given.get("ContentType"))
        for used, found, member in (
            (not before.all or join, source, "TransformInput.ContentType"),
            (not after.all or join, answer, "TransformOutput.Accept"),
        ):
            if used and found is None:
                raise invalid(f"DataProcessing supports only CSV and JSON data: {member} is something else.")
        for path, found, member in ((before, source, "InputFilter"), (after, answer, "OutputFilter")):
            if found == "csv" and not path.of_row:
                raise invalid(f"{member} {path.text} cannot be applied to a row of a CSV file.")
        return cls(source, answer, before, join, after)

    def prepare(self, record: bytes) -> tuple[bytes, list[Any]]:
        """What is sent of a record, and what its answer is joined to.

        A record that is a whole object of CSV or JSON Lines has a value a line; it is filtered line by line.

        Raises:
            FilterError: The record is not what ContentType says, or lacks what the filter wants.
        """
        if self.before.all and not self.join:
            return record, []
        assert self.source is not None  # `of` has seen to it
        values = _parsed(record, self.source, INPUT)
        if not self.before.all:
            end = b"\n" if record.endswith(b"\n") else b""
            record = _written([_selected(self.before, value) for value in values], self.source) + end
        return record, values if self.join else []

    def finish(self, values: list[Any], answer: bytes) -> bytes:
        """What is kept of an answer.

        Args:
            values: What it is joined to, of all records of the request.
            answer: The container's answer to them.

        Raises:
            FilterError: The answer is not what Accept says, has not a line for each record, or lacks what the
                filter wants.
        """
        if self.after.all and not self.join:
            return answer
        assert self.answer is not None  # `of` has seen to it
        kept = _parsed(answer, self.answer, OUTPUT)
        if self.join:
            if len(kept) != len(values):
                raise FilterError(f"{len(kept)} answers cannot be joined to {len(values)} records")
            join = _join_row if self.answer == "csv" else _join_value
            kept = [join(value, found) for value, found in zip(values, kept, strict=True)]
        end = b"\n" if answer.endswith(b"\n") else b""  # without it the next answer would go on in this line
        return _written([_selected(self.after, value) for value in kept], self.answer) + end


def _path(text: str, member: str) -> FilterPath:
    try:
        return FilterPath(text)
    except PathError as error:
        raise invalid(f"Invalid JSONPath for DataProcessing.{member}: {text}. {error}") from error


def _same(given: Mapping[str, Any], first: str, taken: Mapping[str, Any], second: str, default: Any) -> None:
    if given.get(first, default) != taken.get(second, default):
        raise invalid(
            f"TransformInput.{first} and TransformOutput.{second} must be the same when JoinSource is Input."
        )


def _format(media_type: str | None) -> Format | None:
    return _FORMATS.get((media_type or "").partition(";")[0].strip().lower())


def _parsed(content: bytes, form: Format, failed: str) -> list[Any]:
    """The values in a content. Empty lines are none."""
    try:
        text = content.decode()
        if form == "csv":
            csv.field_size_limit(FIELD_LIMIT)
            return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
        try:
            return [json.loads(text)]  # it may go over several lines
        except ValueError:
            return [json.loads(line) for line in text.split("\n") if line.strip()]
    except UNREADABLE as error:
        raise FilterError(f"{failed} as {'CSV' if form == 'csv' else 'JSON'}: {error}") from error


def _selected(path: FilterPath, value: Any) -> Any:
    try:
        return path.select(value)
    except PathError as error:
        raise FilterError(f"{path.text} selects nothing: {error}") from error


def _written(values: list[Any], form: Format) -> bytes:
    """Values in a format, a line each, the last without a newline."""
    if form == "csv":
        lines = _Lines()
        # Fields are quoted for what is in the line end: for either kind of newline.
        csv.writer(lines, lineterminator="\r\n").writerows(map(_fields, values))
        return "\n".join(line.removesuffix("\r\n") for line in lines).encode()
    return "\n".join(map(_json, values)).encode()


class _Lines(list[str]):
    """Takes rows from a CSV writer."""

    write = list.append


def _fields(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _join_row(record: list[str], answer: list[str]) -> list[str]:
    return record + answer


def _join_value(record: Any, answer: Any) -> dict[str, Any]:
    if isinstance(record, dict):
        return {**record, "SageMakerOutput": answer}
    return {"SageMakerInput": record, "SageMakerOutput": answer}
