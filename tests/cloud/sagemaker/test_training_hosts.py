"""Training jobs on several hosts; what they leave, and what is told of a failure."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from harness.cloud.errors import ServiceError
from tests.cloud.sagemaker.fakes import TRAINING, Box, FakeCloud, image, training_request, with_cloud

TWO = {"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 10}}


async def train(cloud: FakeCloud, name: str = "train-1", **changes: Any) -> dict[str, Any]:
    await cloud.do("create_training_job", **training_request(name, **changes))
    return await cloud.sagemaker.wait_for_job("training", name)


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
        return {name: file.read() for name, file in files.items() if file is not None}


async def distributed(box: Box) -> int:
    config = json.loads(box.path("/opt/ml/input/config/resourceconfig.json").read_text())
    host = config["current_host"]
    assert host == box.spec.hostname
    box.say(f"{host} of {' '.join(config['hosts'])}; loss={host[-1]};")
    model = box.path("/opt/ml/model")
    (model / "parts").mkdir()
    (model / "parts" / host).write_text(host)
    (model / "shared").write_text(host)
    return 0


def test_every_host_runs_and_what_they_leave_is_merged() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(distributed)
        job = await train(cloud, **TWO)
        assert job["TrainingJobStatus"] == "Completed", job
        model = members(cloud.storage.get("data", "out/train-1/output/model.tar.gz"))
        assert model == {"parts/algo-1": b"algo-1", "parts/algo-2": b"algo-2", "shared": b"algo-2"}
        assert {stream.rpartition("-")[0]: lines for (_, stream), lines in cloud.logs.items()} == {
            "train-1/algo-1": ["algo-1 of algo-1 algo-2; loss=1;"],
            "train-1/algo-2": ["algo-2 of algo-1 algo-2; loss=2;"],
        }
        [network] = cloud.containers.networks
        assert network.closed

    with_cloud(scenario)


def test_one_failing_host_fails_the_job_with_its_own_reason() -> None:
    async def program(box: Box) -> int:
        if box.spec.hostname == "algo-1":
            await box.terminated.wait()
            return 143
        box.path("/opt/ml/output/failure").write_text("rank 2 gave up")
        return 9

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(program)
        job = await train(cloud, **TWO)
        assert job["FailureReason"] == "AlgorithmError: rank 2 gave up, exit code: 9"

    with_cloud(scenario)


def test_instance_groups_have_hosts_of_their_types() -> None:
    seen: dict[str, Any] = {}

    async def program(box: Box) -> int:
        config = json.loads(box.path("/opt/ml/input/config/resourceconfig.json").read_text())
        seen[config["current_host"]] = config
        (box.path("/opt/ml/model") / "m").touch()
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(program)
        groups = [
            {"InstanceGroupName": "cpu", "InstanceType": "ml.c5.large", "InstanceCount": 1},
            {"InstanceGroupName": "gpu", "InstanceType": "ml.p3.2xlarge", "InstanceCount": 1},
        ]
        resources = {"InstanceGroups": groups, "VolumeSizeInGB": 10}
        job = await train(cloud, ResourceConfig=resources)
        assert job["ResourceConfig"] == resources
        assert [seen[host]["current_group_name"] for host in ("algo-1", "algo-2")] == ["cpu", "gpu"]
        assert seen["algo-2"]["current_instance_type"] == "ml.p3.2xlarge"
        assert seen["algo-1"]["instance_groups"] == seen["algo-2"]["instance_groups"]
        assert seen["algo-1"]["instance_groups"][1] == {
            "instance_group_name": "gpu",
            "instance_type": "ml.p3.2xlarge",
            "hosts": ["algo-2"],
        }

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("resources", "text"),
    [
        ({"InstanceGroups": [{}], "InstanceCount": 1}, "together with InstanceType and InstanceCount"),
        ({"InstanceGroups": [{}]}, "Value null at 'resourceConfig.instanceGroups.1.member.instanceType'"),
    ],
)
def test_instance_groups_that_cannot_be_are_refused(resources: dict[str, Any], text: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        groups = [{"InstanceGroupName": "a", **group} for group in resources["InstanceGroups"]]
        changed = {**resources, "InstanceGroups": groups, "VolumeSizeInGB": 1}
        error = await cloud.error("create_training_job", **training_request(ResourceConfig=changed))
        assert text in error.message

    with_cloud(scenario)


def test_uncompressed_artifacts_are_uploaded_file_by_file() -> None:
    async def program(box: Box) -> int:
        (box.path("/opt/ml/output/data") / "report").write_text("fine")
        return await distributed(box)

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(program)
        output = {"S3OutputPath": "s3://data/out", "CompressionType": "NONE"}
        job = await train(cloud, OutputDataConfig=output)
        place = job["ModelArtifacts"]["S3ModelArtifacts"]
        assert place == "s3://data/out/train-1/output/model/"
        assert cloud.storage.buckets["data"] == {
            "out/train-1/output/model/parts/algo-1": b"algo-1",
            "out/train-1/output/model/shared": b"algo-1",
            "out/train-1/output/output/report": b"fine",
        }

    with_cloud(scenario)


# Failures ---------------------------------------------------------------------------------------------


def test_a_container_that_used_too_much_memory_says_so() -> None:
    async def program(box: Box) -> int:
        cloud_container[0].containers.started[0].out_of_memory = True
        return 137

    cloud_container: list[FakeCloud] = []

    async def scenario(cloud: FakeCloud) -> None:
        cloud_container.append(cloud)
        cloud.images[TRAINING] = image(program)
        job = await train(cloud)
        assert job["FailureReason"] == (
            "ClientError: Please use an instance type with more memory, or reduce the size of job data "
            "processed on an instance."
        )

    with_cloud(scenario)


def test_the_last_failed_jobs_can_be_run_again_by_hand(tmp_path: Path) -> None:
    async def program(box: Box) -> int:
        box.path("/opt/ml/output/data/trace").write_text("what happened")
        return 1

    async def scenario(cloud: FakeCloud) -> None:
        cloud.failed = tmp_path / "failed"
        cloud.images[TRAINING] = image(program)
        for number in range(7):
            await train(cloud, f"job-{number}")
        assert sorted(path.name for path in cloud.failed.iterdir()) == [
            f"training-job-{number}" for number in range(2, 7)
        ]
        kept = cloud.failed / "training-job-6" / "algo-1"
        assert (kept / "output" / "data" / "trace").read_text() == "what happened"
        message = "Run it again by hand: true"
        [lines] = [lines for (_, stream), lines in cloud.logs.items() if stream.startswith("job-6/")]
        assert lines[-1] == message
        last = [event for event in cloud.events_of("job") if event.subject == "job-6"][-1]
        assert (last.data["status"], last.data["message"]) == ("Failed", message)
        job = await cloud.do("describe_training_job", TrainingJobName="job-6")
        assert job["FailureReason"] == "AlgorithmError: , exit code: 1"

    with_cloud(scenario)


# Metrics ----------------------------------------------------------------------------------------------


ALGORITHM = {
    "TrainingImage": TRAINING,
    "TrainingInputMode": "File",
    "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*?);"}],
}


def test_metrics_go_to_cloudwatch() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(distributed)
        await train(cloud, AlgorithmSpecification=ALGORITHM, **TWO)
        [sent] = cloud.metrics
        assert sent["Namespace"] == "/aws/sagemaker/TrainingJobs"
        assert sorted(item["Value"] for item in sent["MetricData"]) == [1.0, 2.0]
        assert sent["MetricData"][0]["MetricName"] == "loss"
        assert sent["MetricData"][0]["Dimensions"] == [{"Name": "TrainingJobName", "Value": "train-1"}]

    with_cloud(scenario)


def test_many_metrics_are_sent_in_batches_that_cloudwatch_takes() -> None:
    async def program(box: Box) -> int:
        for step in range(2500):
            box.say(f"loss={step};")
        (box.path("/opt/ml/model") / "m").touch()
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(program)
        job = await train(cloud, AlgorithmSpecification=ALGORITHM)
        assert [len(sent["MetricData"]) for sent in cloud.metrics] == [1000, 1000, 500]
        assert job["FinalMetricDataList"][0]["Value"] == 2499.0

    with_cloud(scenario)


def test_a_cloudwatch_that_refuses_spoils_no_job() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        def refuse(params: Any) -> dict[str, Any]:
            raise ServiceError("Throttling", "Rate exceeded")

        cloud.others["cloudwatch", "PutMetricData"] = refuse
        cloud.images[TRAINING] = image(distributed)
        job = await train(cloud, AlgorithmSpecification=ALGORITHM)
        assert job["TrainingJobStatus"] == "Completed"
        [warning] = cloud.events_of("warning")
        assert warning.data["message"] == "CloudWatch did not take the job's metrics: Rate exceeded"
        await asyncio.sleep(0)

    with_cloud(scenario)
