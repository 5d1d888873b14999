"""How good nano is: held-out problems by task and wording, draft acceptance, and the routers' balance."""

from __future__ import annotations

import multiprocessing
import secrets
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict
from itertools import repeat
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import script
from benchmarks.options import Device
from hopwell.cli.quantize import folder_of
from hopwell.cli.result import Out, write_result
from hopwell.engine.llm import LLM
from hopwell.engine.request import SamplingParams
from hopwell.errors import HopwellError
from training.nano.scoring import NanoReport, Write, Written, measure, written_by
from training.nano.tasks import TASKS

REQUIRED_ACCEPTANCE = 0.70


def main(
    model: Annotated[str | None, typer.Argument(help="A checkpoint with nano's tokenizer; default: nano.")] = None,
    problems: Annotated[int, typer.Option(min=1, help="Held-out problems a task, in known wordings.")] = 100,
    unseen: Annotated[int, typer.Option(min=0, help="Problems a task in wordings that training never saw.")] = 42,
    outside: Annotated[int, typer.Option(min=0, help="Questions that nano must decline.")] = 300,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy; else top-p 0.95.")] = 0.0,
    seed: Annotated[int | None, typer.Option(help="Of the problems; default: a fresh one.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only this task; may be repeated.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="That answer side by side; more pay on many cores.")] = 1,
    against: Annotated[str | None, typer.Option(help="A second one, or `nano`, given the same problems.")] = None,
    device: Device = "auto",
    show_wrong: Annotated[int, typer.Option(min=0, help="Print this many problems that were not solved.")] = 0,
    out: Out = None,
) -> None:
    """Accuracy of nano on problems it has not seen, draft acceptance and expert balance."""
    chosen = list(task or TASKS)
    if unknown := [name for name in chosen if name not in TASKS]:
        raise HopwellError(f"task {unknown[0]!r} is unknown; known: {', '.join(TASKS)}")
    seed = secrets.randbelow(1 << 31) if seed is None else seed
    console = Console()
    reports: dict[str, NanoReport] = {}
    for name in [model, *([str(folder_of(against))] if against else [])]:
        with closing(LLM(name, device=device, drafts=1)) as llm, _writers(name, device, processes) as write:
            reports[name or "nano"] = measure(
                llm, problems, seed, chosen, unseen=unseen, outside=outside, temperature=temperature, write=write
            )
    for name, report in reports.items():
        _print(console, name, report, show_wrong)
    if out is not None:
        rows = [{"model": name, **asdict(row)} for name, report in reports.items() for row in report.rows]
        extra = {
            name: {"mtp_acceptance": r.mtp_acceptance, "generated_tokens": r.tokens, "imbalance": r.imbalance}
            for name, r in reports.items()
        }
        console.print(f"written to {write_result(out, 'nano', rows, seed=seed, temperature=temperature, models=extra)}")
    first = next(iter(reports.values()))
    if not all(row.met for row in first.rows) or (first.mtp_acceptance or 0.0) < REQUIRED_ACCEPTANCE:
        raise typer.Exit(1)


@contextmanager
def _writers(name: str | None, device: str, processes: int) -> Iterator[Write | None]:
    """What answers in so many processes, each with a model of its own; None: one process needs no others."""
    if processes == 1:
        yield None
        return
    start = (name, device)
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _load, start) as pool:

        def write(prompts: list[list[int]], params: SamplingParams) -> Written:
            parts = list(pool.map(_write, (prompts[i::processes] for i in range(processes)), repeat(params)))
            texts, tokens = [""] * len(prompts), list[list[int]]([[]] * len(prompts))
            for i, part in enumerate(parts):
                texts[i::processes], tokens[i::processes] = part.texts, part.tokens
            return Written(texts, tokens, sum(part.accepted for part in parts), sum(part.drafted for part in parts))

        yield write


_loaded: LLM
"""Of a process that answers."""


def _load(name: str | None, device: str) -> None:
    global _loaded
    _loaded = LLM(name, device=device, drafts=1)


def _write(prompts: list[list[int]], params: SamplingParams) -> Written:
    return written_by(_loaded, prompts, params)


def _print(console: Console, name: str, report: NanoReport, show_wrong: int) -> None:
    how = f"temperature {report.temperature}" if report.temperature else "greedy"
    table = Table(title=f"{name}: held-out problems, {how}, seed {report.seed}")
    for heading in ("task", "wording", "right", "accuracy", "95 % interval", "required"):
        table.add_column(heading, justify="left" if heading in ("task", "wording") else "right")
    for row in report.rows:
        mark = "" if row.met else " MISSED"
        interval = f"{row.low:.1%} to {row.high:.1%}"
        required = f"{row.required:.0%}{mark}"
        table.add_row(row.task, row.wording, f"{row.right} / {row.problems}", f"{row.accuracy:.1%}", interval, required)
    console.print(table)
    for wording in dict.fromkeys(row.wording for row in report.rows):
        rows = [row for row in report.rows if row.wording == wording]
        right, count = sum(row.right for row in rows), sum(row.problems for row in rows)
        console.print(f"{wording}: {right / count:.2%} of {count}")
    console.print(f"{report.tokens:,} tokens generated")
    if report.mtp_acceptance is not None:
        console.print(f"first drafts of the MTP layer accepted: {report.mtp_acceptance:.1%} (required: 70 %)")
    loads = ", ".join(f"{load:.2f}" for load in report.imbalance)
    console.print(f"busiest expert over mean, by MoE layer: {loads}")
    for wrong in report.wrong[:show_wrong]:
        question = wrong.problem.messages[-1]["content"]
        console.rule(f"{wrong.problem.task}, right: {wrong.problem.answer}")
        console.print(f"{question}\n{wrong.text}", markup=False)


if __name__ == "__main__":
    script(main)
