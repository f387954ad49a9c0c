"""The file system of functions: what all environments of an interpreter share, what each has for itself."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from .layout import FLAGS, LANGUAGE_ROOT, LAYER_ROOT, RUNTIME_ROOT, TASK_ROOT

if TYPE_CHECKING:  # at run time there is no `harness`, see `__main__`
    from harness.containers.sandbox import kernel
else:
    from sandbox import kernel

PACKAGES = "/var/harness/packages"
BYTECODE = "/var/harness/bytecode"
ZYGOTE = "/var/harness/zygote"
SANDBOX = "/var/harness/sandbox"

VISIBLE = ("bin", "etc", "gnu", "lib", "nix", "sbin", "sys", "usr")
"""Top-level folders of the machine that a function sees, read-only; ``lib`` stands for lib64 and its like."""
DEVICES = ("full", "null", "random", "tty", "urandom", "zero")

USER, GROUP = 993, 990
"""The ids under which functions run on AWS."""


def isolate(config: dict[str, Any]) -> None:
    """Build the file system every environment starts from, and go on in it as process 1. Does not return."""
    kernel.new_user(0, 0, kernel.CLONE_NEWNS | kernel.CLONE_NEWPID)
    kernel.die_with_parent()  # only now: a change of credentials cancels it
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    kernel.die_with_parent()

    root: str = config["root"]
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", root, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
    for name in sorted(os.listdir("/")):
        if os.path.islink("/" + name):
            os.symlink(os.readlink("/" + name), f"{root}/{name}")
        elif name.rstrip("x0123456789") in VISIBLE:
            kernel.bind("/" + name, f"{root}/{name}", read_only=True)
    resolver = os.path.realpath("/etc/resolv.conf")
    if os.path.exists(resolver) and not resolver.startswith("/etc/"):
        kernel.bind(resolver, root + resolver, read_only=True)
    for name in DEVICES:
        kernel.bind(f"/dev/{name}", f"{root}/dev/{name}", read_only=False)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"{root}/dev/{name}")
    kernel.bind(config["prefix"], root + LANGUAGE_ROOT, read_only=True)
    kernel.bind(config["runtime"], root + RUNTIME_ROOT, read_only=True)
    kernel.bind(config["packages"], root + PACKAGES, read_only=True)
    if config["cache"] is not None:
        kernel.bind(config["cache"], root + BYTECODE, read_only=False)
    kernel.bind(os.path.dirname(__file__), root + ZYGOTE, read_only=True)
    kernel.bind(config["sandbox"], root + SANDBOX, read_only=True)
    # The loader remembers which folders of LD_LIBRARY_PATH were missing when this process started: give it
    # the two that environments put their own in the place of.
    for name in ("proc", "tmp", f"{TASK_ROOT}/lib", f"{LAYER_ROOT}/lib"):
        os.makedirs(f"{root}/{name}")
    host_proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(host_proc, True)
    kernel.mount("proc", f"{root}/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    kernel.make_read_only(root, recursive=False)
    os.chdir(root)
    kernel.change_root(".", ".")
    kernel.unmount(".")
    os.chdir("/")

    python = "{}/bin/python{}.{}".format(LANGUAGE_ROOT, *sys.version_info)
    config.update(stage="serve", isolated=True, host_proc=host_proc)
    config.update(
        sandbox=SANDBOX, runtime=RUNTIME_ROOT, packages=PACKAGES, cache=config["cache"] and BYTECODE
    )
    os.execv(python, [python, *FLAGS, f"{ZYGOTE}/__main__.py", json.dumps(config)])


def enter(request: dict[str, Any]) -> None:
    """Turn the file system of the template into that of one environment."""
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.bind(f"{PACKAGES}/{request['code']}", TASK_ROOT, read_only=True)
    if request["layers"]:
        kernel.bind(f"{PACKAGES}/{request['layers']}", LAYER_ROOT, read_only=True)
    kernel.mount(
        "tmpfs", "/tmp", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, f"mode=700,size={request['storage']}"
    )
    if request["cache"]:
        kernel.bind(f"{BYTECODE}/{request['cache']}", BYTECODE, read_only=False)
    kernel.unmount(PACKAGES)
    kernel.new_user(USER, GROUP)
