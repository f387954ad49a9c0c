"""Datasets as they lie in S3, and the items in them. All of this is pure: bytes in, values out.

The rules for text delimited files are those of the AWS developer guide, "ItemReader (Map)".
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from harness.asl.tasks import JSON
from harness.asl.values import parse_json

__all__ = [
    "DELIMITERS",
    "DataFormat",
    "Inventory",
    "MalformedDataset",
    "athena_manifest",
    "decompress",
    "inventory_manifest",
]

DELIMITERS: Final[Mapping[str, str]] = {
    "COMMA": ",",
    "PIPE": "|",
    "SEMICOLON": ";",
    "SPACE": " ",
    "TAB": "\t",
}

ITEM_LIMIT: Final = 8 * 1024 * 1024
"""Bytes that one item of a file can have."""
HEADER_LIMIT: Final = 10 * 1024
"""Bytes that the header of a text delimited file can have."""

_NOT_ITERABLE: Final = "Attempting to map over non-iterable node."


class MalformedDataset(Exception):
    """The items cannot be read. The text is what the state's cause is to say."""


@dataclass(frozen=True)
class DataFormat:
    """How the items of a file are written.

    Attributes:
        type: InputType.
        delimiter: The character that CSVDelimiter stands for.
        headers: CSVHeaders; None when the first row has them.
        pointer: ItemsPointer: where in a JSON file the items are; empty for the whole.
    """

    type: Literal["CSV", "JSON", "JSONL"]
    delimiter: str = ","
    headers: tuple[str, ...] | None = None
    pointer: str = ""

    def parse(self, content: bytes) -> Sequence[JSON] | Mapping[str, JSON]:
        """The items: an array, or an object whose members they are.

        Raises:
            MalformedDataset: The content is not of the format.
        """
        text = content.decode("utf-8", "replace")
        match self.type:
            case "CSV":
                return list(_csv_items(text, self.delimiter, self.headers))
            case "JSON":
                return _json_items(text, self.pointer)
            case "JSONL":
                return list(_json_lines(text))


def decompress(key: str, content: bytes) -> bytes:
    """An object's content; what its name says is compressed is decompressed.

    Raises:
        MalformedDataset: It cannot be.
    """
    if key.endswith(".gz"):
        try:
            return gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise MalformedDataset(f"The object '{key}' could not be decompressed: {error}") from error
    if key.endswith((".zst", ".zstd")):
        raise MalformedDataset(
            f"The object '{key}' is compressed with Zstandard, which the local Step Functions cannot read. "
            "Compress it with gzip, or not at all."
        )
    return content


# Text delimited files --------------------------------------------------------------------------------------


def _csv_rows(text: str, delimiter: str) -> Iterator[list[str]]:
    # A backslash makes the next character an ordinary one and is dropped, whatever that character is.
    csv.field_size_limit(ITEM_LIMIT)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, escapechar="\\", doublequote=True)
    try:
        for row in reader:
            if row:
                yield row
    except csv.Error as error:
        raise MalformedDataset(f"The file could not be parsed in line {reader.line_num}: {error}") from error


def _csv_items(text: str, delimiter: str, headers: Sequence[str] | None) -> Iterator[JSON]:
    rows = _csv_rows(text, delimiter)
    names = next(rows, None) if headers is None else headers
    if names is None:
        return
    if sum(len(name.encode()) + 1 for name in names) - 1 > HEADER_LIMIT:
        raise MalformedDataset(f"The header of the file exceeds the limit of {HEADER_LIMIT} bytes")
    for row in rows:
        missing = len(names) - len(row)
        yield dict(zip(names, row + [""] * missing if missing > 0 else row, strict=False))


# JSON ------------------------------------------------------------------------------------------------------


def _parse(text: str, what: str) -> JSON:
    try:
        return parse_json(text)
    except (ValueError, RecursionError) as error:
        raise MalformedDataset(f"{what} is not valid JSON: {error}") from error


def _json_items(text: str, pointer: str) -> Sequence[JSON] | Mapping[str, JSON]:
    value = _resolve(_parse(text, "The file"), pointer)
    if not isinstance(value, list | dict):
        raise MalformedDataset(_NOT_ITERABLE)
    return value


def _resolve(value: JSON, pointer: str) -> JSON:
    """The value that a JSON Pointer (RFC 6901) leads to."""
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            raise MalformedDataset(f"The ItemsPointer '{pointer}' does not lead to a value in the file")
    return value


def _json_lines(text: str) -> Iterator[JSON]:
    # Not splitlines(), which knows more ends of lines than JSON Lines does.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _parse(line, f"Line {number} of the file")


# Manifests -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Inventory:
    """A manifest of an S3 Inventory.

    Attributes:
        bucket: Where its files are.
        keys: Their keys.
        headers: The columns of their rows.
    """

    bucket: str
    keys: tuple[str, ...]
    headers: tuple[str, ...]


def inventory_manifest(content: bytes) -> Inventory:
    """Read a ``manifest.json`` (Amazon S3 user guide, "Locating your inventory list").

    Raises:
        MalformedDataset: It is none, or is one of files that are not CSV.
    """
    manifest = _parse(content.decode("utf-8", "replace"), "The manifest")
    try:
        form = manifest["fileFormat"]
        bucket = manifest["destinationBucket"].rpartition(":::")[2]
        keys = tuple(str(file["key"]) for file in manifest["files"])
        headers = tuple(name.strip() for name in manifest["fileSchema"].split(","))
    except (TypeError, KeyError, AttributeError) as error:
        raise MalformedDataset("The file is not a manifest of an Amazon S3 inventory") from error
    if form != "CSV":
        raise MalformedDataset(f"The format of the inventory must be CSV, but is {form}")
    return Inventory(bucket, keys, headers)


def athena_manifest(content: bytes) -> list[tuple[str, str]]:
    """(bucket, key) of the files that a manifest of an Athena UNLOAD query names, one ``s3://`` URI a line.

    Raises:
        MalformedDataset: It is none.
    """
    files = []
    for row in _csv_rows(content.decode("utf-8", "replace"), ","):
        scheme, _, rest = row[0].strip().partition("://")
        bucket, _, key = rest.partition("/")
        if scheme.lower() != "s3" or not bucket or not key:
            raise MalformedDataset(f"The manifest names '{row[0]}', which is not the URI of an object")
        files.append((bucket, key))
    return files
