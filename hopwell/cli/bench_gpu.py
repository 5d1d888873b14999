"""Benches of a GPU, its kernels and whole steps, each beside its limit; and beside another engine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hopwell.limits.ceilings import Ceilings

BATCHES = [1, 8, 32, 128]
Out = Annotated[Path | None, typer.Option(help="JSON file or folder for the result.")]
Model = Annotated[str, typer.Argument(help="A shipped config: r1-tp8, r1-slice, v2-lite, ...")]
Batch = Annotated[list[int] | None, typer.Option(min=1, help="Sequences; may be repeated. Default: 1, 8, 32, 128.")]
Context = Annotated[list[int] | None, typer.Option(min=1, help="Tokens of each; may be repeated. Default: 1024.")]
Plot = Annotated[Path | None, typer.Option(help="PNG for percent of the limit by batch.")]
Activations = Annotated[str | None, typer.Option(help="Before FP8 weights: fp8, bf16 or auto.")]
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
    cache_dtype: CacheDtype = "auto",
    out: Out = None,
    plot: Plot = None,
) -> None:
    """Microseconds, GB/s and percent of the limit of every kernel of a decode step."""
    from hopwell.bench.ops import op_rows

    limit = _ceilings()
    found = op_rows(model, batch or BATCHES, context or [1024], limit, layers, cache_dtype=cache_dtype)
    _show([asdict(row) for row in found], "ops", out, plot, model=model, ceilings=asdict(limit))


def layer(
    model: Model = "r1-tp8",
    batch: Batch = None,
    context: Context = None,
    layers: Annotated[int, typer.Option(min=2, help="Layers whose weights take turns.")] = 8,
    cache_dtype: CacheDtype = "auto",
    out: Out = None,
    plot: Plot = None,
) -> None:
    """Microseconds of each kernel of an MoE layer beside its limit, and of all of them together."""
    from hopwell.bench.gpu_speed import layer_rows

    limit = _ceilings()
    rows = layer_rows(model, batch or BATCHES, context or [1024], limit, layers, cache_dtype)
    _show(rows, "layer", out, plot, model=model, ceilings=asdict(limit))


def prefill(
    model: Model = "r1-tp8",
    prompts: Annotated[list[str] | None, typer.Option(help="As 8x2048; may be repeated.")] = None,
    layers: Layers = None,
    out: Out = None,
) -> None:
    """Tokens a second and percent of the limit of prompts through a whole model, random weights."""
    from hopwell.bench.prefill import prefill_rows

    shapes = [_shape(text) for text in prompts or ("8x2048", "1x16384")]
    limit = _ceilings()
    rows = [asdict(row) for row in prefill_rows(model, limit, shapes, layers)]
    _show(rows, "prefill", out, None, ceilings=asdict(limit))


def engine(
    model: Model = "r1-tp8",
    batch: Batch = None,
    context: Context = None,
    layers: Layers = None,
    energy: Annotated[bool, typer.Option(help="Also read the energy counter, two seconds a row.")] = False,
    cache_dtype: CacheDtype = "auto",
    activations: Activations = None,
    out: Out = None,
    plot: Plot = None,
) -> None:
    """Milliseconds and percent of the limit of a whole model's decode step, in a CUDA graph, random weights."""
    from hopwell.bench.engine import decode_rows

    limit = _ceilings()
    found = decode_rows(
        model, batch or BATCHES, context or [1024], limit, layers, energy, cache_dtype=cache_dtype,
        activations=activations,
    )  # fmt: skip
    _show([asdict(row) for row in found], "engine", out, plot, ceilings=asdict(limit))


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
            "prefill": [_shape(text) for text in prompts or ("8x2048", "1x16384")], "device": device,
            "cache_dtype": cache_dtype, "activations": activations}  # fmt: skip
    config = ModelConfig.from_file(checkpoint)
    limit = _ceilings() if torch.cuda.is_available() and device != "cpu" else None
    torch.cuda.empty_cache()
    ours, theirs = sides(checkpoint, task, peer_site, once=once)
    rows = compare(ours, theirs, config, limit)
    decode = [row for row in rows if row["what"].startswith("decode step")]
    drawn = [{"engine": "hopwell", **row} for row in decode]
    drawn += [{**row, "engine": "vllm", "percent_of_limit": row["percent_of_limit"] / row["ratio"]}
              for row in decode if row["ratio"] and row["percent_of_limit"]]  # fmt: skip
    _show(rows, "against", out, plot, drawn, checkpoint=checkpoint.name, task=task, ours=ours, theirs=theirs,
          ceilings=None if limit is None else asdict(limit))  # fmt: skip


def gpu(
    out: Annotated[Path, typer.Argument(help="Folder for the results, a file a part.")],
    part: Annotated[list[str] | None, typer.Option(help="Only this part; may be repeated. Default: all.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="No longer than this in all.")] = None,
) -> None:
    """Everything that a GPU has to show: correctness, speed, start, memory accesses, each part with a time limit."""
    from hopwell.bench.gpu import PARTS, run_parts
    from hopwell.cli.tables import print_rows

    chosen = part or list(PARTS)
    _needs_gpu()
    rows = []
    for outcome in run_parts(out, chosen, minutes):
        rows.append(asdict(outcome))
        print(f"{outcome.part:10} {outcome.seconds:6.0f} s  {outcome.outcome}", flush=True)
    print_rows([_rounded(row) for row in rows])
    if any(row["outcome"] != "done" for row in rows):
        raise typer.Exit(1)


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


def _show(
    rows: list[dict[str, Any]],
    name: str,
    out: Path | None,
    plot: Path | None,
    drawn: list[dict[str, Any]] | None = None,
    **meta: Any,
) -> None:
    """Prints rows, and writes and draws them where asked; `drawn` in their place in the plot."""
    from hopwell.bench.result import write_result
    from hopwell.cli.tables import print_rows

    print_rows([_rounded(row) for row in rows])
    if out is not None:
        write_result(out, name, rows, **meta)
    if plot is not None:
        from hopwell.bench.plots import plot_limit

        print(plot_limit(drawn or rows, plot))


def _shape(text: str) -> tuple[int, int]:
    """Text such as 8x2048 as numbers.

    Raises:
        HopwellError: it is no such thing.
    """
    from hopwell.errors import HopwellError

    parts = text.split("x")
    if len(parts) != 2 or not all(part.isdigit() and int(part) for part in parts):
        raise HopwellError(f"--prompts {text}: give prompts and tokens of each, as 8x2048")
    return int(parts[0]), int(parts[1])


def _needs_gpu() -> None:
    """
    Raises:
        HopwellError: there is no GPU.
    """
    import torch

    from hopwell.errors import HopwellError

    if not torch.cuda.is_available():
        raise HopwellError("this bench needs an NVIDIA GPU, and PyTorch sees none")


def _ceilings() -> Ceilings:
    """This GPU's ceilings.

    Raises:
        HopwellError: there is no GPU.
    """
    from hopwell.limits.ceilings import Ceilings

    _needs_gpu()
    return Ceilings.measure()


def _rounded(row: dict[str, object]) -> dict[str, object]:
    return {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()}
