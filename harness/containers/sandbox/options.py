"""The command line of the sandbox."""

from __future__ import annotations

import os


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
        self.processors: int | None = None  # how many
        self.gateway: int | None = None  # port of the container's loopback that the harness serves
        self.address: str | None = None  # on the network of its peers, e.g. 10.0.0.1/24
        self.peers: list[tuple[str, str]] = []  # host name, address
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
                case "--processors":
                    self.processors = int(next(rest))
                case "--gateway":
                    self.gateway = int(next(rest))
                case "--address":
                    self.address = next(rest)
                case "--peer":
                    name, _, address = next(rest).partition("=")
                    self.peers.append((name, address))
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
