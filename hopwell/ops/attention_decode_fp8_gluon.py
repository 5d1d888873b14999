"""Absorbed attention over an FP8 cache on Hopper in Gluon: pages widened to float16 beside the products.

`attention_decode_rows_triton._decode_rows` computes the same and is the plain twin, for the interpreter and for
Blackwell. FP8 data become float16 once, on their way into shared memory, by a warpgroup of their own; plain Triton's
second product reads them from there one by one.
"""

# Gluon types what it is given at compile time as if it were given at run time
# pyright: reportArgumentType=false, reportCallIssue=false, reportAssignmentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    warpgroup_mma,
    warpgroup_mma_wait,
)
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from hopwell.ops import sizes
from hopwell.ops.attention_decode_gluon import _cut
from hopwell.ops.gluon_common import advance

PAGE = gl.constexpr(sizes.PAGE)
BRINGING_REGISTERS = {4: 152, 8: 104}
"""Of a thread that brings pages, by the warps that multiply: a page's codes, and some of its values."""


@gluon.jit
def _codes(words, numbers, index, end, length, COLUMNS: gl.constexpr, LINE: gl.constexpr, LAYOUT: gl.constexpr):
    """A page's codes, four in each int32 [PAGE, COLUMNS]; those past the sequence's end, which may be NaN, are 0."""
    page = gl.load(numbers + gl.minimum(index, end - 1)).to(gl.int64)
    j = gl.arange(0, PAGE, layout=gl.SliceLayout(1, LAYOUT))
    c = gl.arange(0, COLUMNS, layout=gl.SliceLayout(0, LAYOUT))
    at = words + (page * PAGE + j)[:, None] * LINE + c[None, :]
    return gl.load(at, (index * PAGE + j < length)[:, None], 0)


@gluon.jit
def _widened(words):
    """Pairs of float16 in int32, twice as many as there were words of e4m3; exact."""
    low, high = gl.inline_asm_elementwise(
        "{ .reg .b16 a, b; mov.b32 {a, b}, $2; cvt.rn.f16x2.e4m3x2 $0, a; cvt.rn.f16x2.e4m3x2 $1, b; }",
        "=r,=r,r", [words], (gl.int32, gl.int32), True, 1,
    )  # fmt: skip
    return gl.join(low, high).reshape([words.shape[0], 2 * words.shape[1]])


@gluon.jit
def _call_up(latent, numbers, index, end, WIDTH: gl.constexpr):
    """Lets a page come to the L2 cache, at one thread's word."""
    thread = gl.arange(0, 128, layout=gl.BlockedLayout([1], [32], [4], [0]))
    page = gl.load(numbers + gl.minimum(index, end - 1)).to(gl.int64)
    gl.inline_asm_elementwise(
        "{ .reg .pred p; setp.eq.s32 p, $2, 0; @p cp.async.bulk.prefetch.L2.global [$1], $3; mov.b32 $0, 0; }",
        "=r,l,r,r", [(latent + page * (PAGE * WIDTH)).to(gl.int64) + 0 * thread, thread, 0 * thread + PAGE * WIDTH],
        gl.int32, False, 1,
    )  # fmt: skip


