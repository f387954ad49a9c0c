from __future__ import annotations

import asyncio
import io
import json
import re
import tarfile
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.clock import SkippingClock
from harness.cloud.faults import JobFault
from harness.cloud.service import Caller
from harness.containers.runtime import Gateway
from tests.cloud.sagemaker.fakes import (
    ROLE,
    START,
    TRAINING,
    Box,
    FakeCloud,
    channel,
    image,
    training_request,
    trains,
    with_cloud,
)

ARN = "arn:aws:sagemaker:us-east-1:123456789012:training-job/train-1"


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(START + seconds, UTC)


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {
            member.name: tar.extractfile(member).read()
            for member in tar
            if member.isfile()  # type: ignore[union-attr]
        }


async def train(cloud: FakeCloud, **changes: Any) -> dict[str, Any]:
    """Create a job and wait for its end."""
    await cloud.do("create_training_job", **training_request(**changes))
    return await cloud.sagemaker.wait_for_job("training", changes.get("name", "train-1"))


def test_a_job_runs_from_channel_to_artifact() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(train__0__a=b"zero", train__1__b=b"one", train_not__c=b"literal prefix")
        answer = await cloud.do(
            "create_training_job",
            **training_request(InputDataConfig=[channel()], HyperParameters={"epochs": "3"}),
        )
        assert answer == {"TrainingJobArn": ARN}
        started = await cloud.do("describe_training_job", TrainingJobName="train-1")
        assert started["TrainingJobStatus"] == "InProgress"
        assert started["SecondaryStatus"] == "Starting"
        assert "ModelArtifacts" not in started
        job = await cloud.sagemaker.wait_for_job("training", "train-1")
        assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Completed"
        assert job["ModelArtifacts"] == {"S3ModelArtifacts": "s3://data/out/train-1/output/model.tar.gz"}
        assert "FailureReason" not in job
        model = cloud.storage.get("data", "out/train-1/output/model.tar.gz")
        assert members(model) == {"model.txt": b"3"}
        assert "out/train-1/output/output.tar.gz" not in cloud.storage.buckets["data"]
        [(place, lines)] = cloud.logs.items()
        assert place == ("/aws/sagemaker/TrainingJobs", f"train-1/algo-1-{int(START)}")
        assert lines == ["trained on 3 files"]
        assert [event.data["line"] for event in cloud.events_of("job.log")] == lines

    with_cloud(scenario)


def test_the_container_is_started_as_the_contract_says() -> None:
    files: dict[str, Any] = {}

    async def program(box: Box) -> int:
        root = box.path("/opt/ml")
        for path in sorted(root.rglob("*")):
            if path.is_file():
                files[str(path.relative_to(root))] = path.read_text()
        return await trains(box)

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(program)
        cloud.put(train__0__a=b"zero", one__file=b"x")
        await train(
            cloud,
            InputDataConfig=[
                channel(ContentType="image/png"),
                channel("single", "s3://data/one/file"),
            ],
            HyperParameters={"epochs": "3"},
            Environment={"MINE": "1"},
        )
        [container] = cloud.containers.started
        assert container.spec.arguments == ("train",)
        assert container.spec.entrypoint is None
        assert container.spec.ports == ()
        environment = container.spec.environment
        assert environment["TRAINING_JOB_NAME"] == "train-1"
        assert environment["TRAINING_JOB_ARN"] == ARN
        assert environment["AWS_REGION"] == "us-east-1"
        assert environment["MINE"] == "1"
        assert environment["AWS_ACCESS_KEY_ID"] == cloud.identify(Caller("job", "train-1", ROLE))[0]
        assert container.spec.gateway == Gateway(1, ("AWS_ENDPOINT_URL", "S3_ENDPOINT_URL"))
        assert files["input/data/train/0/a"] == "zero"
        assert files["input/data/single/file"] == "x"
        assert json.loads(files["input/config/hyperparameters.json"]) == {"epochs": "3"}
        assert json.loads(files["input/config/inputdataconfig.json"])["train"] == {
            "TrainingInputMode": "File",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
            "ContentType": "image/png",
        }
        resources = json.loads(files["input/config/resourceconfig.json"])
        assert resources["current_host"] == "algo-1"
        assert resources["hosts"] == ["algo-1"]

    with_cloud(scenario)


