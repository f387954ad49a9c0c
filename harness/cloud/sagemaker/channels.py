"""The channels of a training job: what each host reads, and how.

In File and FastFile mode a host finds its objects as files; in Pipe mode they come through a FIFO, one after
another, once an epoch (`harness.cloud.sagemaker.pipes`).

Source: SageMaker developer guide, "Augmented Manifest Files for Training Jobs" and "Setting Up Training Jobs
to Access Datasets"; API reference, Channel and ShuffleConfig.
"""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from harness.cloud.sagemaker.data import InputObject, select
from harness.cloud.sagemaker.validation import S3Location, invalid, null, one_of, parse_s3
from harness.cloud.service import Storage
from harness.containers.contract.training import channel_groups, input_mode, instance_groups

__all__ = ["RECORDIO_MAGIC", "Channel", "channels_of", "check_channels", "recordio"]

T = TypeVar("T")


@dataclass(frozen=True)
class Channel:
    """What one host gets of a channel.

    Attributes:
        name: Its name.
        mode: ``File``, ``FastFile`` or ``Pipe``.
        data_type: ``S3Prefix``, ``ManifestFile`` or ``AugmentedManifestFile``.
        uri: The prefix, or the manifest's address.
        attributes: Of an augmented manifest, in the order in which they are streamed.
        gzip: The objects are compressed.
        recordio: What is streamed is wrapped as RecordIO records.
        seed: Of the order of the objects, None when they are read in theirs.
        shard: (this host's number, number of hosts) when each gets its share; None when each gets all.
    """

    name: str
    mode: str
    data_type: str
    uri: str
    attributes: tuple[str, ...] = ()
    gzip: bool = False
    recordio: bool = False
    seed: int | None = None
    shard: tuple[int, int] | None = None

    def objects(self, storage: Storage) -> list[InputObject]:
        """The objects that this host finds as files.

        Raises:
            ServiceError: See `select`.
        """
        uri = self.uri
        if self.mode == "FastFile" and not uri.endswith("/"):
            uri += "/"  # what is mounted is a folder, not a prefix
        return self._ordered(select(storage, self.data_type, uri), 0)

    def stream(self, storage: Storage, epoch: int) -> Iterator[bytes]:
        """What comes through the FIFO of an epoch, piece by piece.

        Raises:
            ServiceError: See `select`; NoSuchKey: an object has gone; ValidationException: what is said to be
                compressed is not, or a line of an augmented manifest lacks an attribute.
        """
        if self.data_type == "AugmentedManifestFile":
            pieces = self._attributes(storage, epoch)
        else:
            pieces = (
                _content(storage, item.location)
                for item in self._ordered(select(storage, self.data_type, self.uri), epoch)
            )
        for piece in pieces:
            content = _decompress(piece, self.name) if self.gzip else piece
            yield recordio(content) if self.recordio else content

    def _attributes(self, storage: Storage, epoch: int) -> Iterator[bytes]:
        place = parse_s3(self.uri)
        lines = [line for line in storage.get(place.bucket, place.key).splitlines() if line.strip()]
        for line in self._ordered(lines, epoch):
            try:
                record = json.loads(line)
                values = [record[attribute] for attribute in self.attributes]
            except (ValueError, TypeError, KeyError) as error:
                raise invalid(
                    f'A line of the augmented manifest "{self.uri}" is not a JSON object with the attributes '
                    f"{list(self.attributes)}."
                ) from error
            for attribute, value in zip(self.attributes, values, strict=True):
                if attribute.endswith("-ref"):
                    yield _content(storage, parse_s3(str(value)))
                else:
                    yield (value if isinstance(value, str) else json.dumps(value)).encode()

    def _ordered(self, items: Sequence[T], epoch: int) -> list[T]:
        """This host's share. Shuffled before they are shared out: in each epoch a host may get others."""
        ordered = list(items)
        if self.seed is not None:
            random.Random(f"{self.seed} {epoch}").shuffle(ordered)
        if self.shard is None:
            return ordered
        number, of = self.shard
        return ordered[number::of]


def _content(storage: Storage, place: S3Location) -> bytes:
    return storage.get(place.bucket, place.key)


