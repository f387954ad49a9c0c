"""The pipeline that this repository ships, as a project."""

from __future__ import annotations

from pathlib import Path

from harness.project import Project
from harness.project.template import Template

ROOT = Path(__file__).resolve().parents[2]


def test_functions_have_the_names_of_their_folders():
    template = Template(Project.load(ROOT).template)
    functions = [code for code in template.local_code() if code.type == "AWS::Serverless::Function"]
    assert len(functions) == 5
    for code in functions:
        name = template.property(code.logical_id, "FunctionName")
        assert name == {"Fn::Sub": code.path.name + "${NameSuffix}"}


def test_every_environment_variable_a_function_reads_is_set_and_the_other_way_round():
    template = Template(Project.load(ROOT).template)
    for code in template.local_code():
        if code.type != "AWS::Serverless::Function":
            continue
        source = (code.path / "handler.py").read_text()
        environment = template.property(code.logical_id, "Environment") or {"Variables": {}}
        given = set(environment["Variables"])
        read = {
            part.split('"')[0].split("'")[0]
            for part in source.replace("environ['", 'environ["').split('environ["')[1:]
        }
        assert read == given, code.logical_id


def test_one_role_that_lambda_and_sagemaker_may_take_on():
    resources = Template(Project.load(ROOT).template).body["Resources"]
    role = resources["Role"]["Properties"]
    assert role["RoleName"] == {"Fn::Sub": "mlops-sm-s3${NameSuffix}"}
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"]["Service"] == ["lambda.amazonaws.com", "sagemaker.amazonaws.com"]
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            assert not any("*" in action for action in actions)
            if statement["Resource"] == "*":
                assert statement["Sid"] in ("LogInToRegistry", "WriteMetrics")
