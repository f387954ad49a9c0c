"""The Lambda API, but for Invoke."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from harness import clock
from harness.cloud.errors import ServiceError
from harness.cloud.functions import Lambda
from tests.cloud.functions.support import FakeCloud, Functions, archive, skipping

CODE = "def handler(event, context): return 1"
ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"

Story = Callable[[Functions], Coroutine[Any, Any, None]]


def play(story: Story) -> None:
    """Without environments: no template process is started ahead."""

    async def main() -> None:
        cloud = FakeCloud(skipping())
        f = Functions(cloud)
        f.service = Lambda(cloud, prewarm=False)  # type: ignore[arg-type]
        try:
            await story(f)
        finally:
            await f.service.close()
            shutil.rmtree(cloud.folder)

    clock.run(main())


async def refused(call: Coroutine[Any, Any, Any], code: str, message: str = "") -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        await call
    assert caught.value.code == code
    assert message in caught.value.message
    return caught.value


def test_create_and_look() -> None:
    async def story(f: Functions) -> None:
        made = await f.create(
            CODE,
            Description="d",
            Timeout=60,
            MemorySize=256,
            Environment={"Variables": {"A": "1"}},
            Tags={"team": "ml"},
        )
        content = archive(CODE)
        assert made["FunctionArn"] == ARN
        assert made["Version"] == "$LATEST"
        assert (made["State"], made["LastUpdateStatus"]) == ("Active", "Successful")
        assert made["CodeSha256"] == base64.b64encode(hashlib.sha256(content).digest()).decode()
        assert made["CodeSize"] == len(content)
        assert made["LastModified"] == "2025-06-15T15:06:40.000+0000"
        assert made["Environment"] == {"Variables": {"A": "1"}}
        assert (made["Timeout"], made["MemorySize"], made["Runtime"]) == (60, 256, "python3.11")
        for name in ("f", ARN, "123456789012:function:f", f"{ARN}:$LATEST"):
            configuration = await f.call("get_function_configuration", FunctionName=name)
            assert configuration["RevisionId"] == made["RevisionId"]
        got = await f.call("get_function", FunctionName="f")
        assert got["Configuration"] == made
        assert got["Tags"] == {"team": "ml"}

    play(story)


def test_defaults_are_awss() -> None:
    async def story(f: Functions) -> None:
        made = await f.create(CODE)
        assert {
            name: made[name] for name in ("Timeout", "MemorySize", "PackageType", "EphemeralStorage")
        } == {
            "Timeout": 3,
            "MemorySize": 128,
            "PackageType": "Zip",
            "EphemeralStorage": {"Size": 512},
        }
        assert made["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": "/aws/lambda/f"}
        assert "Environment" not in made
        assert "Layers" not in made

    play(story)


def test_code_from_s3() -> None:
    async def story(f: Functions) -> None:
        f.cloud.storage.buckets["code"] = {"f.zip": archive(CODE)}
        made = await f.create(CODE, Code={"S3Bucket": "code", "S3Key": "f.zip"})
        assert made["CodeSize"] == len(archive(CODE))
        for bucket, key, code in (("code", "g.zip", "NoSuchKey"), ("none", "f.zip", "NoSuchBucket")):
            await refused(
                f.create(CODE, "g", Code={"S3Bucket": bucket, "S3Key": key}),
                "InvalidParameterValueException",
                f"Error occurred while GetObject. S3 Error Code: {code}.",
            )

    play(story)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"PackageType": "Image", "Code": {"ImageUri": "x"}}, "PackageType Image is not supported"),
        ({"Runtime": "nodejs20.x"}, "Runtime nodejs20.x is not supported by the local cloud"),
        ({"Runtime": "python3.6"}, "python3.6 is no longer supported"),
        ({"Runtime": None}, "Runtime and Handler are mandatory"),
        ({"Handler": None}, "Runtime and Handler are mandatory"),
        ({"Code": {"ZipFile": b"x"}}, "Could not unzip uploaded file"),
        ({"Code": {}}, "Please provide a source for function code"),
        (
            {"Environment": {"Variables": {"AWS_REGION": "x"}}},
            "Reserved keys used in this request: AWS_REGION",
        ),
        ({"Environment": {"Variables": {"A": "x" * 4096}}}, "exceeded the 4KB limit"),
        (
            {"Layers": [f"arn:aws:lambda:us-east-1:123456789012:layer:l{n}:1" for n in range(6)]},
            "more than 5",
        ),
        ({"Layers": ["arn:aws:lambda:us-east-1:123456789012:layer:l:1"]}, "does not exist"),
        (
            {"FileSystemConfigs": [{"Arn": "a", "LocalMountPath": "/mnt/a"}]},
            "FileSystemConfigs is not supported",
        ),
        ({"CodeSigningConfigArn": "arn"}, "CodeSigningConfigArn is not supported"),
        ({"LoggingConfig": {"SystemLogLevel": "WARN"}}, "only for LogFormat JSON"),
    ],
)
def test_what_create_refuses(params: dict[str, Any], message: str) -> None:
    async def story(f: Functions) -> None:
        request = {name: value for name, value in params.items() if value is not None}
        missing = [name for name, value in params.items() if value is None]
        if missing:
            base = {"Runtime": "python3.11", "Handler": "handler.handler"}
            kept = {name: value for name, value in base.items() if name not in missing}
            call = f.call(
                "create_function", FunctionName="f", Role="r", Code={"ZipFile": archive(CODE)}, **kept
            )
        else:
            call = f.create(CODE, **request)
        await refused(call, "InvalidParameterValueException", message)
        assert f.service.registry.functions == {}

    play(story)


def test_a_name_is_taken_once() -> None:
    async def story(f: Functions) -> None:
        await f.create(CODE)
        error = await refused(f.create(CODE), "ResourceConflictException", "Function already exist: f")
        assert error.status == 409

    play(story)


def test_what_has_no_effect_is_said_once() -> None:
    async def story(f: Functions) -> None:
        await f.create(
            CODE,
            VpcConfig={"SubnetIds": ["s"], "SecurityGroupIds": ["g"]},
            TracingConfig={"Mode": "Active"},
        )
        await f.call("update_function_configuration", FunctionName="f", Timeout=5)
        said = sorted(message.split()[0] for message in f.warnings())
        assert said == ["TracingConfig", "VpcConfig"]

    play(story)


def test_updates() -> None:
    async def story(f: Functions) -> None:
        first = await f.create(CODE, Environment={"Variables": {"A": "1"}}, Description="d")
        second = await f.call("update_function_configuration", FunctionName="f", Timeout=9, Environment={})
        assert second["Timeout"] == 9
        assert second["Description"] == "d"
        assert "Environment" not in second
        assert second["RevisionId"] != first["RevisionId"]
        code = archive("x = 1")
        third = await f.call("update_function_code", FunctionName="f", ZipFile=code, DryRun=True)
        assert third["CodeSha256"] != first["CodeSha256"]
        assert (await f.call("get_function_configuration", FunctionName="f")) == second
        await refused(
            f.call("update_function_code", FunctionName="f", ZipFile=code, RevisionId=first["RevisionId"]),
            "PreconditionFailedException",
        )
        fourth = await f.call(
            "update_function_code",
            FunctionName="f",
            ZipFile=code,
            RevisionId=second["RevisionId"],
            Publish=True,
        )
        assert fourth["Version"] == "1"
        await refused(
            f.call("update_function_configuration", FunctionName="nobody"), "ResourceNotFoundException"
        )

    play(story)


def test_lists_come_in_pages() -> None:
    async def story(f: Functions) -> None:
        for name in ("c", "a", "b"):
            await f.create(CODE, name)
        first = await f.call("list_functions", MaxItems=2)
        assert [function["FunctionName"] for function in first["Functions"]] == ["a", "b"]
        second = await f.call("list_functions", MaxItems=2, Marker=first["NextMarker"])
        assert [function["FunctionName"] for function in second["Functions"]] == ["c"]
        assert "NextMarker" not in second
        await refused(f.call("list_functions", Marker="?"), "InvalidParameterValueException")
        await f.call("publish_version", FunctionName="a")
        everything = await f.call("list_functions", FunctionVersion="ALL")
        assert [function["FunctionArn"].split(":", 6)[6] for function in everything["Functions"]] == [
            "a:$LATEST",
            "a:1",
            "b:$LATEST",
            "c:$LATEST",
        ]

    play(story)


def test_delete() -> None:
    async def story(f: Functions) -> None:
        await f.create(CODE)
        await f.call("delete_function", FunctionName="f")
        await refused(f.call("get_function", FunctionName="f"), "ResourceNotFoundException", ARN)
        await refused(f.call("delete_function", FunctionName="f"), "ResourceNotFoundException", ARN)
        assert await f.create(CODE)

    play(story)


def test_versions_do_not_change() -> None:
    async def story(f: Functions) -> None:
        await f.create(CODE, Description="one")
        one = await f.call("publish_version", FunctionName="f")
        assert (one["Version"], one["FunctionArn"]) == ("1", f"{ARN}:1")
        again = await f.call("publish_version", FunctionName="f")
        assert again["Version"] == "1"  # nothing has changed since
        await f.call("update_function_configuration", FunctionName="f", Timeout=30)
        two = await f.call("publish_version", FunctionName="f", Description="second")
        assert (two["Version"], two["Description"], two["Timeout"]) == ("2", "second", 30)
        assert (await f.call("get_function_configuration", FunctionName="f", Qualifier="1"))["Timeout"] == 3
        listed = await f.call("list_versions_by_function", FunctionName="f")
        assert [version["Version"] for version in listed["Versions"]] == ["$LATEST", "1", "2"]
        await refused(
            f.call("publish_version", FunctionName="f", CodeSha256="other"),
            "InvalidParameterValueException",
            "is different from current CodeSHA256",
        )
        await f.call("delete_function", FunctionName="f", Qualifier="2")
        await refused(f.call("get_function", FunctionName="f:2"), "ResourceNotFoundException", f"{ARN}:2")
        await f.call("update_function_configuration", FunctionName="f", Timeout=31)
        assert (await f.call("publish_version", FunctionName="f"))["Version"] == "3"
        await refused(
            f.call("get_function", FunctionName="f:1", Qualifier="3"), "InvalidParameterValueException"
        )

    play(story)


def test_the_longest_timeout() -> None:
    async def story(f: Functions) -> None:
        message = "Value '901' at 'timeout' failed to satisfy constraint"
        await refused(f.create(CODE, Timeout=901), "ValidationException", message)
        await f.create(CODE, Timeout=900)
        change = f.call("update_function_configuration", FunctionName="f", Timeout=901)
        await refused(change, "ValidationException", message)

    play(story)


def test_aliases() -> None:
    async def story(f: Functions) -> None:
        await f.create(CODE)
        await f.call("publish_version", FunctionName="f")
        await f.call("update_function_configuration", FunctionName="f", Timeout=30)
        await f.call("publish_version", FunctionName="f")
        live = await f.call("create_alias", FunctionName="f", Name="live", FunctionVersion="1")
        assert live["AliasArn"] == f"{ARN}:live"
        configuration = await f.call("get_function_configuration", FunctionName="f:live")
        assert (configuration["Version"], configuration["FunctionArn"]) == ("1", f"{ARN}:live")
        await refused(
            f.call("create_alias", FunctionName="f", Name="live", FunctionVersion="1"),
            "ResourceConflictException",
        )
        await refused(
            f.call("create_alias", FunctionName="f", Name="x", FunctionVersion="9"),
            "ResourceNotFoundException",
        )
        await refused(
            f.call("delete_function", FunctionName="f", Qualifier="1"), "ResourceConflictException", "live"
        )
        routing = {"AdditionalVersionWeights": {"2": 0.5}}
        moved = await f.call("update_alias", FunctionName="f", Name="live", RoutingConfig=routing)
        assert moved["RoutingConfig"] == routing
        assert moved["RevisionId"] != live["RevisionId"]
        seen = {
            (await f.call("get_function_configuration", FunctionName="f:live"))["Version"] for _ in range(50)
        }
        assert seen == {"1", "2"}
        await f.call("update_alias", FunctionName="f", Name="live", FunctionVersion="2", RoutingConfig={})
        listed = await f.call("list_aliases", FunctionName="f", FunctionVersion="2")
        assert [alias["Name"] for alias in listed["Aliases"]] == ["live"]
        assert "RoutingConfig" not in listed["Aliases"][0]
        await f.call("delete_alias", FunctionName="f", Name="live")
        await refused(f.call("get_alias", FunctionName="f", Name="live"), "ResourceNotFoundException")

    play(story)


def test_layers() -> None:
    async def story(f: Functions) -> None:
        content = archive({"python/l.py": ""})
        arn = "arn:aws:lambda:us-east-1:123456789012:layer:l"
        for number in (1, 2):
            layer = await f.call(
                "publish_layer_version",
                LayerName="l",
                Content={"ZipFile": content},
                CompatibleRuntimes=["python3.12"],
            )
            assert layer["LayerVersionArn"] == f"{arn}:{number}"
            assert layer["Content"]["CodeSize"] == len(content)
        made = await f.create(CODE, Layers=[f"{arn}:1"])
        assert made["Layers"] == [{"Arn": f"{arn}:1", "CodeSize": len(content)}]
        await refused(
            f.create(CODE, "g", Layers=[f"{arn}:1", f"{arn}:2"]),
            "InvalidParameterValueException",
            "Two different",
        )
        assert (await f.call("get_layer_version", LayerName="l", VersionNumber=2))["Version"] == 2
        assert (await f.call("get_layer_version_by_arn", Arn=f"{arn}:1"))["Version"] == 1
        listed = await f.call("list_layers", CompatibleRuntime="python3.12")
        assert listed["Layers"][0]["LatestMatchingVersion"]["Version"] == 2
        assert (await f.call("list_layers", CompatibleRuntime="python3.9"))["Layers"] == []
        versions = await f.call("list_layer_versions", LayerName=arn)
        assert [version["Version"] for version in versions["LayerVersions"]] == [2, 1]
        for number in (1, 2):
            await f.call("delete_layer_version", LayerName="l", VersionNumber=number)
        await refused(
            f.call("get_layer_version", LayerName="l", VersionNumber=1), "ResourceNotFoundException"
        )
        again = await f.call("publish_layer_version", LayerName="l", Content={"ZipFile": content})
        assert again["Version"] == 3

    play(story)


def test_permissions() -> None:
    async def story(f: Functions) -> None:
        await f.create(CODE)
        await refused(f.call("get_policy", FunctionName="f"), "ResourceNotFoundException")
        added = await f.call(
            "add_permission",
            FunctionName="f",
            StatementId="s3",
            Action="lambda:InvokeFunction",
            Principal="s3.amazonaws.com",
            SourceArn="arn:aws:s3:::bucket",
            SourceAccount="123456789012",
        )
        assert json.loads(added["Statement"]) == {
            "Sid": "s3",
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "lambda:InvokeFunction",
            "Resource": ARN,
            "Condition": {
                "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::bucket"},
                "StringEquals": {"AWS:SourceAccount": "123456789012"},
            },
        }
        again = {"FunctionName": "f", "StatementId": "s3", "Action": "lambda:InvokeFunction"}
        await refused(f.call("add_permission", **again, Principal="*"), "ResourceConflictException")
        policy = json.loads((await f.call("get_policy", FunctionName="f"))["Policy"])
        assert [statement["Sid"] for statement in policy["Statement"]] == ["s3"]
        await f.call("remove_permission", FunctionName="f", StatementId="s3")
        await refused(
            f.call("remove_permission", FunctionName="f", StatementId="s3"), "ResourceNotFoundException"
        )

    play(story)


def test_tags() -> None:
    async def story(f: Functions) -> None:
        await f.create(CODE, Tags={"a": "1"})
        await f.call("tag_resource", Resource=ARN, Tags={"b": "2"})
        await f.call("untag_resource", Resource=ARN, TagKeys=["a", "none"])
        assert await f.call("list_tags", Resource=ARN) == {"Tags": {"b": "2"}}
        await refused(f.call("list_tags", Resource=f"{ARN}:1"), "InvalidParameterValueException")
        await refused(
            f.call("list_tags", Resource="arn:aws:lambda:us-east-1:123456789012:event-source-mapping:x"),
            "InvalidParameterValueException",
        )

    play(story)


def test_concurrency_leaves_some_to_others() -> None:
    async def story(f: Functions) -> None:
        await f.create(CODE)
        await f.create(CODE, "g")
        assert await f.call("get_function_concurrency", FunctionName="f") == {}
        await f.call("put_function_concurrency", FunctionName="f", ReservedConcurrentExecutions=900)
        await refused(
            f.call("put_function_concurrency", FunctionName="g", ReservedConcurrentExecutions=1),
            "InvalidParameterValueException",
            "below its minimum value of [100]",
        )
        got = await f.call("get_function", FunctionName="f")
        assert got["Concurrency"] == {"ReservedConcurrentExecutions": 900}
        limits = (await f.call("get_account_settings"))["AccountLimit"]
        assert limits["UnreservedConcurrentExecutions"] == 100
        await f.call("delete_function_concurrency", FunctionName="f")
        assert await f.call("get_function_concurrency", FunctionName="f") == {}

    play(story)


def test_account_usage() -> None:
    async def story(f: Functions) -> None:
        await f.create(CODE)
        usage = (await f.call("get_account_settings"))["AccountUsage"]
        assert usage == {"FunctionCount": 1, "TotalCodeSize": len(archive(CODE))}

    play(story)
