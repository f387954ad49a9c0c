"""The embedded cloud: every AWS service a pipeline needs, in this process, on one loopback port.

Step Functions, Lambda, SageMaker and SageMaker Runtime are ours (`harness.cloud.service.Service`); everything
else is moto's (`harness.cloud.moto`), loaded when first called. Requests come over HTTP through the
`Gateway`, or from inside through `Cloud.call`; both ways lead through the same validation, faults and events.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import inspect
import random
import shutil
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from harness.clock import Clock, RealClock
from harness.cloud.addressing import Address
from harness.cloud.errors import ServiceError
from harness.cloud.events import EventBus
from harness.cloud.faults import Faults, NoFaults
from harness.cloud.gateway import App, Gateway
from harness.cloud.identity import Identities
from harness.cloud.logs import LogBuffer
from harness.cloud.messages import HttpRequest, HttpResponse
from harness.cloud.protocol import Operation, protocol_of
from harness.cloud.service import USER, Caller, CloudContext, Request, Service
from harness.cloud.storage import S3Storage
from harness.cloud.wire_errors import error_code, error_response
from harness.containers.runtime import ContainerRuntime, Image
from harness.errors import EnvironmentFault

if TYPE_CHECKING:
    from harness.cloud.moto import Moto
    from harness.cloud.server import Server

T = TypeVar("T")

Factory = Callable[[CloudContext], Service]

_MOTO_THREADS = 16
"""Calls to moto at once. A long-polling ReceiveMessage occupies a thread for up to 20 s."""


def _stepfunctions(cloud: CloudContext) -> Service:
    from harness.cloud.stepfunctions import StepFunctions

    return StepFunctions(cloud)


def _lambda(cloud: CloudContext) -> Service:
    from harness.cloud.functions import Lambda

    return Lambda(cloud)


def _sagemaker(cloud: CloudContext) -> Service:
    from harness.cloud.sagemaker import SageMaker

    return SageMaker(cloud)


def _sagemaker_runtime(cloud: CloudContext) -> Service:
    from harness.cloud.sagemaker import SageMakerRuntime

    return SageMakerRuntime(cloud)


SERVICES: Mapping[str, Factory] = {
    "stepfunctions": _stepfunctions,
    "lambda": _lambda,
    "sagemaker": _sagemaker,
    "sagemaker-runtime": _sagemaker_runtime,
}
"""The services of ours, by botocore's name; each is imported when first called."""


class _Record:
    """What is known of a call while it is carried out."""

    __slots__ = ("error", "fault", "operation")

    def __init__(self, operation: str) -> None:
        self.operation = operation
        self.error: str | None = None
        self.fault = False


