"""Invoking functions: which environment, how many at once, what is logged, and what is tried again."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakSet

from harness.cloud.errors import ServiceError
from harness.cloud.functions import runtimes
from harness.cloud.functions.environment import Environment, Invocation, Reply
from harness.cloud.functions.logs import SystemLog, Usage, tail, timestamp
from harness.cloud.functions.model import Function, Version
from harness.cloud.functions.packages import PackageStore
from harness.cloud.functions.runtimes import Runtime
from harness.cloud.functions.template import TemplateProcess
from harness.cloud.service import CloudContext
from harness.project.cache import cache_folder

ACCOUNT_CONCURRENCY = 1000
INIT_LIMIT = 10.0
"""Seconds for the init phase of an environment, after which it is repeated at the invocation's expense."""


@dataclass(frozen=True)
class Result:
    """What Invoke answers.

    Attributes:
        payload: The result or the error, JSON.
        failed: The function failed.
        log: The last 4 KB of the invocation's log.
    """

    payload: bytes
    failed: bool
    log: bytes


class Templates:
    """The template process of each interpreter, started when first wanted.

    Args:
        cloud: The cloud.
        folder: Scratch space.
        packages: Where code lies.
    """

    def __init__(self, cloud: CloudContext, folder: Path, packages: PackageStore) -> None:
        self._cloud = cloud
        self._folder = folder
        self._packages = packages
        self._runtimes: dict[str, asyncio.Task[Runtime]] = {}
        self._templates: dict[Path, asyncio.Task[TemplateProcess]] = {}
        self._warned: set[tuple[str, str]] = set()

    async def find(self, function: str, declared: str) -> Runtime:
        """The interpreter for a runtime name; `function` is who asks, and is warned when it is another one.

        Raises:
            EnvironmentFault: There is none.
        """
        runtime = await asyncio.shield(self._find(declared))
        if runtime.substitute:
            self.warn(
                function, f"it declares {declared}, which is not here; it runs on Python {runtime.version}"
            )
        return runtime

    async def get(self, function: str, declared: str) -> TemplateProcess:
        """The running template for a runtime name; `function` is who asks, for warnings.

        Raises:
            EnvironmentFault: It cannot be made.
        """
        runtime = await self.find(function, declared)
        task = self._templates.get(runtime.executable)
        if task is None or (
            task.done() and (task.cancelled() or task.exception() or not task.result().running)
        ):
            task = asyncio.create_task(self._start(runtime))
            self._templates[runtime.executable] = task
        return await asyncio.shield(task)

    def warn(self, subject: str, message: str) -> None:
        """Publish a warning, unless it has been published before."""
        if (subject, message) not in self._warned:
            self._warned.add((subject, message))
            self._cloud.events.publish("warning", subject, message=message)

    async def close(self) -> None:
        """End all of them, and with them every environment."""
        tasks = [*self._runtimes.values(), *self._templates.values()]
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, TemplateProcess):
                await outcome.stop()

    def _find(self, declared: str) -> asyncio.Task[Runtime]:
        if declared not in self._runtimes:
            self._runtimes[declared] = asyncio.create_task(asyncio.to_thread(runtimes.find, declared))
        return self._runtimes[declared]

    async def _start(self, runtime: Runtime) -> TemplateProcess:
        template = TemplateProcess(
            runtime,
            self._folder / f"python{runtime.version}",
            self._packages.folder,
            cache_folder(),
            lambda message: self.warn("functions", message),
        )
        try:
            await template.start()
        except BaseException:
            await template.stop()
            raise
        return template


class Invoker:
    """Runs invocations in environments.

    Args:
        cloud: The cloud.
        folder: Scratch space.
        packages: Where code lies.
    """

    def __init__(self, cloud: CloudContext, folder: Path, packages: PackageStore) -> None:
        self.templates = Templates(cloud, folder, packages)
        self.init_limit = INIT_LIMIT
        self._cloud = cloud
        self._packages = packages
        self._idle: dict[Version, list[Environment]] = {}
        self._retired: WeakSet[Version] = WeakSet()
        self._running: Counter[str] = Counter()

    def retire(self, version: Version) -> None:
        """No new invocation of this version: end its environments, busy ones after what they are doing."""
        for environment in self._idle.pop(version, []):
            self._discard(environment)
        self._retired.add(version)

    def admit(self, function: Function, functions: Mapping[str, Function]) -> None:
        """Check that one more invocation may run now.

        Raises:
            ServiceError: TooManyRequestsException.
        """
        name, reserved = function.latest.name, function.reserved
        if reserved is not None:
            if self._running[name] >= reserved:
                raise throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
            return
        shared = ACCOUNT_CONCURRENCY - sum(other.reserved or 0 for other in functions.values())
        running = sum(
            count
            for other, count in self._running.items()
            if other not in functions or functions[other].reserved is None
        )
        if running >= shared:
            raise throttled("ConcurrentInvocationLimitExceeded")

    async def invoke(self, version: Version, invocation: Invocation) -> Result:
        """Run one invocation to its end; the caller has asked `admit`."""
        self._running[version.name] += 1
        try:
            with self._cloud.clock.work("call"):  # AWS has its interpreters at hand; no time passes for ours
                template = await self.templates.get(version.name, version.runtime)
                layers = self._packages.merge(tuple(layer.package for layer in version.layers))
            with self._cloud.clock.work("function"):
                return await _Run(self._cloud, self, template, layers, version, invocation).perform()
        finally:
            self._running[version.name] -= 1
            if not self._running[version.name]:
                del self._running[version.name]

    def take(self, version: Version) -> Environment | None:
        """A warm environment, the one used last; None when there is none."""
        idle = self._idle.get(version, [])
        while idle:
            environment = idle.pop()
            if not environment.over:
                return environment
            self._discard(environment)
        return None

    def give_back(self, environment: Environment) -> None:
        """Keep an environment for the next invocation, if it can have one."""
        if environment.over or environment.version in self._retired:
            self._discard(environment)
        else:
            self._idle.setdefault(environment.version, []).append(environment)

    def _discard(self, environment: Environment) -> None:
        self._cloud.spawn(environment.discard(), f"end an environment of {environment.version.name}")

    async def close(self) -> None:
        """End every environment."""
        await self.templates.close()
        for environments in self._idle.values():
            for environment in environments:
                await environment.discard()


