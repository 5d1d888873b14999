"""Products of few rows on Hopper, in Gluon: a program has all its weights on their way before anything else.

`linear_triton._product` and `moe_down_triton._down` compute the same and are the plain twins. There a program waits for
the kernel before it, reads its rows, and then asks for its weights, each about a microsecond. Of a step of few rows,
what a program multiplies fits into shared memory as a whole. A dense product's weights are known from the start: they
are copied while the kernel before still runs, which small kernels allow by letting this one start before they have
waited themselves. An expert's are asked for as soon as its number is known.
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

from hopwell.ops.rows import Normed
from hopwell.ops.sizes import cdiv
from hopwell.ops.triton_common import launch
from hopwell.ops.weight import Weight

OUT = gl.constexpr(64)
"""Weights' rows of a program: the matrix unit's long side."""


@gluon.jit(do_not_specialize=["tokens"])
def _product_ahead(
    x, x_scales, w, w_scales, sumsq, out, tokens, eps,
    K: gl.constexpr, N: gl.constexpr, FP8: gl.constexpr, CHUNKS: gl.constexpr, SPLITS: gl.constexpr, BT: gl.constexpr,
):  # fmt: skip
    """Small-M GEMM, split-K, swap-AB: all weights of a program in flight before it waits for its rows.

    Grid (N / 64, SPLITS). Arguments and results as `linear_triton._product`, for up to BT rows.
    """
    BITS: gl.constexpr = x.dtype.element_ty.primitive_bitwidth
    BK: gl.constexpr = 1024 // BITS
    STEPS: gl.constexpr = K // BK
    PER_SPLIT: gl.constexpr = (STEPS + SPLITS - 1) // SPLITS
    SHARED: gl.constexpr = gl.NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=BITS, rank=2)
    COPY: gl.constexpr = gl.BlockedLayout([1, BK // 8], [4, 8], [4, 1], [1, 0])
    ACC: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BT, 256 // BITS])
    gdc_launch_dependents()
    weights = gl.allocate_shared_memory(x.dtype.element_ty, [PER_SPLIT, OUT, BK], SHARED)
    rows = gl.allocate_shared_memory(x.dtype.element_ty, [PER_SPLIT, BT, BK], SHARED)
    n0, split = gl.program_id(0) * OUT, gl.program_id(1)
    begin = split * PER_SPLIT
    k = begin * BK + gl.arange(0, BK, layout=gl.SliceLayout(0, COPY))
    # weights' rows past the matrix are copies of its last one; their results are not stored
    n = gl.minimum(n0 + gl.arange(0, OUT, layout=gl.SliceLayout(1, COPY)), N - 1)
    w_at = w + n[:, None].to(gl.int64) * K + k[None, :]
    b_at = w_scales + (n0 // 128) * STEPS + begin if FP8 else w_scales
    b = ()
    for step in gl.static_range(PER_SPLIT):
        # the last splits of a reduction that does not divide have less to do: what is not there counts as zeros
        there = gl.full([OUT, BK], begin + step < STEPS, gl.int1, COPY)
        async_copy.async_copy_global_to_shared(weights.index(step), w_at + step * BK, there)
        async_copy.commit_group()
        if FP8:
            b = b + (gl.load(b_at + step, begin + step < STEPS, 0.0),)  # noqa: RUF005
    gdc_wait()
    t = gl.arange(0, BT, layout=gl.SliceLayout(1, COPY))
    x_at = x + t[:, None].to(gl.int64) * K + k[None, :]
    for step in gl.static_range(PER_SPLIT):
        valid = (t < tokens) & (begin + step < STEPS)
        async_copy.async_copy_global_to_shared(rows.index(step), x_at + step * BK, valid[:, None])
        async_copy.commit_group()
    column = gl.arange(0, BT, layout=gl.SliceLayout(0, ACC))
    a = ()
    if FP8:
        for step in gl.static_range(PER_SPLIT):
            valid = (column < tokens) & (begin + step < STEPS)
            a = a + (gl.load(x_scales + column * STEPS + begin + step, valid, 0.0),)  # noqa: RUF005
    if CHUNKS > 0:
        squares = gl.load(sumsq + column * CHUNKS, column < tokens, 1.0)
        for chunk in gl.static_range(1, CHUNKS):
            squares += gl.load(sumsq + column * CHUNKS + chunk, column < tokens, 0.0)
    zero = gl.zeros([OUT, BT], gl.float32, ACC)
    acc = zero
    for step in gl.static_range(PER_SPLIT):
        async_copy.wait_group(PER_SPLIT - 1 - step)
        fence_async_shared()
        turned = rows.index(step).permute((1, 0))
        if FP8:
            # one product a block of 128: the matrix unit keeps about 14 bits, float32 keeps the sum of blocks
            product = warpgroup_mma(weights.index(step), turned, zero, use_acc=False, is_async=True)
            product = warpgroup_mma_wait(0, deps=[product])
            acc += product * (a[step] * b[step])[None, :]
        else:
            acc = warpgroup_mma(weights.index(step), turned, acc, is_async=True)
            acc = warpgroup_mma_wait(0, deps=[acc])
    if CHUNKS > 0:
        acc = acc * gl.rsqrt(squares / K + eps)[None, :]
    n = n0 + gl.arange(0, OUT, layout=gl.SliceLayout(1, ACC))
    at = out + (split * tokens + column).to(gl.int64)[None, :] * N + n[:, None]
    gl.store(at, acc.to(out.dtype.element_ty), (n < N)[:, None] & (column < tokens)[None, :])


def multiply(x: Normed, weight: Weight, out: Tensor, eps: float = 0.0) -> None:
    """Writes x @ weight.T to `out`, as split-K partials that the reader adds.

    Args:
        x: rows as `linear_choice.suits_small_m` wants them; an outstanding rms is applied with `eps`.
        weight: [out, in].
        out: float32 or bf16 [splits, rows, out].
    """
    fp8 = weight.is_fp8
    data = x.fp8 if fp8 else x.values
    assert data is not None
    width_out, width_in = weight.shape
    launch(
        _product_ahead,
        (cdiv(width_out, OUT.value), out.shape[0]),
        data,
        x.scales if fp8 else None,
        weight.data,
        weight.scale,
        x.sumsq,
        out,
        len(data),
        eps,
        K=width_in,
        N=width_out,
        FP8=fp8,
        CHUNKS=0 if x.sumsq is None else x.sumsq.shape[1],
        SPLITS=out.shape[0],
        BT=16 if len(data) <= 16 else 32,
    )
