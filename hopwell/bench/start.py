"""From the start of a process to the first token, by phases, beside safetensors' own loader and vLLM on the same files.

Each run is a fresh process; sides take turns. Cold: before each run the page cache has given up the weights, which is
looked at, and the limit is what the disk gives; warm: they are in it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hopwell.bench.against import peer_side
from hopwell.bench.start_process import PHASES, SIDES
from hopwell.checkpoint.rate import cached_share, drop_cached, read_rate
from hopwell.engine.frontend import resolve
from hopwell.engine.packing import pack
from hopwell.engine.weights import files_of, open_weights
from hopwell.errors import HopwellError
from hopwell.ops.process import VARIABLES

RATE_BYTES = 8 << 30
"""Read, of larger weights, to learn what a disk or the page cache gives."""
VLLM = {"decode": [[1, 64]], "prefill": [], "steps": 8}
"""What vLLM is asked for once it is ready; its start is what counts here."""
Rows = list[dict[str, Any]]
Progress = Callable[[int, int, str], None]
"""Told how many processes have ended, how many there are, and of which side the next is."""


def bench_start(
    model: str | None, device: str, runs: int, cold: bool = False, progress: Progress = lambda *_: None
) -> Rows:
    """Starts our engine `runs` times, after once for the file cache.

    Returns:
        A row for each run, and the median of each column last. `torch_s` is the interpreter and torch, `import_s` the
        package, `load_s` weights, `weights_s` of it, and engine, `first_token_s` rendering, prefill and one token.
        `limit_s` is what the weights' bytes take at the rate at which they are read by eight threads that do nothing
        else, measured before the runs; `of_limit_percent` what that is of `weights_s`.

    Raises:
        HopwellError: a process failed, its last line; or files cannot be measured cold.
    """
    folder = resolve(model)
    return in_turn({SIDES[0]: (folder, lambda: _run(SIDES[0], model, device))}, runs, cold, progress)


def bench_beside(
    model: str | None,
    device: str,
    runs: int,
    cold: bool,
    packed: bool,
    peer_site: Path | None,
    progress: Progress = lambda *_: None,
) -> Rows:
    """The same of our engine from a checkpoint's folder and, where asked for, from a snapshot of it; of safetensors'
    own loader, which only brings the tensors to the device; and of vLLM, if it is there.

    Args:
        peer_site: the folder that vLLM is installed in.

    Raises:
        HopwellError: as `bench_start`, or the model cannot be packed.
    """
    with tempfile.TemporaryDirectory(dir=None if model is None else Path(resolve(model)).parent) as work:
        folder = Path(work, "checkpoint")
        folder.symlink_to(resolve(model))  # nano's own folder is trusted, and spared checks
        sides: dict[str, tuple[Path, Callable[[], dict[str, Any]]]] = {
            "hopwell": (folder, lambda: _run("hopwell", str(folder), device)),
            "safetensors": (folder, lambda: _run("safetensors", str(folder), device)),
        }
        if packed:
            snapshot = Path(work, "snapshot")
            pack(folder, snapshot, device)
            sides["hopwell, packed"] = (snapshot, lambda: _run("hopwell", str(snapshot), device))
        if peer_site is not None:
            sides["vllm"] = (folder, lambda: _vllm(folder, peer_site))
        return in_turn(sides, runs, cold, progress)


def in_turn(
    sides: dict[str, tuple[Path, Callable[[], dict[str, Any]]]],
    runs: int,
    cold: bool,
    progress: Progress = lambda *_: None,
) -> Rows:
    """Runs each side in turn, once more than asked for, for what the first alone meets.

    Args:
        sides: by name: what it reads, and what runs it.
    """
    files = {name: files_of(open_weights(folder)) for name, (folder, _) in sides.items()}
    limits = {}
    for name, (paths, nbytes) in files.items():
        _lay(paths, cold)
        limits[name] = nbytes / read_rate(paths, RATE_BYTES)
    rows: dict[str, Rows] = {name: [] for name in sides}
    for number in range(runs + 1):
        for place, (name, (_, run)) in enumerate(sides.items()):
            progress(number * len(sides) + place, (runs + 1) * len(sides), name)
            cached = _lay(files[name][0], cold)
            row = {"of": name, "files": "cold" if cold else "warm", "run": str(number), "cached_percent": cached}
            rows[name].append(row | {"bytes": files[name][1]} | run() | {"limit_s": round(limits[name], 3)})
    return [row for name in sides for row in _with_median(rows[name][1:])]


def _lay(paths: Sequence[Path], cold: bool) -> float | None:
    """Has files lie as they are to be found, and returns how much of them the page cache holds; None: not known."""
    for path in paths:
        drop_cached(path) if cold else _touch(path)
    shares = [(cached_share(path), path.stat().st_size) for path in paths]
    if any(share is None for share, _ in shares):
        return None
    return round(100 * sum((share or 0) * size for share, size in shares) / sum(size for _, size in shares), 1)


def _touch(path: Path) -> None:
    """Reads a file, so that the page cache has it if there is room."""
    buffer = memoryview(bytearray(16 << 20))
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def _with_median(rows: Rows) -> Rows:
    def middle(phase: str) -> float | None:
        known = [row[phase] for row in rows if row[phase] is not None]
        return round(statistics.median(known), 3) if known else None

    rows = [*rows, {**rows[0], "run": "median", **{phase: middle(phase) for phase in PHASES}}]
    for row in rows:
        weights = row["weights_s"]
        row["of_limit_percent"] = None if not weights else round(100 * row["limit_s"] / weights, 1)
    return rows


def _run(side: str, model: str | None, device: str) -> dict[str, float]:
    environment = {**VARIABLES, **os.environ}  # as the hopwell command sets it
    command = [sys.executable, "-m", "hopwell.bench.start_process", json.dumps([side, model, device, time.time()])]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise HopwellError(f"the process failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def _vllm(folder: Path, site: Path) -> dict[str, float | None]:
    ready = peer_side(folder, VLLM, site, lambda text: None)["ready_s"]
    return {**dict.fromkeys(PHASES), "total_s": round(ready, 3)}
