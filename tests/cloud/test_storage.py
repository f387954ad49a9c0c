from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pytest

from harness.cloud import Cloud, ServiceError

from .support import blocking, client, in_cloud

pytestmark = pytest.mark.slow


def test_a_version_is_told_from_the_next_of_the_same_content() -> None:
    async def body(cloud: Cloud) -> None:
        await cloud.call("s3", "CreateBucket", {"Bucket": "bucket"})
        cloud.storage.put("bucket", "p/a", b"content")
        cloud.storage.put("bucket", "q/b", b"content")
        first = cloud.storage.versions("bucket", "p/")
        assert list(first) == ["p/a"]
        assert cloud.storage.versions("bucket", "p/") == first
        cloud.storage.put("bucket", "p/a", b"content")
        assert cloud.storage.versions("bucket", "p/") != first
        with pytest.raises(ServiceError, match="does not exist"):
            cloud.storage.versions("none", "")

    in_cloud(body)


def test_a_disk_that_takes_nothing_is_an_error_of_s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def body(cloud: Cloud) -> None:
        await cloud.call("s3", "CreateBucket", {"Bucket": "bucket"})
        with monkeypatch.context() as patch:
            patch.setenv("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", "10")
            patch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
            with pytest.raises(ServiceError, match="The object could not be stored: ") as caught:
                cloud.storage.put("bucket", "large", b"x" * 100)
        assert (caught.value.code, caught.value.status) == ("InternalError", 500)
        assert cloud.storage.list("bucket") == []
        cloud.storage.put("bucket", "small", b"x")
        assert cloud.storage.list("bucket") == [("small", 1)]

    in_cloud(body)


def test_objects_look_the_same_from_both_sides() -> None:
    async def body(cloud: Cloud) -> None:
        await cloud.call("s3", "CreateBucket", {"Bucket": "bucket"})
        s3 = client(cloud, "s3")

        def seen(key: str) -> dict[str, object]:
            head = s3.head_object(Bucket="bucket", Key=key)
            metadata = head.pop("ResponseMetadata")["HTTPHeaders"]
            for name in ("date", "x-amzn-requestid", "last-modified"):
                metadata.pop(name)
            head.pop("LastModified")
            return {**head, "headers": metadata}

        cloud.storage.put("bucket", "here/ü", b"content")
        await blocking(s3.put_object, Bucket="bucket", Key="there/ü", Body=b"content")
        here, there = await blocking(seen, "here/ü"), await blocking(seen, "there/ü")
        for name in ("ETag", "ContentLength", "ContentType", "Metadata", "AcceptRanges"):
            assert here[name] == there[name]
        assert cloud.storage.get("bucket", "there/ü") == b"content"
        assert cloud.storage.list("bucket") == [("here/ü", 7), ("there/ü", 7)]
        assert cloud.storage.list("bucket", "here") == [("here/ü", 7)]
        listed = await blocking(s3.list_objects_v2, Bucket="bucket")
        assert [(entry["Key"], entry["Size"]) for entry in listed["Contents"]] == cloud.storage.list("bucket")

    in_cloud(body)


def test_versions_and_deleted_objects() -> None:
    async def body(cloud: Cloud) -> None:
        await cloud.call("s3", "CreateBucket", {"Bucket": "bucket"})
        enabled = {"Bucket": "bucket", "VersioningConfiguration": {"Status": "Enabled"}}
        await cloud.call("s3", "PutBucketVersioning", enabled)
        cloud.storage.put("bucket", "key", b"one")
        cloud.storage.put("bucket", "key", b"two")
        assert cloud.storage.get("bucket", "key") == b"two"
        versions = (await cloud.call("s3", "ListObjectVersions", {"Bucket": "bucket"}))["Versions"]
        assert len(versions) == 2
        await cloud.call("s3", "DeleteObject", {"Bucket": "bucket", "Key": "key"})
        assert cloud.storage.list("bucket") == []
        with pytest.raises(ServiceError, match="NoSuchKey"):
            cloud.storage.get("bucket", "key")

    in_cloud(body)


def test_what_is_not_there() -> None:
    async def body(cloud: Cloud) -> None:
        await cloud.call("s3", "CreateBucket", {"Bucket": "bucket"})
        for attempt in (
            lambda: cloud.storage.list("none"),
            lambda: cloud.storage.get("none", "key"),
            lambda: cloud.storage.put("none", "key", b""),
        ):
            with pytest.raises(ServiceError) as caught:
                attempt()
            assert (caught.value.code, caught.value.status) == ("NoSuchBucket", 404)
        with pytest.raises(ServiceError) as caught:
            cloud.storage.get("bucket", "key")
        assert (caught.value.code, caught.value.status) == ("NoSuchKey", 404)
        assert cloud.storage.list("bucket") == []

    in_cloud(body)


def test_two_thousand_small_objects_do_not_crawl() -> None:
    async def body(cloud: Cloud) -> None:
        await cloud.call("s3", "CreateBucket", {"Bucket": "bucket"})
        content = {f"train/{number % 10}/{number:04}.png": b"x" * number for number in range(2_000)}
        for key, value in content.items():
            cloud.storage.put("bucket", key, value)
        started = time.perf_counter()
        listed = cloud.storage.list("bucket", "train/")
        read = {key: cloud.storage.get("bucket", key) for key, _ in listed}
        assert time.perf_counter() - started < 0.5
        assert read == content
        assert [key for key, _ in listed] == sorted(content)
        pages = client(cloud, "s3").get_paginator("list_objects_v2").paginate(Bucket="bucket")
        assert await blocking(lambda: sum(len(page["Contents"]) for page in pages)) == 2_000

    in_cloud(body)
