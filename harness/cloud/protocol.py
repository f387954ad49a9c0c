"""The AWS JSON protocols, both ways: request -> parameters, result or error -> response.

A `Protocol` is made per service from botocore's model of it; operations are compiled when first called.
`JsonProtocol` is here, the REST one in `harness.cloud.rest`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.messages import HttpRequest, HttpResponse, dump, load
from harness.cloud.models import OperationModel, ServiceModel, load_model
from harness.cloud.scalars import Encoder
from harness.cloud.shapes import Compiler, Decoder

_VALIDATION_CODES = {"sagemaker-runtime": "ValidationError"}
"""Services that do not call it ValidationException."""


class Operation:
    """One operation, compiled.

    Attributes:
        model: What botocore knows about it.
        name: e.g. ``CreateTrainingJob``.
    """

    def __init__(self, service: ServiceModel, model: OperationModel, compiler: Compiler) -> None:
        self.model = model
        self.name = model.name
        self._service = service
        self._compiler = compiler
        self._accept: Decoder | None = None
        self._settle: Encoder | None = None

    def parse(self, request: HttpRequest, labels: Mapping[str, str]) -> dict[str, Any]:
        """The parameters of a request, checked.

        Args:
            request: The request.
            labels: The decoded parts of the path that the URI template names.

        Raises:
            ServiceError: SerializationException, or ValidationException naming every broken constraint.
        """
        raise NotImplementedError

    def respond(self, result: Mapping[str, Any]) -> HttpResponse:
        """The response to a success, without the headers every response has."""
        raise NotImplementedError

    def accept(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """As `parse`, for parameters that are in Python form already."""
        if self.model.input is None:
            if params:
                raise ServiceError("ValidationException", f"{self.name} takes no parameters")
            return {}
        if self._accept is None:
            self._accept = self._compiler.decoder(self.model.input, "python")
        broken: list[str] = []
        accepted: dict[str, Any] = self._accept(dict(params), "", broken)
        self._require_none(broken)
        return accepted

    def settle(self, result: Mapping[str, Any] | None) -> dict[str, Any]:
        """A service's result in Python form: timestamps as datetimes, absent members left out.

        Raises:
            ValueError: The service answered with a member the model does not have.
        """
        if self.model.output is None:
            return {}
        if self._settle is None:
            self._settle = self._compiler.encoder(self.model.output, "python")
            assert self._settle is not None  # outputs are structures
        settled: dict[str, Any] = self._settle(result or {})
        return settled

    def _require_none(self, broken: list[str]) -> None:
        if broken:
            noun = "error" if len(broken) == 1 else "errors"
            code = _VALIDATION_CODES.get(self._service.service, "ValidationException")
            raise ServiceError(code, f"{len(broken)} validation {noun} detected: {'; '.join(broken)}")


class Protocol:
    """How one service speaks HTTP."""

    content_type: str

    def __init__(self, model: ServiceModel) -> None:
        self.model = model
        self._compiler = Compiler(model.shapes)
        self._compiled: dict[str, Operation] = {}
        self._names = {name.lower(): name for name in model.operations}

    def operation(self, name: str) -> Operation:
        """An operation by name; its case does not matter.

        Raises:
            ServiceError: UnknownOperationException.
        """
        found = self._compiled.get(name)
        if found is None:
            known = self._names.get(name.lower())
            if known is None:
                raise ServiceError(
                    "UnknownOperationException", f"{self.model.service} has no operation {name!r}"
                )
            found = self._compiled[name] = self._compile(self.model.operations[known])
        return found

    def match(self, request: HttpRequest) -> tuple[Operation, Mapping[str, str]]:
        """The operation a request asks for, and the decoded variable parts of its path.

        Raises:
            ServiceError: UnknownOperationException.
        """
        raise NotImplementedError

    def fail(self, error: ServiceError) -> HttpResponse:
        """The response to an error."""
        modelled = self.model.errors.get(error.code)
        members = modelled.members if modelled else {}
        body: dict[str, Any] = {"__type": error.code}
        body["Message" if "Message" in members else "message"] = error.message
        headers = [("Content-Type", self.content_type), ("x-amzn-ErrorType", error.code)]
        for name, value in error.fields.items():
            ref = members.get(name, {})
            if ref.get("location") == "header":
                headers.append((ref["locationName"], str(value)))
            elif value is not None:
                encoder = self._compiler.encoder(ref["shape"], "json") if ref else None
                body[name] = encoder(value) if encoder else value
        if "Type" in members and "Type" not in error.fields:
            body["Type"] = "User" if self.status_of(error) < 500 else "Service"
        return HttpResponse(self.status_of(error), headers, dump(body))

    def status_of(self, error: ServiceError) -> int:
        """HTTP status of an error: its own where it says one, else what the model says."""
        modelled = self.model.errors.get(error.code)
        if error.status != 400 or modelled is None or modelled.status is None:
            return error.status
        return modelled.status

    def _compile(self, model: OperationModel) -> Operation:
        raise NotImplementedError


class JsonOperation(Operation):
    """An operation whose parameters and result are one JSON document each."""

    def __init__(
        self, service: ServiceModel, model: OperationModel, compiler: Compiler, content_type: str
    ) -> None:
        super().__init__(service, model, compiler)
        self._headers = [("Content-Type", content_type)]
        self._decode = compiler.decoder(model.input, "json") if model.input else None
        self._encode = compiler.encoder(model.output, "json") if model.output else None

    def parse(self, request: HttpRequest, labels: Mapping[str, str]) -> dict[str, Any]:
        document = load(request.body)
        if self._decode is None:
            return {}
        broken: list[str] = []
        params: dict[str, Any] = self._decode(document, "", broken)
        self._require_none(broken)
        return params

    def respond(self, result: Mapping[str, Any]) -> HttpResponse:
        body = dump(self._encode(result)) if self._encode else b""
        return HttpResponse(self.model.status, self._headers.copy(), body)


class JsonProtocol(Protocol):
    """awsJson 1.0 and 1.1: everything is POSTed to ``/``, X-Amz-Target names the operation."""

    def __init__(self, model: ServiceModel) -> None:
        super().__init__(model)
        self.content_type = f"application/x-amz-json-{model.json_version}"

    def match(self, request: HttpRequest) -> tuple[Operation, Mapping[str, str]]:
        prefix, _, name = request.headers.get("x-amz-target", "").rpartition(".")
        if prefix != self.model.target_prefix or request.method != "POST":
            raise ServiceError(
                "UnknownOperationException",
                f"a request to {self.model.service} is a POST with the header "
                f"X-Amz-Target: {self.model.target_prefix}.<operation>",
            )
        return self.operation(name), {}

    def _compile(self, model: OperationModel) -> Operation:
        return JsonOperation(self.model, model, self._compiler, self.content_type)


@cache
def protocol_of(service: str) -> Protocol:
    """The protocol of one of our services.

    Raises:
        KeyError: botocore has no such service.
    """
    from harness.cloud.rest import RestJsonProtocol  # it builds on this module

    model = load_model(service)
    return {"json": JsonProtocol, "rest-json": RestJsonProtocol}[model.protocol](model)
