"""The root of the container: this machine's folders with the image's laid over them, and the mounts."""

from __future__ import annotations

import os
import stat

from .kernel import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    bind,
    change_root,
    mount,
    unmount,
)
from .options import Options

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


def build_root(options: Options) -> None:
    """Replace the root by a new one made of the system, the image's layers and the mounts."""
    submounts = mount_points()
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    # The new root stands on /tmp only until it is the root: then this machine's own /tmp is back below HOST.
    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    os.mkdir("/tmp" + HOST)
    change_root("/tmp", "/tmp" + HOST)
    os.chdir("/")
    os.mkdir(SCRATCH)
    mount("tmpfs", SCRATCH, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")

    layers = [identity_layer(options.hostname, options.peers)]
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
    for folder in (SCRATCH, HOST):
        unmount(folder)
        os.rmdir(folder)


def mount_points() -> list[str]:
    """The mount points of this machine, outermost first."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        points = [line.split(" ", 5)[4] for line in file]
    return sorted({unescaped(point) for point in points if point.count("/") > 1})


def unescaped(text: str) -> str:
    """Undo the ``\\040`` of /proc/self/mountinfo."""
    first, *others = text.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in others)


def identity_layer(hostname: str, peers: list[tuple[str, str]]) -> str:
    """A layer with the names of the container and its peers, and with UTC as its time zone, as in images."""
    layer = f"{SCRATCH}/identity"
    os.makedirs(f"{layer}/etc")
    with open(f"{layer}/etc/hostname", "w") as file:
        file.write(f"{hostname}\n")
    with open(f"{layer}/etc/hosts", "w") as file:
        own = "" if any(name == hostname for name, _ in peers) else f" {hostname}"
        file.write(f"127.0.0.1 localhost{own}\n::1 localhost ip6-localhost ip6-loopback\n")
        for name, address in peers:
            file.write(f"{address} {name}\n")
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
