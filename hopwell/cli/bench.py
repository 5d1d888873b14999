"""`hopwell bench`: measurements, each beside what it is held to. Results go to a JSON file with `--out`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hopwell.cli.bench_activations import activations
from hopwell.cli.bench_engine import cache, scaling, scheduler, speed, stress, turns
from hopwell.cli.bench_gpu import against, ceilings, engine, gpu, latent, layer, ops, prefill
from hopwell.cli.bench_precision import budgets, conversion, peers, precision
from hopwell.cli.bench_routing import routing
from hopwell.cli.bench_serve import serve

bench = typer.Typer(name="bench", help="Measure this machine, and the model on it.", no_args_is_help=True)
for command in (
    *(serve, cache, turns, scaling, scheduler, speed, stress),
    *(ceilings, ops, layer, engine, prefill, against, latent, gpu),
    *(precision, activations, peers, budgets, conversion),
    routing,
):
    bench.command()(command)


@bench.command()
def nano(
    model: Annotated[str | None, typer.Argument(help="A checkpoint with nano's tokenizer; default: nano.")] = None,
    problems: Annotated[int, typer.Option(min=1, help="Held-out problems a task.")] = 200,
    seed: Annotated[int | None, typer.Option(help="Of the problems; default: a fresh one.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only this task; may be repeated.")] = None,
    against: Annotated[Path | None, typer.Option(help="A second checkpoint, given the same problems.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    show_wrong: Annotated[int, typer.Option(min=0, help="Print this many problems that were not solved.")] = 0,
    out: Annotated[Path | None, typer.Option(help="JSON file or folder for the result.")] = None,
) -> None:
    """Accuracy of nano on problems it has not seen, draft acceptance and expert balance."""
    from hopwell.bench.nano_report import run

    if not run(model, problems, seed, task, against, device, show_wrong, out):
        raise typer.Exit(1)


@bench.command()
def start(
    model: Annotated[str | None, typer.Argument(help="A checkpoint; default: nano.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Processes, one after another.")] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    out: Annotated[Path | None, typer.Option(help="JSON file or folder for the result.")] = None,
) -> None:
    """Seconds from the start of the process to the first token; exit 1 if nano is slower than promised."""
    from hopwell.bench.start import MAX_AFTER_TORCH, MAX_LOAD, bench_start
    from hopwell.cli.tables import print_rows

    rows = bench_start(model, device, runs)
    print_rows(rows)
    if out is not None:
        from hopwell.bench.result import write_result

        write_result(out, "start", rows, max_after_torch_s=MAX_AFTER_TORCH, max_load_s=MAX_LOAD)
    if model is None and (rows[-1]["after_torch_s"] > MAX_AFTER_TORCH or rows[-1]["load_s"] > MAX_LOAD):
        raise typer.Exit(1)


@bench.command()
def plot(
    result: Annotated[Path, typer.Argument(help="A result's JSON file, of bench engine, layer, ops or against.")],
    png: Annotated[Path, typer.Argument(help="Picture to write.")],
    title: Annotated[str, typer.Option(help="Above the picture.")] = "Decode: percent of the limit",
) -> None:
    """Draw the percent of the limit by batch from a result that is on disk."""
    import json

    from hopwell.bench.plots import plot_limit
    from hopwell.errors import HopwellError

    try:
        rows = json.loads(result.read_text(encoding="utf-8"))["rows"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HopwellError(f"{result}: not a bench's result: {error}; give the file that --out wrote") from None
    print(plot_limit(rows, png, title))
