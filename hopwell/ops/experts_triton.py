"""The routed experts' two products, grouped by expert, and the sorting that they need.

A tile is up to BT rows of one expert. For up to 16 tokens every (token, slot) pair is a tile's candidate and each
program finds its own rows among the pairs: the first pair that names an expert leads it, the others have nothing to do.
For more tokens one kernel sorts the pairs by expert first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops.linear import Weight
from hopwell.ops.linear_triton import Tiling
from hopwell.ops.moe import Experts
from hopwell.ops.norm_triton import Normed, quantize, silu_mul
from hopwell.ops.triton_common import inverse_rms, launch, let_next_start, matmul, to_bf16, wait_for_inputs

LEADERS_UP_TO = 16
"""Tokens up to which programs find their rows themselves; also the rows of a tile then."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Which rows each expert multiplies."""

    expert_ids: Tensor
    """int32 [tokens, slots]."""
    experts: int
    tile: int
    """Rows of a tile at most."""
    pairs: Tensor | None
    """int32 [pairs]: pairs (token * slots + slot) sorted by expert; None: programs find their own."""
    tiles: Tensor | None
    """int32 [tiles, 3]: expert, first place in `pairs`, rows (0: nothing to do)."""

    @property
    def lead(self) -> int:
        """Pairs that a program looks through for its own, as a power of two; 0 when they are sorted."""
        return triton.next_power_of_2(self.expert_ids.numel()) if self.tiles is None else 0

    @property
    def tile_count(self) -> int:
        return self.expert_ids.numel() if self.tiles is None else self.tiles.shape[0]


