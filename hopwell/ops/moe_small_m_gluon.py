"""The experts' second product for few rows on Hopper, in Gluon: all of a program's weights are asked for at once.

`moe_down_triton._down` computes the same and is the plain twin. Of few rows, what a program multiplies fits into shared
memory as a whole: its expert's weights are asked for as soon as the expert's number is known, before its rows.
"""

# Gluon types what it is given at compile time as if it were given at run time
# pyright: reportArgumentType=false, reportCallIssue=false, reportAssignmentType=false, reportGeneralTypeIssues=false
# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

from torch import Tensor
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    async_copy,
    fence_async_shared,
    warpgroup_mma,
    warpgroup_mma_wait,
)
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from hopwell.ops.moe_experts import Groups
from hopwell.ops.rows import Normed
from hopwell.ops.sizes import cdiv
from hopwell.ops.triton_common import launch
from hopwell.ops.weight import Weight

OUT = gl.constexpr(64)
"""Weights' rows of a program: the matrix unit's long side."""


@gluon.jit
def _experts_down(
    x, x_scales, w, w_scales, pairs, tiles, out,
    K: gl.constexpr, N: gl.constexpr, SORTED: gl.constexpr, BT: gl.constexpr,
):  # fmt: skip
    """The experts' second product for tiles of few rows, swap-AB, FP8 in 128 x 128 blocks.

    Grid (N / 64, tiles). Arguments and results as `moe_down_triton._down`, for up to BT rows a tile.
    """
    STEPS: gl.constexpr = K // 128
    BLOCKS: gl.constexpr = (N + 127) // 128
    SHARED: gl.constexpr = gl.NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=8, rank=2)
    COPY: gl.constexpr = gl.BlockedLayout([1, 16], [4, 8], [4, 1], [1, 0])
    ACC: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BT, 32])
    LINES: gl.constexpr = gl.BlockedLayout([8, 1], [8, 4], [1, 4], [0, 1])
    n0 = gl.program_id(0) * OUT
    gdc_wait()
    record = tiles + gl.program_id(1) * 3
    expert, first, count = gl.load(record), gl.load(record + 1), gl.load(record + 2)
    if count == 0:
        return
    gdc_launch_dependents()
    weights = gl.allocate_shared_memory(gl.float8e4nv, [STEPS, OUT, 128], SHARED)
    rows = gl.allocate_shared_memory(gl.float8e4nv, [STEPS, BT, 128], SHARED)
    k = gl.arange(0, 128, layout=gl.SliceLayout(0, COPY))
    n = gl.minimum(n0 + gl.arange(0, OUT, layout=gl.SliceLayout(1, COPY)), N - 1)
    w_at = w + (expert.to(gl.int64) * N + n)[:, None] * K + k[None, :]
    b_at = w_scales + (expert * BLOCKS + n0 // 128) * STEPS
    b = ()
    for step in gl.static_range(STEPS):
        async_copy.async_copy_global_to_shared(weights.index(step), w_at + step * 128)
        b = b + (gl.load(b_at + step),)  # noqa: RUF005
    t = gl.arange(0, BT, layout=gl.SliceLayout(1, COPY))
    place = first + t if SORTED else gl.load(pairs + first + t, t < count, 0)
    for step in gl.static_range(STEPS):
        x_at = x + place.to(gl.int64)[:, None] * K + (step * 128 + k)[None, :]
        async_copy.async_copy_global_to_shared(rows.index(step), x_at, (t < count)[:, None])
    async_copy.commit_group()
    column = gl.arange(0, BT, layout=gl.SliceLayout(0, ACC))
    place = first + column if SORTED else gl.load(pairs + first + column, column < count, 0)
    a = ()
    for step in gl.static_range(STEPS):
        a = a + (gl.load(x_scales + place * STEPS + step, column < count, 0.0),)  # noqa: RUF005
    t = gl.arange(0, BT, layout=gl.SliceLayout(0, LINES))
    pair = gl.load(pairs + first + t, t < count, 0)
    async_copy.wait_group(0)
    fence_async_shared()
    zero = gl.zeros([OUT, BT], gl.float32, ACC)
    acc = zero
    for step in gl.static_range(STEPS):
        turned = rows.index(step).permute((1, 0))
        product = warpgroup_mma(weights.index(step), turned, zero, use_acc=False, is_async=True)
        product = warpgroup_mma_wait(0, deps=[product])
        acc += product * (a[step] * b[step])[None, :]
    result = gl.convert_layout(acc.to(gl.bfloat16), LINES)
    n = n0 + gl.arange(0, OUT, layout=gl.SliceLayout(1, LINES))
    gl.store(out + pair.to(gl.int64)[None, :] * N + n[:, None], result, (n < N)[:, None] & (t < count)[None, :])


def experts_down(x: Normed, weight: Weight, out: Tensor, groups: Groups) -> None:
    """Writes each pair's row of x, in the order of `moe_up_triton.experts_up`, times its expert's matrix.

    Args:
        x: FP8, as `moe_choice.suits_small_m` wants them.
        weight: [experts, out, in].
        out: bf16 [pairs, out].
    """
    assert x.fp8 is not None
    _, width_out, width_in = weight.shape
    launch(
        _experts_down,
        (cdiv(width_out, OUT.value), groups.tile_count),
        x.fp8,
        x.scales,
        weight.data,
        weight.scale,
        groups.pairs,
        groups.tiles,
        out,
        K=width_in,
        N=width_out,
        SORTED=groups.sorted,
        BT=groups.tile,
    )
