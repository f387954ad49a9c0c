from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.cloud.faults import JobFault
from harness.cloud.sagemaker.serving import WAITING
from harness.containers.archive import pack
from tests.cloud.sagemaker.fakes import (
    ROLE,
    SERVING,
    START,
    Box,
    FakeCloud,
    image,
    serves,
    transform_request,
    with_cloud,
)

Seen = list[tuple[str, str, dict[str, str], bytes]]


async def make_model(cloud: FakeCloud, **changes: Any) -> None:
    folder = cloud.folder / "model-source"
    folder.mkdir()
    (folder / "weights").write_bytes(b"w")
    cloud.put(**{"model.tar.gz": pack(folder)})
    container = {"Image": SERVING, "ModelDataUrl": "s3://data/model.tar.gz"} | changes
    await cloud.do("create_model", ModelName="digits", PrimaryContainer=container, ExecutionRoleArn=ROLE)


async def transform(cloud: FakeCloud, **changes: Any) -> dict[str, Any]:
    await cloud.do("create_transform_job", **transform_request(**changes))
    return await cloud.sagemaker.wait_for_job("transform", "batch-1")


def outputs(cloud: FakeCloud) -> dict[str, bytes]:
    return {
        key.removeprefix("out/"): body
        for key, body in cloud.storage.buckets["data"].items()
        if key.startswith("out/")
    }


def source(uri: str = "s3://data/in/", **changes: Any) -> dict[str, Any]:
    return {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}} | changes


def invocations(seen: Seen) -> list[bytes]:
    return [body for _, path, _, body in seen if path == "/invocations"]


def test_each_object_is_one_request_and_one_output() -> None:
    seen: Seen = []

    async def program(box: Box) -> int:
        box.say((box.path("/opt/ml/model") / "weights").read_text())
        return await serves(seen=seen)(box)

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(program)
        await make_model(cloud, Environment={"MODEL": "m", "BOTH": "model"})
        cloud.put(in__3__a=b"three", in__4__b=b"four", inner=b"not below the prefix", in__=b"")
        job = await transform(
            cloud,
            Environment={"JOB": "j", "BOTH": "job"},
            MaxConcurrentTransforms=2,
            TransformOutput={"S3OutputPath": "s3://data/out", "Accept": "application/json"},
        )
        assert job["TransformJobStatus"] == "Completed"
        assert outputs(cloud) == {"3/a.out": b"THREE", "4/b.out": b"FOUR"}
        [(_, _, headers, _), _] = [call for call in seen if call[1] == "/invocations"]
        assert headers["content-type"] == "text/plain"
        assert headers["accept"] == "application/json"
        assert headers["user-agent"] == "go-http-client/1.1"
        [container] = cloud.containers.started
        spec = container.spec
        assert spec.arguments == ("serve",)
        assert spec.ports == (8080,)
        [mount] = spec.mounts
        assert (str(mount.target), mount.read_only) == ("/opt/ml/model", True)
        assert {name: spec.environment[name] for name in ("MODEL", "JOB", "BOTH", "SAGEMAKER_BATCH")} == {
            "MODEL": "m",
            "JOB": "j",
            "BOTH": "job",
            "SAGEMAKER_BATCH": "true",
        }
        assert spec.environment["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] == "2"
        assert "SAGEMAKER_MAX_PAYLOAD_IN_MB" not in spec.environment
        assert container.ended
        logs = {stream.rpartition("/")[2]: lines for (_, stream), lines in cloud.logs.items()}
        assert logs.pop("data-log") == [
            "2025-06-15T15:06:40.000:[sagemaker logs]: MaxConcurrentTransforms=2, MaxPayloadInMB=6, "
            "BatchStrategy=MULTI_RECORD"
        ]
        [(instance, lines)] = logs.items()
        assert re.fullmatch(rf"i-[0-9a-f]{{17}}-{int(START)}", instance)
        assert lines == ["w", "listening"]

    with_cloud(scenario)


def test_a_prefix_that_is_a_whole_key_leaves_its_last_segment() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(**{"in__deep__a.csv": b"x"})
        await transform(cloud, TransformInput=source("s3://data/in/deep/a.csv"))
        assert outputs(cloud) == {"a.csv.out": b"X"}

    with_cloud(scenario)


def test_describe_echoes_as_sagemaker_does() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"x")
        cloud.faults.jobs["transform"] = JobFault(takes=90)
        await cloud.do("create_transform_job", **transform_request())
        await cloud.clock.sleep(60)
        job = await cloud.do("describe_transform_job", TransformJobName="batch-1")
        assert job["TransformJobStatus"] == "InProgress"
        assert "TransformEndTime" not in job
        job = await cloud.sagemaker.wait_for_job("transform", "batch-1")
        assert job["TransformStartTime"] == datetime.fromtimestamp(START, UTC)
        assert job["TransformEndTime"] == datetime.fromtimestamp(START + 90, UTC)
        assert job["TransformInput"]["CompressionType"] == job["TransformInput"]["SplitType"] == "None"
        assert job["TransformOutput"]["AssembleWith"] == "None"
        assert job["TransformOutput"]["KmsKeyId"] == ""
        assert job["DataProcessing"] == {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"}
        absent = {
            "MaxConcurrentTransforms",
            "MaxPayloadInMB",
            "BatchStrategy",
            "Environment",
            "FailureReason",
        }
        assert not absent & job.keys()

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, "ClientError: See job logs for more information"),
        (500, "AlgorithmError: See job logs for more information"),
    ],
)
def test_an_object_that_fails_fails_the_job_and_the_others_go_on(status: int, reason: str) -> None:
    seen: Seen = []

    def answer(body: bytes) -> tuple[int, bytes]:
        return (status, b"cannot\nread it") if body == b"bad" else (200, body)

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(serves(answer, seen=seen))
        await make_model(cloud)
        cloud.put(in__a=b"good", in__b=b"bad", in__c=b"good")
        job = await transform(cloud)
        assert job["TransformJobStatus"] == "Failed"
        assert job["FailureReason"] == reason
        assert outputs(cloud) == {"a.out": b"good", "c.out": b"good"}
        assert invocations(seen).count(b"bad") == (1 if status == 400 else 4)
        [lines] = [lines for (_, stream), lines in cloud.logs.items() if stream.endswith("data-log")]
        place = "2025-06-15T15:06:40.000:[sagemaker logs]: data/in/b: "
        kind = "ClientError" if status == 400 else "AlgorithmError"
        told = [f"{kind}: {status}", "", "Message:", "cannot", "read it"]
        assert lines[1:] == [place + line for line in told]

    with_cloud(scenario)


