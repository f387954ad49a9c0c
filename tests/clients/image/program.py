"""A model that multiplies numbers by a factor: trained, served, and what is cleaned before."""

from __future__ import annotations

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ML = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))


def train() -> None:
    parameters = json.loads((ML / "input/config/hyperparameters.json").read_text())
    if parameters.get("fail"):
        (ML / "output").mkdir(exist_ok=True)
        (ML / "output/failure").write_text("told to fail")
        sys.exit(1)
    rows = [line for file in sorted((ML / "input/data/train").iterdir()) for line in file.read_text().split()]
    factor = float(parameters["factor"])
    print(f"trained on {len(rows)} rows")
    print(f"loss={1 / factor};")
    (ML / "model/model.json").write_text(json.dumps({"factor": factor}))


def process() -> None:
    target = ML / "processing/clean"
    for file in sorted((ML / "processing/raw").iterdir()):
        print(f"cleaning {file.name}")
        (target / file.name).write_text(file.read_text().replace(";", "\n"))


def serve() -> None:
    factor = json.loads((ML / "model/model.json").read_text())["factor"]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer(200 if self.path == "/ping" else 404, b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            try:
                numbers = [float(line) * factor for line in body.split()]
            except ValueError as error:
                self.answer(400, str(error).encode())
                return
            self.answer(200, "".join(f"{number}\n" for number in numbers).encode())

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/csv")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    # The first process of a container is not ended by a signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
    ThreadingHTTPServer(("", port), Handler).serve_forever()


{"train": train, "process": process, "serve": serve}[sys.argv[1]]()
