"""Everything that a GPU has to show, in parts with a time limit each: correctness, speed, start, memory accesses.

Each part runs in a process of its own, `gpu_parts.py`, so that one that fails or takes too long costs no other its
turn; its rows are in OUT/PART.json as soon as it ends, and what it says meanwhile in OUT/PART.log.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import script
from benchmarks.gpu_parts import PARTS
from hopwell.cli.bench_gpu import needs_gpu, rounded
from hopwell.cli.tables import print_rows
from hopwell.errors import HopwellError


@dataclass(frozen=True)
class Outcome:
    """How a part went."""

    part: str
    seconds: float
    outcome: str
    """"done", "wrong" (a row says so), "too long" or what failed."""


def run_parts(out: Path, parts: Sequence[str], minutes: float | None = None) -> Iterator[Outcome]:
    """Runs parts one after the other, and no longer than `minutes` in all.

    Raises:
        HopwellError: a part is unknown.
    """
    if unknown := [part for part in parts if part not in PARTS]:
        raise HopwellError(f"part {unknown[0]!r} is unknown; known: {', '.join(PARTS)}")
    out.mkdir(parents=True, exist_ok=True)
    end = None if minutes is None else time.monotonic() + 60 * minutes
    for part in parts:
        limit = PARTS[part].limit_s if end is None else min(PARTS[part].limit_s, end - time.monotonic())
        if limit < 10:
            yield Outcome(part, 0.0, "no time left")
            continue
        started = time.monotonic()
        command = [sys.executable, "-m", "benchmarks.gpu_parts", part, str(out)]
        try:
            with (out / f"{part}.log").open("w", encoding="utf-8") as log:
                done = subprocess.run(
                    command, stdout=log, stderr=subprocess.PIPE, text=True, timeout=limit, check=False
                )
            lines = done.stderr.strip().splitlines()
            outcome = {0: "done", 1: "wrong"}.get(done.returncode, lines[-1] if lines else f"exit {done.returncode}")
        except subprocess.TimeoutExpired as late:
            heard = late.stderr.decode() if isinstance(late.stderr, bytes) else late.stderr or ""
            last = heard.strip().splitlines()[-1:]
            outcome = "; ".join([f"too long: stopped after {limit:.0f} s", *last])
        yield Outcome(part, time.monotonic() - started, outcome)


def main(
    out: Annotated[Path, typer.Argument(help="Folder for the results, a file a part.")],
    part: Annotated[list[str] | None, typer.Option(help="Only this part; may be repeated. Default: all.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="No longer than this in all.")] = None,
) -> None:
    """Everything that a GPU has to show: correctness, speed, start, memory accesses, each part with a time limit."""
    chosen = part or list(PARTS)
    needs_gpu()
    rows = []
    for outcome in run_parts(out, chosen, minutes):
        rows.append(asdict(outcome))
        print(f"{outcome.part:10} {outcome.seconds:6.0f} s  {outcome.outcome}", flush=True)
    print_rows([rounded(row) for row in rows])
    if any(row["outcome"] != "done" for row in rows):
        raise typer.Exit(1)


if __name__ == "__main__":
    script(main)