def test_a_server_error_that_passes_is_retried() -> None:
    answers = iter([(503, b"warming up"), (200, b"there")])

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(serves(lambda body: next(answers)))
        await make_model(cloud)
        cloud.put(in__a=b"x")
        job = await transform(cloud)
        assert job["TransformJobStatus"] == "Completed"
        assert outputs(cloud) == {"a.out": b"there"}

    with_cloud(scenario)


def test_a_container_that_dies_in_the_middle_fails_the_job() -> None:
    async def program(box: Box) -> int:
        async def handler(
            method: str, path: str, headers: Mapping[str, str], body: bytes
        ) -> tuple[int, dict[str, str], bytes]:
            if body == b"deadly":
                box.terminated.set()
                return 200, {"Connection": "close"}, b""
            return 200, {}, body

        await box.listen(handler)
        return 139

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(program)
        await make_model(cloud)
        cloud.put(in__a=b"fine", in__b=b"deadly", in__c=b"late", in__d=b"later")
        job = await transform(cloud)
        assert job["TransformJobStatus"] == "Failed"
        assert job["FailureReason"] == "AlgorithmError: See job logs for more information"
        assert "c.out" not in outputs(cloud)

    with_cloud(scenario)


PING_FAILED = (
    "AlgorithmError: Model container failed to respond to ping. Please ensure /ping endpoint is implemented "
    "and responds with an HTTP 200 status code"
)


def test_a_container_that_ends_before_it_is_ready_fails_the_job_at_once() -> None:
    async def program(box: Box) -> int:
        box.say("ModuleNotFoundError: No module named 'numpy'")
        return 1

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(program)
        await make_model(cloud)
        cloud.put(in__a=b"x")
        job = await asyncio.wait_for(transform(cloud), 2)
        assert job["FailureReason"] == PING_FAILED
        lines = [line for lines in cloud.logs.values() for line in lines]
        assert any("exit code 1" in line for line in lines)

    with_cloud(scenario, startup_limit=60)


