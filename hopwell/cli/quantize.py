"""`hopwell quantize` and `hopwell verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hopwell.cli.outputs import check_folder
from hopwell.cli.result import Out, write_result
from hopwell.interrupts import importing

if TYPE_CHECKING:
    from hopwell.quantization.plan import Goal

Text = Annotated[
    Path | None, typer.Option(help="A text file; default: what the model itself writes; for nano, problems.")
]


def quantize(
    model: Annotated[str, typer.Argument(help="A checkpoint's folder or hub name, or `nano`.")],
    out: Annotated[
        Path,
        typer.Argument(help="A new folder; a conversion that was stopped goes on in its own.", callback=check_folder),
    ],
    budget: Annotated[
        str | None, typer.Option(help="Error allowed: kl=0.01 (nats a token), error=0.003 (squared, of the linears).")
    ] = None,
    size: Annotated[
        str | None, typer.Option("--bytes", help="As 4.5bpw (of the linears) or 380GB (of all tensors).")
    ] = None,
    fit: Annotated[str | None, typer.Option(help="GPUs to fit with 60 GB of cache, as 8xH100.")] = None,
    format: Annotated[str | None, typer.Option(help="One format for every linear, as nvfp4.")] = None,
    offer: Annotated[
        list[str] | None, typer.Option(help="A format to choose from; may be repeated. Default: nvfp4.")
    ] = None,
    residual_columns: Annotated[
        bool, typer.Option(help="Offer every format also with 5, 10 and 20 % more bytes; needs --layout hopwell.")
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
        Path | None, typer.Option(help="A text file to measure KL on; default: every fourth part of the calibration.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where a layer is converted: auto, cpu, cuda, ...")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Convert a checkpoint to smaller formats under a budget of error or bytes, with a report and fingerprints."""
    import torch

    from hopwell.cli.progress import weight_progress
    from hopwell.cli.texts import sequences_of

    with importing():
        from hopwell.engine.device import pick_device
        from hopwell.quantization.convert import Conversion
        from hopwell.quantization.hessian import PrecisionError
        from hopwell.quantization.plan import Settings, open_source, with_columns

    if not (budget or size or fit):
        for name, value in (("--offer", offer), ("--residual-columns", residual_columns)):
            if value:
                raise PrecisionError(
                    f"{name} is for a choice, and {f'--format {format}' if format else 'no goal'} leaves none; give"
                    f" --budget, --bytes or --fit{' in its place' if format else ''}, or leave {name} out"
                )
    torch.set_num_threads(threads)
    formats = tuple(offer or ["nvfp4"])
    settings = Settings(
        _goal(budget, size, fit, format), layout, with_columns(formats) if residual_columns else formats,
        uniform_experts, not plain,
        tuple(keep or ()),
    )  # fmt: skip
    settings.check()
    source = folder_of(model)
    open_source(source)
    sequences = sequences_of(source, calibration, seed=0, fresh=False)
    judged = None if judge is None else sequences_of(source, judge, seed=0, fresh=False)
    with weight_progress() as (say, progress):
        Conversion(
            source, out, settings, sequences, say, progress=progress, device=pick_device(device), judge=judged
        ).run()


def verify(
    model: Annotated[str, typer.Argument(help="The converted checkpoint: a folder or a hub name.")],
    against: Annotated[str, typer.Option(help="The reference: a checkpoint's folder or hub name, or `nano`.")],
    budget: Annotated[float | None, typer.Option(min=0, help="Mean KL to keep; default: the conversion's.")] = None,
    data: Text = None,
    tasks: Annotated[int, typer.Option(min=0, hidden=True)] = 0,
    seed: Annotated[int, typer.Option(help="Of sampled text.")] = 1,
    out: Out = None,
) -> None:
    """Check every fingerprint, and measure KL and top-1 agreement against the reference."""
    from hopwell.cli.moved import check_checkout, run_script
    from hopwell.cli.progress import count_progress
    from hopwell.cli.tables import print_rows, rounded
    from hopwell.cli.texts import sequences_of
    from hopwell.quantization.verify import open_checked
    from hopwell.quantization.verify import verify as measure

    if tasks:
        check_checkout("nano")
    converted, reference = folder_of(model), folder_of(against)
    for folder in (converted, reference):
        open_checked(folder)
    sequences = sequences_of(reference, data, seed, fresh=True)
    with count_progress("Comparing tokens", aloud=True) as progress:
        verdict = measure(converted, reference, sequences, budget, progress)
    print_rows([rounded(verdict.as_row())])
    if tasks:
        run_script("nano", [converted, "--against", reference, "--problems", tasks, "--unseen", 0, "--outside", 0,
                            "--seed", seed])  # fmt: skip
    if out is not None:
        write_result(out, "verify", [verdict.as_row()], model=converted.name)
    mean, budget = verdict.divergence.mean, verdict.budget
    told = f"KL {mean:.3g} nats a token over {verdict.divergence.tokens:,} fresh tokens"
    if budget is None:
        typer.echo(f"{told}; no KL was promised")
    elif verdict.kept:
        typer.echo(f"the budget of KL {budget:g} is kept: {told}")
    else:
        typer.echo(f"the budget of KL {budget:g} is not kept: {told}", err=True)
        raise typer.Exit(1)


def _goal(budget: str | None, size: str | None, fit: str | None, format: str | None) -> Goal:
    from hopwell.quantization.hessian import PrecisionError
    from hopwell.quantization.plan import Goal, parse_budget, parse_bytes, parse_fit

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
    """The folder of a checkpoint, a hub name or `nano`, the shipped one."""
    from hopwell.engine.frontend import resolve

    return resolve(model)
