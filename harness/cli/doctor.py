"""``harness doctor``: what works on this machine, and what to do about the rest."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from harness.cli.common import JsonOption, ProjectOption, command, console, fail, find_root
from harness.errors import SettingsError

__all__ = ["doctor"]

_SIGNS = {"ok": ("✓", "green"), "note": ("!", "yellow"), "broken": ("✗", "bold red")}


@command
def doctor(project: ProjectOption = None, as_json: JsonOption = False) -> None:
    """Say what works on this machine, and what to do about the rest; exit code 1 if it cannot do."""
    from harness.targets.examine import examine

    try:
        root = find_root(project)
    except SettingsError:
        if project is not None:
            raise
        root = None  # most of the machine can be looked at from anywhere
    findings = examine(root)
    healthy = all(finding.state != "broken" for finding in findings)
    if as_json:
        document = {"healthy": healthy, "findings": [asdict(finding) for finding in findings]}
        typer.echo(json.dumps(document, indent=1))
    else:
        out = console()
        for finding in findings:
            sign, style = _SIGNS[finding.state]
            out.print(f"{sign} ", style=style, end="")
            out.print(f"{finding.subject}: {finding.message}", soft_wrap=True)
            if finding.advice:
                out.print(f"    {finding.advice}", style="dim", soft_wrap=True)
    if not healthy:
        fail(1)