def _decompress(content: bytes, channel: str) -> bytes:
    """The content of a gzip file, of all its members."""
    pieces = []
    try:
        while content:
            member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
            pieces.append(member.decompress(content))
            if not member.eof:
                raise zlib.error("it ends too early")
            content = member.unused_data
    except zlib.error as error:
        raise invalid(f'An object of the channel "{channel}" is not valid gzip: {error}.') from error
    return b"".join(pieces)


RECORDIO_MAGIC = 0xCED7230A
RECORDIO_LIMIT = 2**29
"""A record's length has 29 bits; the upper three say that it is a whole record."""


def recordio(content: bytes) -> bytes:
    """Content as one record in MXNet's RecordIO format: magic number, length, content, padding to four bytes.

    Raises:
        ServiceError: ValidationException: it is too long for a record.
    """
    if len(content) >= RECORDIO_LIMIT:
        raise invalid(f"An object of {len(content):,} bytes is too large for a RecordIO record.")
    return struct.pack("<II", RECORDIO_MAGIC, len(content)) + content + bytes(-len(content) % 4)


def channels_of(request: Mapping[str, Any], host: str) -> list[Channel]:
    """What a host gets of the channels of a CreateTrainingJob request."""
    groups = instance_groups(request["ResourceConfig"])
    channels = []
    for channel in request.get("InputDataConfig", ()):
        source = channel["DataSource"]["S3DataSource"]
        wanted = channel_groups(channel)
        hosts = [name for group in groups if not wanted or group.name in wanted for name in group.hosts]
        if host not in hosts:
            continue
        sharded = source.get("S3DataDistributionType") == "ShardedByS3Key"
        mode = input_mode(request, channel)
        channels.append(
            Channel(
                name=channel["ChannelName"],
                mode=mode,
                data_type=source["S3DataType"],
                uri=source["S3Uri"],
                attributes=tuple(source.get("AttributeNames", ())),
                gzip=channel.get("CompressionType") == "Gzip",
                recordio=mode == "Pipe" and channel.get("RecordWrapperType") == "RecordIO",
                seed=channel["ShuffleConfig"]["Seed"] if channel.get("ShuffleConfig") else None,
                shard=(hosts.index(host), len(hosts)) if sharded else None,
            )
        )
    return channels


def check_channels(params: Mapping[str, Any]) -> None:
    """Refuse channels that cannot be.

    Raises:
        ServiceError: ValidationException.
    """
    channels = params.get("InputDataConfig", ())
    names = [channel["ChannelName"] for channel in channels]
    groups = [group["InstanceGroupName"] for group in params["ResourceConfig"].get("InstanceGroups") or ()]
    for number, channel in enumerate(channels, 1):
        name = channel["ChannelName"]
        if names.count(name) > 1:
            raise invalid(f"Duplicate channel name: {name}.")
        if name in (".", ".."):
            raise invalid(f'"{name}" cannot be the name of a channel.')
        source = channel["DataSource"].get("S3DataSource")
        if not source:
            raise null(f"inputDataConfig.{number}.member.dataSource.s3DataSource")
        parse_s3(source["S3Uri"])
        for group in channel_groups(channel):
            if group not in groups:
                raise invalid(f'The channel "{name}" names the instance group "{group}", which is not there.')
        _check_mode(name, channel, source, input_mode(params, channel))


def _check_mode(name: str, channel: Mapping[str, Any], source: Mapping[str, Any], mode: str) -> None:
    data_type = source["S3DataType"]
    one_of(data_type, ("S3Prefix", "ManifestFile", "AugmentedManifestFile"), "S3DataType")
    if channel.get("CompressionType", "None") != "None" and mode != "Pipe":
        raise invalid("CompressionType Gzip is only valid with Pipe mode.")
    if mode == "FastFile" and data_type != "S3Prefix":
        raise invalid(f'The channel "{name}": FastFile mode is only valid with S3DataType S3Prefix.')
    if data_type == "AugmentedManifestFile":
        if mode != "Pipe":
            raise invalid(f'The channel "{name}": AugmentedManifestFile is only valid with Pipe mode.')
        if not source.get("AttributeNames"):
            raise invalid(f'The channel "{name}": AugmentedManifestFile needs AttributeNames.')
    elif source.get("AttributeNames"):
        raise invalid(
            f'The channel "{name}": AttributeNames are only valid with S3DataType AugmentedManifestFile.'
        )
