"""What a training job leaves in S3: the content of ``model`` and ``output/data`` of all its hosts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.cloud.sagemaker.training.job import TrainingJob
from harness.cloud.sagemaker.validation import S3Location
from harness.containers.archive import pack
from harness.containers.contract.folder import read_file
from harness.containers.contract.training import JobFolder
from harness.errors import ContainerError

__all__ = ["Upload", "empty_model", "models", "outputs"]

Upload = tuple[S3Location, bytes]


def models(job: TrainingJob, folders: Sequence[JobFolder]) -> list[Upload]:
    """The model; nothing when no host left a file.

    Raises:
        ContainerError: It cannot be packed.
    """
    return _uploads(job, "model", [folder.model() for folder in folders], folders[0].path.parent)


def outputs(job: TrainingJob, folders: Sequence[JobFolder]) -> list[Upload]:
    """What else the hosts left; see `models`."""
    return _uploads(job, "output", [folder.output() for folder in folders], folders[0].path.parent)


def empty_model(job: TrainingJob) -> list[Upload]:
    """The model of a job whose container is not run."""
    return [] if job.uncompressed else [(job.artifact("model.tar.gz"), pack(None))]


def _uploads(job: TrainingJob, name: str, left: Sequence[Path | None], scratch: Path) -> list[Upload]:
    folders = [folder for folder in left if folder is not None]
    if not folders:
        return []
    try:
        whole = folders[0] if len(folders) == 1 else _merge(folders, scratch / f"merged-{name}")
    except OSError as error:
        raise ContainerError(f"{error.filename}: {error.strerror}") from error
    if not job.uncompressed:
        return [(job.artifact(f"{name}.tar.gz"), pack(whole))]
    return [(job.artifact(f"{name}/{path}"), content) for path, content in _files(whole)]


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """(path, content) of the regular files in a folder."""
    for above, below, names in os.walk(folder):
        below.sort()
        for name in sorted(names):
            file = Path(above, name)
            content = read_file(file)
            if content is not None:
                yield file.relative_to(folder).as_posix(), content


def _merge(folders: Sequence[Path], into: Path) -> Path:
    """One folder with what is in all of them. Of files of the same name the last host's stays."""
    for folder in folders:
        for above, below, names in os.walk(folder):
            target = into / Path(above).relative_to(folder)
            target.mkdir(parents=True, exist_ok=True)
            links = [name for name in below if Path(above, name).is_symlink()]
            for name in (*names, *links):
                (target / name).unlink(missing_ok=True)
                shutil.move(Path(above, name), target / name)
    return into
