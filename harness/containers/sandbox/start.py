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
    new_user,
    prctl,
)
from .options import Options, SetupError, given_environment
from .processes import FORWARDED, KILLED, SETUP_FAILED, exit_code
from .root import build_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main(arguments: list[str]) -> NoReturn:
    control: socket.socket | None = None
    try:
        options = Options(arguments)
        if options.control is not None:
            control = socket.socket(fileno=options.control)
            control.set_inheritable(False)
        options.environment = given_environment() | options.environment
        if options.namespaces:
            if options.owner is not None:
                die_with_parent()
                if os.getppid() != options.owner:
                    os._exit(KILLED)
            enter_namespaces()
            build_root(options)
            loopback_up()
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
