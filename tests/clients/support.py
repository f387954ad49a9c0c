"""A local cloud with real containers, and programs that know nothing of it but its address."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from harness.clock import RealClock, run
from harness.cloud.cloud import Cloud
from harness.containers.environments import Installation, environment
from harness.containers.process import ProcessRuntime
from harness.containers.runtime import ContainerRuntime, ImageSource
from harness.project.pythons import nearest

__all__ = ["FOLDER", "Client", "client", "local_cloud"]

FOLDER = Path(__file__).parent
QUIET = """
SchemaVersion: '1.0'
SageMaker:
  PythonSDK:
    Modules:
      TelemetryOptOut: true
"""


@contextmanager
def local_cloud(runtime: str, images: Mapping[str, ImageSource]) -> Iterator[str]:
    """A cloud in a thread of its own, whose time is the wall's. None of its background tasks may fail.

    Args:
        runtime: What runs its containers: ``process`` or ``docker``.
        images: What to build, by the URI that requests will have.

    Yields:
        Its address: ``http://127.0.0.1:PORT``.
    """
    ready: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    failures: list[BaseException] = []

    async def live() -> None:
        containers = _runtime(runtime)
        over = asyncio.Event()
        try:
            async with Cloud(clock=RealClock(), containers=containers) as cloud:
                for uri, source in images.items():
                    cloud.images[uri] = await containers.build(source)
                ready.set_result((cloud.endpoint_url, asyncio.get_running_loop(), over))
                await over.wait()
            failures.extend(cloud.failures)
        finally:
            await containers.close()

    def main() -> None:
        try:
            run(live())
        except BaseException as error:
            if ready.done():
                failures.append(error)
            else:
                ready.set_exception(error)

    thread = threading.Thread(target=main, name="cloud")
    thread.start()
    try:
        endpoint, loop, over = ready.result()
        try:
            yield endpoint
        finally:
            loop.call_soon_threadsafe(over.set)
    finally:
        thread.join()
    assert failures == []


def _runtime(name: str) -> ContainerRuntime:
    if name == "docker":
        from harness.containers.docker import DockerRuntime

        return DockerRuntime()
    return ProcessRuntime()


class Client:
    """Programs of one environment.

    Args:
        scripts: The folder of the environment's programs.
        folder: Where they run; their home, too.
        endpoint: The local cloud's address.
    """

    def __init__(self, scripts: Path, folder: Path, endpoint: str) -> None:
        self.folder = folder
        self._scripts = scripts
        # SageMaker's SDKs report each use to AWS unless told not to.
        quiet = folder / ".config" / "sagemaker" / "config.yaml"
        quiet.parent.mkdir(parents=True, exist_ok=True)
        quiet.write_text(QUIET)
        self._variables = {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_PAGER": "",
            "HOME": str(folder),
            "PATH": os.pathsep.join([str(scripts), os.defpath]),
        }

    def run(self, program: str, *arguments: str) -> str:
        """Run a program to its end; what it wrote to stdout. It must succeed."""
        done = self.run_badly(program, *arguments)
        assert done.returncode == 0, f"{program} {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def run_badly(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, whichever it is."""
        return subprocess.run(
            [self._scripts / program, *arguments],
            cwd=self.folder,
            env=self._variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def script(self, name: str, *arguments: str) -> str:
        """Run one of our scripts, in which whatever is not as it should be is an AssertionError."""
        return self.run("python", str(FOLDER / "scripts" / f"{name}.py"), *arguments)


def client(lock: str, folder: Path, endpoint: str) -> Client:
    """A client installed from a lock file, in an environment of its own that is kept in the cache.

    Args:
        lock: The lock file's name in ``locks``, without ``.txt``.
        folder: Where its programs run.
        endpoint: The local cloud's address.
    """
    file = FOLDER / "locks" / f"{lock}.txt"
    step = Installation(("--require-hashes", "-r", str(file)), FOLDER, file.read_text())
    made = environment(nearest(None), [step], lambda line: None)
    return Client(made.scripts, folder, endpoint)
