"""The AWS REST-JSON protocol: parameters in path, query string, headers and body.

https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

from harness.cloud.constraints import label, null
from harness.cloud.errors import ServiceError
from harness.cloud.eventstream import encode_events
from harness.cloud.messages import HttpRequest, HttpResponse, dump, load
from harness.cloud.models import OperationModel, ServiceModel, Shape
from harness.cloud.protocol import Operation, Protocol
from harness.cloud.scalars import Encoder, WrongType
from harness.cloud.shapes import Compiler, Decoder, encode

_JSON = "application/json"

_REMEMBERED = 1024
"""Paths whose operation is remembered: callers ask for the same endpoint or function again and again."""

Source = Callable[[HttpRequest, Mapping[str, str], Mapping[str, list[str]]], Any]
"""(request, path labels, query) -> the raw value of a member, None when it is absent."""


class RestOperation(Operation):
    """An operation whose members are bound to parts of the HTTP messages."""

    def __init__(self, service: ServiceModel, model: OperationModel, compiler: Compiler) -> None:
        super().__init__(service, model, compiler)
        self._shapes = service.shapes
        self._bound: list[tuple[str, Source, Decoder]] = []
        self._in_body: dict[str, tuple[str, Decoder]] = {}
        self._required: tuple[str, ...] = ()
        self._payload: str | None = None
        if model.input:
            self._bind_input(service.shapes[model.input])
        self._headers_out: list[tuple[str, str, Encoder | None, bool]] = []
        self._body_out: dict[str, tuple[str, Encoder | None]] = {}
        self._status_member: str | None = None
        self._payload_out: tuple[str, Shape, Encoder | None] | None = None
        if model.output:
            self._bind_output(service.shapes[model.output])

    def parse(self, request: HttpRequest, labels: Mapping[str, str]) -> dict[str, Any]:
        query = parse_qs(request.query, keep_blank_values=True) if request.query else {}
        broken: list[str] = []
        params: dict[str, Any] = {}
        for name, source, decoder in self._bound:
            value = source(request, labels, query)
            if value is not None:
                params[name] = decoder(value, label(name), broken)
        if self._in_body:
            document = load(request.body)
            if not isinstance(document, dict):
                raise WrongType("the request body is not a JSON object")
            for key, value in document.items():
                if key in self._in_body and value is not None:
                    name, decoder = self._in_body[key]
                    params[name] = decoder(value, label(name), broken)
        broken += [null(label(name)) for name in self._required if name not in params]
        self._require_none(broken)
        return params

    def respond(self, result: Mapping[str, Any]) -> HttpResponse:
        headers: list[tuple[str, str]] = []
        for name, wire, encoder, prefixed in self._headers_out:
            value = result.get(name)
            if prefixed:
                headers += [(wire + key, item) for key, item in (value or {}).items()]
            elif value is not None:
                headers.append((wire, encode(encoder, value)))
        known = {name for name, *_ in self._headers_out} | self._body_out.keys()
        if self._status_member:
            known.add(self._status_member)
        if self._payload_out:
            known.add(self._payload_out[0])
        if unknown := result.keys() - known:
            raise ValueError(f"the model's {self.name} answers no member {sorted(unknown)}")
        status = (
            result.get(self._status_member, self.model.status) if self._status_member else self.model.status
        )
        content_type, body = self._body(result)
        if content_type and not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", content_type))
        return HttpResponse(status, headers, body)

    def _body(self, result: Mapping[str, Any]) -> tuple[str | None, Any]:
        """(content type, body) of a success."""
        if self._payload_out:
            name, shape, encoder = self._payload_out
            value = result.get(name)
            if shape.get("eventstream"):
                if value is None:
                    raise ValueError(f"{self.name} answers a stream of events as {name}")
                return "application/vnd.amazon.eventstream", encode_events(shape, self._shapes, value)
            if shape["type"] == "structure":
                return _JSON, dump(encode(encoder, value or {}))
            if isinstance(value, str):
                value = value.encode()
            return _JSON if shape["type"] == "string" else "application/octet-stream", value or b""
        if self.model.status == 204:
            return None, b""
        document = {}
        for name, (wire, encoder) in self._body_out.items():
            if (value := result.get(name)) is not None:
                document[wire] = encode(encoder, value)
        return _JSON, dump(document)

    def _bind_input(self, shape: Shape) -> None:
        self._required = tuple(shape.get("required", ()))
        payload = shape.get("payload")
        for name, ref in shape["members"].items():
            wire = ref.get("locationName", name)
            kind = self._shapes[ref["shape"]]["type"]
            match ref.get("location"):
                case "uri":
                    self._bind(name, _from_label(wire), self._compiler.decoder(ref["shape"], "text"))
                case "querystring":
                    source = _from_query(wire, many=kind == "list")
                    self._bind(name, source, self._compiler.decoder(ref["shape"], "text"))
                case "header":
                    self._bind(name, _from_header(wire), self._compiler.decoder(ref["shape"], "text"))
                case None if name == payload:
                    if kind == "structure":
                        self._bind(name, _from_json_body, self._compiler.decoder(ref["shape"], "json"))
                    else:
                        source = _from_body(empty=b"" if name in self._required else None)
                        self._bind(name, source, self._compiler.decoder(ref["shape"], "python"))
                case None:
                    self._in_body[wire] = (name, self._compiler.decoder(ref["shape"], "json"))
                case place:
                    raise NotImplementedError(f"{self.name}: members bound to {place}")

    def _bind(self, name: str, source: Source, decoder: Decoder) -> None:
        self._bound.append((name, source, decoder))

    def _bind_output(self, shape: Shape) -> None:
        for name, ref in shape["members"].items():
            wire = ref.get("locationName", name)
            match ref.get("location"):
                case "header":
                    self._headers_out.append(
                        (name, wire, self._compiler.encoder(ref["shape"], "text"), False)
                    )
                case "headers":
                    self._headers_out.append((name, wire, None, True))
                case "statusCode":
                    self._status_member = name
                case _ if name == shape.get("payload"):
                    target = self._shapes[ref["shape"]]
                    encoder = (
                        None if target.get("eventstream") else self._compiler.encoder(ref["shape"], "json")
                    )
                    self._payload_out = (name, target, encoder)
                case _:
                    self._body_out[name] = (wire, self._compiler.encoder(ref["shape"], "json"))


class _Node:
    """A level of the tree of request paths."""

    __slots__ = ("greedy", "literals", "operations", "variable")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.variable: _Node | None = None
        self.greedy: _Node | None = None
        # by method: (query the request must have, operation, names of the path's variable segments)
        self.operations: dict[str, list[tuple[dict[str, list[str]], str, list[str]]]] = {}


class RestJsonProtocol(Protocol):
    """Method and path name the operation."""

    content_type = _JSON

    def __init__(self, model: ServiceModel) -> None:
        super().__init__(model)
        self._root = _Node()
        self._matched: dict[tuple[str, str], tuple[Operation, Mapping[str, str]]] = {}
        for operation in model.operations.values():
            self._plant(operation)

    def match(self, request: HttpRequest) -> tuple[Operation, Mapping[str, str]]:
        if request.query:  # it may decide between operations
            return self._match(request)
        key = request.method, request.path
        matched = self._matched.get(key)
        if matched is None:
            matched = self._match(request)
            if len(self._matched) < _REMEMBERED:
                self._matched[key] = matched
        return matched

    def _match(self, request: HttpRequest) -> tuple[Operation, Mapping[str, str]]:
        segments = request.path.strip("/").split("/")
        found = self._walk(self._root, segments, 0, [], request)
        if found is None:
            raise ServiceError(
                "UnknownOperationException",
                f"{self.model.service} has no operation {request.method} {request.path}",
                status=404,
            )
        name, labels = found
        return self.operation(name), labels

    def _compile(self, model: OperationModel) -> Operation:
        return RestOperation(self.model, model, self._compiler)

    def _plant(self, operation: OperationModel) -> None:
        path, _, query = operation.uri.partition("?")
        node = self._root
        labels: list[str] = []
        for segment in path.strip("/").split("/"):
            if not segment.startswith("{"):
                node = node.literals.setdefault(segment, _Node())
                continue
            labels.append(segment.strip("{+}"))
            if segment.endswith("+}"):
                node.greedy = node.greedy or _Node()
                node = node.greedy
            else:
                node.variable = node.variable or _Node()
                node = node.variable
        choices = node.operations.setdefault(operation.method, [])
        choices.append((parse_qs(query, keep_blank_values=True), operation.name, labels))
        choices.sort(key=lambda choice: -len(choice[0]))  # the one that asks for most is tried first

    def _walk(
        self, node: _Node, segments: list[str], at: int, values: list[str], request: HttpRequest
    ) -> tuple[str, dict[str, str]] | None:
        if at == len(segments):
            query = parse_qs(request.query, keep_blank_values=True)
            for needed, name, labels in node.operations.get(request.method, ()):
                if all(query.get(key) == value for key, value in needed.items()):
                    return name, dict(zip(labels, values, strict=True))
            return None
        segment = segments[at]
        if literal := node.literals.get(segment):
            found = self._walk(literal, segments, at + 1, values, request)
            if found:
                return found
        if node.variable and segment:
            found = self._walk(node.variable, segments, at + 1, [*values, unquote(segment)], request)
            if found:
                return found
        if node.greedy:
            for end in range(len(segments), at, -1):
                rest = unquote("/".join(segments[at:end]))
                if found := self._walk(node.greedy, segments, end, [*values, rest], request):
                    return found
        return None


def _from_label(wire: str) -> Source:
    return lambda request, labels, query: labels.get(wire)


def _from_query(wire: str, *, many: bool) -> Source:
    if many:
        return lambda request, labels, query: query.get(wire)
    return lambda request, labels, query: query[wire][0] if wire in query else None


def _from_header(wire: str) -> Source:
    key = wire.lower()
    return lambda request, labels, query: request.headers.get(key)


def _from_body(empty: bytes | None) -> Source:
    """The body as it is; `empty` is what an empty one counts as."""
    return lambda request, labels, query: request.body or empty


def _from_json_body(request: HttpRequest, labels: Mapping[str, str], query: Mapping[str, list[str]]) -> Any:
    return load(request.body) if request.body else None
