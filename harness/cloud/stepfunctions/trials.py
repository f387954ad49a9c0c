"""TestState: what may be asked of it, and how it answers.

Which members of a request go together is said in AWS's developer guide ("Testing state machines with
TestState API"). The interpreter's part is `harness.asl.trials.trial`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from harness.asl.errors import StatesError
from harness.asl.maps.distributed import DistributedMap
from harness.asl.maps.map import Item, MapState
from harness.asl.maps.reader import ItemReader
from harness.asl.parallel import Parallel
from harness.asl.state import State
from harness.asl.task import Task
from harness.asl.tasks import JSON
from harness.asl.trials.mocks import Mock, UnfitMock
from harness.asl.trials.trial import Setting, Verdict, try_state
from harness.asl.trials.under_test import StateUnderTest
from harness.asl.values import MISSING, json_text, make_uuid, timestamp_text
from harness.cloud.errors import ServiceError
from harness.cloud.service import CloudContext
from harness.cloud.stepfunctions import errors
from harness.cloud.stepfunctions.definitions import check_state, compile_state
from harness.cloud.stepfunctions.integrations import Integrations
from harness.cloud.stepfunctions.mocks import Mode, problem_with
from harness.cloud.stepfunctions.names import check_role_arn
from harness.cloud.stepfunctions.payloads import parse_payload

__all__ = ["run_trial"]

_NUMBERS: Final = frozenset({"maxConcurrency", "toleratedFailureCount", "toleratedFailurePercentage"})
"""The members of InspectionData that are numbers; the others are JSON texts."""


async def run_trial(
    cloud: CloudContext, integrations: Integrations, params: Mapping[str, Any]
) -> dict[str, Any]:
    """Do what a TestState request asks for; its answer.

    Raises:
        ServiceError: InvalidArn, InvalidDefinition, InvalidExecutionInput, ValidationException.
    """
    subject = compile_state(params["definition"], params.get("stateName"))
    if subject is None:
        raise errors.validation_failed("State not found in definition")
    _check_request(subject, params)
    check_state(subject, integrations, mocked="mock" in params)
    text = params.get("input", "{}")
    mock = _mock(subject, params["mock"]) if "mock" in params else None
    setting = _setting(cloud, subject, text, params)
    try:
        verdict = await try_state(
            subject,
            setting,
            clock=cloud.clock,
            tasks=integrations,
            entropy=cloud.entropy,
            region=cloud.region,
            mock=mock,
        )
    except UnfitMock as error:
        raise errors.validation_failed(str(error)) from error
    return _answer(verdict, setting, text, params.get("inspectionLevel", "INFO"))


# The request ----------------------------------------------------------------------------------------------


def _check_request(subject: StateUnderTest, params: Mapping[str, Any]) -> None:
    """Refuse members that do not go together.

    Raises:
        ServiceError: InvalidArn, InvalidDefinition, ValidationException.
    """
    if "mock" in params:
        _check_mocked(subject, params)
    else:
        _check_unmocked(subject, params)
    if "roleArn" in params:
        check_role_arn(params["roleArn"])
    _check_configuration(subject, params)


def _check_unmocked(subject: StateUnderTest, params: Mapping[str, Any]) -> None:
    state = subject.state
    if isinstance(state, MapState | Parallel):
        raise ServiceError(
            "InvalidDefinition",
            "TestState API does not support Map or Parallel states. Supported state types include: "
            "[Task, Wait, Pass, Succeed, Fail, Choice]",
        )
    if isinstance(state, Task):
        if state.resource.kind == "activity":
            raise ServiceError("InvalidDefinition", "TestState API does not support Activity tasks")
        if state.resource.pattern != "request_response":
            raise ServiceError(
                "InvalidDefinition",
                f"TestState API does not support '.{state.resource.pattern}' service integration",
            )
        if "roleArn" not in params:
            raise errors.validation_failed("RoleArn must be specified when testing a Task state")
    if "context" in params:
        raise errors.validation_failed("TestState does not support Context when a mock is not specified.")


def _check_mocked(subject: StateUnderTest, params: Mapping[str, Any]) -> None:
    if not isinstance(subject.state, Task | MapState | Parallel):
        raise errors.validation_failed(
            f"State type '{subject.state.kind}' is not supported when a mock is specified"
        )
    if params.get("revealSecrets"):
        raise errors.validation_failed("TestState does not support RevealSecrets when a mock is specified.")


def _check_configuration(subject: StateUnderTest, params: Mapping[str, Any]) -> None:
    """Refuse a stateConfiguration that says something about another kind of state."""
    configuration = params.get("stateConfiguration", {})
    state = subject.state
    fails = "errorOutput" in params.get("mock", {})
    if "retrierRetryCount" in configuration and not isinstance(state, Task | MapState | Parallel):
        raise _misplaced("retrierRetryCount", "testing a Task, Map or Parallel state")
    if "errorCausedByState" in configuration:
        if not fails or not isinstance(state, MapState | Parallel):
            raise _misplaced("errorCausedByState", "mocking an error of a Map or Parallel state")
        if configuration["errorCausedByState"] not in subject.inner_names():
            raise errors.validation_failed(
                f"The state '{configuration['errorCausedByState']}' of errorCausedByState was not found in "
                f"the {state.kind} state"
            )
    if "mapIterationFailureCount" in configuration and (
        "mock" not in params or not any(isinstance(each, MapState) for each in (state, *subject.parents))
    ):
        raise _misplaced("mapIterationFailureCount", "mocking a Map state or a state inside one")
    if "mapItemReaderData" in configuration and ("mock" not in params or _reader(state) is None):
        raise _misplaced("mapItemReaderData", "mocking a Map state that has an ItemReader")


def _reader(state: State) -> ItemReader | None:
    return state.own.reader if isinstance(state, DistributedMap) else None


def _misplaced(member: str, instead: str) -> ServiceError:
    return errors.validation_failed(f"stateConfiguration.{member} can only be specified when {instead}")


def _mock(subject: StateUnderTest, mock: Mapping[str, Any]) -> Mock:
    """What takes the place of the state's work.

    Raises:
        ServiceError: ValidationException.
    """
    if ("result" in mock) == ("errorOutput" in mock):
        raise errors.validation_failed(
            "A test mock should have only one of the following fields: [result, errorOutput]."
        )
    if "errorOutput" in mock:
        thrown = mock["errorOutput"]
        if "error" not in thrown:
            raise errors.validation_failed("The errorOutput of a test mock should have the field error.")
        return Mock(error=StatesError(thrown["error"], thrown.get("cause")))
    try:
        result = parse_payload("mock.result", mock["result"])
    except ValueError as error:
        raise errors.validation_failed("Mocked result must be valid JSON") from error
    problem = _unlike(result, subject.state, mock.get("fieldValidationMode", "STRICT"))
    if problem is not None:
        raise errors.validation_failed(problem)
    return Mock(result)


def _unlike(result: JSON, state: State, mode: Mode) -> str | None:
    """What keeps a mocked result from being a state's; None if it may be."""
    if isinstance(state, Task):
        return problem_with(result, state.resource, mode)
    if _exports(state):
        return None if isinstance(result, dict) else "Mocked result must be a JSON object."
    if not isinstance(result, list):
        return "Mocked result must be an array."
    if isinstance(state, Parallel) and len(result) != len(state.branches):
        return "Mocked result must contain the same number of items as number of Parallel branches."
    return None


