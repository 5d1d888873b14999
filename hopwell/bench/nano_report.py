"""`hopwell bench nano`: runs the measurement, prints the tables, writes the JSON."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hopwell.bench.nano import NanoReport, measure
from hopwell.bench.nano_tasks import TASKS
from hopwell.bench.result import write_result
from hopwell.engine.llm import LLM
from hopwell.errors import HopwellError

REQUIRED_ACCEPTANCE = 0.70


def run(
    model: str | None,
    problems: int,
    seed: int | None,
    tasks: Sequence[str] | None,
    against: Path | None,
    device: str,
    show_wrong: int,
    out: Path | None,
) -> bool:
    """Measures one model, or two on the same problems; returns whether every requirement was met.

    Raises:
        HopwellError: a task is unknown, or a model cannot be loaded.
    """
    chosen = list(tasks or TASKS)
    if unknown := [task for task in chosen if task not in TASKS]:
        raise HopwellError(f"task {unknown[0]!r} is unknown; known: {', '.join(TASKS)}")
    seed = secrets.randbelow(1 << 31) if seed is None else seed
    console = Console()
    reports: dict[str, NanoReport] = {}
    for name in [model, *([str(against)] if against else [])]:
        llm = LLM(name, device=device, drafts=1)
        reports[name or "nano"] = measure(llm, problems, seed, chosen)
        llm.close()
    for name, report in reports.items():
        _print(console, name, report, show_wrong)
    if out is not None:
        rows = [{"model": name, **asdict(row)} for name, report in reports.items() for row in report.rows]
        extra = {
            name: {"mtp_acceptance": r.mtp_acceptance, "generated_tokens": r.tokens, "imbalance": r.imbalance}
            for name, r in reports.items()
        }
        console.print(f"written to {write_result(out, 'nano', rows, seed=seed, models=extra)}")
    first = next(iter(reports.values()))
    return all(row.met for row in first.rows) and (first.mtp_acceptance or 0.0) >= REQUIRED_ACCEPTANCE


def _print(console: Console, name: str, report: NanoReport, show_wrong: int) -> None:
    table = Table(title=f"{name}: held-out problems, greedy, seed {report.seed}")
    for heading in ("task", "right", "accuracy", "95 % interval", "required"):
        table.add_column(heading, justify="left" if heading == "task" else "right")
    for row in report.rows:
        mark = "" if row.met else " MISSED"
        interval = f"{row.low:.1%} to {row.high:.1%}"
        required = f"{row.required:.0%}{mark}"
        table.add_row(row.task, f"{row.right} / {row.problems}", f"{row.accuracy:.1%}", interval, required)
    console.print(table)
    right, count = sum(row.right for row in report.rows), sum(row.problems for row in report.rows)
    console.print(f"all tasks: {right / count:.2%} of {count}; {report.tokens:,} tokens generated")
    if report.mtp_acceptance is not None:
        console.print(f"first drafts of the MTP layer accepted: {report.mtp_acceptance:.1%} (required: 70 %)")
    loads = ", ".join(f"{load:.2f}" for load in report.imbalance)
    console.print(f"busiest expert over mean, by MoE layer: {loads}")
    for wrong in report.wrong[:show_wrong]:
        question = wrong.problem.messages[-1]["content"]
        console.rule(f"{wrong.problem.task}, right: {wrong.problem.answer}")
        console.print(f"{question}\n{wrong.text}", markup=False)
