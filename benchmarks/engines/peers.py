"""The engines that are compared: what each is installed from, how it is started, what it must be told first.

Every peer gets a virtual environment of its own in the user's cache folder, named by its packages, so that a
change of a version makes a new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import uv

from harness.project.cache import cache_folder, locked

__all__ = ["ENGINES", "FLOOR", "Engine", "Unavailable", "install", "step_functions_local"]

JAR = "STEPFUNCTIONS_LOCAL_JAR"
"""Names the jar of Step Functions Local, which AWS gives out for download but not on a package registry."""

_REPOSITORY = Path(__file__).parents[2]


class Unavailable(Exception):
    """An engine cannot take part; the message says why, in one line."""


@dataclass(frozen=True)
class Engine:
    """A server that speaks the Step Functions API.

    In `command` and `environment`, ``{port}`` is the port to listen on, ``{bin}`` the folder of the
    programs of the engine's environment, and ``{scratch}`` a folder that is removed with the server.

    Attributes:
        name: For the table.
        command: Starts it.
        environment: Variables it needs besides ours.
        packages: From PyPI; none for what runs in this interpreter.
        python: Version of the interpreter the packages are installed for.
        prepare: Tells a server that answers, by its URL, what it must know before the first call.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    python: str = "3.13"
    prepare: Callable[[str], object] = lambda endpoint: None


def _let_moto_execute(endpoint: str) -> None:
    """moto runs state machines only when told to."""
    request = urllib.request.Request(
        f"{endpoint}/moto-api/config",
        data=json.dumps({"stepfunctions": {"execute_state_machine": True}}).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    urllib.request.urlopen(request, timeout=10).close()


FLOOR = Engine("floor", (sys.executable, "-m", "benchmarks.engines.floor", "{port}"))

ENGINES = (
    Engine("harness", (sys.executable, "-m", "harness.cli", "up", "--empty", "--port", "{port}")),
    Engine(
        "ministack 1.5.33",
        ("{bin}/ministack",),
        {"GATEWAY_PORT": "{port}", "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "WARNING"},
        ("ministack==1.5.33",),
    ),
    Engine(
        "moto 5.2.5",
        ("{bin}/moto_server", "--host", "127.0.0.1", "--port", "{port}"),
        packages=("moto[server,stepfunctions]==5.2.5",),
        prepare=_let_moto_execute,
    ),
    Engine(
        "LocalStack 4.14.0",
        ("{bin}/python", "-m", "localstack.runtime.main"),
        {
            "GATEWAY_LISTEN": "127.0.0.1:{port}",
            "LOCALSTACK_VOLUME_DIR": "{scratch}",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "DISABLE_EVENTS": "1",
            "LS_LOG": "warning",
        },
        (
            "localstack-core[runtime]==4.14.0",
            "plux==1.14.0",
            # Its own bounds let in later ones that it does not run with.
            "cbor2<5.8",
            "cryptography<47",
            "pyopenssl<26",
            "service_identity",
        ),
    ),
)


def step_functions_local() -> Engine:
    """Step Functions Local, from the jar that `JAR` names.

    Raises:
        Unavailable: It names none, or there is no Java.
    """
    jar = os.environ.get(JAR)
    if not jar:
        raise Unavailable(f"{JAR} names no jar")
    if not Path(jar).is_file():
        raise Unavailable(f"{JAR}={jar}: there is no such file")
    if shutil.which("java") is None:
        raise Unavailable("there is no java on PATH")
    # It takes its port from the environment, and looks for credentials though it calls nobody here.
    options = ("--aws-account", "123456789012", "--aws-region", "us-east-1")
    variables = {"PORT": "{port}", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    return Engine("Step Functions Local", ("java", "-jar", jar, *options), variables)


def install(engine: Engine) -> Path:
    """The folder of the programs that the engine's packages bring, installed if they are not there yet.

    Raises:
        Unavailable: There is no such interpreter (uv looks for ``python3.13`` on PATH and for its own), or
            the packages cannot be installed.
    """
    if not engine.packages:
        return Path(sys.executable).parent
    wanted = json.dumps([engine.python, *engine.packages])
    key = f"{engine.name.split()[0].lower()}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    with locked(cache_folder() / "benchmarks", key) as path:
        if not (path / "complete").exists():
            print(f"installing {engine.name} in {path}", file=sys.stderr, flush=True)
            shutil.rmtree(path, ignore_errors=True)
            options = ("--quiet", "--no-project", "--no-python-downloads", "--python", engine.python)
            _uv("venv", *options, str(path))
            # Bytecode is made now: the first start shall not pay for it.
            options = ("--quiet", "--compile-bytecode", "--python", str(path / "bin" / "python"))
            _uv("pip", "install", *options, *engine.packages)
            (path / "complete").touch()
    return path / "bin"


def _uv(*arguments: str) -> None:
    done = subprocess.run(
        [uv.find_uv_bin(), *arguments], cwd=_REPOSITORY, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise Unavailable(f"uv {arguments[0]}: {'; '.join(line.strip() for line in lines[:3])}")