def _exports(state: State) -> bool:
    """Whether a Map's ResultWriter puts the outputs into S3, so that the result only says where they are."""
    return (
        isinstance(state, DistributedMap)
        and state.own.writer is not None
        and state.own.writer.arguments is not None
    )


def _setting(cloud: CloudContext, subject: StateUnderTest, text: str, params: Mapping[str, Any]) -> Setting:
    """What the state finds.

    Raises:
        ServiceError: InvalidExecutionInput, ValidationException.
    """
    try:
        value = parse_payload("input", text)
    except ValueError as error:
        raise errors.invalid_execution_input(str(error)) from error
    whole = _object(params, "context") if "context" in params else None
    if whole is not None:
        _check_context(whole)
    configuration = params.get("stateConfiguration", {})
    inside_map = any(isinstance(parent, MapState) for parent in subject.parents)
    return Setting(
        input=value,
        context=_context(cloud, value, params.get("roleArn")),
        variables=_object(params, "variables") if "variables" in params else {},
        whole_context=whole,
        item=Item(0, value).context() if inside_map and whole is None else None,
        retries=configuration.get("retrierRetryCount", _retries(whole or {})),
        failures=configuration.get("mapIterationFailureCount"),
        reader_data=configuration.get("mapItemReaderData"),
    )


