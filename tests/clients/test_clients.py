"""Clients that know of no harness, each installed by itself, with only an address and keys to go by."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.containers.runtime import ImageSource
from tests.clients.scripts.common import BUCKET, IMAGE, INSTANCE, ROLE, TOOLKIT_IMAGE
from tests.clients.support import FOLDER, Client, client, local_cloud
from tests.support import RUNTIMES

pytestmark = [pytest.mark.clients, pytest.mark.slow]

IMAGES = {IMAGE: ImageSource("doubler", FOLDER / "image")}


@pytest.fixture
def endpoint() -> Iterator[str]:
    with local_cloud("process", IMAGES) as endpoint:
        yield endpoint


@pytest.fixture
def use(endpoint: str, tmp_path: Path) -> Callable[[str], Client]:
    """Install a client, by the name of its lock file."""
    return lambda lock: client(lock, tmp_path, endpoint)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_boto3(runtime: str, tmp_path: Path) -> None:
    with local_cloud(runtime, IMAGES) as endpoint:
        client("boto3", tmp_path, endpoint).script("use_boto3")


def test_sagemaker_sdk_v2(use: Callable[[str], Client]) -> None:
    use("sagemaker-v2").script("use_sdk_v2")


def test_sagemaker_sdk_v3(use: Callable[[str], Client]) -> None:
    use("sagemaker-v3").script("use_sdk_v3")


def test_the_model_trainer_of_sagemaker_sdk_v3(use: Callable[[str], Client]) -> None:
    use("sagemaker-v3").script("use_model_trainer")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_training_toolkit(runtime: str, tmp_path: Path) -> None:
    # Without Docker the container has this machine's compiler, and nothing to install one with.
    toolkit = ImageSource("toolkit", FOLDER / "toolkit", ignore=("RUN apt-get *",))
    with local_cloud(runtime, {TOOLKIT_IMAGE: toolkit}) as endpoint:
        client("sagemaker-v2", tmp_path, endpoint).script("use_toolkit")


def test_the_aws_cli(use: Callable[[str], Client], tmp_path: Path) -> None:
    cli = use("awscli")

    def aws(service: str, operation: str, **options: Any) -> Any:
        """Run ``aws SERVICE OPERATION --OPTION VALUE ...``; its answer."""
        words = [service, operation]
        for name, value in options.items():
            words += [f"--{name.replace('_', '-')}", value if isinstance(value, str) else json.dumps(value)]
        return json.loads(cli.run("aws", *words) or "null")

    def sagemaker(operation: str, **options: Any) -> Any:
        return aws("sagemaker", operation, **options)

    def source(prefix: str) -> dict[str, Any]:
        return {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{prefix}"}}

    (tmp_path / "rows.csv").write_text("1\n2\n")
    cli.run("aws", "s3", "mb", f"s3://{BUCKET}")
    cli.run("aws", "s3", "cp", "rows.csv", f"s3://{BUCKET}/train/rows.csv")

    sagemaker(
        "create-training-job",
        training_job_name="train",
        role_arn=ROLE,
        algorithm_specification=f"TrainingImage={IMAGE},TrainingInputMode=File",
        hyper_parameters={"factor": "3"},
        input_data_config=[{"ChannelName": "train", "DataSource": source("train/")}],
        output_data_config=f"S3OutputPath=s3://{BUCKET}/out",
        resource_config=f"InstanceType={INSTANCE},InstanceCount=1,VolumeSizeInGB=1",
        stopping_condition="MaxRuntimeInSeconds=600",
    )
    settled = "training-job-completed-or-stopped"
    job = poll(lambda: sagemaker("describe-training-job", training_job_name="train"), "TrainingJobStatus")
    cli.run("aws", "sagemaker", "wait", settled, "--training-job-name", "train")
    assert job["TrainingJobStatus"] == "Completed"
    listed = sagemaker("list-training-jobs", status_equals="Completed")
    assert [item["TrainingJobName"] for item in listed["TrainingJobSummaries"]] == ["train"]
    archive = job["ModelArtifacts"]["S3ModelArtifacts"]

    container = {"Image": IMAGE, "ModelDataUrl": archive}
    sagemaker("create-model", model_name="tripler", execution_role_arn=ROLE, primary_container=container)
    variant = f"VariantName=all,ModelName=tripler,InitialInstanceCount=1,InstanceType={INSTANCE}"
    sagemaker("create-endpoint-config", endpoint_config_name="tripler", production_variants=variant)
    sagemaker("create-endpoint", endpoint_name="tripler", endpoint_config_name="tripler")
    poll(lambda: sagemaker("describe-endpoint", endpoint_name="tripler"), "EndpointStatus")
    cli.run("aws", "sagemaker", "wait", "endpoint-in-service", "--endpoint-name", "tripler")
    (tmp_path / "body").write_text("5")
    answer = cli.run(
        *("aws", "sagemaker-runtime", "invoke-endpoint", "--endpoint-name", "tripler"),
        *("--content-type", "text/csv", "--body", "file://body", "answer"),
    )
    assert json.loads(answer)["InvokedProductionVariant"] == "all"
    assert (tmp_path / "answer").read_text() == "15.0\n"

    sagemaker("delete-endpoint", endpoint_name="tripler")
    cli.run("aws", "sagemaker", "wait", "endpoint-deleted", "--endpoint-name", "tripler")
    sagemaker("delete-endpoint-config", endpoint_config_name="tripler")
    sagemaker("delete-model", model_name="tripler")
    gone = cli.run_badly("aws", "sagemaker", "describe-model", "--model-name", "tripler")
    assert gone.returncode == 255
    assert "Could not find model" in gone.stderr

    cli.run("aws", "s3", "cp", archive, "model.tar.gz")
    assert (tmp_path / "model.tar.gz").read_bytes()[:2] == b"\x1f\x8b"
    cli.run("aws", "s3", "rb", "--force", f"s3://{BUCKET}")


def poll(describe: Callable[[], dict[str, Any]], status: str) -> dict[str, Any]:
    """Describe something until it is settled. The CLI's own waiters look every 30 to 120 seconds."""
    while True:
        answer = describe()
        if answer[status] not in ("InProgress", "Creating"):
            return answer
