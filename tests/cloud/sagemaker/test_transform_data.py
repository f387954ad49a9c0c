"""What goes to a transform job's container, record by record, and what is made of its answers."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import struct
from collections.abc import Mapping
from itertools import product
from typing import Any

import pytest

from harness.cloud.sagemaker.channels import recordio
from harness.cloud.sagemaker.transform.records import masked_crc32c
from tests.cloud.sagemaker.fakes import SERVING, Box, FakeCloud, Program, image, serves, with_cloud
from tests.cloud.sagemaker.test_transform import Seen, invocations, make_model, outputs, source, transform

WORDS = [b"one", b"three", b"seven77"]


def tf_record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    checksums = [struct.pack("<I", masked_crc32c(part)) for part in (length, data)]
    return length + checksums[0] + data + checksums[1]


FRAMES = {"None": bytes, "Line": lambda word: word + b"\n", "RecordIO": recordio, "TFRecord": tf_record}


def output(**changes: Any) -> dict[str, Any]:
    return {"S3OutputPath": "s3://data/out"} | changes


@pytest.mark.parametrize(
    ("strategy", "split", "assemble", "compression"),
    list(
        product(
            ("SingleRecord", "MultiRecord", None),
            FRAMES,
            ("None", "Line", None),
            ("None", "Gzip"),
        )
    ),
)
def test_every_strategy_with_every_format(
    strategy: str | None, split: str, assemble: str | None, compression: str
) -> None:
    seen: Seen = []

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(serves(lambda body: (200, b"<%d>" % len(body)), seen=seen))
        await make_model(cloud)
        content = b"".join(FRAMES[split](word) for word in WORDS)
        cloud.put(in__a=gzip.compress(content) if compression == "Gzip" else content)
        job = await transform(
            cloud,
            TransformInput=source(SplitType=split, CompressionType=compression),
            TransformOutput=output(**({"AssembleWith": assemble} if assemble else {})),
            **({"BatchStrategy": strategy} if strategy else {}),
        )
        assert job["TransformJobStatus"] == "Completed"
        if split == "None" or strategy != "SingleRecord":
            expected = [content]
        elif split == "Line":
            expected = [word + b"\n" for word in WORDS]
        else:  # padding is removed
            expected = WORDS
        assert invocations(seen) == expected
        end = b"\n" if assemble == "Line" else b""
        assert outputs(cloud) == {"a.out": b"".join(b"<%d>" % len(body) + end for body in expected)}

    with_cloud(scenario)


@pytest.mark.parametrize("split", FRAMES)
def test_an_empty_object(split: str) -> None:
    seen: Seen = []

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(serves(lambda body: (200, b"answer"), seen=seen))
        await make_model(cloud)
        cloud.put(in__a=b"")
        job = await transform(cloud, TransformInput=source(SplitType=split))
        assert job["TransformJobStatus"] == "Completed"
        assert invocations(seen) == ([b""] if split == "None" else [])
        assert outputs(cloud) == {"a.out": b"answer" if split == "None" else b""}

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("content", "input_", "complaint"),
    [
        (b"not gzip", {"CompressionType": "Gzip"}, "gzip"),
        (gzip.compress(b"x" * 2**21), {"CompressionType": "Gzip"}, "Too much data for max payload size"),
        (b"1,2\n", {"SplitType": "RecordIO"}, "RecordIO"),
        (b"1,2,3,4,5,6,7\n", {"SplitType": "TFRecord"}, "TFRecord"),
        (b"ok\n" + b"x" * 2**20 + b"\nok\n", {"SplitType": "Line"}, "Too much data for max payload size"),
    ],
)
def test_an_object_that_cannot_be_read_fails_and_the_others_go_on(
    content: bytes, input_: dict[str, str], complaint: str
) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        frame = FRAMES[input_.get("SplitType", "None")]
        good = frame(b"good")
        cloud.put(in__a=content, in__b=gzip.compress(good) if "CompressionType" in input_ else good)
        job = await transform(cloud, MaxPayloadInMB=1, TransformInput=source(**input_))
        assert job["TransformJobStatus"] == "Failed"
        assert job["FailureReason"] == "ClientError: See job logs for more information"
        assert list(outputs(cloud)) == ["b.out"]  # of a.out nothing, though its first record may have passed
        [lines] = [lines for (_, stream), lines in cloud.logs.items() if stream.endswith("data-log")]
        assert any("data/in/a: " in line and complaint in line for line in lines)

    with_cloud(scenario)


def echoing(together: list[int]) -> Program:
    """A server that answers after a while with what it was sent, and notes how many are asked at once."""

    async def program(box: Box) -> int:
        busy = 0
        dice = random.Random(1)

        async def handler(
            method: str, path: str, headers: Mapping[str, str], body: bytes
        ) -> tuple[int, dict[str, str], bytes]:
            nonlocal busy
            if path != "/invocations":
                return (200 if path == "/ping" else 404), {}, b""
            busy += 1
            together.append(busy)
            await asyncio.sleep(dice.random() / 100)
            busy -= 1
            return 200, {}, body

        await box.listen(handler)
        return 0

    return program


@pytest.mark.parametrize("objects", [1, 3])
def test_requests_of_one_object_are_concurrent_and_its_output_is_in_order(objects: int) -> None:
    together: list[int] = []

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(echoing(together))
        await make_model(cloud)
        lines = b"".join(b"%d\n" % number for number in range(30))
        for number in range(objects):
            cloud.storage.put("data", f"in/{number}", lines)
        await transform(
            cloud,
            BatchStrategy="SingleRecord",
            MaxConcurrentTransforms=4,
            TransformInput=source(SplitType="Line"),
        )
        assert outputs(cloud) == {f"{number}.out": lines for number in range(objects)}
        assert max(together) == 4

    with_cloud(scenario)


def test_a_record_that_fails_ends_its_object_and_nothing_else() -> None:
    seen: Seen = []

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(
            serves(lambda body: (422, b"no") if body == b"bad\n" else (200, body), seen=seen)
        )
        await make_model(cloud)
        cloud.put(in__a=b"bad\n" + b"good\n" * 500, in__b=b"good\n" * 20)
        job = await transform(
            cloud,
            BatchStrategy="SingleRecord",
            MaxConcurrentTransforms=3,
            TransformInput=source(SplitType="Line"),
        )
        assert job["FailureReason"] == "ClientError: See job logs for more information"
        assert outputs(cloud) == {"b.out": b"good\n" * 20}
        assert len(invocations(seen)) < 100  # the rest of the object is not sent

    with_cloud(scenario)


def csv_sum(body: bytes) -> tuple[int, bytes]:
    """The sum of each row."""
    rows = body.decode().split()
    return 200, "".join(f"{sum(map(float, row.split(',')))}\n" for row in rows).encode()


@pytest.mark.parametrize("strategy", ["SingleRecord", "MultiRecord"])
@pytest.mark.parametrize("assemble", ["Line", "None"])
def test_csv_is_filtered_and_joined(strategy: str, assemble: str) -> None:
    seen: Seen = []
    join = {"JoinSource": "Input", "OutputFilter": "$[0,-1]"} if assemble == "Line" else {}

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(serves(csv_sum, seen=seen))
        await make_model(cloud)
        cloud.put(in__a=b"id1,1,2\nid2,3,4\nid3,5,6\n")
        job = await transform(
            cloud,
            BatchStrategy=strategy,
            TransformInput=source(SplitType="Line", ContentType="text/csv"),
            TransformOutput=output(AssembleWith=assemble, Accept="text/csv"),
            DataProcessing={"InputFilter": "$[1:]", **join},
        )
        assert job["TransformJobStatus"] == "Completed"
        assert b"".join(invocations(seen)) == b"1,2\n3,4\n5,6\n"
        assert len(invocations(seen)) == (3 if strategy == "SingleRecord" else 1)
        expected = b"id1,3.0\nid2,7.0\nid3,11.0\n" if join else b"3.0\n7.0\n11.0\n"
        assert outputs(cloud) == {"a.out": expected}
        assert (
            job["DataProcessing"]
            == {"InputFilter": "$[1:]", "OutputFilter": "$", "JoinSource": "None"} | join
        )

    with_cloud(scenario)


def test_json_lines_are_joined_over_several_requests() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(
            serves(lambda body: (200, b"".join(b'{"n":%s}\n' % line for line in body.splitlines())))
        )
        await make_model(cloud)
        records = [{"id": number, "x": number * 2, "text": "é" * 200_000} for number in range(4)]
        cloud.put(in__a="".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode())
        job = await transform(
            cloud,
            MaxPayloadInMB=1,
            TransformInput=source(SplitType="Line", ContentType="application/jsonlines"),
            TransformOutput=output(AssembleWith="Line", Accept="application/jsonlines"),
            DataProcessing={
                "InputFilter": "$.x",
                "JoinSource": "Input",
                "OutputFilter": "$['id','SageMakerOutput']",
            },
        )
        assert job["TransformJobStatus"] == "Completed"
        found = [json.loads(line) for line in outputs(cloud)["a.out"].splitlines()]
        assert found == [{"id": number, "SageMakerOutput": {"n": number * 2}} for number in range(4)]

    with_cloud(scenario)


def test_what_cannot_be_joined_fails_its_object() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(serves(lambda body: (200, b"1\n")))
        await make_model(cloud)
        cloud.put(in__a=b"1\n2\n", in__b=b"1\n")
        job = await transform(
            cloud,
            TransformInput=source(SplitType="Line", ContentType="text/csv"),
            TransformOutput=output(AssembleWith="Line", Accept="text/csv"),
            DataProcessing={"JoinSource": "Input"},
        )
        assert job["FailureReason"] == "ClientError: See job logs for more information"
        assert outputs(cloud) == {"b.out": b"1,1\n"}
        [lines] = [lines for (_, stream), lines in cloud.logs.items() if stream.endswith("data-log")]
        assert lines[-1].endswith("data/in/a: 1 answers cannot be joined to 2 records")

    with_cloud(scenario)


@pytest.mark.parametrize(("retries", "attempts"), [(0, 1), (1, 2), (3, 4)])
def test_retries_are_counted(retries: int, attempts: int) -> None:
    seen: Seen = []

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(serves(lambda body: (503, b"busy"), seen=seen))
        await make_model(cloud)
        cloud.put(in__a=b"x")
        job = await transform(cloud, ModelClientConfig={"InvocationsMaxRetries": retries})
        assert job["FailureReason"] == "AlgorithmError: See job logs for more information"
        assert len(invocations(seen)) == attempts
        assert job["ModelClientConfig"] == {"InvocationsMaxRetries": retries}

    with_cloud(scenario)


def test_an_answer_that_does_not_come_in_time_is_asked_for_again() -> None:
    asked: list[bytes] = []

    async def slow(box: Box) -> int:
        async def handler(
            method: str, path: str, headers: Mapping[str, str], body: bytes
        ) -> tuple[int, dict[str, str], bytes]:
            if path == "/invocations":
                asked.append(body)
                await asyncio.Event().wait()
            return 200, {}, b""

        await box.listen(handler)
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(slow)
        await make_model(cloud)
        cloud.put(in__a=b"x")
        client = {
            "InvocationsTimeoutInSeconds": 0.05,
            "InvocationsMaxRetries": 1,
        }  # a second is too long here
        job = await transform(cloud, ModelClientConfig=client)
        assert job["FailureReason"] == "AlgorithmError: See job logs for more information"
        assert asked == [b"x", b"x"]
        [lines] = [lines for (_, stream), lines in cloud.logs.items() if stream.endswith("data-log")]
        assert lines[-1].endswith("data/in/a: Unable to get response from algorithm")

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("manifest", "found"),
    [
        ([{"prefix": "s3://data/in/"}, "sub/a", "b"], {"sub/a.out": b"A", "b.out": b"B"}),
        ([{"prefix": "s3://data/in/"}], {}),
    ],
)
def test_a_manifest_names_the_objects(manifest: list[Any], found: dict[str, bytes]) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__sub__a=b"a", in__b=b"b", in__c=b"c", manifest=json.dumps(manifest).encode())
        place = {"S3DataType": "ManifestFile", "S3Uri": "s3://data/manifest"}
        job = await transform(cloud, TransformInput={"DataSource": {"S3DataSource": place}})
        assert job["TransformJobStatus"] == "Completed"
        assert outputs(cloud) == found

    with_cloud(scenario)


def test_an_object_of_a_manifest_that_is_not_there_fails() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"a", manifest=b'[{"prefix": "s3://data/in/"}, "gone", "a"]')
        place = {"S3DataType": "ManifestFile", "S3Uri": "s3://data/manifest"}
        job = await transform(cloud, TransformInput={"DataSource": {"S3DataSource": place}})
        assert job["FailureReason"] == "ClientError: See job logs for more information"
        assert outputs(cloud) == {"a.out": b"A"}

    with_cloud(scenario)


def test_an_output_that_cannot_be_stored_fails_its_object() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await make_model(cloud)
        cloud.put(in__a=b"a")
        job = await transform(cloud, TransformOutput={"S3OutputPath": "s3://nowhere/out"})
        assert job["FailureReason"] == "ClientError: See job logs for more information"
        [lines] = [lines for (_, stream), lines in cloud.logs.items() if stream.endswith("data-log")]
        assert lines[1].endswith("data/in/a: ClientError: NoSuchBucket")

    with_cloud(scenario)
