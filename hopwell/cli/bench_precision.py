"""`hopwell bench precision`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def precision(
    only: Annotated[list[str] | None, typer.Option(help="minilm, expert, nano or starving; may be repeated.")] = None,
    format: Annotated[list[str] | None, typer.Option(help="Only this format; may be repeated.")] = None,
    extra_bytes: Annotated[bool, typer.Option(help="Also what 5 to 25 % more bytes would buy.")] = False,
    ablation: Annotated[bool, typer.Option(help="Each method alone as well.")] = False,
    every: Annotated[int, typer.Option(min=1, help="Of nano's experts, every so manieth.")] = 4,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    out: Annotated[Path | None, typer.Option(help="JSON file or folder for the result.")] = None,
) -> None:
    """Squared output error against plain rounding in the same format, on rows that nothing was fitted to."""
    import torch

    from hopwell.bench.precision import run, synthetic_expert
    from hopwell.bench.precision_data import minilm_cases
    from hopwell.bench.precision_nano import nano_cases, starving
    from hopwell.bench.result import write_result
    from hopwell.cli.tables import print_rows
    from hopwell.engine.loading import NANO
    from hopwell.errors import HopwellError

    torch.set_num_threads(threads)
    makers = {
        "minilm": minilm_cases,
        "expert": lambda: [synthetic_expert()],
        "nano": lambda: nano_cases(NANO, every=every),
    }
    wanted = only or [*makers, "starving"]
    if unknown := set(wanted) - {*makers, "starving"}:
        raise HopwellError(f"--only {min(unknown)} is unknown; known: {', '.join(makers)}, starving")
    formats = format or ["nvfp4", "mxfp4", "int4_g128", "fp8_block"]
    summaries, ablations, rows = run(
        {n: makers[n]() for n in wanted if n in makers}, formats, extra_bytes, ablation, typer.echo
    )
    starved = [starving(NANO)] if "starving" in wanted else []
    shown = ("set", "format", "rtn_norm", "squared_reduction", "norm_reduction", "worst", "norm_at_10%", "norm_at_18%")
    for table in ([{k: row[k] for k in shown} for row in summaries], ablations, starved):
        if table:
            print_rows([{k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()} for row in table])
    if out is not None:
        write_result(out, "precision", rows, summary=summaries, ablation=ablations, starving=starved)
    worst = min([row["worst"] for row in summaries] + [row["worst_reduction"] for row in starved])
    if worst < 0:
        typer.echo(f"a tensor ended {-worst:.2%} worse than plain rounding", err=True)
        raise typer.Exit(1)


def peers(
    python: Annotated[Path, typer.Option(help="Python of an environment with `llmcompressor` and `auto-round`.")],
    only: Annotated[list[str] | None, typer.Option(help="Only this peer; may be repeated.")] = None,
    format: Annotated[list[str] | None, typer.Option(help="nvfp4 or int4_g128; may be repeated.")] = None,
    calibration: Annotated[int, typer.Option(min=2048, help="Tokens to calibrate on.")] = 16_384,
    held_out: Annotated[int, typer.Option(min=64, help="Tokens to judge on.")] = 16_384,
    work: Annotated[Path | None, typer.Option(help="Keep conversions here, and use those that are.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    out: Annotated[Path | None, typer.Option(help="JSON file or folder for the result.")] = None,
) -> None:
    """Nano converted by other tools at the same bytes: KL to nano, measured as `hopwell verify` does."""
    import tempfile

    import torch

    from hopwell.bench.precision_peers import FORMATS_OF, PEERS, run
    from hopwell.bench.result import write_result
    from hopwell.cli.tables import print_rows
    from hopwell.engine.loading import NANO
    from hopwell.errors import HopwellError

    torch.set_num_threads(threads)
    for option, given, known in (("--only", only, PEERS), ("--format", format, FORMATS_OF)):
        if unknown := set(given or ()) - set(known):
            raise HopwellError(f"{option} {min(unknown)} is unknown; known: {', '.join(known)}")
    with tempfile.TemporaryDirectory() as place:
        rows = run(NANO, python, only or list(PEERS), format or list(FORMATS_OF), calibration, held_out, threads,
                   (work or Path(place)).absolute(), typer.echo)  # fmt: skip
    print_rows([{k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows])
    if out is not None:
        write_result(out, "precision-peers", rows, calibration_tokens=calibration, held_out_tokens=held_out)


def budgets(
    calibration: Annotated[int, typer.Option(min=2048, help="Tokens to calibrate on.")] = 16_384,
    judged: Annotated[int, typer.Option(min=64, help="Tokens to measure KL on while formats are chosen.")] = 32_768,
    held_out: Annotated[int, typer.Option(min=64, help="Tokens to judge on.")] = 16_384,
    problems: Annotated[int, typer.Option(min=0, help="Of each task, for the accuracy of the 4.5-bit model.")] = 0,
    work: Annotated[Path | None, typer.Option(help="Keep conversions here, and use those that are.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    out: Annotated[Path | None, typer.Option(help="JSON file or folder for the result.")] = None,
) -> None:
    """Nano at 4.5 bits and under two KL budgets, beside promoting whole layers by measured KL."""
    import tempfile

    import torch

    from hopwell.bench.precision_budget import run
    from hopwell.bench.result import write_result
    from hopwell.cli.tables import print_rows
    from hopwell.engine.loading import NANO

    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as place:
        tables = run(NANO, (work or Path(place)).absolute(), calibration, judged, held_out, problems, typer.echo)
    for rows in tables:
        if rows:
            print_rows([{k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows])
    if out is not None:
        meta = {"calibration_tokens": calibration, "judged_tokens": judged, "held_out_tokens": held_out}
        write_result(out, "precision-budgets", tables[0], layers=tables[1], tasks=tables[2], **meta)
    if not all(row["kept"] for row in tables[0]):
        typer.echo("a budget was not kept", err=True)
        raise typer.Exit(1)


def conversion(
    experts: Annotated[int, typer.Option(min=1, help="Of R1's width, in one layer.")] = 1,
    tokens: Annotated[int, typer.Option(min=2048, help="Of calibration.")] = 4096,
    format: Annotated[str, typer.Option(help="To convert to.")] = "nvfp4",
    work: Annotated[Path | None, typer.Option(help="A new folder for the slice; default: a temporary one.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    out: Annotated[Path | None, typer.Option(help="JSON file or folder for the result.")] = None,
) -> None:
    """Seconds, GB/s and memory of `quantize` on experts of R1's width, and the hours that R1 would take."""
    import tempfile

    import torch

    from hopwell.bench.precision_slice import run
    from hopwell.bench.result import write_result
    from hopwell.cli.tables import print_rows
    from hopwell.engine.loading import pick_device

    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as place:
        row = run((work or Path(place)).absolute(), experts, tokens, format, typer.echo, pick_device(device))
    print_rows([{"": k, "measured": f"{v:.4g}" if isinstance(v, float) else v} for k, v in row.items()])
    if out is not None:
        write_result(out, "precision-conversion", [row], threads=threads)