def test_a_job_takes_the_virtual_time_its_scenario_says() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.faults.jobs["training"] = JobFault(takes=2700)
        await cloud.do("create_training_job", **training_request())
        polls = []
        while not polls or polls[-1]["TrainingJobStatus"] == "InProgress":
            await cloud.clock.sleep(60)
            polls.append(await cloud.do("describe_training_job", TrainingJobName="train-1"))
            if len(polls) == 3:
                assert polls[-1]["SecondaryStatus"] == "Training"
                assert "out/train-1/output/model.tar.gz" not in cloud.storage.buckets["data"]
        assert len(polls) == 45
        job = polls[-1]
        assert [
            (item["Status"], item["StartTime"], item.get("EndTime"))
            for item in job["SecondaryStatusTransitions"]
        ] == [
            ("Starting", at(0), at(0)),
            ("Downloading", at(0), at(0)),
            ("Training", at(0), at(2700)),
            ("Uploading", at(2700), at(2700)),
            ("Completed", at(2700), at(2700)),
        ]
        assert job["TrainingStartTime"] == job["CreationTime"] == at(0)
        assert job["TrainingEndTime"] == job["LastModifiedTime"] == at(2700)
        assert job["TrainingTimeInSeconds"] == job["BillableTimeInSeconds"] == 2700

    with_cloud(scenario)


def test_without_a_word_a_job_takes_no_virtual_time() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await cloud.do("create_training_job", **training_request())
        await cloud.clock.sleep(60)
        job = await cloud.do("describe_training_job", TrainingJobName="train-1")
        assert job["TrainingJobStatus"] == "Completed"
        assert job["TrainingEndTime"] == at(0)

    with_cloud(scenario)


def failing(code: int, failure: str | None = None) -> Any:
    async def program(box: Box) -> int:
        if failure is not None:
            (box.path("/opt/ml/output") / "failure").write_text(failure)
        return code

    return program


