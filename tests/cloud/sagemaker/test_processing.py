from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.clock import SkippingClock
from harness.cloud.faults import JobFault
from harness.containers.runtime import Gateway
from tests.cloud.sagemaker.fakes import (
    PROCESSING,
    ROLE,
    START,
    Box,
    FakeCloud,
    cleans,
    image,
    processing_input,
    processing_output,
    processing_request,
    with_cloud,
)

ARN = "arn:aws:sagemaker:us-east-1:123456789012:processing-job/process-1"
CLUSTER = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10}


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(START + seconds, UTC)


async def process(cloud: FakeCloud, **changes: Any) -> dict[str, Any]:
    """Create a job and wait for its end."""
    cloud.put(raw__a=b"one", raw__sub__b=b"two")
    await cloud.do("create_processing_job", **processing_request(**changes))
    return await cloud.sagemaker.wait_for_job("processing", changes.get("name", "process-1"))


def test_a_job_runs_from_input_to_output() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(raw__a=b"one", raw__sub__b=b"two")
        answer = await cloud.do("create_processing_job", **processing_request())
        assert answer == {"ProcessingJobArn": ARN}
        started = await cloud.do("describe_processing_job", ProcessingJobName="process-1")
        assert started["ProcessingJobStatus"] == "InProgress"
        assert "ProcessingEndTime" not in started
        job = await cloud.sagemaker.wait_for_job("processing", "process-1")
        assert job["ProcessingJobStatus"] == "Completed"
        assert not job.keys() & {"FailureReason", "ExitMessage"}
        assert cloud.storage.list("data", "clean/") == [("clean/a", 3), ("clean/sub/b", 3)]
        assert cloud.storage.get("data", "clean/sub/b") == b"TWO"
        [(place, lines)] = cloud.logs.items()
        assert place == ("/aws/sagemaker/ProcessingJobs", f"process-1/algo-1-{int(START)}")
        assert lines == ["cleaned a", "cleaned b"]
        assert [event.data["line"] for event in cloud.events_of("job.log")] == lines
        assert [(event.data["type"], event.data["status"]) for event in cloud.events_of("job")] == [
            ("processing", "InProgress"),
            ("processing", "Completed"),
        ]

    with_cloud(scenario)


def test_the_container_is_started_as_the_contract_says() -> None:
    files: dict[str, str] = {}
    folders: set[str] = set()

    async def program(box: Box) -> int:
        root = box.path("/opt/ml")
        for path in root.rglob("*"):
            name = str(path.relative_to(root))
            if path.is_file():
                files[name] = path.read_text()
            else:
                folders.add(name)
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[PROCESSING] = image(program)
        cloud.put(scripts__clean=b"print()")
        await process(
            cloud,
            ProcessingInputs=[processing_input(), processing_input("code", "s3://data/scripts/clean")],
            AppSpecification={"ImageUri": PROCESSING, "ContainerArguments": ["--fast"]},
            Environment={"MINE": "1"},
        )
        [container] = cloud.containers.started
        spec = container.spec
        assert (spec.entrypoint, spec.arguments) == (None, ("--fast",))
        assert (spec.ports, spec.hostname) == ((), "algo-1")
        assert spec.environment == {
            "MINE": "1",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EXECUTION_ENV": "AWS_ECS_EC2",
            "AWS_ACCESS_KEY_ID": "AKIAprocess-1",
            "AWS_SECRET_ACCESS_KEY": f"secret of process-1 as {ROLE}",
        }
        assert spec.gateway == Gateway(1, ("AWS_ENDPOINT_URL", "S3_ENDPOINT_URL"))
        assert files["processing/raw/sub/b"] == "two"
        assert files["processing/code/clean"] == "print()"
        assert {"processing/clean", "output"} <= folders
        assert json.loads(files["config/resourceconfig.json"]) == {
            "current_host": "algo-1",
            "hosts": ["algo-1"],
        }
        config = json.loads(files["config/processingjobconfig.json"])
        assert list(config) == [
            *("ProcessingJobArn", "ProcessingJobName", "AppSpecification", "Environment"),
            *("ProcessingInputs", "ProcessingOutputConfig", "ProcessingResources", "RoleArn"),
            "StoppingCondition",
        ]
        assert config["ProcessingJobArn"] == ARN
        assert config["AppSpecification"] == {
            "ImageUri": PROCESSING,
            "ContainerEntrypoint": None,
            "ContainerArguments": ["--fast"],
        }
        assert config["ProcessingInputs"][0]["S3Input"] == {
            "S3Uri": "s3://data/raw",
            "LocalPath": "/opt/ml/processing/raw",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
            "S3CompressionType": "None",
        }
        assert config["ProcessingOutputConfig"]["KmsKeyId"] is None
        assert config["ProcessingResources"] == {"ClusterConfig": CLUSTER | {"VolumeKmsKeyId": None}}
        assert config["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("application", "expected"),
    [
        ({}, (None, None)),
        ({"ContainerEntrypoint": ["python3", "a.py"]}, (("python3", "a.py"), None)),
        ({"ContainerEntrypoint": ["a"], "ContainerArguments": ["b"]}, (("a",), ("b",))),
    ],
)
def test_nothing_is_added_to_the_command(application: dict[str, Any], expected: tuple[Any, Any]) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await process(cloud, AppSpecification={"ImageUri": PROCESSING} | application)
        spec = cloud.containers.started[0].spec
        assert (spec.entrypoint, spec.arguments) == expected

    with_cloud(scenario)


