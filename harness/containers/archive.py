"""Model and output archives: ``model.tar.gz`` and ``output.tar.gz``.

Packing is deterministic: the same files give the same bytes. Unpacking trusts nothing in the archive.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import stat
import tarfile
import zlib
from pathlib import Path
from typing import IO

from harness.errors import ContainerError

__all__ = ["ArchiveError", "pack", "unpack"]

SIZE_LIMIT = 30 * 2**30
"""Bytes an archive may unpack to: the volume SageMaker gives a hosting or transform instance by default."""


HEADER_LIMIT = 2**20
"""Bytes between the contents of two members: name, attributes and padding. They are kept in memory."""

# What `tarfile` and `gzip` raise for one that is damaged or made to confuse them.
DAMAGED = (
    tarfile.TarError,
    EOFError,
    zlib.error,
    gzip.BadGzipFile,
    ValueError,
    LookupError,
    OverflowError,
    RecursionError,
)


class ArchiveError(ContainerError):
    """A folder cannot be packed, or an archive is damaged or not safe to unpack."""


def pack(folder: Path | None) -> bytes:
    """Pack a folder's content as a tar.gz, members at the archive's root.

    Symbolic links are kept as links. Of file modes only "executable" is kept; owners and times are not.

    Args:
        folder: What to pack; None for an archive without members.

    Raises:
        ArchiveError: There is something other than files, folders and links in it, or it cannot be read.
    """
    buffer = io.BytesIO()
    # Level 1: models are mostly incompressible floats, and somebody waits for the job.
    with (
        gzip.GzipFile(filename="", fileobj=buffer, mode="wb", compresslevel=1, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        if folder is not None:
            _add(archive, folder, "")
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, folder: Path, prefix: str) -> None:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        for entry in entries:
            member = tarfile.TarInfo(prefix + entry.name)
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                member.type, member.linkname, member.mode = tarfile.SYMTYPE, os.readlink(entry.path), 0o777
                archive.addfile(member)
            elif stat.S_ISDIR(status.st_mode):
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(member)
                _add(archive, Path(entry.path), f"{member.name}/")
            elif stat.S_ISREG(status.st_mode):
                member.size = status.st_size
                member.mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
                with open(entry.path, "rb") as file:
                    archive.addfile(member, file)
            else:
                raise ArchiveError(f'"{member.name}" is neither a file nor a folder')
    except OSError as error:
        raise ArchiveError(f"{error.filename or folder}: {error.strerror or error}") from error


def unpack(archive: bytes, into: Path, *, limit: int = SIZE_LIMIT) -> None:
    """Unpack a tar.gz into a folder that exists.

    Args:
        archive: The tar.gz.
        into: An empty folder.
        limit: Bytes it may unpack to.

    Raises:
        ArchiveError: It is not a tar.gz, is damaged, is larger than `limit`, has a member that would lie
            outside of `into`, or one that is neither a file nor a folder (SageMaker accepts no links either),
            or there is no room for it.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(archive)) as compressed:
            stream = _Limited(compressed, limit)
            left = limit
            with tarfile.open(fileobj=stream, mode="r|") as members:
                while (member := stream.header(members)) is not None:
                    left -= member.size  # a sparse file has more than the archive
                    if left < 0:
                        raise stream.too_large()
                    _extract(members, member, into)
            while stream.read(1 << 20):  # to the end, where the checksum is
                pass
    except DAMAGED as error:
        raise ArchiveError(f"not a valid tar.gz archive: {error}") from error
    except OSError as error:
        raise ArchiveError(f"cannot be unpacked: {error.strerror or error}") from error


def _extract(members: tarfile.TarFile, member: tarfile.TarInfo, into: Path) -> None:
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if member.name.startswith("/") or ".." in parts or "\0" in member.name:
        raise ArchiveError(f'the member "{member.name}" would lie outside of the folder')
    target = into.joinpath(*parts)
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    if not member.isreg():
        kind = "a link" if member.issym() or member.islnk() else "a device"
        raise ArchiveError(f'the member "{member.name}" is {kind}; only files and folders are allowed')
    target.parent.mkdir(parents=True, exist_ok=True)
    content = members.extractfile(member)
    assert content is not None  # a regular file has content
    with content, open(target, "wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
    target.chmod(0o755 if member.mode & stat.S_IXUSR else 0o644)


class _Limited(io.RawIOBase):
    """A stream that ends with an error once more than `limit` bytes have been read from it."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._left = limit + tarfile.RECORDSIZE  # what the format itself adds at the end
        self._header_left: int | None = HEADER_LIMIT  # the first header is read on opening

    def header(self, members: tarfile.TarFile) -> tarfile.TarInfo | None:
        """The next member of an archive that is read from this stream."""
        self._header_left = HEADER_LIMIT
        member = members.next()
        self._header_left = None
        return member

    def too_large(self) -> ArchiveError:
        return ArchiveError(f"it unpacks to more than {self._limit:,} bytes")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise self.too_large()
        if self._header_left is not None:
            self._header_left -= len(content)
            if self._header_left < 0:
                raise ArchiveError(f"the header of a member has more than {HEADER_LIMIT:,} bytes")
        return content
