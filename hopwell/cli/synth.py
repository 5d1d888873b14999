"""`hopwell synth`: synthetic checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def synth(
    config: Annotated[str, typer.Argument(help="A shipped config (r1-tp8, r1-slice, v2-lite, ...) or a config.json.")],
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    layers: Annotated[int | None, typer.Option(min=1, help="Decoder layers; default: the config's.")] = None,
    dense: Annotated[int | None, typer.Option(min=0, help="Of these, the first without experts.")] = None,
    mtp: Annotated[bool | None, typer.Option("--mtp/--no-mtp", help="The MTP layer; default: the config's.")] = None,
    seed: Annotated[int, typer.Option(help="Of the weights; on a CPU the same seed gives the same bytes.")] = 0,
    device: Annotated[str, typer.Option(help="Where weights are drawn: cpu or cuda.")] = "cpu",
) -> None:
    """Write a checkpoint of random weights: any config of the family, at real sizes, in R1's layout on disk."""
    from hopwell.cli.progress import byte_progress
    from hopwell.model.shipped import cut, find_config
    from hopwell.model.synthesis import synthesise

    values = cut(find_config(config), layers, dense, mtp)
    with byte_progress("Writing", "Wrote") as progress:
        report = synthesise(values, out, seed, device, progress)
    typer.echo(f"{out}: {report['tensors']:,} tensors, {report['bytes']:,} bytes, seed {seed}")
