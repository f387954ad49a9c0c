"""The template: answers the harness, and forks."""

from __future__ import annotations

import collections
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # at run time there is no `harness`, see `__main__`
    from harness.containers.sandbox import kernel
else:
    from sandbox import kernel


class Template:
    """Answers the harness until the socket ends; in a fork, `serve` returns what the fork is to become."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._isolated: bool = config["isolated"]
        self._host_proc: int | None = config["host_proc"]
        self._socket = socket.socket(fileno=config["socket"])
        self._socket.set_inheritable(False)
        self._received = bytearray()
        self._descriptors: collections.deque[int] = collections.deque()
        self._children: dict[int, int] = {}  # process id -> the harness's id
        self._loader: Any = None  # of service models, shared by all of botocore's sessions here
        self._unread = list(config["warm"])

        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)

    def serve(self) -> dict[str, Any]:
        self._load()
        self._send({"ready": "{}.{}.{}".format(*sys.version_info)})
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while True:
            ready = dict(poll.poll(0 if self._unread else None))
            if self._woken.fileno() in ready:
                self._woken.recv(4096)
                self._reap()
            if self._socket.fileno() in ready:
                for message, descriptor in self._receive():
                    if "kill" in message:
                        self._kill(message["kill"])
                    elif self._fork(message, descriptor):
                        return message
            if not ready and self._unread:
                self._read_ahead(self._unread.pop(0))

    def _load(self) -> None:
        # The native client reads AWS_LAMBDA_RUNTIME_API as it is loaded: each fork loads it for itself.
        sys.modules["runtime_client"] = None  # type: ignore[assignment]
        importlib.import_module("awslambdaric.bootstrap")
        del sys.modules["runtime_client"]
        # boto3's default session in every fork. It looks at the environment only when a client is made from
        # it, which nobody does here.
        session = importlib.import_module("botocore.session").get_session()
        importlib.import_module("boto3").setup_default_session(botocore_session=session)
        self._loader = session.get_component("data_loader")

    def _read_ahead(self, service: str) -> None:
        """Fill the loader, and botocore's own caches, with what creating a client needs."""
        session = importlib.import_module("botocore.session").get_session()
        session.register_component("data_loader", self._loader)
        session.create_client(service)
        gc.collect()

    def _fork(self, request: dict[str, Any], log: int) -> bool:
        """Fork; returns True in the fork."""
        gc.freeze()
        child = os.fork()
        if child:
            os.close(log)
            self._children[child] = request["spawn"]
            return False
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        kernel.die_with_parent()
        for number in (1, 2):
            os.dup2(log, number)
        os.close(log)
        pid = os.getpid()
        if self._host_proc is not None:
            pid = int(os.readlink("self", dir_fd=self._host_proc))
            os.close(self._host_proc)
        self._send({"spawned": request["spawn"], "pid": pid, "resident": resident_size()})
        for end in (self._socket, self._woken, self._wake):
            end.close()
        os.closerange(3, 4096)  # the logs of others that have arrived together with this request
        request["isolated"] = self._isolated
        return True

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._children:  # otherwise: an orphan of some environment
                number = self._children.pop(pid)
                self._sweep(pid)
                self._send({"exited": number, "status": os.waitstatus_to_exitcode(status)})

    def _kill(self, number: int) -> None:
        for pid, child in self._children.items():
            if child == number:
                os.kill(pid, signal.SIGKILL)  # the rest goes in `_sweep`

    def _sweep(self, pid: int) -> None:
        """Kill what the environment of process `pid`, which has ended, has left behind."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        if not self._isolated:
            return
        # Whoever lives in a mount namespace that is neither ours nor a living environment's.
        while True:
            others = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) > 1]
            homes = {self._home(1), *(self._home(child) for child in self._children)}
            strays = [other for other in others if self._home(other) not in {*homes, None}]
            strays = [stray for stray in strays if stray not in self._children]
            if not strays:
                return
            for stray in strays:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(stray, signal.SIGKILL)
            time.sleep(0.001)  # noqa: TID251 - no event loop here; the killed need a moment to go

    @staticmethod
    def _home(pid: int) -> int | None:
        """The mount namespace of a process; None when it has ended."""
        try:
            return os.stat(f"/proc/{pid}/ns/mnt").st_ino
        except OSError:
            return None

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps(message).encode()
        try:
            self._socket.sendall(struct.pack("!I", len(body)) + body)
        except OSError:
            self._end()

    def _receive(self) -> list[tuple[dict[str, Any], int]]:
        """The messages that have arrived; a log's descriptor with those that carry one, else -1."""
        data, descriptors, _, _ = socket.recv_fds(self._socket, 1 << 16, 64)
        if not data:
            self._end()
        self._received += data
        self._descriptors += descriptors
        messages = []
        while len(self._received) >= 4:
            (length,) = struct.unpack_from("!I", self._received)
            if len(self._received) < 4 + length:
                break
            message = json.loads(self._received[4 : 4 + length])
            del self._received[: 4 + length]
            messages.append((message, self._descriptors.popleft() if "spawn" in message else -1))
        return messages

    def _end(self) -> None:
        """The harness is gone: so are we, and all that we have started."""
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        os._exit(0)  # as process 1 of its namespace, this ends whatever is still in there


def resident_size() -> int:
    """Bytes of memory this process has resident; 0 where that cannot be read."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
