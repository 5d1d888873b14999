"""`hopwell bench ceilings`, `engine` and `against`: a GPU, whole steps beside its limit, and beside another engine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopwell.cli.result import Out, write_result

if TYPE_CHECKING:
    from hopwell.limits.ceilings import Ceilings

BATCHES = [1, 8, 32, 128]
Model = Annotated[str, typer.Argument(help="A shipped config: r1-tp8, r1-slice, v2-lite, ...")]
Batch = Annotated[list[int] | None, typer.Option(min=1, help="Sequences; may be repeated. Default: 1, 8, 32, 128.")]
Context = Annotated[list[int] | None, typer.Option(min=1, help="Tokens of each; may be repeated. Default: 1024.")]
Plot = Annotated[Path | None, typer.Option(help="PNG for percent of the limit by batch.")]
Activations = Annotated[str | None, typer.Option(help="Before FP8 weights: fp8, bf16 or auto.")]
FourBits = Annotated[str, typer.Option(help="Weights of four bits: expanded or packed.")]
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
    four_bits: FourBits = "expanded",
    out: Out = None,
    plot: Plot = None,
) -> None:
    """A whole model's decode steps as the engine runs them: milliseconds, percent of the limit. Random weights."""
    from hopwell.bench.engine import decode_rows
    from hopwell.model.settings import ModelSettings

    limit = measured_ceilings()
    settings = ModelSettings(cache_dtype=cache_dtype, activations=activations, four_bits=four_bits)
    found = decode_rows(model, batch or BATCHES, context or [1024], limit, layers, energy, settings=settings)
    show([asdict(row) for row in found], "engine", out, plot, ceilings=asdict(limit))


def against(
    checkpoint: Annotated[Path, typer.Argument(help="A folder, as `hopwell synth` writes it.")],
    peer_site: Annotated[
        Path | None, typer.Option(help="Folder that vLLM is installed in; without, ours alone.")
    ] = None,
    batch: Batch = None,
    context: Annotated[list[int] | None, typer.Option(min=1, help="May be repeated. Default: 1024, 8192.")] = None,
    prompts: Annotated[list[str] | None, typer.Option(help="As 8x2048; may be repeated.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Tokens of a long answer, at least.")] = 128,
    cache_dtype: CacheDtype = "auto",
    activations: Activations = None,
    four_bits: FourBits = "expanded",
    device: Annotated[str, typer.Option(help="For our side: auto, cpu, cuda.")] = "auto",
    once: Annotated[bool, typer.Option(help="Start our side once, with no compiled kernels, not twice.")] = False,
    out: Out = None,
    plot: Plot = None,
) -> None:
    """Our engine and vLLM on one checkpoint from disk: decode steps, prompts, start, energy, each beside the limit."""
    import torch

    from hopwell.bench.against import compare, sides
    from hopwell.model.config import ModelConfig

    pairs = [[size, length] for length in context or [1024, 8192] for size in batch or BATCHES]
    task = {"decode": pairs, "steps": steps,
            "prefill": [prompt_shape(text) for text in prompts or ("8x2048", "1x16384")], "device": device,
            "cache_dtype": cache_dtype, "activations": activations, "four_bits": four_bits}  # fmt: skip
    config = ModelConfig.from_file(checkpoint)
    limit = measured_ceilings() if torch.cuda.is_available() and device != "cpu" else None
    torch.cuda.empty_cache()
    ours, theirs = sides(checkpoint, task, peer_site, once=once)
    rows = compare(ours, theirs, config, limit)
    decode = [row for row in rows if row["what"].startswith("decode step")]
    drawn = [{"engine": "hopwell", **row} for row in decode]
    drawn += [{**row, "engine": "vllm", "percent_of_limit": row["percent_of_limit"] / row["ratio"]}
              for row in decode if row["ratio"] and row["percent_of_limit"]]  # fmt: skip
    show(rows, "against", out, plot, drawn, checkpoint=checkpoint.name, task=task, ours=ours, theirs=theirs,
          ceilings=None if limit is None else asdict(limit))  # fmt: skip


def show(
    rows: list[dict[str, Any]],
    name: str,
    out: Path | None,
    plot: Path | None,
    drawn: list[dict[str, Any]] | None = None,
    **meta: Any,
) -> None:
    """Prints rows, and writes and draws them where asked; `drawn` in their place in the plot."""
    from hopwell.cli.tables import print_rows

    print_rows([rounded(row) for row in rows])
    if out is not None:
        write_result(out, name, rows, **meta)
    if plot is not None:
        from hopwell.bench.plots import plot_limit

        print(plot_limit(drawn or rows, plot))


def prompt_shape(text: str) -> tuple[int, int]:
    """Text such as 8x2048 as numbers.

    Raises:
        HopwellError: it is no such thing.
    """
    from hopwell.errors import HopwellError

    parts = text.split("x")
    if len(parts) != 2 or not all(part.isdigit() and int(part) for part in parts):
        raise HopwellError(f"--prompts {text}: give prompts and tokens of each, as 8x2048")
    return int(parts[0]), int(parts[1])


def needs_gpu() -> None:
    """
    Raises:
        HopwellError: there is no GPU.
    """
    import torch

    from hopwell.errors import HopwellError

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


def rounded(row: dict[str, object]) -> dict[str, object]:
    return {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()}
