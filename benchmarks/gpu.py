"""Everything that a GPU has to show, in parts with a time limit each: correctness, speed, start, memory accesses.

Each part runs in a process of its own, `gpu_parts.py`, so that one that fails or takes too long costs no other its
turn; its rows are in OUT/PART.json as soon as it ends, and what it says meanwhile in OUT/PART.log. Over several GPUs
each takes the next part when it is free.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import script
from benchmarks.gpu_parts import PARTS
from hopwell.cli.bench_gpu import needs_gpu
from hopwell.cli.tables import print_rows, rounded
from hopwell.errors import HopwellError


@dataclass(frozen=True)
class Outcome:
    """How a part went."""

    part: str
    seconds: float
    outcome: str
    """"done", "wrong" (a row says so), "too long" or what failed."""


def run_parts(out: Path, parts: Sequence[str], minutes: float | None = None, gpus: int = 1) -> Iterator[Outcome]:
    """Runs parts, one at a time on each of so many GPUs, and no longer than `minutes` in all; outcomes as they come.

    Raises:
        HopwellError: a part is unknown.
    """
    if unknown := [part for part in parts if part not in PARTS]:
        raise HopwellError(f"part {unknown[0]!r} is unknown; known: {', '.join(PARTS)}")
    out.mkdir(parents=True, exist_ok=True)
    end = None if minutes is None else time.monotonic() + 60 * minutes
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    free: queue.SimpleQueue[str] = queue.SimpleQueue()
    for gpu in map(str, range(gpus)) if visible is None else visible.split(",")[:gpus]:
        free.put(gpu)
    with ThreadPoolExecutor(gpus) as pool:
        running = [pool.submit(_run_part, out, part, end, free) for part in parts]
        for done in as_completed(running):
            yield done.result()


def _run_part(out: Path, part: str, end: float | None, free: queue.SimpleQueue[str]) -> Outcome:
    """A part in its process, on a GPU that is free."""
    gpu = free.get()
    try:
        limit = PARTS[part].limit_s if end is None else min(PARTS[part].limit_s, end - time.monotonic())
        if limit < 10:
            return Outcome(part, 0.0, "no time left")
        started = time.monotonic()
        outcome = _outcome(out, part, limit, gpu)
        return Outcome(part, time.monotonic() - started, outcome)
    finally:
        free.put(gpu)


def _outcome(out: Path, part: str, limit: float, gpu: str) -> str:
    command = [sys.executable, "-m", "benchmarks.gpu_parts", part, str(out)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": gpu}
    try:
        with (out / f"{part}.log").open("w", encoding="utf-8") as log:
            done = subprocess.run(
                command, stdout=log, stderr=subprocess.PIPE, text=True, timeout=limit, check=False, env=environment
            )
    except subprocess.TimeoutExpired as late:
        heard = late.stderr.decode() if isinstance(late.stderr, bytes) else late.stderr or ""
        return "; ".join([f"too long: stopped after {limit:.0f} s", *heard.strip().splitlines()[-1:]])
    lines = done.stderr.strip().splitlines()
    return {0: "done", 1: "wrong"}.get(done.returncode, lines[-1] if lines else f"exit {done.returncode}")


def main(
    out: Annotated[Path, typer.Argument(help="Folder for the results, a file a part.")],
    part: Annotated[list[str] | None, typer.Option(help="Only this part; may be repeated. Default: all.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="No longer than this in all.")] = None,
    gpus: Annotated[int, typer.Option(min=1, help="That take parts side by side.")] = 1,
) -> None:
    """Everything that a GPU has to show: correctness, speed, start, memory accesses, each part with a time limit."""
    chosen = part or list(PARTS)
    needs_gpu()
    rows = []
    for outcome in run_parts(out, chosen, minutes, gpus):
        rows.append(asdict(outcome))
        print(f"{outcome.part:10} {outcome.seconds:6.0f} s  {outcome.outcome}", flush=True)
    print_rows([rounded(row) for row in rows])
    if any(row["outcome"] != "done" for row in rows):
        raise typer.Exit(1)


if __name__ == "__main__":
    script(main)
