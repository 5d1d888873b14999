"""`hopwell bench ceilings`, `ops` and `engine`: the GPU, its kernels and whole decode steps, each beside its limit."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hopwell.limits.ceilings import Ceilings

Out = Annotated[Path | None, typer.Option(help="JSON file or folder for the result.")]
Model = Annotated[str, typer.Argument(help="A shipped config: r1-tp8, r1-slice, v2-lite, ...")]
Batch = Annotated[list[int] | None, typer.Option(min=1, help="Sequences; may be repeated. Default: 1, 8, 32, 128.")]
Context = Annotated[list[int] | None, typer.Option(min=1, help="Tokens of each; may be repeated. Default: 1024.")]
CacheDtype = Annotated[str, typer.Option(help="Of the latent cache: auto, bfloat16 or fp8.")]
Layers = Annotated[int | None, typer.Option(min=2, help="Cut the model to this many layers, one of them dense.")]


def ceilings(out: Out = None) -> None:
    """What this GPU's memory and matrix units give at most."""
    from hopwell.bench.result import write_result
    from hopwell.cli.tables import print_rows

    row = asdict(_ceilings())
    print_rows([{k: v if isinstance(v, str) else f"{v:.4g}" for k, v in row.items()}])
    if out is not None:
        write_result(out, "ceilings", [row])


def ops(
    model: Model = "r1-tp8",
    batch: Batch = None,
    context: Context = None,
    layers: Annotated[int, typer.Option(min=2, help="Layers whose weights take turns.")] = 8,
    out: Out = None,
) -> None:
    """Microseconds, GB/s and percent of the limit of every kernel of a decode step."""
    from hopwell.bench.ops import op_rows
    from hopwell.bench.result import write_result
    from hopwell.cli.tables import print_rows

    limit = _ceilings()
    rows = [asdict(row) for row in op_rows(model, batch or [1, 8, 32, 128], context or [1024], limit, layers)]
    print_rows([_rounded(row) for row in rows])
    if out is not None:
        write_result(out, "ops", rows, model=model, ceilings=asdict(limit))


def engine(
    model: Model = "r1-tp8",
    batch: Batch = None,
    context: Context = None,
    layers: Layers = None,
    energy: Annotated[bool, typer.Option(help="Also read the energy counter, two seconds a row.")] = False,
    cache_dtype: CacheDtype = "auto",
    out: Out = None,
) -> None:
    """Milliseconds and percent of the limit of a whole model's decode step, in a CUDA graph, random weights."""
    from hopwell.bench.engine import decode_rows
    from hopwell.bench.result import write_result
    from hopwell.cli.tables import print_rows

    limit = _ceilings()
    found = decode_rows(
        model, batch or [1, 8, 32, 128], context or [1024], limit, layers, energy, cache_dtype=cache_dtype
    )
    rows = [asdict(row) for row in found]
    print_rows([_rounded(row) for row in rows])
    if out is not None:
        write_result(out, "engine", rows, ceilings=asdict(limit))


def latent(
    model: Annotated[str | None, typer.Argument(help="A checkpoint with nano's tokenizer; default: nano.")] = None,
    problems: Annotated[int, typer.Option(min=1, help="Held-out problems a task.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the problems.")] = 7,
    cache_dtype: Annotated[list[str] | None, typer.Option(help="Formats; default: bfloat16 and fp8.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    out: Out = None,
) -> None:
    """Accuracy of nano's answers from an FP8 latent cache beside the bf16 one, on the same problems."""
    from hopwell.bench.latent import latent_rows
    from hopwell.bench.result import write_result
    from hopwell.cli.tables import print_rows
    from hopwell.engine.loading import load_model

    found = latent_rows(load_model(model, device), problems, seed, cache_dtype or ("bfloat16", "fp8"))
    rows = [asdict(row) for row in found]
    print_rows([_rounded({k: v for k, v in row.items() if k != "by_task"}) for row in rows])
    if out is not None:
        write_result(out, "latent", rows, model=model or "nano", seed=seed)


def _ceilings() -> Ceilings:
    """This GPU's ceilings.

    Raises:
        HopwellError: there is no GPU.
    """
    import torch

    from hopwell.errors import HopwellError
    from hopwell.limits.ceilings import Ceilings

    if not torch.cuda.is_available():
        raise HopwellError("this bench needs an NVIDIA GPU, and PyTorch sees none")
    return Ceilings.measure()


def _rounded(row: dict[str, object]) -> dict[str, object]:
    return {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()}
