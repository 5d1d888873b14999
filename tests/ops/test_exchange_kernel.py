"""The fused sum over ranks: processes that interpret the kernel over inboxes in shared memory; compiled for Hopper."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from compiling import compiled
from exchange_rank import ROWS, WIDTH

from hopwell.ops.exchange_triton import EMPTY, Inboxes

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("exchange_rank.py")


@pytest.mark.parametrize(("world", "calls"), [(2, 8), (4, 12)])
@pytest.mark.slow
def test_bits_are_those_of_one_rank_that_has_all_parts(tmp_path: Path, world: int, calls: int) -> None:
    """In calls of several sizes and both ways, with ranks held up; and nothing stays in an inbox."""
    inboxes = tmp_path / "inboxes"
    count = world * Inboxes.values(world, ROWS, WIDTH)
    inboxes.write_bytes(torch.full((count,), EMPTY, dtype=torch.int16).numpy().tobytes())
    places = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": places}
    command = [sys.executable, str(SCRIPT), str(inboxes), str(world), str(calls)]
    assert subprocess.run(command, env=environment, timeout=600).returncode == 0


COMPILE = """
import json, sys, torch
from benchmarks.compiled import compile_launch
from hopwell.ops.compile.aot import machine_code, record
from hopwell.ops.device import HOPPER
from hopwell.ops.exchange_triton import Inboxes, exchange_add_norm
world, rows, owned = map(int, sys.argv[1:])
def run():
    peers = torch.empty(world, dtype=torch.int64, device="meta")
    residual = torch.empty(rows, 7168, dtype=torch.bfloat16, device="meta")
    parts = torch.empty(rows, 9, 7168, dtype=torch.bfloat16, device="meta")
    weight, shares = torch.empty(7168, device="meta"), torch.empty(rows, 9, device="meta")
    inboxes = Inboxes(peers, 1, world, 512, 7168)
    exchange_add_norm(residual, weight, parts, inboxes, 1, shares, values=True, owned=bool(owned))
(launch,) = record(run, HOPPER)
made = compile_launch(launch, 90)
ptx = machine_code(launch, 90).asm["ptx"]
print(json.dumps({"spilled": made.stack_bytes, "registers": made.registers, "ptx": ptx}))
"""


@pytest.mark.parametrize("owned", [False, True])
@pytest.mark.parametrize("world", [2, 4, 8])
@pytest.mark.slow
def test_it_compiles_to_wide_stores_and_volatile_loads(world: int, owned: bool) -> None:
    """Sixteen bytes a thread, to all inboxes and from one's own, and nothing spilled."""
    made = json.loads(compiled(COMPILE, str(world), "8", str(int(owned))))
    assert made["spilled"] == 0 and made["registers"] <= 255
    assert len(re.findall(r"ld\.volatile\.global\.v4\.b32", made["ptx"])) >= world
    assert len(re.findall(r"st\.global\.v4\.b32", made["ptx"])) >= world