class Cloud:
    """A local cloud. There is at most one running in a process: moto keeps its state in module globals.

    Args:
        clock: Time, for everything that happens in it.
        containers: Runs the containers of jobs and endpoints.
        folder: Where to make the scratch folder; the system's place for temporary files when None.
        failed: Where to keep the folders of failed jobs; they are deleted when None.
        services: Services of ours: factories by botocore's service name, or `Service` classes. All of them
            when None. What is not here and not moto's is refused by name.
        account: Account id.
        region: Region of everything that ours creates.
        faults: What is to go wrong; may be replaced at any time.
        entropy: Source of ids.
        log: Takes tracebacks of our own faults, line by line; stderr when None.

    Attributes:
        images: Image URI -> built image: what a job's image may name.
        routes: ASGI applications under ``/_harness/...``, by path prefix.
        failures: Exceptions that ended background tasks.
    """

    _running: ClassVar[Cloud | None] = None

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        containers: ContainerRuntime | None = None,
        folder: Path | None = None,
        failed: Path | None = None,
        services: Mapping[str, Factory] | Iterable[type[Service]] | None = None,
        account: str = "123456789012",
        region: str = "us-east-1",
        faults: Faults | None = None,
        entropy: random.Random | None = None,
        log: Callable[[str], object] | None = None,
    ) -> None:
        self.account = account
        self.region = region
        self.partition = _partition(region)
        self.clock = clock or RealClock()
        self.events = EventBus(self.clock)
        self.faults = faults or NoFaults()
        self.entropy = entropy or random.Random()
        self.failed = failed
        self.storage = S3Storage(lambda: self._load_moto().s3())
        self.images: dict[str, Image] = {}
        self.routes: dict[str, App] = {}
        self.failures: list[BaseException] = []
        self._containers = containers
        self._parent_folder = folder
        self._log = log or (lambda line: print(line, file=sys.stderr))
        self._factories = SERVICES if services is None else _by_name(services)
        self._services: dict[str, Service] = {}
        self._handlers: dict[tuple[str, str], Callable[[Request], Coroutine[Any, Any, Any]]] = {}
        self._identities = Identities()
        self._logs = LogBuffer()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._request_ids = random.Random()
        self._server: Server | None = None
        self._moto: Moto | None = None
        self._moto_lock = threading.Lock()

    # Life --------------------------------------------------------------------------------------------

    async def start(self, port: int | None = 0) -> None:
        """Open the port.

        Args:
            port: 0 for any free one; None for a cloud that is only called from inside.

        Raises:
            EnvironmentFault: The port is taken, or another cloud runs in this process.
        """
        if Cloud._running is not None:
            raise EnvironmentFault("another local cloud runs in this process", hint="stop it first")
        if port is not None:
            from harness.cloud.server import Server

            self._server = await Server.start(Gateway(self, self.routes), port)
        Cloud._running = self

    async def stop(self) -> None:
        """Close the port, stop everything that runs, delete the scratch folder. Harmless when stopped."""
        if Cloud._running is not self:
            return
        try:
            if self._server is not None:
                await self._server.stop()
            for service in reversed(self._services.values()):
                try:
                    await service.close()
                except Exception as error:
                    self._report(f"closing {service.name}", error)
            tasks = tuple(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._moto is not None:
                self._moto.reset()
        finally:
            if "_threads" in self.__dict__:
                self._threads.shutdown(wait=False, cancel_futures=True)
            if "folder" in self.__dict__:
                _delete(self.folder)
            self._server = None
            Cloud._running = None

    async def __aenter__(self) -> Cloud:
        if Cloud._running is not self:
            await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    # What services see -------------------------------------------------------------------------------

    @property
    def endpoint_url(self) -> str:
        if self._server is None:
            raise RuntimeError("this cloud has no port: it is not started, or only called from inside")
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def containers(self) -> ContainerRuntime:
        if self._containers is None:
            raise EnvironmentFault("this local cloud was started without a container runtime")
        return self._containers

    @cached_property
    def folder(self) -> Path:
        if self._parent_folder is not None:
            self._parent_folder.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="cloud-", dir=self._parent_folder))

    def arn(self, service: str, resource: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def identify(self, caller: Caller) -> tuple[str, str]:
        return self._identities.identify(caller)

    def log(self, group: str, stream: str, lines: list[str]) -> None:
        self._logs.append(group, stream, lines, self.clock.now())

    def service(self, name: str) -> Service:
        found = self._services.get(name)
        if found is None:
            found = self._services[name] = self._factories[name](self)
            self._handlers.update(
                ((name, method.replace("_", "")), getattr(found, method))
                for method, function in inspect.getmembers(type(found), inspect.iscoroutinefunction)
                if not method.startswith("_") and method not in _NOT_OPERATIONS
            )
        return found

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)
            self._report(task.get_name(), error)

    def _report(self, subject: str, error: BaseException) -> None:
        """Make a fault of our own heard."""
        self.events.publish("warning", subject, message=f"harness: {type(error).__name__}: {error}")
        self._log(f"harness: {subject} failed; this is a fault of the harness, please report it")
        for line in traceback.format_exception(error):
            self._log(line.rstrip("\n"))

    # Calls -------------------------------------------------------------------------------------------

    async def call(
        self, service: str, operation: str, params: Mapping[str, Any], *, caller: Caller = USER
    ) -> dict[str, Any]:
        if service not in self._factories:
            self._refuse_own(service)
            return await self._call_moto(service, operation, params, caller)
        compiled = protocol_of(service).operation(operation)
        with self._recorded(service, compiled.name, caller) as record:
            accepted = compiled.accept(params)
            request = Request(compiled.name, accepted, caller, _uuid(self.entropy))
            return await self._carry_out(service, compiled, request, record, compiled.settle)

    async def answer(self, address: Address, request: HttpRequest) -> HttpResponse:
        """Carry out a request that came over HTTP (see `Gateway`)."""
        caller = self._identities.caller_of(address.access_key)
        service = address.service
        if service not in self._factories:
            return await self._answer_by_moto(address, request, caller)
        protocol = protocol_of(service)
        request_id = _uuid(self._request_ids)
        try:
            compiled, labels = protocol.match(request)
            with self._recorded(service, compiled.name, caller) as record:
                call = Request(compiled.name, compiled.parse(request, labels), caller, request_id)
                response = await self._carry_out(service, compiled, call, record, compiled.respond)
        except ServiceError as error:
            response = protocol.fail(error)
        response.headers.append(("x-amzn-RequestId", request_id))
        return response

    def health(self) -> dict[str, Any]:
        """What ``GET /_harness/health`` answers."""
        return {
            "account": self.account,
            "region": self.region,
            "time": self.clock.now(),
            "services": sorted(self._factories),
        }

    async def _carry_out(
        self,
        service: str,
        operation: Operation,
        request: Request,
        record: _Record,
        finish: Callable[[Mapping[str, Any]], T],
    ) -> T:
        """Have a service of ours do it, and give its result the form that is asked for."""
        try:
            self.service(service)
            handler = self._handlers.get((service, operation.name.lower()))
            if handler is None:
                raise ServiceError(
                    "NotImplementedException",
                    f"harness does not support {service} {operation.name}",
                    status=501,
                )
            self._interfere(service, operation.name, request.params, record)
            return finish(await handler(request) or {})
        except ServiceError as error:
            error.status = protocol_of(service).status_of(error)
            raise
        except Exception as error:
            raise self._own_fault(f"{service}.{operation.name}", error) from error

    async def _call_moto(
        self, service: str, operation: str, params: Mapping[str, Any], caller: Caller
    ) -> dict[str, Any]:
        def call() -> dict[str, Any]:
            return self._load_moto().call(service, operation, params, caller)

        with self._recorded(service, operation, caller) as record:
            self._interfere(service, operation, params, record)
            try:
                with self.clock.work("call"):
                    return await self._in_thread(call, uses_logs=service == "logs")
            except ServiceError:
                raise
            except Exception as error:
                raise self._own_fault(f"{service}.{operation}", error) from error

    async def _answer_by_moto(self, address: Address, request: HttpRequest, caller: Caller) -> HttpResponse:
        def describe() -> tuple[str, str, dict[str, Any]]:
            return self._load_moto().describe(request, address)

        def answer() -> HttpResponse:
            return self._load_moto().answer(request, address, caller)

        service, operation, params = address.service, "", dict[str, Any]()
        try:
            self._refuse_own(service)
            if self.events.wanted or not isinstance(self.faults, NoFaults):
                service, operation, params = await self._in_thread(describe)
            with self._recorded(service, operation, caller) as record:
                self._interfere(service, operation, params, record)
                response = await self._in_thread(answer, uses_logs=address.service == "logs")
                record.error = error_code(response)
                return response
        except ServiceError as error:
            return error_response(request, address, error)
        except Exception as error:
            return error_response(request, address, self._own_fault(f"{service}.{operation}", error))

    def _refuse_own(self, service: str) -> None:
        """Keep what this cloud leaves out of ours from moto, which has a service of that name, too."""
        if service in SERVICES:
            raise ServiceError("UnknownService", f"this local cloud has no {service}", status=501)

    async def _in_thread(self, function: Callable[[], T], *, uses_logs: bool = False) -> T:
        def run() -> T:
            if uses_logs:
                self._load_moto().put_logs(self._logs.take())
            return function()

        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_MOTO_THREADS, thread_name_prefix="moto")

    def _load_moto(self) -> Moto:
        """moto, imported when first asked for; may be called from any thread."""
        with self._moto_lock:
            if self._moto is None:
                from harness.cloud.moto import Moto

                endpoint = self.endpoint_url if self._server else "http://127.0.0.1"
                self._moto = Moto(self.account, self.region, endpoint, self._identities)
            return self._moto

    def _own_fault(self, subject: str, error: Exception) -> ServiceError:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):  # not ours
            return ServiceError("InternalError", f"the disk is full: {error}", status=500)
        self._report(subject, error)
        return ServiceError(
            "InternalFailure", f"a fault of the harness: {type(error).__name__}: {error}", status=500
        )

    def _interfere(self, service: str, operation: str, params: Mapping[str, Any], record: _Record) -> None:
        fault = self.faults.call(service, operation, params)
        if fault is not None:
            record.fault = True
            raise fault

    @contextlib.contextmanager
    def _recorded(self, service: str, operation: str, caller: Caller) -> Iterator[_Record]:
        """Publish the call when it is over, however it ends."""
        record = _Record(operation)
        started = time.perf_counter()
        try:
            yield record
        except ServiceError as error:
            record.error = error.code
            raise
        finally:
            if self.events.wanted:
                self.events.publish(
                    "call",
                    f"{service}.{record.operation}",
                    caller={"kind": caller.kind, "name": caller.name},
                    error=record.error,
                    seconds=time.perf_counter() - started,
                    fault=record.fault,
                )


def _delete(folder: Path) -> None:
    """Delete a folder in which threads that cannot be cancelled may still be deleting, too: where one takes
    away what the other was about to, a folder is left standing."""
    for _ in range(3):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return


_NOT_OPERATIONS = frozenset({"close"})


def _by_name(services: Mapping[str, Factory] | Iterable[type[Service]]) -> Mapping[str, Factory]:
    if isinstance(services, Mapping):
        return services
    return {service.name: service for service in services}


def _partition(region: str) -> str:
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def _uuid(entropy: random.Random) -> str:
    return str(uuid.UUID(int=entropy.getrandbits(128), version=4))
