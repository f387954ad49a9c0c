"""What the commands share: options, the project's folder, errors and exit codes, and being interrupted.

Exit codes: 0 all went well; 1 an expectation did not hold; 2 a file or option is wrong, or this machine lacks
something; 70 a mistake in the harness itself; 128 + n ended by signal n (130 is Ctrl-C).
"""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, ParamSpec, TypeVar

import typer

from harness import __version__
from harness.errors import EnvironmentFault, HarnessError, SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from harness.targets.standing import StandingCloud

__all__ = [
    "ContainerRuntimeName",
    "ContainersOption",
    "JsonOption",
    "ProjectOption",
    "command",
    "console",
    "fail",
    "find_cloud",
    "find_root",
    "reap",
    "run_async",
]

P = ParamSpec("P")
T = TypeVar("T")

ProjectOption = Annotated[
    Path | None,
    typer.Option(
        "--project",
        "-C",
        metavar="FOLDER",
        help="The project's folder; by default the nearest one above that has a harness.toml.",
    ),
]


class ContainerRuntimeName(StrEnum):
    """What runs containers."""

    auto = "auto"
    docker = "docker"
    process = "process"


ContainersOption = Annotated[
    ContainerRuntimeName | None,
    typer.Option(
        "--containers",
        show_default="auto",
        help="What runs containers; auto takes Docker where an engine answers.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, for scripts.")]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERNAL_ERROR = 70


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Turn what a command raises into a message and an exit code."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except HarnessError as error:
            show_error(error)
            raise typer.Exit(error.exit_code) from None
        except Interrupted as error:
            with suppress(BrokenPipeError):
                typer.echo("stopped; everything has been cleaned up", err=True)
            raise typer.Exit(128 + error.number) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BrokenPipeError:
            _reader_gone()
            raise typer.Exit(128 + signal.SIGPIPE) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception:
            traceback.print_exc()
            typer.echo("\nThis is a mistake in the harness itself.", err=True)
            raise typer.Exit(INTERNAL_ERROR) from None

    return guarded


def _reader_gone() -> None:
    """Whoever read our output has gone (`harness ... | head`); nobody is left to be told."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Interrupted(Exception):
    """A signal asked the command to end, and it has cleaned up."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def run_async(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on the harness's event loop; signals cancel it, so that everything is cleaned up.

    Raises:
        Interrupted: A signal ended it.
    """
    from harness import clock

    received: list[int] = []

    async def guarded() -> T:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None

        def stop(number: int) -> None:
            received.append(number)
            if len(received) == 1:
                task.cancel()
            elif len(received) == 2:
                typer.echo("still cleaning up; once more to leave that to the next command", err=True)
            else:
                os._exit(128 + number)

        for number in _SIGNALS:
            loop.add_signal_handler(number, stop, number)
        return await main()

    try:
        return clock.run(guarded())
    except (asyncio.CancelledError, KeyboardInterrupt):
        if received:
            raise Interrupted(received[0]) from None
        raise


def find_root(project: Path | None) -> Path:
    """The project's folder.

    Raises:
        SettingsError: There is no harness.toml, or something is wrong in it.
    """
    from harness.project.project import Project

    if project is not None:
        if not (project / "harness.toml").is_file():
            raise SettingsError("there is no such file", file=project / "harness.toml")
        return project.resolve()
    return Project.load().root


def find_cloud(root: Path) -> StandingCloud | None:
    """The project's local cloud, if one is up.

    Raises:
        EnvironmentFault: Another version of the harness keeps it.
    """
    from harness.targets.standing import find

    cloud = find(root)
    if cloud is not None and cloud.version != __version__:
        raise EnvironmentFault(
            f"the local cloud that is up runs harness {cloud.version}, this is {__version__}",
            hint="start it anew: harness down, then harness up -d",
        )
    return cloud


def reap(root: Path) -> None:
    """Clear away what commands left that were killed, and say so."""
    from harness.containers.session import reap as reap_sessions

    for line in reap_sessions(root):
        typer.echo(line, err=True)


def console(*, stderr: bool = False) -> Console:
    """The terminal. Colour only on terminals; NO_COLOR is honoured."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            # This may be deep inside the cloud, which must go down in order: as when a terminal is closed.
            _reader_gone()
            signal.raise_signal(signal.SIGHUP)

    return Output(stderr=stderr, highlight=False, markup=False, emoji=False)


def show_error(error: HarnessError) -> None:
    """One message: what happened, where, what to do."""
    from harness.report.text import relative

    out = console(stderr=True)
    where = ": ".join(str(part) for part in (error.file and relative(error.file), error.place) if part)
    out.print("error: ", style="bold red", end="")
    out.print(f"{where}: {error.message}" if where else error.message, soft_wrap=True)
    if error.hint:
        out.print(f"  {error.hint}", soft_wrap=True)


def fail(code: int) -> NoReturn:
    """End the command with an exit code."""
    raise typer.Exit(code)
