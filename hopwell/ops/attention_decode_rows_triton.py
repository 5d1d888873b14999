"""Absorbed attention with heads on the product's long side: for FP8 caches, and where shared memory is short.

`attention_decode_triton._decode` multiplies pages by queries on Hopper's widest instruction, which wants both in shared
memory. A cache of FP8 data becomes bf16 in registers on its way to the product, and Blackwell's matrix unit would need
more shared memory than there is. Here 16 or 32 heads lie on the long side of the older instruction, which takes its
operands from registers: nothing spills, pages wait in shared memory as they are in the cache, and three of them fit.
"""

from __future__ import annotations

import triton
import triton.language as tl

from hopwell.ops import sizes
from hopwell.ops.triton_common import let_next_start, matmul, to_bf16, wait_for_inputs

PAGE = tl.constexpr(sizes.PAGE)


@triton.jit(do_not_specialize=["table_width"])
def _decode_rows(
    queries,
    latent,
    page_table,
    positions,
    out,
    lse,
    scale_log2,
    latent_scale,
    rope_scale,
    table_width,
    HEADS: tl.constexpr,
    RANK: tl.constexpr,
    ROPE: tl.constexpr,
    SPLITS: tl.constexpr,
    BH: tl.constexpr,
    CODES: tl.constexpr,  # the cache holds e4m3 codes with the two scales
):
    """Absorbed MLA decode (V2 report, 2.1.2) over one KV split (flash-decoding), heads on the product's long side.

    Grid (tokens, SPLITS, groups of BH heads). queries bf16 [tokens, HEADS, RANK + ROPE]; latent [pages, 64, RANK +
    ROPE] in bf16, or in e4m3 with the two scales; page_table int32 [tokens, table_width]; positions int64 [tokens].

    Writes the split's mean to out, float32 [tokens, SPLITS, HEADS, RANK], and its log2-sum-exp2 to lse, float32
    [tokens, SPLITS, HEADS]: -inf where the split has no page, and then no mean.
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

    if CODES:
        # e4m3 becomes float16 in one instruction, exactly, and bf16 in six. Queries keep their mantissa in float16; a
        # power of two a head keeps them in its range
        top = tl.maximum(tl.max(tl.abs(q.to(tl.float32)), axis=1), tl.max(tl.abs(q_rope.to(tl.float32)), axis=1))
        unit = tl.exp2(tl.ceil(tl.log2(tl.maximum(top, 1e-30))))
        q = (q.to(tl.float32) / unit[:, None]).to(tl.float16)
        q_rope = (q_rope.to(tl.float32) / unit[:, None]).to(tl.float16)
        unit *= scale_log2
    peak = tl.full((BH,), float("-inf"), tl.float32)
    total = tl.zeros((BH,), tl.float32)
    acc = tl.zeros((BH, RANK), tl.float32)
    # hazard: loaded where it is used, a page's number gets a ring of its own in shared memory, and deep ones gave wrong
    # results; read a page early it waits in a register
    numbers = page_table + token * table_width
    following = tl.load(numbers + begin)
    for index in range(begin, end):
        page = following.to(tl.int64)
        following = tl.load(numbers + tl.minimum(index + 1, end - 1))
        # hazard: rows past the sequence's end may hold NaN, and 0 * NaN is NaN; the last row is read in their place
        inside = tl.maximum(tl.minimum(j, length - 1 - index * PAGE), 0)
        rows = latent + (page * PAGE + inside)[:, None] * WIDTH
        kv = tl.load(rows + c[None, :])
        k_rope = tl.load(rows + RANK + r[None, :])
        if CODES:  # their scales wait until after the products
            # hazard: loaded once for both products, codes would not be fetched ahead; the second load finds them near
            values = tl.load(rows + c[None, :], eviction_policy="evict_last").to(tl.float16)
            scores = matmul(q, tl.trans(kv.to(tl.float16)), None) * (latent_scale * unit)[:, None]
            scores += matmul(q_rope, tl.trans(k_rope.to(tl.float16)), None) * (rope_scale * unit)[:, None]
        else:
            values = kv
            scores = matmul(q, tl.trans(kv), None)
            scores = matmul(q_rope, tl.trans(k_rope), scores) * scale_log2
        seen = index * PAGE + j < length
        scores = tl.where(seen[None, :], scores, float("-inf"))
        new_peak = tl.maximum(peak, tl.max(scores, axis=1))
        weights = tl.exp2(scores - new_peak[:, None])
        shrink = tl.exp2(peak - new_peak)
        total = total * shrink + tl.sum(weights, axis=1)
        shares = weights.to(tl.float16) if CODES else to_bf16(weights)
        acc = matmul(shares, values, acc * shrink[:, None])
        peak = new_peak
    tl.store(lse + at, peak + tl.log2(total), mask=valid)
    if CODES:
        acc *= latent_scale
    tl.store(out + at[:, None] * RANK + c[None, :], acc / total[:, None], mask=valid[:, None])