def test_a_container_that_never_gets_ready_fails_the_job() -> None:
    async def sick(box: Box) -> int:
        async def handler(*request: Any) -> tuple[int, dict[str, str], bytes]:
            return 503, {}, b""

        await box.listen(handler)
        return 0

    async def deaf(box: Box) -> int:
        await asyncio.Event().wait()
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"x")
        for number, program in enumerate((sick, deaf)):
            cloud.images[SERVING] = image(program)
            await cloud.do("create_transform_job", **transform_request(f"never-{number}"))
            job = await cloud.sagemaker.wait_for_job("transform", f"never-{number}")
            assert (job["TransformJobStatus"], job["FailureReason"]) == ("Failed", PING_FAILED)
        messages = [event.data["message"] for event in cloud.events_of("job")]
        assert messages == [None, WAITING, None] * 2
        assert all(container.ended for container in cloud.containers.started)

    with_cloud(scenario, startup_limit=0.15)


def test_a_corrupt_model_fails_the_job() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"x", **{"model.tar.gz": b"this is no archive"})
        job = await transform(cloud)
        assert job["TransformJobStatus"] == "Failed"
        assert 'from URL "s3://data/model.tar.gz"' in job["FailureReason"]
        assert cloud.containers.started == []

    with_cloud(scenario)


def test_a_model_that_has_gone_fails_the_job() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"x")
        del cloud.storage.buckets["data"]["model.tar.gz"]
        job = await transform(cloud)
        assert job["FailureReason"].startswith("ClientError: Data download failed: NoSuchKey")

    with_cloud(scenario)


def test_stopping_ends_the_container() -> None:
    reached = asyncio.Event()

    async def program(box: Box) -> int:
        async def handler(
            method: str, path: str, headers: Mapping[str, str], body: bytes
        ) -> tuple[int, dict[str, str], bytes]:
            if path == "/invocations":
                reached.set()
                await asyncio.Event().wait()
            return 200, {}, b""

        await box.listen(handler)
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(program)
        await make_model(cloud)
        cloud.put(in__a=b"x")
        await cloud.do("create_transform_job", **transform_request())
        await reached.wait()
        await cloud.do("stop_transform_job", TransformJobName="batch-1")
        job = await cloud.do("describe_transform_job", TransformJobName="batch-1")
        assert job["TransformJobStatus"] == "Stopping"
        job = await cloud.sagemaker.wait_for_job("transform", "batch-1")
        assert job["TransformJobStatus"] == "Stopped"
        assert "FailureReason" not in job
        assert cloud.containers.started[0].signals == ["TERM 120"]
        error = await cloud.error("stop_transform_job", TransformJobName="batch-1")
        assert error.message == "The request was rejected because the transform job is in status Stopped."

    with_cloud(scenario)


LINES = b"1,2\n3,4\n5,6\n"


@pytest.mark.parametrize(
    ("content", "strategy", "payloads"),
    [
        (LINES, "SingleRecord", [b"1,2\n", b"3,4\n", b"5,6\n"]),
        (LINES, "MultiRecord", [LINES]),
        (b"a\r\nb", "SingleRecord", [b"a\r\n", b"b"]),
        (b"x" * 900_000 + b"\n" + b"y" * 900_000, "MultiRecord", [b"x" * 900_000 + b"\n", b"y" * 900_000]),
        (b"", "MultiRecord", []),
    ],
)
def test_lines_are_sent_record_by_record(content: bytes, strategy: str, payloads: list[bytes]) -> None:
    seen: Seen = []

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(serves(lambda body: (200, body[:3]), seen=seen))
        await make_model(cloud)
        cloud.put(in__a=content)
        job = await transform(
            cloud,
            BatchStrategy=strategy,
            MaxPayloadInMB=1,
            TransformInput=source(SplitType="Line"),
            TransformOutput={"S3OutputPath": "s3://data/out", "AssembleWith": "Line"},
        )
        assert job["TransformJobStatus"] == "Completed"
        assert invocations(seen) == payloads
        expected = [
            payload[:3] if payload[:3].endswith(b"\n") else payload[:3] + b"\n" for payload in payloads
        ]
        assert outputs(cloud) == {"a.out": b"".join(expected)}

    with_cloud(scenario)


def test_without_assembling_answers_are_put_end_to_end() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(serves(lambda body: (200, body.strip())))
        await make_model(cloud)
        cloud.put(in__a=LINES)
        await transform(cloud, BatchStrategy="SingleRecord", TransformInput=source(SplitType="Line"))
        assert outputs(cloud) == {"a.out": b"1,23,45,6"}

    with_cloud(scenario)


def test_a_record_that_is_too_large_fails_its_object() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"x" * (2**20 + 1), in__b=b"ok")
        job = await transform(cloud, MaxPayloadInMB=1)
        assert job["FailureReason"] == "ClientError: See job logs for more information"
        assert outputs(cloud) == {"b.out": b"OK"}

    with_cloud(scenario)


