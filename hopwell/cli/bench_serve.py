"""`hopwell bench serve`: a sweep of load against a running server, ours or a peer's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from hopwell.cli.outputs import check_file
from hopwell.cli.result import Out, write_result
from hopwell.cli.servers import Key, with_scheme
from hopwell.errors import HopwellError

HERE = ("127.0.0.1", "localhost", "::1")
SHOWN = (
    "concurrency", "rate", "output_tokens_per_s", "ttft_p50_ms", "tpot_p50_ms", "e2e_p99_ms", "goodput_interactive",
    "goodput_server", "failed",
)  # fmt: skip


def serve(
    url: Annotated[
        str, typer.Argument(help="Base URL of any OpenAI-compatible server.", callback=with_scheme)
    ] = "http://127.0.0.1:8000",
    concurrency: Annotated[list[int] | None, typer.Option(min=1, help="Callers at once; repeatable.")] = None,
    rate: Annotated[list[float] | None, typer.Option(min=0.001, help="Poisson arrivals a second; repeatable.")] = None,
    requests: Annotated[int, typer.Option(min=1, help="Of each level; at least twice the callers.")] = 64,
    input_words: Annotated[int, typer.Option(min=1, help="Mean words of a prompt.")] = 128,
    output_tokens: Annotated[int, typer.Option(min=1, help="Mean tokens of an answer.")] = 64,
    spread: Annotated[float, typer.Option(min=0, max=1, help="Lengths vary by this share, up and down.")] = 0.2,
    chat: Annotated[bool, typer.Option("--chat", help="Use chat completions.")] = False,
    ignore_eos: Annotated[bool, typer.Option(help="Ask for answers of full length.")] = True,
    model: Annotated[str | None, typer.Option(help="Default: the first the server lists.")] = None,
    key: Key = None,
    gpus: Annotated[int, typer.Option(min=1, help="Behind the server.")] = 1,
    clients: Annotated[int, typer.Option(min=1, help="Processes that ask.")] = 1,
    energy: Annotated[
        bool, typer.Option("--energy", help="Joules of this machine's first --gpus GPUs, by NVML's counters.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of prompts and arrivals; 0: a fresh one.")] = 0,
    plot: Annotated[
        Path | None, typer.Option(help="PNG of a GPU's throughput over what a user sees.", callback=check_file)
    ] = None,
    out: Out = None,
) -> None:
    """TTFT, TPOT, ITL, E2E and goodput of a server over a sweep of load. Exits 1 if a request failed."""

    from hopwell.bench.plots import plot_pareto
    from hopwell.bench.serve import Load, bench_serve
    from hopwell.cli.progress import count_progress
    from hopwell.cli.tables import print_rows

    load = Load(
        input_words=input_words, output_tokens=output_tokens, spread=spread, chat=chat, ignore_eos=ignore_eos, seed=seed
    )
    levels = concurrency or ([] if rate else [1, 2, 4, 8, 16])
    joules = local_counter(url, gpus) if energy else None
    with count_progress("Asking", aloud=True) as progress:
        rows = bench_serve(
            url,
            load,
            concurrency=levels,
            rates=rate or [],
            requests=requests,
            model=model,
            key=key,
            gpus=gpus,
            clients=clients,
            joules=joules,
            say=typer.echo,
            progress=progress,
        )
    shown = (*SHOWN, "joules_per_output_token") if energy else SHOWN
    print_rows([{name: row[name] for name in shown} for row in rows])
    if plot is not None:
        plot_pareto(rows, plot, f"{url}: {rows[0]['mean_isl']:.0f} tokens in, {rows[0]['mean_osl']:.0f} out")
    if out is not None:
        write_result(out, "serve", rows, url=url, load=asdict(load))
    failed = [row for row in rows if row["failed"]]
    for row in failed:
        typer.echo(f"{row['failed']} of {row['requests']} requests failed, first: {row['first_error']}", err=True)
    if failed:
        raise typer.Exit(1)


def local_counter(url: str, gpus: int) -> Callable[[], float]:
    """Joules of this machine's first GPUs so far.

    Raises:
        HopwellError: the server runs elsewhere, or NVML counts no joules here.
    """
    from hopwell.limits.power import gpu_counter, own_gpus

    if (host := urlsplit(url).hostname) not in HERE:
        raise HopwellError(f"--energy reads this machine's GPUs, and {host} may be another; run it there")
    if (counter := gpu_counter(*own_gpus(gpus))) is None:
        raise HopwellError(f"--energy: NVML counts no joules of {gpus} GPUs here; leave it out")
    return counter
