"""The web application that SageMaker talks to.

* ``GET /ping``: 200 once the model is loaded.
* ``POST /invocations``: an image in; ``{"predictions": {"class": "<label>"}}`` out.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from network import Network, decode
from PIL import Image

CONTENT_TYPES = {"application/x-image", "image/png"}

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class Refused(Exception):
    """A request that gets an error answer."""

    def __init__(self, status: HTTPStatus, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class Application:
    """The WSGI application.

    Args:
        network: The model that answers.
        max_payload: Bytes that a request may have; no limit when 0.
    """

    def __init__(self, network: Network, max_payload: int) -> None:
        self._network = network
        self._max_payload = max_payload

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        headers = {}
        try:
            status, body = HTTPStatus.OK, self._route(environ)
        except Refused as refused:
            status, headers = refused.status, refused.headers
            body = json.dumps({"error": str(refused)}).encode()
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        start_response(f"{status.value} {status.phrase}", list(headers.items()))
        return [body]

    def _route(self, environ: dict[str, Any]) -> bytes:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        allowed = {"/ping": "GET", "/invocations": "POST"}.get(path)
        if allowed is None:
            raise Refused(HTTPStatus.NOT_FOUND, f"there is no {path}")
        if method != allowed:
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} takes {allowed}", Allow=allowed)
        if path == "/ping":
            return b""
        label = self._network.classify(self._image(environ))
        return json.dumps({"predictions": {"class": label}}).encode()

    def _image(self, environ: dict[str, Any]) -> Image.Image:
        content_type = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        if content_type not in CONTENT_TYPES:
            known = " or ".join(sorted(CONTENT_TYPES))
            raise Refused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"expected {known}, not {content_type or 'no type'}"
            )
        # A chunked body has no length; the server ends it all the same (wsgi.input_terminated).
        if environ.get("CONTENT_LENGTH"):
            declared = int(environ["CONTENT_LENGTH"])
            limit = min(declared, self._max_payload + 1) if self._max_payload else declared
        else:
            limit = self._max_payload + 1 if self._max_payload else -1
        body = environ["wsgi.input"].read(limit)
        if self._max_payload and len(body) > self._max_payload:
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"an image may have {self._max_payload} bytes at most"
            )
        try:
            return decode(body)
        except ValueError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from error


def create() -> Application:
    """The application, with the model that SageMaker has unpacked.

    Exits when there is none, so that the container ends at once and its log says why.
    """
    folder = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")) / "model"
    try:
        network = Network.load(folder)
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"cannot load the model from {folder}: {error}")
    megabytes = int(os.environ.get("SAGEMAKER_MAX_PAYLOAD_IN_MB", "6"))
    print(f"serving {len(network.labels)} labels from {folder}", flush=True)
    return Application(network, megabytes * 1024 * 1024)
