"""Matrix products for FP8-block and bf16 weights, from one token to thousands; on Hopper the fewest are left to
`linear_small_m_gluon` and thousands to `linear_persistent_gluon`.

Up to 32 tokens the operands are swapped: the weight's rows lie on the matrix unit's long side (64 or 128) and the
tokens on the short one, which on Hopper may be as narrow as 8. Small batches are bound by streaming the weights, so the
reduction is cut among programs until they cover the GPU. Each program leaves a float32 part, and the reader adds the
parts in order: no atomics, the same result every time.
"""

from __future__ import annotations

from typing import Literal

import torch
import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops import linear_packed_triton, linear_persistent_gluon, linear_small_m_gluon
from hopwell.ops.linear_choice import Shape, Tiling, choose, swap_ab
from hopwell.ops.quantize_triton import quantize
from hopwell.ops.rows import Normed
from hopwell.ops.sizes import cdiv, next_power_of_2
from hopwell.ops.triton_common import (
    for_tokens,
    inverse_rms,
    launch,
    launch_device,
    let_next_start,
    multiply,
    store_product,
    wait_for_inputs,
    widen,
    zero_product,
)
from hopwell.ops.variant import Formats
from hopwell.ops.weight import Weight


@triton.jit(do_not_specialize=["tokens"])
def _product(
    x,
    x_scales,
    w,
    w_scales,
    sumsq,
    out,
    tokens,
    eps,
    K: tl.constexpr,
    N: tl.constexpr,
    FP8: tl.constexpr,
    CHUNKS: tl.constexpr,  # 0: no rms outstanding
    CHUNKS_P2: tl.constexpr,
    SPLITS: tl.constexpr,
    BN: tl.constexpr,
    BT: tl.constexpr,
    BK: tl.constexpr,
    ROWS_FIRST: tl.constexpr,
    BAND: tl.constexpr,  # tiles of tokens that take turns on a tile of weights
):
    """GEMM with split-K: rows [tokens, K] times weights [N, K] transposed, FP8 in 128 x 128 blocks (V3 report, 3.3.2:
    each block's product is added in float32) before e4m3 or bf16 rows, or bf16.

    Grid (tiles of BN weights' rows, SPLITS, tiles of BT tokens). x e4m3 with x_scales float32 [tokens, K / 128], or
    bf16; w_scales float32 [N / 128, K / 128]; sumsq float32 [tokens, CHUNKS], an outstanding rms. ROWS_FIRST: rows on
    the matrix unit's long side, else swap-AB. BAND is GROUP_M, the L2 swizzle. Writes partials [SPLITS, tokens, N] in
    out's dtype.
    """
    STEPS: tl.constexpr = (K + BK - 1) // BK
    PER_SPLIT: tl.constexpr = (STEPS + SPLITS - 1) // SPLITS
    tile_n, tile_t = tl.program_id(0), tl.program_id(2)
    if BAND > 1:  # programs that run together share what they read
        in_order = tile_n + tile_t * tl.num_programs(0)
        band = BAND * tl.num_programs(0)
        first = in_order // band * BAND
        height = tl.minimum(tl.num_programs(2) - first, BAND)
        tile_t = first + in_order % band % height
        tile_n = in_order % band // height
    n0 = tile_n * BN
    split = tl.program_id(1)
    rn = n0 + tl.arange(0, BN)
    rk = tl.arange(0, BK)
    begin = split * PER_SPLIT
    end = tl.minimum(begin + PER_SPLIT, STEPS)
    # rows past the matrix read its last row; their results are not stored
    w_rows = w + tl.minimum(rn, N - 1)[:, None].to(tl.int64) * K + begin * BK
    wait_for_inputs()
    x_rows = tile_t * BT + tl.arange(0, BT)
    valid = x_rows < tokens
    let_next_start()
    w_at = w_rows + rk[None, :]
    x_at = x + x_rows[:, None].to(tl.int64) * K + begin * BK + rk[None, :]
    acc = zero_product(BN, BT, ROWS_FIRST)
    if CHUNKS > 0:  # read ahead of the loop: after it, nothing would be left to wait beside
        rms = for_tokens(inverse_rms(sumsq, x_rows, valid, K, CHUNKS, CHUNKS_P2, eps), ROWS_FIRST)
    if FP8 and x.dtype.element_ty == tl.float8e4nv:
        # hazard: loads that feed no product are not pipelined; each step loads the next step's scales itself
        a_at = x_scales + x_rows * (K // 128) + begin
        b_at = w_scales + (n0 // 128) * (K // 128) + begin
        some = begin < end  # the last splits of a reduction that does not divide have nothing to do
        a, b = tl.load(a_at, mask=valid & some, other=0.0), tl.load(b_at, mask=some, other=0.0)
        for step in range(begin, end):
            more = step + 1 < end
            w_tile = tl.load(w_at)
            x_tile = tl.load(x_at, mask=valid[:, None], other=0.0)
            a_next = tl.load(a_at + 1, mask=valid & more, other=0.0)
            b_next = tl.load(b_at + 1, mask=more, other=0.0)
            # one product a block of 128: the matrix unit keeps about 14 bits, float32 keeps the sum of blocks
            acc += multiply(w_tile, x_tile, None, ROWS_FIRST) * for_tokens(a * b, ROWS_FIRST)
            a, b = a_next, b_next
            w_at += BK
            x_at += BK
            a_at += 1
            b_at += 1
    elif FP8:  # bf16 rows: codes are widened on their way to the product, and a block's scale is all there is
        b_at = w_scales + (n0 // 128) * (K // 128) + begin
        b = tl.load(b_at, mask=begin < end, other=0.0)
        for step in range(begin, end):
            w_tile = widen(tl.load(w_at))
            x_tile = tl.load(x_at, mask=valid[:, None], other=0.0)
            b_next = tl.load(b_at + 1, mask=step + 1 < end, other=0.0)
            acc += multiply(w_tile, x_tile, None, ROWS_FIRST) * b
            b = b_next
            w_at += BK
            x_at += BK
            b_at += 1
    else:
        for step in range(begin, end):
            inside = step * BK + rk[None, :] < K
            if K % BK == 0:
                w_tile = tl.load(w_at)
                x_tile = tl.load(x_at, mask=valid[:, None], other=0.0)
            else:
                w_tile = tl.load(w_at, mask=inside, other=0.0)
                x_tile = tl.load(x_at, mask=valid[:, None] & inside, other=0.0)
            acc = multiply(w_tile, x_tile, acc, ROWS_FIRST)
            w_at += BK
            x_at += BK

    if CHUNKS > 0:
        acc *= rms
    store_product(out, acc, split * tokens + x_rows, rn, valid, N, ROWS_FIRST)


def product(
    x: Normed,
    weight: Weight,
    eps: float = 0.0,
    cut: Tiling | None = None,
    dtype: torch.dtype = torch.float32,
    op: Literal["product", "logits"] = "product",
) -> Tensor:
    """x @ weight.T, as split-K partials that the reader adds.

    Args:
        x: rows [tokens, in]: FP8 or, where there are none, values for an FP8 weight; values for others. An
            outstanding rms is applied, with `eps`.
        weight: [out, in].
        cut: for the Triton kernels, in place of what `choose` says.
        op: "logits" are complete, in one split.

    Returns:
        [splits, tokens, out] of `dtype`; with one split the sum is complete.
    """
    fp8 = weight.is_fp8
    data = x.fp8 if fp8 and x.fp8 is not None else x.values
    assert data is not None
    (tokens, width_in), width_out = data.shape, weight.shape[0]
    formats = Formats(weight.format, data.dtype)
    variant = choose(op, Shape(tokens, width_out, width_in), formats, launch_device(data.device))
    tiling = cut or variant.tiling
    out = torch.empty(tiling.splits, tokens, width_out, dtype=dtype, device=data.device)
    if variant.name == "packed_triton":
        linear_packed_triton.multiply(x, weight, out, tiling, eps)
        return out
    if cut is None and variant.name == "persistent_gluon":
        linear_persistent_gluon.multiply(x, weight, out[0], eps)
        return out
    if cut is None and variant.name == "small_m_gluon":
        linear_small_m_gluon.multiply(x, weight, out, eps)
        return out
    chunks = 0 if x.sumsq is None else x.sumsq.shape[1]
    launch(
        _product,
        (cdiv(width_out, tiling.rows), tiling.splits, cdiv(tokens, tiling.tokens)),
        data,
        x.scales,
        weight.data,
        weight.scale,
        x.sumsq,
        out,
        tokens,
        eps,
        K=width_in,
        N=width_out,
        FP8=fp8,
        CHUNKS=chunks,
        CHUNKS_P2=next_power_of_2(max(chunks, 1)),
        SPLITS=tiling.splits,
        BN=tiling.rows,
        BT=tiling.tokens,
        BK=128 if fp8 else tiling.step,
        ROWS_FIRST=not swap_ab(tiling.tokens, formats),
        BAND=tiling.group_m,
        warps=tiling.warps,
        stages=tiling.stages,
    )
    return out


def linear(x: Tensor, weight: Weight) -> Tensor:
    """`linear.linear` for an FP8 or packed weight: x bf16 [tokens, in], rounded to e4m3 where the weight wants it ->
    bf16 [tokens, out]."""
    shape, formats = Shape(*x.shape[:1], *weight.shape), Formats(weight.format, x.dtype)
    rows = rows_for(x, weight)
    if choose("linear", shape, formats, launch_device(x.device)).splits == 1:
        return product(rows, weight, dtype=torch.bfloat16)[0]
    return product(rows, weight).sum(0).to(x.dtype)


def rows_for(x: Tensor, weight: Weight) -> Normed:
    """bf16 rows [tokens, in] as they enter the product with a weight."""
    if weight.takes_fp8(x.shape[0]):
        return quantize(x)
    return Normed(None, None, x.contiguous(), None)
