"""A stack on a local cloud: made once, changed in place, refused as a whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.clock import run
from harness.cloud.errors import ServiceError
from harness.errors import TemplateError, UnsupportedError
from harness.project.bundle import Artifact, Bundle, Contents
from harness.targets.stack import LocalStack

ACCOUNT, REGION = "123456789012", "us-east-1"


class Services:
    """Remembers calls; layers get a new version each time, as on AWS."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self.objects: dict[str, bytes] = {}
        self.refuse: str | None = None
        self._versions = 0

    async def call(self, service: str, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        if operation == self.refuse:
            raise ServiceError("ValidationException", "no")
        self.calls.append((operation, params))
        if operation == "PublishLayerVersion":
            self._versions += 1
            layer = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:{params['LayerName']}"
            return {"LayerArn": layer, "LayerVersionArn": f"{layer}:{self._versions}"}
        return {}

    def put(self, bucket: str, key: str, body: bytes) -> None:
        self.objects[key] = body

    def take(self) -> list[str]:
        """The operations called since the last time."""
        operations = [operation for operation, _ in self.calls]
        self.calls.clear()
        return operations

    def params(self, operation: str) -> Mapping[str, Any]:
        (params,) = [params for name, params in self.calls if name == operation]
        return params


def bundle(folder: Path, resources: dict[str, Any], code: bytes = b"zip") -> Bundle:
    digest = hashlib.sha256(code).hexdigest()
    key = f"functions/{digest}.zip"
    template = {
        "Parameters": {
            "HarnessArtifactBucket": {"Type": "String"},
            "Suffix": {"Type": "String", "Default": ""},
        },
        "Resources": json.loads(json.dumps(resources).replace("CODE", key)),
        "Outputs": {"Name": {"Value": {"Fn::Sub": "it-${Suffix}"}}},
    }
    text = json.dumps(template).encode()
    contents = Contents(
        template_file="definitions/template.yaml",
        template_digest=hashlib.sha256(text).hexdigest(),
        artifacts={"Function": Artifact(key, digest, len(code))},
    )
    return Bundle.store(folder, contents, {"template.json": text, key: code})


def function(**properties: Any) -> dict[str, Any]:
    code = {"S3Bucket": {"Ref": "HarnessArtifactBucket"}, "S3Key": "CODE"}
    base = {"FunctionName": "f", "Code": code, "Role": "arn:r", "Runtime": "python3.12", "Handler": "h.h"}
    return {"Type": "AWS::Lambda::Function", "Properties": {**base, **properties}}


def layer(description: str = "") -> dict[str, Any]:
    content = {"S3Bucket": {"Ref": "HarnessArtifactBucket"}, "S3Key": "CODE"}
    properties = {"LayerName": "l", "Content": content, "Description": description}
    return {"Type": "AWS::Lambda::LayerVersion", "Properties": properties}


BUCKET = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "data"}}


def deploy(stack: LocalStack, built: Bundle, **parameters: str) -> None:
    run(stack.deploy(built, parameters, lambda line: None))


@pytest.fixture
def services() -> Services:
    return Services()


@pytest.fixture
def stack(services: Services) -> LocalStack:
    return LocalStack(services.call, services.put, ACCOUNT, REGION)


