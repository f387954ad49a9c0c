"""The services that moto does, over HTTP and from inside."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import urllib.request
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from harness.clock import SkippingClock
from harness.cloud import Cloud, ServiceError

from .support import blocking, client, in_cloud, send

pytestmark = pytest.mark.slow


def test_s3_over_http() -> None:
    async def body(cloud: Cloud) -> None:
        s3 = client(cloud, "s3")

        def use() -> None:
            s3.create_bucket(Bucket="bucket")
            s3.put_object(
                Bucket="bucket", Key="a/ü +%2F.txt", Body=b"text", Metadata={"my_key": "v", "k-2": "w"}
            )
            got = s3.get_object(Bucket="bucket", Key="a/ü +%2F.txt")
            assert got["Body"].read() == b"text"
            assert got["Metadata"] == {"my_key": "v", "k-2": "w"}
            assert got["ETag"] == f'"{hashlib.md5(b"text").hexdigest()}"'
            head = s3.head_object(Bucket="bucket", Key="a/ü +%2F.txt")
            assert head["ContentLength"] == 4
            part = s3.get_object(Bucket="bucket", Key="a/ü +%2F.txt", Range="bytes=1-2")
            assert part["Body"].read() == b"ex"
            s3.copy_object(
                Bucket="bucket", Key="copy", CopySource={"Bucket": "bucket", "Key": "a/ü +%2F.txt"}
            )
            listed = s3.list_objects_v2(Bucket="bucket", Delimiter="/")
            assert [entry["Prefix"] for entry in listed["CommonPrefixes"]] == ["a/"]
            assert [entry["Key"] for entry in listed["Contents"]] == ["copy"]
            s3.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "copy"}]})
            with pytest.raises(s3.exceptions.NoSuchKey):
                s3.get_object(Bucket="bucket", Key="copy")
            with pytest.raises(s3.exceptions.NoSuchBucket):
                s3.list_objects_v2(Bucket="other-bucket")
            with pytest.raises(ClientError, match="404"):
                s3.head_object(Bucket="bucket", Key="copy")

        await blocking(use)

    in_cloud(body)


def test_s3_takes_large_objects_in_parts_and_streams() -> None:
    async def body(cloud: Cloud) -> None:
        s3 = client(cloud, "s3")
        content = os.urandom(1 << 20) * 20  # more than boto3 sends in one request

        def use() -> None:
            s3.create_bucket(Bucket="bucket")
            s3.upload_fileobj(io.BytesIO(content), "bucket", "large")
            assert s3.head_object(Bucket="bucket", Key="large")["ETag"].endswith('-3"')
            received = io.BytesIO()
            s3.download_fileobj("bucket", "large", received)
            assert received.getvalue() == content
            s3.put_object(
                Bucket="bucket", Key="stream", Body=io.BytesIO(b"x" * 100_000), ChecksumAlgorithm="SHA256"
            )
            assert s3.get_object(Bucket="bucket", Key="stream")["Body"].read() == b"x" * 100_000

        await blocking(use)

    in_cloud(body)


AWS_CHUNKED = [
    pytest.param(
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        b"6;chunk-signature=00\r\nhello \r\n5;chunk-signature=00\r\nworld\r\n0;chunk-signature=00\r\n\r\n",
        id="signed",
    ),
    pytest.param(
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        b"6\r\nhello \r\n5\r\nworld\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n",
        id="trailer",
    ),
]


@pytest.mark.parametrize(("kind", "encoded"), AWS_CHUNKED)
@pytest.mark.parametrize("transfer", ["length", "chunked"])
def test_aws_chunked_uploads(kind: str, encoded: bytes, transfer: str) -> None:
    async def body(cloud: Cloud) -> None:
        await cloud.call("s3", "CreateBucket", {"Bucket": "bucket"})
        headers = {
            "Content-Encoding": "aws-chunked",
            "x-amz-content-sha256": kind,
            "x-amz-decoded-content-length": "11",
            "x-amz-trailer": "x-amz-checksum-crc32",
        }
        options: dict[str, Any] = {"body": encoded}
        if transfer == "chunked":
            headers["Transfer-Encoding"] = "chunked"
            options = {"body": iter([encoded[:10], encoded[10:]]), "encode_chunked": True}
        status, _, text = await blocking(send, cloud, "PUT", "/bucket/key", headers=headers, **options)
        assert (status, text) == (200, b"")
        assert cloud.storage.get("bucket", "key") == b"hello world"

    in_cloud(body)


def test_presigned_urls_and_virtual_hosts() -> None:
    async def body(cloud: Cloud) -> None:
        await cloud.call("s3", "CreateBucket", {"Bucket": "bucket"})
        s3 = client(cloud, "s3")
        url = s3.generate_presigned_url("put_object", {"Bucket": "bucket", "Key": "a b"})

        def put() -> None:
            with urllib.request.urlopen(
                urllib.request.Request(url, b"x", {"Content-Type": "text/plain"}, method="PUT")
            ):
                pass

        await blocking(put)
        hosted = {"Host": "bucket.s3.localhost", "Authorization": "AWS AKID:x"}
        status, headers, text = await blocking(send, cloud, "GET", "/a%20b", headers=hosted)
        assert (status, text, headers["content-type"]) == (200, b"x", "text/plain")
        assert b"<Key>a b</Key>" in (await blocking(send, cloud, "GET", "/", headers=hosted))[2]

    in_cloud(body)


def test_other_services_over_http() -> None:
    async def body(cloud: Cloud) -> None:
        def use() -> None:
            sqs = client(cloud, "sqs")
            queue = sqs.create_queue(QueueName="q")["QueueUrl"]
            assert queue == f"{cloud.endpoint_url}/123456789012/q"
            sqs.send_message(QueueUrl=queue, MessageBody="hello")
            assert sqs.receive_message(QueueUrl=queue)["Messages"][0]["Body"] == "hello"

            dynamodb = client(cloud, "dynamodb")
            dynamodb.create_table(
                TableName="table",
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
            dynamodb.put_item(TableName="table", Item={"id": {"S": "1"}, "n": {"N": "2"}})
            assert dynamodb.get_item(TableName="table", Key={"id": {"S": "1"}})["Item"]["n"] == {"N": "2"}

            iam = client(cloud, "iam")
            policy = json.dumps({"Version": "2012-10-17", "Statement": []})
            role = iam.create_role(RoleName="mlops-sm-s3", AssumeRolePolicyDocument=policy)["Role"]
            assert role["Arn"] == "arn:aws:iam::123456789012:role/mlops-sm-s3"
            with pytest.raises(iam.exceptions.EntityAlreadyExistsException):
                iam.create_role(RoleName="mlops-sm-s3", AssumeRolePolicyDocument=policy)

            logs = client(cloud, "logs")
            logs.create_log_group(logGroupName="/group")
            assert logs.describe_log_groups()["logGroups"][0]["logGroupName"] == "/group"

            assert client(cloud, "sts").get_caller_identity()["Account"] == "123456789012"
            topic = client(cloud, "sns").create_topic(Name="t")["TopicArn"]
            assert topic == "arn:aws:sns:us-east-1:123456789012:t"
            ssm = client(cloud, "ssm", region_name="eu-west-1")
            ssm.put_parameter(Name="/p", Value="v", Type="String")
            assert (
                ssm.get_parameter(Name="/p")["Parameter"]["ARN"]
                == "arn:aws:ssm:eu-west-1:123456789012:parameter/p"
            )
            client(cloud, "events").put_rule(Name="rule", EventPattern="{}")
            client(cloud, "ecr").create_repository(repositoryName="repository")
            assert client(cloud, "cloudwatch").list_metrics()["Metrics"] == []
            assert client(cloud, "secretsmanager").list_secrets()["SecretList"] == []
            assert client(cloud, "sesv2").list_contact_lists()["ContactLists"] == []
            assert client(cloud, "dynamodbstreams").list_streams()["Streams"] == []

        await blocking(use)

    in_cloud(body)


def test_the_account_and_region_of_the_cloud_are_those_of_its_services() -> None:
    async def body(cloud: Cloud) -> None:
        identity = await cloud.call("sts", "GetCallerIdentity", {})
        assert identity["Account"] == "210987654321"
        queue = await cloud.call("sqs", "CreateQueue", {"QueueName": "q"})
        attributes = {"QueueUrl": queue["QueueUrl"], "AttributeNames": ["QueueArn"]}
        arn = (await cloud.call("sqs", "GetQueueAttributes", attributes))["Attributes"]["QueueArn"]
        assert arn == "arn:aws:sqs:eu-central-1:210987654321:q" == cloud.arn("sqs", "q")
        over_http = await blocking(client(cloud, "sqs", region_name="eu-central-1").list_queues)
        assert over_http["QueueUrls"] == [queue["QueueUrl"]]

    in_cloud(body, account="210987654321", region="eu-central-1")


def test_calls_from_inside_take_and_give_what_boto3_does() -> None:
    async def body(cloud: Cloud) -> None:
        await cloud.call("s3", "createBucket", {"Bucket": "bucket"})
        put = await cloud.call("s3", "PutObject", {"Bucket": "bucket", "Key": "k", "Body": io.BytesIO(b"x")})
        assert put["ETag"] == f'"{hashlib.md5(b"x").hexdigest()}"'
        assert "ResponseMetadata" not in put
        got = await cloud.call("s3", "GetObject", {"Bucket": "bucket", "Key": "k"})
        assert got["Body"] == b"x"
        assert got["LastModified"].tzinfo is not None
        source = {"Bucket": "bucket", "Key": "k"}
        await cloud.call("s3", "CopyObject", {"Bucket": "bucket", "Key": "c d", "CopySource": source})
        assert [key for key, _ in cloud.storage.list("bucket")] == ["c d", "k"]
        with pytest.raises(ServiceError) as caught:
            await cloud.call("s3", "GetObject", {"Bucket": "bucket", "Key": "none"})
        assert (caught.value.code, caught.value.status) == ("NoSuchKey", 404)
        with pytest.raises(ServiceError) as caught:
            await cloud.call("s3", "GetObject", {"Bucket": "bucket"})
        assert caught.value.code == "ValidationException"
        assert "Missing required parameter" in caught.value.message
        with pytest.raises(ServiceError) as caught:
            await cloud.call("iam", "GetRole", {"RoleName": "none"})
        assert (caught.value.code, caught.value.status) == ("NoSuchEntity", 404)

    in_cloud(body)


def test_what_moto_lacks_is_refused_by_name() -> None:
    async def body(cloud: Cloud) -> None:
        with pytest.raises(ServiceError) as caught:
            await cloud.call(
                "sqs", "ListMessageMoveTasks", {"SourceArn": "arn:aws:sqs:us-east-1:123456789012:q"}
            )
        assert caught.value.status == 501
        assert "list_message_move_tasks" in caught.value.message
        with pytest.raises(ClientError, match="moto, which stands in for iam here"):
            await blocking(client(cloud, "iam").get_context_keys_for_custom_policy, PolicyInputList=["{}"])

    in_cloud(body)


def test_a_service_that_lacks_a_python_package_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyparsing", None)  # as if it were not installed

    async def body(cloud: Cloud) -> None:
        with pytest.raises(ServiceError, match="moto needs the Python package pyparsing") as caught:
            await cloud.call("glue", "GetDatabases", {})
        assert caught.value.status == 501

    in_cloud(body)


def test_an_in_process_call_holds_virtual_time() -> None:
    async def body(cloud: Cloud) -> None:
        before = cloud.clock.now()
        fired: list[float] = []
        cloud.clock.call_at(before + 1, lambda: fired.append(cloud.clock.now()))
        await cloud.call("s3", "CreateBucket", {"Bucket": "bucket"})
        assert fired == []
        assert cloud.clock.now() == before

    in_cloud(body, clock=SkippingClock(1_700_000_000.0))


HOSTILE = {
    "AWS_PROFILE": "no-such-profile",
    "AWS_ACCESS_KEY_ID": "AKIAUSERSOWNKEY00000",
    "AWS_SECRET_ACCESS_KEY": "the-users-own-secret",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_REGION": "ap-south-1",
    "HTTP_PROXY": "http://127.0.0.1:9",
}

IN_A_SHELL = """
import json, sys
from harness import clock
from harness.cloud import Cloud

