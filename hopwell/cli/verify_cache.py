"""`hopwell verify-cache`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hopwell.cli.result import Out, write_result
from hopwell.errors import HopwellError
from hopwell.interrupts import importing


def verify_cache(
    model: Annotated[str, typer.Argument(help="A checkpoint's folder or hub name, or `nano`.")],
    tokens: Annotated[int, typer.Option(min=64, help="Of each generation, unless it ends before.")] = 1024,
    prompts: Annotated[int, typer.Option(min=1, help="Generations.")] = 16,
    limit: Annotated[float, typer.Option(min=0, help="Mean KL that no quarter of the generation may exceed.")] = 0.01,
    data: Annotated[Path | None, typer.Option(help="A text file to calibrate on; default: as for quantize.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Measure, and leave the model's folder as it is.")] = False,
    out: Out = None,
) -> None:
    """Calibrate an FP8 latent cache, judge it by a long generation, and leave the decision beside the weights."""
    from hopwell.checkpoint.files import check_writable
    from hopwell.cli.progress import count_progress
    from hopwell.cli.quantize import folder_of
    from hopwell.cli.tables import print_rows, rounded
    from hopwell.cli.texts import sequences_of

    with importing():
        from hopwell.engine.loading import load_model
        from hopwell.quantization.cache_format import calibrate, generate_and_judge, write_verdict
        from hopwell.quantization.verify import open_checked

    folder = folder_of(model)
    open_checked(folder)
    if not dry_run:
        check_writable(folder)  # now, and not after minutes of generation
    sequences = sequences_of(folder, data, seed=0, fresh=False)
    if prompts >= len(sequences):  # scales of no text at all would refuse any cache
        raise HopwellError(
            f"--prompts is {prompts:,}, and {data or 'the text'} has {len(sequences):,} passages, one of which at least"
            f" is calibrated on; give {len(sequences) - 1:,} or fewer{', or a longer --data' * (data is not None)}"
        )
    whole = load_model(str(folder))
    loaded = whole.model
    scales = calibrate(loaded, sequences[prompts:])
    starts = [s[: max(1, len(s) // 2)] for s in sequences[:prompts]]
    with count_progress("Generating", aloud=True) as progress:
        verdict = generate_and_judge(loaded, scales, starts, tokens, limit, tuple(whole.eos_token_ids), progress)
    rows = [
        {"quarter": i + 1, "tokens": q.tokens, "kl": q.mean, "p99": q.p99, "top1": q.top1}
        for i, q in enumerate(verdict.quarters)
    ]
    print_rows([rounded(row) for row in rows])
    if out is not None:
        write_result(out, "verify-cache", rows, model=folder.name, kept=verdict.kept, limit=limit,
                     saturated=verdict.saturated, dtype=str(loaded.dtype).removeprefix("torch."))  # fmt: skip
    if not dry_run:
        typer.echo(f"wrote {write_verdict(folder, loaded, verdict)}")
    worst = max(q.mean for q in verdict.quarters)
    told = f"KL at most {worst:.3g} in a quarter, {verdict.saturated:.2%} of the values saturated"
    if not verdict.kept:
        typer.echo(f"refused: {told}; the limit is {limit:g}", err=True)
        raise typer.Exit(1)
    typer.echo(f"approved: {told}; serve with --cache-dtype fp8")
