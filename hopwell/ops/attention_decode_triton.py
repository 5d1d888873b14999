"""Absorbed multi-head latent attention over the paged cache: attend in cuts of the context, then merge them.

`decode` attends, cut among programs along the context; `merge_states` merges the cuts in order and carries the result
out of the latent space, in FP8 for the output projection: a head's 128 values share a scale.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops import sizes
from hopwell.ops.attention_choice import DecodeVariant, Shape, choose
from hopwell.ops.attention_decode_fp8_gluon import BRINGING_REGISTERS, _decode_codes
from hopwell.ops.attention_decode_gluon import _decode_16, _decode_64
from hopwell.ops.attention_decode_rows_triton import _decode_rows
from hopwell.ops.paging import CacheScales
from hopwell.ops.rows import Normed, empty_rows
from hopwell.ops.sizes import cdiv
from hopwell.ops.triton_common import (
    launch,
    launch_device,
    let_next_start,
    matmul,
    quantize_groups,
    to_bf16,
    wait_for_inputs,
)

PAGE = tl.constexpr(sizes.PAGE)


@triton.jit(do_not_specialize=["table_width"])
def _decode(
    queries,
    latent,
    page_table,
    positions,
    out,
    lse,
    scale_log2,
    table_width,
    HEADS: tl.constexpr,
    RANK: tl.constexpr,
    ROPE: tl.constexpr,
    SPLITS: tl.constexpr,
    BH: tl.constexpr,
    AHEAD: tl.constexpr,  # page numbers are read a page early
):
    """Absorbed MLA decode (V2 report, 2.1.2) over one KV split, swap-AB: a page's rows on the matrix unit's long side.

    Grid (tokens, SPLITS, groups of BH heads). For a bf16 cache; arguments and results as `_decode_rows`.
    """
    token, split = tl.program_id(0), tl.program_id(1)
    head = tl.program_id(2) * BH + tl.arange(0, BH)
    valid = head < HEADS
    WIDTH: tl.constexpr = RANK + ROPE
    c = tl.arange(0, RANK)
    r = tl.arange(0, ROPE)
    j = tl.arange(0, PAGE)
    length = tl.load(positions + token).to(tl.int32) + 1
    pages = (length + PAGE - 1) // PAGE
    per_split = (pages + SPLITS - 1) // SPLITS
    begin = split * per_split
    end = tl.minimum(begin + per_split, pages)
    wait_for_inputs()
    let_next_start()
    at = (token * SPLITS + split).to(tl.int64) * HEADS + head
    if begin >= end:
        tl.store(lse + at, float("-inf"), mask=valid)
        return
    q_at = queries + (token.to(tl.int64) * HEADS + head)[:, None] * WIDTH
    q = tl.load(q_at + c[None, :], mask=valid[:, None], other=0.0)
    q_rope = tl.load(q_at + RANK + r[None, :], mask=valid[:, None], other=0.0)

    # heads on the short side: scores are [page, heads], the sum is [latent, heads]
    peak = tl.full((BH,), float("-inf"), tl.float32)
    total = tl.zeros((BH,), tl.float32)
    acc = tl.zeros((RANK, BH), tl.float32)
    numbers = page_table + token * table_width
    following = tl.load(numbers + begin)
    for index in range(begin, end):
        if AHEAD:
            page = following.to(tl.int64)
            following = tl.load(numbers + tl.minimum(index + 1, end - 1))
        else:
            page = tl.load(numbers + index).to(tl.int64)
        # hazard: rows past the sequence's end may hold NaN, and 0 * NaN is NaN; the last row is read in their place.
        # Loads run ahead of the loop: past the last page the row must not fall before the cache, even if unread
        inside = tl.maximum(tl.minimum(j, length - 1 - index * PAGE), 0)
        rows = latent + (page * PAGE + inside)[:, None] * WIDTH
        kv = tl.load(rows + c[None, :])
        k_rope = tl.load(rows + RANK + r[None, :])
        scores = matmul(kv, tl.trans(q), None)
        scores = matmul(k_rope, tl.trans(q_rope), scores) * scale_log2
        seen = index * PAGE + j < length
        scores = tl.where(seen[:, None], scores, float("-inf"))
        new_peak = tl.maximum(peak, tl.max(scores, axis=0))
        weights = tl.exp2(scores - new_peak[None, :])
        shrink = tl.exp2(peak - new_peak)
        total = total * shrink + tl.sum(weights, axis=0)
        acc = matmul(tl.trans(kv), to_bf16(weights), acc * shrink[None, :])
        peak = new_peak
    tl.store(lse + at, peak + tl.log2(total), mask=valid)
    tl.store(out + at[None, :] * RANK + c[:, None], acc / total[None, :], mask=valid[None, :])


def decode(
    queries: Tensor,
    latent: Tensor,
    page_table: Tensor,
    positions: Tensor,
    softmax_scale: float,
    scales: CacheScales | None = None,
    splits: int | None = None,
    how: DecodeVariant | None = None,
) -> tuple[Tensor, Tensor]:
    """One query a token over its sequence's cached rows, positions 0 to its own.

    Args:
        queries: bf16 [tokens, heads, 576]; latent: [pages, 64, 576] in bf16, or in e4m3 with `scales`.
        page_table: int32 [tokens, pages]; positions: int64 [tokens].
        splits, how: in place of what `choose` says.

    Returns:
        The cuts' means, float32 [tokens, splits, heads, 512], and their log2-sum-exp2 [tokens, splits, heads]; a cut
        with nothing to do has -inf and an unwritten mean.
    """
    tokens, heads, width = queries.shape
    rank = width - 64
    chosen = choose("decode", Shape(tokens, heads, rank), scales is not None, launch_device(queries.device))
    how, splits = how or chosen, splits or chosen.splits
    out = torch.empty(tokens, splits, heads, rank, device=queries.device)
    lse = torch.empty(tokens, splits, heads, device=queries.device)
    tensors = (queries, latent, page_table, positions, out, lse, softmax_scale * 1.4426950408889634)
    grid = (tokens, splits, cdiv(heads, how.heads))
    shape = {"HEADS": heads, "RANK": rank, "ROPE": width - rank, "SPLITS": splits, "BH": how.heads}
    shape |= {"warps": how.warps, "stages": how.stages}
    pair = (1.0, 1.0) if scales is None else (scales.latent, scales.rope)
    if how.gluon and scales is None:
        launch(_decode_64 if how.heads > 16 else _decode_16, grid, *tensors, page_table.shape[1], **shape)
    elif how.gluon:
        launch(_decode_codes, grid, *tensors, *pair, page_table.shape[1], **shape, REGS=BRINGING_REGISTERS[how.warps])
    elif not how.swap_ab:
        launch(_decode_rows, grid, *tensors, *pair, page_table.shape[1], **shape, CODES=scales is not None)
    else:
        assert scales is None
        launch(_decode, grid, *tensors, page_table.shape[1], **shape, AHEAD=how.ahead)
    return out, lse


@triton.jit(do_not_specialize=["tokens"])
def _combine_heads(
    cuts,
    lse,
    w_uv,
    codes,
    scales,
    values,
    tokens,
    HEADS: tl.constexpr,
    RANK: tl.constexpr,
    V: tl.constexpr,
    SPLITS: tl.constexpr,
    BS: tl.constexpr,  # cuts side by side; BT tokens * BS cuts are the columns of the product
    BT: tl.constexpr,
    CODES: tl.constexpr,
):
    """Merges the KV splits of a head (flash-decoding's merge of states) and multiplies the latent by W_UV (V2 report,
    2.1.2), in one product: splits go through it side by side.

    Grid (HEADS, tiles of BT tokens). cuts float32 [tokens, SPLITS, HEADS, RANK], lse float32 [tokens, SPLITS, HEADS],
    w_uv bf16 [HEADS, RANK, V].

    Writes [tokens, HEADS * V]: FP8 data with a scale a head (V is 128), or bf16 values.
    """
    let_next_start()
    head = tl.program_id(0)
    column = tl.arange(0, BT * BS)
    t = tl.program_id(1) * BT + column // BS
    valid = t < tokens
    every = tl.arange(0, SPLITS)
    v = tl.arange(0, V)
    # hazard: Triton 3.6 writes an operand of more than 256 rows to shared memory in one order and hands the matrix unit
    # another (its blocks end at 256 rows in one of the two): the latent is reduced in pieces that it orders alike
    PIECE: tl.constexpr = RANK if RANK <= 256 else 256  # pyright: ignore[reportAssignmentType]
    k = tl.arange(0, PIECE)
    w = ()
    for piece in tl.static_range(0, RANK, PIECE):
        w = w + (tl.load(w_uv + (head * RANK + piece + k)[:, None] * V + v[None, :]),)  # noqa: RUF005
    wait_for_inputs()
    sums = tl.load(
        lse + (t[:, None] * SPLITS + every[None, :]) * HEADS + head, mask=valid[:, None], other=0.0
    )  # [columns, SPLITS]
    peak = tl.max(sums, axis=1)
    total = tl.sum(tl.exp2(sums - peak[:, None]), axis=1)
    mixed = ()
    for piece in tl.static_range(0, RANK, PIECE):
        means = tl.zeros((BT * BS, PIECE), tl.float32)
        for first in tl.static_range(0, SPLITS, BS):
            at = (t * SPLITS + first + column % BS) * HEADS + head
            part = tl.load(lse + at, mask=valid, other=float("-inf"))
            # hazard: a cut with nothing to do left its mean unwritten
            read = valid if SPLITS <= 16 else part > float("-inf")  # of many most are such
            mean = tl.load(cuts + at[:, None].to(tl.int64) * RANK + piece + k[None, :], mask=read[:, None], other=0.0)
            mean = tl.where((part > float("-inf"))[:, None], mean, 0.0)
            means += mean * (tl.exp2(part - peak) / total)[:, None]
        mixed = mixed + (to_bf16(means),)  # noqa: RUF005
    acc = tl.zeros((V, BT * BS), tl.float32)
    for piece in tl.static_range(RANK // PIECE):
        # the product is linear: cuts go through it side by side and are added after
        acc = matmul(tl.trans(w[piece]), tl.trans(mixed[piece]), acc)
    merged = tl.trans(tl.sum(tl.reshape(acc, (V, BT, BS)), axis=2))  # [BT, V]
    t = tl.program_id(1) * BT + tl.arange(0, BT)
    row = t.to(tl.int64) * (HEADS * V) + head * V
    valid = t < tokens
    if CODES:
        code, scale = quantize_groups(merged)
        tl.store(codes + row[:, None] + v[None, :], code, mask=valid[:, None])
        tl.store(scales + t * HEADS + head, scale, mask=valid)
    else:
        tl.store(values + row[:, None] + v[None, :], to_bf16(merged), mask=valid[:, None])


def merge_states(cuts: Tensor, lse: Tensor, w_uv: Tensor, fp8: bool = True) -> Normed:
    """Merges the cuts of `decode` and leaves the latent space: -> [tokens, heads * 128], in e4m3 with a scale a head,
    or in bf16. w_uv is bf16 [heads, 512, 128]."""
    tokens, splits, heads, rank = cuts.shape
    v = w_uv.shape[-1]
    out = empty_rows(tokens, heads * v, fp8, cuts.device)
    cut = choose("merge", Shape(tokens, heads, rank, splits), False, launch_device(cuts.device))
    launch(
        _combine_heads,
        (heads, cdiv(tokens, cut.tile)),
        cuts,
        lse,
        w_uv,
        out.fp8,
        out.scales,
        out.values,
        tokens,
        HEADS=heads,
        RANK=rank,
        V=v,
        SPLITS=splits,
        BS=cut.beside,
        BT=cut.tile,
        CODES=fp8,
        warps=8,
    )
    return out
