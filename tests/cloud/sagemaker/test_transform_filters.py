from __future__ import annotations

from typing import Any

import pytest

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.transform.filters import DataProcessing, FilterError


def request(
    content_type: str | None = "text/csv", accept: str | None = "", split: str = "Line", **processing: str
) -> dict[str, Any]:
    """A request whose output is as its input, unless `accept` says otherwise."""
    accept = content_type if accept == "" else accept
    given = {"ContentType": content_type} if content_type else {}
    taken = {"Accept": accept} if accept else {}
    return {
        "TransformInput": {"SplitType": split, **given},
        "TransformOutput": {"AssembleWith": "Line" if split == "Line" else "None", **taken},
        "DataProcessing": processing,
    }


def processing(content_type: str = "text/csv", split: str = "Line", **members: str) -> DataProcessing:
    found = DataProcessing.of(request(content_type, split=split, **members))
    assert found is not None
    return found


def through(process: DataProcessing, records: list[bytes], answer: bytes) -> tuple[bytes, bytes]:
    """What is sent of records, and what is kept of the answer to it."""
    sent, values = b"", []
    for record in records:
        body, joined = process.prepare(record)
        sent += body
        values += joined
    return sent, process.finish(values, answer)


@pytest.mark.parametrize(
    ("members", "sent", "kept"),
    [
        ({"InputFilter": "$[1:]"}, b"1.5,x\n2.5,y\n", b"0\n1\n"),
        ({"InputFilter": "$[-1]"}, b"x\ny\n", b"0\n1\n"),
        ({"OutputFilter": "$[0]"}, b"7,1.5,x\n8,2.5,y\n", b"0\n1\n"),
        ({"JoinSource": "Input"}, b"7,1.5,x\n8,2.5,y\n", b"7,1.5,x,0\n8,2.5,y,1\n"),
        (
            {"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"},
            b"1.5,x\n2.5,y\n",
            b"7,0\n8,1\n",
        ),
        ({"JoinSource": "Input", "OutputFilter": "$[0,2:]"}, b"7,1.5,x\n8,2.5,y\n", b"7,x,0\n8,y,1\n"),
    ],
)
def test_csv(members: dict[str, str], sent: bytes, kept: bytes) -> None:
    assert through(processing(**members), [b"7,1.5,x\n", b"8,2.5,y\n"], b"0\n1\n") == (sent, kept)


def test_csv_keeps_what_has_to_be_quoted() -> None:
    process = processing(InputFilter="$[1:]", JoinSource="Input")
    record = b'7,"a, ""b""",plain\r\n'
    assert through(process, [record], b'"yes, no"\r\n') == (
        b'"a, ""b""",plain\n',
        b'7,"a, ""b""",plain,"yes, no"\n',
    )


def test_a_field_of_csv_may_be_large() -> None:
    large = b"x" * 200_000
    record = b"7," + large + b"\n"
    assert through(processing(InputFilter="$[1]"), [record], b"0\n") == (large + b"\n", b"0\n")


def test_csv_that_is_not_split_is_filtered_row_by_row() -> None:
    process = processing(split="None", InputFilter="$[1:]", JoinSource="Input", OutputFilter="$[0,-1]")
    record = b'1,a\n\n2,"b\nc"'  # without splitting, a field may have a newline in it
    assert through(process, [record], b"x\ny\n") == (b'a\n"b\nc"', b"1,x\n2,y\n")


@pytest.mark.parametrize(
    "content_type", ["application/jsonlines", "application/json", "application/json; a=b"]
)
def test_json_lines(content_type: str) -> None:
    process = processing(
        content_type,
        InputFilter="$.features",
        JoinSource="Input",
        OutputFilter="$['id','SageMakerOutput']",
    )
    records = [b'{"id": 1, "features": [1, 2.5]}\n', b'{"id": 2, "features": ["\xc3\xa9"]}\n']
    sent, kept = through(process, records, b'{"score": 0.5}\n{"score": 1}\n')
    assert sent == '[1,2.5]\n["é"]\n'.encode()
    assert kept == b'{"id":1,"SageMakerOutput":{"score":0.5}}\n{"id":2,"SageMakerOutput":{"score":1}}\n'


@pytest.mark.parametrize(
    ("record", "joined"),
    [
        (b'{\n "a": 1\n}', b'{"a":1,"SageMakerOutput":{"p":2}}'),
        (b'{"SageMakerOutput": "old"}', b'{"SageMakerOutput":{"p":2}}'),
        (b"[1, 2]", b'{"SageMakerInput":[1,2],"SageMakerOutput":{"p":2}}'),
        (b'"text"', b'{"SageMakerInput":"text","SageMakerOutput":{"p":2}}'),
    ],
)
def test_a_json_document_is_joined_whole(record: bytes, joined: bytes) -> None:
    process = processing("application/json", split="None", JoinSource="Input")
    assert through(process, [record], b'{\n "p": 2\n}\n') == (record, joined + b"\n")


