"""`hopwell bench start`: how long it takes until the first token, and what of that is weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hopwell.cli.result import Out, write_result

MAX_AFTER_TORCH, MAX_LOAD = 3.0, 1.0
"""Seconds that nano may take on a CPU: to the first token once torch is imported, and to load."""


def start(
    model: Annotated[str | None, typer.Argument(help="A checkpoint's folder; default: nano.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Processes of each, one after another.")] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    beside: Annotated[bool, typer.Option("--beside", help="Beside safetensors' own loader, in turn.")] = False,
    packed: Annotated[bool, typer.Option("--packed", help="Beside a snapshot of it too.")] = False,
    peer_site: Annotated[Path | None, typer.Option(help="Folder that vLLM is installed in: beside it too.")] = None,
    cold: Annotated[
        bool, typer.Option("--cold", help="Weights come from the disk; looked at before each run.")
    ] = False,
    out: Out = None,
) -> None:
    """From the start of the process to the first token, by phase, beside other loaders of the same files.

    The limit is what the weights' bytes take at the rate at which eight threads read them, measured before. Exit 1 if
    nano alone is slower, warm, than promised.
    """
    from hopwell.bench.start import bench_beside, bench_start
    from hopwell.cli.progress import count_progress
    from hopwell.cli.tables import print_rows
    from hopwell.engine.frontend import name_of

    compared = beside or packed or peer_site is not None
    with count_progress("Starting", aloud=True) as progress:
        rows = (
            bench_beside(model, device, runs, cold, packed, peer_site, progress)
            if compared
            else bench_start(model, device, runs, cold, progress)
        )
    print_rows(rows)
    if out is not None:
        write_result(out, "start", rows, model=name_of(model), max_after_torch_s=MAX_AFTER_TORCH, max_load_s=MAX_LOAD)
    ours = next(row for row in rows if row["of"] == "hopwell" and row["run"] == "median")
    if model is None and not cold and (ours["after_torch_s"] > MAX_AFTER_TORCH or ours["load_s"] > MAX_LOAD):
        raise typer.Exit(1)
