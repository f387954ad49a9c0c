"""Task states and the services they call: callbacks, and what is refused when a machine is created."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.asl.tasks import JSON, TaskError
from harness.clock import run
from harness.cloud.service import Service
from harness.cloud.stepfunctions.integrations import Refused
from harness.cloud.stepfunctions.tokens import TaskTokens

from .api import Api
from .fakes import FakeCloud, Progress, refuse, resource, task
from .integration import check, failure, integrations_of

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:work"
STATES = "arn:aws:states:::"


def test_a_request_that_does_not_fit_is_never_scheduled() -> None:
    progress = Progress()

    async def main() -> None:
        await integrations_of(FakeCloud()).run(task(f"{STATES}sqs:sendMessage", {}), progress)

    with pytest.raises(TaskError, match="The field 'QueueUrl' is required but was missing"):
        run(main())
    assert progress.reported == []


# Callbacks ----------------------------------------------------------------------------------------------


def _callback(settle: Any) -> tuple[JSON, list[Any], FakeCloud]:
    cloud = FakeCloud()
    tokens = TaskTokens()
    progress = Progress()

    def send(params: dict[str, Any]) -> dict[str, Any]:
        settle(tokens, params["MessageBody"])
        return {"MessageId": "m"}

    cloud.handlers["sqs.SendMessage"] = send
    arguments = {"QueueUrl": "http://q", "MessageBody": "token-1"}

    async def main() -> JSON:
        return await integrations_of(cloud, tokens).run(
            task(f"{STATES}sqs:sendMessage.waitForTaskToken", arguments, "token-1"), progress
        )

    return run(main()), progress.reported, cloud


def test_callback_may_come_before_the_call_returns() -> None:
    result, reported, _ = _callback(lambda tokens, token: tokens.succeed(token, '{"approved": true}'))
    assert result == {"approved": True}
    assert reported[0] == "started"
    assert reported[1][0] == "submitted"
    assert reported[1][1]["MessageId"] == "m"


def test_callback_failure() -> None:
    with pytest.raises(TaskError) as caught:
        _callback(lambda tokens, token: tokens.fail(token, "Rejected", "by hand"))
    assert (caught.value.error, caught.value.cause, caught.value.stage) == ("Rejected", "by hand", "run")


def test_callback_whose_call_is_refused_was_not_submitted() -> None:
    cloud = FakeCloud()
    cloud.handlers["sqs.SendMessage"] = refuse("QueueDoesNotExist", "The queue does not exist.")
    arguments = {"QueueUrl": "http://q", "MessageBody": "x"}
    error = failure(cloud, f"{STATES}sqs:sendMessage.waitForTaskToken", arguments, "token-1")
    assert error.stage == "submit"
    assert error.error == "SQS.QueueDoesNotExistException"


# At creation --------------------------------------------------------------------------------------------


class FakeSageMaker(Service):
    name = "sagemaker"

    async def describe_endpoint(self, request: Any) -> dict[str, Any]:
        raise NotImplementedError


SUPPORTED = {
    "lambda:invoke": ["", "waitForTaskToken"],
    "sagemaker:createTrainingJob": ["", "sync"],
    "sagemaker:createTransformJob": ["", "sync"],
    "sagemaker:createProcessingJob": ["", "sync"],
    "sagemaker:createHyperParameterTuningJob": ["", "sync"],
    "sagemaker:createModel": [""],
    "sagemaker:createEndpointConfig": [""],
    "sagemaker:createEndpoint": [""],
    "sagemaker:updateEndpoint": [""],
    "states:startExecution": ["", "sync", "sync:2", "waitForTaskToken"],
    "sqs:sendMessage": ["", "waitForTaskToken"],
    "sns:publish": ["", "waitForTaskToken"],
    "events:putEvents": ["", "waitForTaskToken"],
    "dynamodb:getItem": [""],
    "dynamodb:putItem": [""],
    "dynamodb:updateItem": [""],
    "dynamodb:deleteItem": [""],
    "aws-sdk:s3:listObjectsV2": ["", "waitForTaskToken"],
    "aws-sdk:sagemaker:describeEndpoint": ["", "waitForTaskToken"],
    "aws-sdk:cloudwatchlogs:putLogEvents": ["", "waitForTaskToken"],
}
PATTERNS = ["", "sync", "sync:2", "waitForTaskToken"]


def _arn(action: str, pattern: str) -> str:
    return f"{STATES}{action}.{pattern}" if pattern else f"{STATES}{action}"


@pytest.mark.parametrize(
    ("arn", "exists"),
    [
        (_arn(action, pattern), pattern in patterns)
        for action, patterns in SUPPORTED.items()
        for pattern in PATTERNS
    ],
)
def test_integration_patterns(arn: str, exists: bool) -> None:
    cloud = FakeCloud()
    cloud.services["sagemaker"] = FakeSageMaker(cloud)
    if exists:
        assert check(cloud, arn) == []
        return
    with pytest.raises(Refused, match="is not recognized") as caught:
        check(cloud, arn)
    assert caught.value.code == "SCHEMA_VALIDATION_FAILED"


@pytest.mark.parametrize("arn", [FUNCTION, f"{FUNCTION}:live", f"{FUNCTION}:7"])
def test_functions_are_looked_for_when_they_are_called(arn: str) -> None:
    assert check(FakeCloud(), arn, {"anything": 1}) == []


@pytest.mark.parametrize(
    "action",
    [
        "lambda:destroy",
        "lambda:Invoke",
        "lambda:invokeAsync",
        "sagemaker:createModelPackage",
        "sagemaker:describeTrainingJob",
        "sagemaker:createtrainingjob",
        "sagemaker:createAutoMLJob.sync",
        "dynamodb:query",
        "sqs:receiveMessage",
        "s3:putObject",
        "redshift-data:executeStatement",
        "glue:startCrawler",
        "athena:startQuery",
        "glue:startJobRun.waitForTaskToken",
        "athena:getQueryResults.sync",
        "batch:submitJob.sync:2",
        "http:invoke.sync",
        "bedrock-agentcore:invoke.waitForTaskToken",
    ],
)
def test_what_aws_does_not_recognize(action: str) -> None:
    with pytest.raises(Refused) as caught:
        check(FakeCloud(), f"{STATES}{action}")
    assert caught.value.code == "SCHEMA_VALIDATION_FAILED"
    assert str(caught.value) == (
        f"The resource provided {STATES}{action} is not recognized. The value is not a valid resource ARN, "
        "or the resource is not available in this region."
    )


@pytest.mark.parametrize(
    ("region", "account", "here"),
    [
        ("us-east-1", "123456789012", True),
        ("us-east-1", "", True),
        ("eu-west-1", "", False),
        ("", "999999999999", False),
    ],
)
def test_a_resource_that_names_where_it_is(region: str, account: str, here: bool) -> None:
    arn = f"arn:aws:states:{region}:{account}:sqs:sendMessage"
    if here:
        assert check(FakeCloud(), arn) == []
        return
    with pytest.raises(Refused, match="is not available in this region"):
        check(FakeCloud(), arn)


UNSUPPORTED = {
    "apigateway:invoke": "the local API Gateway keeps APIs but serves none",
    "athena:startQueryExecution.sync": "the local Athena keeps records but runs nothing",
    "athena:getQueryResults": "the local Athena keeps records but runs nothing",
    "batch:submitJob.sync": "the local Batch runs jobs on a Docker engine of its own",
    "bedrock:invokeModel": "there is no model of Bedrock's here",
    "bedrock-agentcore:invokeHarness": "there is no agent runtime here",
    "codebuild:startBuild.sync": "the local CodeBuild keeps records but runs nothing",
    "databrew:startJobRun.sync": "the local DataBrew keeps records but runs nothing",
    "ecs:runTask.sync": "the local ECS keeps records but runs nothing",
    "ecs:runTask.waitForTaskToken": "the local ECS keeps records but runs nothing",
    "eks:call": "there is no Kubernetes cluster here",
    "elasticmapreduce:addStep.sync": "the local EMR keeps records but runs nothing",
    "emr-containers:startJobRun.sync": "the local EMR keeps records but runs nothing",
    "emr-serverless:startJobRun.sync": "the local EMR Serverless keeps records but runs nothing",
    "glue:startJobRun": "the local Glue keeps records but runs nothing",
    "glue:startJobRun.sync": "the local Glue keeps records but runs nothing",
    "http:invoke": "HTTP endpoints outside are not called from here",
    "mediaconvert:createJob.sync": "there is no MediaConvert here",
    "s3files:mount": "there is no S3 Files here",
    "sagemaker:createLabelingJob.sync": "the local SageMaker has no labeling jobs",
}


@pytest.mark.parametrize(("action", "why"), UNSUPPORTED.items())
def test_what_would_only_pretend_to_work_is_refused_with_its_state(action: str, why: str) -> None:
    """At creation, by the code that says it is ours and not AWS's, with the place and what to do instead."""
    inner = {"Type": "Task", "Resource": f"{STATES}{action}", "Parameters": {}, "End": True}
    definition = json.dumps(
        {
            "StartAt": "Each",
            "States": {
                "Each": {
                    "Type": "Map",
                    "ItemProcessor": {"StartAt": "Heavy work", "States": {"Heavy work": inner}},
                    "End": True,
                }
            },
        }
    )

    async def main() -> None:
        api = Api()
        code, message = await api.refusal(
            "create_state_machine",
            name="m",
            definition=definition,
            roleArn="arn:aws:iam::123456789012:role/r",
        )
        assert code == "InvalidDefinition"
        assert message.startswith(
            f"Invalid State Machine Definition: 'UNSUPPORTED_FEATURE: The resource {STATES}{action} exists "
            f"on AWS but is not supported locally: {why}"
        )
        assert ". Stub this state in the scenario, or " in message
        assert message.endswith(" at /States/Each/ItemProcessor/States/Heavy work/Resource'")

    run(main())


