"""Process 1 of the container.

The harness talks to it over a Unix socket, one byte a message. Asked ``s``, init makes a TCP socket in the
container's network and answers ``s`` with that socket attached (a socket keeps its namespace, so the harness
can then connect it from outside), or ``n`` when it cannot. Asked ``k``, it kills everything. When the harness
goes away the socket ends, and so does the container. Unasked, init says ``r`` once the program is started;
`start` says ``e`` and the reason instead when the container cannot be set up. Before that it says ``t`` with
the packets of the container's network interface attached, and ``l`` with a socket attached that listens for
connections to the local cloud, when the container has these. ``m`` says that it is killed for the memory it
uses.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys

from .options import Options
from .processes import FORWARDED, KILLED, catches, descendants, exit_code, kill, memory_in_use, reap
from .program import run_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

MEMORY_INTERVAL = 0.05  # seconds between two looks at the memory in use


class Init:
    """Starts the program, reaps, forwards signals, and answers the harness.

    Args:
        options: What to run and how.
        control: The socket to the harness.
    """

    def __init__(self, options: Options, control: socket.socket | None) -> None:
        self._options = options
        self._control = control
        self._wakeup, write_end = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(write_end, False)
        for number in (*FORWARDED, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(write_end)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {*FORWARDED, signal.SIGCHLD})
        self._program = os.fork()
        if self._program == 0:
            run_program(options)

    def run(self) -> NoReturn:
        """Until the program ends: then everything else in the container does, too."""
        poller = select.poll()
        poller.register(self._wakeup, select.POLLIN)
        if self._control is not None:
            self._control.send(b"r")
            poller.register(self._control, select.POLLIN)
        interval = None if self._options.memory is None else MEMORY_INTERVAL * 1000
        while True:
            for descriptor, _ in poller.poll(interval):
                if descriptor == self._wakeup:
                    self._signals(os.read(self._wakeup, 1024))
                elif self._control is not None:
                    self._answer(self._control)
            if (
                self._options.memory is not None
                and memory_in_use(self._options.memory) > self._options.memory
            ):
                message = f"out of memory: more than {self._options.memory} bytes in use, killed\n"
                os.write(2, message.encode())
                if self._control is not None:
                    self._control.send(b"m")
                self._end(KILLED)

    def _signals(self, numbers: bytes) -> None:
        for number in numbers:
            # Elsewhere the program is process 1, which the kernel spares the signals it does not catch.
            if number != signal.SIGCHLD and (not self._options.namespaces or catches(self._program, number)):
                os.kill(self._program, number)
        status = reap(self._program)
        if status is not None:
            self._end(exit_code(status))

    def _answer(self, control: socket.socket) -> None:
        try:
            requests = control.recv(256)
            for request in requests:
                if request == ord("k"):
                    self._end(KILLED)
                send_socket(control)
        except (BrokenPipeError, ConnectionResetError):
            requests = b""
        if not requests:  # the harness is gone
            self._end(KILLED)

    def _end(self, code: int) -> NoReturn:
        if not self._options.namespaces:
            while remaining := descendants():
                for pid in remaining:
                    kill(pid)
                reap(self._program)
            if sys.platform != "linux":
                kill(-self._program)
        os._exit(code)  # the kernel kills whatever is left in process 1's namespace


def send_socket(control: socket.socket) -> None:
    try:
        new = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        control.send(b"n")
        return
    with new:
        socket.send_fds(control, [b"s"], [new.fileno()])
