from __future__ import annotations

import gzip
import struct
from itertools import product

import pytest

from harness.cloud.sagemaker.channels import recordio
from harness.cloud.sagemaker.transform.records import (
    Payload,
    RecordError,
    masked_crc32c,
    opened,
    payloads,
    records,
)

LIMIT = 64
WORDS = [b"one", b"three", b"", b"seven77"]


def tfrecord(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return b"".join(
        (
            length,
            struct.pack("<I", masked_crc32c(length)),
            data,
            struct.pack("<I", masked_crc32c(data)),
        )
    )


FRAMES = {
    "Line": lambda word: word + b"\n",
    "RecordIO": recordio,
    "TFRecord": tfrecord,
}


def split(
    content: bytes, split_type: str, *, framed: bool, limit: int = LIMIT, compression: str = "None"
) -> list[bytes]:
    return list(records(opened(content, compression), split_type, limit=limit, framed=framed))


def batches(parts: list[bytes], *, limit: int, multi_record: bool) -> list[bytes]:
    prepared = [(part, []) for part in parts]
    return [payload.body for payload in payloads(prepared, limit=limit, multi_record=multi_record)]


@pytest.mark.parametrize(("split_type", "multi_record"), list(product(FRAMES, (False, True))))
def test_what_is_split_is_put_together_again(split_type: str, multi_record: bool) -> None:
    content = b"".join(FRAMES[split_type](word) for word in WORDS)
    parts = split(content, split_type, framed=multi_record)
    assert len(parts) == len(WORDS)
    bodies = batches(parts, limit=LIMIT * 10, multi_record=multi_record)
    if multi_record:
        assert bodies == [content]
    else:
        bare = split_type != "Line"
        assert bodies == [word if bare else word + b"\n" for word in WORDS]


@pytest.mark.parametrize("split_type", [*FRAMES, "None"])
def test_an_object_can_be_compressed(split_type: str) -> None:
    word = FRAMES.get(split_type, bytes)(b"word")
    members = gzip.compress(word) + gzip.compress(word)
    whole = split(members, split_type, framed=True, compression="Gzip")
    assert whole == ([word * 2] if split_type == "None" else [word, word])


@pytest.mark.parametrize(
    "content",
    [b"plain", gzip.compress(b"x" * 40)[:-9], gzip.compress(b"x")[:-8] + b"\0" * 8],
    ids=["plain", "cut", "wrong-sum"],
)
def test_what_is_said_to_be_compressed_and_is_not_is_an_error(content: bytes) -> None:
    with pytest.raises(RecordError, match="gzip"):
        split(content, "None", framed=True, compression="Gzip")


def test_a_compressed_object_is_measured_unpacked() -> None:
    bomb = gzip.compress(b"x" * 10_000_000)
    with pytest.raises(RecordError, match="Too much data for max payload size"):
        split(bomb, "None", framed=True, compression="Gzip")


def test_the_last_line_may_lack_its_newline() -> None:
    assert split(b"a\r\n\nb", "Line", framed=False) == [b"a\r\n", b"\n", b"b"]


@pytest.mark.parametrize("split_type", FRAMES)
def test_an_empty_object_has_no_records(split_type: str) -> None:
    assert split(b"", split_type, framed=True) == []


def test_an_object_that_is_not_split_is_one_record_also_when_it_is_empty() -> None:
    assert split(b"", "None", framed=True) == [b""]
    assert batches([b""], limit=1, multi_record=True) == [b""]


@pytest.mark.parametrize("split_type", ["None", *FRAMES])
def test_a_record_is_as_large_as_a_request_at_most(split_type: str) -> None:
    frame = FRAMES.get(split_type, bytes)
    fits = frame(b"x" * 40)
    assert split(fits, split_type, framed=True, limit=len(fits)) == [fits]
    with pytest.raises(RecordError, match="Too much data for max payload size"):
        split(frame(b"x" * 41), split_type, framed=split_type != "RecordIO", limit=40)


def test_a_record_of_recordio_that_contains_the_magic_is_in_parts() -> None:
    magic = struct.pack("<I", 0xCED7230A)

    def part(flag: int, data: bytes) -> bytes:
        return magic + struct.pack("<I", flag << 29 | len(data)) + data + bytes(-len(data) % 4)

    content = part(1, b"head") + part(2, b"mid") + part(3, b"tail!") + part(0, b"other")
    assert split(content, "RecordIO", framed=False) == [b"head" + magic + b"mid" + magic + b"tail!", b"other"]
    assert split(content, "RecordIO", framed=True) == [content[:-16], content[-16:]]
    for broken in (part(2, b"mid"), part(1, b"a") + part(0, b"b"), part(1, b"a"), part(4, b"a")):
        with pytest.raises(RecordError):
            split(broken, "RecordIO", framed=False)


@pytest.mark.parametrize("split_type", ["RecordIO", "TFRecord"])
def test_what_is_not_of_a_binary_format_is_an_error(split_type: str) -> None:
    whole = FRAMES[split_type](b"some data")
    for content in (b"1,2,3\n4,5,6\n", whole[:5], whole[:14], whole + b"\0"):
        with pytest.raises(RecordError):
            split(content, split_type, framed=True)


def test_the_checksum_is_tensorflows() -> None:
    # 0xE3069283 is the check value that CRC catalogues give for CRC-32C.
    assert masked_crc32c(b"123456789") == ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("sizes", "multi_record", "expected"),
    [
        ([4, 4, 4], True, [8, 4]),
        ([10], True, [10]),
        ([9, 1, 1], True, [10, 1]),
        ([4, 4, 4], False, [4, 4, 4]),
        ([], True, []),
    ],
)
def test_a_request_has_as_many_whole_records_as_fit(
    sizes: list[int], multi_record: bool, expected: list[int]
) -> None:
    bodies = batches([b"x" * size for size in sizes], limit=10, multi_record=multi_record)
    assert [len(body) for body in bodies] == expected


def test_a_request_knows_the_values_of_its_records() -> None:
    prepared = [(b"aaaa", [["a"]]), (b"bbbb", [["b"]]), (b"cccc", [["c"]])]
    made = list(payloads(prepared, limit=8, multi_record=True))
    assert made == [Payload(b"aaaabbbb", [["a"], ["b"]]), Payload(b"cccc", [["c"]])]


def test_a_record_that_grew_beyond_the_limit_is_an_error() -> None:
    with pytest.raises(RecordError, match="Too much data for max payload size"):
        batches([b"x" * 11], limit=10, multi_record=False)
