"""`--drafts auto` beside each fixed number of drafts, on a load whose callers come and go.

    hopwell synth r1-tp8 X --layers 16 --mtp --at-load
    python -m benchmarks.draft_load X --acceptance 1.6 --out drafts.json

One loaded model, an engine for each setting one after the other, the same closed loop of callers on each, level after
level and all levels again; the best fixed number once more at the end, to see whether the machine is as it was. A level
counts by its rate beside that without drafts, so that each weighs the same however many callers it has; what it costs
to find out is in the rates of `auto`.
"""

from __future__ import annotations

from contextlib import closing
from statistics import fmean
from typing import Annotated, Any

import typer

from benchmarks import script
from benchmarks.generate_load import Load
from benchmarks.options import Device
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.engine.llm import LLM
from hopwell.engine.loaded import LoadedModel
from hopwell.engine.loading import load_model
from hopwell.errors import HopwellError

MOST = 3
CALLERS = (1, 32, 8, 128)
PROMPT = 64


def measured(
    loaded: LoadedModel, drafts: int, auto: bool, acceptance: float, callers: list[int], seconds: float, answer: int
) -> dict[str, Any]:
    """Tokens a second of each level, mean over both visits, with a fixed number of drafts or as many as pay."""
    forced = min(acceptance, drafts + 1) if drafts else None
    settings = {"drafts": drafts, "adaptive_drafts": auto, "forced_acceptance": forced, "prefix_cache": False}
    cache = (max(callers) + 4) * (PROMPT + answer + 64)
    with closing(LLM(loaded, max_seqs=max(callers), max_batch_tokens=2048, cache_tokens=cache, **settings)) as llm:
        load, choice = Load(llm.engine, loaded.model.config.vocab_size, PROMPT, answer), llm.engine.draft_choice
        load.run(min(callers), 1.0)
        visits = [(count, load.run(count, seconds), choice and choice.choose(count)) for count in (*callers, *callers)]
    rates = {count: [run["tokens_per_s"] for each, run, _ in visits if each == count] for count in callers}
    return {
        "drafts": "auto" if auto else drafts,
        "tokens_a_step": forced or 1.0,
        **{f"callers_{count}": round(fmean(rates[count]), 1) for count in callers},
        "visits": [
            {
                "callers": count,
                "tokens_per_s": round(run["tokens_per_s"], 1),
                "steps": run["steps"],
                "last_choice": last,
            }
            for count, run, last in visits
        ],
    }


def main(
    model: Annotated[str, typer.Argument(help="A checkpoint's folder, with an MTP layer.")],
    acceptance: Annotated[float, typer.Option(min=1, max=MOST + 1, help="Tokens a step, forced.")] = 1.6,
    callers: Annotated[list[int] | None, typer.Option(help="At once; repeatable. Default: 1, 32, 8, 128.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of a level; each is visited twice.")] = 3.0,
    answer: Annotated[int, typer.Option(min=2, help="Tokens.")] = 256,
    device: Device = "auto",
    out: Out = None,
) -> None:
    """Exit 1 if auto is more than 2 % behind the best fixed number as it is then, or less than 1.15 of the worst."""
    levels = callers or list(CALLERS)
    loaded = load_model(model, device, settings={"drafts": MOST})
    if not loaded.model.has_mtp:
        raise HopwellError(f"{model} has no MTP layer; `hopwell synth ... --mtp` writes one")
    rows: list[dict[str, Any]] = []

    def measure(drafts: int, auto: bool = False) -> float:
        row = measured(loaded, drafts, auto, acceptance, levels, seconds, answer)
        none = rows[0] if rows else row
        row["beside_none"] = round(fmean(row[f"callers_{n}"] / none[f"callers_{n}"] for n in levels), 4)
        rows.append(row)
        print_rows([{key: value for key, value in row.items() if key != "visits"}])
        typer.echo(", ".join(f"{v['callers']}: {v['tokens_per_s']:,} ({v['last_choice']})" for v in row["visits"]))
        return row["beside_none"]

    fixed = [measure(drafts) for drafts in range(MOST + 1)]
    auto = measure(MOST, auto=True)
    again = measure(fixed.index(max(fixed)))  # whether the machine is as it was
    loaded.close()
    best, worst = auto / again, auto / min(fixed)
    typer.echo(f"the best fixed number: {max(fixed):.3f}, after all {again:.3f}; auto: {best:.3f} of that")
    if out is not None:
        write_result(out, "draft-load", rows, model=model, acceptance=acceptance, of_best=best, of_worst=worst)
    if best < 0.98 or worst < 1.15:
        raise typer.Exit(1)


if __name__ == "__main__":
    script(main)
