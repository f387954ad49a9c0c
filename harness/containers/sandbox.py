"""The container: namespaces, a root of its own, and its process 1.

A script of its own, started as ``python -I -S sandbox.py OPTIONS -- PROGRAM ARGUMENT...``; it imports nothing
outside the standard library, because it stays alive inside a root where this interpreter cannot be seen. Its
environment is the program's. With namespaces it is two processes:

    the harness ── sandbox (waits, forwards signals) ── init (process 1 of the container) ── the program

and what the program sees is

* ``/usr /etc /bin /lib ...``: this machine's, with the image's files laid over them. Writes are private and
  vanish with the container.
* every other folder: only what the image, the interpreter and the mounts put there. In particular no home
  folder, hence nobody's credentials.
* its own processes, host name, loopback interface and nothing else of a network; no capabilities beyond those
  Docker leaves a container.

Without namespaces (``--no-namespaces``) it is one process that starts the program as it is, and sees to it
that all descendants die with it.

The harness talks to init over a Unix socket, one byte a message. Asked ``s``, init makes a TCP socket in the
container's network and answers ``s`` with that socket attached (a socket keeps its namespace, so the harness
can then connect it from outside), or ``n`` when it cannot. Asked ``k``, it kills everything. When the harness
goes away the socket ends, and so does the container. Unasked, init says ``r`` once the program is started, or
``e`` and the reason why the container cannot be set up.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import signal
import socket
import stat
import struct
import sys

# Every import costs each container a few milliseconds: hence no typing, no re, no shutil.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# Exit codes of the program's own making are passed on; these are ours, and the same as Docker's.
SETUP_FAILED = 125
NOT_EXECUTABLE = 126
NOT_FOUND = 127
KILLED = 128 + signal.SIGKILL

FORWARDED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTERM,
    signal.SIGWINCH,
)

MEMORY_INTERVAL = 0.05  # seconds between two looks at the memory in use

# From <sched.h>, <sys/mount.h>, <sys/prctl.h>, <linux/mount.h>, <linux/capability.h>
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_REC, MS_PRIVATE = 1024, 2048, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 24, 36, 38
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY = 442, -100, 0x8000, 1
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1

# The capabilities Docker leaves to root in a container: chown, dac_override, fowner, fsetid, kill, setgid,
# setuid, setpcap, net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap
KEPT_CAPABILITIES = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31}

SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "nix", "gnu")
"""What of this machine stands in for the base image; the last two hold the programs of NixOS and Guix."""

STANDARD_FOLDERS = {
    "/home": 0o755,
    "/media": 0o755,
    "/mnt": 0o755,
    "/opt": 0o755,
    "/root": 0o700,
    "/run": 0o755,
    "/srv": 0o755,
    "/tmp": 0o1777,
    "/var/cache": 0o755,
    "/var/lib": 0o755,
    "/var/log": 0o755,
    "/var/tmp": 0o1777,
}

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")

HOST = "/.host"  # this machine's root, until the new one is complete
SCRATCH = "/.scratch"  # a tmpfs that holds private writes; the overlays keep it alive once it is detached

libc = ctypes.CDLL(None, use_errno=True)


class SetupError(Exception):
    """The container cannot be set up."""


class Options:
    """The command line, taken apart."""

    def __init__(self, arguments: list[str]) -> None:
        self.control: int | None = None  # file descriptor of the socket to the harness
        self.owner: int | None = None  # process id of the harness
        self.layers: list[str] = []  # folders laid over the system, topmost first
        self.shown: list[str] = []  # paths of this machine visible, read-only, where they are
        self.binds: list[tuple[str, str, bool]] = []  # source, target, read-only
        self.workdir = "/"
        self.hostname = "container"
        self.memory: int | None = None  # bytes
        self.environment: dict[str, str] = {}
        self.namespaces = True
        self.overlay = True
        self.program: list[str] = []
        rest = iter(arguments)
        for option in rest:
            match option:
                case "--control":
                    self.control = int(next(rest))
                case "--owner":
                    self.owner = int(next(rest))
                case "--layer":
                    self.layers.append(os.path.realpath(next(rest)))
                case "--show":
                    self.shown.append(os.path.realpath(next(rest)))
                case "--bind" | "--bind-ro":
                    source, target = os.path.realpath(next(rest)), next(rest)
                    self.binds.append((source, target, option == "--bind-ro"))
                case "--workdir":
                    self.workdir = next(rest)
                case "--hostname":
                    self.hostname = next(rest)
                case "--memory":
                    self.memory = int(next(rest))
                case "--env":  # for names that would change how this interpreter itself is loaded
                    name, _, value = next(rest).partition("=")
                    self.environment[name] = value
                case "--no-namespaces":
                    self.namespaces = False
                case "--no-overlay":
                    self.overlay = False
                case "--":
                    self.program = list(rest)
                case _:
                    raise SetupError(f"unknown option {option}")
        if not self.program:
            raise SetupError("no program to run")


def given_environment() -> dict[str, str]:
    """The environment we were started with: `os.environ` also has what Python itself adds (LC_CTYPE)."""
    try:
        with open("/proc/self/environ", "rb") as file:
            pairs = [pair.partition(b"=") for pair in file.read().split(b"\0") if pair]
    except FileNotFoundError:  # not Linux
        return dict(os.environ)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


# System calls -----------------------------------------------------------------------------------------


def check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def mount(source: str | None, target: str, kind: str | None, flags: int = 0, data: str | None = None) -> None:
    arguments = [
        text.encode(errors="surrogateescape") if text else None for text in (source, target, kind, data)
    ]
    result = libc.mount(arguments[0], arguments[1], arguments[2], ctypes.c_ulong(flags), arguments[3])
    check(result, f"mount {kind or source or ''} on {target}")


def unmount(target: str) -> None:
    check(libc.umount2(target.encode(), MNT_DETACH), f"unmount {target}")
    os.rmdir(target)


def bind(source: str, target: str, *, read_only: bool) -> None:
    """Make `source` visible at `target`, which is made if need be."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not os.path.lexists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    mount(source, target, None, MS_BIND | MS_REC)
    if read_only:
        make_read_only(target)


