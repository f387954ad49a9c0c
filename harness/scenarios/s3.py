"""Objects in S3: those a run starts with, and those it wrote."""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path

from harness.cloud.errors import ServiceError
from harness.errors import ScenarioError
from harness.scenarios.model import Data, Scenario
from harness.targets.base import Target

__all__ = ["Buckets", "written"]

Snapshot = Mapping[tuple[str, str], Hashable]
"""What tells one version of an object from another, by bucket and key."""


class Buckets:
    """The buckets of a target, as scenarios see them."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._placed: dict[str, set[str]] = {}

    async def place(self, uri: str, data: Data, scenario: Scenario) -> None:
        """Put a scenario's files where it says, and remove what an earlier run put there and this does not.

        Raises:
            ScenarioError: There is no such bucket.
        """
        bucket, prefix = _split(uri)
        files = dict(_files(data.source, prefix))
        try:
            for key, path in files.items():
                self._target.put(bucket, key, path.read_bytes())
            for key in self._placed.get(uri, set()) - files.keys():
                await self._target.call("s3", "DeleteObject", {"Bucket": bucket, "Key": key})
            self._placed[uri] = set(files)
        except ServiceError as error:
            raise ScenarioError(
                f"data cannot be put into {uri}: {error.message}",
                file=scenario.file,
                place=data.place,
                hint="the bucket must be one that the template creates",
            ) from error

    def snapshot(self, uris: Iterable[str]) -> Snapshot:
        """The objects that may be meant by these addresses, as they are now."""
        found: dict[tuple[str, str], Hashable] = {}
        for bucket, prefix in sorted({(bucket, key.partition("*")[0]) for bucket, key in map(_split, uris)}):
            try:
                versions = self._target.versions(bucket, prefix)
            except ServiceError as error:
                if error.code != "NoSuchBucket":
                    raise
                versions = {}
            found |= {(bucket, key): version for key, version in versions.items()}
        return found


def written(uri: str, before: Snapshot, after: Snapshot) -> int:
    """How many objects at an address are new or changed between two snapshots."""
    bucket, pattern = _split(uri)
    return sum(
        name[0] == bucket and _means(pattern, name[1]) and before.get(name) != version
        for name, version in after.items()
    )


def _means(pattern: str, key: str) -> bool:
    """A key, everything below a prefix that ends in '/', or anything a ``*`` stands for."""
    if not pattern or pattern.endswith("/"):
        pattern += "*"
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), key, re.DOTALL) is not None


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _files(source: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    """(key, file) of what goes to a prefix, or the one key; sorted, so that runs are alike."""
    if source.is_file():
        yield (prefix + source.name if not prefix or prefix.endswith("/") else prefix), source
        return
    for folder, folders, names in os.walk(source):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            yield prefix + path.relative_to(source).as_posix(), path