def test_a_manifest_selects_objects() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        manifest = [{"prefix": "s3://data/pool/"}, "a/1", "b/2"]
        cloud.put(pool__a__1=b"x", pool__b__2=b"y", pool__c__3=b"z", manifest=json.dumps(manifest).encode())
        source = processing_input(uri="s3://data/manifest", S3DataType="ManifestFile")
        job = await process(cloud, ProcessingInputs=[source])
        assert job["ProcessingJobStatus"] == "Completed"
        assert cloud.storage.list("data", "clean/") == [("clean/a/1", 1), ("clean/b/2", 1)]

    with_cloud(scenario)


def leaving(message: bytes, code: int = 0) -> Any:
    async def program(box: Box) -> int:
        (box.path("/opt/ml/output") / "message").write_bytes(message)
        return await cleans(box) or code

    return program


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (b"2 rows dropped", "2 rows dropped"),
        (b"x" * 2000, "x" * 1024),
        ("ä".encode() * 600, "ä" * 512),
        (b"x" + "ä".encode() * 600, "x" + "ä" * 511),  # the limit cuts a character in two
        (b"", None),
    ],
)
def test_a_message_is_told_whether_the_job_fails_or_not(message: bytes, told: str | None) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[PROCESSING] = image(leaving(message))
        job = await process(cloud)
        assert (job["ProcessingJobStatus"], job.get("ExitMessage")) == ("Completed", told)
        cloud.images[PROCESSING] = image(leaving(message, 3))
        job = await process(cloud, name="process-2")
        assert (job["ProcessingJobStatus"], job.get("ExitMessage")) == ("Failed", told)
        assert job["FailureReason"] == "AlgorithmError: , exit code: 3"

    with_cloud(scenario)


def test_a_message_that_is_not_utf_8_fails_the_job() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[PROCESSING] = image(leaving(b"\xff\xfe"))
        job = await process(cloud)
        assert job["ProcessingJobStatus"] == "Failed"
        assert job["FailureReason"].startswith("ClientError: /opt/ml/output/message is not UTF-8")
        assert "ExitMessage" not in job

    with_cloud(scenario)


