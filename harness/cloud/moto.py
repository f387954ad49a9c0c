"""Every service that is not ours, by moto, in this process.

moto is handed requests the way its own decorators do it, not through its web server: a request is matched
against the URL patterns of its backends, and the backend's handler is called. Nothing is opened, patched or
started, and no network is touched. Importing moto takes most of a second: this module is imported when the
first request for one of its services arrives.

moto keeps all state in module globals, by account and region, and stamps things with real time.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from io import BytesIO
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

from botocore.exceptions import ClientError
from moto import backend_index, backends
from moto.core.base_backend import AccountSpecificBackend, BackendDict
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request as MotoRequest
from moto.core.request import determine_request_protocol
from moto.core.responses import BaseResponse
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model
from moto.utilities.utils import get_partition
from werkzeug.exceptions import HTTPException, NotFound

from harness.cloud.addressing import Address, locate
from harness.cloud.boto import InProcessClients
from harness.cloud.errors import ServiceError
from harness.cloud.identity import Identities
from harness.cloud.logs import LogEvent
from harness.cloud.messages import HttpRequest, HttpResponse
from harness.cloud.service import USER, Caller
from harness.cloud.wire_errors import error_response

_HOSTS = {
    "aidevops": "aidevops.{region}.api.aws",
    "budgets": "budgets.amazonaws.com",
    "cloudfront": "cloudfront.amazonaws.com",
    "dsql": "dsql.{region}.api.aws",
    "iotdata": "data-ats.iot.{region}.amazonaws.com",
    "memorydb": "memory-db.{region}.amazonaws.com",
    "mobiletargeting": "pinpoint.{region}.amazonaws.com",
    "payment-cryptography": "controlplane.payment-cryptography.{region}.amazonaws.com",
    "s3vectors": "s3vectors.{region}.api.aws",
    "ses": "email.{region}.amazonaws.com",
    "sagemaker-metrics": "metrics.sagemaker.{region}.amazonaws.com",
    "timestream": "ingest.timestream.{region}.amazonaws.com",
}
"""Hosts of services whose endpoint is not named after the name their requests are signed with."""

_DROPPED_HEADERS = frozenset(
    {"date", "server", "status", "content-length", "connection", "transfer-encoding"}
)
"""What the gateway sets itself."""


class Moto:
    """moto's services, for one account.

    All methods are synchronous and may be called from any thread.

    Args:
        account: Account id everything belongs to.
        region: Region of requests that name none.
        endpoint_url: The cloud's own; SQS puts it into queue URLs.
        identities: Access keys of callers.
    """

    def __init__(self, account: str, region: str, endpoint_url: str, identities: Identities) -> None:
        self._identities = identities
        self._account = account
        self._region = region
        self._lock = threading.Lock()
        self._assumed: set[str] = set()
        with _no_profile():
            # moto asks boto3 for its regions through this session, once: a profile that the user's shell
            # names and that does not exist must not break that.
            AccountSpecificBackend.get_session()
        self._endpoint_host = endpoint_url.partition("//")[2]
        self._clients = _clients(region)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            BackendDict.reset()
            self._assumed.clear()

    def answer(self, request: HttpRequest, address: Address, caller: Caller) -> HttpResponse:
        """Carry out a request.

        Raises:
            Exception: Whatever a fault of moto's raises.
        """
        try:
            handler = self._handler(request, address)
        except ModuleNotFoundError as error:
            return _refusal(request, address, f"moto needs the Python package {error.name} for it")
        if handler is None:
            message = f"this local cloud has no service {address.service!r}"
            return error_response(request, address, ServiceError("UnknownService", message, status=501))
        if address.service == "sts":
            self._introduce(address, caller)
        wrapped = self._wrap(request, address)
        try:
            result = handler(wrapped, wrapped.raw_url, wrapped.headers)
        except HTTPException as error:
            result = (error.code, dict(error.get_headers()), error.get_body())
        except ClientError as error:
            result = (400, {}, error.response["Error"]["Message"])
        except NotImplementedError as error:
            return _refusal(request, address, str(error))
        return _response(request, result)

    def call(
        self,
        service: str,
        operation: str,
        params: Mapping[str, Any],
        caller: Caller,
    ) -> dict[str, Any]:
        """Call an operation in boto3's terms.

        Raises:
            ServiceError: As the service answers.
        """

        access_key = ANYBODY if caller == USER else self._identities.identify(caller)[0]

        def carry(request: HttpRequest, signing_name: str) -> HttpResponse:
            request.headers["host"] = self._endpoint_host
            request.headers["authorization"] = credential(access_key, self._region, signing_name)
            return self.answer(request, locate(request), caller)

        return self._clients.call(service, operation, params, carry)

    def s3(self) -> Any:
        """moto's S3 backend."""
        return _backend("s3")[self._account][get_partition(self._region)]

    def describe(self, request: HttpRequest, address: Address) -> tuple[str, str, dict[str, Any]]:
        """(botocore's name of the service, operation, parameters) of a request.

        An operation or parameters that cannot be told are empty.
        """
        try:
            handler = self._handler(request, address)
        except ModuleNotFoundError:  # `answer` says so
            return address.service, "", {}
        owner = getattr(handler, "__self__", None)
        response_class = owner if isinstance(owner, type) else type(owner)
        if not issubclass(response_class, BaseResponse):
            return address.service, "", {}
        service = response_class().boto3_service_name
        wrapped = self._wrap(request, address)
        model = get_service_model(service)
        name, labels = _operation(service, request, wrapped)
        if name not in model.operation_names:
            return service, name, {}
        try:
            parser = PROTOCOL_PARSERS[determine_request_protocol(model, wrapped.content_type)]
            params = parser(model.operation_model(name)).parse(
                {
                    "method": request.method,
                    "values": wrapped.values,
                    "headers": wrapped.headers,
                    "body": request.body,
                    "url_path": wrapped.path,
                    "url_params": labels,
                }
            )
        except Exception:  # a malformed request: what to answer is for the service to say
            return service, name, {}
        return service, name, params or {}

    def put_logs(self, streams: Mapping[tuple[str, str], list[LogEvent]]) -> None:
        """Append events to CloudWatch Logs streams, creating what is missing.

        Streams are written directly: the API refuses events that are two hours or more ahead of real time,
        which virtual time soon is.
        """
        logs = _backend("logs")[self._account][self._region]
        for (group, stream), events in streams.items():
            logs.ensure_log_group(group)
            logs.ensure_log_stream(group, stream)
            logs.groups[group].streams[stream].put_log_events(events)

    # How a request is handed over --------------------------------------------------------------------

    def _handler(self, request: HttpRequest, address: Address) -> Any:
        """moto's function for a request; None when no backend has one."""
        url = f"http://{self._host(request, address)}{_path(request, address)}"
        for backend, pattern in backend_index.backend_url_patterns:
            if pattern.match(url):
                for path, handler in _urls(backend, self._account):
                    if path.match(url):
                        return handler
        return None

    def _host(self, request: HttpRequest, address: Address) -> str:
        """The host that AWS has for the service of a request."""
        service = address.service
        target = request.headers.get("x-amz-target", "")
        if service == "dynamodb" and target.startswith("DynamoDBStreams"):
            service = "streams.dynamodb"
        elif service == "s3" and request.path.startswith("/v20180820/"):
            service = f"{self._account}.s3-control"
        elif service == "mediastore" and not target:
            service = "data.mediastore"
        host = _HOSTS.get(service, service + ".{region}.amazonaws.com")
        return host.format(region=address.region or self._region)

    def _wrap(self, request: HttpRequest, address: Address) -> MotoRequest:
        """The request as werkzeug has it. What moto asks of it beyond WSGI: RAW_URI for keys with encoded
        slashes, and the spelling of metadata headers with underscores."""
        path = _path(request, address)
        host = request.headers.get("host", "127.0.0.1") if address.bucket is None else "127.0.0.1"
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, "latin-1"),
            "RAW_URI": path,
            "QUERY_STRING": request.query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(request.body),
            "wsgi.errors": None,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        spelled: dict[str, str] = {}
        for name, value in request.headers.items():
            if name != "transfer-encoding":
                key = "HTTP_" + name.upper().replace("-", "_")
                environ[key] = value
                if "_" in name and name.startswith("x-amz-meta-"):
                    spelled[key] = name
        environ["CONTENT_TYPE"] = request.headers.get("content-type", "")
        environ["CONTENT_LENGTH"] = str(len(request.body))
        environ["HTTP_HOST"] = host
        environ["HTTP_X_MOTO_ACCOUNT_ID"] = self._account
        environ["moto.preserved_header_names"] = spelled
        if "authorization" not in request.headers:
            # moto takes the region from here.
            region = address.region or self._region
            environ["HTTP_AUTHORIZATION"] = credential(ANYBODY, region, address.service)
        return MotoRequest(environ)

    def _introduce(self, address: Address, caller: Caller) -> None:
        """Let GetCallerIdentity know the role a function or an execution acts in."""
        if caller.role is None or address.access_key is None or address.access_key in self._assumed:
            return
        from moto.sts.models import AssumedRole

        key: Any = SimpleNamespace(access_key_id=address.access_key, secret_access_key="")
        role = AssumedRole(
            account_id=self._account,
            region_name=self._region,
            access_key=key,
            role_session_name=caller.name.rpartition(":")[2],
            role_arn=caller.role,
            policy="",
            duration=3600,
            external_id="",
        )
        sts = _backend("sts")[self._account][role.partition]
        sts.assumed_roles.append(role)
        self._assumed.add(address.access_key)