@pytest.mark.parametrize(
    ("code", "failure", "reason"),
    [
        (1, "out of cheese", "AlgorithmError: out of cheese, exit code: 1"),
        (127, None, "AlgorithmError: , exit code: 127"),
        (137, "", "AlgorithmError: , exit code: 137"),
        (2, "x" * 3000, "AlgorithmError: " + "x" * 994 + ", exit code: 2"),
    ],
)
def test_a_container_that_fails_fails_the_job(code: int, failure: str | None, reason: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(failing(code, failure))
        job = await train(cloud)
        assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Failed"
        assert job["FailureReason"] == reason
        assert len(reason) <= 1024
        assert cloud.storage.buckets["data"] == {}

    with_cloud(scenario)


def test_what_a_failed_container_left_is_uploaded_all_the_same() -> None:
    async def program(box: Box) -> int:
        (box.path("/opt/ml/model") / "half").write_bytes(b"1")
        (box.path("/opt/ml/output/data") / "plot").write_bytes(b"2")
        return 1

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(program)
        job = await train(cloud)
        assert job["TrainingJobStatus"] == "Failed"
        objects = cloud.storage.buckets["data"]
        assert members(objects["out/train-1/output/model.tar.gz"]) == {"half": b"1"}
        assert members(objects["out/train-1/output/output.tar.gz"]) == {"plot": b"2"}

    with_cloud(scenario)


def test_a_container_that_writes_no_model_fails_the_job() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(failing(0))
        job = await train(cloud)
        assert job["TrainingJobStatus"] == "Failed"
        assert job["FailureReason"].startswith("ClientError: Artifact upload failed: ")

    with_cloud(scenario)


def test_a_bucket_that_is_not_there_fails_the_upload() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        job = await train(cloud, OutputDataConfig={"S3OutputPath": "s3://nowhere/out/"})
        assert job["TrainingJobStatus"] == "Failed"
        assert job["FailureReason"] == (
            "ClientError: Artifact upload failed: NoSuchBucket: The specified bucket does not exist (nowhere)"
        )

    with_cloud(scenario)


def test_an_object_that_vanishes_fails_the_download() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(train__a=b"1")
        await cloud.do("create_training_job", **training_request(InputDataConfig=[channel()]))
        cloud.storage.list = lambda bucket, prefix="": [("train/gone", 1)]  # type: ignore[method-assign]
        job = await cloud.sagemaker.wait_for_job("training", "train-1")
        assert job["FailureReason"] == (
            "ClientError: Data download failed: NoSuchKey: The specified key does not exist. (train/gone)"
        )
        assert cloud.containers.started == []

    with_cloud(scenario)


def test_keys_that_lead_out_of_the_channel_fail_the_download() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.storage.put("data", "train/../../../etc/passwd", b"mine")
        job = await train(cloud, InputDataConfig=[channel()])
        assert job["TrainingJobStatus"] == "Failed"
        assert job["FailureReason"].startswith("ClientError: Data download failed: ")
        assert not (cloud.folder / "etc").exists()

    with_cloud(scenario)


def test_a_container_that_cannot_be_started_fails_the_job_with_the_reason() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.containers.refuse = "no namespaces here"
        job = await train(cloud)
        assert job["FailureReason"] == (
            "InternalServerError: The container could not be run: no namespaces here"
        )

    with_cloud(scenario)


def test_a_mistake_of_ours_ends_the_job_and_is_not_lost() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        def broken(*args: Any) -> None:
            raise ZeroDivisionError

        cloud.storage.put = broken  # type: ignore[method-assign]
        job = await train(cloud)
        assert job["TrainingJobStatus"] == "Failed"
        assert job["FailureReason"].startswith("InternalServerError")
        await cloud.settle()
        assert [type(error) for error in cloud.errors] == [ZeroDivisionError]
        cloud.errors.clear()

    with_cloud(scenario)


async def obeys(box: Box) -> int:
    (box.path("/opt/ml/model") / "checkpoint").write_bytes(b"so far")
    await box.terminated.wait()
    box.say("stopping")
    return 0


async def ignores(box: Box) -> int:
    await asyncio.Event().wait()
    return 0


def test_stopping_sends_sigterm_and_keeps_what_there_is() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(obeys)
        await cloud.do("create_training_job", **training_request())
        await cloud.containers.first.wait()
        assert await cloud.do("stop_training_job", TrainingJobName="train-1") == {}
        job = await cloud.do("describe_training_job", TrainingJobName="train-1")
        assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopping", "Stopping")
        error = await cloud.error("stop_training_job", TrainingJobName="train-1")
        assert error.message.endswith("the training job is in status Stopping.")
        job = await cloud.sagemaker.wait_for_job("training", "train-1")
        assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
        assert "FailureReason" not in job
        statuses = [item["Status"] for item in job["SecondaryStatusTransitions"]]
        assert statuses == ["Starting", "Downloading", "Training", "Stopping", "Uploading", "Stopped"]
        assert cloud.containers.started[0].signals == ["TERM 120"]
        archive = cloud.storage.get("data", "out/train-1/output/model.tar.gz")
        assert members(archive) == {"checkpoint": b"so far"}
        error = await cloud.error("stop_training_job", TrainingJobName="train-1")
        assert error.code == "ValidationException"
        assert error.message == "The request was rejected because the training job is in status Stopped."

    with_cloud(scenario)


def test_a_container_that_ignores_sigterm_is_killed() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(ignores)
        await cloud.do("create_training_job", **training_request())
        await cloud.containers.first.wait()
        await cloud.do("stop_training_job", TrainingJobName="train-1")
        job = await cloud.sagemaker.wait_for_job("training", "train-1")
        assert job["TrainingJobStatus"] == "Stopped"
        assert cloud.containers.started[0].signals == ["TERM 120", "KILL"]

    with_cloud(scenario)


def test_a_job_may_be_stopped_in_the_middle_of_its_virtual_time() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.faults.jobs["training"] = JobFault(takes=2700)
        await cloud.do("create_training_job", **training_request())
        await cloud.clock.sleep(600)
        await cloud.do("stop_training_job", TrainingJobName="train-1")
        job = await cloud.sagemaker.wait_for_job("training", "train-1")
        assert job["TrainingJobStatus"] == "Stopped"
        assert job["TrainingEndTime"] == at(600)

    with_cloud(scenario)


def test_the_runtime_limit_stops_a_job_in_virtual_time() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.faults.jobs["training"] = JobFault(takes=7200)
        job = await train(cloud)
        assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
        assert job["TrainingEndTime"] == at(3600)
        assert "FailureReason" not in job
        assert "out/train-1/output/model.tar.gz" in cloud.storage.buckets["data"]

    with_cloud(scenario)


@pytest.mark.slow
def test_a_hung_container_meets_its_runtime_limit_once_the_clock_runs_out_of_patience() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(ignores)
        job = await train(cloud, StoppingCondition={"MaxRuntimeInSeconds": 1})
        assert job["SecondaryStatus"] == "MaxRuntimeExceeded"
        assert cloud.containers.started[0].signals == ["TERM 120", "KILL"]

    with_cloud(scenario, clock=SkippingClock(START, patience=0.05))


def test_a_fault_may_stand_for_the_container() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.faults.jobs["training"] = JobFault(run=False, failure="the loss is NaN", takes=60)
        job = await train(cloud)
        assert job["FailureReason"] == "AlgorithmError: the loss is NaN, exit code: 1"
        assert cloud.storage.buckets["data"] == {}
        assert job["TrainingEndTime"] == at(60)
        cloud.faults.jobs["training"] = JobFault(run=False)
        await cloud.do("create_training_job", **training_request("train-2"))
        job = await cloud.sagemaker.wait_for_job("training", "train-2")
        assert job["TrainingJobStatus"] == "Completed"
        assert members(cloud.storage.get("data", "out/train-2/output/model.tar.gz")) == {}
        assert cloud.containers.started == []

    with_cloud(scenario)


def test_a_fault_may_change_what_a_container_did() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.faults.jobs["training"] = JobFault(exit_code=137)
        job = await train(cloud)
        assert job["FailureReason"] == "AlgorithmError: , exit code: 137"
        assert len(cloud.containers.started) == 1

    with_cloud(scenario)


def test_metrics_are_read_from_the_log() -> None:
    async def program(box: Box) -> int:
        box.say("epoch 1 loss=0.5;")
        box.say("epoch 2 loss=0.24008501;")
        box.say("epoch 3 loss=oops;")
        box.say("epoch 4 loss=nan;")
        return await trains(box)

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(program)
        algorithm = {
            "TrainingImage": TRAINING,
            "TrainingInputMode": "File",
            "MetricDefinitions": [
                {"Name": "loss", "Regex": "loss=(.*?);"},
                {"Name": "accuracy", "Regex": "accuracy=(.*?);"},
            ],
        }
        job = await train(cloud, AlgorithmSpecification=algorithm)
        assert job["FinalMetricDataList"] == [
            {"MetricName": "loss", "Value": 0.24008500576019287, "Timestamp": at(0)}
        ]

    with_cloud(scenario)


def test_many_small_objects_are_pulled_quickly() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        for number in range(2000):
            cloud.storage.put("data", f"train/{number % 10}/{number:04}.png", b"x" * 300)
        loop = asyncio.get_running_loop()
        began = loop.time()
        job = await train(cloud, InputDataConfig=[channel()])
        took = loop.time() - began
        assert job["TrainingJobStatus"] == "Completed"
        archive = cloud.storage.get("data", "out/train-1/output/model.tar.gz")
        assert members(archive) == {"model.txt": b"2000"}
        assert took < 5.0  # a fraction of a second, but for slow disks

    with_cloud(scenario)


def test_a_manifest_selects_objects() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        manifest = [{"prefix": "s3://data/pool/"}, "a/1", "b/2"]
        cloud.put(pool__a__1=b"1", pool__b__2=b"2", pool__c__3=b"3", manifest=json.dumps(manifest).encode())
        source = {"S3DataType": "ManifestFile", "S3Uri": "s3://data/manifest"}
        await train(cloud, InputDataConfig=[channel(DataSource={"S3DataSource": source})])
        archive = cloud.storage.get("data", "out/train-1/output/model.tar.gz")
        assert members(archive) == {"model.txt": b"2"}

    with_cloud(scenario)


def test_describe_fills_in_what_sagemaker_fills_in() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(train__a=b"1")
        job = await train(cloud, InputDataConfig=[channel()], Tags=[{"Key": "team", "Value": "a"}])
        assert job["InputDataConfig"][0]["CompressionType"] == "None"
        assert job["InputDataConfig"][0]["RecordWrapperType"] == "None"
        assert job["OutputDataConfig"]["KmsKeyId"] == ""
        assert job["AlgorithmSpecification"]["EnableSageMakerMetricsTimeSeries"] is False
        assert job["EnableNetworkIsolation"] is False
        assert job["ProfilingStatus"] == "Disabled"
        assert "Tags" not in job
        assert "HyperParameters" not in job

    with_cloud(scenario)


def test_events_tell_every_status_change() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await train(cloud)
        told = [(event.data["status"], event.data["secondary"]) for event in cloud.events_of("job")]
        assert told == [
            ("InProgress", "Starting"),
            ("InProgress", "Downloading"),
            ("InProgress", "Training"),
            ("InProgress", "Uploading"),
            ("Completed", "Completed"),
        ]

    with_cloud(scenario)


def test_names_are_unique() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await train(cloud)
        error = await cloud.error("create_training_job", **training_request())
        assert error.code == "ResourceInUse"
        assert error.message == (
            "Training job names must be unique within an AWS account and region, and a training job with "
            f"this name already exists ({ARN})"
        )

    with_cloud(scenario)


def test_an_unknown_job_is_a_validation_exception() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        for operation in ("describe_training_job", "stop_training_job"):
            error = await cloud.error(operation, TrainingJobName="nope")
            assert (error.code, error.message) == ("ValidationException", "Requested resource not found.")

    with_cloud(scenario)


def test_an_empty_channel_is_refused_at_creation() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        for uri in ("s3://data/nothing", "s3://missing/train"):
            error = await cloud.error(
                "create_training_job", **training_request(InputDataConfig=[channel(uri=uri)])
            )
            assert error.code == "ValidationException"
            assert error.message.startswith(f'No S3 objects found under S3 URL "{uri}" given in input data')
        listed = await cloud.do("list_training_jobs")
        assert listed == {"TrainingJobSummaries": []}

    with_cloud(scenario)


def test_an_unknown_image_is_refused_at_creation() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        algorithm = {
            "TrainingImage": "123456789012.dkr.ecr.us-east-1.amazonaws.com/other:1",
            "TrainingInputMode": "File",
        }
        error = await cloud.error("create_training_job", **training_request(AlgorithmSpecification=algorithm))
        assert error.message.startswith("Cannot find repository: other in registry ID: 123456789012 ")
        algorithm["TrainingImage"] = "python:3.12"
        error = await cloud.error("create_training_job", **training_request(AlgorithmSpecification=algorithm))
        assert "TrainingRepositoryAccessMode" in error.message

    with_cloud(scenario)


def test_more_instances_than_the_quota_are_refused() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        group = {"InstanceType": "ml.m5.large", "InstanceCount": 51}
        groups = [group | {"InstanceGroupName": name} for name in ("a", "b")]
        for resources, count in (
            (RESOURCES | {"InstanceCount": 101}, 101),
            ({"InstanceGroups": groups, "VolumeSizeInGB": 1}, 102),
        ):
            error = await cloud.error("create_training_job", **training_request(ResourceConfig=resources))
            assert error.code == "ResourceLimitExceeded"
            assert error.message == (
                "The account-level service limit 'ml.m5.large for training job usage' is 100 Instances, with "
                f"current utilization of 0 Instances and a request delta of {count} Instances. Please "
                "contact AWS support to request an increase for this limit."
            )

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"Environment": {"A": "b\0"}}, "Environment"),
        (
            {
                "AlgorithmSpecification": {
                    "TrainingImage": TRAINING,
                    "TrainingInputMode": "File",
                    "ContainerArguments": ["a", "\0"],
                }
            },
            "ContainerArguments",
        ),
    ],
)
def test_a_nul_that_no_program_can_be_given_is_refused(changes: dict[str, Any], named: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        error = await cloud.error("create_training_job", **training_request(**changes))
        assert (error.code, error.message) == (
            "ValidationException",
            f"{named} must not contain NUL characters.",
        )

    with_cloud(scenario)


def test_a_job_that_has_ended_may_be_deleted_and_its_name_used_again() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        tags = [{"Key": "a", "Value": "b"}]
        await cloud.do("create_training_job", **training_request(Tags=tags))
        error = await cloud.error("delete_training_job", TrainingJobName="train-1")
        assert (error.code, "InProgress" in error.message) == ("ResourceInUse", True)
        await cloud.sagemaker.wait_for_job("training", "train-1")
        assert await cloud.do("delete_training_job", TrainingJobName="train-1") == {}
        assert await cloud.do("list_training_jobs") == {"TrainingJobSummaries": []}
        error = await cloud.error("delete_training_job", TrainingJobName="train-1")
        assert error.message == "Requested resource not found."
        again = await train(cloud)
        assert again["TrainingJobArn"] == ARN
        assert await cloud.do("list_tags", ResourceArn=ARN) == {"Tags": []}

    with_cloud(scenario)


ALGORITHM = {"TrainingImage": TRAINING, "TrainingInputMode": "File"}
RESOURCES = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"VpcConfig": {"Subnets": ["a"], "SecurityGroupIds": ["b"]}}, "VpcConfig"),
        (
            {"AlgorithmSpecification": ALGORITHM | {"AlgorithmName": "x"}},
            "AlgorithmSpecification.AlgorithmName",
        ),
        ({"ResourceConfig": RESOURCES | {"KeepAlivePeriodInSeconds": 60}}, "KeepAlivePeriodInSeconds"),
        (
            {
                "InputDataConfig": [
                    {"ChannelName": "a", "DataSource": {"FileSystemDataSource": {"FileSystemId": "fs-1"}}}
                ]
            },
            "FileSystemDataSource",
        ),
        ({"ResourceConfig": RESOURCES | {"VolumeKmsKeyId": "k"}}, "ResourceConfig.VolumeKmsKeyId"),
        ({"SomethingBotocoreLearnsNextYear": {"A": 1}}, "SomethingBotocoreLearnsNextYear"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(changes: dict[str, Any], named: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(train__a=b"1")
        error = await cloud.error("create_training_job", **training_request(**changes))
        assert error.code == "ValidationException"
        assert re.fullmatch(rf"harness does not support .*{re.escape(named)}.* yet\.", error.message)

    with_cloud(scenario)


def test_options_that_say_what_is_so_anyway_pass() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        job = await train(
            cloud,
            EnableManagedSpotTraining=False,
            ProfilerConfig={"DisableProfiler": True},
            OutputDataConfig={"S3OutputPath": "s3://data/out/", "KmsKeyId": "", "CompressionType": "GZIP"},
        )
        assert job["ModelArtifacts"]["S3ModelArtifacts"] == "s3://data/out/train-1/output/model.tar.gz"

    with_cloud(scenario)


@pytest.mark.parametrize("member", ["AlgorithmSpecification", "ResourceConfig", "StoppingCondition"])
def test_what_an_ordinary_job_needs_must_be_there(member: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        request = training_request()
        del request[member]
        error = await cloud.error("create_training_job", **request)
        assert error.message == (
            f"1 validation error detected: Value null at '{member[0].lower()}{member[1:]}' failed to satisfy "
            "constraint: Member must not be null"
        )

    with_cloud(scenario)


def test_lists_page_sort_and_filter() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        for number, name in enumerate(["b-1", "a-2", "c-3"]):
            cloud.faults.jobs["training"] = JobFault(run=False, exit_code=number % 2)
            await train(cloud, name=name)
            await cloud.clock.sleep(10)

        async def names(**params: Any) -> list[str]:
            found: list[str] = []
            while True:
                page = await cloud.do("list_training_jobs", **params)
                found += [summary["TrainingJobName"] for summary in page["TrainingJobSummaries"]]
                if "NextToken" not in page:
                    return found
                params["NextToken"] = page["NextToken"]

        assert await names() == ["b-1", "a-2", "c-3"]
        assert await names(MaxResults=1, SortBy="Name", SortOrder="Descending") == ["c-3", "b-1", "a-2"]
        assert await names(MaxResults=2, SortBy="Status") == ["b-1", "c-3", "a-2"]
        assert await names(NameContains="-2") == ["a-2"]
        assert await names(CreationTimeAfter=at(5), CreationTimeBefore=at(15)) == ["a-2"]
        assert await names(StatusEquals="Failed", MaxResults=1) == ["a-2"]
        first = await cloud.do("list_training_jobs", StatusEquals="Failed", MaxResults=1)
        assert first["TrainingJobSummaries"] == []  # filtered after paging
        assert "NextToken" in first
        error = await cloud.error("list_training_jobs", NextToken="junk")
        assert error.code == "ValidationException"

    with_cloud(scenario)
