"""The ``faults`` of a scenario file: where something goes wrong (``at``), and what.

    lambda NAME[, call N | , every call]                throw
    SERVICE OPERATION[, call N | , every call]          throw
    training job | transform job | processing job       fails, exit_code, takes, interruptions (training)
        | endpoint
        [ NAME][, number N]

Without a number a rule holds for every call or job it matches.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, get_args

from harness.scenarios.model import CallFault, JobKind, JobRule
from harness.scenarios.yamlfile import Value, suggestion

__all__ = ["read"]

_CALL = re.compile(r"(?P<target>\S+) (?P<what>\S+?)(?:, *(?:call (?P<nth>[1-9]\d*)|every call))?")
_JOB = re.compile(
    r"(?P<kind>training job|transform job|processing job|endpoint)(?: (?P<name>[^\s,]+))?"
    r"(?:, *number (?P<nth>[1-9]\d*))?"
)
_GRAMMAR = (
    "write 'lambda NAME, call 2', 'sagemaker CreateTransformJob, call 1', 'training job', "
    "'transform job NAME' or 'endpoint, number 2'"
)
_THROW_KEYS = ("at", "throw", "message", "status")
_JOB_KEYS = ("at", "fails", "exit_code", "takes", "interruptions")

# What the services answer by default with these codes, which few service models declare.
_COMMON_STATUS = {
    "InternalFailure": 500,
    "InternalServerError": 500,
    "ServiceException": 500,
    "ServiceUnavailable": 503,
    "ServiceUnavailableException": 503,
    "SlowDown": 503,
    "TooManyRequestsException": 429,
}


def read(fault: Value) -> CallFault | JobRule:
    """One entry of ``faults``.

    Raises:
        ScenarioError: It is malformed, or names a service or operation that does not exist.
    """
    keys = list(dict.fromkeys((*_THROW_KEYS, *_JOB_KEYS)))
    fields = fault.fields(keys, required=("at",))
    at = fields["at"].text()
    # A job's rule is tried first: 'training job' also has the form of a call.
    if match := _JOB.fullmatch(at):
        _only(fields, _JOB_KEYS, at)
        return _job(fault, fields, match)
    match = _CALL.fullmatch(at)
    if match is None:
        fields["at"].fail(f"{at!r} does not say where a fault is", _GRAMMAR)
    _only(fields, _THROW_KEYS, at)
    return _call(fault, fields, match)


def _only(fields: dict[str, Value], known: tuple[str, ...], at: str) -> None:
    for name, value in fields.items():
        if name not in known:
            what = "a job" if known is _JOB_KEYS else "a call"
            value.fail(f"{name!r} does not go with {at!r}", f"a fault of {what} has: {', '.join(known[1:])}")


def _job(fault: Value, fields: dict[str, Value], match: re.Match[str]) -> JobRule:
    if len(fields) == 1:
        fault.fail(f"the fault at {match.string!r} does nothing", f"add one of: {', '.join(_JOB_KEYS[1:])}")
    kind = match["kind"].removesuffix(" job")
    assert kind in get_args(JobKind)
    if "interruptions" in fields and kind != "training":
        fields["interruptions"].fail(f"{match.string!r} cannot be interrupted", "only training jobs can")
    return JobRule(
        at=match.string,
        place=fault.place,
        kind=kind,  # type: ignore[arg-type]  # the assertion above
        name=match["name"],
        nth=int(match["nth"]) if match["nth"] else None,
        failure=fields["fails"].text() if "fails" in fields else None,
        exit_code=fields["exit_code"].integer(0, 255) if "exit_code" in fields else None,
        takes=fields["takes"].duration() if "takes" in fields else None,
        interruptions=fields["interruptions"].integer(1, 100) if "interruptions" in fields else 0,
    )


def _call(fault: Value, fields: dict[str, Value], match: re.Match[str]) -> CallFault:
    if "throw" not in fields:
        fault.fail(f"the fault at {match.string!r} does nothing", "add throw: ErrorCode")
    place, throw = fields["at"], fields["throw"]
    code = throw.text()
    if match["target"] == "lambda" and match["what"] not in _operations("lambda"):
        service, operation, function = "lambda", "Invoke", match["what"]
    else:
        service, operation, function = match["target"], match["what"], None
        _check_operation(place, service, operation)
    if function is not None:
        if not code.startswith("Lambda."):
            throw.fail(
                f"{code!r} is not an error that invoking a function gives",
                "write Lambda.<Code>, such as Lambda.TooManyRequestsException or Lambda.ServiceException",
            )
        code = code.removeprefix("Lambda.")
    if not re.fullmatch(r"[A-Za-z][\w.]*", code):
        throw.fail(f"{code!r} is not an error code")
    status = fields["status"].integer(400, 599) if "status" in fields else _status(service, code)
    default = "Rate exceeded" if "Throttl" in code or status == 429 else f"{code} (a fault of the scenario)"
    return CallFault(
        at=match.string,
        place=fault.place,
        service=service,
        operation=operation,
        function=function,
        nth=int(match["nth"]) if match["nth"] else None,
        code=code,
        message=fields["message"].text() if "message" in fields else default,
        status=status,
    )


# botocore's own models say what exists --------------------------------------------------------------


@cache
def _loader() -> Any:
    from botocore.loaders import Loader  # slow to import; most scenarios have no fault on a service call

    return Loader()


@cache
def _model(service: str) -> Any:
    return _loader().load_service_model(service, "service-2")


def _operations(service: str) -> dict[str, Any]:
    operations: dict[str, Any] = _model(service)["operations"]
    return operations


def _check_operation(place: Value, service: str, operation: str) -> None:
    known = _loader().list_available_services("service-2")
    if service not in known:
        place.fail(f"AWS has no service {service!r}", suggestion(service, ["lambda", *known]) or _GRAMMAR)
    operations = _operations(service)
    if operation not in operations:
        place.fail(f"{service} has no operation {operation!r}", suggestion(operation, operations))


def _status(service: str, code: str) -> int:
    shape = _model(service)["shapes"].get(code, {})
    modelled = shape.get("error", {}).get("httpStatusCode")
    return int(modelled) if modelled else _COMMON_STATUS.get(code, 400)
