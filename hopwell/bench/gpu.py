"""Everything that a GPU has to show, in parts with a time limit each: correctness, speed, start, memory accesses.

Each part runs in a process of its own, `python -m hopwell.bench.gpu PART OUT`, so that one that fails or takes too long
costs no other its turn; its rows are in OUT/PART.json as soon as it ends, and what it says meanwhile in OUT/PART.log.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hopwell.bench import gpu_correct, gpu_speed
from hopwell.bench.activation_steps import step_rows
from hopwell.bench.cuts import cut_rows
from hopwell.bench.gpu_correct import Rows
from hopwell.errors import HopwellError


@dataclass(frozen=True)
class Part:
    """One measurement."""

    run: Callable[[], Rows]
    limit_s: int
    """Seconds after which it is stopped."""


PARTS = {
    "kernels": Part(gpu_correct.kernels, 180),
    "tests": Part(gpu_correct.tests, 300),
    "decode": Part(gpu_speed.decode, 300),
    "forms": Part(gpu_speed.forms, 180),
    "prefill": Part(gpu_speed.prefill, 240),
    "start": Part(gpu_speed.start, 240),
    "cache": Part(gpu_speed.cache, 180),
    "layer": Part(gpu_speed.layer, 240),
    "tilings": Part(gpu_speed.tilings, 120),
    "activations": Part(lambda: [asdict(row) for row in step_rows()], 240),
    "cuts": Part(lambda: list(cut_rows()), 240),
    "whole": Part(gpu_speed.whole, 400),
    "nano": Part(gpu_correct.nano, 400),
    "batches": Part(gpu_correct.batches, 560),
    "sanitizer": Part(gpu_correct.sanitizer, 580),
}
"""In the order of what is worth knowing first."""


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
        command = [sys.executable, "-m", "hopwell.bench.gpu", part, str(out)]
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


def main(part: str, out: Path) -> int:
    """One part: writes its result; 1 if a row of it says that something is wrong, 3 if it could not run."""
    from hopwell.bench.result import write_result

    try:
        rows = PARTS[part].run()
    except HopwellError as error:
        print(error, file=sys.stderr)
        return 3
    write_result(out / f"{part}.json", f"gpu-{part}", rows)
    signs = ("compiled_after_ready", "no_kernels")
    return int(any(row.get("right") is False or any(row.get(sign) for sign in signs) for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
