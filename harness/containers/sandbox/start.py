"""From the command line to process 1."""

from __future__ import annotations

import os
import signal
import socket

from .init import Init
from .kernel import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUTS,
    PR_SET_CHILD_SUBREAPER,
    die_with_parent,
    loopback_up,
    make_interface,
    new_user,
    prctl,
)
from .options import Options, SetupError, given_environment
from .processes import FORWARDED, KILLED, SETUP_FAILED, exit_code
from .root import build_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


MTU = 65_000  # bytes of a packet between peers: the longer, the fewer the harness has to carry


def main(arguments: list[str]) -> NoReturn:
    control: socket.socket | None = None
    try:
        options = Options(arguments)
        if options.control is not None:
            control = socket.socket(fileno=options.control)
            control.set_inheritable(False)
        options.environment = given_environment() | options.environment
        if options.processors is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, some_of(sorted(os.sched_getaffinity(0)), options.processors))
        if options.namespaces:
            if options.owner is not None:
                die_with_parent()
                if os.getppid() != options.owner:
                    os._exit(KILLED)
            enter_namespaces()
            # This machine's devices are out of reach once the root is replaced.
            tunnel = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC) if options.address else None
            build_root(options)
            loopback_up()
            if tunnel is not None and options.address is not None:
                make_interface(tunnel, "eth0", options.address, MTU)
                offer(control, b"t", tunnel)
                os.close(tunnel)
            if options.gateway is not None and control is not None:  # started by hand, nobody would answer
                with listener(options.gateway) as listening:
                    offer(control, b"l", listening.fileno())
            socket.sethostname(options.hostname)
        else:
            prctl(PR_SET_CHILD_SUBREAPER, 1)
        init = Init(options, control)
    except (SetupError, OSError, ValueError, StopIteration) as error:
        message = str(error) or type(error).__name__
        if control is not None:
            control.send(b"e" + message.encode(errors="replace"))
        else:
            os.write(2, f"sandbox: {message}\n".encode(errors="replace"))
        os._exit(SETUP_FAILED)
    init.run()


def some_of(processors: list[int], count: int) -> list[int]:
    """At most `count` processors; containers that run at the same time spread over all of them."""
    first = os.getpid() % len(processors)
    return (processors[first:] + processors[:first])[:count]


def listener(port: int) -> socket.socket:
    """A socket that listens on the container's loopback."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen(128)
    return listening


def offer(control: socket.socket | None, kind: bytes, descriptor: int) -> None:
    """Hand a file descriptor to the harness; a container that was started by hand keeps it to itself."""
    if control is not None:
        socket.send_fds(control, [kind], [descriptor])


def enter_namespaces() -> None:
    """Become process 1 of new namespaces; the process that calls this stays behind and never returns."""
    new_user(0, 0, CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET)
    # Blocked before the fork: process 1 would lose what arrives before it listens.
    signal.pthread_sigmask(signal.SIG_BLOCK, {*FORWARDED, signal.SIGCHLD})
    init = os.fork()
    if init:
        wait_for(init)
    die_with_parent()


def wait_for(init: int) -> NoReturn:
    while True:
        number = signal.sigwait({*FORWARDED, signal.SIGCHLD})
        if number != signal.SIGCHLD:
            os.kill(init, number)
            continue
        pid, status = os.waitpid(init, os.WNOHANG)
        if pid:
            os._exit(exit_code(status))
