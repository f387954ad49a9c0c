"""Deployment packages: zip archives of functions and layers, unpacked once per content.

Files are unpacked read-only and with their modes. Their times are not those in the archive (reproducible
archives have one date for everything) but follow from their content, so that bytecode compiled from one
version of a file is never taken for another's.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import stat
import time
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.cloud.errors import ServiceError
from harness.containers.session import remove_tree
from harness.project.cache import locked

UNUSED = 30 * 86_400.0
"""Seconds after which an archive that nobody has used is removed."""

LARGEST_UNPACKED = 262_144_000
"""Bytes that a function and its layers may come to, unpacked (a quota of AWS)."""


@dataclass(frozen=True)
class Package:
    """An archive that has been unpacked.

    Attributes:
        digest: SHA-256 of the archive, base64 as the API gives it.
        size: Bytes of the archive.
        unpacked_size: Bytes of its content.
        folder: Name of the folder it lies in, relative to the store.
        archive: The archive itself.
    """

    digest: str
    size: int
    unpacked_size: int
    folder: str
    archive: Path


class PackageStore:
    """Unpacked archives in one folder, which sessions share: a layer of a thousand files is unpacked once.

    Methods block; an archive that is already there costs its hash. What nobody has used for `UNUSED` seconds
    is removed when the store is opened.

    Args:
        folder: Where; made if missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*.zip"):
            if path.stat().st_mtime < time.time() - UNUSED:
                path.unlink(missing_ok=True)
                remove_tree(path.with_suffix(""))

    def add(self, content: bytes) -> Package:
        """Unpack an archive.

        Raises:
            ServiceError: InvalidParameterValueException: not a zip archive, or one with a path that leads
                out of it, or too large.
        """
        digest = hashlib.sha256(content)
        name = digest.hexdigest()
        target = self.folder / name
        archive = self.folder / f"{name}.zip"
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as opened:
                unpacked = sum(member.file_size for member in opened.infolist())
                if unpacked >= LARGEST_UNPACKED:
                    raise _invalid(f"Unzipped size must be smaller than {LARGEST_UNPACKED} bytes")
                if not target.exists():
                    with locked(self.folder, name):
                        if not target.exists():
                            self._unpack(opened, content, target)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise _invalid(
                "Could not unzip uploaded file. Please check your file, then try to upload again."
            ) from error
        os.utime(archive)
        return Package(base64.b64encode(digest.digest()).decode(), len(content), unpacked, name, archive)

    def merge(self, layers: tuple[Package, ...]) -> str | None:
        """One folder with the content of all layers, later ones over earlier ones; its name in the store."""
        if not layers:
            return None
        if len(layers) == 1:
            return layers[0].folder
        name = "layers-" + hashlib.sha256(" ".join(layer.folder for layer in layers).encode()).hexdigest()
        target = self.folder / name
        if not target.exists():
            with locked(self.folder, name):
                if not target.exists():
                    scratch = self.folder / f".{name}"
                    shutil.rmtree(scratch, ignore_errors=True)
                    for layer in layers:
                        _overlay(self.folder / layer.folder, scratch)
                    scratch.rename(target)
        return name

    def _unpack(self, archive: zipfile.ZipFile, content: bytes, target: Path) -> None:
        scratch = target.with_name(f".{target.name}")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            links = []
            for member in archive.infolist():
                path = scratch / _inside(member.filename)
                mode = member.external_attr >> 16
                if member.is_dir():
                    path.mkdir(parents=True, exist_ok=True)
                elif stat.S_ISLNK(mode):
                    links.append((path, archive.read(member).decode()))
                else:
                    _write(path, archive.read(member), 0o555 if mode & 0o111 else 0o444)
            for path, destination in links:  # last, so that nothing is written through one
                _inside(str(PurePosixPath(path.relative_to(scratch).parent, destination)))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(destination)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        # In this order: a folder that is there has its archive beside it.
        target.with_suffix(".zip").write_bytes(content)
        scratch.rename(target)


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # an archive may hold a path twice; the last one counts
    path.write_bytes(content)
    path.chmod(mode)
    changed = zlib.crc32(content)
    os.utime(path, (changed, changed))


def _inside(name: str) -> PurePosixPath:
    """A path of an archive, which must not lead out of it."""
    path = PurePosixPath(name.replace("\\", "/"))
    parts: list[str] = []
    for part in path.parts:
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            parts.append("/")
    if "/" in parts:
        raise _invalid(f"Could not unzip uploaded file: {name!r} leads out of the archive.")
    return PurePosixPath(*parts)


def _overlay(source: Path, target: Path) -> None:
    """Lay one folder over another, sharing the files."""
    for folder, folders, files in os.walk(source):
        into = target / Path(folder).relative_to(source)
        into.mkdir(parents=True, exist_ok=True)
        for name in (*files, *(name for name in folders if Path(folder, name).is_symlink())):
            (into / name).unlink(missing_ok=True)
            os.link(Path(folder, name), into / name, follow_symlinks=False)


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterValueException", message, fields={"Type": "User"})