ANYBODY = "AKIAIOSFODNN7EXAMPLE"
"""The access key of requests that have none: the one of AWS's own examples."""


def credential(access_key: str, region: str, service: str) -> str:
    """An Authorization header that names sender, region and service; it signs nothing."""
    scope = f"{access_key}/20200101/{region}/{service}/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"


@cache
def _clients(region: str) -> InProcessClients:
    """Clients for calls from inside, which all clouds of this process can share: making one takes long."""
    return InProcessClients(region)


def _backend(name: str) -> Any:
    """A service's backends by account and region, by moto's name for it."""
    find: Any = backends.get_backend  # typed for literal names only
    return find(name)


@cache
def _urls(backend: str, account: str) -> list[tuple[re.Pattern[str], Any]]:
    """URL patterns of a backend with their handlers, in order."""
    by_account = _backend(backend)
    if isinstance(by_account, BackendDict):
        regions = by_account[account]
        urls = regions["us-east-1" if "us-east-1" in regions else "aws"].urls
    else:
        urls = by_account["global"].urls
    return [(re.compile(url), handler) for url, handler in urls.items()]


def _path(request: HttpRequest, address: Address) -> str:
    return f"/{address.bucket}{request.path}" if address.bucket else request.path


def _operation(service: str, request: HttpRequest, wrapped: MotoRequest) -> tuple[str, dict[str, Any]]:
    """(operation, labels of the path)."""
    if target := request.headers.get("x-amz-target"):
        return target.rpartition(".")[2], {}
    if action := wrapped.values.get("Action"):
        return action, {}
    try:
        operation, labels = get_service_router(service).match(wrapped)
    except (NotFound, NotImplementedError):
        return "", {}
    return operation.name, labels


def _response(request: HttpRequest, result: Any) -> HttpResponse:
    status, headers, body = result if isinstance(result, tuple) else (200, {}, result)
    if isinstance(body, str):
        body = body.encode()
    kept: list[tuple[str, str]] = []
    for name, value in headers.items():
        lower = name.lower()
        if lower not in _DROPPED_HEADERS or (request.method == "HEAD" and lower == "content-length"):
            kept += [(name, str(item)) for item in (value if isinstance(value, list) else [value])]
    return HttpResponse(int(status), kept, b"" if request.method == "HEAD" else body or b"")


def _refusal(request: HttpRequest, address: Address, reason: str) -> HttpResponse:
    message = f"moto, which stands in for {address.service} here, does not support this: {reason}"
    return error_response(request, address, ServiceError("NotImplementedException", message, status=501))


@contextlib.contextmanager
def _no_profile() -> Iterator[None]:
    kept = {name: os.environ.pop(name, None) for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")}
    try:
        yield
    finally:
        os.environ.update({name: value for name, value in kept.items() if value is not None})
