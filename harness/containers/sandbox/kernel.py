"""The system calls Python has no function for.

Each raises OSError, saying what was attempted, unless it says otherwise.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
import sys

# From <sched.h>, <sys/mount.h>, <sys/statvfs.h>, <sys/prctl.h>, <linux/mount.h>, <linux/sockios.h>
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_REC = 1024, 2048, 4096, 16384
MS_PRIVATE, MS_RELATIME = 1 << 18, 1 << 21
MNT_DETACH = 2
ST_RELATIME = 4096  # the other flags of statvfs are the same bits as mount's
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 24, 36, 38
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY = 442, -100, 0x8000, 1
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFMTU = 0x8916, 0x891C, 0x8922
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000  # from <linux/if_tun.h>

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


# Processes --------------------------------------------------------------------------------------------


def new_user(user: int, group: int, namespaces: int = 0) -> None:
    """Enter a user namespace.

    Args:
        user: Who we are in it, as far as its processes see.
        group: Likewise.
        namespaces: ``CLONE_NEW...`` of the further namespaces to enter.
    """
    outer_user, outer_group = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER | namespaces)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {outer_user} 1"),
        ("gid_map", f"{group} {outer_group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def unshare(namespaces: int) -> None:
    check(libc.unshare(namespaces), "new namespaces")


def prctl(option: int, value: int) -> bool:
    """Whether it worked; it does not where there is no such call."""
    return bool(libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) == 0) if sys.platform == "linux" else False


def die_with_parent() -> None:
    """Be killed when the parent ends, on Linux. A change of credentials cancels it, and so does a fork."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


# Mounts -----------------------------------------------------------------------------------------------


def mount(source: str | None, target: str, kind: str | None, flags: int = 0, data: str | None = None) -> None:
    arguments = [
        text.encode(errors="surrogateescape") if text else None for text in (source, target, kind, data)
    ]
    result = libc.mount(arguments[0], arguments[1], arguments[2], ctypes.c_ulong(flags), arguments[3])
    check(result, f"mount {kind or source or ''} on {target}")


def unmount(target: str) -> None:
    """Let a mount and all below it vanish from sight; whoever uses it may go on doing so."""
    check(libc.umount2(target.encode(), MNT_DETACH), f"unmount {target}")


def bind(source: str, target: str, *, read_only: bool) -> None:
    """Make `source`, a file or folder, visible at `target`, which is made if need be."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not os.path.lexists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    mount(source, target, None, MS_BIND | MS_REC)
    if read_only:
        make_read_only(target)


def make_read_only(target: str, *, recursive: bool = True) -> None:
    """Allow no writes through a mount, nor, if `recursive`, through those below it.

    Before Linux 5.12 those below stay as they are.
    """
    attributes = struct.pack("QQQQ", MOUNT_ATTR_RDONLY, 0, 0, 0)
    path = target.encode(errors="surrogateescape")
    scope = AT_RECURSIVE if recursive else 0
    if libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, path, scope, attributes, len(attributes)) == 0:
        return
    if ctypes.get_errno() != errno.ENOSYS:
        check(-1, f"make {target} read-only")
    # Flags set by a more privileged namespace may not be dropped, so they are repeated.
    present = os.statvfs(target).f_flag
    flags = present & (MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME)
    if present & ST_RELATIME:
        flags |= MS_RELATIME
    mount(None, target, None, MS_REMOUNT | MS_BIND | MS_RDONLY | flags)


def change_root(new: str, old: str) -> None:
    """Make the mount `new` the root, and the present root visible at `old`, a path below `new`.

    `old` may be `new` itself: the present root then lies on top of the new one.
    """
    check(libc.pivot_root(os.fsencode(new), os.fsencode(old)), "change the root")


# The network ------------------------------------------------------------------------------------------


def loopback_up() -> None:
    interface_up("lo")


def interface_up(name: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = bytearray(struct.pack("16sh22x", name.encode(), 0))
        fcntl.ioctl(control, SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from("h", request, 16)
        struct.pack_into("h", request, 16, flags | IFF_UP)
        fcntl.ioctl(control, SIOCSIFFLAGS, request)


def make_interface(tunnel: int, name: str, address: str, mtu: int) -> None:
    """Make a network interface whose packets are read from, and written to, a file descriptor.

    Args:
        tunnel: /dev/net/tun, opened in the network namespace that gets the interface.
        name: The interface's.
        address: Its IPv4 address with the length of its network's prefix.
        mtu: Bytes of the longest packet.
    """
    label = name.encode()
    fcntl.ioctl(tunnel, TUNSETIFF, struct.pack("16sH22x", label, IFF_TUN | IFF_NO_PI))
    host, _, length = address.partition("/")
    mask = (0xFFFFFFFF << (32 - int(length))) & 0xFFFFFFFF
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for what, number in (
            (SIOCSIFADDR, socket.inet_aton(host)),
            (SIOCSIFNETMASK, mask.to_bytes(4, "big")),
        ):
            fcntl.ioctl(control, what, struct.pack("16sHH4s16x", label, socket.AF_INET, 0, number))
        fcntl.ioctl(control, SIOCSIFMTU, struct.pack("16si20x", label, mtu))
    interface_up(name)
