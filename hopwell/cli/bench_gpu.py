"""`hopwell bench ceilings` and `engine`: a GPU, and whole steps beside its limit."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopwell.cli.options import FixedDrafts
from hopwell.cli.outputs import check_file
from hopwell.cli.result import Out, write_result
from hopwell.errors import HopwellError

if TYPE_CHECKING:
    from hopwell.limits.ceilings import Ceilings

BATCHES = [1, 8, 32, 128]
Model = Annotated[str, typer.Argument(help="A shipped config: r1-tp8, r1-slice, v2-lite, ...")]
Batch = Annotated[list[int] | None, typer.Option(min=1, help="Sequences; may be repeated. Default: 1, 8, 32, 128.")]
Context = Annotated[list[int] | None, typer.Option(min=1, help="Tokens of each; may be repeated. Default: 1024.")]
Plot = Annotated[Path | None, typer.Option(help="PNG for percent of the limit by batch.", callback=check_file)]
Activations = Annotated[str | None, typer.Option(help="Before FP8 weights: fp8, bf16 or auto.")]
FourBits = Annotated[str, typer.Option(help="Weights of four bits: packed or expanded.")]
ForcedAcceptance = Annotated[float | None, typer.Option(help="Tokens a step with drafts.")]
CacheDtype = Annotated[str, typer.Option(help="Of the latent cache: auto, bfloat16 or fp8.")]
Layers = Annotated[int | None, typer.Option(min=2, help="Cut the model to this many layers, one of them dense.")]


def ceilings(out: Out = None) -> None:
    """What this GPU's memory and matrix units give at most."""
    from hopwell.cli.tables import print_rows

    row = asdict(measured_ceilings())
    print_rows([{k: v if isinstance(v, str) else f"{v:.4g}" for k, v in row.items()}])
    if out is not None:
        write_result(out, "ceilings", [row])


def engine(
    model: Model = "r1-tp8",
    batch: Batch = None,
    context: Context = None,
    layers: Layers = None,
    energy: Annotated[bool, typer.Option(help="Also read the energy counter, two seconds a row.")] = False,
    cache_dtype: CacheDtype = "auto",
    activations: Activations = None,
    four_bits: FourBits = "packed",
    drafts: FixedDrafts = 0,
    forced_acceptance: ForcedAcceptance = None,
    out: Out = None,
    plot: Plot = None,
) -> None:
    """A whole model's decode steps as the engine runs them: milliseconds, percent of the limit. Random weights."""
    from hopwell.bench.engine import decode_rows
    from hopwell.cli.progress import count_progress
    from hopwell.model.settings import ModelSettings

    acceptance = checked_acceptance(drafts, forced_acceptance)
    limit = measured_ceilings()
    settings = ModelSettings(cache_dtype=cache_dtype, activations=activations, four_bits=four_bits)
    with count_progress("Timing steps", aloud=True) as progress:
        found = decode_rows(
            model, batch or BATCHES, context or [1024], limit, layers, energy,
            settings=settings, drafts=drafts, acceptance=acceptance, progress=progress,
        )  # fmt: skip
        rows = [asdict(row) for row in found]
    show(rows, "engine", out, plot, ceilings=asdict(limit))


def checked_acceptance(drafts: int, forced: float | None) -> float:
    """Tokens a step of each sequence.

    Raises:
        HopwellError: there is none for drafts, or one that they cannot give.
    """
    if drafts and forced is None:
        raise HopwellError("give --forced-acceptance with --drafts: what random tokens accept says nothing")
    if forced is not None and not 1 <= forced <= 1 + drafts:
        raise HopwellError(f"--forced-acceptance is {forced}; with {drafts} drafts give 1 to {1 + drafts}")
    return forced or 1.0


def show(
    rows: list[dict[str, Any]],
    name: str,
    out: Path | None,
    plot: Path | None,
    drawn: list[dict[str, Any]] | None = None,
    **meta: Any,
) -> None:
    """Prints rows, and writes and draws them where asked; `drawn` in their place in the plot."""
    from hopwell.cli.tables import print_rows, rounded

    print_rows([rounded(row) for row in rows])
    if out is not None:
        write_result(out, name, rows, **meta)
    if plot is not None:
        from hopwell.bench.plots import plot_limit

        print(plot_limit(drawn or rows, plot))


def needs_gpu() -> None:
    """
    Raises:
        HopwellError: there is no GPU.
    """
    import torch

    if not torch.cuda.is_available():
        raise HopwellError("this bench needs an NVIDIA GPU, and PyTorch sees none")


def measured_ceilings() -> Ceilings:
    """This GPU's ceilings.

    Raises:
        HopwellError: there is no GPU.
    """
    from hopwell.limits.ceilings import Ceilings

    needs_gpu()
    return Ceilings.measure()