def test_resources_are_made_in_the_order_they_need_each_other(tmp_path, services, stack):
    resources = {"Function": function(Layers=[{"Ref": "Layer"}]), "Layer": layer(), "Bucket": BUCKET}
    deploy(stack, bundle(tmp_path, resources), Suffix="x")
    assert services.params("CreateFunction")["Layers"] == [f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l:1"]
    operations = services.take()
    assert operations[0] == "CreateBucket"  # for the artifacts
    assert operations.index("PublishLayerVersion") < operations.index("CreateFunction")
    assert list(services.objects.values()) == [b"zip"]
    assert stack.outputs == {"Name": "it-x"}
    assert stack.parameters["Suffix"] == "x"


def test_the_same_bundle_again_changes_nothing(tmp_path, services, stack):
    resources = {"Function": function(Layers=[{"Ref": "Layer"}]), "Layer": layer(), "Bucket": BUCKET}
    built = bundle(tmp_path, resources)
    deploy(stack, built)
    services.take()
    deploy(stack, built)
    assert services.take() == []


def test_changed_code_is_updated_in_place(tmp_path, services, stack):
    deploy(stack, bundle(tmp_path, {"Function": function()}))
    services.take()
    deploy(stack, bundle(tmp_path, {"Function": function()}, code=b"other"))
    assert services.params("UpdateFunctionCode")["S3Key"] in services.objects
    assert services.take() == ["UpdateFunctionCode"]


def test_a_new_layer_version_reaches_the_function(tmp_path, services, stack):
    deploy(stack, bundle(tmp_path, {"Function": function(Layers=[{"Ref": "Layer"}]), "Layer": layer("one")}))
    services.take()
    deploy(stack, bundle(tmp_path, {"Function": function(Layers=[{"Ref": "Layer"}]), "Layer": layer("two")}))
    new = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l:2"
    assert services.params("UpdateFunctionConfiguration") == {"FunctionName": "f", "Layers": [new]}


def test_another_name_is_another_resource(tmp_path, services, stack):
    deploy(stack, bundle(tmp_path, {"Function": function()}))
    services.take()
    deploy(stack, bundle(tmp_path, {"Function": function(FunctionName="g")}))
    assert services.take() == ["DeleteFunction", "CreateFunction"]


def test_what_the_template_no_longer_has_is_removed(tmp_path, services, stack):
    deploy(stack, bundle(tmp_path, {"Function": function(), "Bucket": BUCKET}))
    services.take()
    deploy(stack, bundle(tmp_path, {"Bucket": BUCKET}))
    assert services.take() == ["DeleteFunction"]
    assert list(stack.resources) == ["Bucket"]


QUEUE = {"Type": "AWS::SQS::Queue", "Properties": {}}
FAST_BUCKET = {"Type": "AWS::S3::Bucket", "Properties": {"AccelerateConfiguration": {}}}


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (QUEUE, "Odd is of the type AWS::SQS::Queue"),
        (FAST_BUCKET, "AccelerateConfiguration of AWS::S3::Bucket"),
    ],
)
def test_what_is_not_supported_is_refused_before_anything_is_made(tmp_path, services, stack, odd, message):
    with pytest.raises(UnsupportedError) as caught:
        deploy(stack, bundle(tmp_path, {"Function": function(), "Odd": odd}))
    assert message in caught.value.message
    assert caught.value.file == Path("definitions/template.yaml")
    assert (caught.value.place or "").startswith("Resources.Odd")
    assert services.take() == []
    assert services.objects == {}


def test_a_service_that_refuses(tmp_path, services, stack):
    services.refuse = "CreateFunction"
    built = bundle(tmp_path, {"Function": function()})
    with pytest.raises(TemplateError, match=r"Function .* cannot be made: ValidationException: no"):
        deploy(stack, built)
    # Tried again, it goes on where it stopped.
    services.refuse = None
    services.take()
    deploy(stack, built)
    assert services.take() == ["CreateFunction"]


def test_a_machine_gets_its_definition_with_substitutions(tmp_path, services, stack):
    machine = {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "StateMachineName": "m",
            "RoleArn": "arn:r",
            "DefinitionString": '{"StartAt": "${Where}"}',
            "DefinitionSubstitutions": {"Where": {"Fn::GetAtt": ["Function", "Arn"]}},
        },
    }
    deploy(stack, bundle(tmp_path, {"Function": function(), "Machine": machine}))
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
    assert json.loads(services.params("CreateStateMachine")["definition"]) == {"StartAt": arn}


def test_elsewhere_buckets_say_where(tmp_path, services):
    elsewhere = LocalStack(services.call, services.put, ACCOUNT, "eu-central-1")
    deploy(elsewhere, bundle(tmp_path, {"Function": function()}))
    constraint = {"LocationConstraint": "eu-central-1"}
    assert services.params("CreateBucket")["CreateBucketConfiguration"] == constraint