def test_links_are_not_followed_and_a_replaced_folder_is_not_read() -> None:
    async def program(box: Box) -> int:
        clean = box.path("/opt/ml/processing/clean")
        (clean / "link").symlink_to("/etc/passwd")
        (clean / "folder").symlink_to("/etc")
        (clean / "file").write_bytes(b"1")
        other = box.path("/opt/ml/processing/other")
        other.rmdir()
        other.symlink_to("/etc")
        message = box.path("/opt/ml/output") / "message"
        message.symlink_to("/etc/passwd")
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[PROCESSING] = image(program)
        outputs = [processing_output(), processing_output("other", "s3://data/other/")]
        job = await process(cloud, ProcessingOutputConfig={"Outputs": outputs})
        assert job["ProcessingJobStatus"] == "Completed"
        assert "ExitMessage" not in job
        assert [key for key, _ in cloud.storage.list("data") if not key.startswith("raw")] == ["clean/file"]

    with_cloud(scenario)


# Stopping and time ------------------------------------------------------------------------------------


async def obeys(box: Box) -> int:
    (box.path("/opt/ml/processing/clean") / "part").write_bytes(b"so far")
    await box.terminated.wait()
    return 143


async def ignores(box: Box) -> int:
    await asyncio.Event().wait()
    return 0


@pytest.mark.parametrize(("program", "signals"), [(obeys, ["TERM 120"]), (ignores, ["TERM 120", "KILL"])])
def test_stopping_sends_sigterm_then_sigkill(program: Any, signals: list[str]) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[PROCESSING] = image(program)
        cloud.put(raw__a=b"1")
        await cloud.do("create_processing_job", **processing_request())
        await cloud.containers.first.wait()
        assert await cloud.do("stop_processing_job", ProcessingJobName="process-1") == {}
        job = await cloud.do("describe_processing_job", ProcessingJobName="process-1")
        assert job["ProcessingJobStatus"] == "Stopping"
        job = await cloud.sagemaker.wait_for_job("processing", "process-1")
        assert job["ProcessingJobStatus"] == "Stopped"
        assert "FailureReason" not in job
        assert cloud.containers.started[0].signals == signals
        assert ("clean/part" in cloud.storage.buckets["data"]) is (program is obeys)
        error = await cloud.error("stop_processing_job", ProcessingJobName="process-1")
        assert error.code == "ValidationException"
        assert error.message == "The request was rejected because the processing job is in status Stopped."

    with_cloud(scenario)


def test_a_job_takes_the_virtual_time_its_scenario_says() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.faults.jobs["processing"] = JobFault(takes=2700)
        cloud.put(raw__a=b"1")
        await cloud.do("create_processing_job", **processing_request())
        await cloud.clock.sleep(2699)
        job = await cloud.do("describe_processing_job", ProcessingJobName="process-1")
        assert job["ProcessingJobStatus"] == "InProgress"
        assert cloud.storage.list("data", "clean/") == []  # EndOfJob
        await cloud.clock.sleep(2)
        job = await cloud.do("describe_processing_job", ProcessingJobName="process-1")
        assert job["ProcessingJobStatus"] == "Completed"
        assert job["CreationTime"] == job["ProcessingStartTime"] == at(0)
        assert job["ProcessingEndTime"] == job["LastModifiedTime"] == at(2700)
        assert cloud.storage.list("data", "clean/") == [("clean/a", 1)]

    with_cloud(scenario)


def test_the_runtime_limit_stops_a_job_in_virtual_time() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.faults.jobs["processing"] = JobFault(takes=7200)
        job = await process(cloud, StoppingCondition={"MaxRuntimeInSeconds": 3600})
        assert job["ProcessingJobStatus"] == "Stopped"
        assert job["ProcessingEndTime"] == at(3600)
        assert "FailureReason" not in job

    with_cloud(scenario)


@pytest.mark.slow
def test_a_hung_container_meets_its_runtime_limit_once_the_clock_runs_out_of_patience() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[PROCESSING] = image(ignores)
        job = await process(cloud, StoppingCondition={"MaxRuntimeInSeconds": 1})
        assert job["ProcessingJobStatus"] == "Stopped"
        assert cloud.containers.started[0].signals == ["TERM 120", "KILL"]

    with_cloud(scenario, clock=SkippingClock(START, patience=0.05))