def _object(params: Mapping[str, Any], member: str) -> dict[str, JSON]:
    """The JSON object that a member is the text of."""
    try:
        value = parse_payload(member, params[member])
    except ValueError as error:
        raise errors.validation_failed(f"Invalid {member} provided: {error}") from error
    if not isinstance(value, dict):
        raise errors.validation_failed(f"Invalid {member} provided: it must be a JSON object")
    return value


def _retries(context: Mapping[str, JSON]) -> int:
    """How often a context object says that the state has been retried."""
    retries: int = context.get("State", {}).get("RetryCount", 0)
    return retries


_CONTEXT: Final[Mapping[str, JSON]] = {
    "Execution": {
        "Id": str,
        "Input": object,
        "Name": str,
        "RedriveCount": int,
        "RedriveTime": str,
        "RoleArn": str,
        "StartTime": str,
    },
    "Map": {"Item": {"Index": int, "Key": str, "Source": str, "Value": object}},
    "State": {"EnteredTime": str, "Name": str, "RetryCount": int},
    "StateMachine": {"Id": str, "Name": str},
    "Task": {"Token": str},
}
"""What the members of the context object are, as far as they are there (AWS developer guide, "Context
object")."""


_WORDS: Final = {str: "string", int: "non-negative integer"}


def _check_context(value: JSON, expected: JSON = _CONTEXT, place: str = "Context") -> None:
    """Refuse a context object whose members are not what they are in one.

    Raises:
        ServiceError: ValidationException.
    """
    if isinstance(expected, Mapping):
        if not isinstance(value, dict):
            raise errors.validation_failed(f"Invalid Context object provided: {place} must be an object")
        for name, member in expected.items():
            if name in value:
                _check_context(value[name], member, f"{place}.{name}")
    elif not isinstance(value, expected) or (expected is int and (isinstance(value, bool) or value < 0)):
        raise errors.validation_failed(
            f"Invalid Context object provided: {place} must be a {_WORDS[expected]}"
        )


def _context(cloud: CloudContext, value: JSON, role: str | None) -> dict[str, JSON]:
    """What the context object says of an execution that never was."""
    machine, name = make_uuid(cloud.entropy), make_uuid(cloud.entropy)
    return {
        "Execution": {
            "Id": cloud.arn("states", f"express:{machine}:{name}:{make_uuid(cloud.entropy)}"),
            "Input": value,
            "Name": name,
            **({} if role is None else {"RoleArn": role}),
            "StartTime": timestamp_text(cloud.clock.now()),
            "RedriveCount": 0,
        },
        "StateMachine": {"Id": cloud.arn("states", f"stateMachine:{machine}"), "Name": machine},
    }


# The answer -----------------------------------------------------------------------------------------------


def _answer(verdict: Verdict, setting: Setting, text: str, level: str) -> dict[str, Any]:
    answer: dict[str, Any] = {"status": verdict.status}
    if verdict.output is not MISSING:
        # What a state only hands through keeps the spelling that it came in.
        answer["output"] = text if verdict.output is setting.input else json_text(verdict.output)
    if verdict.next is not None:
        answer["nextState"] = verdict.next
    if verdict.error is not None:
        if verdict.error.error is not None:
            answer["error"] = verdict.error.error
        if verdict.error.cause is not None:
            answer["cause"] = verdict.error.cause
    if level != "INFO":
        answer["inspectionData"] = _inspection(verdict, text)
    return answer


def _inspection(verdict: Verdict, text: str) -> dict[str, Any]:
    """InspectionData. TRACE adds to DEBUG what HTTP tasks send and get, which there are none of here."""
    data: dict[str, Any] = {"input": text}
    for name, value in verdict.seen.items():
        data[name] = value if name in _NUMBERS else json_text(value)
    if verdict.variables:
        data["variables"] = json_text(verdict.variables)
    if verdict.catcher is not None:
        data["errorDetails"] = {"catchIndex": verdict.catcher}
    if verdict.retrier is not None and verdict.delay is not None:
        data["errorDetails"] = {
            "retryIndex": verdict.retrier,
            "retryBackoffIntervalSeconds": int(verdict.delay),
        }
    return data
