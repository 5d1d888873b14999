"""Triton's interpreter as tests make it quicker: the bits that it computes anyway, and a language left as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

import triton
import triton.language as tl
from triton.runtime.errors import InterpreterError

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="kernels are compiled")


@triton.jit
def _scaled(x, FACTOR: tl.constexpr):
    return tl.where(x > 0, x * FACTOR, tl.exp(x)).to(tl.float32)


@triton.jit
def _kernel(x, y, out, N: tl.constexpr, BLOCK: tl.constexpr, WRONG: tl.constexpr):
    """Types of three widths, a masked tail, sums along both sides, calls within calls."""
    rows, columns = tl.arange(0, 16), tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = columns[None, :] < N
    a = tl.load(x + rows[:, None] * N + columns[None, :], mask=keep, other=0.0)
    b = tl.load(y + rows[:, None].to(tl.int64) * N + columns[None, :], mask=keep, other=1)
    a = _scaled(a.to(tl.float32), 3.0) / (1 + b)
    square = tl.dot(a, tl.trans(a))
    if WRONG:
        square += tl.zeros((8, 8), tl.float32)
    tl.store(out + tl.program_id(0) * 16 + rows, tl.sum(square, 1) + tl.max(a, 1) + tl.cdiv(N, BLOCK))


def computed(wrong: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(16, 70, generator=generator).half()
    y = torch.randint(0, 5, (16, 70), generator=generator, dtype=torch.uint8)
    out = torch.full((3, 16), float("nan"))
    _kernel[(3,)](x, y, out, 70, 32, wrong)
    return out


@pytest.mark.slow
def test_it_computes_the_same_bits_and_leaves_the_language(tmp_path: Path) -> None:
    """Also after a kernel that fails."""
    before = dict(vars(tl)), dict(vars(tl.core)), dict(vars(tl.tensor))
    with pytest.raises(InterpreterError):
        computed(wrong=True)
    mine = computed()
    assert mine.isfinite().all()
    assert (dict(vars(tl)), dict(vars(tl.core))) == before[:2]
    assert {name: vars(tl.tensor)[name] for name in before[2]} == before[2]
    code = "import sys, torch, test_quick_interpreter as it; torch.save(it.computed(), sys.argv[1])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    subprocess.run([sys.executable, "-c", code, tmp_path / "out"], check=True, env=environment)
    assert torch.equal(mine, torch.load(tmp_path / "out"))