def test_filters_of_the_two_sides_may_have_different_formats() -> None:
    found = DataProcessing.of(
        request("text/csv", "application/json", InputFilter="$[1:]", OutputFilter="$.score")
    )
    assert found is not None
    assert through(found, [b"7,1\n", b"8,2\n"], b'{"score": 1}\n{"score": 2}\n') == (b"1\n2\n", b"1\n2\n")


def test_without_accept_the_answer_is_like_the_input() -> None:
    found = DataProcessing.of(request("text/csv", None, OutputFilter="$[0]"))
    assert found is not None
    assert found.finish([], b"1,2\n") == b"1\n"
    assert found.finish([], b"1,2\n3,4") == b"1\n3"


@pytest.mark.parametrize(
    ("members", "content_type", "records", "answer", "complaint"),
    [
        ({"JoinSource": "Input"}, "text/csv", [b"1\n", b"2\n"], b"a\n", "1 answers cannot be joined to 2"),
        (
            {"InputFilter": "$[2]"},
            "text/csv",
            [b"1,2\n"],
            b"",
            r"\$\[2\] selects nothing: the index 2 is out",
        ),
        ({"OutputFilter": "$[1]"}, "text/csv", [b"1,2\n"], b"a\n", "the index 1 is out of range"),
        ({"InputFilter": "$[0]"}, "text/csv", [b'1,"2\n'], b"", "Failed to parse input as CSV: "),
        ({"InputFilter": "$[0]"}, "text/csv", [b"\xff\n"], b"", "Failed to parse input as CSV: "),
        (
            {"OutputFilter": "$[0]"},
            "text/csv",
            [b"1\n"],
            b'"',
            "Failed to parse output from the algorithm as CSV",
        ),
        ({"InputFilter": "$.a"}, "application/json", [b"{a}"], b"", "Failed to parse input as JSON: "),
        ({"InputFilter": "$.a"}, "application/json", [b"[" * 100_000], b"", "Failed to parse input as JSON"),
        ({"InputFilter": "$.a"}, "application/json", [b'{"b": 1}'], b"", "there is no 'a'"),
        ({"JoinSource": "Input"}, "application/json", [b"{}"], b"oh", "output from the algorithm as JSON"),
    ],
)
def test_what_cannot_be_processed_is_an_error(
    members: dict[str, str], content_type: str, records: list[bytes], answer: bytes, complaint: str
) -> None:
    with pytest.raises(FilterError, match=complaint):
        through(processing(content_type, **members), records, answer)


@pytest.mark.parametrize(
    "members", [{}, {"InputFilter": "$"}, {"InputFilter": "", "OutputFilter": "$", "JoinSource": "None"}]
)
def test_what_changes_nothing_is_no_processing(members: dict[str, str]) -> None:
    assert DataProcessing.of(request("application/x-image", None, split="None", **members)) is None


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        (request(InputFilter="$[?(@)]"), r"Invalid JSONPath for DataProcessing.InputFilter: \$\[\?\(@\)\]"),
        (request(OutputFilter="x"), "Invalid JSONPath for DataProcessing.OutputFilter: x"),
        (request(InputFilter="$.name"), "InputFilter .* cannot be applied to a row of a CSV file"),
        (request(OutputFilter="$['a','b']"), "OutputFilter .* cannot be applied to a row of a CSV file"),
        (request("image/png", InputFilter="$[0]"), "TransformInput.ContentType"),
        (request(None, InputFilter="$[0]"), "TransformInput.ContentType"),
        (request("text/csv", "image/png", OutputFilter="$[0]"), "TransformOutput.Accept"),
        (
            request("text/csv", None, JoinSource="Input"),
            "ContentType and TransformOutput.Accept must be the same",
        ),
        (
            request("text/csv", "application/json", JoinSource="Input"),
            "ContentType and TransformOutput.Accept must be the same",
        ),
        (
            {**request(JoinSource="Input"), "TransformOutput": {"Accept": "text/csv"}},
            "SplitType and TransformOutput.AssembleWith must be the same",
        ),
        (request(split="RecordIO", JoinSource="Input"), "SplitType and TransformOutput.AssembleWith"),
    ],
)
def test_what_contradicts_itself_is_refused(changed: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ServiceError, match=complaint) as error:
        DataProcessing.of(changed)
    assert error.value.code == "ValidationException"