@triton.jit(do_not_specialize=["pairs"])
def _sort(expert_ids, sorted_pairs, tiles, pairs, EXPERTS: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr):
    expert = tl.program_id(0)
    lane = tl.arange(0, BLOCK)
    below = tl.zeros((BLOCK,), tl.int32)
    equal = tl.zeros((BLOCK,), tl.int32)
    wait_for_inputs()
    let_next_start()
    for start in range(0, pairs, BLOCK):
        ids = tl.load(expert_ids + start + lane, mask=start + lane < pairs, other=EXPERTS)
        below += (ids < expert).to(tl.int32)
        equal += (ids == expert).to(tl.int32)
    first, count = tl.sum(below), tl.sum(equal)

    place = first
    for start in range(0, pairs, BLOCK):
        ids = tl.load(expert_ids + start + lane, mask=start + lane < pairs, other=EXPERTS)
        mine = (ids == expert).to(tl.int32)
        tl.store(sorted_pairs + place + tl.cumsum(mine) - 1, start + lane, mask=mine > 0)
        place += tl.sum(mine)

    # an expert's first tile has a fixed place; its further ones lie where the pairs before it end, in units of tiles,
    # which no two experts share: floor(a) + ceil(b) - 1 <= floor(a + b)
    tl.store(tiles + expert * 3, expert)
    tl.store(tiles + expert * 3 + 1, first)
    tl.store(tiles + expert * 3 + 2, tl.minimum(count, TILE))
    for index in range(first // TILE, (first + count) // TILE):
        done = (index - first // TILE + 1) * TILE
        at = tiles + (EXPERTS + index) * 3
        tl.store(at, expert)
        tl.store(at + 1, first + done)
        tl.store(at + 2, tl.minimum(tl.maximum(count - done, 0), TILE))


def group_by_expert(expert_ids: Tensor, experts: int, tile: int) -> Groups:
    """Prepares the pairs of int32 expert_ids [tokens, slots], all below `experts`, for the products below."""
    tokens, slots = expert_ids.shape
    if tokens <= LEADERS_UP_TO:
        return Groups(expert_ids, experts, LEADERS_UP_TO, None, None)
    pairs, device = tokens * slots, expert_ids.device
    sorted_pairs = torch.empty(pairs, dtype=torch.int32, device=device)
    tiles = torch.empty(experts + pairs // tile, 3, dtype=torch.int32, device=device)
    launch(_sort, (experts,), expert_ids, sorted_pairs, tiles, pairs, EXPERTS=experts, TILE=tile, BLOCK=1024)
    return Groups(expert_ids, experts, tile, sorted_pairs, tiles)


@triton.jit
def _rows_of_tile(expert_ids, pairs, tiles, tile, tokens, SLOTS: tl.constexpr, LEAD: tl.constexpr, BT: tl.constexpr):
    """A tile's expert, how many rows it has, their pairs [BT], and where their inner activations are kept [BT].

    LEAD is a power of two that no batch's pairs exceed, or 0 when the pairs are sorted.
    """
    row = tl.arange(0, BT)
    if LEAD > 0:
        pair = tl.arange(0, LEAD)
        ids = tl.load(expert_ids + pair, mask=pair < tokens * SLOTS, other=-1)
        expert = tl.load(expert_ids + tile)
        mine = ids == expert
        rank = tl.cumsum(mine.to(tl.int32)) - 1
        leads = tl.min(tl.where(mine, pair, LEAD)) == tile
        count = tl.where(leads, tl.sum(mine.to(tl.int32)), 0)
        hit = mine[:, None] & (rank[:, None] == row[None, :])
        mine_pairs = tl.sum(tl.where(hit, pair[:, None], 0), axis=0)
        return expert, count, mine_pairs, mine_pairs
    else:
        expert = tl.load(tiles + tile * 3)
        first = tl.load(tiles + tile * 3 + 1)
        count = tl.load(tiles + tile * 3 + 2)
        return expert, count, tl.load(pairs + first + row, mask=row < count, other=0), first + row


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
):
    BK: tl.constexpr = 128 if FP8 else 64
    STEPS: tl.constexpr = K // BK
    PER_SPLIT: tl.constexpr = (STEPS + SPLITS - 1) // SPLITS
    n0, split = tl.program_id(0) * BN, tl.program_id(1)
    rn = n0 + tl.arange(0, BN)
    rk = tl.arange(0, BK)
    wait_for_inputs()
    expert, count, pair, place = _rows_of_tile(expert_ids, pairs, tiles, tl.program_id(2), tokens, SLOTS, LEAD, BT)
    if count == 0:
        return
    let_next_start()
    valid = tl.arange(0, BT) < count
    token = pair // SLOTS
    begin = split * PER_SPLIT
    end = tl.minimum(begin + PER_SPLIT, STEPS)
    w_at = w + expert.to(tl.int64) * (N * K) + tl.minimum(rn, N - 1)[:, None] * K + begin * BK + rk[None, :]
    x_at = x + token[:, None].to(tl.int64) * K + begin * BK + rk[None, :]
    acc = tl.zeros((BN, BT), tl.float32)
    if FP8:
        # hazard: loads that feed no product are not pipelined; each step loads the next step's scales itself
        a_at = x_scales + token * STEPS + begin
        b_at = w_scales + (expert * ((N + 127) // 128) + n0 // 128) * STEPS + begin
        a, b = tl.load(a_at, mask=valid, other=0.0), tl.load(b_at)
        for step in range(begin, end):
            more = step + 1 < end
            w_tile = tl.load(w_at)
            x_tile = tl.load(x_at, mask=valid[:, None], other=0.0)
            a_next = tl.load(a_at + 1, mask=valid & more, other=0.0)
            b_next = tl.load(b_at + 1, mask=more, other=0.0)
            acc += matmul(w_tile, tl.trans(x_tile), None) * (a * b)[None, :]
            a, b = a_next, b_next
            w_at += BK
            x_at += BK
            a_at += 1
            b_at += 1
    else:
        for _ in range(begin, end):
            acc = matmul(tl.load(w_at), tl.trans(tl.load(x_at, mask=valid[:, None], other=0.0)), acc)
            w_at += BK
            x_at += BK
    if CHUNKS > 0:
        acc *= inverse_rms(sumsq, token, valid, K, CHUNKS, CHUNKS_P2, eps)[None, :]
    out_at = out + (split * tokens * SLOTS + place)[None, :].to(tl.int64) * N + rn[:, None]
    tl.store(out_at, acc, mask=(rn < N)[:, None] & valid[None, :])


@triton.jit(do_not_specialize=["tokens"])
def _down(
    x,
    x_scales,
    w,
    w_scales,
    expert_ids,
    pairs,
    tiles,
    out,
    tokens,
    K: tl.constexpr,
    N: tl.constexpr,
    FP8: tl.constexpr,
    SLOTS: tl.constexpr,
    LEAD: tl.constexpr,
    BN: tl.constexpr,
    BT: tl.constexpr,
    RUN: tl.constexpr,
):
    BK: tl.constexpr = 128 if FP8 else 64
    STEPS: tl.constexpr = K // BK
    n0 = tl.program_id(0) * (BN * RUN)
    rn = tl.arange(0, BN)
    rk = tl.arange(0, BK)
    wait_for_inputs()
    expert, count, pair, place = _rows_of_tile(expert_ids, pairs, tiles, tl.program_id(1), tokens, SLOTS, LEAD, BT)
    if count == 0:
        return
    let_next_start()
    valid = tl.arange(0, BT) < count
    w += expert.to(tl.int64) * (N * K)
    x_at = x + place[:, None].to(tl.int64) * K + rk[None, :]
    out_at = out + pair[None, :].to(tl.int64) * N
    acc = tl.zeros((BN, BT), tl.float32)
    # the reduction is short: one loop runs through several tiles of rows, so that loads never pause between them
    if FP8:
        w_scales += expert * (((N + 127) // 128) * STEPS)
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
            acc += matmul(w_tile, tl.trans(x_tile), None) * (a * b)[None, :]
            a, b = a_next, b_next
            if step == STEPS - 1:
                keep = (n + rn < N)[:, None] & valid[None, :]
                tl.store(out_at + (n + rn)[:, None], to_bf16(acc), mask=keep)
                acc = tl.zeros((BN, BT), tl.float32)
    else:
        for index in range(0, RUN * STEPS):
            n, step = n0 + (index // STEPS) * BN, index % STEPS
            w_tile = tl.load(w + tl.minimum(n + rn, N - 1)[:, None] * K + step * BK + rk[None, :])
            x_tile = tl.load(x_at + step * BK, mask=valid[:, None], other=0.0)
            acc += matmul(w_tile, tl.trans(x_tile), None)
            if step == STEPS - 1:
                keep = (n + rn < N)[:, None] & valid[None, :]
                tl.store(out_at + (n + rn)[:, None], to_bf16(acc), mask=keep)
                acc = tl.zeros((BN, BT), tl.float32)


def tile_rows(pairs: int, experts: int) -> int:
    """Rows of a tile: about what an expert gets of `pairs` (token, slot) pairs."""
    a_expert = triton.cdiv(pairs, experts)
    return 16 if a_expert <= 8 else min(128, triton.next_power_of_2(a_expert))


def up_tiling(tokens: int, groups: Groups, weight: Weight, sms: int = 132) -> Tiling:
    """How to cut the first product: the second's `Tiling.splits` are its runs of row tiles."""
    width_out, width_in = weight.shape[-2:]
    if groups.tile >= 64:
        return Tiling(128, groups.tile, 1, 8, 3)
    tiles = triton.cdiv(width_out, 64) * min(groups.expert_ids.numel(), groups.experts)
    steps = width_in // 128
    splits = 1
    while splits < 8 and tiles * splits < 2 * sms and steps // (splits * 2) >= 2:
        splits *= 2
    return Tiling(64, groups.tile, splits, 4, 5)


def experts_up(x: Normed, weight: Weight, groups: Groups, eps: float = 0.0, cut: Tiling | None = None) -> Tensor:
    """Every pair's product with its expert's matrix.

    Args:
        x: a row a token, in FP8 for an FP8 weight, else bf16; an outstanding rms is applied with `eps`.
        weight: [experts, out, in].

    Returns:
        float32 [splits, pairs, out], parts of a sum; rows in the order that `experts_down` expects.
    """
    fp8 = weight.format == "fp8_block"
    data = x.codes if fp8 else x.values
    assert data is not None
    tokens, slots = groups.expert_ids.shape
    width_out, width_in = weight.shape[-2:]
    cut = cut or up_tiling(tokens, groups, weight)
    out = torch.empty(cut.splits, tokens * slots, width_out, device=data.device)
    chunks = 0 if x.sumsq is None else x.sumsq.shape[1]
    launch(
        _up,
        (triton.cdiv(width_out, cut.rows), cut.splits, groups.tile_count),
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
        CHUNKS_P2=triton.next_power_of_2(max(chunks, 1)),
        SPLITS=cut.splits,
        BN=cut.rows,
        BT=groups.tile,
        warps=cut.warps,
        stages=cut.stages,
    )
    return out


def experts_down(
    x: Normed, weight: Weight, groups: Groups, rows: int | None = None, run: int | None = None, stages: int = 4
) -> Tensor:
    """Every pair's inner activations, in the order of `experts_up`, times its expert's second matrix.

    Args:
        weight: [experts, out, in].
        rows, run: weight rows of a tile, and tiles a program handles one after the other.

    Returns:
        bf16 [tokens, slots, out].
    """
    fp8 = weight.format == "fp8_block"
    data = x.codes if fp8 else x.values
    assert data is not None
    tokens, slots = groups.expert_ids.shape
    width_out, width_in = weight.shape[-2:]
    if rows is None:
        rows = 64 if groups.tile < 64 else 128
    if run is None:
        tiles = triton.cdiv(width_out, rows) * min(groups.tile_count, groups.experts)
        run = max(1, min(16, tiles // 528, 4096 // width_in))
    out = torch.empty(tokens, slots, width_out, dtype=torch.bfloat16, device=data.device)
    launch(
        _down,
        (triton.cdiv(width_out, rows * run), groups.tile_count),
        data,
        x.scales,
        weight.data,
        weight.scale,
        groups.expert_ids,
        groups.pairs,
        groups.tiles,
        out,
        tokens,
        K=width_in,
        N=width_out,
        FP8=fp8,
        SLOTS=slots,
        LEAD=groups.lead,
        BN=rows,
        BT=groups.tile,
        RUN=run,
        warps=4 if rows == 64 else 8,
        stages=stages,
    )
    return out


def moe(x: Tensor, expert_ids: Tensor, expert_weights: Tensor, experts: Experts) -> Tensor:
    """`moe.moe` for FP8 experts: rows are rounded to e4m3 before each product, and sums are in float32."""
    groups = group_by_expert(expert_ids.int(), experts.count, tile_rows(expert_ids.numel(), experts.count))
    inner = silu_mul(experts_up(quantize(x), experts.gate_up, groups))
    out = experts_down(inner, experts.down, groups)
    return torch.einsum("tsh,ts->th", out.float(), expert_weights).to(x.dtype)
