"""`hopwell bench against`: our engine beside another one, alone and through HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hopwell.cli import options as opt
from hopwell.cli.bench_gpu import (
    BATCHES,
    Activations,
    Batch,
    CacheDtype,
    ForcedAcceptance,
    Plot,
    checked_acceptance,
    measured_ceilings,
    show,
)
from hopwell.cli.result import Out, write_result
from hopwell.errors import HopwellError

if TYPE_CHECKING:
    from hopwell.bench.against_serve import Case, Loads


def against(
    checkpoint: Annotated[Path, typer.Argument(help="A folder, as `hopwell synth` writes it.")],
    peer_site: Annotated[
        Path | None, typer.Option(help="Folder that vLLM is installed in; without, ours alone.")
    ] = None,
    batch: Batch = None,
    context: Annotated[list[int] | None, typer.Option(min=1, help="May be repeated. Default: 1024, 8192.")] = None,
    prompts: Annotated[list[str] | None, typer.Option(help="As 8x2048; may be repeated.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Tokens of a long answer, at least. Default: 128.")] = None,
    cache_dtype: CacheDtype = "auto",
    activations: Activations = None,
    four_bits: opt.FourBits = None,
    drafts: opt.FixedDrafts = 0,
    forced_acceptance: ForcedAcceptance = None,
    device: Annotated[str, typer.Option(help="For our side: auto, cpu, cuda.")] = "auto",
    gpus: Annotated[int, typer.Option(min=1, help="Over which both lie, tensor-parallel.")] = 1,
    once: Annotated[bool, typer.Option(help="Start our side once, with no compiled kernels, not twice.")] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Through HTTP: both serve the same callers.")] = False,
    concurrency: Annotated[list[int] | None, typer.Option(min=1, help="With --serve: callers at once.")] = None,
    rate: Annotated[list[float] | None, typer.Option(min=0.001, help="With --serve: arrivals a second.")] = None,
    input_tokens: Annotated[int | None, typer.Option(min=1, help="With --serve, of a prompt. Default: 512.")] = None,
    output_tokens: Annotated[int | None, typer.Option(min=2, help="With --serve, of an answer. Default: 256.")] = None,
    case: Annotated[
        list[str] | None, typer.Option(help="With --serve, then: IN:OUT:CALLERS, as 4096:128:64; may be repeated.")
    ] = None,
    clients: Annotated[int | None, typer.Option(min=1, help="With --serve: processes that ask. Default: 4.")] = None,
    out: Out = None,
    plot: Plot = None,
) -> None:
    """Our engine and vLLM on one checkpoint from disk: decode steps, prompts, start, energy, each beside the limit.

    With --serve, what callers see of both through HTTP.
    """
    bare = {"--batch": batch, "--context": context, "--prompts": prompts, "--steps": steps, "--once": once,
            "--drafts": drafts, "--forced-acceptance": forced_acceptance}  # fmt: skip
    served = {"--concurrency": concurrency, "--rate": rate, "--input-tokens": input_tokens,
              "--output-tokens": output_tokens, "--case": case, "--clients": clients}  # fmt: skip
    if wrong := [name for name, value in (bare if serve else served).items() if value]:
        raise typer.BadParameter(f"{wrong[0]} is {'not for' if serve else 'for'} --serve")
    if serve:
        settings = {"--cache-dtype": cache_dtype, "--activations": activations, "--four-bits": four_bits,
                    "--device": device}  # fmt: skip
        options = [word for name, value in settings.items() if value is not None for word in (name, value)]
        from hopwell.bench.against_serve import Case, Loads, vocabulary_of

        asked = concurrency or ([] if rate else [1, 8, 32, 128, 256])
        first = Case(input_tokens or 512, output_tokens or 256, asked, rate or [])
        loads = Loads(vocabulary_of(checkpoint), [first, *map(lengths, case or [])], clients or 4)
        _through_http(checkpoint, loads, peer_site, options, gpus, out, plot)
        return
    import torch

    from hopwell.bench.against import MILLIJOULES, compare, sides
    from hopwell.bench.side import longest
    from hopwell.model.config import ModelConfig

    acceptance = checked_acceptance(drafts, forced_acceptance)
    pairs = [[size, length] for length in context or [1024, 8192] for size in batch or BATCHES]
    task = {"decode": pairs, "steps": steps or 128,
            "prefill": [prompt_shape(text) for text in prompts or ("8x2048", "1x16384")], "device": device,
            "cache_dtype": cache_dtype, "activations": activations, "gpus": gpus,
            **({"four_bits": four_bits} if four_bits else {}),
            **({"drafts": drafts, "acceptance": acceptance} if drafts else {})}  # fmt: skip
    config = ModelConfig.from_file(checkpoint)
    if longest(task) > config.max_position_embeddings:
        raise HopwellError(
            f"{checkpoint}: a sequence would take {longest(task):,} tokens, and the model's context is"
            f" {config.max_position_embeddings:,}; give shorter --context and --prompts"
        )
    limit = measured_ceilings() if torch.cuda.is_available() and device != "cpu" else None
    torch.cuda.empty_cache()
    ours, theirs = sides(checkpoint, task, peer_site, once=once)
    rows = compare(ours, theirs, config, limit, drafts, acceptance, gpus)
    decode = [row for row in rows if row["what"].startswith("decode") and row["what"] != MILLIJOULES]
    drawn = [{"engine": "hopwell", **row} for row in decode]
    drawn += [{**row, "engine": "vllm", "percent_of_limit": row["percent_of_limit"] / row["ratio"]}
              for row in decode if row["ratio"] and row["percent_of_limit"]]  # fmt: skip
    show(rows, "against", out, plot, drawn, checkpoint=checkpoint.name, task=task, ours=ours, theirs=theirs,
          ceilings=None if limit is None else asdict(limit))  # fmt: skip


def _through_http(
    checkpoint: Path, loads: Loads, peer_site: Path | None, options: Sequence[str], gpus: int, out: Path | None,
    plot: Path | None,
) -> None:  # fmt: skip
    """Prints what callers see of both, and writes and draws it where asked."""
    from hopwell.bench.against_serve import beside, serve_sides
    from hopwell.cli.tables import print_rows, rounded

    rows = serve_sides(checkpoint, loads, peer_site, options, gpus=gpus)
    print_rows([rounded(row) for row in beside(rows)])
    if out is not None:
        write_result(
            out, "against-serve", rows, checkpoint=checkpoint.name, loads=asdict(loads), options=options, gpus=gpus
        )
    if plot is not None:
        from hopwell.bench.plots import plot_pareto

        first = loads.cases[0]
        drawn = [row for row in rows if (row["mean_isl"], row["mean_osl"]) == (first.input_tokens, first.output_tokens)]
        plot_pareto(drawn, plot, f"{checkpoint.name}: {first.input_tokens} tokens in, {first.output_tokens} out")


def lengths(text: str) -> Case:
    """Text such as 4096:128:64 as tokens of prompts and answers, and callers at once.

    Raises:
        HopwellError: it is no such thing.
    """
    from hopwell.bench.against_serve import Case

    try:
        tokens_in, tokens_out, callers = map(int, text.split(":"))
    except ValueError:
        tokens_in = tokens_out = callers = 0
    if tokens_in < 1 or tokens_out < 2 or callers < 1:
        raise HopwellError(
            f"--case {text}: give tokens of a prompt, of an answer (2 or more), and callers: 4096:128:64"
        )
    return Case(tokens_in, tokens_out, [callers])


def prompt_shape(text: str) -> tuple[int, int]:
    """Text such as 8x2048 as numbers.

    Raises:
        HopwellError: it is no such thing.
    """
    parts = text.split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise HopwellError(f"--prompts {text}: give prompts and tokens of each, as 8x2048")
    return int(parts[0]), int(parts[1])