class _Run:
    """One invocation, from its START line to its REPORT line."""

    def __init__(
        self,
        cloud: CloudContext,
        invoker: Invoker,
        template: TemplateProcess,
        layers: str | None,
        version: Version,
        invocation: Invocation,
    ) -> None:
        self._cloud = cloud
        self._invoker = invoker
        self._template = template
        self._layers = layers
        self._version = version
        self._invocation = invocation
        self._system = SystemLog(version.configuration["LoggingConfig"], version.memory_size)
        self._stream = ""
        self._lines: list[str] = []

    async def perform(self) -> Result:
        timeout = self._version.timeout
        environment = self._invoker.take(self._version)
        init: float | None = None
        spent = 0.0  # seconds of the function's timeout
        failure: Reply | None = None
        if environment is not None:
            self._adopt(environment)
        else:
            environment, failure, init = await self._initialize(None, "init", self._invoker.init_limit)
            if failure is not None:
                environment, failure, took = await self._initialize(environment, "invoke", timeout)
                init, spent = None, took / 1000
        self._system_lines(self._system.start(self._now(), self._invocation.request_id, self._version.number))
        self._publish("start")
        started = time.monotonic() - spent
        try:
            reply = failure or await environment.invoke(self._invocation, timeout - spent)
        except BaseException:
            environment.over = True
            self._invoker.give_back(environment)
            raise
        duration = (time.monotonic() - started) * 1000
        if reply.status == "timeout":
            duration = timeout * 1000
        if reply.line is not None:
            prefix = (
                f"{timestamp(self._now())} {self._invocation.request_id} "
                if reply.status == "timeout"
                else ""
            )
            self._write([prefix + reply.line])
        usage = Usage(duration, init, environment.memory_used, reply.status, reply.error_type)
        self._system_lines(self._system.end(self._now(), self._invocation.request_id, usage))
        self._publish("end", status=reply.status, duration=duration / 1000, error=_error_type(reply))
        self._invoker.give_back(environment)
        return Result(reply.payload, reply.failed, tail(self._lines))

    async def _initialize(
        self, failed: Environment | None, phase: str, limit: float
    ) -> tuple[Environment, Reply | None, float]:
        """Start an environment, in the log stream of the one that failed; how long it took, in ms."""
        stream = failed.stream if failed is not None else self._new_stream()
        if failed is not None:
            await failed.discard()
        environment = Environment(
            self._cloud, self._version, self._template, self._layers, stream, self._write
        )
        self._adopt(environment)
        started = time.monotonic()
        try:
            failure = await environment.initialize(self._invocation.request_id, limit)
        except BaseException:
            environment.over = True
            self._invoker.give_back(environment)
            raise
        took = (time.monotonic() - started) * 1000
        if failure is not None:
            environment.over = True
            self._system_lines(
                self._system.init_report(self._now(), took, phase, failure.status, failure.error_type)
            )
        status = "success" if failure is None else failure.status
        self._publish("init", status=status, duration=took / 1000, error=_error_type(failure))
        return environment, failure, took

    def _adopt(self, environment: Environment) -> None:
        self._stream = environment.stream
        environment.on_lines = self._write

    def _new_stream(self) -> str:
        day = timestamp(self._now())[:10].replace("-", "/")
        return f"{day}/[{self._version.number}]{self._cloud.entropy.getrandbits(128):032x}"

    def _now(self) -> float:
        return self._cloud.clock.now()

    def _write(self, lines: list[str]) -> None:
        self._lines += lines
        self._cloud.log(self._version.log_group, self._stream, lines)
        if self._cloud.events.wanted:
            for line in lines:
                self._cloud.events.publish(
                    "function.log", self._version.name, request_id=self._invocation.request_id, line=line
                )

    def _system_lines(self, lines: list[str]) -> None:
        if lines:
            self._write(lines)

    def _publish(self, phase: str, **data: Any) -> None:
        self._cloud.events.publish(
            "function", self._version.name, phase=phase, request_id=self._invocation.request_id, **data
        )


def throttled(reason: str) -> ServiceError:
    """TooManyRequestsException."""
    return ServiceError(
        "TooManyRequestsException", "Rate Exceeded.", status=429, fields={"Type": "User", "Reason": reason}
    )


def _error_type(reply: Reply | None) -> str | None:
    """The errorType a failed function is known by."""
    if reply is None or not reply.failed:
        return None
    try:
        return str(json.loads(reply.payload)["errorType"])
    except (ValueError, KeyError, TypeError):
        return reply.error_type
