"""An execution environment: one process that handles one invocation at a time."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from harness.cloud.functions import memory
from harness.cloud.functions.logs import LogPipe
from harness.cloud.functions.model import Version
from harness.cloud.functions.runtime_api import LARGEST_RESPONSE, RuntimeApi
from harness.cloud.functions.template import EnvironmentProcess, TemplateProcess
from harness.cloud.functions.zygote import layout
from harness.cloud.service import Caller, CloudContext

MEMORY_INTERVAL = 0.05
"""Real seconds between two looks at an environment's memory."""

Status = Literal["success", "error", "timeout"]


@dataclass(frozen=True)
class Invocation:
    """One event on its way to the handler.

    Attributes:
        request_id: Its id.
        payload: The event, JSON.
        arn: The function as the caller named it, made an ARN.
        trace_id: X-Ray's header.
        client_context: JSON that a mobile client passed, or None.
    """

    request_id: str
    payload: bytes
    arn: str
    trace_id: str
    client_context: str | None = None


@dataclass(frozen=True)
class Reply:
    """What became of an invocation, or of initialising.

    Attributes:
        payload: The result or the error, JSON.
        status: See `harness.cloud.functions.logs.Usage`.
        failed: The function failed; the payload is an error.
        error_type: When Lambda and not the handler says so: ``Runtime.ExitError`` and the like.
        line: What Lambda writes to the log about it.
    """

    payload: bytes
    status: Status = "success"
    failed: bool = False
    error_type: str | None = None
    line: str | None = None


