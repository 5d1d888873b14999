"""SwiGLU's middle as a kernel: the gate and up projections' split-K partials added, silu(gate) * up, FP8 after."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops.norm_choice import Shape, choose
from hopwell.ops.rows import Normed, empty_rows
from hopwell.ops.sizes import cdiv
from hopwell.ops.triton_common import launch, let_next_start, quantize_groups, to_bf16, wait_for_inputs


@triton.jit(do_not_specialize=["rows"])
def _silu_mul(
    parts,
    codes,
    scales,
    values,
    rows,
    WIDTH: tl.constexpr,
    PARTS: tl.constexpr,
    ROWS: tl.constexpr,
    GROUPS: tl.constexpr,
    CODES: tl.constexpr,
):
    """SwiGLU's silu(gate) * up (Shazeer, 2020) of summed split-K partials [PARTS, rows, 2 WIDTH], gate's half first.

    Grid (tiles of ROWS rows, runs of GROUPS groups of 128). Writes FP8 data [rows, WIDTH] with a scale for each 128
    values, or bf16 values.
    """
    let_next_start()
    each = tl.arange(0, ROWS * GROUPS)
    row = tl.program_id(0).to(tl.int64) * ROWS + each // GROUPS
    group = tl.program_id(1) * GROUPS + each % GROUPS
    col = group[:, None] * 128 + tl.arange(0, 128)[None, :]
    inside = (row < rows)[:, None] & (col < WIDTH)
    base = parts + row[:, None] * (2 * WIDTH) + col
    wait_for_inputs()
    gate = tl.zeros((ROWS * GROUPS, 128), tl.float32)
    up = tl.zeros((ROWS * GROUPS, 128), tl.float32)
    for _ in tl.static_range(PARTS):
        gate += tl.load(base, mask=inside, other=0.0).to(tl.float32)
        up += tl.load(base + WIDTH, mask=inside, other=0.0).to(tl.float32)
        base += rows.to(tl.int64) * (2 * WIDTH)
    inner = gate * tl.sigmoid(gate) * up
    at = row[:, None] * WIDTH + col
    if CODES:
        code, scale = quantize_groups(inner)
        tl.store(codes + at, code, mask=inside)
        tl.store(scales + row * (WIDTH // 128) + group, scale, mask=(row < rows) & (group < WIDTH // 128))
    else:
        tl.store(values + at, to_bf16(inner), mask=inside)


def silu_mul(parts: Tensor, fp8: bool = True) -> Normed:
    """silu(gate) * up of summed split-K parts [parts, rows, 2 width], float32 or bf16, in e4m3 or bf16."""
    count, rows, width = parts.shape[0], parts.shape[1], parts.shape[2] // 2
    out = empty_rows(rows, width, fp8, parts.device)
    cut = choose("silu_mul", Shape(rows, width))
    groups = cut.values // 128
    launch(
        _silu_mul,
        (cdiv(rows, cut.rows), cut.programs),
        parts,
        out.fp8,
        out.scales,
        out.values,
        rows,
        WIDTH=width,
        PARTS=count,
        ROWS=cut.rows,
        GROUPS=groups,
        CODES=fp8,
        warps=1 if groups * cut.rows <= 2 else 4,
    )
    return out
