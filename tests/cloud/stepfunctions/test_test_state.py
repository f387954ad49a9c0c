"""TestState."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.asl.task import parse_resource
from harness.clock import run
from harness.cloud.stepfunctions.integrations.catalogue import OPTIMIZED
from harness.cloud.stepfunctions.mocks import problem_with

from .api import Api
from .fakes import ROLE, START, refuse

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:f"
INVOKE = {
    "Type": "Task",
    "Resource": "arn:aws:states:::lambda:invoke",
    "Parameters": {"FunctionName": "f", "Payload.$": "$"},
    "End": True,
}
PASS = {"Type": "Pass", "End": True}
ERROR = {"errorOutput": {"error": "Broken", "cause": "it broke"}}


def task(resource: str, **more: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": resource, "End": True, **more}


def service(action: str, parameters: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return task(f"arn:aws:states:::{action}", Parameters=parameters or {}, **more)


def scope(**states: Any) -> dict[str, Any]:
    return {"StartAt": next(iter(states)), "States": states}


PARALLEL = {"Type": "Parallel", "Branches": [scope(Left=PASS), scope(Right=PASS)], "End": True}
MAP = {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": scope(Each=PASS), "End": True}


def distributed(**more: Any) -> dict[str, Any]:
    config = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    return {
        "Type": "Map",
        "ItemProcessor": {"ProcessorConfig": config, **scope(Each=PASS)},
        "End": True,
        **more,
    }


def ask(definition: Any, input: Any = None, api: Api | None = None, **more: Any) -> dict[str, Any]:  # noqa: A002
    """The answer to a request; what is JSON text in it is given and shown as a value."""

    async def main() -> dict[str, Any]:
        params = {"definition": json.dumps(definition), "input": json.dumps({} if input is None else input)}
        answer: dict[str, Any] = await (api or Api()).test_state(**params, **_texts(more))
        return answer

    answer = run(main())
    if "output" in answer:
        answer["output"] = json.loads(answer["output"])
    return answer


def inspected(definition: Any, input: Any = None, **more: Any) -> dict[str, Any]:  # noqa: A002
    """InspectionData of level DEBUG, with what is JSON text in it as values."""
    data = ask(definition, input, inspectionLevel="DEBUG", **more)["inspectionData"]
    return {name: json.loads(value) if isinstance(value, str) else value for name, value in data.items()}


def refusal(definition: Any, **more: Any) -> tuple[str, str]:
    """Code and message of the error that a request gets."""
    text = definition if isinstance(definition, str) else json.dumps(definition)
    return run(Api().refusal("test_state", definition=text, **_texts(more)))


def _texts(params: dict[str, Any]) -> dict[str, Any]:
    """Requests have the mocked result, the context and the variables as JSON text."""
    params = dict(params)
    if "mock" in params and "result" in params["mock"]:
        params["mock"] = {**params["mock"], "result": json.dumps(params["mock"]["result"])}
    for member in ("context", "variables"):
        if isinstance(params.get(member), dict):
            params[member] = json.dumps(params[member])
    return params


TRAINING = service(
    "sagemaker:createTrainingJob",
    {
        "TrainingJobName": "j",
        "AlgorithmSpecification": {"TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": "s3://b"},
        "ResourceConfig": {"VolumeSizeInGB": 1},
        "StoppingCondition": {},
    },
)
CSV = {
    "Resource": "arn:aws:states:::s3:getObject",
    "ReaderConfig": {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW", "MaxItems": 2},
    "Parameters": {"Bucket": "b", "Key.$": "$.key"},
}


class TestAnswers:
    def test_info_has_output_status_and_next_state(self) -> None:
        choice = {
            "Type": "Choice",
            "Choices": [{"Variable": "$.number", "NumericEquals": 2, "Next": "Equals 2"}],
            "Default": "No Match",
        }

        assert ask(choice, {"number": 2}) == {
            "status": "SUCCEEDED",
            "output": {"number": 2},
            "nextState": "Equals 2",
        }

    def test_debug_is_that_of_the_developer_guide(self) -> None:
        state = {
            "Type": "Pass",
            "InputPath": "$.payload",
            "Parameters": {"data": 1},
            "ResultPath": "$.result",
            "OutputPath": "$.result.data",
            "Next": "Another State",
        }

        async def main() -> Any:
            return await Api().test_state(
                definition=json.dumps(state), input='{"payload": {"foo": "bar"}}', inspectionLevel="DEBUG"
            )

        assert run(main()) == {
            "output": "1",
            "inspectionData": {
                "input": '{"payload": {"foo": "bar"}}',
                "afterInputPath": '{"foo":"bar"}',
                "afterParameters": '{"data":1}',
                "afterResultSelector": '{"data":1}',
                "afterResultPath": '{"payload":{"foo":"bar"},"result":{"data":1}}',
            },
            "nextState": "Another State",
            "status": "SUCCEEDED",
        }

    def test_what_is_handed_through_keeps_its_spelling(self) -> None:
        async def main() -> Any:
            return await Api().test_state(definition='{"Type": "Succeed"}', input='{ "a" : 1.0 }')

        assert run(main())["output"] == '{ "a" : 1.0 }'

    def test_trace_shows_at_least_what_debug_shows(self) -> None:
        assert ask(PASS, inspectionLevel="TRACE") == ask(PASS, inspectionLevel="DEBUG")

    def test_a_failure_has_error_and_cause(self) -> None:
        assert ask({"Type": "Fail", "Error": "Own", "Cause": "why"}) == {
            "status": "FAILED",
            "error": "Own",
            "cause": "why",
        }
        assert ask({"Type": "Fail"}) == {"status": "FAILED"}

    def test_a_retry_is_that_of_the_developer_guide(self) -> None:
        retrier = {
            "ErrorEquals": ["Lambda.ServiceException"],
            "IntervalSeconds": 2,
            "MaxAttempts": 3,
            "BackoffRate": 2.0,
        }

        answer = ask(
            {**INVOKE, "Retry": [retrier]},
            {"data": "value"},
            inspectionLevel="DEBUG",
            stateConfiguration={"retrierRetryCount": 1},
            mock={"errorOutput": {"error": "Lambda.ServiceException", "cause": "Service error"}},
        )

        assert (answer["status"], answer["error"], answer["cause"]) == (
            "RETRIABLE",
            "Lambda.ServiceException",
            "Service error",
        )
        assert answer["inspectionData"]["errorDetails"] == {"retryBackoffIntervalSeconds": 4, "retryIndex": 0}
        assert "output" not in answer
        assert "nextState" not in answer

    def test_a_catch_is_that_of_the_developer_guide(self) -> None:
        catcher = {
            "ErrorEquals": ["Lambda.TooManyRequestsException"],
            "ResultPath": "$.error",
            "Next": "HandleThrottling",
        }
        thrown = {"error": "Lambda.TooManyRequestsException", "cause": "Rate exceeded"}

        answer = ask(
            {**INVOKE, "Catch": [catcher]},
            {"data": "value"},
            inspectionLevel="DEBUG",
            mock={"errorOutput": thrown},
        )

        details = answer.pop("inspectionData")["errorDetails"]
        assert details == {"catchIndex": 0}
        assert answer == {
            "status": "CAUGHT_ERROR",
            "nextState": "HandleThrottling",
            **thrown,
            "output": {
                "data": "value",
                "error": {"Error": "Lambda.TooManyRequestsException", "Cause": "Rate exceeded"},
            },
        }

    def test_retries_are_exhausted_by_the_context_object_too(self) -> None:
        state = {**INVOKE, "Retry": [{"ErrorEquals": ["Broken"], "MaxAttempts": 2}]}

        def status(retries: int) -> str:
            context = {"State": {"RetryCount": retries}}
            answer: str = ask(state, context=context, mock=ERROR)["status"]
            return answer

        assert (status(1), status(2)) == ("RETRIABLE", "FAILED")

    def test_variables_are_shown_when_there_are_any(self) -> None:
        state = {**PASS, "Assign": {"b.$": "$v.a"}}

        assert inspected(state, variables={"v": {"a": 1}})["variables"] == {"v": {"a": 1}, "b": 1}
        assert "variables" not in inspected(PASS)


class TestRealCalls:
    def test_a_function_is_really_called(self) -> None:
        api = Api()
        api.cloud.handlers["lambda.Invoke"] = lambda params: {
            "StatusCode": 200,
            "Payload": json.dumps({"echo": json.loads(params["Payload"])}).encode(),
        }

        answer = ask(task(FUNCTION), {"n": 1}, api, roleArn=ROLE)

        assert (answer["status"], answer["output"]) == ("SUCCEEDED", {"echo": {"n": 1}})
        ((params, caller),) = [call[1:] for call in api.cloud.calls if call[0] == "lambda.Invoke"]
        assert (params["FunctionName"], caller.kind, caller.role) == (FUNCTION, "execution", ROLE)

    def test_a_failing_call_is_tried_once(self) -> None:
        api = Api()
        api.cloud.handlers["sqs.SendMessage"] = refuse("ThrottlingException", "slow down")
        state = service(
            "sqs:sendMessage", {"QueueUrl": "u", "MessageBody": "m"}, Retry=[{"ErrorEquals": ["States.ALL"]}]
        )

        answer = ask(state, None, api, roleArn=ROLE)

        assert (answer["status"], answer["error"]) == ("RETRIABLE", "SQS.AmazonSQSException")
        assert len([call for call in api.cloud.calls if call[0] == "sqs.SendMessage"]) == 1

    def test_a_wait_waits_on_the_clock_of_the_cloud(self) -> None:
        api = Api()

        ask({"Type": "Wait", "Seconds": 60, "End": True}, None, api)

        assert api.cloud.clock.now() == START + 60

    def test_only_a_task_needs_a_role_and_only_without_a_mock(self) -> None:
        assert refusal(INVOKE) == (
            "ValidationException",
            "RoleArn must be specified when testing a Task state",
        )
        assert ask(INVOKE, mock={"result": {}})["status"] == "SUCCEEDED"
        assert ask(PASS)["status"] == "SUCCEEDED"
        assert refusal(PASS, roleArn="nonsense")[0] == "InvalidArn"

    @pytest.mark.parametrize("state", [MAP, PARALLEL])
    def test_map_and_parallel_need_a_mock(self, state: dict[str, Any]) -> None:
        assert refusal(state, roleArn=ROLE) == (
            "InvalidDefinition",
            "TestState API does not support Map or Parallel states. Supported state types include: "
            "[Task, Wait, Pass, Succeed, Fail, Choice]",
        )

    @pytest.mark.parametrize(
        "state",
        [
            service("sagemaker:createTrainingJob.sync"),
            service("states:startExecution.sync:2"),
            service("sqs:sendMessage.waitForTaskToken"),
            task("arn:aws:states:us-east-1:123456789012:activity:work"),
        ],
    )
    def test_what_waits_for_others_needs_a_mock(self, state: dict[str, Any]) -> None:
        code, message = refusal(state, roleArn=ROLE)

        assert code == "InvalidDefinition"
        assert message.startswith("TestState API does not support")


class TestDefinitions:
    def test_a_state_of_a_machine_is_found_where_it_is_nested(self) -> None:
        inner = {**PASS, "Parameters": {"context.$": "$$.Map"}}
        machine = scope(Outer={**MAP, "ItemProcessor": scope(Inner=inner)})

        answer = ask(machine, {"n": 1}, stateName="Inner")

        assert answer["output"]["context"]["Item"] == {"Index": 0, "Value": {"n": 1}, "Source": "STATE_DATA"}

    def test_a_context_object_says_which_item_it_is(self) -> None:
        inner = {**INVOKE, "Parameters": {"FunctionName.$": "$$.Map.Item.Value"}}
        machine = scope(Outer={**MAP, "ItemProcessor": scope(Inner=inner)})

        data = inspected(
            machine, stateName="Inner", mock={"result": {}}, context={"Map": {"Item": {"Value": "third"}}}
        )

        assert data["afterParameters"] == {"FunctionName": "third"}

    def test_a_state_that_is_not_in_the_machine(self) -> None:
        assert refusal(scope(A=PASS), stateName="B") == (
            "ValidationException",
            "State not found in definition",
        )

    @pytest.mark.parametrize(
        "definition",
        ["{", "[]", {"Type": "Nothing"}, scope(A=PASS), {"Type": "Pass", "Next": "A", "End": True}],
    )
    def test_what_is_no_state(self, definition: Any) -> None:
        code, message = refusal(definition)

        assert (code, message.startswith("Invalid State Machine Definition: '")) == (
            "InvalidDefinition",
            True,
        )

    def test_a_machine_that_is_malformed_elsewhere(self) -> None:
        code, message = refusal(scope(A=PASS, B=PASS), stateName="A")

        assert code == "InvalidDefinition"
        assert 'State "B" is not reachable.' in message

    def test_a_task_that_cannot_be_called_says_what_a_state_machine_would(self) -> None:
        code, message = refusal(service("sagemaker:createModelPackage"), mock={"result": {}})
        assert (code, "is not recognized" in message) == ("InvalidDefinition", True)
        code, message = refusal(service("lambda:invoke"), roleArn=ROLE)
        assert "The field 'FunctionName' is required but was missing" in message

    def test_an_integration_that_is_not_here_can_be_tried_with_a_mock(self) -> None:
        state = service("glue:startJobRun", {"JobName": "j"})

        assert refusal(state, roleArn=ROLE)[0] == "InvalidDefinition"
        assert ask(state, mock={"result": {"JobRunId": "jr"}})["output"] == {"JobRunId": "jr"}

    def test_other_tasks_of_the_machine_need_not_be_here(self) -> None:
        glue = service("glue:startJobRun", {"JobName": "j"})
        machine = scope(A={"Type": "Pass", "Next": "B"}, B=glue)

        assert ask(machine, stateName="A")["nextState"] == "B"


class TestRequests:
    @pytest.mark.parametrize("text", ["", "{", "nope", "NaN"])
    def test_input_must_be_json(self, text: str) -> None:
        assert refusal(PASS, input=text)[0] == "InvalidExecutionInput"

    @pytest.mark.parametrize("member", ["variables", "context"])
    @pytest.mark.parametrize("text", ["{", "[]", "1"])
    def test_variables_and_context_must_be_objects(self, member: str, text: str) -> None:
        code, message = refusal(INVOKE, mock={"result": {}}, **{member: text})

        assert code == "ValidationException"
        assert member in message

    @pytest.mark.parametrize(
        ("context", "place"),
        [
            ({"Execution": "e"}, "Context.Execution must be an object"),
            ({"Execution": {"Id": 1}}, "Context.Execution.Id must be a string"),
            ({"Map": {"Item": {"Index": "0"}}}, "Context.Map.Item.Index must be a non-negative integer"),
            ({"State": {"RetryCount": True}}, "Context.State.RetryCount must be a non-negative integer"),
            ({"State": {"RetryCount": -1}}, "Context.State.RetryCount must be a non-negative integer"),
        ],
    )
    def test_context_must_be_like_one(self, context: dict[str, Any], place: str) -> None:
        assert refusal(INVOKE, mock={"result": {}}, context=context) == (
            "ValidationException",
            f"Invalid Context object provided: {place}",
        )

    def test_context_is_only_for_mocks(self) -> None:
        code, message = refusal(INVOKE, roleArn=ROLE, context={})

        assert (code, "Context" in message) == ("ValidationException", True)

    def test_context_takes_the_place_of_the_interpreters(self) -> None:
        state = {**INVOKE, "Parameters": {"FunctionName.$": "$$.Execution.Id"}}

        data = inspected(state, mock={"result": {}}, context={"Execution": {"Id": "exec-12345"}})

        assert data["afterParameters"] == {"FunctionName": "exec-12345"}

    @pytest.mark.parametrize("kind", ["Pass", "Succeed", "Fail", "Wait", "Choice"])
    def test_other_states_take_no_mock(self, kind: str) -> None:
        states: dict[str, dict[str, Any]] = {
            "Pass": PASS,
            "Succeed": {"Type": "Succeed"},
            "Fail": {"Type": "Fail"},
            "Wait": {"Type": "Wait", "Seconds": 1, "End": True},
            "Choice": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.a", "IsNull": True, "Next": "B"}],
            },
        }

        assert refusal(states[kind], mock={"result": {}}) == (
            "ValidationException",
            f"State type '{kind}' is not supported when a mock is specified",
        )

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (
                {"mock": {"result": {}, **ERROR}},
                "A test mock should have only one of the following fields: [result, errorOutput].",
            ),
            (
                {"mock": {"fieldValidationMode": "NONE"}},
                "A test mock should have only one of the following fields: [result, errorOutput].",
            ),
            (
                {"mock": {"result": {}}, "revealSecrets": True},
                "TestState does not support RevealSecrets when a mock is specified.",
            ),
            (
                {"mock": {"errorOutput": {"cause": "c"}}},
                "The errorOutput of a test mock should have the field error.",
            ),
        ],
    )
    def test_members_that_do_not_go_together(self, more: dict[str, Any], message: str) -> None:
        assert refusal(INVOKE, **more) == ("ValidationException", message)

    def test_a_mocked_result_must_be_json(self) -> None:
        async def main() -> Any:
            mock = {"result": "{", "fieldValidationMode": "NONE"}
            return await Api().refusal("test_state", definition=json.dumps(INVOKE), mock=mock)

        assert run(main()) == ("ValidationException", "Mocked result must be valid JSON")

    @pytest.mark.parametrize(
        ("state", "configuration", "mock"),
        [
            (PASS, {"retrierRetryCount": 1}, None),
            (INVOKE, {"errorCausedByState": "Each"}, ERROR),
            (MAP, {"errorCausedByState": "Each"}, {"result": []}),
            (MAP, {"errorCausedByState": "Nobody"}, ERROR),
            (INVOKE, {"mapIterationFailureCount": 1}, ERROR),
            (PARALLEL, {"mapIterationFailureCount": 1}, ERROR),
            (INVOKE, {"mapItemReaderData": "[]"}, ERROR),
            (MAP, {"mapItemReaderData": "[]"}, {"result": []}),
        ],
    )
    def test_a_configuration_must_be_about_the_state(
        self, state: dict[str, Any], configuration: dict[str, Any], mock: dict[str, Any] | None
    ) -> None:
        more = {} if mock is None else {"mock": mock}

        code, message = refusal(state, input='{"items":[]}', stateConfiguration=configuration, **more)

        assert (code, next(iter(configuration)) in message) == ("ValidationException", True)


class TestMockedResults:
    @pytest.mark.parametrize(
        ("state", "result"),
        [
            (INVOKE, {"Payload": {"statusCode": 200}}),
            (INVOKE, {}),
            (task(FUNCTION), "any JSON"),
            (task("arn:aws:states:us-east-1:123456789012:activity:work"), [1]),
            (service("sqs:sendMessage.waitForTaskToken", {"QueueUrl": "u", "MessageBody": "m"}), "approved"),
            (service("dynamodb:getItem", {"TableName": "t", "Key": {}}), {"Item": {"id": {"S": "1"}}}),
            (
                service("aws-sdk:dynamodb:getItem", {"TableName": "t", "Key": {}}),
                {"Item": {"b": {"Bool": True}}},
            ),
            (service("sns:publish", {"Message": "m"}), {"MessageId": "m", "SomethingNew": 1}),
            (service("http:invoke", {"ApiEndpoint": "https://e"}), {"StatusCode": "any"}),
        ],
    )
    def test_what_fits_is_the_result(self, state: dict[str, Any], result: Any) -> None:
        assert ask(state, mock={"result": result})["output"] == result

    @pytest.mark.parametrize(
        ("result", "problem"),
        [
            ("text", "Mock result must be a valid JSON object"),
            ({}, "Mock result schema validation error: Required field 'TrainingJobArn' is missing"),
            (
                {"TrainingJobArn": None},
                "Mock result schema validation error: Required field 'TrainingJobArn' is missing",
            ),
            (
                {"TrainingJobArn": 1},
                "Mock result schema validation error: Field 'TrainingJobArn' must be a string",
            ),
            (
                {"TrainingJobArn": "a" * 300},
                "Mock result schema validation error: Field 'TrainingJobArn' must have length less than or "
                "equal to 256",
            ),
        ],
    )
    def test_what_does_not_fit_is_named(self, result: Any, problem: str) -> None:
        assert refusal(TRAINING, mock={"result": result}) == ("ValidationException", problem)

    def test_present_asks_for_no_member_but_looks_at_those_that_are_there(self) -> None:
        def mock(result: Any) -> dict[str, Any]:
            return {"result": result, "fieldValidationMode": "PRESENT"}

        assert ask(TRAINING, mock=mock({}))["status"] == "SUCCEEDED"
        assert "must be a string" in refusal(TRAINING, mock=mock({"TrainingJobArn": 1}))[1]

    def test_none_looks_at_nothing(self) -> None:
        mock = {"result": {"TrainingJobArn": 1}, "fieldValidationMode": "NONE"}

        assert ask(TRAINING, mock=mock)["output"] == {"TrainingJobArn": 1}

    def test_a_job_is_described_by_the_operation_that_is_polled(self) -> None:
        state = service("states:startExecution.sync:2", {"StateMachineArn": "m"})
        description = {
            "ExecutionArn": "e",
            "StateMachineArn": "m",
            "StartDate": "2024-01-01T00:00:00Z",
            "Status": "SUCCEEDED",
            "Output": "{}",
        }

        assert ask(state, mock={"result": description})["output"] == description
        for member, value, word in [
            ("Status", "DONE", "is not an expected value"),
            ("StartDate", 1_700_000_000_000, "must be a string"),
            ("Output", {"a": 1}, "must be a string"),
        ]:
            message = refusal(state, mock={"result": {**description, member: value}})[1]
            assert message == f"Mock result schema validation error: Field '{member}' {word}"
        missing = refusal(state, mock={"result": {"ExecutionArn": "e"}})[1]
        assert missing.endswith("Required field 'StateMachineArn' is missing")

    def test_members_inside_arrays_and_maps_are_looked_at(self) -> None:
        state = service("events:putEvents", {"Entries": []})

        def problem(result: Any) -> str:
            return refusal(state, mock={"result": result})[1].removeprefix(
                "Mock result schema validation error: "
            )

        assert problem({"Entries": "e"}) == "Field 'Entries' must be an array"
        assert problem({"Entries": [{"EventId": 1}]}) == "Field 'EventId' must be a string"
        assert problem({"FailedEntryCount": "0"}) == "Field 'FailedEntryCount' must be a number"
        assert problem({"FailedEntryCount": True}) == "Field 'FailedEntryCount' must be a number"
        item = service("dynamodb:getItem", {"TableName": "t", "Key": {}})
        message = refusal(item, mock={"result": {"Item": {"a": {"BOOL": "yes"}}}})[1]
        assert message.endswith("Field 'BOOL' must be a boolean")

    def test_every_job_has_an_operation_that_describes_it(self) -> None:
        for name, actions in OPTIMIZED.items():
            for action, patterns in actions.items():
                for pattern in patterns:
                    suffix = "" if pattern == "request_response" else f".{pattern}"
                    resource = parse_resource(f"arn:aws:states:::{name}:{action}{suffix}")
                    assert resource is not None
                    assert problem_with({}, resource, "PRESENT") is None


class TestParallel:
    def test_the_result_has_an_element_a_branch(self) -> None:
        assert ask(PARALLEL, mock={"result": [1, {"a": 2}]})["output"] == [1, {"a": 2}]
        assert refusal(PARALLEL, mock={"result": {}}) == (
            "ValidationException",
            "Mocked result must be an array.",
        )
        assert refusal(PARALLEL, mock={"result": [1]}) == (
            "ValidationException",
            "Mocked result must contain the same number of items as number of Parallel branches.",
        )

    def test_an_error_of_a_state_inside_is_caught_by_the_parallel(self) -> None:
        state = {**PARALLEL, "Catch": [{"ErrorEquals": ["Broken"], "Next": "Caught"}]}

        answer = ask(state, mock=ERROR, stateConfiguration={"errorCausedByState": "Right"})

        assert (answer["status"], answer["nextState"]) == ("CAUGHT_ERROR", "Caught")


class TestMap:
    def test_items_are_selected_but_not_processed(self) -> None:
        state = {
            **MAP,
            "ItemSelector": {"value.$": "$$.Map.Item.Value", "index.$": "$$.Map.Item.Index", "all.$": "$.n"},
            "MaxConcurrency": 3,
            "ResultPath": "$.out",
        }

        data = inspected(state, {"items": [10, 20], "n": 2}, mock={"result": [1, 2]})

        assert data == {
            "input": {"items": [10, 20], "n": 2},
            "afterInputPath": {"items": [10, 20], "n": 2},
            "afterItemsPath": [10, 20],
            "afterItemSelector": [
                {"value": 10, "index": 0, "all": 2},
                {"value": 20, "index": 1, "all": 2},
            ],
            "maxConcurrency": 3,
            "result": [1, 2],
            "afterResultSelector": [1, 2],
            "afterResultPath": {"items": [10, 20], "n": 2, "out": [1, 2]},
        }

    def test_an_item_selector_sees_a_context_object_that_is_given(self) -> None:
        state = {**MAP, "ItemSelector": {"e.$": "$$.Execution.Id", "i.$": "$$.Map.Item.Index"}}

        data = inspected(state, {"items": [7]}, mock={"result": []}, context={"Execution": {"Id": "exec-1"}})

        assert data["afterItemSelector"] == [{"e": "exec-1", "i": 0}]

    def test_items_of_jsonata_are_not_shown(self) -> None:
        state = {
            "QueryLanguage": "JSONata",
            "Type": "Map",
            "Items": "{% $states.input.items %}",
            "ItemSelector": {"v": "{% $states.context.Map.Item.Value * 2 %}"},
            "ItemProcessor": scope(Each=PASS),
            "Output": "{% $sum($states.result) %}",
            "End": True,
        }

        answer = ask(state, {"items": [1, 2]}, mock={"result": [3, 4]})
        data = inspected(state, {"items": [1, 2]}, mock={"result": [3, 4]})

        assert answer["output"] == 7
        assert data == {
            "input": {"items": [1, 2]},
            "afterItemSelector": [{"v": 2}, {"v": 4}],
            "result": [3, 4],
        }

    def test_items_that_cannot_be_selected_fail_the_state(self) -> None:
        answer = ask({**MAP, "ItemSelector": {"a.$": "$.missing"}}, {"items": [1]}, mock={"result": [1]})

        assert (answer["status"], answer["error"]) == ("FAILED", "States.Runtime")

    def test_batches_are_shown_with_their_items_as_text(self) -> None:
        state = distributed(ItemBatcher={"MaxItemsPerBatch": 2, "BatchInput": {"b": 1}})

        data = inspected(state, [1, {"x": 2}, 3], mock={"result": []})

        assert data["afterItemBatcher"] == [
            {"BatchInput": {"b": 1}, "Items": ["1", '{"x":2}']},
            {"BatchInput": {"b": 1}, "Items": ["3"]},
        ]

    def test_the_result_is_an_array_or_what_the_result_writer_says(self) -> None:
        writer = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b", "Prefix": "p"}}
        exported = {"MapRunArn": "m", "ResultWriterDetails": {"Bucket": "b", "Key": "k"}}

        assert refusal(distributed(), input="[]", mock={"result": {}})[1] == "Mocked result must be an array."
        state = distributed(ResultWriter=writer)
        assert ask(state, [1], mock={"result": exported})["output"] == exported
        assert refusal(state, input="[]", mock={"result": []})[1] == "Mocked result must be a JSON object."

    @pytest.mark.parametrize(
        ("tolerated", "failed", "status"),
        [
            ({}, 0, "SUCCEEDED"),
            ({}, 1, "CAUGHT_ERROR"),
            ({"ToleratedFailureCount": 1}, 1, "SUCCEEDED"),
            ({"ToleratedFailureCount": 1}, 2, "CAUGHT_ERROR"),
            ({"ToleratedFailureCountPath": "$[0]"}, 2, "CAUGHT_ERROR"),
            ({"ToleratedFailurePercentage": 50}, 2, "SUCCEEDED"),
            ({"ToleratedFailurePercentage": 50}, 3, "CAUGHT_ERROR"),
        ],
    )
    def test_too_many_failures_fail_it(self, tolerated: dict[str, Any], failed: int, status: str) -> None:
        catcher = {"ErrorEquals": ["States.ExceedToleratedFailureThreshold"], "Next": "Caught"}

        answer = ask(
            distributed(**tolerated, Catch=[catcher]),
            [1, 2, 3, 4],
            mock={"result": [1]},
            stateConfiguration={"mapIterationFailureCount": failed},
        )

        assert answer["status"] == status

    def test_the_threshold_is_shown(self) -> None:
        state = distributed(ToleratedFailureCountPath="$[0]", ToleratedFailurePercentage=12.5)

        data = inspected(state, [5], mock={"result": []})

        assert (data["toleratedFailureCount"], data["toleratedFailurePercentage"]) == (5, 12.5)

    def test_no_more_can_fail_than_there_are(self) -> None:
        assert refusal(
            distributed(),
            input="[1]",
            mock={"result": []},
            stateConfiguration={"mapIterationFailureCount": 2},
        ) == (
            "ValidationException",
            "mapIterationFailureCount cannot exceed the number of items in the input",
        )

    @pytest.mark.parametrize(("failed", "status"), [(0, "FAILED"), (1, "CAUGHT_ERROR")])
    def test_a_failure_inside_a_distributed_map_is_one_more(self, failed: int, status: str) -> None:
        catcher = {"ErrorEquals": ["States.ExceedToleratedFailureThreshold"], "Next": "Done"}
        config = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
        outer = {
            "Type": "Map",
            "ItemProcessor": {"ProcessorConfig": config, **scope(Inner=INVOKE)},
            "ToleratedFailureCount": 1,
            "Catch": [catcher],
            "Next": "Done",
        }

        answer = ask(
            scope(Outer=outer, Done={"Type": "Succeed"}),
            stateName="Inner",
            mock=ERROR,
            stateConfiguration={"mapIterationFailureCount": failed},
        )

        assert answer["status"] == status

    def test_data_of_an_item_reader_is_read(self) -> None:
        data = inspected(
            distributed(
                ItemReader=CSV, ItemSelector={"v.$": "$$.Map.Item.Value", "s.$": "$$.Map.Item.Source"}
            ),
            {"key": "k.csv"},
            mock={"result": []},
            stateConfiguration={"mapItemReaderData": "a,b\n1,2\n3,4\n5,6\n"},
        )

        assert data["afterItemSelector"] == [
            {"v": {"a": "1", "b": "2"}, "s": "S3://b/k.csv"},
            {"v": {"a": "3", "b": "4"}, "s": "S3://b/k.csv"},
        ]
        assert "afterItemsPath" not in data

    def test_an_items_pointer_leads_into_the_data(self) -> None:
        reader = {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSON", "ItemsPointer": "/deep/items"},
            "Parameters": {"Bucket": "b", "Key": "k"},
        }

        def look(text: str) -> dict[str, Any]:
            return inspected(
                distributed(ItemReader=reader),
                mock={"result": []},
                stateConfiguration={"mapItemReaderData": text},
            )

        assert look('{"deep": {"items": [1, 2]}}')["afterItemsPointer"] == [1, 2]

    def test_data_that_cannot_be_read_fails_the_state(self) -> None:
        reader = {**CSV, "ReaderConfig": {"InputType": "JSON"}}

        answer = ask(
            distributed(ItemReader=reader, Catch=[{"ErrorEquals": ["States.ItemReaderFailed"], "Next": "C"}]),
            {"key": "k"},
            mock={"result": []},
            stateConfiguration={"mapItemReaderData": "{"},
        )

        assert (answer["status"], answer["error"]) == ("CAUGHT_ERROR", "States.ItemReaderFailed")

    def test_without_it_the_input_is_the_data(self) -> None:
        data = inspected(
            distributed(ItemReader=CSV, ItemSelector={"v.$": "$$.Map.Item.Value"}),
            [{"a": 1}],
            mock={"result": []},
        )

        assert data["afterItemSelector"] == [{"v": {"a": 1}}]
