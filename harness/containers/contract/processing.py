"""What SageMaker promises a processing container.

It finds its inputs below ``/opt/ml/processing`` and its own request in ``/opt/ml/config``, leaves its results
in folders below ``/opt/ml/processing`` that exist from the start, and may leave a message in
``/opt/ml/output/message``. Its image runs as it is: nothing is added to the command. On several instances the
same happens on each of them.

Source: SageMaker developer guide, "Build Your Own Processing Container".
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from harness.containers.contract.folder import HOST, ROOT, ContractFolder, read_file
from harness.containers.instances import limits
from harness.containers.runtime import ContainerSpec, Gateway, Image, Mount
from harness.errors import ContainerError

__all__ = [
    "PROCESSING",
    "ProcessingFolder",
    "below_root",
    "exit_message",
    "processing_hosts",
    "processing_spec",
]

PROCESSING = ROOT / "processing"
"""Every LocalPath of a request lies below."""

MESSAGE_LIMIT = 1024
"""Bytes of ``/opt/ml/output/message`` that SageMaker reads."""


def processing_hosts(request: Mapping[str, Any]) -> list[str]:
    """The names of the instances of a CreateProcessingJob request: ``algo-1``, ``algo-2``, ..."""
    count = request["ProcessingResources"]["ClusterConfig"]["InstanceCount"]
    return [f"algo-{number}" for number in range(1, count + 1)]


class ProcessingFolder(ContractFolder):
    """The folder of a host of a processing job. `path` arguments are the LocalPath of an input or an output.

    Args:
        path: See `ContractFolder`.
        host: The host's name.
    """

    def __init__(self, path: Path, host: str = HOST) -> None:
        super().__init__(path)
        self.host = host

    def prepare(self, request: Mapping[str, Any], *, arn: str) -> None:
        """Make the folders and write ``config``.

        Args:
            request: A CreateProcessingJob request, its defaults filled in.
            arn: The job's.
        """
        for part in ("config", "output", "processing"):
            self.make(self.path / part)
        for item in request["ProcessingInputs"]:
            place = self.place(item["S3Input"]["LocalPath"])
            self.make(place.parent if item["S3Input"]["S3InputMode"] == "Pipe" else place)
        for item in request["ProcessingOutputConfig"]["Outputs"]:
            self.make(self.place(item["S3Output"]["LocalPath"]))
        self._config("processingjobconfig", _job_config(request, arn))
        hosts = processing_hosts(request)
        self._config("resourceconfig", {"current_host": self.host, "hosts": hosts})

    def place(self, path: str) -> Path:
        """Where a LocalPath lies on this machine."""
        return self.path / below_root(path)

    def write(self, path: str, objects: Iterable[tuple[str, bytes]]) -> None:
        """Write objects of an input; see `fill`."""
        self.fill(below_root(path), objects)

    def results(self, path: str) -> Iterator[tuple[str, bytes]]:
        """(path below it, content) of the files in an output's folder; links and devices are passed over.

        Raises:
            ContainerError: The folder cannot be read.
        """
        root = self.kept(*below_root(path).parts)
        if root is None:
            return
        for folder, folders, files in os.walk(root, onerror=_unreadable):
            folders.sort()
            for name in sorted(files):
                file = Path(folder, name)
                content = read_file(file)
                if content is not None:
                    yield file.relative_to(root).as_posix(), content

    def _config(self, name: str, content: Mapping[str, Any]) -> None:
        (self.path / "config" / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def _unreadable(error: OSError) -> None:
    raise ContainerError(f"{error.filename}: {error.strerror}") from error


def below_root(path: str | PurePosixPath) -> PurePosixPath:
    """A LocalPath relative to ``/opt/ml``."""
    return PurePosixPath(path).relative_to(ROOT)


def exit_message(folders: Sequence[ProcessingFolder]) -> str | None:
    """What the hosts left in ``output/message``, one after another; None when that is nothing.

    Raises:
        ContainerError: It is not UTF-8.
    """
    whole = b"".join(folder.head("output", "message", MESSAGE_LIMIT) or b"" for folder in folders)
    head = whole[:MESSAGE_LIMIT]
    if not head:
        return None
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        # A character that the limit cuts in two is left out.
        return decoder.decode(head, final=len(head) < MESSAGE_LIMIT)
    except UnicodeDecodeError as error:
        raise ContainerError(f"{ROOT}/output/message is not UTF-8: {error.reason}") from error


def _job_config(request: Mapping[str, Any], arn: str) -> dict[str, Any]:
    """``processingjobconfig.json``: the request, with null where it says nothing."""
    return {
        "ProcessingJobArn": arn,
        "ProcessingJobName": request["ProcessingJobName"],
        "AppSpecification": {
            "ImageUri": request["AppSpecification"]["ImageUri"],
            "ContainerEntrypoint": request["AppSpecification"].get("ContainerEntrypoint"),
            "ContainerArguments": request["AppSpecification"].get("ContainerArguments"),
        },
        "Environment": request["Environment"],
        "ProcessingInputs": request["ProcessingInputs"],
        "ProcessingOutputConfig": {"KmsKeyId": None, **request["ProcessingOutputConfig"]},
        "ProcessingResources": {
            "ClusterConfig": {"VolumeKmsKeyId": None, **request["ProcessingResources"]["ClusterConfig"]}
        },
        "RoleArn": request["RoleArn"],
        "StoppingCondition": request["StoppingCondition"],
    }


def processing_spec(
    request: Mapping[str, Any],
    *,
    image: Image,
    folder: ProcessingFolder,
    region: str,
    gateway: Gateway | None = None,
    access: Mapping[str, str] | None = None,
) -> ContainerSpec:
    """The container of a host of a processing job.

    Args:
        request: A CreateProcessingJob request.
        image: What its ImageUri names.
        folder: The host's, prepared and filled.
        region: Where the job is said to run.
        gateway: What it reaches.
        access: The credentials its role gives it; the request's own go before them.
    """
    name, host = request["ProcessingJobName"], folder.host
    application = request["AppSpecification"]
    entrypoint, arguments = application.get("ContainerEntrypoint"), application.get("ContainerArguments")
    memory, processors = limits(request["ProcessingResources"]["ClusterConfig"]["InstanceType"])
    return ContainerSpec(
        name=f"processing-{name}" if host == HOST else f"processing-{name}-{host}",
        image=image,
        entrypoint=tuple(entrypoint) if entrypoint else None,
        arguments=tuple(arguments) if arguments else None,
        environment={
            **(access or {}),
            **request.get("Environment", {}),
            "AWS_EXECUTION_ENV": "AWS_ECS_EC2",
            "AWS_REGION": region,
        },
        mounts=(Mount(folder.path, ROOT),),
        gateway=gateway,
        hostname=host,
        memory=memory,
        cpus=processors,
        labels={"type": "processing", "job": name},
    )
