"""Lambda functions as tasks: what is sent, what comes back, and how they fail."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.asl.tasks import JSON
from harness.cloud.service import Caller

from .fakes import EXECUTION, ROLE, FakeCloud, refuse
from .integration import attempt, check, failure, perform

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:work"
INVOKE = "arn:aws:states:::lambda:invoke"


def answers(payload: JSON, **more: Any) -> Any:
    return lambda params: {
        "StatusCode": 200,
        "ExecutedVersion": "$LATEST",
        "Payload": json.dumps(payload).encode(),
        **more,
    }


def test_bare_function_result_is_its_answer() -> None:
    cloud = FakeCloud()
    cloud.handlers["lambda.Invoke"] = answers({"ok": "é"})
    result, reported = perform(cloud, FUNCTION, {"n": 1})
    assert result == {"ok": "é"}
    assert reported == ["started"]
    assert cloud.calls == [
        (
            "lambda.Invoke",
            {"FunctionName": FUNCTION, "Payload": b'{"n":1}'},
            Caller("execution", EXECUTION, ROLE),
        )
    ]


def test_optimized_invoke_shows_the_http_response() -> None:
    cloud = FakeCloud()
    cloud.handlers["lambda.Invoke"] = answers([1])
    result, _ = perform(
        cloud,
        "arn:aws:states:::lambda:invoke",
        {"FunctionName": "work", "Payload": {"a": 1}, "Qualifier": "2"},
    )
    assert list(result) == [
        "ExecutedVersion",
        "Payload",
        "SdkHttpMetadata",
        "SdkResponseMetadata",
        "StatusCode",
    ]
    assert result["ExecutedVersion"] == "$LATEST"
    assert result["Payload"] == [1]
    assert result["StatusCode"] == 200
    http = result["SdkHttpMetadata"]
    assert list(http) == ["AllHttpHeaders", "HttpHeaders", "HttpStatusCode"]
    assert http["HttpHeaders"]["X-Amz-Executed-Version"] == "$LATEST"
    assert http["AllHttpHeaders"]["X-Amz-Executed-Version"] == ["$LATEST"]
    assert http["HttpHeaders"]["Date"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert result["SdkResponseMetadata"]["RequestId"] == http["HttpHeaders"]["x-amzn-RequestId"]
    assert cloud.calls[0][1] == {"FunctionName": "work", "Qualifier": "2", "Payload": b'{"a":1}'}


def test_optimized_invoke_without_payload_sends_an_empty_object() -> None:
    cloud = FakeCloud()
    cloud.handlers["lambda.Invoke"] = answers(None)
    perform(cloud, "arn:aws:states:::lambda:invoke", {"FunctionName": "work"})
    assert cloud.calls[0][1]["Payload"] == b"{}"


def test_function_error_is_named_after_the_exception() -> None:
    cloud = FakeCloud()
    payload = {"errorMessage": "no", "errorType": "ValueError", "requestId": "r", "stackTrace": []}
    cloud.handlers["lambda.Invoke"] = answers(payload, FunctionError="Unhandled")
    error = failure(cloud, FUNCTION, {})
    assert (error.error, json.loads(error.cause), error.stage) == ("ValueError", payload, "run")


def test_function_error_without_a_type_is_unknown() -> None:
    cloud = FakeCloud()
    cloud.handlers["lambda.Invoke"] = answers({"errorMessage": "odd"}, FunctionError="Unhandled")
    error = failure(cloud, FUNCTION, {})
    assert error.error == "Lambda.Unknown"
    assert error.cause == (
        "The cause could not be determined because Lambda did not return an error type. "
        'Returned payload: {"errorMessage": "odd"}'
    )


@pytest.mark.parametrize(
    ("code", "status", "name"),
    [
        ("TooManyRequestsException", 429, "Lambda.TooManyRequestsException"),
        ("ServiceException", 500, "Lambda.ServiceException"),
        ("ResourceNotFoundException", 404, "Lambda.ResourceNotFoundException"),
        ("AccessDeniedException", 403, "Lambda.AWSLambdaException"),
    ],
)
def test_lambda_refuses(code: str, status: int, name: str) -> None:
    cloud = FakeCloud()
    cloud.handlers["lambda.Invoke"] = refuse(code, "Sorry.", status)
    error = failure(cloud, FUNCTION, {})
    assert error.error == name
    prefix = f"Sorry. (Service: Lambda, Status Code: {status}, Request ID: "
    assert error.cause.startswith(prefix)
    assert error.cause.endswith(")")


def test_wrong_parameters_are_a_runtime_error() -> None:
    error = failure(FakeCloud(), "arn:aws:states:::lambda:invoke", {"FunctionName": 3, "Body": 1})
    assert error.error == "States.Runtime"
    assert error.cause == (
        'The Parameters \'{"FunctionName":3,"Body":1}\' could not be used to start the Task: '
        "[The value for the field 'FunctionName' must be a STRING, "
        'The field "Body" is not supported by Step Functions]'
    )


def test_wrong_parameters_are_told_with_the_payload() -> None:
    error = failure(FakeCloud(), INVOKE, {"Payload": {"a": 1}})
    assert error.cause == (
        'The Parameters \'{"Payload":{"a":1}}\' could not be used to start the Task: '
        "[The field 'FunctionName' is required but was missing]"
    )


def test_a_payload_that_is_text_is_sent_as_json_text() -> None:
    cloud = FakeCloud()
    cloud.handlers["lambda.Invoke"] = answers(None)
    perform(cloud, INVOKE, {"FunctionName": "work", "Payload": "é"})
    assert cloud.calls[0][1]["Payload"] == '"é"'.encode()


def test_an_asynchronous_invocation_has_no_answer() -> None:
    cloud = FakeCloud()
    cloud.handlers["lambda.Invoke"] = lambda params: {"StatusCode": 202, "Payload": b""}
    result, _ = perform(cloud, INVOKE, {"FunctionName": "work", "InvocationType": "Event"})
    assert list(result) == ["SdkHttpMetadata", "SdkResponseMetadata", "StatusCode"]
    assert (result["StatusCode"], result["SdkHttpMetadata"]["HttpStatusCode"]) == (202, 202)
    assert cloud.calls[0][1]["InvocationType"] == "Event"


def test_the_tail_of_the_log() -> None:
    cloud = FakeCloud()
    cloud.handlers["lambda.Invoke"] = answers(1, LogResult="U1RBUlQ=")
    result, _ = perform(cloud, INVOKE, {"FunctionName": "work", "LogType": "Tail"})
    assert result["LogResult"] == "U1RBUlQ="
    assert list(result)[:3] == ["ExecutedVersion", "LogResult", "Payload"]


def test_the_headers_are_those_lambda_sends() -> None:
    cloud = FakeCloud()
    cloud.handlers["lambda.Invoke"] = answers({"a": 1})
    result, _ = perform(cloud, INVOKE, {"FunctionName": "work"})
    http = result["SdkHttpMetadata"]
    assert list(http["HttpHeaders"]) == [
        "Connection",
        "Content-Length",
        "Content-Type",
        "Date",
        "X-Amz-Executed-Version",
        "x-amzn-Remapped-Content-Length",
        "x-amzn-RequestId",
        "X-Amzn-Trace-Id",
    ]
    assert http["HttpHeaders"]["Content-Length"] == str(len('{"a": 1}'))
    assert http["AllHttpHeaders"] == {name: [value] for name, value in http["HttpHeaders"].items()}


def test_calls_at_the_same_time_share_all_but_the_request_id() -> None:
    cloud = FakeCloud()
    cloud.handlers["lambda.Invoke"] = answers({"a": 1})
    first, second = (perform(cloud, INVOKE, {"FunctionName": "work"})[0] for _ in range(2))
    assert first["SdkResponseMetadata"] != second["SdkResponseMetadata"]
    ours, others = (result["SdkHttpMetadata"]["AllHttpHeaders"] for result in (first, second))
    assert {name for name in ours if ours[name] is not others[name]} == {"x-amzn-RequestId"}


def test_a_function_that_never_answered() -> None:
    cloud = FakeCloud()
    cloud.handlers["lambda.Invoke"] = refuse("SdkClientException", "Unable to execute HTTP request")
    error = failure(cloud, INVOKE, {"FunctionName": "work"})
    assert (error.error, error.cause) == ("Lambda.SdkClientException", "Unable to execute HTTP request")


@pytest.mark.parametrize("answer", [b'{"score": NaN}', b"Infinity", b"1e400", b"9" * 5000, b"{"])
@pytest.mark.parametrize("arn", [FUNCTION, INVOKE])
def test_an_answer_that_is_not_json(arn: str, answer: bytes) -> None:
    cloud = FakeCloud()
    cloud.handlers["lambda.Invoke"] = lambda params: {"StatusCode": 200, "Payload": answer}
    error = failure(cloud, arn, {"FunctionName": "work"})
    assert error.error == "States.Runtime"
    assert error.cause.startswith("The function's answer is not valid JSON: ")


@pytest.mark.parametrize("payload", [["a"], "text", {"errorType": None}])
def test_a_failure_of_another_shape_is_unknown(payload: JSON) -> None:
    cloud = FakeCloud()
    cloud.handlers["lambda.Invoke"] = answers(payload, FunctionError="Unhandled")
    assert failure(cloud, FUNCTION, {}).error == "Lambda.Unknown"


def test_a_failed_callback_was_not_submitted() -> None:
    cloud = FakeCloud()
    cloud.handlers["lambda.Invoke"] = answers({"errorType": "KeyError"}, FunctionError="Unhandled")
    error = failure(cloud, f"{INVOKE}.waitForTaskToken", {"FunctionName": "work"}, "token")
    assert (error.error, error.stage) == ("KeyError", "submit")


def test_what_the_task_was_scheduled_with() -> None:
    cloud = FakeCloud()
    cloud.handlers["lambda.Invoke"] = answers(1)
    arguments = {"FunctionName": "work", "Payload": {"a": 1}}
    assert attempt(cloud, INVOKE, arguments)[1].parameters is arguments


@pytest.mark.parametrize("field", ["DurableExecutionName", "TenantId", "TaskToken", "functionName"])
def test_fields_that_step_functions_does_not_take(field: str) -> None:
    expected = f'The field "{field}" is not supported by Step Functions'
    assert check(FakeCloud(), INVOKE, {"FunctionName": "f", f"{field}.$": "$.x"}) == [expected]
