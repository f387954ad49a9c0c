"""``harness build``: make the bundle."""

from __future__ import annotations

import json
from typing import Any

import typer

from harness.cli.common import JsonOption, ProjectOption, command, console, find_root, run_async

__all__ = ["build"]


@command
def build(project: ProjectOption = None, as_json: JsonOption = False) -> None:
    """Build the bundle: everything that will run, here and on AWS, under one id."""
    from harness.scenarios.workbench import build as build_bundle

    root = find_root(project)
    status = console(stderr=True)

    def note(text: str) -> None:
        if not as_json:
            status.print(text, style="dim", soft_wrap=True)

    bundle = run_async(lambda: build_bundle(root, note))
    parts: list[dict[str, Any]] = [
        {"name": path.relative_to(bundle.path).as_posix(), "bytes": path.stat().st_size}
        for path in sorted(bundle.path.rglob("*"))
        if path.is_file()
    ]
    if as_json:
        document = {
            "id": bundle.id,
            "path": str(bundle.path),
            "parts": parts,
            "warnings": list(bundle.warnings),
        }
        typer.echo(json.dumps(document, indent=1))
        return
    from harness.report.text import relative, size

    out = console()
    for part in parts:
        out.print(f"  {size(part['bytes']):>9}  {part['name']}", soft_wrap=True)
    for warning in bundle.warnings:
        out.print(f"  ! {warning}", style="yellow", soft_wrap=True)
    out.print(f"bundle {bundle.id}", style="bold", soft_wrap=True)
    out.print(f"  {relative(bundle.path)}", soft_wrap=True)
