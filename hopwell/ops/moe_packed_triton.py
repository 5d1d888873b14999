"""The experts' two products for packed weights of four bits and bf16 rows.

Experts of one layer may be in several formats: a launch a format, each over all tiles of rows. `places` says where a
launch's stack has an expert; programs of tiles whose expert is in another end at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import triton
import triton.language as tl
from torch import Tensor

from hopwell.formats.mixed import Mixed
from hopwell.formats.packed import STEP, Packed
from hopwell.ops.linear_choice import Tiling
from hopwell.ops.moe_choice import SHORT
from hopwell.ops.moe_experts import Groups
from hopwell.ops.moe_grouping_triton import find_rows, rows_of_tile
from hopwell.ops.packed_triton import decode, packed_product, scale_places, word_places
from hopwell.ops.rows import Normed
from hopwell.ops.sizes import cdiv, next_power_of_2
from hopwell.ops.triton_common import (
    inverse_rms,
    launch,
    let_next_start,
    multiply,
    store_product,
    wait_for_inputs,
    zero_product,
)
from hopwell.ops.weight import Weight

_SHORT = tl.constexpr(SHORT)


@triton.jit
def _place(expert, count, places, MAPPED: tl.constexpr):
    """Where this launch's stack has an expert, and how many rows that leaves the program."""
    if MAPPED:
        place = tl.load(places + expert)
        return tl.maximum(place, 0), tl.where(place < 0, 0, count)
    else:
        return expert, count


@triton.jit(do_not_specialize=["tokens"])
def _up_packed(
    x,
    w,
    w_scales,
    factors,
    sumsq,
    expert_ids,
    pairs,
    tiles,
    places,
    out,
    tokens,
    eps,
    K: tl.constexpr,
    N: tl.constexpr,
    FORMAT: tl.constexpr,
    ZEROS: tl.constexpr,
    SCALES: tl.constexpr,
    UNROLL: tl.constexpr,
    MAPPED: tl.constexpr,
    SLOTS: tl.constexpr,
    LEAD: tl.constexpr,
    CHUNKS: tl.constexpr,
    CHUNKS_P2: tl.constexpr,
    SPLITS: tl.constexpr,
    BN: tl.constexpr,
    BT: tl.constexpr,
):
    """Grouped GEMM with split-K: each (token, slot) pair's row times its expert's gate and up projection, packed.

    Grid, rows and results as `moe_up_triton._up`; of experts in another format, rows are left as they are.
    """
    STEPS: tl.constexpr = K // 128
    STRIPS: tl.constexpr = (N + 63) // 64
    PER_SPLIT: tl.constexpr = (STEPS + SPLITS - 1) // SPLITS
    split, tile = tl.program_id(1), tl.program_id(2)
    rn = tl.program_id(0) * BN + tl.arange(0, BN)
    wait_for_inputs()
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
    expert, count = _place(expert, count, places, MAPPED)
    if count == 0:
        return
    let_next_start()
    valid = tl.arange(0, BT) < count
    token = pair // SLOTS
    begin = split * PER_SPLIT
    end = tl.minimum(begin + PER_SPLIT, STEPS)
    x_at = x + token[:, None].to(tl.int64) * K + tl.arange(0, 128)[None, :]
    w += expert.to(tl.int64) * (STRIPS * STEPS * 1024)
    w_scales += expert.to(tl.int64) * (STRIPS * STEPS * SCALES)
    n0 = tl.program_id(0) * BN
    factor = tl.load(factors + expert * N + tl.minimum(rn, N - 1))  # ahead of the loop, as in `linear_triton`
    if CHUNKS > 0:
        rms = inverse_rms(sumsq, token, valid, K, CHUNKS, CHUNKS_P2, eps)
    acc = packed_product(w, w_scales, x_at, valid, n0, begin, end, N, STEPS, BN, BT, FORMAT, ZEROS, SCALES, UNROLL)
    acc *= factor[:, None]
    if CHUNKS > 0:
        acc *= rms[None, :]
    store_product(out, acc, split * tokens * SLOTS + place, rn, valid, N, False)


