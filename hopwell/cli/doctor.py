"""`hopwell doctor`: what this machine can run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from hopwell.cli.outputs import AsJson, print_json
from hopwell.errors import HopwellError


def doctor(
    as_json: AsJson = False,
    kernels: Annotated[str | None, typer.Option(metavar="MODEL", help="Print which kernels serve a model.")] = None,
    device: Annotated[str | None, typer.Option(help="For --kernels, such as h200; default: this GPU, or cpu.")] = None,
    max_batch_tokens: Annotated[
        int | None, typer.Option(min=1, help="For --kernels: rows of the longest step.  [default: 4096]")
    ] = None,
    cache_dtype: Annotated[
        str | None, typer.Option(help="For --kernels: auto, bfloat16 or fp8.  [default: auto]")
    ] = None,
    activations: Annotated[str | None, typer.Option(help="For --kernels: fp8, bf16 or auto.")] = None,
    four_bits: Annotated[
        str | None, typer.Option(help="For --kernels: weights of four bits packed or expanded.  [default: packed]")
    ] = None,
) -> None:
    """Say what this machine can run, why not the rest, and what would help.

    With --kernels MODEL, say instead which kernel serves each op of a model at each number of rows, and why. Exit code
    1 if even nano, the embedded model, cannot run.
    """
    settings = {"cache_dtype": cache_dtype, "activations": activations, "four_bits": four_bits}
    settings = {name: value for name, value in settings.items() if value is not None}
    if kernels is not None:
        _print_kernels(kernels, device, max_batch_tokens or 4096, {"four_bits": "packed", **settings}, as_json)
        return
    from hopwell.cli.progress import kernel_progress
    from hopwell.engine.machine import examine

    others = {"device": device, "max_batch_tokens": max_batch_tokens, **settings}
    if wrong := [name for name, value in others.items() if value is not None]:
        raise HopwellError(f"--{wrong[0].replace('_', '-')} is for --kernels MODEL; give both, or leave it out")

    with kernel_progress() as progress:
        checks = examine(progress)
    runs = next(check.ok for check in checks if check.name == "nano")
    if as_json:
        print_json({"nano_runs": runs, "checks": [asdict(check) for check in checks]})
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


def _print_kernels(model: str, device: str | None, max_rows: int, settings: dict[str, Any], as_json: bool) -> None:
    import torch

    from hopwell.cli.tables import print_rows
    from hopwell.model.kernel_table import kernel_table
    from hopwell.model.settings import ModelSettings
    from hopwell.model.shipped import find_config
    from hopwell.ops.device import PLAIN, Device

    if device is not None:
        found = Device.named(device)
    else:
        found = Device.of(torch.device("cuda", 0)) if torch.cuda.is_available() else PLAIN
    values = find_config(model)
    rows = [asdict(row) for row in kernel_table(values, found, max_rows, ModelSettings(**settings))]
    if as_json:
        print_json({"model": model, "device": asdict(found), "kernels": rows})
    else:
        print_rows(rows, f"{model} on {found.name}")
