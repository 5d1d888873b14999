"""From the start of the process to the first token, by phases, each run in a fresh process."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from typing import Annotated, Any

import typer

from benchmarks import script
from benchmarks.options import Checkpoint, Device
from benchmarks.start_process import PHASES
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.errors import HopwellError
from hopwell.ops.process import VARIABLES

MAX_AFTER_TORCH, MAX_LOAD = 3.0, 1.0
"""Seconds that nano may take on a CPU: to the first token once torch is imported, and to load."""


def bench_start(model: str | None, device: str, runs: int) -> list[dict[str, Any]]:
    """Starts the engine `runs` times, after once to warm the file cache.

    Returns:
        A row for each run, and the median of each column last. `torch_s` is the interpreter and torch, `import_s` the
        package, `load_s` weights and engine, `first_token_s` rendering, prefill and one token.

    Raises:
        HopwellError: a process failed; its last line.
    """
    rows = [{"run": str(number), **_run(model, device)} for number in range(runs + 1)][1:]
    middle = {phase: round(statistics.median(row[phase] for row in rows), 3) for phase in PHASES}
    return [*rows, {"run": "median", **middle}]


def _run(model: str | None, device: str) -> dict[str, float]:
    code = f"from benchmarks.start_process import child; child({model!r}, {device!r}, {time.time()!r})"
    environment = {**VARIABLES, **os.environ}  # as the hopwell command sets it
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise HopwellError(f"the process failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(
    model: Checkpoint = None,
    runs: Annotated[int, typer.Option(min=1, help="Processes, one after another.")] = 5,
    device: Device = "auto",
    out: Out = None,
) -> None:
    """Seconds from the start of the process to the first token; exit 1 if nano is slower than promised."""
    rows = bench_start(model, device, runs)
    print_rows(rows)
    if out is not None:
        write_result(out, "start", rows, max_after_torch_s=MAX_AFTER_TORCH, max_load_s=MAX_LOAD)
    if model is None and (rows[-1]["after_torch_s"] > MAX_AFTER_TORCH or rows[-1]["load_s"] > MAX_LOAD):
        raise typer.Exit(1)


if __name__ == "__main__":
    script(main)
