"""The experts' first product, gate and up projection, grouped by expert: the tiles of `moe_grouping_triton` choose its
rows."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops import linear_persistent_gluon, moe_packed_triton
from hopwell.ops.linear_choice import Tiling, swap_ab
from hopwell.ops.moe_choice import choose
from hopwell.ops.moe_experts import Groups, shape_of
from hopwell.ops.moe_grouping_triton import find_rows, rows_of_tile
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
    """Grouped GEMM with split-K: each (token, slot) pair's row times its expert's gate and up projection.

    Grid (tiles of BN weights' rows, SPLITS, tiles of rows). x [tokens, K] and its scales as `linear_triton._product`
    has them; w [experts, N, K] with w_scales [experts, N / 128, K / 128]. LEAD > 0: programs find their own rows among
    expert_ids and leave pairs and tiles for `_down`; 0: both are sorted already (`moe_grouping_triton._sort`).

    Writes partials [SPLITS, tokens * SLOTS, N], in the order of pairs or, sorted, of experts.
    """
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
    if CHUNKS > 0:  # ahead of the loop, as in `linear_triton`
        rms = for_tokens(inverse_rms(sumsq, token, valid, K, CHUNKS, CHUNKS_P2, eps), ROWS_FIRST)
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
        acc *= rms
    store_product(out, acc, split * tokens * SLOTS + place, rn, valid, N, ROWS_FIRST)


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
        cut: for the Triton kernel, in place of what `choose` says.

    Returns:
        [splits, pairs, out] of `dtype`, parts of a sum; rows in the order that `experts_down` expects.
    """
    fp8 = weight.is_fp8
    data = x.fp8 if fp8 and x.fp8 is not None else x.values
    assert data is not None
    tokens, slots = groups.expert_ids.shape
    width_out, width_in = weight.shape[-2:]
    formats = Formats(weight.format, data.dtype)
    variant = choose("up", shape_of(groups, weight), formats, launch_device(data.device))
    tiling = cut or variant.tiling
    out = torch.empty(tiling.splits, tokens * slots, width_out, dtype=dtype, device=data.device)
    if variant.name == "packed_triton":
        moe_packed_triton.experts_up(x, weight, groups, out, tiling, eps)
        return out
    if cut is None and variant.name == "persistent_gluon":
        linear_persistent_gluon.multiply(x, weight, out[0], eps, groups)
        return out
    chunks = 0 if x.sumsq is None else x.sumsq.shape[1]
    launch(
        _up,
        (cdiv(width_out, tiling.rows), tiling.splits, groups.tile_count),
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
        SPLITS=tiling.splits,
        BN=tiling.rows,
        BT=groups.tile,
        BK=128 if fp8 else tiling.step,
        ROWS_FIRST=not swap_ab(groups.tile, formats),
        warps=tiling.warps,
        stages=tiling.stages,
    )
    return out
