"""`hopwell pack`: packed snapshots."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from hopwell.cli import options as opt
from hopwell.cli.outputs import NewFolder
from hopwell.interrupts import importing


def pack(
    model: Annotated[str, typer.Argument(help="A checkpoint's folder or hub name, or `nano`.")],
    out: NewFolder,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    tp: opt.Tp = 1,
    ep: opt.Ep = 1,
    dp_attention: opt.DpAttention = False,
    four_bits: opt.FourBits = None,
) -> None:
    """Write a model's weights as this device's kernels want them, rank by rank, so that starts need no work on them.

    The folder is a model by itself: `hopwell serve OUT`, with the same options. It appears whole, at the end.
    """
    from hopwell.cli.progress import byte_progress

    with importing():
        from hopwell.engine.packing import pack as write

    began = time.perf_counter()
    with byte_progress("Packing", None) as progress:
        snapshot = write(model, out, device, dtype, four_bits, tp, ep, dp_attention, progress)
    seconds = time.perf_counter() - began
    print(f"{out}: {snapshot.describe()}, {snapshot.nbytes:,} bytes in {seconds:.1f} s")
