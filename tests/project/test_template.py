from __future__ import annotations

import pytest

from harness.errors import TemplateError, UnsupportedError
from harness.project.template import ARTIFACT_BUCKET, Template, expand


def load(tmp_path, text):
    file = tmp_path / "template.yaml"
    file.write_text(text)
    return Template(file)


BUCKET = "Resources:\n  Data:\n    Type: AWS::S3::Bucket\n"


def test_short_forms_are_written_out(tmp_path):
    template = load(
        tmp_path,
        """
AWSTemplateFormatVersion: 2010-09-09
Conditions:
  C: !And [!Condition D, !Not [!Equals [!Ref P, "yes"]]]
Resources:
  R:
    Type: AWS::S3::Bucket
    Properties:
      A: !Ref P
      B: !GetAtt R.Arn.More
      C: !Sub "${P}-x"
      D: !Sub ["${V}", {V: !Ref P}]
      E: !Join ["-", [a, !Ref P]]
      F: !If [C, 1, !Ref AWS::NoValue]
      G: !FindInMap [M, !Ref P, k]
      H: !Base64
        Fn::Sub: x
      I: [1, 1.5, true, null, 2024-01-01, "1", 1e3]
""",
    )
    ref = {"Ref": "P"}
    assert template.body["AWSTemplateFormatVersion"] == "2010-09-09"
    assert template.body["Conditions"]["C"] == {
        "Fn::And": [{"Condition": "D"}, {"Fn::Not": [{"Fn::Equals": [ref, "yes"]}]}]
    }
    assert template.body["Resources"]["R"]["Properties"] == {
        "A": ref,
        "B": {"Fn::GetAtt": ["R", "Arn.More"]},
        "C": {"Fn::Sub": "${P}-x"},
        "D": {"Fn::Sub": ["${V}", {"V": ref}]},
        "E": {"Fn::Join": ["-", ["a", ref]]},
        "F": {"Fn::If": ["C", 1, {"Ref": "AWS::NoValue"}]},
        "G": {"Fn::FindInMap": ["M", ref, "k"]},
        "H": {"Fn::Base64": {"Fn::Sub": "x"}},
        "I": [1, 1.5, True, None, "2024-01-01", "1", "1e3"],
    }


def test_json_is_a_template_too(tmp_path):
    template = load(tmp_path, '{"Resources": {"Data": {"Type": "AWS::S3::Bucket"}}}')
    assert [resource[0] for resource in template.resources()] == ["Data"]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", None, "the template is empty"),
        ("- a\n", "line 1", "a template is a mapping with Resources"),
        ("Resources: {}\n", "line 1, Resources", "the template has no Resources"),
        ("Resources:\n  A: [\n", "line 3, column 1", "not YAML"),
        ("a: b: c\n", "line 1, column 5", "not YAML"),
        (BUCKET + "Resorces: {}\n", "line 4, Resorces", "unknown section Resorces"),
        ("Resources:\n  A: {}\n", "line 2, Resources.A", "A has no Type"),
        ("Resources:\n  A_B: {Type: x}\n", "line 2, Resources.A_B", "A_B is not a logical id"),
        (
            "Resources:\n  A:\n    Type: x\n    Properties: []\n",
            "line 2, Resources.A",
            "Properties of A must be",
        ),
        (BUCKET + "    Type: AWS::S3::Bucket\n", "line 4, column 5", "Type is here twice"),
        (BUCKET + "Parameters: []\n", "line 4, Parameters", "Parameters must be a mapping"),
        (
            BUCKET + "    Properties: {A: !GetAtt Data}\n",
            "line 4, column 21",
            "!GetAtt Data names no attribute",
        ),
        (BUCKET + "    Properties: {<<: {}}\n", "line 4, column 18", "CloudFormation knows no merge keys"),
        (BUCKET + "    Properties: {A: !!binary aGk=}\n", "line 4, column 21", "has no place in a template"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, text, place, message):
    with pytest.raises(TemplateError) as caught:
        load(tmp_path, text)
    assert caught.value.file == tmp_path / "template.yaml"
    assert message in caught.value.message
    assert caught.value.place == place


def test_a_missing_template(tmp_path):
    with pytest.raises(TemplateError, match="no such file"):
        Template(tmp_path / "template.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Transform: [AWS::Serverless-2016-10-31, MyMacro]\n" + BUCKET, "MyMacro"),
        ("Transform: AWS::LanguageExtensions\n" + BUCKET, "LanguageExtensions"),
        (BUCKET + "Rules: {}\n", "Rules"),
    ],
)
def test_what_only_aws_can_do_is_refused_by_name(tmp_path, text, message):
    with pytest.raises(UnsupportedError, match=message):
        load(tmp_path, text)


SAM = """\
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {Runtime: python3.12, Handler: app.handler, CodeUri: ../common}
Resources:
  Shared:
    Type: AWS::Serverless::Function
  Own:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: ../own}
  Inline:
    Type: AWS::Serverless::Function
    Properties: {InlineCode: "pass"}
  Plain:
    Type: AWS::Lambda::Function
    Properties:
      Code: ../plain
      Role: arn:aws:iam::123456789012:role/r
  Layer:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: ../layer}
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties: {DefinitionUri: m.asl.json, Role: "arn:aws:iam::123456789012:role/r"}
"""


