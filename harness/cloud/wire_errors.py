"""Error responses for services that are not ours, in whatever protocol the request speaks."""

from __future__ import annotations

import json
import re
from xml.sax.saxutils import escape

from harness.cloud.addressing import Address
from harness.cloud.errors import ServiceError
from harness.cloud.messages import HttpRequest, HttpResponse, dump

_REST_XML = frozenset({"cloudfront", "route53"})
_REQUEST_ID = "00000000-0000-0000-0000-000000000000"


def error_response(request: HttpRequest, address: Address, error: ServiceError) -> HttpResponse:
    """An error as the service of this request would word it."""
    code, message = escape(error.code), escape(error.message)
    kind = request.headers.get("content-type", "")
    if address.service == "s3":
        body = (
            f"<Error><Code>{code}</Code><Message>{message}</Message>"
            f"{''.join(f'<{name}>{escape(str(value))}</{name}>' for name, value in error.fields.items())}"
            f"<RequestId>{_REQUEST_ID}</RequestId></Error>"
        )
    elif address.service == "ec2":
        body = (
            f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
            f"<RequestID>{_REQUEST_ID}</RequestID></Response>"
        )
    elif kind.startswith("application/x-www-form-urlencoded") or address.service in _REST_XML:
        side = "Sender" if error.status < 500 else "Receiver"
        body = (
            f"<ErrorResponse><Error><Type>{side}</Type><Code>{code}</Code><Message>{message}</Message></Error>"
            f"<RequestId>{_REQUEST_ID}</RequestId></ErrorResponse>"
        )
    else:
        headers = [
            ("Content-Type", kind if "json" in kind else "application/json"),
            ("x-amzn-ErrorType", error.code),
        ]
        document = {"__type": error.code, "message": error.message, **error.fields}
        return HttpResponse(error.status, headers, dump(document))
    if request.method == "HEAD":
        body = ""
    return HttpResponse(error.status, [("Content-Type", "text/xml")], body.encode())


def error_code(response: HttpResponse) -> str | None:
    """The error code in a response of any protocol; None in a success."""
    if response.status < 400:
        return None
    for name, value in response.headers:
        if name.lower() == "x-amzn-errortype":
            return value.rpartition("#")[2].partition(":")[0]
    body = response.body if isinstance(response.body, bytes) else b""
    if match := re.search(rb"<Code>([^<]+)</Code>", body):
        return match[1].decode()
    try:
        return str(json.loads(body)["__type"]).rpartition("#")[2]
    except (ValueError, KeyError, TypeError):
        return str(response.status)
