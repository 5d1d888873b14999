"""Prompts' attention on Hopper, in Gluon: a warpgroup copies keys and values while two others attend, each to its own
queries and at its own pace, so that the softmax of one runs beside the products of the other (FlashAttention-3, Shah et
al., 2024).

`attention_triton._prefill` computes the same and is the plain twin, for the interpreter and for Blackwell.
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

from hopwell.ops.gluon_common import advance

QUERIES = gl.constexpr(64)
"""Of an attending warpgroup."""
KEYS = gl.constexpr(128)
"""Of a block."""


@gluon.jit
def _tile(index, count, heads, tiles):
    """A program's tile: its head; then of the tile's first query the row, how many its sequence has from there on, the
    position, and the row of the sequence's first key.

    Programs that run together share a head's keys. Every other round of tiles goes backwards, for of a sequence the
    first tiles see the most keys.
    """
    programs = gl.num_programs(0)
    turn = index // programs
    here = index - turn * programs
    last = gl.minimum(programs, count * heads - turn * programs) - 1
    if turn % 2 == 1:
        index = turn * programs + last - here
    at = tiles + 4 * (index % count)
    return index // count, gl.load(at), gl.load(at + 1), gl.load(at + 2), gl.load(at + 3)


@gluon.jit
def _copy_rows(to, at, some, stride, LAYOUT: gl.constexpr):
    """Starts copying rows that are `stride` apart; those after the first `some` become zeros."""
    r = gl.arange(0, to.shape[0], layout=gl.SliceLayout(1, LAYOUT))
    c = gl.arange(0, to.shape[1], layout=gl.SliceLayout(0, LAYOUT))
    async_copy.async_copy_global_to_shared(to, at + r[:, None] * stride + c[None, :], (r < some)[:, None])


@gluon.jit
def _copy(
    q, qr, k_ring, rope_ring, v_ring, full, empty, q_full, q_empty, q_nope, q_rope, keys, k_rope, values, tiles,
    room, count, heads, q_stride, rope_stride, k_rope_stride, head_stride, rope_head_stride,
    NOPE: gl.constexpr, ROPE: gl.constexpr, V: gl.constexpr,
):  # fmt: skip
    """The copying warpgroup: a tile's queries once, then keys, rotary keys and values block by block into their
    rings."""
    STAGES: gl.constexpr = k_ring.shape[0]
    WIDE: gl.constexpr = gl.BlockedLayout([1, 8], [2, 16], [4, 1], [1, 0])
    NARROW: gl.constexpr = gl.BlockedLayout([1, 8], [4, 8], [4, 1], [1, 0])
    slot = 0
    phase = 1
    q_phase = 1
    for index in range(gl.program_id(0), count * heads, gl.num_programs(0)):
        head, row, left, first, key = _tile(index, count, heads, tiles)
        length = first + left
        row = row.to(gl.int64)
        own = head.to(gl.int64) * room + key
        for half in gl.static_range(2):
            mbarrier.wait(q_empty.index(half), q_phase)
            query = row + half * QUERIES
            some = left - half * QUERIES
            _copy_rows(q.index(half), q_nope + query * q_stride + head * head_stride, some, q_stride, WIDE)
            _copy_rows(
                qr.index(half), q_rope + query * rope_stride + head * rope_head_stride, some, rope_stride, NARROW
            )
            async_copy.mbarrier_arrive(q_full.index(half), increment_count=False)
        q_phase ^= 1
        k_at = keys + own * NOPE
        v_at = values + own * V
        rope_at = k_rope + key.to(gl.int64) * k_rope_stride
        for n0 in range(0, gl.minimum(first + 2 * QUERIES, length), KEYS):
            mbarrier.wait(empty.index(slot), phase)
            _copy_rows(k_ring.index(slot), k_at, length - n0, NOPE, WIDE)
            _copy_rows(rope_ring.index(slot), rope_at, length - n0, k_rope_stride, NARROW)
            async_copy.mbarrier_arrive(full.index(slot), increment_count=False)
            mbarrier.wait(empty.index(STAGES + slot), phase)
            _copy_rows(v_ring.index(slot), v_at, length - n0, V, WIDE)
            async_copy.mbarrier_arrive(full.index(STAGES + slot), increment_count=False)
            k_at += KEYS * NOPE
            v_at += KEYS * V
            rope_at += KEYS * k_rope_stride
            slot, phase = advance(slot, phase, STAGES)


@gluon.jit
def _attend(
    q, qr, k_ring, rope_ring, v_ring, full, empty, q_full, q_empty, out, tiles, count, heads, scale_log2, out_stride,
    V: gl.constexpr, HALF: gl.constexpr,
):  # fmt: skip
    """An attending warpgroup: online softmax over the ring's blocks for its half of a tile's 128 queries
    (FlashAttention-3)."""
    STAGES: gl.constexpr = k_ring.shape[0]
    SCORES: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, KEYS, 16])
    SUM: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, V, 16])
    WEIGHTS: gl.constexpr = gl.DotOperandLayout(operand_index=0, parent=SUM, k_width=2)
    LINES: gl.constexpr = gl.BlockedLayout([1, 8], [2, 16], [4, 1], [1, 0])
    j = gl.arange(0, KEYS, layout=gl.SliceLayout(0, SCORES))
    zero = gl.zeros([QUERIES, KEYS], gl.float32, SCORES)
    slot = 0
    phase = 0
    q_phase = 0
    for index in range(gl.program_id(0), count * heads, gl.num_programs(0)):
        head, row, left, first, _ = _tile(index, count, heads, tiles)
        length = first + left
        every = gl.minimum(first + 2 * QUERIES, length)  # keys that the other warpgroup may need
        first += HALF * QUERIES
        position = first + gl.arange(0, QUERIES, layout=gl.SliceLayout(1, SCORES))
        seen_by_all = (first + 1) // KEYS * KEYS
        end = gl.minimum(first + QUERIES, length)
        peak = gl.full([QUERIES], float("-inf"), gl.float32, gl.SliceLayout(1, SCORES))
        total = gl.zeros([QUERIES], gl.float32, gl.SliceLayout(1, SCORES))
        acc = gl.zeros([QUERIES, V], gl.float32, SUM)
        mbarrier.wait(q_full.index(HALF), q_phase)
        q_phase ^= 1
        for edge in gl.static_range(2):  # blocks that every query sees; then those along the diagonal
            for n0 in range(seen_by_all if edge else 0, end if edge else seen_by_all, KEYS):
                mbarrier.wait(full.index(slot), phase)
                fence_async_shared()
                scores = warpgroup_mma(q.index(HALF), k_ring.index(slot).permute((1, 0)), zero, use_acc=False,
                                       is_async=True)  # fmt: skip
                scores = warpgroup_mma(qr.index(HALF), rope_ring.index(slot).permute((1, 0)), scores, is_async=True)
                scores = warpgroup_mma_wait(0, deps=[scores])
                mbarrier.arrive(empty.index(slot), count=1)
                if edge:
                    scores = gl.where((n0 + j)[None, :] <= position[:, None], scores, float("-inf"))
                new_peak = gl.maximum(peak, gl.max(scores, axis=1) * scale_log2)
                weights = gl.exp2(scores * scale_log2 - new_peak[:, None])
                shrink = gl.exp2(peak - new_peak)
                total = total * shrink + gl.sum(weights, axis=1)
                acc = acc * gl.convert_layout(shrink, gl.SliceLayout(1, SUM))[:, None]
                shares = gl.convert_layout(weights.to(gl.bfloat16), WEIGHTS)
                mbarrier.wait(full.index(STAGES + slot), phase)
                fence_async_shared()
                acc = warpgroup_mma(shares, v_ring.index(slot), acc, is_async=True)
                acc = warpgroup_mma_wait(0, deps=[acc])
                mbarrier.arrive(empty.index(STAGES + slot), count=1)
                peak = new_peak
                slot, phase = advance(slot, phase, STAGES)
        mbarrier.arrive(q_empty.index(HALF), count=1)
        if (end + KEYS - 1) // KEYS < (every + KEYS - 1) // KEYS:  # a block for the other warpgroup alone
            mbarrier.wait(full.index(slot), phase)
            mbarrier.arrive(empty.index(slot), count=1)
            mbarrier.wait(full.index(STAGES + slot), phase)
            mbarrier.arrive(empty.index(STAGES + slot), count=1)
            slot, phase = advance(slot, phase, STAGES)
        mean = acc / gl.convert_layout(total, gl.SliceLayout(1, SUM))[:, None]
        m = HALF * QUERIES + gl.arange(0, QUERIES, layout=gl.SliceLayout(1, LINES))
        at = out + (row + m).to(gl.int64)[:, None] * out_stride
        at += (head * V + gl.arange(0, V, layout=gl.SliceLayout(0, LINES)))[None, :]
        gl.store(at, gl.convert_layout(mean.to(gl.bfloat16), LINES), (m < left)[:, None])


@gluon.jit(do_not_specialize=["room", "count", "heads"])
def _prefill_apart(
    q_nope, q_rope, keys, k_rope, values, tiles, out, room, scale_log2, q_stride, rope_stride,
    k_rope_stride, out_stride, head_stride, rope_head_stride, count, heads, NOPE: gl.constexpr, ROPE: gl.constexpr,
    V: gl.constexpr, STAGES: gl.constexpr, REGS: gl.constexpr, COPY_REGS: gl.constexpr,
):  # fmt: skip
    """`attention_prefill_triton._prefill` with a copying and two attending warpgroups; arguments as there, and:

    Grid: programs that stay and share `count` tiles of `heads` heads. STAGES blocks of KEYS keys are on their way at
    once.
    """
    SHARED: gl.constexpr = gl.NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=16, rank=2)
    k_ring = gl.allocate_shared_memory(gl.bfloat16, [STAGES, KEYS, NOPE], SHARED)
    rope_ring = gl.allocate_shared_memory(gl.bfloat16, [STAGES, KEYS, ROPE], SHARED)
    v_ring = gl.allocate_shared_memory(gl.bfloat16, [STAGES, KEYS, V], SHARED)
    q = gl.allocate_shared_memory(gl.bfloat16, [2, QUERIES, NOPE], SHARED)
    qr = gl.allocate_shared_memory(gl.bfloat16, [2, QUERIES, ROPE], SHARED)
    full = gl.allocate_shared_memory(gl.int64, [2 * STAGES, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [2 * STAGES, 1], mbarrier.MBarrierLayout())
    q_full = gl.allocate_shared_memory(gl.int64, [2, 1], mbarrier.MBarrierLayout())
    q_empty = gl.allocate_shared_memory(gl.int64, [2, 1], mbarrier.MBarrierLayout())
    for stage in gl.static_range(2 * STAGES):
        mbarrier.init(full.index(stage), count=128)
        mbarrier.init(empty.index(stage), count=2)
    for half in gl.static_range(2):
        mbarrier.init(q_full.index(half), count=128)
        mbarrier.init(q_empty.index(half), count=1)
    gdc_wait()
    gdc_launch_dependents()
    gl.warp_specialize(
        [
            (_attend, (q, qr, k_ring, rope_ring, v_ring, full, empty, q_full, q_empty, out, tiles,
                       count, heads, scale_log2, out_stride, V, gl.constexpr(0))),
            (_attend, (q, qr, k_ring, rope_ring, v_ring, full, empty, q_full, q_empty, out, tiles,
                       count, heads, scale_log2, out_stride, V, gl.constexpr(1))),
            (_copy, (q, qr, k_ring, rope_ring, v_ring, full, empty, q_full, q_empty, q_nope, q_rope, keys, k_rope,
                     values, tiles, room, count, heads, q_stride, rope_stride, k_rope_stride,
                     head_stride, rope_head_stride, NOPE, ROPE, V)),
        ],
        [4, 4],
        [REGS, COPY_REGS],
    )  # fmt: skip
