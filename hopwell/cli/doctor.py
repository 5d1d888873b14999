"""`hopwell doctor`: what this machine can run."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Say what this machine can run, why not the rest, and what would help.

    Exit code 1 if even nano, the embedded model, cannot run.
    """
    import json
    from dataclasses import asdict

    from hopwell.cli.progress import kernel_progress
    from hopwell.engine.machine import examine

    with kernel_progress() as progress:
        checks = examine(progress)
    runs = next(check.ok for check in checks if check.name == "nano")
    if as_json:
        print(json.dumps({"nano_runs": runs, "checks": [asdict(check) for check in checks]}, indent=1))
    else:
        width = max(len(check.name) for check in checks)
        group = ""
        for check in checks:
            if check.group != group:
                print(("\n" if group else "") + check.group)
                group = check.group
            mark = typer.style("ok", fg="green") if check.ok else typer.style("no", fg="yellow")
            remedy = typer.style(f"; {check.remedy}", dim=True) if check.remedy else ""
            typer.echo(f"  {mark}  {check.name:<{width}}  {check.found}{remedy}")
    if not runs:
        raise typer.Exit(1)
