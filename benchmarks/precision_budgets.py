"""Nano under budgets: 4.5 bits a weight, KL 0.01 and KL 0.001, beside whole layers promoted by measured KL."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks import script
from benchmarks.options import Threads, Work
from benchmarks.precision_nano import task_rows
from hopwell.checkpoint.fingerprint import REPORT
from hopwell.checkpoint.reader import Checkpoint
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.model import NANO
from hopwell.model.loading import load_transformer
from hopwell.quantization.convert import Conversion
from hopwell.quantization.divergence import Yardstick
from hopwell.quantization.plan import Goal, Settings, with_columns
from hopwell.quantization.search import SOURCE, GroupRow
from hopwell.quantization.verify import verify
from training.nano.text import worked_problems

OFFERED = ("nvfp4", "mxfp4", "int4_g128")
COLUMNS = with_columns(OFFERED)
BUDGETS = (0.01, 0.001)
BITS = 4.5
LAYER_SHARE = 4
"""One judged problem in so many measures promotions of whole layers, of which there are dozens."""


def run(
    folder: Path,
    work: Path,
    calibration: int,
    judged: int,
    held_out: int,
    problems: int,
    say: Callable[[str], None],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Converts nano under each goal, and measures all on problems that neither training nor calibration saw.

    Args:
        work: for the conversions; those already in it are not made again.
        judged: tokens to measure KL on while formats are chosen, of the same tasks as those held out.
        problems: of each task, for the accuracy of the 4.5-bit model beside nano's; 0 leaves it out.

    Returns:
        A row a conversion, a row a promotion of whole layers that meets a budget, and a row a task.
    """
    fit = worked_problems(folder, calibration)
    judge = worked_problems(folder, judged, seed=2, mix=False)
    unseen = worked_problems(folder, held_out, held_out=True, seed=1)
    goals = {
        "nvfp4, plain rounding": Settings(Goal(format="nvfp4"), compensate=False),
        "nvfp4": Settings(Goal(format="nvfp4")),
        f"{BITS:g} bits": Settings(Goal(bits=BITS), "compressed-tensors", OFFERED),
        **{f"KL {kl:g}": Settings(Goal(kl=kl), "compressed-tensors", OFFERED) for kl in BUDGETS},
        **{f"KL {kl:g}, residual columns": Settings(Goal(kl=kl), "hopwell", COLUMNS) for kl in BUDGETS},
    }
    # the same candidates serve every goal
    rows, shared = [], {OFFERED: work / "candidates", COLUMNS: work / "candidates-columns"}
    for name, settings in goals.items():
        out = work / name.replace(" ", "-").replace(",", "")
        if not (out / REPORT).exists():
            conversion = Conversion(folder, out, settings, fit, say, judge=judge)
            if (candidates := shared.get(settings.formats)) is not None:
                if candidates.exists():
                    shutil.copytree(candidates, conversion.work, dirs_exist_ok=True)
                else:
                    conversion.prepare()
                    shutil.copytree(conversion.work, candidates)
            conversion.run()
        report = json.loads((out / REPORT).read_text(encoding="utf-8"))
        verdict = verify(out, folder, unseen)
        rows.append(
            {
                "goal": name,
                "bits_per_weight": report["bits_per_weight"],
                "linear_bytes": report["linear_bytes"],
                "kl": verdict.divergence.mean,
                "kl_p99": verdict.divergence.p99,
                "top1": verdict.divergence.top1,
                "kl_on_calibration": report["kl_on_calibration"],
                "sum_and_bound": [report["predicted_loss"], report["bound"]],
                "budget": verdict.budget,
                "kept": verdict.kept,
            }
        )
        say(f"{name}: {report['bits_per_weight']:.3f} bits, KL {verdict.divergence.mean:.3g}")
    reference = Yardstick(load_transformer(Checkpoint.open(folder), "cpu", torch.float32), unseen[::LAYER_SHARE])
    promoted = []
    for compensate in (False, True):
        settings = Settings(Goal(bits=BITS), "compressed-tensors", OFFERED, compensate=compensate)
        out = work / f"layers-{compensate}"
        conversion = Conversion(folder, out, settings, fit, say, judge=judge)
        if compensate:
            shutil.copytree(shared[OFFERED], conversion.work, dirs_exist_ok=True)
            members = conversion.prepare()
        else:
            members = conversion.candidates.make()
        for fmt in OFFERED:
            promoted += promotions(conversion, members, fmt, reference, compensate, say)
    tasks = task_rows(folder, work / f"{BITS:g}-bits", problems, seed=1) if problems else []
    return rows, promoted, tasks


def promotions(
    conversion: Conversion,
    members: Sequence[GroupRow],
    fmt: str,
    reference: Yardstick,
    compensate: bool,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Whole layers kept in FP8 until each budget is met, those first whose own KL is largest for the bytes they take.

    The budget is held on the very text that judges, which favours this baseline: no margin is needed.
    """
    layers = sorted({row.layer for row in members})

    def measure(kept: Sequence[int]) -> tuple[int, float]:
        labels = {row.name: SOURCE if row.layer in kept or fmt not in row.formats else fmt for row in members}
        kl = reference.measure(conversion.losses.model(labels, members)).mean
        return sum(_bytes(row, labels) for row in members), kl

    def worth(layer: int) -> float:
        nbytes, kl = measure([each for each in layers if each != layer])
        return kl / (sum(row.source_bytes for row in members) - nbytes)

    order = sorted(layers, key=worth, reverse=True)
    found, weights = [], sum(row.weights for row in members)
    steps = [measure(order[:count]) for count in range(len(order) + 1)]
    for budget in BUDGETS:
        kept = next(i for i, (_, kl) in enumerate(steps) if kl <= budget)
        nbytes, kl = steps[kept]
        found.append(
            {
                "format": fmt,
                "compensated": compensate,
                "budget": budget,
                "layers_kept": sorted(order[:kept]),
                "linear_bytes": nbytes,
                "bits_per_weight": 8 * nbytes / weights,
                "kl": kl,
            }
        )
        say(f"layers of {fmt}{'' if compensate else ', plain rounding'}: {nbytes:,} bytes for KL {budget:g}")
    return found


def _bytes(row: GroupRow, labels: Mapping[str, str]) -> int:
    label = labels[row.name]
    return row.source_bytes if label == SOURCE else row.formats[label]["bytes"]


def main(
    calibration: Annotated[int, typer.Option(min=2048, help="Tokens to calibrate on.")] = 16_384,
    judged: Annotated[int, typer.Option(min=64, help="Tokens to measure KL on while formats are chosen.")] = 32_768,
    held_out: Annotated[int, typer.Option(min=64, help="Tokens to judge on.")] = 16_384,
    problems: Annotated[int, typer.Option(min=0, help="Of each task, for the accuracy of the 4.5-bit model.")] = 0,
    work: Work = None,
    threads: Threads = 2,
    out: Out = None,
) -> None:
    """Nano at 4.5 bits and under two KL budgets, beside promoting whole layers by measured KL."""
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


if __name__ == "__main__":
    script(main)