def test_no_payload_limit_means_a_chunked_body() -> None:
    seen: Seen = []

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(serves(lambda body: (200, b"%d" % len(body)), seen=seen))
        await make_model(cloud)
        cloud.put(in__a=b"x" * 3_000_000)
        await transform(cloud, MaxPayloadInMB=0)
        assert outputs(cloud) == {"a.out": b"3000000"}
        assert seen[-1][2]["transfer-encoding"] == "chunked"

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("offer", "request_", "settled"),
    [
        (
            b'{"MaxConcurrentTransforms": 4, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 2}',
            {},
            (4, 2, "S"),
        ),
        (b'{"MaxConcurrentTransforms": 4}', {"MaxConcurrentTransforms": 0}, (4, 6, "M")),
        (b'{"MaxConcurrentTransforms": 4}', {"MaxConcurrentTransforms": 3}, (3, 6, "M")),
        (b'{"BatchStrategy": "SINGLE_RECORD"}', {"BatchStrategy": "MultiRecord"}, (1, 6, "M")),
        (b'{"MaxConcurrentTransforms": "many", "MaxPayloadInMB": -1}', {}, (1, 6, "M")),
        (b"not json", {}, (1, 6, "M")),
        (b"[1]", {}, (1, 6, "M")),
        (None, {}, (1, 6, "M")),
    ],
)
def test_the_request_settles_before_the_container_before_the_default(
    offer: bytes | None, request_: dict[str, Any], settled: tuple[int, int, str]
) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(serves(parameters=offer))
        await make_model(cloud)
        cloud.put(in__a=b"x")
        await transform(cloud, **request_)
        [lines] = [lines for (_, stream), lines in cloud.logs.items() if stream.endswith("data-log")]
        concurrent, payload, strategy = settled
        assert f"MaxConcurrentTransforms={concurrent}, MaxPayloadInMB={payload}, " in lines[0]
        assert f"BatchStrategy={strategy}" in lines[0]

    with_cloud(scenario)


def test_requests_are_sent_concurrently_when_asked_for() -> None:
    together: list[int] = []

    async def program(box: Box) -> int:
        busy = 0

        async def handler(
            method: str, path: str, headers: Mapping[str, str], body: bytes
        ) -> tuple[int, dict[str, str], bytes]:
            nonlocal busy
            busy += 1
            await asyncio.sleep(0.01)
            together.append(busy)
            busy -= 1
            return 200, {}, b""

        await box.listen(handler)
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(program)
        await make_model(cloud)
        for number in range(12):
            cloud.storage.put("data", f"in/{number}", b"x")
        await transform(cloud, MaxConcurrentTransforms=4)
        assert max(together) == 4
        assert cloud.containers.started[0].connections <= 5

    with_cloud(scenario)


def test_faults_stand_for_the_container() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"x")
        for number, (fault, status, reason) in enumerate(
            [
                (
                    JobFault(run=False, exit_code=137),
                    "Failed",
                    "AlgorithmError: See job logs for more information",
                ),
                (JobFault(run=False, failure="InternalServerError: oh"), "Failed", "InternalServerError: oh"),
                (JobFault(run=False), "Completed", None),
            ]
        ):
            cloud.faults.jobs["transform"] = fault
            await cloud.do("create_transform_job", **transform_request(f"b-{number}"))
            job = await cloud.sagemaker.wait_for_job("transform", f"b-{number}")
            assert (job["TransformJobStatus"], job.get("FailureReason")) == (status, reason)
        assert cloud.containers.started == []

    with_cloud(scenario)


