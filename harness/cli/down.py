"""``harness down``: end the local cloud that is up."""

from __future__ import annotations

import json

import typer

from harness.cli.common import JsonOption, ProjectOption, command, find_root, reap

__all__ = ["down"]


@command
def down(project: ProjectOption = None, as_json: JsonOption = False) -> None:
    """Stop the local cloud that `harness up` keeps, and clear away what dead ones left."""
    from harness.targets.standing import find, stop

    root = find_root(project)
    cloud = find(root)
    cleanly = stop(root, cloud) if cloud is not None else True
    reap(root)
    if as_json:
        typer.echo(json.dumps({"stopped": cloud.endpoint if cloud else None, "cleanly": cleanly}, indent=1))
    elif cloud is None:
        typer.echo("no local cloud is up")
    else:
        typer.echo(
            f"stopped the local cloud at {cloud.endpoint}" + ("" if cleanly else " (it had to be killed)")
        )