def task_state(arn: str, **fields: JSON) -> str:
    state = {"Type": "Task", "Resource": arn, "End": True, **fields}
    return json.dumps({"StartAt": "Work", "States": {"Work": state}})


def diagnostics(definition: str) -> list[tuple[str, str, str | None]]:
    """Code, message and location of all errors."""

    async def main() -> list[tuple[str, str, str | None]]:
        answer = await Api().validate_state_machine_definition(definition=definition)
        return [
            (found["code"], found["message"], found.get("location"))
            for found in answer["diagnostics"]
            if found["severity"] == "ERROR"
        ]

    return run(main())


@pytest.mark.parametrize(
    ("arn", "fields", "message", "location"),
    [
        (
            "lambda:invoke",
            {"Parameters": {"FunctionName": "f", "Body": 1}},
            'The field "Body" is not supported by Step Functions',
            "/Parameters",
        ),
        (
            "lambda:invoke",
            {"QueryLanguage": "JSONata", "Arguments": {"Payload": "{% $states.input %}"}},
            "The field 'FunctionName' is required but was missing",
            "/Arguments",
        ),
        (
            "sagemaker:createModel",
            {},
            "Parameters field is required for resource ARN: arn:aws:states:::sagemaker:createModel",
            "",
        ),
        (
            "aws-sdk:ec2:describeRegions",
            {"QueryLanguage": "JSONata"},
            "Arguments field is required for resource ARN: arn:aws:states:::aws-sdk:ec2:describeRegions",
            "",
        ),
        (
            "sqs:sendMessage.sync",
            {"Parameters": {}},
            "The resource provided arn:aws:states:::sqs:sendMessage.sync is not recognized. The value is not "
            "a valid resource ARN, or the resource is not available in this region.",
            "/Resource",
        ),
        (
            "states:startExecution",
            {"Parameters": {"StateMachineArn": "m", "TraceHeader": "t"}},
            'The field "TraceHeader" is not supported by Step Functions',
            "/Parameters",
        ),
    ],
)
def test_findings_name_the_place(arn: str, fields: dict[str, JSON], message: str, location: str) -> None:
    found = diagnostics(task_state(f"{STATES}{arn}", **fields))
    assert found == [("SCHEMA_VALIDATION_FAILED", message, f"/States/Work{location}")]