def test_errors_have_sagemakers_codes_and_texts() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"x")
        error = await cloud.error("create_transform_job", **transform_request(ModelName="none"))
        assert error.message == 'Could not find model "arn:aws:sagemaker:us-east-1:123456789012:model/none".'
        error = await cloud.error(
            "create_transform_job", **transform_request(TransformInput=source("s3://data/no"))
        )
        assert error.message.startswith('No S3 objects found under S3 URL "s3://data/no" given')
        assert f'role "{ROLE}"' in error.message
        for operation, text in (
            ("describe_transform_job", "Could not find requested job with name: nope"),
            ("stop_transform_job", "Could not find job to update with name: nope"),
        ):
            error = await cloud.error(operation, TransformJobName="nope")
            assert (error.code, error.message) == ("ValidationException", text)
        await transform(cloud)
        error = await cloud.error("create_transform_job", **transform_request())
        assert error.code == "ResourceInUse"
        assert error.message.endswith("(arn:aws:sagemaker:us-east-1:123456789012:transform-job/batch-1)")
        listed = await cloud.do("list_transform_jobs")
        [summary] = listed["TransformJobSummaries"]
        assert summary["TransformJobStatus"] == "Completed"
        assert summary["TransformEndTime"] == summary["CreationTime"]

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ExperimentConfig": {"ExperimentName": "e"}}, "ExperimentConfig"),
        (
            {"DataCaptureConfig": {"DestinationS3Uri": "s3://data/c", "GenerateInferenceId": True}},
            "DataCaptureConfig.GenerateInferenceId",
        ),
        (
            {"DataCaptureConfig": {"DestinationS3Uri": "s3://data/c", "KmsKeyId": "k"}},
            "DataCaptureConfig.KmsKeyId",
        ),
        (
            {
                "TransformResources": {
                    "InstanceType": "ml.m5.large",
                    "InstanceCount": 1,
                    "VolumeKmsKeyId": "k",
                }
            },
            "TransformResources.VolumeKmsKeyId",
        ),
        ({"TransformOutput": {"S3OutputPath": "s3://data/o", "KmsKeyId": "k"}}, "TransformOutput.KmsKeyId"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(changes: dict[str, Any], named: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"x")
        error = await cloud.error("create_transform_job", **transform_request(**changes))
        assert re.fullmatch(rf"harness does not support .*{re.escape(named)}.* yet\.", error.message)

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"MaxConcurrentTransforms": 20, "MaxPayloadInMB": 6},
            "MaxConcurrentTransforms times MaxPayloadInMB",
        ),
        ({"MaxConcurrentTransforms": 17}, "MaxConcurrentTransforms times MaxPayloadInMB"),  # the default is 6
        ({"MaxPayloadInMB": 101}, "MaxPayloadInMB must not be greater than 100"),
        ({"TransformOutput": {"S3OutputPath": "data/out"}}, '"data/out" is not a valid S3 URI'),
        ({"DataCaptureConfig": {"DestinationS3Uri": "c"}}, '"c" is not a valid S3 URI'),
        ({"DataProcessing": {"InputFilter": "$..x"}}, "Invalid JSONPath for DataProcessing.InputFilter"),
        (
            {"TransformOutput": {"S3OutputPath": "s3://data/out", "Accept": "text/csv\r\nX: y"}},
            "Accept must not contain a line break",
        ),
        (
            {
                "TransformInput": {
                    "DataSource": {
                        "S3DataSource": {"S3DataType": "AugmentedManifestFile", "S3Uri": "s3://data/in/"}
                    }
                }
            },
            "AugmentedManifestFile",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, Any], complaint: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"x")
        error = await cloud.error("create_transform_job", **transform_request(**changes))
        assert error.code == "ValidationException"
        assert complaint in error.message
        assert (await cloud.do("list_transform_jobs"))["TransformJobSummaries"] == []

    with_cloud(scenario)


@pytest.mark.parametrize(
    "changes", [{"MaxPayloadInMB": 100}, {"MaxConcurrentTransforms": 50, "MaxPayloadInMB": 2}]
)
def test_the_limits_themselves_are_allowed(changes: dict[str, Any]) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"x")
        assert (await transform(cloud, **changes))["TransformJobStatus"] == "Completed"

    with_cloud(scenario)


def test_lists_are_filtered_and_described_alike() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"x")
        for name, fault in (("good", JobFault()), ("bad", JobFault(run=False, failure="AlgorithmError: no"))):
            cloud.faults.jobs["transform"] = fault
            await cloud.do("create_transform_job", **transform_request(name))
            await cloud.sagemaker.wait_for_job("transform", name)
            await cloud.clock.sleep(10)
        listed = (await cloud.do("list_transform_jobs"))["TransformJobSummaries"]
        assert [job["TransformJobName"] for job in listed] == ["bad", "good"]
        assert listed[0]["FailureReason"] == "AlgorithmError: no"
        for filters in (
            {"StatusEquals": "Completed"},
            {"NameContains": "oo"},
            {"CreationTimeBefore": datetime.fromtimestamp(START + 5, UTC)},
            {"LastModifiedTimeBefore": datetime.fromtimestamp(START + 5, UTC)},
            {"SortBy": "Name", "MaxResults": 1, "SortOrder": "Descending"},
        ):
            [job] = (await cloud.do("list_transform_jobs", **filters))["TransformJobSummaries"]
            assert job["TransformJobName"] == "good"
            assert "FailureReason" not in job

    with_cloud(scenario)