@gluon.jit
def _bring(latent, numbers, latents, ropes, full, empty, length, begin, end):
    """The warpgroup that brings pages, through registers, widened to float16, into two places that take turns. The next
    page is on its way to registers from the moment this one has left them, and the one after it to the L2 cache."""
    RANK: gl.constexpr = latents.shape[2]
    ROPE: gl.constexpr = ropes.shape[2]
    LINE: gl.constexpr = (RANK + ROPE) // 4
    CODES: gl.constexpr = gl.BlockedLayout([1, 2], [1, 32], [4, 1], [1, 0])  # no two threads store to one bank
    CODES_ROPE: gl.constexpr = gl.BlockedLayout([1, 2], [4, 8], [4, 1], [1, 0])
    PAIRS: gl.constexpr = gl.NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=32, rank=2)
    if begin < end:
        words = latent.cast(gl.pointer_type(gl.int32), bitcast=True)
        codes = _codes(words, numbers, begin, end, length, RANK // 4, LINE, CODES)
        rotary = _codes(words + RANK // 4, numbers, begin, end, length, ROPE // 4, LINE, CODES_ROPE)
        _call_up(latent, numbers, begin + 1, end, RANK + ROPE)
        slot = 0
        phase = 1
        for index in range(begin, end):
            _call_up(latent, numbers, index + 2, end, RANK + ROPE)
            mbarrier.wait(empty.index(slot), phase)
            latents.index(slot)._reinterpret(gl.int32, [PAGE, RANK // 2], PAIRS).store(_widened(codes))
            ropes.index(slot)._reinterpret(gl.int32, [PAGE, ROPE // 2], PAIRS).store(_widened(rotary))
            fence_async_shared()
            mbarrier.arrive(full.index(slot), count=1)
            codes = _codes(words, numbers, index + 1, end, length, RANK // 4, LINE, CODES)
            rotary = _codes(words + RANK // 4, numbers, index + 1, end, length, ROPE // 4, LINE, CODES_ROPE)
            slot, phase = advance(slot, phase, 2)


@gluon.jit
def _queries(q, q_rope, own, first_head, ratio, HEADS: gl.constexpr, WARPS: gl.constexpr):
    """Queries into shared memory as float16, which keeps their mantissa; the power of two of each head that keeps them
    in its range is returned. The rotary part takes its scale's ratio to the latent's along: one sum holds both."""
    BH: gl.constexpr = q.shape[0]
    RANK: gl.constexpr = q.shape[1]
    ROPE: gl.constexpr = q_rope.shape[1]
    LINE: gl.constexpr = gl.BlockedLayout([1, 8], [1, 32], [WARPS, 1], [1, 0])
    LINE_ROPE: gl.constexpr = gl.BlockedLayout([1, 8], [4, 8], [WARPS, 1], [1, 0])
    head = gl.arange(0, BH, layout=gl.SliceLayout(1, LINE))
    c = gl.arange(0, RANK, layout=gl.SliceLayout(0, LINE))
    at = (own + head * (RANK + ROPE))[:, None] + c[None, :]
    q_c = gl.load(at, (first_head + head < HEADS)[:, None], 0.0).to(gl.float32)
    head = gl.arange(0, BH, layout=gl.SliceLayout(1, LINE_ROPE))
    r = gl.arange(0, ROPE, layout=gl.SliceLayout(0, LINE_ROPE))
    at = (own + head * (RANK + ROPE) + RANK)[:, None] + r[None, :]
    q_r = gl.load(at, (first_head + head < HEADS)[:, None], 0.0).to(gl.float32) * ratio
    top_r = gl.convert_layout(gl.max(gl.abs(q_r), axis=1), gl.SliceLayout(1, LINE))
    top = gl.maximum(gl.maximum(gl.max(gl.abs(q_c), axis=1), top_r), 1e-30)
    unit = gl.exp2(gl.ceil(gl.log2(top)))
    q.store((q_c / unit[:, None]).to(gl.float16))
    q_rope.store((q_r / gl.convert_layout(unit, gl.SliceLayout(1, LINE_ROPE))[:, None]).to(gl.float16))
    return unit


@gluon.jit
def _multiply_32(
    q, q_rope, shares, latents, ropes, full, empty, own, out, lse, at, first_head, length, begin, end, scale_log2,
    latent_scale, rope_scale, HEADS: gl.constexpr,
):  # fmt: skip
    """The warpgroup that multiplies for up to 32 heads: a page's rows on the matrix unit's long side, heads on the
    short one."""
    BH: gl.constexpr = q.shape[0]
    RANK: gl.constexpr = q.shape[1]
    SCORES: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BH, 16])
    COLUMNS: gl.constexpr = gl.SliceLayout(0, SCORES)
    gdc_wait()
    gdc_launch_dependents()
    unit = _queries(q, q_rope, own, first_head, rope_scale / latent_scale, HEADS, 4)
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
        acc = warpgroup_mma(here.permute((1, 0)), shares, acc)
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


@gluon.jit
def _multiply_64(
    q, q_rope, shares, latents, ropes, full, empty, own, out, lse, at, first_head, length, begin, end, scale_log2,
    latent_scale, rope_scale, HEADS: gl.constexpr,
):  # fmt: skip
    """The two warpgroups that multiply for 64 heads; what each has of scores and sum is cut as in `_decode_64`."""
    BH: gl.constexpr = q.shape[0]
    RANK: gl.constexpr = q.shape[1]
    SCORES: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 2], [16, 32, 16])
    SUM: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 2], [16, RANK // 2, 16])
    LINES: gl.constexpr = gl.SliceLayout(1, SCORES)
    gdc_wait()
    gdc_launch_dependents()
    unit = _queries(q, q_rope, own, first_head, rope_scale / latent_scale, HEADS, 8)
    factor = gl.convert_layout(unit, LINES) * (scale_log2 * latent_scale)
    peak = gl.full([BH], float("-inf"), gl.float32, LINES)
    total = gl.zeros([BH, PAGE], gl.float32, SCORES)
    zero = gl.zeros([BH, PAGE], gl.float32, SCORES)
    acc = gl.zeros([BH, RANK], gl.float32, SUM)
    j = gl.arange(0, PAGE, layout=gl.SliceLayout(0, SCORES))
    slot = 0
    phase = 0
    for index in range(begin, end):
        fence_async_shared()
        mbarrier.wait(full.index(slot), phase)
        here = latents.index(slot)
        scores = warpgroup_mma(q, here.permute((1, 0)), zero, use_acc=False, is_async=True)
        scores = warpgroup_mma(q_rope, ropes.index(slot).permute((1, 0)), scores, is_async=True)
        scores = warpgroup_mma_wait(0, deps=[scores])
        scores = gl.where((index * PAGE + j < length)[None, :], scores * factor[:, None], float("-inf"))
        new_peak = gl.maximum(peak, gl.max(scores, axis=1))
        weights = gl.exp2(scores - new_peak[:, None])
        shrink = gl.exp2(peak - new_peak)
        shares.store(weights.to(gl.float16))
        total = total * shrink[:, None] + weights
        acc = acc * gl.convert_layout(shrink, gl.SliceLayout(1, SUM))[:, None]
        fence_async_shared()
        acc = warpgroup_mma(shares, here, acc)
        mbarrier.arrive(empty.index(slot), count=1)
        peak = new_peak
        slot, phase = advance(slot, phase, 2)
    whole = gl.sum(total, axis=1)
    h = gl.arange(0, BH, layout=LINES)
    gl.store(lse + at + h, peak + gl.log2(whole), first_head + h < HEADS)
    o_head = gl.arange(0, BH, layout=gl.SliceLayout(1, SUM))
    o_c = gl.arange(0, RANK, layout=gl.SliceLayout(0, SUM))
    if begin < end:
        mean = acc * (latent_scale / gl.convert_layout(whole, gl.SliceLayout(1, SUM)))[:, None]
        gl.store(out + (at + o_head)[:, None] * RANK + o_c[None, :], mean, (first_head + o_head < HEADS)[:, None])


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
    """Attention over an FP8 cache: e4m3 rows [pages, 64, 576] under a scale for the latent and one for the rotary key.

    Grid (tokens, KV splits, groups of BH heads: 16 or 32 on four warps, 64 on eight); arguments and results as
    `_decode_rows`. One warpgroup brings pages and widens them, one or two multiply: neither waits for what the other
    does to a page but for the page.
    """
    WIDE: gl.constexpr = gl.NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=16, rank=2)
    NARROW: gl.constexpr = gl.NVMMASharedLayout(swizzle_byte_width=2 * BH, element_bitwidth=16, rank=2)
    token, split = gl.program_id(0), gl.program_id(1)
    first_head = gl.program_id(2) * BH
    length, begin, end = _cut(positions, token, split, SPLITS)
    at = (token * SPLITS + split).to(gl.int64) * HEADS + first_head
    latents = gl.allocate_shared_memory(gl.float16, [2, PAGE, RANK], WIDE)
    ropes = gl.allocate_shared_memory(gl.float16, [2, PAGE, ROPE], WIDE)
    q = gl.allocate_shared_memory(gl.float16, [BH, RANK], WIDE)
    q_rope = gl.allocate_shared_memory(gl.float16, [BH, ROPE], WIDE)
    full = gl.allocate_shared_memory(gl.int64, [2, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [2, 1], mbarrier.MBarrierLayout())
    for slot in gl.static_range(2):
        mbarrier.init(full.index(slot), count=1)
        mbarrier.init(empty.index(slot), count=1)
    numbers = page_table + token * table_width
    own = queries + (token.to(gl.int64) * HEADS + first_head) * (RANK + ROPE)
    if BH == 64:
        shares = gl.allocate_shared_memory(gl.float16, [BH, PAGE], WIDE)
        gl.warp_specialize(
            [
                (_multiply_64, (q, q_rope, shares, latents, ropes, full, empty, own, out, lse, at, first_head, length,
                                begin, end, scale_log2, latent_scale, rope_scale, HEADS)),
                (_bring, (latent, numbers, latents, ropes, full, empty, length, begin, end)),
            ],
            [4],
            [REGS],
        )  # fmt: skip
    else:
        shares = gl.allocate_shared_memory(gl.float16, [PAGE, BH], NARROW)
        gl.warp_specialize(
            [
                (_multiply_32, (q, q_rope, shares, latents, ropes, full, empty, own, out, lse, at, first_head, length,
                                begin, end, scale_log2, latent_scale, rope_scale, HEADS)),
                (_bring, (latent, numbers, latents, ropes, full, empty, length, begin, end)),
            ],
            [4],
            [REGS],
        )  # fmt: skip