def test_arguments_that_are_one_expression_are_checked_when_they_are_known() -> None:
    fields = {"QueryLanguage": "JSONata", "Arguments": "{% $states.input %}"}
    assert diagnostics(task_state(f"{STATES}sqs:sendMessage", **fields)) == []
    error = failure(FakeCloud(), f"{STATES}sqs:sendMessage", {"QueueUrl": "q", "Body": "b"})
    assert error.error == "States.Runtime"
    assert '[The field "Body" is not supported by Step Functions, ' in error.cause


def test_tasks_are_checked_whatever_else_is_wrong() -> None:
    state = {"Type": "Task", "Resource": f"{STATES}sqs:eat", "Parameters": {}, "Next": "Nowhere"}
    found = diagnostics(json.dumps({"StartAt": "Work", "States": {"Work": state}}))
    assert ("MISSING_TRANSITION_TARGET", "Missing 'Next' target: Nowhere", "/States/Work/Next") in found
    assert "/States/Work/Resource" in {location for _, _, location in found}


@pytest.mark.parametrize(
    "definition",
    [
        "null",
        "[]",
        '{"States": []}',
        '{"StartAt": "A", "States": {"A": 1}}',
        '{"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": 1}}}',
        '{"StartAt": "A", "States": {"A": {"Type": "Parallel", "Branches": {"a": 1}}}}',
        '{"StartAt": "A", "States": {"A": {"Type": "Map", "Iterator": []}}}',
        '{"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", '
        '"Parameters": 1, "End": true}}}',
    ],
)
def test_what_is_hardly_a_definition(definition: str) -> None:
    assert diagnostics(definition)


def test_resource_of_every_kind_is_taken_apart() -> None:
    assert resource(f"{STATES}states:startExecution.sync:2").pattern == "sync:2"
