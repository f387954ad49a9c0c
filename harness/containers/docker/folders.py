"""Folders of this machine in containers: mounted where that is possible, copied where it is not.

A folder can be mounted when the engine runs on this machine and what a container writes there belongs to us
afterwards, or when the container only reads it. Elsewhere (an ordinary user on an engine that runs as root,
a remote engine) a labelled volume takes its place: filled from the folder before the container starts, and
fetched when it ends, or while it runs.

A pipe cannot be copied. On an engine of this machine the folder it is in is mounted, read-only, and the
folders in there are copied one by one. On other engines it is refused.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from docker.errors import DockerException
from docker.types import Mount as EngineMount
from requests.exceptions import RequestException

from harness.containers.docker.engine import Engine
from harness.containers.runtime import ContainerSpec, Mount
from harness.containers.session import remove_tree
from harness.errors import ContainerError

__all__ = ["Folders", "unpack"]

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
        self._piped: list[Mount] = []
        if engine.local:
            self._split([mount for mount in self._mounts if self._must_copy(mount, copied)])
        self._copied = [mount for mount in self._mounts if self._must_copy(mount, copied)]

    def _must_copy(self, mount: Mount, copied: bool) -> bool:
        if not self._engine.local:
            return True
        return not mount.read_only and (copied or not self._engine.owned)

    def _split(self, copied: Iterable[Mount]) -> None:
        """Make mounts of the folders with pipes in what is to be copied, and of the folders in those."""
        for mount in copied:
            for folder in _folders_with_pipes(mount.source):
                target = mount.target / folder.relative_to(mount.source)
                if target != mount.target:
                    self._piped.append(Mount(folder, target, read_only=True))
        for piped in self._piped:
            inner = [Mount(entry, piped.target / entry.name) for entry in sorted(piped.source.iterdir())]
            taken = {mount.target for mount in self._mounts}
            folders = [mount for mount in inner if mount.source.is_dir() and not mount.source.is_symlink()]
            self._mounts += [mount for mount in (piped, *folders) if mount.target not in taken]
        self._mounts.sort(key=lambda mount: len(mount.target.parts))

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
                with _packed(volume.mount.source, {piped.source for piped in self._piped}) as archive:
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
                unpack(file, fresh)
            _replace(source, fresh, [piped.source for piped in self._piped])
        except (DockerException, RequestException):
            raise  # the engine's, although they are OSErrors
        except (tarfile.TarError, OSError) as error:
            raise ContainerError(f"what the container left in {target} cannot be fetched: {error}") from error
        finally:
            remove_tree(fresh)

    def remove(self) -> None:
        """Remove the volumes. The container is gone."""
        for volume in self._volumes:
            self._engine.api.remove_volume(volume.name, force=True)
        self._volumes.clear()


def _folders_with_pipes(folder: Path) -> list[Path]:
    found = {Path(place) for place, _, names in os.walk(folder) for name in names if _is_pipe(place, name)}
    return sorted(found)


def _is_pipe(folder: str, name: str) -> bool:
    return stat.S_ISFIFO(os.lstat(os.path.join(folder, name)).st_mode)


def _packed(folder: Path, omitted: Container[Path]) -> IO[bytes]:
    """A folder's content as a tar archive; everything in it belongs to root.

    Args:
        folder: The folder.
        omitted: Folders in it whose content is left out.

    Raises:
        ContainerError: There is something in it that makes no sense elsewhere.
    """

    def owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if (folder / member.name).parent in omitted:
            return None
        if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
            raise ContainerError(
                f"{folder}/{member.name} is a pipe or a device, which cannot be copied to the Docker engine",
                hint="Use an engine on this machine.",
            )
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    file = tempfile.SpooledTemporaryFile(SPOOL)  # noqa: SIM115 - the caller closes it
    try:
        with tarfile.open(fileobj=file, mode="w") as tar:
            for entry in sorted(folder.iterdir()):
                tar.add(entry, entry.name, filter=owned_by_root)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def unpack(file: IO[bytes], folder: Path) -> None:
    """Unpack what an engine packed. What a container made there is not trusted: nothing leads outside.

    Raises:
        TarError: It is no archive, or something in it leads outside.
    """
    root = os.path.realpath(folder)

    def checked(members: Iterable[tarfile.TarInfo]) -> Iterator[tarfile.TarInfo]:
        for member in members:
            if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
                continue
            for name in (member.name, member.linkname) if member.islnk() else (member.name,):
                parent, last = os.path.split(os.path.normpath(name))
                place = os.path.normpath(os.path.join(os.path.realpath(os.path.join(root, parent)), last))
                if name.startswith("/") or os.path.commonpath([root, place]) != root:
                    raise tarfile.TarError(f"{name} leads outside")
            member.mode &= 0o777
            member.mode |= stat.S_IRWXU if member.isdir() else stat.S_IRUSR | stat.S_IWUSR
            member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
            yield member

    with tarfile.open(fileobj=file) as tar:
        # As the checks above say; Python's own filters came with 3.11.4, and Debian 12 has 3.11.2.
        tar.extraction_filter = lambda member, path: member
        tar.extractall(folder, checked(tar))


def _replace(folder: Path, fresh: Path, kept: Collection[Path]) -> None:
    """Put the content of `fresh` in the place of a folder's. The folder itself stays.

    Args:
        folder: The folder.
        fresh: What is to be in it.
        kept: Folders in it that stay as they are.
    """
    folder.mkdir(exist_ok=True)
    for entry in folder.iterdir():
        if any(place.is_relative_to(entry) for place in kept):
            continue
        if entry.is_dir() and not entry.is_symlink():
            remove_tree(entry)
        else:
            entry.unlink()
    for entry in fresh.iterdir():
        place = folder / entry.name
        if place in kept:
            continue
        if os.path.lexists(place) and entry.is_dir() and not entry.is_symlink():  # something in it is kept
            _replace(place, entry, kept)
        elif not os.path.lexists(place):
            shutil.move(os.fspath(entry), place)
