"""Absorbed attention on Hopper in Gluon, with the order of copies, products and conversions set by hand.

`attention_decode_rows_triton._decode_rows` computes the same and is the plain twin of both kernels, for the interpreter
and for Blackwell. `_decode_64`: bf16 caches, 64 heads a program. Two warpgroups share a page's scores by columns and
the sum by latent columns, as FlashMLA (DeepSeek, 2025) cuts the work; from plain Triton's layouts each of them computes
all scores. The next page is on its way from the moment this one's products begin. `_decode_16`: bf16 caches, up to 16
heads, a page's rows on the matrix unit's long side.

hazard: the first page is asked for before the wait. That is right because the kernel before, `absorb_query`, lets this
one start only after it has waited itself, and one of PyTorch's only when it ends: whatever wrote rows, pages' numbers
or positions has ended by then.
"""

# Gluon types what it is given at compile time as if it were given at run time
# pyright: reportArgumentType=false, reportCallIssue=false, reportAssignmentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    async_copy,
    fence_async_shared,
    warpgroup_mma,
    warpgroup_mma_wait,
)
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from hopwell.ops import sizes

PAGE = gl.constexpr(sizes.PAGE)


@gluon.jit
def _cut(positions, token, split, SPLITS: gl.constexpr):
    """Rows of a token's sequence, and the first page of a cut of them and the one behind its last."""
    length = gl.load(positions + token).to(gl.int32) + 1
    pages = (length + PAGE - 1) // PAGE
    per_split = (pages + SPLITS - 1) // SPLITS
    begin = split * per_split
    return length, begin, gl.minimum(begin + per_split, pages)


@gluon.jit
def _fetch(rows, latents, ropes, page, last, COPY: gl.constexpr, COPY_ROPE: gl.constexpr):
    """Starts copying a page; rows past the sequence's `last` one are copies of that."""
    RANK: gl.constexpr = latents.shape[1]
    ROPE: gl.constexpr = ropes.shape[1]
    c = gl.arange(0, RANK, layout=gl.SliceLayout(0, COPY))
    j = gl.maximum(gl.minimum(gl.arange(0, PAGE, layout=gl.SliceLayout(1, COPY)), last), 0)
    async_copy.async_copy_global_to_shared(latents, rows + (page * PAGE + j)[:, None] * (RANK + ROPE) + c[None, :])
    r = gl.arange(0, ROPE, layout=gl.SliceLayout(0, COPY_ROPE))
    j = gl.maximum(gl.minimum(gl.arange(0, PAGE, layout=gl.SliceLayout(1, COPY_ROPE)), last), 0)
    async_copy.async_copy_global_to_shared(ropes, rows + (page * PAGE + j)[:, None] * (RANK + ROPE) + RANK + r[None, :])
    async_copy.commit_group()


@gluon.jit
def _queries(
    queries, token, first_head, HEADS: gl.constexpr, BH: gl.constexpr, RANK: gl.constexpr, ROPE: gl.constexpr,
    SHARED: gl.constexpr, COPY: gl.constexpr,
):  # fmt: skip
    """A program's queries in shared memory, those of heads past the last as zeros: in the latent space, and rotary."""
    head = gl.arange(0, BH, layout=gl.SliceLayout(1, COPY))
    c = gl.arange(0, RANK, layout=gl.SliceLayout(0, COPY))
    r = gl.arange(0, ROPE, layout=gl.SliceLayout(0, COPY))
    at = queries + ((token.to(gl.int64) * HEADS + first_head) + head)[:, None] * (RANK + ROPE)
    valid = (first_head + head < HEADS)[:, None]
    q = gl.allocate_shared_memory(gl.bfloat16, [BH, RANK], SHARED, gl.load(at + c[None, :], valid, 0.0))
    q_rope = gl.allocate_shared_memory(gl.bfloat16, [BH, ROPE], SHARED, gl.load(at + RANK + r[None, :], valid, 0.0))
    return q, q_rope


