"""How process 1's child becomes the program."""

from __future__ import annotations

import errno
import os
import signal

from .kernel import PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, die_with_parent, prctl
from .options import Options
from .processes import FORWARDED, NOT_EXECUTABLE, NOT_FOUND, SETUP_FAILED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# The capabilities Docker leaves to root in a container: chown, dac_override, fowner, fsetid, kill, setgid,
# setuid, setpcap, net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap
KEPT_CAPABILITIES = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31}


def run_program(options: Options) -> NoReturn:
    """Become the program; an exit code as Docker's when that is not possible."""
    program = options.program[0]
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (*FORWARDED, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.umask(0o022)
        os.makedirs(options.workdir, exist_ok=True)
        os.chdir(options.workdir)
        if options.namespaces:
            drop_capabilities()
        else:
            die_with_parent()
        execute(options.program, options.environment)
    except FileNotFoundError:
        os.write(2, f"{program}: {why_not_found(program)}\n".encode(errors="surrogateescape"))
        os._exit(NOT_FOUND)
    except OSError as error:
        os.write(2, f"{program}: {error.strerror}\n".encode(errors="surrogateescape"))
        os._exit(NOT_FOUND if error.errno == errno.ENOTDIR else NOT_EXECUTABLE)
    finally:
        os._exit(SETUP_FAILED)  # whatever happens, this process must not go on as a second process 1


def execute(program: list[str], environment: dict[str, str]) -> NoReturn:
    """As `os.execvpe`, which imports what can no longer be found here."""
    if "/" in program[0]:
        os.execve(program[0], program, environment)
    problem: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for folder in environment.get("PATH", "/usr/bin:/bin").split(":"):
        try:
            os.execve(f"{folder or '.'}/{program[0]}", program, environment)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:  # a later folder may have one that can be executed
            problem = error
    raise problem


def why_not_found(program: str) -> str:
    if "/" not in program:
        return "executable file not found in $PATH"
    try:
        with open(program, "rb") as file:
            first = file.readline(256).rstrip(b"\n")
    except OSError:
        return "no such file or directory"
    if first.startswith(b"#!"):
        return f"the interpreter in its first line does not exist here: {first.decode(errors='replace')!r}"
    return "the loader it was built for does not exist here"


def drop_capabilities() -> None:
    """Leave the program those of Docker's: it could undo read-only mounts with the others."""
    for capability in range(64):
        if capability not in KEPT_CAPABILITIES:
            prctl(PR_CAPBSET_DROP, capability)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
