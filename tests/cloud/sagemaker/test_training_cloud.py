"""A training job beside the services it works with: S3, CloudWatch and IAM as the local cloud has them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from harness.clock import SkippingClock, run
from harness.cloud.cloud import Cloud
from harness.cloud.sagemaker import SageMaker
from tests.cloud.sagemaker.fakes import START, TRAINING, Box, FakeRuntime, image, training_request


async def program(box: Box) -> int:
    checkpoints = box.path("/opt/ml/checkpoints")
    (checkpoints / "old").unlink()
    (checkpoints / "new").write_bytes(b"2")
    for loss in (3, 1, 2):
        box.say(f"loss={loss};")
    (box.path("/opt/ml/model") / "m").touch()
    return 0


def test_metrics_and_checkpoints_in_the_local_cloud() -> None:
    async def main() -> None:
        runtime = FakeRuntime()
        async with Cloud(clock=SkippingClock(START), containers=runtime) as cloud:
            cloud.images[TRAINING] = image(program)
            await cloud.call("s3", "CreateBucket", {"Bucket": "data"})
            await cloud.call("s3", "PutObject", {"Bucket": "data", "Key": "ckpt/old", "Body": b"1"})
            request = training_request(CheckpointConfig={"S3Uri": "s3://data/ckpt"})
            request["AlgorithmSpecification"]["MetricDefinitions"] = [
                {"Name": "loss", "Regex": "loss=(.*?);"}
            ]
            await cloud.call("sagemaker", "CreateTrainingJob", request)
            sagemaker = cloud.service("sagemaker")
            assert isinstance(sagemaker, SageMaker)
            job = await sagemaker.wait_for_job("training", "train-1")
            assert job["TrainingJobStatus"] == "Completed", job

            found = await cloud.call("s3", "ListObjectsV2", {"Bucket": "data", "Prefix": "ckpt/"})
            assert [item["Key"] for item in found["Contents"]] == ["ckpt/new"]

            begun = datetime.fromtimestamp(START, UTC)
            statistics = await cloud.call(
                "cloudwatch",
                "GetMetricStatistics",
                {
                    "Namespace": "/aws/sagemaker/TrainingJobs",
                    "MetricName": "loss",
                    "Dimensions": [{"Name": "TrainingJobName", "Value": "train-1"}],
                    "StartTime": begun - timedelta(minutes=1),
                    "EndTime": begun + timedelta(minutes=1),
                    "Period": 60,
                    "Statistics": ["Average", "SampleCount"],
                },
            )
            [point] = statistics["Datapoints"]
            assert (point["Average"], point["SampleCount"]) == (2.0, 3.0)
            assert cloud.failures == []

    run(main())
