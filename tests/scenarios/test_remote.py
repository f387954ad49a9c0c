"""Replaying over the port of a cloud: what goes over the wire."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.clock import run
from harness.cloud.events import Event
from harness.errors import HarnessError, ScenarioError
from harness.scenarios.remote import RunService, run_remotely
from tests.report.test_terminal import record
from tests.scenarios.fakes import FakeTarget, Heard, Script


@contextmanager
def answering(*lines: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that gives these lines to whoever asks; yields its URL and what it was asked."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))

        def log_message(self, *arguments: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def test_a_client_hears_what_happens():
    event = {"at": 1.0, "wall": 2.0, "kind": "execution", "subject": "arn:1", "data": {"status": "RUNNING"}}
    lines = [
        {"note": "packing"},
        {"started": {"name": "x", "file": "x.yaml"}},
        {"event": event},
        {"finished": record().as_dict()},
        {"done": True},
    ]
    heard = Heard()
    with answering(*lines) as (url, asked):
        records = run_remotely(url, [Path("/p/x.yaml")], heard, logs=True, keep=False)
    assert asked == [{"scenarios": ["/p/x.yaml"], "logs": True, "keep": False}]
    assert records == [record()]
    assert heard.words == ["packing", ("x", "x.yaml"), Event(**event), record()]


def test_an_error_there_is_an_error_here():
    error = {"type": "ScenarioError", "message": "wrong", "file": "x.yaml", "place": "1:2", "hint": "mend it"}
    with answering({"error": error}) as (url, _), pytest.raises(ScenarioError) as caught:
        run_remotely(url, [], Heard(), logs=False, keep=False)
    assert str(caught.value) == "x.yaml: 1:2: wrong\n  mend it"
    assert caught.value.exit_code == 2


def test_a_mistake_of_the_harness_there():
    with (
        answering({"error": {"type": "", "traceback": "Traceback: there"}}) as (url, _),
        pytest.raises(RuntimeError, match="Traceback: there"),
    ):
        run_remotely(url, [], Heard(), logs=False, keep=False)


def test_a_cloud_that_goes_away():
    with answering({"note": "packing"}) as (url, _), pytest.raises(HarnessError, match="went away"):
        run_remotely(url, [], Heard(), logs=False, keep=False)
    with pytest.raises(HarnessError, match="went away"):
        run_remotely(url, [], Heard(), logs=False, keep=False)


def ask(root: Path, request: dict[str, Any], method: str = "POST") -> tuple[int, list[dict[str, Any]]]:
    """What the service answers."""
    sent: list[Any] = []

    async def exchange() -> None:
        incoming = [{"type": "http.request", "body": json.dumps(request).encode(), "more_body": False}]

        async def receive() -> Any:
            if not incoming:
                await asyncio.Event().wait()
            return incoming.pop()

        async def send(message: Any) -> None:
            sent.append(message)

        await RunService(root, FakeTarget(Script()))({"type": "http", "method": method}, receive, send)

    run(exchange())
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], [json.loads(line) for line in body.splitlines()]


def test_the_service_answers_with_errors_in_full(tmp_path):
    (tmp_path / "bad.yaml").write_text("name: x\nexpct: {}")
    request = {"scenarios": [str(tmp_path / "bad.yaml")], "logs": False, "keep": False}
    status, lines = ask(tmp_path, request)
    assert status == 200
    assert lines == [
        {
            "error": {
                "type": "ScenarioError",
                "message": "unknown key 'expct'",
                "file": str(tmp_path / "bad.yaml"),
                "place": "2:1",
                "hint": "did you mean 'expect'?",
            }
        }
    ]


def test_the_service_only_takes_posts(tmp_path):
    assert ask(tmp_path, {}, "GET") == (405, [])


def test_a_request_it_does_not_understand(tmp_path):
    status, lines = ask(tmp_path, {"scenarios": 3, "logs": False, "keep": False})
    assert status == 200
    assert "Traceback" in lines[0]["error"]["traceback"]