class Environment:
    """A process of a function, from its start to its end.

    Args:
        cloud: The cloud.
        version: What it runs.
        template: What it is forked from.
        layers: Folder of the merged layers, relative to the template's packages.
        stream: Its log stream.
        on_lines: Called with what it writes; may be exchanged from one invocation to the next.
    """

    def __init__(
        self,
        cloud: CloudContext,
        version: Version,
        template: TemplateProcess,
        layers: str | None,
        stream: str,
        on_lines: Callable[[list[str]], object],
    ) -> None:
        self.version = version
        self.on_lines = on_lines
        self.stream = stream
        self.over = False
        self._cloud = cloud
        self._template = template
        self._layers = layers
        self._api = RuntimeApi(self)
        self._log = LogPipe(lambda lines: self.on_lines(lines))
        self._process: EnvironmentProcess | None = None
        self._pid = self._resident = 0
        self._used = memory.BARE
        self._request_id = ""
        self._turn: asyncio.Future[None] | None = (
            None  # until the process asks for work, ends, or is out of time
        )
        self._reply: Reply | None = None
        self._exit: int | None = None
        self._exhausted = False
        self._expired = False

    @property
    def memory_used(self) -> int:
        """Bytes, see `harness.cloud.functions.memory`."""
        return self._used

    async def initialize(self, request_id: str, limit: float) -> Reply | None:
        """Start the process and load the function.

        Args:
            request_id: The invocation that needs it, for error messages.
            limit: Real seconds.

        Returns:
            None when it is ready; else what went wrong, and the environment is of no use.
        """
        self._begin(request_id)
        try:
            await self._api.start()
            self._process = await self._template.spawn(
                code=self.version.code.folder,
                layers=self._layers,
                bytecode=self.version.name,
                handler=self.version.configuration["Handler"],
                environment=self._variables(),
                storage=self.version.configuration["EphemeralStorage"]["Size"] * memory.MEGABYTE,
                log=self._log.write_end,
            )
        finally:
            os.close(self._log.write_end)
        self._process.exited.add_done_callback(self._ended)
        self._process.started.add_done_callback(self._begun)
        await self._wait(limit)
        return self._verdict(limit)

    async def invoke(self, invocation: Invocation, limit: float) -> Reply:
        """Handle one event. Afterwards `over` says whether the environment can be used again.

        Args:
            invocation: The event.
            limit: Real seconds until the environment is killed.
        """
        self._begin(invocation.request_id)
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + limit) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": invocation.arn,
            "Lambda-Runtime-Trace-Id": invocation.trace_id,
        }
        if invocation.client_context is not None:
            headers["Lambda-Runtime-Client-Context"] = invocation.client_context
        if self._exit is None:
            self._api.deliver(headers, invocation.payload)
            await self._wait(limit)
        if self._reply is not None and not self._exhausted:
            return self._reply  # what it does after it has answered is its own affair
        # Lambda's word for a runtime that asks for the next event without having answered.
        return self._verdict(limit) or self._ending("Runtime.Unknown", "Unknown application error occurred")

    async def discard(self) -> None:
        """End the process, and everything it has started."""
        self.over = True
        if self._process is not None:
            await self._template.kill(self._process)
        self._api.close()
        self._log.close()

    def _begin(self, request_id: str) -> None:
        self._request_id = request_id
        self._reply = None

    # Waiting for the process -----------------------------------------------------------------------------

    async def _wait(self, limit: float) -> None:
        """Wait until the process asks for an invocation, ends, or is out of time or memory."""
        loop = asyncio.get_running_loop()
        self._turn = loop.create_future()
        expiry = loop.call_later(limit, self._expire)
        watch = asyncio.create_task(self._keep_watching())
        try:
            await self._turn
        finally:
            self._turn = None
            expiry.cancel()
            watch.cancel()
        self._watch()
        self._log.drain()

    async def _keep_watching(self) -> None:
        while not self.over:
            await asyncio.sleep(MEMORY_INTERVAL)  # real time: it is a real process that is being watched
            self._watch()

    def _finish(self) -> None:
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    def _begun(self, started: asyncio.Future[tuple[int, int]]) -> None:
        if started.exception() is None:
            self._pid, self._resident = started.result()

    def _ended(self, exited: asyncio.Future[int]) -> None:
        self._exit = exited.result()
        self.over = True
        self._finish()

    def _expire(self) -> None:
        self._expired = self.over = True
        self._finish()

    def _watch(self) -> None:
        """Look at the memory in use, and end a process that uses too much."""
        if not self._pid:
            return
        used = memory.used(self._pid, self._resident)
        if used is None:
            return
        self._used = max(self._used, used)
        if used > self.version.memory_size * memory.MEGABYTE:
            self._exhausted = self.over = True
            self._finish()

    def _verdict(self, limit: float) -> Reply | None:
        """How the wait ended; None when the process has asked for an invocation."""
        if self._exhausted:
            return self._ending("Runtime.OutOfMemory", "Runtime exited with error: signal: killed")
        if self._expired:
            text = f"Task timed out after {limit:.2f} seconds"
            return Reply(
                _error("Sandbox.Timedout", f"RequestId: {self._request_id} Error: {text}"),
                "timeout",
                failed=True,
                line=text,
            )
        if self._exit is None:
            return None
        if self._reply is not None:  # initialising failed, and it has said so
            return self._reply
        if self._exit < 0:
            signalled = (signal.strsignal(-self._exit) or str(-self._exit)).lower()
            return self._ending("Runtime.ExitError", f"Runtime exited with error: signal: {signalled}")
        if self._exit > 0:
            return self._ending("Runtime.ExitError", f"Runtime exited with error: exit status {self._exit}")
        return self._ending("Runtime.ExitError", "Runtime exited without providing a reason")

    def _ending(self, error_type: str, text: str) -> Reply:
        message = f"RequestId: {self._request_id} Error: {text}"
        return Reply(_error(error_type, message), "error", True, error_type, f"{message}\n{error_type}")

    # What the process says: `runtime_api.Runtime` --------------------------------------------------------

    def on_next(self) -> None:
        self._finish()

    def on_response(self, request_id: str, body: bytes) -> bool:
        return self._answered(request_id, Reply(body))

    def on_error(self, request_id: str, body: bytes) -> bool:
        return self._answered(request_id, Reply(body, "error", failed=True))

    def on_oversize(self, request_id: str, size: int) -> None:
        message = f"Response payload size exceeded maximum allowed payload size ({LARGEST_RESPONSE} bytes)."
        error_type = "Function.ResponseSizeTooLarge"
        self._answered(request_id, Reply(_error(error_type, message), "error", True, error_type))

    def on_init_error(self, body: bytes) -> None:
        try:
            error_type = json.loads(body)["errorType"]
        except (ValueError, KeyError, TypeError):
            error_type = "Runtime.Unknown"
        self._reply = Reply(body, "error", True, error_type)  # it exits by itself

    def _answered(self, request_id: str, reply: Reply) -> bool:
        if request_id != self._request_id or self._reply is not None:
            return False
        self._reply = reply
        return True

    # -----------------------------------------------------------------------------------------------------

    def _variables(self) -> dict[str, str]:
        """All environment variables of the process, as AWS documents them; nothing is inherited."""
        version, region = self.version, self._cloud.region
        key, secret = self._cloud.identify(Caller("function", version.name, version.role))
        logging = version.configuration["LoggingConfig"]
        task, runtime, layers = layout.TASK_ROOT, layout.RUNTIME_ROOT, layout.LAYER_ROOT
        if not self._template.isolated:
            task = str(self._template.packages / version.code.folder)
        variables = {
            "PATH": f"{layout.LANGUAGE_ROOT}/bin:/usr/local/bin:/usr/bin/:/bin:{layers}/bin",
            "LD_LIBRARY_PATH": layout.LIBRARIES,
            "PYTHONPATH": runtime,
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "AWS_ENDPOINT_URL": self._cloud.endpoint_url,
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",  # sync-127.0.0.1 is no host
            "AWS_EC2_METADATA_DISABLED": "true",
            **version.variables,
            "_HANDLER": version.configuration["Handler"],
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{version.runtime}",
            "AWS_LAMBDA_FUNCTION_NAME": version.name,
            "AWS_LAMBDA_FUNCTION_VERSION": version.number,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(version.memory_size),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": version.log_group,
            "AWS_LAMBDA_LOG_STREAM_NAME": self.stream,
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_SESSION_TOKEN": "harness",
            "LAMBDA_TASK_ROOT": task,
            "LAMBDA_RUNTIME_DIR": runtime,
        }
        if logging["LogFormat"] == "JSON":
            variables["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
            variables["AWS_LAMBDA_LOG_LEVEL"] = logging.get("ApplicationLogLevel", "INFO")
        return variables


def _error(error_type: str, message: str) -> bytes:
    return json.dumps({"errorType": error_type, "errorMessage": message}, separators=(",", ":")).encode()
