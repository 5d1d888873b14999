"""Absorbed attention over an FP8 cache on Hopper in Gluon: pages widened to float16 beside the products.

`attention_decode_rows_triton._decode_rows` computes the same and is the plain twin, for the interpreter and for
Blackwell. FP8 data become float16 once, in shared memory, by a warpgroup of their own; plain Triton's second product
reads them from there one by one.
"""

# Gluon types what it is given at compile time as if it were given at run time
# pyright: reportArgumentType=false, reportCallIssue=false, reportAssignmentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    async_copy,
    fence_async_shared,
    mbarrier,
    warpgroup_mma,
    warpgroup_mma_wait,
)
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from hopwell.ops import sizes
from hopwell.ops.attention_decode_gluon import _cut, _fetch
from hopwell.ops.gluon_common import advance

PAGE = gl.constexpr(sizes.PAGE)
BRINGING_REGISTERS = 168
"""Of a thread that brings pages: half a page's codes, and the other half's values."""


@gluon.jit
def _bring(latent, numbers, raw, raw_rope, latents, ropes, full, empty, length, begin, end):
    """The warpgroup that brings pages: as they are stored into one place, from there through registers, widened to
    float16, into two that take turns. The next page is on its way from the moment this one is in registers."""
    COPY: gl.constexpr = gl.BlockedLayout([1, 16], [4, 8], [4, 1], [1, 0])
    COPY_ROPE: gl.constexpr = gl.BlockedLayout([1, 16], [8, 4], [4, 1], [1, 0])
    LINE: gl.constexpr = gl.BlockedLayout([1, 8], [1, 32], [4, 1], [1, 0])  # no two threads in one bank
    LINE_ROPE: gl.constexpr = gl.BlockedLayout([1, 8], [4, 8], [4, 1], [1, 0])
    HALF: gl.constexpr = raw.shape[1] // 2
    if begin < end:
        page = gl.load(numbers + begin).to(gl.int64)
        _fetch(latent, raw, raw_rope, page, length - 1 - begin * PAGE, COPY, COPY_ROPE)
    slot = 0
    phase = 1
    for index in range(begin, end):
        page = gl.load(numbers + gl.minimum(index + 1, end - 1)).to(gl.int64)
        async_copy.wait_group(0)
        first = raw.slice(0, HALF, 1).load(LINE)
        second = raw.slice(HALF, HALF, 1).load(LINE)
        rotary = raw_rope.load(LINE_ROPE)
        if index + 1 < end:
            _fetch(latent, raw, raw_rope, page, length - 1 - (index + 1) * PAGE, COPY, COPY_ROPE)
        mbarrier.wait(empty.index(slot), phase)
        here = latents.index(slot)
        here.slice(0, HALF, 1).store(first.to(gl.float16))
        here.slice(HALF, HALF, 1).store(second.to(gl.float16))
        ropes.index(slot).store(rotary.to(gl.float16))
        fence_async_shared()
        mbarrier.arrive(full.index(slot), count=1)
        slot, phase = advance(slot, phase, 2)


@gluon.jit
def _multiply(
    q, q_rope, shares, latents, ropes, full, empty, own, out, lse, at, first_head, length, begin, end, scale_log2,
    latent_scale, rope_scale, HEADS: gl.constexpr,
):  # fmt: skip
    """The warpgroup that multiplies: a page's rows on the matrix unit's long side, BH heads on the short one."""
    BH: gl.constexpr = q.shape[0]
    RANK: gl.constexpr = q.shape[1]
    ROPE: gl.constexpr = q_rope.shape[1]
    WIDTH: gl.constexpr = RANK + ROPE
    LINE: gl.constexpr = gl.BlockedLayout([1, 8], [1, 32], [4, 1], [1, 0])
    LINE_ROPE: gl.constexpr = gl.BlockedLayout([1, 8], [4, 8], [4, 1], [1, 0])
    SCORES: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BH, 16])
    COLUMNS: gl.constexpr = gl.SliceLayout(0, SCORES)
    gdc_wait()
    gdc_launch_dependents()

    # queries keep their mantissa in float16; a power of two a head keeps them in its range. The rotary part takes its
    # scale's ratio to the latent's along, so that one sum holds both
    q_head = gl.arange(0, BH, layout=gl.SliceLayout(1, LINE))
    q_at = (own + q_head * WIDTH)[:, None] + gl.arange(0, RANK, layout=gl.SliceLayout(0, LINE))[None, :]
    q_c = gl.load(q_at, (first_head + q_head < HEADS)[:, None], 0.0).to(gl.float32)
    r_head = gl.arange(0, BH, layout=gl.SliceLayout(1, LINE_ROPE))
    r_at = (own + r_head * WIDTH + RANK)[:, None] + gl.arange(0, ROPE, layout=gl.SliceLayout(0, LINE_ROPE))[None, :]
    q_r = gl.load(r_at, (first_head + r_head < HEADS)[:, None], 0.0).to(gl.float32) * (rope_scale / latent_scale)
    top_r = gl.convert_layout(gl.max(gl.abs(q_r), axis=1), gl.SliceLayout(1, LINE))
    top = gl.maximum(gl.maximum(gl.max(gl.abs(q_c), axis=1), top_r), 1e-30)
    unit = gl.exp2(gl.ceil(gl.log2(top)))
    q.store((q_c / unit[:, None]).to(gl.float16))
    q_rope.store((q_r / gl.convert_layout(unit, gl.SliceLayout(1, LINE_ROPE))[:, None]).to(gl.float16))
    factor = gl.convert_layout(unit, COLUMNS) * (scale_log2 * latent_scale)

    peak = gl.full([BH], float("-inf"), gl.float32, COLUMNS)
    total = gl.zeros([PAGE, BH], gl.float32, SCORES)  # summed over a page's rows after the last one
    zero = gl.zeros([PAGE, BH], gl.float32, SCORES)
    acc = gl.zeros([RANK, BH], gl.float32, SCORES)
    j = gl.arange(0, PAGE, layout=gl.SliceLayout(1, SCORES))
    slot = 0
    phase = 0
    for index in range(begin, end):
        fence_async_shared()
        mbarrier.wait(full.index(slot), phase)
        here = latents.index(slot)
        scores = warpgroup_mma(here, q.permute((1, 0)), zero, use_acc=False, is_async=True)
        scores = warpgroup_mma(ropes.index(slot), q_rope.permute((1, 0)), scores, is_async=True)
        scores = warpgroup_mma_wait(0, deps=[scores])
        scores = gl.where((index * PAGE + j < length)[:, None], scores * factor[None, :], float("-inf"))
        new_peak = gl.maximum(peak, gl.max(scores, axis=0))
        weights = gl.exp2(scores - new_peak[None, :])
        shrink = gl.exp2(peak - new_peak)
        shares.store(weights.to(gl.float16))
        total = total * shrink[None, :] + weights
        acc = acc * shrink[None, :]
        fence_async_shared()
        acc = warpgroup_mma(here.permute((1, 0)), shares, acc, is_async=True)
        acc = warpgroup_mma_wait(0, deps=[acc])
        mbarrier.arrive(empty.index(slot), count=1)
        peak = new_peak
        slot, phase = advance(slot, phase, 2)
    whole = gl.sum(total, axis=0)
    h = gl.arange(0, BH, layout=COLUMNS)
    gl.store(lse + at + h, peak + gl.log2(whole), first_head + h < HEADS)
    o_c = gl.arange(0, RANK, layout=gl.SliceLayout(1, SCORES))
    if begin < end:
        mean = acc * (latent_scale / whole)[None, :]
        gl.store(out + (at + h)[None, :] * RANK + o_c[:, None], mean, (first_head + h < HEADS)[None, :])


