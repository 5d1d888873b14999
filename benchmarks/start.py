"""From the start of the process to the first token, by phases, each run in a fresh process; also of a snapshot."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import script
from benchmarks.options import Checkpoint, Device
from benchmarks.start_process import PHASES
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.engine.frontend import name_of, resolve
from hopwell.engine.packing import pack
from hopwell.errors import HopwellError
from hopwell.ops.process import VARIABLES

MAX_AFTER_TORCH, MAX_LOAD = 3.0, 1.0
"""Seconds that nano may take on a CPU: to the first token once torch is imported, and to load."""


def bench_start(model: str | None, device: str, runs: int) -> list[dict[str, Any]]:
    """Starts the engine `runs` times, after once to warm the file cache.

    Returns:
        A row for each run, and the median of each column last. `torch_s` is the interpreter and torch, `import_s` the
        package, `load_s` weights, `weights_s` of it, and engine, `first_token_s` rendering, prefill and one token.

    Raises:
        HopwellError: a process failed; its last line.
    """
    return _with_median([{"run": str(number), **_run(model, device)} for number in range(runs + 1)][1:])


def bench_packed(model: str | None, device: str, runs: int, cold: bool) -> list[dict[str, Any]]:
    """As `bench_start`, of a checkpoint's folder and of a snapshot of it, in turn; nano is such a folder too.

    Args:
        cold: before each run the weights are dropped from the file cache.

    Raises:
        HopwellError: as `bench_start`, or the model cannot be packed.
    """
    with tempfile.TemporaryDirectory() as work:
        folders = {name: Path(work, name) for name in ("checkpoint", "snapshot")}
        folders["checkpoint"].symlink_to(resolve(model))  # nano's own folder is trusted, and spared checks
        pack(folders["checkpoint"], folders["snapshot"], device)
        runs_of: dict[str, list[dict[str, Any]]] = {name: [] for name in folders}
        for number in range(runs + 1):
            for name, folder in folders.items():
                if cold:
                    _forget(folder)
                runs_of[name].append({"of": name, "run": str(number), **_run(str(folder), device)})
        return [row for name in folders for row in _with_median(runs_of[name][1:])]


def _with_median(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    middle = {phase: round(statistics.median(row[phase] for row in rows), 3) for phase in PHASES}
    return [*rows, {**rows[0], "run": "median", **middle}]


def _forget(folder: Path) -> None:
    """Drops a folder's files from the page cache."""
    for path in folder.iterdir():
        file = os.open(path, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


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
    packed: Annotated[bool, typer.Option("--packed", help="From a folder and from a snapshot of it, in turn.")] = False,
    cold: Annotated[bool, typer.Option("--cold", help="With --packed: weights come from the disk.")] = False,
    out: Out = None,
) -> None:
    """Seconds from the start of the process to the first token; exit 1 if nano is slower than promised."""
    if cold and not packed:
        raise HopwellError("--cold needs --packed; give both")
    rows = bench_packed(model, device, runs, cold) if packed else bench_start(model, device, runs)
    print_rows(rows)
    if out is not None:
        named = {"model": name_of(model), "cold": cold} if packed else {}
        write_result(out, "start", rows, **named, max_after_torch_s=MAX_AFTER_TORCH, max_load_s=MAX_LOAD)
    if model is None and (rows[-1]["after_torch_s"] > MAX_AFTER_TORCH or rows[-1]["load_s"] > MAX_LOAD):
        raise typer.Exit(1)


if __name__ == "__main__":
    script(main)
