"""The experts' second product, down projection, grouped by expert as the first one was."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops import linear_persistent_gluon, moe_packed_triton, moe_small_m_gluon
from hopwell.ops.linear_choice import Tiling, swap_ab
from hopwell.ops.moe_choice import choose
from hopwell.ops.moe_experts import Groups, shape_of
from hopwell.ops.moe_grouping_triton import rows_of_tile
from hopwell.ops.rows import Normed
from hopwell.ops.sizes import cdiv
from hopwell.ops.triton_common import (
    for_tokens,
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
    """Grouped GEMM: each pair's inner activations times its expert's down projection.

    Grid (runs of RUN tiles of BN weights' rows, tiles of rows). x [pairs, K] in the order that `_up` left; w [experts,
    N, K], w_scales [experts, N / 128, K / 128]. Writes out bf16 [pairs, N] in the order of (token, slot).
    """
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


def experts_down(
    x: Normed, weight: Weight, groups: Groups, cut: Tiling | None = None, run: int | None = None
) -> Tensor:
    """Every pair's inner activations, in the order of `experts_up`, times its expert's second matrix.

    Args:
        weight: [experts, out, in].
        cut, run: for the Triton kernel, in place of what `choose` says.

    Returns:
        bf16 [tokens, slots, out].
    """
    fp8 = weight.is_fp8
    data = x.fp8 if fp8 and x.fp8 is not None else x.values
    assert data is not None
    tokens, slots = groups.expert_ids.shape
    width_out, width_in = weight.shape[-2:]
    out = torch.empty(tokens, slots, width_out, dtype=torch.bfloat16, device=data.device)
    formats = Formats(weight.format, data.dtype)
    variant = choose("down", shape_of(groups, weight), formats, launch_device(data.device))
    chosen = cut is None and run is None
    if chosen and variant.name == "persistent_gluon":
        linear_persistent_gluon.multiply(x, weight, out.view(-1, width_out), groups=groups, down=True)
        return out
    if chosen and variant.name == "small_m_gluon":
        moe_small_m_gluon.experts_down(x, weight, out.view(-1, width_out), groups)
        return out
    tiling, run = cut or variant.tiling, run or variant.run
    if variant.name == "packed_triton":
        moe_packed_triton.experts_down(x, weight, groups, out.view(-1, width_out), tiling, run)
        return out
    launch(
        _down,
        (cdiv(width_out, tiling.rows * run), groups.tile_count),
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
        BN=tiling.rows,
        BT=groups.tile,
        BK=128 if fp8 else tiling.step,
        RUN=run,
        ROWS_FIRST=not swap_ab(groups.tile, formats),
        warps=tiling.warps,
        stages=tiling.stages,
    )
    return out