def make_read_only(target: str) -> None:
    attributes = struct.pack("QQQQ", MOUNT_ATTR_RDONLY, 0, 0, 0)
    path = target.encode(errors="surrogateescape")
    if libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, path, AT_RECURSIVE, attributes, len(attributes)) == 0:
        return
    if ctypes.get_errno() != errno.ENOSYS:  # before Linux 5.12
        check(-1, f"make {target} read-only")
    # Flags set by a more privileged namespace may not be dropped, so they are repeated.
    flags = os.statvfs(target).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME)
    mount(None, target, None, MS_REMOUNT | MS_BIND | MS_RDONLY | flags)


def prctl(option: int, value: int) -> bool:
    return bool(libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) == 0) if sys.platform == "linux" else False


# Namespaces -------------------------------------------------------------------------------------------


def enter_namespaces() -> None:
    """Become process 1 of new namespaces; the process that calls this stays behind and never returns."""
    user, group = os.geteuid(), os.getegid()
    flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET
    check(libc.unshare(flags), "new namespaces")
    for file, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        with open(f"/proc/self/{file}", "w") as stream:
            stream.write(text)
    # Blocked before the fork: process 1 would lose what arrives before it listens.
    signal.pthread_sigmask(signal.SIG_BLOCK, {*FORWARDED, signal.SIGCHLD})
    init = os.fork()
    if init:
        wait_for(init)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_for(init: int) -> NoReturn:
    while True:
        number = signal.sigwait({*FORWARDED, signal.SIGCHLD})
        if number != signal.SIGCHLD:
            os.kill(init, number)
            continue
        pid, status = os.waitpid(init, os.WNOHANG)
        if pid:
            os._exit(exit_code(status))


def exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = bytearray(struct.pack("16sh22x", b"lo", 0))
        fcntl.ioctl(control, SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from("h", request, 16)
        struct.pack_into("h", request, 16, flags | IFF_UP)
        fcntl.ioctl(control, SIOCSIFFLAGS, request)


def drop_capabilities() -> None:
    """Leave the program those of Docker's: it could undo read-only mounts with the others."""
    for capability in range(64):
        if capability not in KEPT_CAPABILITIES:
            prctl(PR_CAPBSET_DROP, capability)
    prctl(PR_SET_NO_NEW_PRIVS, 1)


# The root ---------------------------------------------------------------------------------------------


def build_root(options: Options) -> None:
    """Replace the root by a new one made of the system, the image's layers and the mounts."""
    submounts = mount_points()
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    # The new root stands on /tmp only until it is the root: then this machine's own /tmp is back below HOST.
    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    os.mkdir("/tmp" + HOST)
    check(libc.pivot_root(b"/tmp", b"/tmp" + HOST.encode()), "change the root")
    os.chdir("/")
    os.mkdir(SCRATCH)
    mount("tmpfs", SCRATCH, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")

    layers = [identity_layer(options.hostname)]
    for number, folder in enumerate(options.layers):
        layers.append(f"{SCRATCH}/layer{number}")
        bind(HOST + folder, layers[-1], read_only=True)
    lay_out(layers, options.overlay)
    for point in submounts:
        if point.split("/")[1] in SYSTEM and os.path.isdir(HOST + point) and os.path.isdir(point):
            bind(HOST + point, point, read_only=True)
    hide_private_settings()
    for path, mode in STANDARD_FOLDERS.items():
        if not os.path.lexists(path):
            os.makedirs(path)
            os.chmod(path, mode)
    for path in options.shown:
        if path.split("/")[1] not in SYSTEM:
            bind(HOST + path, path, read_only=True)
    for source, target, read_only in sorted(options.binds, key=lambda entry: entry[1].count("/")):
        bind(HOST + source, target, read_only=read_only)
    add_kernel_folders()
    unmount(SCRATCH)
    unmount(HOST)


def mount_points() -> list[str]:
    """The mount points of this machine, outermost first."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        points = [line.split(" ", 5)[4] for line in file]
    return sorted({unescaped(point) for point in points if point.count("/") > 1})


def unescaped(text: str) -> str:
    """Undo the ``\\040`` of /proc/self/mountinfo."""
    first, *others = text.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in others)


def identity_layer(hostname: str) -> str:
    """A layer with the container's host name, and with UTC as its time zone, as images have it."""
    layer = f"{SCRATCH}/identity"
    os.makedirs(f"{layer}/etc")
    with open(f"{layer}/etc/hostname", "w") as file:
        file.write(f"{hostname}\n")
    with open(f"{layer}/etc/hosts", "w") as file:
        file.write(f"127.0.0.1 localhost {hostname}\n::1 localhost ip6-localhost ip6-loopback\n")
    if os.path.exists(f"{HOST}/usr/share/zoneinfo/Etc/UTC"):
        os.symlink("/usr/share/zoneinfo/Etc/UTC", f"{layer}/etc/localtime")
    return layer


def lay_out(layers: list[str], overlay: bool) -> None:
    """Make the top-level folders: the union of the system's and the layers'."""
    names: dict[str, None] = {}
    for name in SYSTEM:
        path = f"{HOST}/{name}"
        if os.path.islink(path):
            os.symlink(os.readlink(path), f"/{name}")
        elif os.path.isdir(path):
            names[name] = None
    for layer in layers:
        for entry in os.scandir(layer):
            if entry.is_dir(follow_symlinks=False):
                names[entry.name] = None
            elif not os.path.lexists(f"/{entry.name}"):
                copy(entry.path, f"/{entry.name}")
    for name in names:
        folders = [f"{layer}/{name}" for layer in layers if os.path.isdir(f"{layer}/{name}")]
        if name in SYSTEM:
            folders.append(f"{HOST}/{name}")
        if overlay:
            overlay_folder(name, folders)
        else:
            merge_folder(f"/{name}", folders)


def overlay_folder(name: str, folders: list[str]) -> None:
    for part in ("upper", "work"):
        os.makedirs(f"{SCRATCH}/{part}/{name}")
    os.mkdir(f"/{name}")
    lower = ":".join(escaped(folder) for folder in folders)
    writes = f"upperdir={SCRATCH}/upper/{escaped(name)},workdir={SCRATCH}/work/{escaped(name)}"
    mount("overlay", f"/{name}", "overlay", 0, f"lowerdir={lower},{writes},userxattr")


def escaped(path: str) -> str:
    """A path as an overlay's options want it."""
    return "".join(f"\\{character}" if character in "\\:," else character for character in path)


def copy(source: str, target: str) -> None:
    """Copy a file or a symbolic link."""
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
        return
    with open(source, "rb") as reading, open(target, "wb") as writing:
        while chunk := reading.read(1 << 20):
            writing.write(chunk)
    os.chmod(target, os.stat(source).st_mode & 0o7777)


def merge_folder(target: str, folders: list[str]) -> None:
    """Do without an overlay where the kernel allows none: bind this machine's folders, copy the image's."""
    if len(folders) == 1 and folders[0].startswith(HOST):
        bind(folders[0], target, read_only=True)
        return
    os.makedirs(target, exist_ok=True)
    names = dict.fromkeys(name for folder in folders for name in os.listdir(folder))
    for name in names:
        found = [f"{folder}/{name}" for folder in folders if os.path.lexists(f"{folder}/{name}")]
        kinds = [os.path.isdir(path) and not os.path.islink(path) for path in found]
        if kinds[0]:
            merge_folder(
                f"{target}/{name}", [path for path, is_folder in zip(found, kinds, strict=True) if is_folder]
            )
        elif found[0].startswith(HOST) and not os.path.islink(found[0]):
            bind(found[0], f"{target}/{name}", read_only=True)
        else:
            copy(found[0], f"{target}/{name}")


def hide_private_settings() -> None:
    """Hide what in /etc only root may read (keys, password hashes): root may be who runs us."""
    for entry in os.scandir("/etc"):
        if entry.is_symlink() or entry.stat().st_mode & stat.S_IROTH:
            continue
        if entry.is_dir():
            mount("tmpfs", entry.path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV, "mode=700")
        else:
            mount(f"{HOST}/dev/null", entry.path, None, MS_BIND)


def add_kernel_folders() -> None:
    """/proc, /sys and /dev."""
    os.mkdir("/proc")
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for part in ("sys", "irq", "bus", "fs", "sysrq-trigger"):  # as Docker: settings of the whole machine
        if os.path.exists(f"/proc/{part}"):
            bind(f"/proc/{part}", f"/proc/{part}", read_only=True)
    bind(f"{HOST}/sys", "/sys", read_only=True)
    os.makedirs("/dev/shm", mode=0o755)
    os.chmod("/dev/shm", 0o1777)
    for name in DEVICES:
        if os.path.exists(f"{HOST}/dev/{name}"):
            bind(f"{HOST}/dev/{name}", f"/dev/{name}", read_only=False)
    os.mkdir("/dev/pts")
    mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd"}
    links |= {name: f"/proc/self/fd/{number}" for number, name in enumerate(("stdin", "stdout", "stderr"))}
    for name, target in links.items():
        os.symlink(target, f"/dev/{name}")


# Process 1 --------------------------------------------------------------------------------------------


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
                self._end(KILLED)

    def _signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number != signal.SIGCHLD:
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
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
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


def reap(program: int) -> int | None:
    """Collect every child that has ended; the program's wait status when it is among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == program:
            found = status


def kill(pid: int) -> None:
    try:
        if pid < 0:
            os.killpg(-pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def descendants() -> list[int]:
    """The processes below this one; orphans among them, since this is where orphans go."""
    children: dict[int, list[int]] = {}
    try:
        entries = os.listdir("/proc")
    except FileNotFoundError:  # not Linux
        return []
    for entry in entries:
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry))
    found: list[int] = []
    wave = [os.getpid()]
    while wave:
        wave = [child for pid in wave for child in children.get(pid, ())]
        found += wave
    return found


def memory_in_use(limit: int) -> int:
    """Bytes of memory the container uses; pages that processes share are counted once when it matters."""
    members = descendants()
    quick = sum(resident(pid) for pid in members)
    return quick if quick <= limit else sum(proportional(pid) for pid in members)


def resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


def proportional(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        return 0
    except PermissionError:
        return resident(pid)
    return 0


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
                prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
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


if __name__ == "__main__":
    main(sys.argv[1:])
