"""The records of an object that a transform job reads, and the requests they are sent in.

Sources: SageMaker API reference, TransformInput (SplitType) and CreateTransformJob (BatchStrategy,
MaxPayloadInMB); for the binary formats the RecordIO of MXNet and the TFRecord of TensorFlow.
"""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from harness.cloud.sagemaker.channels import RECORDIO_MAGIC

__all__ = ["Payload", "RecordError", "opened", "payloads", "records"]


class RecordError(Exception):
    """An object does not consist of the records it should."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What one request carries.

    Attributes:
        body: Its body.
        values: What the records in it were, parsed, before anything was filtered out of them; empty unless
            answers are joined to them.
    """

    body: bytes
    values: list[Any]


def opened(content: bytes, compression: str) -> BinaryIO:
    """An object's content, as it is read.

    Args:
        content: The object.
        compression: CompressionType: ``None`` or ``Gzip``. What is unpacked is never held whole.
    """
    file = io.BytesIO(content)
    return gzip.GzipFile(fileobj=file) if compression == "Gzip" else file  # type: ignore[return-value]


def records(source: BinaryIO, split_type: str, *, limit: int, framed: bool) -> Iterator[bytes]:
    """The records of an object, one after another.

    Args:
        source: The object.
        split_type: SplitType. A line keeps its newline; without splitting the whole object is the record.
        limit: Bytes a record may have.
        framed: Leave the lengths, checksums and padding of binary formats around a record's data.

    Raises:
        RecordError: A record is larger than `limit`, or the object is not of that format.
    """
    try:
        for record in _SPLITTERS[split_type](source, limit, framed):
            if len(record) > limit:
                raise RecordError("Too much data for max payload size")
            yield record
    except (OSError, EOFError, zlib.error) as error:
        raise RecordError(f"the object is not gzip-compressed data: {error}") from error


def payloads(
    prepared: Iterable[tuple[bytes, list[Any]]], *, limit: int, multi_record: bool
) -> Iterator[Payload]:
    """Put records into requests.

    Args:
        prepared: What is sent of each record, and what it is joined to.
        limit: Bytes a request may have.
        multi_record: Put as many whole records into a request as fit; otherwise one.

    Raises:
        RecordError: One record alone is too large.
    """
    batch: list[bytes] = []
    values: list[Any] = []
    size = 0
    for record, joined in prepared:
        if len(record) > limit:
            raise RecordError("Too much data for max payload size")
        if batch and (size + len(record) > limit or not multi_record):
            yield Payload(b"".join(batch), values)
            batch, values, size = [], [], 0
        batch.append(record)
        values += joined
        size += len(record)
    if batch:
        yield Payload(b"".join(batch), values)


def _whole(source: BinaryIO, limit: int, framed: bool) -> Iterator[bytes]:
    yield source.read(limit + 1)


def _lines(source: BinaryIO, limit: int, framed: bool) -> Iterator[bytes]:
    while line := source.readline(limit + 1):
        yield line


# RecordIO: magic, a word of 3 bits flag and 29 bits length, the data, zeros up to a multiple of 4 bytes.
# Where data contains the magic itself, a writer cuts there, leaves the magic out and writes the parts as
# records of their own, flagged as the first, a middle or the last one.

_RECORD_IO = struct.Struct("<II")
_ALL, _FIRST, _MIDDLE, _LAST = range(4)


def _record_io(source: BinaryIO, limit: int, framed: bool) -> Iterator[bytes]:
    frames: list[bytes] = []
    parts: list[bytes] = []
    while head := source.read(_RECORD_IO.size):
        if len(head) < _RECORD_IO.size:
            raise RecordError("the last RecordIO record is cut short")
        magic, word = _RECORD_IO.unpack(head)
        flag, length = word >> 29, word & (1 << 29) - 1
        if magic != RECORDIO_MAGIC:
            raise RecordError("the object is not in RecordIO format: a record does not begin with its magic")
        if flag > _LAST or bool(parts) != (flag in (_MIDDLE, _LAST)):
            raise RecordError("the object is not in RecordIO format: parts of a record are not in order")
        if sum(map(len, parts)) + length > limit:
            raise RecordError("Too much data for max payload size")
        padded = source.read(-(-length // 4) * 4)
        if len(padded) < length:
            raise RecordError("the last RecordIO record is cut short")
        frames.append(head + padded)
        parts.append(padded[:length])
        if flag in (_ALL, _LAST):
            magic_bytes = RECORDIO_MAGIC.to_bytes(4, "little")
            yield b"".join(frames) if framed else magic_bytes.join(parts)
            frames, parts = [], []
    if parts:
        raise RecordError("the last RecordIO record is cut short")


# TFRecord: the length in 8 bytes, its checksum in 4, the data, its checksum in 4. The length's checksum is
# looked at, so that no other file passes for one; the data's is the container's business.

_TF_RECORD = struct.Struct("<QI")
_CHECKSUM = 4


def _tf_record(source: BinaryIO, limit: int, framed: bool) -> Iterator[bytes]:
    while head := source.read(_TF_RECORD.size):
        if len(head) < _TF_RECORD.size:
            raise RecordError("the last TFRecord record is cut short")
        length, checksum = _TF_RECORD.unpack(head)
        if masked_crc32c(head[:8]) != checksum:
            raise RecordError("the object is not in TFRecord format: the checksum of a length is wrong")
        if length > limit:
            raise RecordError("Too much data for max payload size")
        rest = source.read(length + _CHECKSUM)
        if len(rest) < length + _CHECKSUM:
            raise RecordError("the last TFRecord record is cut short")
        yield head + rest if framed else rest[:length]


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)  # Castagnoli's polynomial, reversed
        table.append(value)
    return table


_CRC = _crc_table()


def masked_crc32c(data: bytes) -> int:
    """The checksum of TFRecord: CRC-32C, rotated by 15 bits and offset."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


_SPLITTERS: dict[str, Callable[[BinaryIO, int, bool], Iterator[bytes]]] = {
    "None": _whole,
    "Line": _lines,
    "RecordIO": _record_io,
    "TFRecord": _tf_record,
}
