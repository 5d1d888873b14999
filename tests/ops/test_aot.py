"""The compile gate: every kernel of a decode step and of a prompt becomes machine code within bounds, at real sizes.

It runs in a process of its own, since this one may have Triton's interpreter on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("triton")

SHARED_MEMORY = 232448
"""Bytes of shared memory that one program may take (CUDA C++ guide, compute capability 9.0 and 10.0)."""


def report(model: str, *batches: int) -> list[dict]:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "hopwell.bench.compile", model, "--batches", *map(str, batches)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize(("model", "batches"), [("r1-tp8", (1, 128)), ("v2-lite", (32,))])
def test_kernels_compile_within_bounds(model: str, batches: tuple[int, ...]) -> None:
    rows = report(model, *batches)
    assert {row["kernel"] for row in rows} >= {
        "_add_norm",
        "_product",
        "_decode",
        "_select",
        "_up",
        "_down",
        "_prefill",
    }
    assert {row["arch"] for row in rows} == {90, 100}
    for row in rows:
        if row["kernel"] in ("_product", "_up", "_down", "_decode", "_absorb_query", "_combine_heads", "_prefill"):
            assert row["matrix_instructions"] > 0, row  # on the matrix unit
        if row["arch"] == 90:
            assert row["stack_bytes"] == 0, row  # nothing spilled
            assert row["shared_bytes"] <= SHARED_MEMORY, row
