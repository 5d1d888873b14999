"""From the start of the process to the first token, by phases, each run in a fresh process."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any

from hopwell.errors import HopwellError

MAX_AFTER_TORCH, MAX_LOAD = 3.0, 1.0
"""Seconds that nano may take on a CPU: to the first token once torch is imported, and to load."""
PHASES = ("torch_s", "import_s", "load_s", "first_token_s", "after_torch_s", "total_s")
QUESTION = [{"role": "user", "content": "What is 37 * 43?"}]


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
    code = f"from hopwell.bench.start import child; child({model!r}, {device!r}, {time.time()!r})"
    threads = {"OMP_WAIT_POLICY": "PASSIVE"}  # as the hopwell command sets it
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**threads, **os.environ})
    if done.returncode:
        raise HopwellError(f"the process failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def child(model: str | None, device: str, started: float) -> None:
    """Prints how long each phase of this process took; `started` is when its parent began to start it."""
    import torch  # noqa: F401  # the phase that is not ours

    times = [started, time.time()]
    from hopwell.engine.core import SamplingParams
    from hopwell.engine.llm import LLM

    times.append(time.time())
    llm = LLM(model, device=device, max_seqs=1)
    times.append(time.time())
    next(iter(llm.stream(llm.render(QUESTION), SamplingParams(temperature=0.0))))
    times.append(time.time())
    phases = [after - before for before, after in pairwise(times)]
    values = (*phases, times[-1] - times[1], times[-1] - times[0])
    print(json.dumps({name: round(value, 3) for name, value in zip(PHASES, values, strict=True)}))
