"""`hopwell quantize` and `hopwell verify`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hopwell.precision.plan import Goal

Text = Annotated[
    Path | None, typer.Option(help="A text file; default: what the model itself writes; for nano, problems.")
]
SAMPLED_TOKENS = 32_768


def quantize(
    model: Annotated[str, typer.Argument(help="A checkpoint's folder, or `nano`.")],
    out: Annotated[Path, typer.Argument(help="A new folder; a conversion that was stopped goes on in its own.")],
    budget: Annotated[
        str | None,
        typer.Option(help="Error allowed: kl=0.01 (nats a token), error=0.003 (squared, of the linears)."),
    ] = None,
    size: Annotated[
        str | None, typer.Option("--bytes", help="As 4.5bpw (of the linears) or 380GB (of the files).")
    ] = None,
    fit: Annotated[str | None, typer.Option(help="GPUs to fit with 60 GB of cache, as 8xH100.")] = None,
    format: Annotated[str | None, typer.Option(help="One format for every linear, as nvfp4.")] = None,
    offer: Annotated[
        list[str] | None, typer.Option(help="A format to choose from; may be repeated. Default: nvfp4.")
    ] = None,
    residual_columns: Annotated[
        bool,
        typer.Option(help="Offer every format also with 5, 10 and 20 % more bytes; needs --layout hopwell."),
    ] = False,
    layout: Annotated[
        str, typer.Option(help="modelopt, compressed-tensors, or hopwell, which Hopwell alone loads.")
    ] = "modelopt",
    uniform_experts: Annotated[bool, typer.Option(help="One format for a layer's experts, as vLLM needs.")] = False,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="A part that stays: attention, dense, shared_experts, routed_experts; may be repeated."),
    ] = None,
    plain: Annotated[bool, typer.Option(help="Round plainly, without compensation.")] = False,
    calibration: Text = None,
    judge: Annotated[
        Path | None,
        typer.Option(help="A text file to measure KL on; default: every fourth part of the calibration."),
    ] = None,
    device: Annotated[str, typer.Option(help="Where a layer is converted: auto, cpu, cuda, ...")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Convert a checkpoint to smaller formats under a budget of error or bytes, with a report and fingerprints."""
    import torch

    from hopwell.engine.loading import pick_device
    from hopwell.precision.convert import Conversion
    from hopwell.precision.plan import Settings, with_columns

    torch.set_num_threads(threads)
    source = folder_of(model)
    formats = tuple(offer or ["nvfp4"])
    settings = Settings(
        _goal(budget, size, fit, format), layout, with_columns(formats) if residual_columns else formats,
        uniform_experts, not plain,
        tuple(keep or ()),
    )  # fmt: skip
    settings.check()
    sequences = sequences_of(source, calibration, seed=0, fresh=False)
    judged = None if judge is None else sequences_of(source, judge, seed=0, fresh=False)
    with _bar() as (say, progress):
        Conversion(
            source, out, settings, sequences, say, progress=progress, device=pick_device(device), judge=judged
        ).run()


def verify(
    model: Annotated[Path, typer.Argument(help="The converted checkpoint.")],
    against: Annotated[str, typer.Option(help="The reference: a checkpoint's folder, or `nano`.")],
    budget: Annotated[float | None, typer.Option(min=0, help="Mean KL to keep; default: the conversion's.")] = None,
    data: Text = None,
    tasks: Annotated[int, typer.Option(min=0, help="Problems of each of nano's tasks, for nano alone.")] = 0,
    seed: Annotated[int, typer.Option(help="Of sampled text and problems.")] = 1,
    out: Annotated[Path | None, typer.Option(help="JSON file or folder for the result.")] = None,
) -> None:
    """Check every fingerprint, and measure KL, top-1 agreement and task accuracy against the reference."""
    from hopwell.bench.result import write_result
    from hopwell.cli.tables import print_rows
    from hopwell.precision.verify import verify as measure

    reference = folder_of(against)
    verdict = measure(model, reference, sequences_of(reference, data, seed, fresh=True), budget)
    print_rows([{k: f"{v:.4g}" if isinstance(v, float) else v for k, v in verdict.as_row().items()}])
    rows = [verdict.as_row()]
    if tasks:
        from hopwell.bench.precision_nano import task_rows

        accuracy = task_rows(reference, model, tasks, seed)
        print_rows(accuracy)
        rows += accuracy
    if out is not None:
        write_result(out, "verify", rows, model=model.name)
    mean, budget = verdict.divergence.mean, verdict.budget
    told = f"KL {mean:.3g} nats a token over {verdict.divergence.tokens:,} fresh tokens"
    if budget is None:
        typer.echo(f"{told}; no KL was promised")
    elif verdict.kept:
        typer.echo(f"the budget of KL {budget:g} is kept: {told}")
    else:
        typer.echo(f"the budget of KL {budget:g} is not kept: {told}", err=True)
        raise typer.Exit(1)


@contextmanager
def _bar() -> Iterator[tuple[Callable[[str], None], Callable[[int, int, str], None]]]:
    """Lines on stdout, and on a terminal a bar over the weights with the time left."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("Compensating"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), TextColumn("left"),
        TextColumn("[dim]{task.fields[name]}"),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None, name="")

        def progress(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, name=name, visible=done < total)

        yield bar.console.print if console.is_terminal else typer.echo, progress


def _goal(budget: str | None, size: str | None, fit: str | None, format: str | None) -> Goal:
    from hopwell.precision.hessian import PrecisionError
    from hopwell.precision.plan import Goal, parse_budget, parse_bytes, parse_fit

    given = [
        name for name, value in (("--budget", budget), ("--bytes", size), ("--fit", fit), ("--format", format)) if value
    ]
    if len(given) > 1:
        raise PrecisionError(f"{given[0]} and {given[1]} exclude each other; give one")
    if budget:
        return parse_budget(budget)
    if size:
        return parse_bytes(size)
    return parse_fit(fit) if fit else Goal(format=format or "nvfp4")


def folder_of(model: str) -> Path:
    """A checkpoint's folder; `nano` is the shipped one."""
    from hopwell.engine.loading import NANO

    return NANO if model == "nano" else Path(model)


def sequences_of(source: Path, text: Path | None, seed: int, fresh: bool) -> list[list[int]]:
    """Tokens of a text file, or of the model's own kind of text."""
    from hopwell.precision.hessian import PrecisionError
    from hopwell.precision.plan import cut_sequences

    if text is None:
        from hopwell.bench.precision_nano import model_text

        return model_text(source, SAMPLED_TOKENS, seed, fresh)
    from hopwell.engine.tokenizer import Tokenizer

    try:
        content = text.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PrecisionError(f"{text}: cannot read: {error}") from None
    return cut_sequences(Tokenizer.open(source).encode(content))
