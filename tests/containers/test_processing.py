from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from harness.containers.contract.processing import ProcessingFolder, exit_message, processing_spec
from harness.containers.runtime import Image
from harness.errors import ContainerError

IMAGE = Image("processing", "sha256:" + "0" * 64)
OUT = "/opt/ml/processing/out"


def request(**changes: Any) -> dict[str, Any]:
    output = {"OutputName": "out", "S3Output": {"S3Uri": "s3://b/out", "LocalPath": OUT}}
    made: dict[str, Any] = {
        "ProcessingJobName": "job",
        "AppSpecification": {"ImageUri": "i"},
        "ProcessingInputs": [],
        "ProcessingOutputConfig": {"Outputs": [output]},
        "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1}},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "Environment": {},
        "RoleArn": "r",
    }
    return made | changes


@pytest.fixture
def folder(tmp_path: Path) -> ProcessingFolder:
    made = ProcessingFolder(tmp_path / "ml")
    made.prepare(request(), arn="a")
    return made


def test_results_are_the_regular_files_in_order(folder: ProcessingFolder, tmp_path: Path) -> None:
    out = folder.path / "processing" / "out"
    (out / "b").mkdir()
    (out / "b" / "2").write_bytes(b"two")
    (out / "a").write_bytes(b"one")
    (out / "c").write_bytes(b"")
    (out / "empty").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (out / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(out / "pipe")
    assert list(folder.results(OUT)) == [("a", b"one"), ("c", b""), ("b/2", b"two")]


def test_a_folder_above_the_results_that_was_replaced_is_not_followed(
    folder: ProcessingFolder, tmp_path: Path
) -> None:
    (folder.path / "processing").rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "out" / "f").write_bytes(b"1")
    (folder.path / "processing").symlink_to(tmp_path / "elsewhere")
    assert list(folder.results(OUT)) == []


def test_a_message_is_read_as_text(folder: ProcessingFolder) -> None:
    assert exit_message([folder]) is None
    message = folder.path / "output" / "message"
    message.write_text("grüße")
    assert exit_message([folder]) == "grüße"
    message.write_bytes("ü".encode()[:1])  # cut short by the container itself
    with pytest.raises(ContainerError, match="is not UTF-8"):
        exit_message([folder])
    message.unlink()
    message.mkdir()
    assert exit_message([folder]) is None


def test_the_container_runs_the_image_as_it_is(folder: ProcessingFolder) -> None:
    spec = processing_spec(request(), image=IMAGE, folder=folder, region="us-east-1")
    assert (spec.entrypoint, spec.arguments, spec.ports) == (None, None, ())
    [mount] = spec.mounts
    assert (mount.source, str(mount.target), mount.read_only) == (folder.path, "/opt/ml", False)
