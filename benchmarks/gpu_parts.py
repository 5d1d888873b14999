"""The parts of `gpu.py`; one of them as a process: `python -m benchmarks.gpu_parts PART OUT`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import four_bits, gpu_checks, gpu_speed, nano_formats
from benchmarks.activation_steps import step_rows
from benchmarks.cuts import cut_rows
from benchmarks.gpu_checks import Rows
from hopwell.cli.result import write_result
from hopwell.errors import HopwellError


@dataclass(frozen=True)
class Part:
    """One measurement."""

    run: Callable[[], Rows]
    limit_s: int
    """Seconds after which it is stopped."""


PARTS = {
    "kernels": Part(gpu_checks.kernels, 180),
    "tests": Part(gpu_checks.tests, 300),
    "four_bits": Part(lambda: four_bits.measure()[0], 290),
    "nano_formats": Part(nano_formats.all_rows, 400),
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
    "nano": Part(gpu_checks.nano, 400),
    "batches": Part(gpu_checks.batches, 560),
    "sanitizer": Part(gpu_checks.sanitizer, 580),
}
"""In the order of what is worth knowing first."""


def main(part: str, out: Path) -> int:
    """One part: writes its result; 1 if a row of it says that something is wrong, 3 if it could not run."""
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