def test_a_fault_may_stand_for_the_container() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.faults.jobs["processing"] = JobFault(run=False, failure="the disk is full", takes=60)
        job = await process(cloud)
        assert job["FailureReason"] == "AlgorithmError: the disk is full, exit code: 1"
        assert job["ProcessingEndTime"] == at(60)
        cloud.faults.jobs["processing"] = JobFault(run=False, exit_code=137)
        job = await process(cloud, name="process-2")
        assert job["FailureReason"] == "AlgorithmError: , exit code: 137"
        assert cloud.containers.started == []

    with_cloud(scenario)


# The API ----------------------------------------------------------------------------------------------


def test_describe_fills_in_what_sagemaker_fills_in() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        job = await process(cloud, NetworkConfig={"EnableNetworkIsolation": True})
        assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}
        assert job["Environment"] == {}
        assert job["ProcessingInputs"][0]["AppManaged"] is False
        assert job["ProcessingInputs"][0]["S3Input"]["S3InputMode"] == "File"
        assert job["ProcessingOutputConfig"]["Outputs"][0]["AppManaged"] is False
        assert job["ProcessingResources"] == {"ClusterConfig": CLUSTER}
        assert job["AppSpecification"] == {"ImageUri": PROCESSING}
        assert job["NetworkConfig"] == {"EnableNetworkIsolation": True}
        assert job["RoleArn"] == ROLE
        assert "Tags" not in job

    with_cloud(scenario)


def test_a_job_needs_neither_input_nor_output() -> None:
    async def program(box: Box) -> int:
        assert box.path("/opt/ml/processing").is_dir()
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[PROCESSING] = image(program)
        request = processing_request()
        del request["ProcessingInputs"], request["ProcessingOutputConfig"]
        await cloud.do("create_processing_job", **request)
        job = await cloud.sagemaker.wait_for_job("processing", "process-1")
        assert job["ProcessingJobStatus"] == "Completed"
        assert job["ProcessingInputs"] == []
        assert "ProcessingOutputConfig" not in job

    with_cloud(scenario)


def test_names_are_unique_and_tags_are_kept() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        tags = [{"Key": "team", "Value": "a"}]
        await process(cloud, Tags=tags)
        assert await cloud.do("list_tags", ResourceArn=ARN) == {"Tags": tags}
        error = await cloud.error("create_processing_job", **processing_request())
        assert error.code == "ResourceInUse"
        assert error.message == (
            "Job name must be unique within an AWS account and region, and a job with this name already "
            f"exists ({ARN})"
        )

    with_cloud(scenario)


def test_an_unknown_job_is_a_validation_exception() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        error = await cloud.error("describe_processing_job", ProcessingJobName="nope")
        assert (error.code, error.message) == (
            "ValidationException",
            "Could not find requested job with name: nope",
        )
        error = await cloud.error("stop_processing_job", ProcessingJobName="nope")
        assert (error.code, error.message) == (
            "ValidationException",
            "Could not find job to update with name: nope",
        )

    with_cloud(scenario)


def test_an_empty_input_is_refused_at_creation() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        error = await cloud.error("create_processing_job", **processing_request())
        assert error.message.startswith('No S3 objects found under S3 URL "s3://data/raw" given in input')
        assert await cloud.do("list_processing_jobs") == {"ProcessingJobSummaries": []}

    with_cloud(scenario)


