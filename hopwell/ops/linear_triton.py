"""Matrix products for FP8-block and bf16 weights, from one token to thousands; on Hopper the fewest are left to
`few_rows_gluon` and thousands to `product_gluon`.

Up to 32 tokens the operands are swapped: the weight's rows lie on the matrix unit's long side (64 or 128) and the
tokens on the short one, which on Hopper may be as narrow as 8. Small batches are bound by streaming the weights, so the
reduction is cut among programs until they cover the GPU. Each program leaves a float32 part, and the reader adds the
parts in order: no atomics, the same result every time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops import few_rows_gluon, product_gluon
from hopwell.ops.linear import Weight
from hopwell.ops.norm_triton import Normed, quantize
from hopwell.ops.triton_common import (
    cdiv,
    for_tokens,
    inverse_rms,
    launch,
    let_next_start,
    multiply,
    next_power_of_2,
    store_product,
    wait_for_inputs,
    widen,
    zero_product,
)

ROWS_FIRST_FROM = 64
"""Tokens of a tile from which they lie on the matrix unit's long side."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a product is cut: rows of weights and tokens a program, parts of the reduction, warps, pipeline stages."""

    rows: int
    tokens: int
    splits: int
    warps: int
    stages: int
    step: int = 64
    """Of the reduction, values that a bf16 program takes at a time; FP8 takes a block of 128."""
    band: int = 1
    """Tiles of tokens that take turns on a tile of weights; more than one only where the reduction is not cut."""


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
        acc *= for_tokens(inverse_rms(sumsq, x_rows, valid, K, CHUNKS, CHUNKS_P2, eps), ROWS_FIRST)
    store_product(out, acc, split * tokens + x_rows, rn, valid, N, ROWS_FIRST)


def token_tile(tokens: int) -> int:
    """Tokens a program multiplies."""
    return 16 if tokens <= 16 else 32 if tokens <= 32 else 64 if tokens <= 64 else 128


def tiling(tokens: int, width_out: int, width_in: int, fp8: bool, sms: int = 132) -> Tiling:
    """How to cut a product for a class of shapes, as `hopwell bench gpu --part cuts` found it: enough programs to keep
    every multiprocessor's loads in flight, of parts long enough to be worth a start."""
    tile = token_tile(tokens)
    if tokens > 128:
        return Tiling(128, tile, 1, 8, 4, band=16)
    long = fp8 and width_in >= 8192
    if tile == 128 and long:
        return Tiling(128, 128, 2, 8, 4)
    rows = cdiv(width_out, 64)
    if tile == 128 and (fp8 or 16 * rows < sms):
        tile = 64  # two programs share a tile of weights
    tiles = rows * cdiv(token_tile(tokens), tile)
    steps = cdiv(width_in, 128 if fp8 else 64)
    wanted = 3 * sms if long else 1.4 * sms if tokens <= 32 or fp8 else 0.85 * sms
    splits = 1
    while splits < 16 and tiles * splits < wanted and steps // (splits * 2) >= 2:
        splits *= 2
    return Tiling(64, tile, splits, 4, 6 if tokens > 64 and steps >= 14 * splits else 4)


def rows_first(tile: int, weight: Weight, data: Tensor) -> bool:
    """Whether a tile's rows, not the weight's, lie on the matrix unit's long side. A weight whose codes are widened
    always lies there: that side may come from registers, and bf16 rows have no scales to load."""
    return tile >= ROWS_FIRST_FROM and (weight.format == "plain" or data.dtype == torch.float8_e4m3fn)


def product(
    x: Normed,
    weight: Weight,
    eps: float = 0.0,
    cut: Tiling | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """x @ weight.T, as the parts that the reader adds.

    Args:
        x: rows [tokens, in]: codes or, where there are none, values for an FP8 weight; values for a plain one. An
            outstanding rms is applied, with `eps`.
        weight: [out, in].

    Returns:
        [splits, tokens, out] of `dtype`; with one split the sum is complete.
    """
    fp8 = weight.format == "fp8_block"
    data = x.codes if fp8 and x.codes is not None else x.values
    assert data is not None
    (tokens, width_in), width_out = data.shape, weight.shape[0]
    if cut is None and product_gluon.suits(weight, data):
        out = torch.empty(1, tokens, width_out, dtype=dtype, device=data.device)
        product_gluon.multiply(x, weight, out[0], eps)
        return out
    usual = tiling(tokens, width_out, width_in, fp8)
    out = torch.empty((cut or usual).splits, tokens, width_out, dtype=dtype, device=data.device)
    if cut is None and few_rows_gluon.suits(weight, data, usual.splits):
        few_rows_gluon.multiply(x, weight, out, eps)
        return out
    cut = cut or usual
    chunks = 0 if x.sumsq is None else x.sumsq.shape[1]
    launch(
        _product,
        (cdiv(width_out, cut.rows), cut.splits, cdiv(tokens, cut.tokens)),
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
        SPLITS=cut.splits,
        BN=cut.rows,
        BT=cut.tokens,
        BK=128 if fp8 else cut.step,
        ROWS_FIRST=rows_first(cut.tokens, weight, data),
        BAND=cut.band,
        warps=cut.warps,
        stages=cut.stages,
    )
    return out


def linear(x: Tensor, weight: Weight) -> Tensor:
    """`linear.linear` for an FP8 weight: x bf16 [tokens, in], rounded to e4m3 where the weight wants it -> bf16
    [tokens, out]."""
    cut = tiling(x.shape[0], *weight.shape, fp8=True)
    rows = rows_for(x, weight)
    if cut.splits == 1:
        return product(rows, weight, dtype=torch.bfloat16)[0]
    return product(rows, weight).sum(0).to(x.dtype)


def rows_for(x: Tensor, weight: Weight) -> Normed:
    """bf16 rows [tokens, in] as they enter the product with a weight."""
    if weight.takes_codes(x.shape[0]):
        return quantize(x)
    return Normed(None, None, x.contiguous(), None)
