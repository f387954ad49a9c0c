from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from harness.asl.maps.formats import (
    DataFormat,
    MalformedDataset,
    athena_manifest,
    decompress,
    inventory_manifest,
)

CSV = DataFormat("CSV")
JSON = DataFormat("JSON")
JSONL = DataFormat("JSONL")


@pytest.mark.parametrize(
    ("rows", "items"),
    [
        ("a,b\n1,2\n3,4\n", [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
        ("a,b\r\n1,2", [{"a": "1", "b": "2"}]),
        ("a,b\n1\n", [{"a": "1", "b": ""}]),  # fewer fields than headers
        ("a,b\n1,2,3\n", [{"a": "1", "b": "2"}]),  # more of them
        ('a,b\n"x,y","1\n2"\n', [{"a": "x,y", "b": "1\n2"}]),
        ('a\n"say ""hi"""\n', [{"a": 'say "hi"'}]),
        ("path,size\nC:\\\\Some Files\\\\a.exe,65\n", [{"path": "C:\\Some Files\\a.exe", "size": "65"}]),
        ("a,b\nx\\,y,\\z\n", [{"a": "x,y", "b": "z"}]),
        ("a\n\n1\n\n", [{"a": "1"}]),
        ("a,b\n", []),
        ("", []),
    ],
)  # fmt: skip
def test_text_delimited_files(rows: str, items: list[Any]) -> None:
    assert CSV.parse(rows.encode()) == items


@pytest.mark.parametrize("delimiter", [",", "|", ";", " ", "\t"])
def test_delimiters(delimiter: str) -> None:
    content = f"a{delimiter}b\n1{delimiter}2\\{delimiter}3\n".encode()
    assert DataFormat("CSV", delimiter).parse(content) == [{"a": "1", "b": f"2{delimiter}3"}]


def test_given_headers_make_the_first_row_a_row() -> None:
    assert DataFormat("CSV", headers=("a", "b")).parse(b"1,2\n3,4") == [
        {"a": "1", "b": "2"},
        {"a": "3", "b": "4"},
    ]


def test_a_header_has_a_limit() -> None:
    assert CSV.parse(b"x" * 10_240 + b"\n1") == [{"x" * 10_240: "1"}]
    with pytest.raises(MalformedDataset, match="header of the file exceeds the limit of 10240 bytes"):
        CSV.parse(b"x" * 10_241 + b"\n1")


def test_json_files() -> None:
    assert JSON.parse(b"[1, 2]") == [1, 2]
    assert JSON.parse(b'{"a": 1}') == {"a": 1}
    assert JSON.parse(b"[]") == []


@pytest.mark.parametrize("content", [b"1", b'"x"', b"null", b"true"])
def test_json_that_is_not_iterable(content: bytes) -> None:
    with pytest.raises(MalformedDataset, match=r"^Attempting to map over non-iterable node\.$"):
        JSON.parse(content)


@pytest.mark.parametrize("content", [b"", b"[1", b"[NaN]", b"[" * 100_000])
def test_malformed_json(content: bytes) -> None:
    with pytest.raises(MalformedDataset, match="The file is not valid JSON"):
        JSON.parse(content)


@pytest.mark.parametrize(
    ("pointer", "items"),
    [
        ("/inventory/products/featured", [7]),
        ("/a~1b/c~0d", [8]),
        ("/list/1", [2]),
        ("/inventory/products", {"featured": [7]}),
        ("/", [9]),
    ],
)
def test_items_pointer(pointer: str, items: Any) -> None:
    document = {
        "inventory": {"products": {"featured": [7]}},
        "a/b": {"c~d": [8]},
        "list": [[1], [2]],
        "": [9],
    }
    assert DataFormat("JSON", pointer=pointer).parse(json.dumps(document).encode()) == items


@pytest.mark.parametrize("pointer", ["/nope", "/list/2", "/list/x", "/list/-", "/list/0/0/0"])
def test_items_pointer_that_leads_nowhere(pointer: str) -> None:
    with pytest.raises(MalformedDataset, match=f"The ItemsPointer '{pointer}' does not lead"):
        DataFormat("JSON", pointer=pointer).parse(b'{"list": [[1], [2]]}')


def test_json_lines() -> None:
    assert JSONL.parse(b'{"a": 1}\n\n"x\xe2\x80\xa8y"\r\n3') == [{"a": 1}, "x\u2028y", 3]
    assert JSONL.parse(b"") == []
    with pytest.raises(MalformedDataset, match="Line 2 of the file is not valid JSON"):
        JSONL.parse(b"1\n{\n")


def test_compressed_objects() -> None:
    assert decompress("a.csv.gz", gzip.compress(b"x")) == b"x"
    assert decompress("a.csv", b"x") == b"x"
    with pytest.raises(MalformedDataset, match=r"'a\.gz' could not be decompressed"):
        decompress("a.gz", b"no gzip")
    with pytest.raises(MalformedDataset, match="Zstandard"):
        decompress("a.jsonl.zstd", b"x")


def test_inventory_manifest() -> None:
    manifest = {
        "sourceBucket": "source",
        "destinationBucket": "arn:aws:s3:::inventory",
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, Size",
        "files": [{"key": "data/1.csv.gz", "size": 1, "MD5checksum": "x"}, {"key": "data/2.csv.gz"}],
    }
    found = inventory_manifest(json.dumps(manifest).encode())
    assert (found.bucket, found.keys) == ("inventory", ("data/1.csv.gz", "data/2.csv.gz"))
    assert found.headers == ("Bucket", "Key", "Size")
    with pytest.raises(MalformedDataset, match="must be CSV, but is ORC"):
        inventory_manifest(json.dumps({**manifest, "fileFormat": "ORC"}).encode())


@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"fileFormat": "CSV", "destinationBucket": 1}'])
def test_what_is_no_inventory_manifest(content: bytes) -> None:
    with pytest.raises(MalformedDataset, match="not a manifest of an Amazon S3 inventory"):
        inventory_manifest(content)


def test_athena_manifest() -> None:
    assert athena_manifest(b"s3://b/x/1.gz\ns3://c/2\n") == [("b", "x/1.gz"), ("c", "2")]
    with pytest.raises(MalformedDataset, match="names 'nope'"):
        athena_manifest(b"nope\n")
