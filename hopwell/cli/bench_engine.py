"""`hopwell bench cache`, `scheduler` and `stress`: the engine's own measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

GROWTH_PERCENT = 1.0
"""Resident memory may grow by this in the last half of a stress run, tens of thousands of tokens."""
Out = Annotated[Path | None, typer.Option(help="JSON file or folder for the result.")]


def cache(
    trace: Annotated[Path, typer.Option(help="Requests in Mooncake's format: input_length and hash_ids a line.")],
    blocks: Annotated[list[int] | None, typer.Option(help="Size of the cache in blocks; may be repeated.")] = None,
    out: Out = None,
) -> None:
    """Token hit rate of a real trace, replayed through the prefix cache alone."""
    from hopwell.bench.cache import bench_cache
    from hopwell.bench.result import write_result
    from hopwell.cli.tables import print_rows

    rows = bench_cache(trace, blocks or [2000, 5000, 10000, 20000, 50000])
    print_rows(rows)
    if out is not None:
        write_result(out, "cache", rows, trace=trace.name)


def scheduler(
    running: Annotated[int, typer.Option(min=1, help="Requests that decode at once.")] = 256,
    steps: Annotated[int, typer.Option(min=100, help="Steps to time.")] = 1000,
    limit_us: Annotated[float, typer.Option(help="Exit 1 if the median is above.")] = 300.0,
    out: Out = None,
) -> None:
    """What scheduling and finishing a step cost, with a model that computes nothing."""
    from hopwell.bench.result import write_result
    from hopwell.bench.scheduler import bench_scheduler
    from hopwell.cli.tables import print_rows

    rows = [bench_scheduler(running, steps, drafts=drafts) for drafts in (0, 1, 3)]
    print_rows(rows)
    if out is not None:
        write_result(out, "scheduler", rows)
    if rows[0]["scheduler_us"] > limit_us:
        raise typer.Exit(1)


def stress(
    model: Annotated[str | None, typer.Argument(help="A checkpoint; default: nano.")] = None,
    requests: Annotated[int, typer.Option(min=1, help="In each mode.")] = 5000,
    seed: Annotated[int, typer.Option(help="Of the requests.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    out: Out = None,
) -> None:
    """Random bursts, a fifth of them cancelled, in every mode; each answer checked against the model alone. Exits 1 if
    one is wrong, or memory grew by over a percent in the last half."""
    from hopwell.bench.result import write_result
    from hopwell.bench.stress import bench_stress
    from hopwell.cli.tables import print_rows
    from hopwell.engine.loading import load_model

    rows = bench_stress(load_model(model, device=device), requests, seed, typer.echo)
    shown = ("drafts", "prefix_cache", "overlap", "finished", "aborted", "wrong", "preemptions", "rss_growth_percent")
    print_rows([{name: row[name] for name in shown} for row in rows])
    if out is not None:
        write_result(out, "stress", rows, seed=seed)
    if any(row["wrong"] or row["rss_growth_percent"] > GROWTH_PERCENT for row in rows):
        raise typer.Exit(1)


def turns(
    model: Annotated[str | None, typer.Argument(help="A checkpoint; default: nano.")] = None,
    history: Annotated[int, typer.Option(min=128, help="Tokens of the first turn's prompt.")] = 2048,
    conversations: Annotated[int, typer.Option(min=1, help="Of which the median counts.")] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    limit: Annotated[float, typer.Option(help="Exit 1 if the second turn takes more than this of the first.")] = 1 / 3,
    out: Out = None,
) -> None:
    """Time to the first token of a conversation's second turn beside the first: what the prefix cache gives."""
    from hopwell.bench.result import write_result
    from hopwell.bench.turns import bench_turns
    from hopwell.cli.tables import print_rows
    from hopwell.engine.llm import LLM

    rows = bench_turns(LLM(model, device=device, max_seqs=8), history, conversations)
    share = rows[1]["ttft_ms"] / rows[0]["ttft_ms"]
    print_rows(rows)
    typer.echo(f"the second turn takes {share:.3f} of the first, at most {limit:.3f} is wanted")
    if out is not None:
        write_result(out, "turns", rows, share=round(share, 4))
    if share > limit:
        raise typer.Exit(1)


def scaling(
    model: Annotated[str | None, typer.Argument(help="A checkpoint; default: nano.")] = None,
    batch: Annotated[list[int] | None, typer.Option(min=1, help="Answers at once; repeatable.")] = None,
    tokens: Annotated[int, typer.Option(min=2, help="Of each answer.")] = 128,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    wanted: Annotated[float, typer.Option(help="Speed-up of the last batch size over the first.")] = 4.0,
    out: Out = None,
) -> None:
    """Throughput at several batch sizes, beside the bare forward pass, which is its limit. Exits 1 if the speed-up is
    neither what is wanted nor nine tenths of the forward pass's own."""
    from hopwell.bench.result import write_result
    from hopwell.bench.turns import bench_scaling
    from hopwell.cli.tables import print_rows
    from hopwell.engine.llm import LLM

    sizes = tuple(batch or (1, 2, 4, 8, 16))
    rows = bench_scaling(LLM(model, device=device, max_seqs=max(sizes), drafts=0), sizes, tokens)
    print_rows(rows)
    if out is not None:
        write_result(out, "scaling", rows, tokens=tokens)
    if rows[-1]["engine_speedup"] < min(wanted, 0.9 * rows[-1]["forward_speedup"]):
        raise typer.Exit(1)


def speed(
    model: Annotated[str | None, typer.Argument(help="A checkpoint; default: nano.")] = None,
    batch: Annotated[list[int] | None, typer.Option(help="Prompts answered at once; may be repeated.")] = None,
    tokens: Annotated[int, typer.Option(min=1, help="Of each answer.")] = 128,
    drafts: Annotated[list[int] | None, typer.Option(help="Of the MTP layer; may be repeated.")] = None,
    peer: Annotated[bool, typer.Option("--peer", help="Also run transformers' generate on the same weights.")] = False,
    out: Out = None,
) -> None:
    """Tokens per second of greedy decoding, at several batch sizes."""
    from hopwell.bench.result import write_result
    from hopwell.bench.speed import bench_speed
    from hopwell.cli.tables import print_rows

    rows = bench_speed(model, batch or [1, 8, 16], tokens, drafts or [0, 1], peer)
    print_rows(rows)
    if out is not None:
        write_result(out, "speed", rows, tokens=tokens)