def test_jobs_are_listed() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[PROCESSING] = image(leaving(b"done"))
        await process(cloud, name="b")
        await cloud.clock.sleep(10)
        cloud.faults.jobs["processing"] = JobFault(run=False, exit_code=1)
        await process(cloud, name="a")
        listed = await cloud.do("list_processing_jobs")
        assert [summary["ProcessingJobName"] for summary in listed["ProcessingJobSummaries"]] == ["b", "a"]
        first, second = listed["ProcessingJobSummaries"]
        assert first["ExitMessage"] == "done"
        assert second["FailureReason"] == "AlgorithmError: , exit code: 1"
        assert second["ProcessingEndTime"] == at(10)
        failed = await cloud.do("list_processing_jobs", StatusEquals="Failed")
        assert [summary["ProcessingJobName"] for summary in failed["ProcessingJobSummaries"]] == ["a"]

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ExperimentConfig": {"TrialName": "t"}}, "ExperimentConfig"),
        (
            {"NetworkConfig": {"VpcConfig": {"Subnets": ["a"], "SecurityGroupIds": ["b"]}}},
            "NetworkConfig.VpcConfig",
        ),
        ({"ProcessingInputs": [processing_input() | {"AppManaged": True}]}, "ProcessingInputs.AppManaged"),
        (
            {"ProcessingInputs": [{"InputName": "a", "DatasetDefinition": {"InputMode": "File"}}]},
            "ProcessingInputs.DatasetDefinition",
        ),
        (
            {
                "ProcessingOutputConfig": {
                    "Outputs": [{"OutputName": "a", "FeatureStoreOutput": {"FeatureGroupName": "g"}}]
                }
            },
            "ProcessingOutputConfig.Outputs.FeatureStoreOutput",
        ),
        ({"ProcessingOutputConfig": {"Outputs": [], "KmsKeyId": "k"}}, "ProcessingOutputConfig.KmsKeyId"),
        (
            {"ProcessingResources": {"ClusterConfig": CLUSTER | {"VolumeKmsKeyId": "k"}}},
            "ProcessingResources.ClusterConfig.VolumeKmsKeyId",
        ),
        ({"SomethingBotocoreLearnsNextYear": {"A": 1}}, "SomethingBotocoreLearnsNextYear"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(changes: dict[str, Any], named: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(raw__a=b"1")
        error = await cloud.error("create_processing_job", **processing_request(**changes))
        assert error.code == "ValidationException"
        assert re.fullmatch(rf"harness does not support {re.escape(named)} yet\.", error.message)

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {
                "ProcessingInputs": [
                    processing_input(),
                    processing_input("b", LocalPath="/opt/ml/processing/raw/"),
                ]
            },
            "Duplicate LocalPath of an input: /opt/ml/processing/raw.",
        ),
        ({"ProcessingInputs": [processing_input(), processing_input()]}, "Duplicate input name: raw."),
        (
            {"ProcessingInputs": [processing_input(LocalPath="/opt/ml/model")]},
            'The LocalPath "/opt/ml/model" does not lie below /opt/ml/processing/.',
        ),
        (
            {"ProcessingInputs": [processing_input(LocalPath="/opt/ml/processing/../../etc")]},
            'The LocalPath "/opt/ml/processing/../../etc" does not lie below /opt/ml/processing/.',
        ),
        (
            {"ProcessingOutputConfig": {"Outputs": [processing_output(LocalPath="/opt/ml/processing")]}},
            'The LocalPath "/opt/ml/processing" does not lie below /opt/ml/processing/.',
        ),
        (
            {"ProcessingInputs": [processing_input(S3CompressionType="Gzip")]},
            "S3CompressionType Gzip is only valid with Pipe mode.",
        ),
        (
            {"ProcessingInputs": [{"InputName": "a"}]},
            "1 validation error detected: Value null at 'processingInputs.1.member.s3Input' failed to "
            "satisfy constraint: Member must not be null",
        ),
        (
            {"ProcessingResources": {"ClusterConfig": {"VolumeSizeInGB": 1}}},
            "1 validation error detected: Value null at 'processingResources.clusterConfig.instanceCount' "
            "failed to satisfy constraint: Member must not be null",
        ),
    ],
)
def test_requests_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(raw__a=b"1")
        error = await cloud.error("create_processing_job", **processing_request(**changes))
        assert (error.code, error.message) == ("ValidationException", message)

    with_cloud(scenario)


def test_sharding_over_one_instance_is_no_sharding() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        source = processing_input(S3DataDistributionType="ShardedByS3Key")
        job = await process(cloud, ProcessingInputs=[source])
        assert job["ProcessingInputs"][0]["S3Input"]["S3DataDistributionType"] == "ShardedByS3Key"
        assert len(cloud.storage.list("data", "clean/")) == 2

    with_cloud(scenario)