@triton.jit
def _down_packed(
    x,
    w,
    w_scales,
    factors,
    pairs,
    tiles,
    places,
    out,
    K: tl.constexpr,
    N: tl.constexpr,
    FORMAT: tl.constexpr,
    ZEROS: tl.constexpr,
    SCALES: tl.constexpr,
    UNROLL: tl.constexpr,
    MAPPED: tl.constexpr,
    SORTED: tl.constexpr,
    BN: tl.constexpr,
    BT: tl.constexpr,
    RUN: tl.constexpr,
):
    """Grouped GEMM: each pair's inner activations times its expert's packed down projection.

    Grid, rows and results as `moe_down_triton._down`. RUN above 1 is for reductions of at most `SHORT` steps.
    """
    STEPS: tl.constexpr = K // 128
    STRIPS: tl.constexpr = (N + 63) // 64
    n0 = tl.program_id(0) * (BN * RUN)
    wait_for_inputs()
    expert, count, pair, place = rows_of_tile(pairs, tiles, tl.program_id(1), SORTED, BT)
    if count == 0:
        return
    expert, count = _place(expert, count, places, MAPPED)
    if count == 0:
        return
    let_next_start()
    valid = tl.arange(0, BT) < count
    rn = n0 + tl.arange(0, BN)
    x_at = x + place[:, None].to(tl.int64) * K + tl.arange(0, 128)[None, :]
    w += expert.to(tl.int64) * (STRIPS * STEPS * 1024)
    w_scales += expert.to(tl.int64) * (STRIPS * STEPS * SCALES)
    factors += expert * N
    factor = tl.load(factors + tl.minimum(rn, N - 1))
    if STEPS > _SHORT or BN != 64:
        acc = packed_product(w, w_scales, x_at, valid, n0, 0, STEPS, N, STEPS, BN, BT, FORMAT, ZEROS, SCALES, UNROLL)
        acc *= factor[:, None]
        store_product(out, acc, pair, rn, valid, N, False)
        return
    # the tokens' rows are read once, and a turn of the loop takes a strip of the weights through all steps
    rows = ()
    for step in tl.static_range(0, STEPS):
        rows = rows + (tl.load(x_at + step * 128, mask=valid[:, None], other=0.0),)  # noqa: RUF005
    w_at = word_places(w, n0, N, BN, STEPS)
    s_at = scale_places(w_scales, n0, N, BN, STEPS, SCALES)
    for _ in range(0, tl.minimum(RUN, STRIPS - n0 // BN)):
        acc = zero_product(BN, BT, False)
        following = tl.load(factors + tl.minimum(rn + BN, N - 1))  # hazard: what feeds no product is not pipelined
        for step in tl.static_range(0, STEPS):
            words, scales = tl.load(w_at + step * 1024), tl.load(s_at + step * SCALES)
            acc = multiply(decode(words, scales, BN, FORMAT, ZEROS), rows[step], acc, False)
        acc *= factor[:, None]
        store_product(out, acc, pair, rn, valid, N, False)
        factor = following
        w_at += STEPS * 1024
        s_at += STEPS * SCALES
        rn += BN


def experts_up(x: Normed, weight: Weight, groups: Groups, out: Tensor, tiling: Tiling, eps: float = 0.0) -> None:
    """Writes every pair's product with its expert's matrix to `out`, as `moe_up_triton.experts_up` returns it.

    Args:
        x: bf16 values, a row a token; an outstanding rms is applied with `eps`.
        weight: packed [experts, out, in].
    """
    data = x.values
    assert data is not None
    tokens, slots = groups.expert_ids.shape
    width_out, width_in = weight.shape[-2:]
    chunks = 0 if x.sumsq is None else x.sumsq.shape[1]
    for stored, places in _by_format(weight):
        launch(
            _up_packed,
            (cdiv(width_out, tiling.rows), tiling.splits, groups.tile_count),
            data,
            stored.data,
            stored.scales,
            stored.factors,
            x.sumsq,
            groups.expert_ids,
            groups.pairs,
            groups.tiles,
            places,
            out,
            tokens,
            eps,
            K=width_in,
            N=width_out,
            FORMAT=str(stored.kind.name),
            ZEROS=stored.zeros,
            SCALES=stored.scale_words,
            UNROLL=max(1, tiling.step // STEP),
            MAPPED=places is not None,
            SLOTS=slots,
            LEAD=groups.lead,
            CHUNKS=chunks,
            CHUNKS_P2=next_power_of_2(max(chunks, 1)),
            SPLITS=tiling.splits,
            BN=tiling.rows,
            BT=groups.tile,
            registers=tiling.registers,
            warps=tiling.warps,
            stages=tiling.stages,
        )


def experts_down(x: Normed, weight: Weight, groups: Groups, out: Tensor, tiling: Tiling, run: int = 1) -> None:
    """Writes every pair's inner activations, in the order of `experts_up`, times its expert's matrix to `out`, bf16
    [pairs, out].

    Args:
        x: bf16 values.
        weight: packed [experts, out, in].
        run: strips of 64 weights' rows that a program takes; more than one where the reduction is short.
    """
    data = x.values
    assert data is not None
    width_out, width_in = weight.shape[-2:]
    assert run == 1 or width_in <= SHORT * STEP, "a long reduction has a loop of its own"
    for stored, places in _by_format(weight):
        launch(
            _down_packed,
            (cdiv(width_out, tiling.rows * run), groups.tile_count),
            data,
            stored.data,
            stored.scales,
            stored.factors,
            groups.pairs,
            groups.tiles,
            places,
            out,
            K=width_in,
            N=width_out,
            FORMAT=str(stored.kind.name),
            ZEROS=stored.zeros,
            SCALES=stored.scale_words,
            UNROLL=max(1, tiling.step // STEP),
            MAPPED=places is not None,
            SORTED=groups.sorted,
            BN=tiling.rows,
            BT=groups.tile,
            RUN=run,
            registers=tiling.registers,
            warps=tiling.warps,
            stages=tiling.stages,
        )


def _by_format(weight: Weight) -> Iterator[tuple[Packed, Tensor | None]]:
    """The stacks of a layer's experts, and where each has an expert; None where it has all in order."""
    if isinstance(weight.stored, Mixed):
        yield from zip(weight.stored.parts, weight.stored.data, strict=True)
    else:
        assert isinstance(weight.stored, Packed)
        yield weight.stored, None