@gluon.jit(do_not_specialize=["table_width"])
def _decode_codes(
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
    HEADS: gl.constexpr,
    RANK: gl.constexpr,
    ROPE: gl.constexpr,
    SPLITS: gl.constexpr,
    BH: gl.constexpr,
    REGS: gl.constexpr,
):
    """Attention over an FP8 cache, swap-AB: e4m3 rows [pages, 64, 576] under a scale for the latent and one for the
    rotary key.

    Grid (tokens, KV splits, groups of BH heads); arguments and results as `_decode_rows`. One warpgroup brings pages
    and widens them, one multiplies: neither waits for what the other does to a page but for the page. Where each did
    both, for 16 of 32 heads, every page was read and widened twice and the matrix unit rested meanwhile: 53 us for 128
    sequences of 1k on an H200, where this takes 42 and memory 17.
    """
    WIDE: gl.constexpr = gl.NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=16, rank=2)
    NARROW: gl.constexpr = gl.NVMMASharedLayout(swizzle_byte_width=2 * BH, element_bitwidth=16, rank=2)
    RAW: gl.constexpr = gl.SwizzledSharedLayout(16, 1, 8, [1, 0])
    RAW_ROPE: gl.constexpr = gl.SwizzledSharedLayout(16, 2, 4, [1, 0])
    token, split = gl.program_id(0), gl.program_id(1)
    first_head = gl.program_id(2) * BH
    length, begin, end = _cut(positions, token, split, SPLITS)
    at = (token * SPLITS + split).to(gl.int64) * HEADS + first_head
    raw = gl.allocate_shared_memory(gl.float8e4nv, [PAGE, RANK], RAW)
    raw_rope = gl.allocate_shared_memory(gl.float8e4nv, [PAGE, ROPE], RAW_ROPE)
    latents = gl.allocate_shared_memory(gl.float16, [2, PAGE, RANK], WIDE)
    ropes = gl.allocate_shared_memory(gl.float16, [2, PAGE, ROPE], WIDE)
    q = gl.allocate_shared_memory(gl.float16, [BH, RANK], WIDE)
    q_rope = gl.allocate_shared_memory(gl.float16, [BH, ROPE], WIDE)
    shares = gl.allocate_shared_memory(gl.float16, [PAGE, BH], NARROW)
    full = gl.allocate_shared_memory(gl.int64, [2, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [2, 1], mbarrier.MBarrierLayout())
    for slot in gl.static_range(2):
        mbarrier.init(full.index(slot), count=1)
        mbarrier.init(empty.index(slot), count=1)
    numbers = page_table + token * table_width
    own = queries + (token.to(gl.int64) * HEADS + first_head) * (RANK + ROPE)
    gl.warp_specialize(
        [
            (_multiply, (q, q_rope, shares, latents, ropes, full, empty, own, out, lse, at, first_head, length, begin,
                         end, scale_log2, latent_scale, rope_scale, HEADS)),
            (_bring, (latent, numbers, raw, raw_rope, latents, ropes, full, empty, length, begin, end)),
        ],
        [4],
        [REGS],
    )  # fmt: skip
