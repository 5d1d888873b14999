"""The routed experts' two products, grouped by expert: the tiles of `grouping_triton` choose their rows."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops import few_rows_gluon, product_gluon
from hopwell.ops.grouping_triton import Groups, find_rows, group_by_expert, rows_of_tile
from hopwell.ops.linear import Weight
from hopwell.ops.linear_triton import Tiling, rows_first, rows_for
from hopwell.ops.moe import Experts
from hopwell.ops.norm_triton import Normed, add_weighted, silu_mul
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


@triton.jit(do_not_specialize=["tokens"])
def _up(
    x,
    x_scales,
    w,
    w_scales,
    sumsq,
    expert_ids,
    pairs,
    tiles,
    out,
    tokens,
    eps,
    K: tl.constexpr,
    N: tl.constexpr,
    FP8: tl.constexpr,
    SLOTS: tl.constexpr,
    LEAD: tl.constexpr,
    CHUNKS: tl.constexpr,
    CHUNKS_P2: tl.constexpr,
    SPLITS: tl.constexpr,
    BN: tl.constexpr,
    BT: tl.constexpr,
    BK: tl.constexpr,
    ROWS_FIRST: tl.constexpr,
):
    STEPS: tl.constexpr = K // BK
    PER_SPLIT: tl.constexpr = (STEPS + SPLITS - 1) // SPLITS
    n0, split = tl.program_id(0) * BN, tl.program_id(1)
    rn = n0 + tl.arange(0, BN)
    rk = tl.arange(0, BK)
    wait_for_inputs()
    tile = tl.program_id(2)
    if LEAD > 0:
        expert, count, pair = find_rows(expert_ids, tile, tokens, SLOTS, LEAD, BT)
        place = pair
        if tl.program_id(0) + split == 0:
            tl.store(tiles + tile * 3, expert)
            tl.store(tiles + tile * 3 + 1, tile * BT)
            tl.store(tiles + tile * 3 + 2, count)
            tl.store(pairs + tile * BT + tl.arange(0, BT), pair)
    else:
        expert, count, pair, place = rows_of_tile(pairs, tiles, tile, True, BT)
    if count == 0:
        return
    let_next_start()
    valid = tl.arange(0, BT) < count
    token = pair // SLOTS
    begin = split * PER_SPLIT
    end = tl.minimum(begin + PER_SPLIT, STEPS)
    w_at = w + expert.to(tl.int64) * (N * K) + tl.minimum(rn, N - 1)[:, None] * K + begin * BK + rk[None, :]
    x_at = x + token[:, None].to(tl.int64) * K + begin * BK + rk[None, :]
    acc = zero_product(BN, BT, ROWS_FIRST)
    if FP8 and x.dtype.element_ty == tl.float8e4nv:
        # hazard: loads that feed no product are not pipelined; each step loads the next step's scales itself
        a_at = x_scales + token * STEPS + begin
        b_at = w_scales + (expert * ((N + 127) // 128) + n0 // 128) * STEPS + begin
        some = begin < end  # the last splits of a reduction that does not divide have nothing to do
        a, b = tl.load(a_at, mask=valid & some, other=0.0), tl.load(b_at, mask=some, other=0.0)
        for step in range(begin, end):
            more = step + 1 < end
            w_tile = tl.load(w_at)
            x_tile = tl.load(x_at, mask=valid[:, None], other=0.0)
            a_next = tl.load(a_at + 1, mask=valid & more, other=0.0)
            b_next = tl.load(b_at + 1, mask=more, other=0.0)
            acc += multiply(w_tile, x_tile, None, ROWS_FIRST) * for_tokens(a * b, ROWS_FIRST)
            a, b = a_next, b_next
            w_at += BK
            x_at += BK
            a_at += 1
            b_at += 1
    elif FP8:  # bf16 rows: codes are widened on their way to the product, and a block's scale is all there is
        b_at = w_scales + (expert * ((N + 127) // 128) + n0 // 128) * STEPS + begin
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
        for _ in range(begin, end):
            acc = multiply(tl.load(w_at), tl.load(x_at, mask=valid[:, None], other=0.0), acc, ROWS_FIRST)
            w_at += BK
            x_at += BK
    if CHUNKS > 0:
        acc *= for_tokens(inverse_rms(sumsq, token, valid, K, CHUNKS, CHUNKS_P2, eps), ROWS_FIRST)
    store_product(out, acc, split * tokens * SLOTS + place, rn, valid, N, ROWS_FIRST)


@triton.jit
def _down(
    x,
    x_scales,
    w,
    w_scales,
    pairs,
    tiles,
    out,
    K: tl.constexpr,
    N: tl.constexpr,
    FP8: tl.constexpr,
    SORTED: tl.constexpr,
    BN: tl.constexpr,
    BT: tl.constexpr,
    BK: tl.constexpr,
    RUN: tl.constexpr,
    ROWS_FIRST: tl.constexpr,
):
    STEPS: tl.constexpr = K // BK
    n0 = tl.program_id(0) * (BN * RUN)
    rn = tl.arange(0, BN)
    rk = tl.arange(0, BK)
    wait_for_inputs()
    expert, count, pair, place = rows_of_tile(pairs, tiles, tl.program_id(1), SORTED, BT)
    if count == 0:
        return
    let_next_start()
    valid = tl.arange(0, BT) < count
    w += expert.to(tl.int64) * (N * K)
    x_at = x + place[:, None].to(tl.int64) * K + rk[None, :]
    acc = zero_product(BN, BT, ROWS_FIRST)
    # the reduction is short: one loop runs through several tiles of rows, so that loads never pause between them
    if FP8:
        w_scales += expert * (((N + 127) // 128) * STEPS)
    if FP8 and x.dtype.element_ty == tl.float8e4nv:
        a_at = x_scales + place * STEPS
        a, b = tl.load(a_at, mask=valid, other=0.0), tl.load(w_scales + (n0 // 128) * STEPS)
        for index in range(0, RUN * STEPS):
            n, step = n0 + (index // STEPS) * BN, index % STEPS
            following = tl.minimum(index + 1, RUN * STEPS - 1)
            n_next = tl.minimum(n0 + (following // STEPS) * BN, N - 1)
            w_tile = tl.load(w + tl.minimum(n + rn, N - 1)[:, None] * K + step * BK + rk[None, :])
            x_tile = tl.load(x_at + step * BK, mask=valid[:, None], other=0.0)
            a_next = tl.load(a_at + following % STEPS, mask=valid, other=0.0)
            b_next = tl.load(w_scales + (n_next // 128) * STEPS + following % STEPS)
            acc += multiply(w_tile, x_tile, None, ROWS_FIRST) * for_tokens(a * b, ROWS_FIRST)
            a, b = a_next, b_next
            if step == STEPS - 1:
                store_product(out, acc, pair, n + rn, valid, N, ROWS_FIRST)
                acc = zero_product(BN, BT, ROWS_FIRST)
    elif FP8:  # bf16 rows
        b = tl.load(w_scales + (n0 // 128) * STEPS)
        for index in range(0, RUN * STEPS):
            n, step = n0 + (index // STEPS) * BN, index % STEPS
            following = tl.minimum(index + 1, RUN * STEPS - 1)
            n_next = tl.minimum(n0 + (following // STEPS) * BN, N - 1)
            w_tile = widen(tl.load(w + tl.minimum(n + rn, N - 1)[:, None] * K + step * BK + rk[None, :]))
            x_tile = tl.load(x_at + step * BK, mask=valid[:, None], other=0.0)
            b_next = tl.load(w_scales + (n_next // 128) * STEPS + following % STEPS)
            acc += multiply(w_tile, x_tile, None, ROWS_FIRST) * b
            b = b_next
            if step == STEPS - 1:
                store_product(out, acc, pair, n + rn, valid, N, ROWS_FIRST)
                acc = zero_product(BN, BT, ROWS_FIRST)
    else:
        for index in range(0, RUN * STEPS):
            n, step = n0 + (index // STEPS) * BN, index % STEPS
            w_tile = tl.load(w + tl.minimum(n + rn, N - 1)[:, None] * K + step * BK + rk[None, :])
            x_tile = tl.load(x_at + step * BK, mask=valid[:, None], other=0.0)
            acc = multiply(w_tile, x_tile, acc, ROWS_FIRST)
            if step == STEPS - 1:
                store_product(out, acc, pair, n + rn, valid, N, ROWS_FIRST)
                acc = zero_product(BN, BT, ROWS_FIRST)


def up_tiling(groups: Groups, weight: Weight, sms: int = 132) -> Tiling:
    """How to cut the first product."""
    width_out, width_in = weight.shape[-2:]
    if groups.tile >= 64:
        return Tiling(128, groups.tile, 1, 8, 3)
    tiles = cdiv(width_out, 64) * min(groups.expert_ids.numel(), groups.experts)
    steps, fp8 = width_in // 128, weight.format == "fp8_block"
    at_once = (4 if fp8 else 2) * sms  # programs; of a few times as many, the last turn would leave most idle
    few, splits = groups.tile == 16, 1
    while few and splits < 8 and steps // (splits * 2) >= 2:
        if not (tiles * splits < 2 * sms or at_once < tiles * splits < 4 * at_once):
            break
        splits *= 2
    if fp8:
        return Tiling(64, groups.tile, splits, 4, 5 if few and tiles > 2 * sms else 4)
    step = 128 if width_in % 128 == 0 else 64
    return Tiling(64, groups.tile, splits, 4, 3 if groups.tile > 16 else 4, step)


def down_tiling(groups: Groups, weight: Weight) -> tuple[Tiling, int]:
    """How to cut the second product, and the tiles of weights' rows that a program handles one after the other."""
    fp8 = weight.format == "fp8_block"
    width_out, width_in = weight.shape[-2:]
    if groups.tile >= 64:
        tiles = cdiv(width_out, 128) * min(groups.tile_count, groups.experts)
        return Tiling(128, groups.tile, 1, 8, 4 if fp8 else 5), max(1, min(16, tiles // 528, 4096 // width_in))
    many = cdiv(width_out, 64) * min(groups.tile_count, groups.experts) >= 4096
    run = 2 if many and width_in <= 512 else 1
    if fp8:  # of a long reduction with few rows, more steps ahead
        return Tiling(64, groups.tile, 1, 4, 5 if groups.tile == 16 and width_in > 512 else 3), run
    return Tiling(64, groups.tile, 1, 4, 4, 128 if width_in % 128 == 0 else 64), run


def experts_up(
    x: Normed,
    weight: Weight,
    groups: Groups,
    eps: float = 0.0,
    cut: Tiling | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Every pair's product with its expert's matrix.

    Args:
        x: a row a token, in FP8 or bf16 for an FP8 weight, else bf16; an outstanding rms is applied with `eps`.
        weight: [experts, out, in].

    Returns:
        [splits, pairs, out] of `dtype`, parts of a sum; rows in the order that `experts_down` expects.
    """
    fp8 = weight.format == "fp8_block"
    data = x.codes if fp8 and x.codes is not None else x.values
    assert data is not None
    tokens, slots = groups.expert_ids.shape
    width_out, width_in = weight.shape[-2:]
    if cut is None and product_gluon.suits(weight, data, groups):
        out = torch.empty(1, tokens * slots, width_out, dtype=dtype, device=data.device)
        product_gluon.multiply(x, weight, out[0], eps, groups)
        return out
    cut = cut or up_tiling(groups, weight)
    out = torch.empty(cut.splits, tokens * slots, width_out, dtype=dtype, device=data.device)
    chunks = 0 if x.sumsq is None else x.sumsq.shape[1]
    launch(
        _up,
        (cdiv(width_out, cut.rows), cut.splits, groups.tile_count),
        data,
        x.scales,
        weight.data,
        weight.scale,
        x.sumsq,
        groups.expert_ids,
        groups.pairs,
        groups.tiles,
        out,
        tokens,
        eps,
        K=width_in,
        N=width_out,
        FP8=fp8,
        SLOTS=slots,
        LEAD=groups.lead,
        CHUNKS=chunks,
        CHUNKS_P2=next_power_of_2(max(chunks, 1)),
        SPLITS=cut.splits,
        BN=cut.rows,
        BT=groups.tile,
        BK=128 if fp8 else cut.step,
        ROWS_FIRST=rows_first(groups.tile, weight, data),
        warps=cut.warps,
        stages=cut.stages,
    )
    return out


def experts_down(
    x: Normed, weight: Weight, groups: Groups, cut: Tiling | None = None, run: int | None = None
) -> Tensor:
    """Every pair's inner activations, in the order of `experts_up`, times its expert's second matrix.

    Args:
        weight: [experts, out, in].
        cut, run: as `down_tiling` has them.

    Returns:
        bf16 [tokens, slots, out].
    """
    fp8 = weight.format == "fp8_block"
    data = x.codes if fp8 and x.codes is not None else x.values
    assert data is not None
    tokens, slots = groups.expert_ids.shape
    width_out, width_in = weight.shape[-2:]
    out = torch.empty(tokens, slots, width_out, dtype=torch.bfloat16, device=data.device)
    if cut is None and run is None and product_gluon.suits(weight, data, groups):
        product_gluon.multiply(x, weight, out.view(-1, width_out), groups=groups, down=True)
        return out
    if cut is None and run is None and few_rows_gluon.suits_experts(weight, data, groups):
        few_rows_gluon.experts_down(x, weight, out.view(-1, width_out), groups)
        return out
    usual, usual_run = down_tiling(groups, weight)
    cut, run = cut or usual, run or usual_run
    launch(
        _down,
        (cdiv(width_out, cut.rows * run), groups.tile_count),
        data,
        x.scales,
        weight.data,
        weight.scale,
        groups.pairs,
        groups.tiles,
        out,
        K=width_in,
        N=width_out,
        FP8=fp8,
        SORTED=groups.sorted,
        BN=cut.rows,
        BT=groups.tile,
        BK=128 if fp8 else cut.step,
        RUN=run,
        ROWS_FIRST=rows_first(groups.tile, weight, data),
        warps=cut.warps,
        stages=cut.stages,
    )
    return out


def moe(x: Tensor, expert_ids: Tensor, expert_weights: Tensor, experts: Experts) -> Tensor:
    """`moe.moe` for FP8 or bf16 experts: rows that enter an FP8 product are rounded to e4m3 where the experts want it,
    sums are in float32."""
    groups = group_by_expert(expert_ids.int(), experts.count)
    rows = rows_for(x, experts.gate_up)
    # many rows: the sum is complete and in memory, where bf16 is half the bytes
    dtype = torch.bfloat16 if groups.tile >= 64 else torch.float32
    up = experts_up(rows, experts.gate_up, groups, dtype=dtype)
    inner = silu_mul(up, codes=experts.down.takes_codes(x.shape[0]))
    return add_weighted(experts_down(inner, experts.down, groups), expert_weights)
