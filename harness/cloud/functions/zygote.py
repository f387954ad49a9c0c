"""The template process: environments of functions are forked from it.

Importing boto3 and parsing the service models costs the better part of a second; a fork costs two
milliseconds. So one process per interpreter does the former once, and every environment is a fork of it,
which then becomes what AWS starts: a process in its own file system with nothing but Lambda's environment,
that runs AWS's runtime interface client.

This file is run by path, in the function's interpreter, where `harness` cannot be imported: it uses the
standard library, `awslambdaric` and `boto3`, and nothing else. ``sys.argv[1]`` is a JSON object:

``stage``     ``isolate``: make the file system, then run this file again in it; ``serve``: answer requests.
``socket``    file descriptor of a Unix stream socket to the harness.
``runtime``   folder with awslambdaric and boto3.
``warm``      services whose models are read ahead.
``prefix``    (isolate) installation folder of the interpreter.
``packages``  folder under which code and merged layers lie unpacked; requests name them relative to it.
``cache``     folder for compiled bytecode, one folder per function in it; or null.
``root``      (isolate) empty folder to build the new root in.
``isolated``  (serve) whether the first stage has been through.
``host_proc`` (serve) file descriptor of the machine's own /proc, or null.

On the socket, both ways, messages are JSON objects after their length as four bytes, big-endian:

    -> {"spawn": id, "code", "layers", "cache", "handler", "environment", "storage"}
       with a file descriptor, for what the environment writes
    -> {"kill": id}
    <- {"ready": version}
    <- {"spawned": id, "pid": as the harness sees it, "resident": bytes, as it begins}
    <- {"exited": id, "status": exit code, negative for a signal}

The end of the socket is the end of the template process and of everything it has started.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import struct
import sys
import time
from typing import Any

TASK_ROOT = "/var/task"
LAYER_ROOT = "/opt"
RUNTIME_ROOT = "/var/runtime"
LANGUAGE_ROOT = "/var/lang"
PACKAGES = "/var/harness/packages"
BYTECODE = "/var/harness/bytecode"
SCRIPT = "/var/harness/zygote.py"

LIBRARIES = ":".join(
    [
        *(f"{LANGUAGE_ROOT}/lib", "/lib64", "/usr/lib64", RUNTIME_ROOT, f"{RUNTIME_ROOT}/lib"),
        *(TASK_ROOT, f"{TASK_ROOT}/lib", f"{LAYER_ROOT}/lib"),
    ]
)
"""LD_LIBRARY_PATH; the loader reads it when the template is started."""

VISIBLE = ("bin", "etc", "gnu", "lib", "nix", "sbin", "sys", "usr")
"""Top-level folders of the machine that a function sees, read-only; ``lib`` stands for lib64 and its like."""
DEVICES = ("full", "null", "random", "tty", "urandom", "zero")

USER, GROUP = 993, 990
"""The ids under which functions run on AWS."""

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 8, 32, 4096, 16384
MS_NOATIME, MS_NODIRATIME, MS_PRIVATE, MS_RELATIME = 1 << 10, 1 << 11, 1 << 18, 1 << 21
KEPT_FLAGS = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME  # the same bits in statvfs
ST_RELATIME = 4096
MNT_DETACH = 2
PR_SET_PDEATHSIG = 1
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

FLAGS = ("-I", "-S")
"""How the interpreter is started: it looks neither at the environment nor at its own site-packages, which a
function on AWS does not have."""

BOTO = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")
"""Packages loaded ahead that a function may bring its own version of."""


# The file system -------------------------------------------------------------------------------------------


class Kernel:
    """The system calls Python has no function for.

    Every method raises OSError.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def _check(self, result: int, what: str) -> None:
        if result != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{what}: {os.strerror(number)}")

    def unshare(self, flags: int) -> None:
        self._check(self._libc.unshare(flags), "unshare")

    def mount(self, source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
        self._check(
            self._libc.mount(
                source.encode(),
                target.encode(),
                kind.encode() or None,
                ctypes.c_ulong(flags),
                options.encode() or None,
            ),
            f"mount {source} on {target}",
        )

    def unmount(self, target: str) -> None:
        self._check(self._libc.umount2(target.encode(), MNT_DETACH), f"unmount {target}")

    def bind(self, source: str, target: str, *, writable: bool = False) -> None:
        """Let `source`, a file or folder, be seen at `target`, which is made if need be."""
        if os.path.isdir(source):
            os.makedirs(target, exist_ok=True)
        elif not os.path.exists(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        self.mount(source, target, flags=MS_BIND | MS_REC)
        if not writable:
            self.make_read_only(target)

    def make_read_only(self, target: str) -> None:
        # Flags of a mount made by somebody more privileged may not be dropped: repeat them.
        present = os.statvfs(target).f_flag
        flags = present & KEPT_FLAGS | (MS_RELATIME if present & ST_RELATIME else 0)
        self.mount("none", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | flags)

    def pivot_root(self, root: str) -> None:
        number = PIVOT_ROOT.get(os.uname().machine)
        if number is None:
            raise OSError(f"pivot_root is not known for {os.uname().machine}")
        os.chdir(root)
        self._check(self._libc.syscall(ctypes.c_long(number), b".", b"."), "pivot_root")
        self.unmount(".")
        os.chdir("/")

    def die_with_parent(self) -> None:
        self._check(self._libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def new_user(kernel: Kernel, user: int, group: int, also: int = 0) -> None:
    """Enter a user namespace in which we are `user` and `group`; `also` are further namespaces to enter."""
    outer_user, outer_group = os.geteuid(), os.getegid()
    kernel.unshare(CLONE_NEWUSER | also)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {outer_user} 1"),
        ("gid_map", f"{group} {outer_group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def isolate(config: dict[str, Any]) -> None:
    """Build the file system every environment starts from, and go on in it as process 1. Does not return."""
    kernel = Kernel()
    new_user(kernel, 0, 0, CLONE_NEWNS | CLONE_NEWPID)
    kernel.die_with_parent()  # only now: a change of credentials cancels it
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    kernel.die_with_parent()

    root: str = config["root"]
    kernel.mount("none", "/", flags=MS_REC | MS_PRIVATE)
    kernel.mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    for name in sorted(os.listdir("/")):
        if os.path.islink("/" + name):
            os.symlink(os.readlink("/" + name), f"{root}/{name}")
        elif name.rstrip("x0123456789") in VISIBLE:
            kernel.bind("/" + name, f"{root}/{name}")
    resolver = os.path.realpath("/etc/resolv.conf")
    if os.path.exists(resolver) and not resolver.startswith("/etc/"):
        kernel.bind(resolver, root + resolver)
    for name in DEVICES:
        kernel.bind(f"/dev/{name}", f"{root}/dev/{name}", writable=True)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"{root}/dev/{name}")
    kernel.bind(config["prefix"], root + LANGUAGE_ROOT)
    kernel.bind(config["runtime"], root + RUNTIME_ROOT)
    kernel.bind(config["packages"], root + PACKAGES)
    if config["cache"] is not None:
        kernel.bind(config["cache"], root + BYTECODE, writable=True)
    shutil.copyfile(__file__, root + SCRIPT)
    # The loader remembers which folders of LD_LIBRARY_PATH were missing when this process started: give it
    # the two that environments put their own in the place of.
    for name in ("proc", "tmp", f"{TASK_ROOT}/lib", f"{LAYER_ROOT}/lib"):
        os.makedirs(f"{root}/{name}")
    host_proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(host_proc, True)
    kernel.mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    kernel.make_read_only(root)
    kernel.pivot_root(root)

    python = "{}/bin/python{}.{}".format(LANGUAGE_ROOT, *sys.version_info)
    config.update(stage="serve", isolated=True, host_proc=host_proc)
    config.update(runtime=RUNTIME_ROOT, packages=PACKAGES, cache=config["cache"] and BYTECODE)
    os.execv(python, [python, *FLAGS, SCRIPT, json.dumps(config)])


def enter(request: dict[str, Any]) -> None:
    """Turn the file system of the template into that of one environment."""
    kernel = Kernel()
    kernel.unshare(CLONE_NEWNS)
    kernel.bind(f"{PACKAGES}/{request['code']}", TASK_ROOT)
    if request["layers"]:
        kernel.bind(f"{PACKAGES}/{request['layers']}", LAYER_ROOT)
    kernel.mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, f"mode=700,size={request['storage']}")
    if request["cache"]:
        kernel.bind(f"{BYTECODE}/{request['cache']}", BYTECODE, writable=True)
    kernel.unmount(PACKAGES)
    new_user(kernel, USER, GROUP)


# The template ----------------------------------------------------------------------------------------------


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
        if sys.platform == "linux":
            Kernel().die_with_parent()
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


# An environment --------------------------------------------------------------------------------------------


def become(request: dict[str, Any], config: dict[str, Any]) -> None:
    """Be an environment: run the function's invocations until killed."""
    if request["isolated"]:
        enter(request)
        task, layers, cache = TASK_ROOT, LAYER_ROOT, request["cache"] and BYTECODE
    else:
        task, layers = (
            os.path.join(config["packages"], request[kind] or "none") for kind in ("code", "layers")
        )
        cache = request["cache"] and os.path.join(config["cache"], request["cache"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    os.chdir(task)
    sys.argv = [os.path.join(config["runtime"], "bootstrap.py"), request["handler"]]
    if cache:
        sys.pycache_prefix = cache
    else:
        sys.dont_write_bytecode = True
    version = "python{}.{}".format(*sys.version_info)
    own = [task, f"{layers}/python/lib/{version}/site-packages", f"{layers}/python"]
    more = request["environment"].get("PYTHONPATH", "").split(":")
    sys.path[:0] = own + [folder for folder in more if folder and folder not in sys.path]
    sys.path_importer_cache.clear()
    if any(os.path.exists(f"{folder}/{name}{end}") for folder in own for name in BOTO for end in ("", ".py")):
        forget(BOTO)

    bootstrap = importlib.import_module("awslambdaric.bootstrap")
    client: Any = importlib.import_module("awslambdaric.lambda_runtime_client")
    client.runtime_client = importlib.import_module("runtime_client")
    client.runtime_client.initialize_client(client._user_agent())
    if {"AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_LEVEL"} & request["environment"].keys():
        importlib.reload(bootstrap)  # it looks at them while it is imported
    threads = importlib.import_module("awslambdaric.lambda_config").LambdaConfigProvider(sys.argv)
    bootstrap.run(
        request["handler"],
        client.LambdaRuntimeClient(threads.api_address, threads.use_thread_polling),
    )


def forget(packages: tuple[str, ...]) -> None:
    """Drop modules loaded ahead, because the function brings its own."""
    for name in [name for name in sys.modules if name.split(".")[0] in packages]:
        del sys.modules[name]


def main() -> None:
    config = json.loads(sys.argv[1])
    if config["stage"] == "isolate":
        isolate(config)
    site = importlib.import_module("site")  # what it does besides adding site-packages
    site.setquit()
    site.setcopyright()
    site.sethelper()
    sys.path.insert(0, config["runtime"])
    become(Template(config).serve(), config)


if __name__ == "__main__":
    main()