@gluon.jit(do_not_specialize=["table_width"])
def _decode_64(
    queries,
    latent,
    page_table,
    positions,
    out,
    lse,
    scale_log2,
    table_width,
    HEADS: gl.constexpr,
    RANK: gl.constexpr,
    ROPE: gl.constexpr,
    SPLITS: gl.constexpr,
    BH: gl.constexpr,
):
    """Absorbed MLA decode (V2 report, 2.1.2), bf16 cache, 64 heads a program, on two warpgroups as FlashMLA cuts it.

    Grid (tokens, KV splits, groups of BH heads); arguments and results as `_decode_rows`. Scores [BH, page] lie cut by
    columns between the warpgroups, the sum [BH, latent] likewise; two pages in shared memory take turns.
    """
    SHARED: gl.constexpr = gl.NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=16, rank=2)
    COPY: gl.constexpr = gl.BlockedLayout([1, 8], [4, 8], [8, 1], [1, 0])
    SCORES: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 2], [16, 32, 16])
    SUM: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 2], [16, RANK // 2, 16])
    token, split = gl.program_id(0), gl.program_id(1)
    first_head = gl.program_id(2) * BH
    length, begin, end = _cut(positions, token, split, SPLITS)
    at = (token * SPLITS + split).to(gl.int64) * HEADS + first_head
    h = gl.arange(0, BH, layout=gl.SliceLayout(1, SCORES))
    if begin >= end:
        gdc_wait()
        gl.store(
            lse + at + h, gl.full([BH], float("-inf"), gl.float32, gl.SliceLayout(1, SCORES)), first_head + h < HEADS
        )
        return

    latents = gl.allocate_shared_memory(gl.bfloat16, [2, PAGE, RANK], SHARED)
    ropes = gl.allocate_shared_memory(gl.bfloat16, [2, PAGE, ROPE], SHARED)
    numbers = page_table + token * table_width
    _fetch(latent, latents.index(0), ropes.index(0), gl.load(numbers + begin).to(gl.int64), length - 1 - begin * PAGE,
           COPY, COPY)  # fmt: skip
    gdc_wait()
    gdc_launch_dependents()
    q, q_rope = _queries(queries, token, first_head, HEADS, BH, RANK, ROPE, SHARED, COPY)
    shares = gl.allocate_shared_memory(gl.bfloat16, [BH, PAGE], SHARED)

    peak = gl.full([BH], float("-inf"), gl.float32, gl.SliceLayout(1, SCORES))
    total = gl.zeros([BH, PAGE], gl.float32, SCORES)  # summed over a page's rows after the last one
    zero = gl.zeros([BH, PAGE], gl.float32, SCORES)
    acc = gl.zeros([BH, RANK], gl.float32, SUM)
    j = gl.arange(0, PAGE, layout=gl.SliceLayout(0, SCORES))
    following = gl.load(numbers + gl.minimum(begin + 1, end - 1))
    for index in range(begin, end):
        slot = (index - begin) % 2
        here = latents.index(slot)
        async_copy.wait_group(0)
        fence_async_shared()
        scores = warpgroup_mma(q, here.permute((1, 0)), zero, use_acc=False, is_async=True)
        scores = warpgroup_mma(q_rope, ropes.index(slot).permute((1, 0)), scores, is_async=True)
        if index + 1 < end:
            page = following.to(gl.int64)
            following = gl.load(numbers + gl.minimum(index + 2, end - 1))
            _fetch(latent, latents.index(1 - slot), ropes.index(1 - slot), page, length - 1 - (index + 1) * PAGE,
                   COPY, COPY)  # fmt: skip
        scores = warpgroup_mma_wait(0, deps=[scores])
        scores = gl.where((index * PAGE + j < length)[None, :], scores * scale_log2, float("-inf"))
        new_peak = gl.maximum(peak, gl.max(scores, axis=1))
        weights = gl.exp2(scores - new_peak[:, None])
        shrink = gl.exp2(peak - new_peak)
        shares.store(weights.to(gl.bfloat16))
        total = total * shrink[:, None] + weights
        acc = acc * gl.convert_layout(shrink, gl.SliceLayout(1, SUM))[:, None]
        fence_async_shared()
        # waited for at once: products of two sums in flight together are put one after the other by the assembler
        acc = warpgroup_mma(shares, here, acc)
        peak = new_peak
    whole = gl.sum(total, axis=1)
    gl.store(lse + at + h, peak + gl.log2(whole), first_head + h < HEADS)
    o_head = gl.arange(0, BH, layout=gl.SliceLayout(1, SUM))
    o_c = gl.arange(0, RANK, layout=gl.SliceLayout(0, SUM))
    mean = acc / gl.convert_layout(whole, gl.SliceLayout(1, SUM))[:, None]
    gl.store(out + (at + o_head)[:, None] * RANK + o_c[None, :], mean, (first_head + o_head < HEADS)[:, None])


@gluon.jit(do_not_specialize=["table_width"])
def _decode_16(
    queries,
    latent,
    page_table,
    positions,
    out,
    lse,
    scale_log2,
    table_width,
    HEADS: gl.constexpr,
    RANK: gl.constexpr,
    ROPE: gl.constexpr,
    SPLITS: gl.constexpr,
    BH: gl.constexpr,
):
    """The same for up to 16 heads, swap-AB: a page's rows on the matrix unit's long side, heads on the short one.

    Grid (tokens, KV splits, groups of BH heads); arguments and results as `_decode_rows`. Scores are [page, BH], the
    sum is [latent, BH].
    """
    SHARED: gl.constexpr = gl.NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=16, rank=2)
    NARROW: gl.constexpr = gl.NVMMASharedLayout(swizzle_byte_width=32, element_bitwidth=16, rank=2)
    COPY: gl.constexpr = gl.BlockedLayout([1, 8], [4, 8], [4, 1], [1, 0])
    SCORES: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BH, 16])
    COLUMNS: gl.constexpr = gl.SliceLayout(0, SCORES)
    token, split = gl.program_id(0), gl.program_id(1)
    first_head = gl.program_id(2) * BH
    length, begin, end = _cut(positions, token, split, SPLITS)
    at = (token * SPLITS + split).to(gl.int64) * HEADS + first_head
    h = gl.arange(0, BH, layout=COLUMNS)
    if begin >= end:
        gdc_wait()
        gl.store(lse + at + h, gl.full([BH], float("-inf"), gl.float32, COLUMNS), first_head + h < HEADS)
        return

    latents = gl.allocate_shared_memory(gl.bfloat16, [2, PAGE, RANK], SHARED)
    ropes = gl.allocate_shared_memory(gl.bfloat16, [2, PAGE, ROPE], SHARED)
    numbers = page_table + token * table_width
    page = gl.load(numbers + begin).to(gl.int64)
    _fetch(latent, latents.index(0), ropes.index(0), page, length - 1 - begin * PAGE, COPY, COPY)
    gdc_wait()
    gdc_launch_dependents()
    q, q_rope = _queries(queries, token, first_head, HEADS, BH, RANK, ROPE, SHARED, COPY)
    shares = gl.allocate_shared_memory(gl.bfloat16, [PAGE, BH], NARROW)

    peak = gl.full([BH], float("-inf"), gl.float32, COLUMNS)
    total = gl.zeros([PAGE, BH], gl.float32, SCORES)  # summed over a page's rows after the last one
    zero = gl.zeros([PAGE, BH], gl.float32, SCORES)
    acc = gl.zeros([RANK, BH], gl.float32, SCORES)
    j = gl.arange(0, PAGE, layout=gl.SliceLayout(1, SCORES))
    following = gl.load(numbers + gl.minimum(begin + 1, end - 1))
    for index in range(begin, end):
        slot = (index - begin) % 2
        here = latents.index(slot)
        async_copy.wait_group(0)
        fence_async_shared()
        scores = warpgroup_mma(here, q.permute((1, 0)), zero, use_acc=False, is_async=True)
        scores = warpgroup_mma(ropes.index(slot), q_rope.permute((1, 0)), scores, is_async=True)
        if index + 1 < end:
            page = following.to(gl.int64)
            following = gl.load(numbers + gl.minimum(index + 2, end - 1))
            _fetch(latent, latents.index(1 - slot), ropes.index(1 - slot), page, length - 1 - (index + 1) * PAGE,
                   COPY, COPY)  # fmt: skip
        scores = warpgroup_mma_wait(0, deps=[scores])
        scores = gl.where((index * PAGE + j < length)[:, None], scores * scale_log2, float("-inf"))
        new_peak = gl.maximum(peak, gl.max(scores, axis=0))
        weights = gl.exp2(scores - new_peak[None, :])
        shrink = gl.exp2(peak - new_peak)
        shares.store(weights.to(gl.bfloat16))
        total = total * shrink[None, :] + weights
        acc = acc * shrink[None, :]
        fence_async_shared()
        acc = warpgroup_mma(here.permute((1, 0)), shares, acc)
        peak = new_peak
    whole = gl.sum(total, axis=0)
    gl.store(lse + at + h, peak + gl.log2(whole), first_head + h < HEADS)
    o_c = gl.arange(0, RANK, layout=gl.SliceLayout(1, SCORES))
    mean = acc / whole[None, :]
    gl.store(out + (at + h)[None, :] * RANK + o_c[:, None], mean, (first_head + h < HEADS)[None, :])
