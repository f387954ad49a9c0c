"""What SageMaker promises a processing container.

It finds its inputs below ``/opt/ml/processing`` and its own request in ``/opt/ml/config``, leaves its results
in folders below ``/opt/ml/processing`` that exist from the start, and may leave a message in
``/opt/ml/output/message``. Its image runs as it is: nothing is added to the command.

Source: SageMaker developer guide, "Build Your Own Processing Container".
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from harness.containers.contract.folder import HOST, ROOT, ContractFolder, read_file
from harness.containers.runtime import ContainerSpec, Image, Mount
from harness.errors import ContainerError

__all__ = ["PROCESSING", "ProcessingFolder", "processing_spec"]

PROCESSING = ROOT / "processing"
"""Every LocalPath of a request lies below."""

MESSAGE_LIMIT = 1024
"""Bytes of ``/opt/ml/output/message`` that SageMaker reads."""


class ProcessingFolder(ContractFolder):
    """The folder of a processing job. `path` arguments are the LocalPath of an input or an output."""

    def prepare(self, request: Mapping[str, Any], *, arn: str) -> None:
        """Make the folders and write ``config``.

        Args:
            request: A CreateProcessingJob request for one host, its defaults filled in.
            arn: The job's.
        """
        for part in ("config", "output", "processing"):
            self.make(self.path / part)
        for item in (*request["ProcessingInputs"], *request["ProcessingOutputConfig"]["Outputs"]):
            place = item["S3Input"] if "S3Input" in item else item["S3Output"]
            self.make(self.path / _below_root(place["LocalPath"]))
        self._config("processingjobconfig", _job_config(request, arn))
        self._config("resourceconfig", {"current_host": HOST, "hosts": [HOST]})

    def write(self, path: str, objects: Iterable[tuple[str, bytes]]) -> None:
        """Write objects of an input; see `fill`."""
        self.fill(_below_root(path), objects)

    def message(self) -> str | None:
        """What the container left in ``output/message``, None when that is nothing.

        Raises:
            ContainerError: It is not UTF-8.
        """
        head = self.head("output", "message", MESSAGE_LIMIT)
        if not head:
            return None
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            # A character that the limit cuts in two is left out.
            return decoder.decode(head, final=len(head) < MESSAGE_LIMIT)
        except UnicodeDecodeError as error:
            raise ContainerError(f"{ROOT}/output/message is not UTF-8: {error.reason}") from error

    def results(self, path: str) -> Iterator[tuple[str, bytes]]:
        """(path below it, content) of the files in an output's folder; links and devices are passed over.

        Raises:
            ContainerError: The folder cannot be read.
        """
        root = self.kept(*_below_root(path).parts)
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


def _below_root(path: str) -> PurePosixPath:
    return PurePosixPath(path).relative_to(ROOT)


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
    request: Mapping[str, Any], *, image: Image, folder: ProcessingFolder, region: str
) -> ContainerSpec:
    """The container of a processing job.

    Args:
        request: A CreateProcessingJob request.
        image: What its ImageUri names.
        folder: Prepared and filled.
        region: Where the job is said to run.
    """
    name = request["ProcessingJobName"]
    application = request["AppSpecification"]
    entrypoint, arguments = application.get("ContainerEntrypoint"), application.get("ContainerArguments")
    return ContainerSpec(
        name=f"processing-{name}",
        image=image,
        entrypoint=tuple(entrypoint) if entrypoint else None,
        arguments=tuple(arguments) if arguments else None,
        environment={
            **request.get("Environment", {}),
            "AWS_EXECUTION_ENV": "AWS_ECS_EC2",
            "AWS_REGION": region,
        },
        mounts=(Mount(folder.path, ROOT),),
        hostname=HOST,
        labels={"type": "processing", "job": name},
    )
