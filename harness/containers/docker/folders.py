"""Folders of this machine in containers: mounted where that is possible, copied where it is not.

A folder can be mounted when the engine runs on this machine and what a container writes there belongs to us
afterwards, or when the container only reads it. Elsewhere (an ordinary user on an engine that runs as root,
a remote engine) a labelled volume takes its place: filled from the folder before the container starts, and
fetched when it ends, or while it runs.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from docker.types import Mount as EngineMount

from harness.containers.docker.engine import Engine
from harness.containers.runtime import ContainerSpec, Mount
from harness.containers.session import remove_tree
from harness.errors import ContainerError

__all__ = ["Folders"]

SPOOL = 64 * 2**20
"""Bytes of a copied folder that are kept in memory."""


@dataclass(frozen=True)
class _Volume:
    """A volume that stands for a mount."""

    name: str
    mount: Mount


class Folders:
    """The mounts of one container. All methods block.

    Args:
        engine: Where the container will be.
        spec: The container.
        labels: Of everything that is made.
        copied: Copy all that is written to, whatever the engine offers.
    """

    def __init__(
        self, engine: Engine, spec: ContainerSpec, labels: Mapping[str, str], *, copied: bool = False
    ) -> None:
        self._engine = engine
        self._labels = dict(labels)
        self._image = spec.image.payload.id
        self._volumes: list[_Volume] = []
        self._mounts = sorted(spec.mounts, key=lambda mount: len(mount.target.parts))
        for mount in self._mounts:
            if not mount.source.exists():
                raise ContainerError(
                    f"container {spec.name}: {mount.source} does not exist, so it cannot be mounted"
                )
        self._copied = [mount for mount in self._mounts if self._must_copy(mount, copied)]

    def _must_copy(self, mount: Mount, copied: bool) -> bool:
        if not self._engine.local:
            return True
        return not mount.read_only and (copied or not self._engine.owned)

    def make(self) -> list[dict[str, Any]]:
        """Make and fill the volumes that are needed.

        Returns:
            The mounts, as the engine takes them.

        Raises:
            ContainerError: A folder holds what cannot be copied.
        """
        mounts = []
        for mount in self._mounts:
            source, kind = str(mount.source.resolve()), "bind"
            if mount in self._copied:
                name = f"harness-{secrets.token_hex(8)}"
                self._engine.api.create_volume(name, labels=self._labels)
                self._volumes.append(_Volume(name, mount))
                source, kind = name, "volume"
            mounts.append(EngineMount(str(mount.target), source, type=kind, read_only=mount.read_only))
        if self._volumes:
            self._fill()
        return mounts

    def _fill(self) -> None:
        """Copy folders into volumes, by a container that is never started."""
        api = self._engine.api
        places = {f"/volumes/{number}": volume for number, volume in enumerate(self._volumes)}
        config = api.create_host_config(
            mounts=[EngineMount(place, volume.name, type="volume") for place, volume in places.items()],
            network_mode="none",
        )
        filler = api.create_container(
            self._image, entrypoint=["none"], host_config=config, labels=self._labels, network_disabled=True
        )
        try:
            for place, volume in places.items():
                with _packed(volume.mount.source) as archive:
                    api.put_archive(filler["Id"], place, archive)
        finally:
            api.remove_container(filler["Id"], v=False, force=True)

    def fetch(self, container: str, targets: Iterable[PurePosixPath] | None = None) -> None:
        """Bring folders that were copied up to date with what the container wrote.

        Args:
            container: Its id.
            targets: Folders in the container; every writable mount when None.

        Raises:
            ContainerError: What it wrote cannot be taken over.
        """
        writable = [volume.mount for volume in self._volumes if not volume.mount.read_only]
        for target in [mount.target for mount in writable] if targets is None else targets:
            for mount in sorted(writable, key=lambda mount: -len(mount.target.parts)):
                if target.is_relative_to(mount.target):
                    self._fetch(container, target, mount.source / target.relative_to(mount.target))
                    break

    def _fetch(self, container: str, target: PurePosixPath, source: Path) -> None:
        fresh = source.parent / f".{source.name}-{secrets.token_hex(4)}"
        fresh.mkdir()
        try:
            chunks, _ = self._engine.api.get_archive(container, f"{target}/.")
            with tempfile.TemporaryFile() as file:
                for chunk in chunks:
                    file.write(chunk)
                file.seek(0)
                _unpack(file, fresh)
            _replace(source, fresh)
        except (tarfile.TarError, OSError) as error:
            raise ContainerError(f"what the container left in {target} cannot be fetched: {error}") from error
        finally:
            remove_tree(fresh)

    def remove(self) -> None:
        """Remove the volumes. The container is gone."""
        for volume in self._volumes:
            self._engine.api.remove_volume(volume.name, force=True)
        self._volumes.clear()


def _packed(folder: Path) -> IO[bytes]:
    """A folder's content as a tar archive; everything in it belongs to root.

    Raises:
        ContainerError: There is something in it that makes no sense elsewhere.
    """

    def owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
        if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
            raise ContainerError(
                f"{folder}/{member.name} is a pipe or a device, which cannot be copied to the Docker engine",
                hint="Use an engine on this machine.",
            )
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    file = tempfile.SpooledTemporaryFile(SPOOL)  # noqa: SIM115 - the caller closes it
    with tarfile.open(fileobj=file, mode="w") as tar:
        for entry in sorted(folder.iterdir()):
            tar.add(entry, entry.name, filter=owned_by_root)
    file.seek(0)
    return file


def _unpack(file: IO[bytes], folder: Path) -> None:
    """Unpack what an engine packed. What a container made there is not trusted: nothing leads outside."""

    def checked(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
            return None
        kept = tarfile.tar_filter(member, path)
        kept.mode = (kept.mode or 0) | (stat.S_IRWXU if member.isdir() else stat.S_IRUSR | stat.S_IWUSR)
        kept.uid = kept.gid = None  # type: ignore[assignment]
        kept.uname = kept.gname = None  # type: ignore[assignment]
        return kept

    with tarfile.open(fileobj=file) as tar:
        tar.extractall(folder, filter=checked)


def _replace(folder: Path, fresh: Path) -> None:
    """Put the content of `fresh` in the place of a folder's. The folder itself stays."""
    folder.mkdir(exist_ok=True)
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            remove_tree(entry)
        else:
            entry.unlink()
    for entry in fresh.iterdir():
        shutil.move(os.fspath(entry), folder / entry.name)