async def main():
    async with Cloud(services=()) as cloud:
        assert not [name for name in sys.modules if name.partition(".")[0] in ("moto", "botocore", "boto3")]
        await cloud.call("s3", "CreateBucket", {"Bucket": "bucket"})
        print(json.dumps([
            (await cloud.call("sts", "GetCallerIdentity", {}))["Arn"],
            (await cloud.call("sqs", "CreateQueue", {"QueueName": "q"}))["QueueUrl"].rpartition("/")[2],
            "users-own" in repr(cloud.__dict__),
        ]))

clock.run(main())
"""


def test_nothing_of_the_users_shell_matters() -> None:
    """Not a profile that does not exist, nor credentials, endpoints or proxies; and moto is loaded late."""
    shell = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **HOSTILE}
    done = subprocess.run(
        [sys.executable, "-c", IN_A_SHELL], env=shell, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["arn:aws:sts::123456789012:user/moto", "q", False]


def test_botocore_is_left_as_it_was() -> None:
    """Clients of the user's own process still go to AWS: moto's patches are not switched on."""

    async def body(cloud: Cloud) -> None:
        await cloud.call("s3", "ListBuckets", {})
        outside = boto3.session.Session().client(
            "sqs",
            region_name="us-east-1",
            endpoint_url="http://127.0.0.1:9",
            aws_access_key_id="a",
            aws_secret_access_key="b",
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=1),
        )
        with pytest.raises(Exception, match="Could not connect"):
            await blocking(outside.list_queues)

    in_cloud(body)