def test_local_code_is_found_and_becomes_objects_of_the_artifact_bucket(tmp_path):
    template = load(tmp_path, SAM)
    found = {code.logical_id: (code.property, code.path) for code in template.local_code()}
    assert found == {
        "Shared": ("CodeUri", tmp_path / "../common"),
        "Own": ("CodeUri", tmp_path / "../own"),
        "Plain": ("Code", tmp_path / "../plain"),
        "Layer": ("ContentUri", tmp_path / "../layer"),
        "Machine": ("DefinitionUri", tmp_path / "m.asl.json"),
    }

    body = template.with_artifacts({name: f"key/{name}" for name in found})
    bucket = {"Ref": ARTIFACT_BUCKET}
    properties = {name: resource.get("Properties") for name, resource in body["Resources"].items()}
    assert properties["Shared"] == {"CodeUri": {"Bucket": bucket, "Key": "key/Shared"}}
    assert properties["Plain"]["Code"] == {"S3Bucket": bucket, "S3Key": "key/Plain"}
    assert properties["Layer"] == {"ContentUri": {"Bucket": bucket, "Key": "key/Layer"}}
    assert properties["Machine"]["DefinitionUri"] == {"Bucket": bucket, "Key": "key/Machine"}
    assert properties["Inline"] == {"InlineCode": "pass"}
    assert body["Parameters"][ARTIFACT_BUCKET]["Type"] == "String"
    assert "Properties" not in template.body["Resources"]["Shared"], "the template itself is left alone"


def test_code_that_is_not_part_of_the_project_is_refused(tmp_path):
    template = load(tmp_path, SAM.replace("../own", "s3://bucket/own.zip"))
    with pytest.raises(UnsupportedError, match="Own takes its code from s3://bucket"):
        template.local_code()


def test_a_function_without_code(tmp_path):
    text = "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties: {Runtime: python3.12}\n"
    with pytest.raises(TemplateError, match="function F has no CodeUri") as caught:
        load(tmp_path, text).local_code()
    assert caught.value.place == "line 2, Resources.F"


def expanded(tmp_path, text):
    template = load(tmp_path, text)
    keys = {code.logical_id: f"key/{code.logical_id}" for code in template.local_code()}
    return expand(template, template.with_artifacts(keys), "us-east-1", tmp_path / "cache")


def test_sam_is_expanded_without_region_or_credentials_of_the_caller(tmp_path, monkeypatch):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    policies = "    Properties: {CodeUri: ../own, Policies: [AWSXrayWriteOnlyAccess]}"
    result = expanded(tmp_path, SAM.replace("    Properties: {CodeUri: ../own}", policies))
    types = {name: resource["Type"] for name, resource in result["Resources"].items()}
    assert types["Shared"] == "AWS::Lambda::Function"
    assert types["Machine"] == "AWS::StepFunctions::StateMachine"
    assert result["Resources"]["Own"]["Properties"]["Code"] == {
        "S3Bucket": {"Ref": ARTIFACT_BUCKET},
        "S3Key": "key/Own",
    }
    assert "arn:aws:iam::aws:policy/AWSXrayWriteOnlyAccess" in str(result["Resources"]["OwnRole"])


def test_the_expansion_is_cached_by_content(tmp_path):
    first = expanded(tmp_path, SAM)
    (stored,) = (tmp_path / "cache").iterdir()
    stored.write_text('{"from": "cache"}')
    assert expanded(tmp_path, SAM) == {"from": "cache"}
    stored.write_text('{"from": "ca')
    assert expanded(tmp_path, SAM) == first, "a damaged entry is made again"
    expanded(tmp_path, SAM.replace("../own", "../other"))
    assert len(list((tmp_path / "cache").iterdir())) == 1, "where code lies does not matter, its key does"
    expanded(tmp_path, SAM.replace("python3.12", "python3.13"))
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_template_without_sam_needs_no_expansion(tmp_path):
    assert expanded(tmp_path, BUCKET) == {"Resources": {"Data": {"Type": "AWS::S3::Bucket"}}}
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Handler: app.handler, ": ""}, "Handler"),
        ({"{CodeUri: ../own}": "{CodeUri: ../own, Tracing: 3, Events: {E: {Type: Nonsense}}}"}, "Own"),
        ({"Runtime: python3.12": "Runtim: python3.12"}, "Runtim"),
    ],
)
def test_what_the_translator_refuses_is_a_template_error(tmp_path, change, message):
    text = SAM
    for old, new in change.items():
        text = text.replace(old, new)
    with pytest.raises(TemplateError, match=message):
        expanded(tmp_path, text)


def test_nested_applications_are_refused(tmp_path):
    text = SAM + "  App:\n    Type: AWS::Serverless::Application\n    Properties: {Location: app.yaml}\n"
    with pytest.raises(UnsupportedError, match="App is a nested application"):
        expanded(tmp_path, text)
