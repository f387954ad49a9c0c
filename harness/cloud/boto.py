"""Calls from inside the process to services of moto's: a botocore client whose requests never leave it.

A whole client, rather than botocore's serialisers alone, because much of what boto3 accepts is made by
handlers on the client: copy sources, tags, checksums, encoded keys.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Protocol
from urllib.parse import urlsplit

import botocore.session
from botocore import UNSIGNED
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, UnknownServiceError
from botocore.response import StreamingBody

from harness.cloud.errors import ServiceError
from harness.cloud.messages import HttpRequest, HttpResponse

_NOTHING = (None, None, None, None)
_ENDPOINT = "http://127.0.0.1"  # never connected to


class Carrier(Protocol):
    """Carries out a request in this process; it is neither signed nor addressed to a host yet."""

    def __call__(self, request: HttpRequest, signing_name: str) -> HttpResponse: ...


class InProcessClients:
    """botocore clients, one per service, made when first needed. They keep nothing between calls.

    Args:
        region: Region of all calls.
    """

    def __init__(self, region: str) -> None:
        self._region = region
        self._clients: dict[str, BaseClient] = {}
        self._lock = threading.Lock()
        self._carrier = threading.local()
        # Nothing of the user's configuration or credentials is read.
        self._session = botocore.session.Session(
            session_vars={
                "profile": _NOTHING,
                "config_file": (None, None, os.devnull, None),
                "credentials_file": (None, None, os.devnull, None),
                "data_path": _NOTHING,
                "use_dualstack_endpoint": _NOTHING,
                "use_fips_endpoint": _NOTHING,
            }
        )

    def call(self, service: str, operation: str, params: Mapping[str, Any], carry: Carrier) -> dict[str, Any]:
        """Call an operation in boto3's terms.

        Raises:
            ServiceError: As the service answers.
        """
        client = self._client(service)
        method = _method(client, operation)
        self._carrier.carry = carry
        try:
            result = getattr(client, method)(**params)
        except ClientError as error:
            raise _service_error(error) from error
        except BotoCoreError as error:
            raise ServiceError("ValidationException", str(error)) from error
        finally:
            self._carrier.carry = None
        result.pop("ResponseMetadata", None)
        return {name: _whole(value) for name, value in result.items()}

    def _client(self, service: str) -> BaseClient:
        with self._lock:
            client = self._clients.get(service)
            if client is None:
                try:
                    client = self._session.create_client(
                        service,
                        region_name=self._region,
                        endpoint_url=_ENDPOINT,
                        config=Config(
                            signature_version=UNSIGNED,
                            retries={"total_max_attempts": 1},
                            inject_host_prefix=False,
                            request_checksum_calculation="when_required",
                            response_checksum_validation="when_required",
                            s3={"addressing_style": "path"},
                        ),
                    )
                except UnknownServiceError:
                    raise ServiceError("UnknownService", f"AWS has no service {service!r}") from None
                signing_name = client.meta.service_model.signing_name
                client.meta.events.register_first(
                    "before-send", lambda request, **_: self._send(request, signing_name)
                )
                self._clients[service] = client
            return client

    def _send(self, request: AWSPreparedRequest, signing_name: str) -> AWSResponse:
        url = urlsplit(request.url)
        headers = {name.lower(): _text(value) for name, value in request.headers.items()}
        body = _content(request.body)
        response = self._carrier.carry(
            HttpRequest(request.method, url.path or "/", url.query, headers, body), signing_name
        )
        return AWSResponse(request.url, response.status, dict(response.headers), _Raw(response.body))


class _Raw(BytesIO):
    """What botocore expects of urllib3's response."""

    def stream(self, **_: Any) -> Any:
        while piece := self.read(1 << 20):
            yield piece


def _method(client: BaseClient, operation: str) -> str:
    for method, name in client.meta.method_to_api_mapping.items():
        if name.lower() == operation.lower():
            return str(method)
    service = client.meta.service_model.service_name
    raise ServiceError("UnknownOperationException", f"{service} has no operation {operation!r}")


def _service_error(error: ClientError) -> ServiceError:
    response = dict(error.response)
    described = dict(response.pop("Error", {}))
    metadata = response.pop("ResponseMetadata", {})
    code, message = described.pop("Code", "Unknown"), described.pop("Message", "")
    return ServiceError(
        code, message, status=metadata.get("HTTPStatusCode", 400), fields={**described, **response}
    )


def _whole(value: Any) -> Any:
    if isinstance(value, StreamingBody):
        with value:
            return value.read()
    return value


def _content(body: Any) -> bytes:
    if body is None:
        return b""
    if hasattr(body, "read"):
        body = body.read()
    return body.encode() if isinstance(body, str) else bytes(body)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
