"""The commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

import harness
from harness.cli.build import build
from harness.cli.doctor import doctor
from harness.cli.down import down
from harness.cli.run import run
from harness.cli.up import up

__all__ = ["app"]

app = typer.Typer(
    name="harness",
    help="Run an ML pipeline on AWS Step Functions and SageMaker locally, offline, with real containers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # errors are shown by harness.cli.common
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"harness {harness.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


for command in (build, up, run, down, doctor):
    app.command()(command)
