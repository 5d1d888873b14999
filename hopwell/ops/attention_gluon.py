"""Causal attention of prompts on Hopper, in Gluon: what `attention_triton._prefill` does, which is its plain twin.

Softmax of a block runs while the matrix unit adds the block before (FlashAttention-3, Shah et al., 2024): the product
with the next block's keys and the one with this block's values are started together, and only the first is waited for.
"""

from __future__ import annotations

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    async_copy,
    fence_async_shared,
    warpgroup_mma,
    warpgroup_mma_init,
    warpgroup_mma_wait,
)
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait


@gluon.jit
def _fetch_rows(to, rows, stride, first, length, COPY: gl.constexpr):
    """Starts copying rows from `first` on; past the last there are copies of it."""
    n = gl.arange(0, to.shape[0], layout=gl.SliceLayout(1, COPY))
    c = gl.arange(0, to.shape[1], layout=gl.SliceLayout(0, COPY))
    row = gl.minimum(first + n, length - 1).to(gl.int64)
    async_copy.async_copy_global_to_shared(to, rows + row[:, None] * stride + c[None, :])


@gluon.jit
def _fetch_block(block, k_all, kr_all, v_all, keys, k_rope, values, k_rope_stride, length, VALUES: gl.constexpr,
                 COPY: gl.constexpr):  # fmt: skip
    """Starts copying the keys of a block and the values of the one before, if there are any."""
    BN: gl.constexpr = k_all.shape[1]
    NOPE: gl.constexpr = k_all.shape[2]
    V: gl.constexpr = v_all.shape[2]
    if (block - 1) * BN < length:
        slot = block % 3
        _fetch_rows(k_all.index(slot), keys, NOPE, block * BN, length, COPY)
        _fetch_rows(kr_all.index(slot), k_rope, k_rope_stride, block * BN, length, COPY)
        if VALUES:
            _fetch_rows(v_all.index((block + 2) % 3), values, V, (block - 1) * BN, length, COPY)
    async_copy.commit_group()


@gluon.jit
def _soften(scores, peak, total, column, row, scale_log2, MASKED: gl.constexpr):
    """A block's online softmax: its weights, the new peak and total, and what the sum so far shrinks by."""
    if MASKED:
        scores = gl.where(column[None, :] <= row[:, None], scores, float("-inf"))
    new_peak = gl.maximum(peak, gl.max(scores, axis=1) * scale_log2)
    weights = gl.exp2(scores * scale_log2 - new_peak[:, None])
    shrink = gl.exp2(peak - new_peak)
    return weights, new_peak, total * shrink + gl.sum(weights, axis=1), shrink


@gluon.jit(do_not_specialize=["tokens", "room"])
def _prefill_wide(
    q_nope,
    q_rope,
    keys,
    k_rope,
    values,
    positions,
    out,
    tokens,
    room,
    scale_log2,
    q_stride,
    rope_stride,
    k_rope_stride,
    out_stride,
    HEAD_STRIDE: gl.constexpr,
    ROPE_HEAD_STRIDE: gl.constexpr,
    NOPE: gl.constexpr,
    ROPE: gl.constexpr,
    V: gl.constexpr,
    BM: gl.constexpr,
    BN: gl.constexpr,
):
    SHARED: gl.constexpr = gl.NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=16, rank=2)
    COPY: gl.constexpr = gl.BlockedLayout([1, 8], [4, 8], [8, 1], [1, 0])
    SCORES: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [8, 1], [16, BN, 16])
    SUM: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [8, 1], [16, V, 16])
    LEFT: gl.constexpr = gl.DotOperandLayout(0, SUM, 2)
    m0 = (gl.num_programs(0) - 1 - gl.program_id(0)) * BM
    head, sequence = gl.program_id(1), gl.program_id(2)
    gdc_wait()
    gdc_launch_dependents()
    length = gl.load(positions + sequence * tokens + tokens - 1).to(gl.int32) + 1
    own = (head * gl.num_programs(2) + sequence).to(gl.int64) * room
    keys += own * NOPE
    values += own * V
    k_rope += sequence.to(gl.int64) * room * k_rope_stride
    k_all = gl.allocate_shared_memory(gl.bfloat16, [3, BN, NOPE], SHARED)
    kr_all = gl.allocate_shared_memory(gl.bfloat16, [3, BN, ROPE], SHARED)
    v_all = gl.allocate_shared_memory(gl.bfloat16, [3, BN, V], SHARED)
    for block in gl.static_range(3):
        _fetch_block(block, k_all, kr_all, v_all, keys, k_rope, values, k_rope_stride, length, block > 0, COPY)
    q_m = m0 + gl.arange(0, BM, layout=gl.SliceLayout(1, COPY))
    q_c = gl.arange(0, NOPE, layout=gl.SliceLayout(0, COPY))
    q_r = gl.arange(0, ROPE, layout=gl.SliceLayout(0, COPY))
    q_row = (sequence * tokens + q_m).to(gl.int64)[:, None]
    valid = (q_m < tokens)[:, None]
    q = gl.allocate_shared_memory(
        gl.bfloat16, [BM, NOPE], SHARED, gl.load(q_nope + q_row * q_stride + head * HEAD_STRIDE + q_c[None, :], valid, 0.0)
    )
    qr = gl.allocate_shared_memory(
        gl.bfloat16, [BM, ROPE], SHARED,
        gl.load(q_rope + q_row * rope_stride + head * ROPE_HEAD_STRIDE + q_r[None, :], valid, 0.0),
    )  # fmt: skip

    first = length - tokens  # the first query's position
    seen_by_all = (first + m0 + 1) // BN
    seen = gl.minimum(first + m0 + BM, length)
    blocks = (seen + BN - 1) // BN
    row = first + m0 + gl.arange(0, BM, layout=gl.SliceLayout(1, SCORES))
    column = gl.arange(0, BN, layout=gl.SliceLayout(0, SCORES))
    peak = gl.full([BM], float("-inf"), gl.float32, gl.SliceLayout(1, SCORES))
    total = gl.zeros([BM], gl.float32, gl.SliceLayout(1, SCORES))
    zero = gl.zeros([BM, BN], gl.float32, SCORES)
    acc = warpgroup_mma_init(gl.zeros([BM, V], gl.float32, SUM))
    async_copy.wait_group(2)
    fence_async_shared()
    scores = warpgroup_mma(q, k_all.index(0).permute((1, 0)), zero, use_acc=False, is_async=True)
    scores = warpgroup_mma(qr, kr_all.index(0).permute((1, 0)), scores, is_async=True)
    scores = warpgroup_mma_wait(0, deps=[scores])
    for edge in gl.static_range(2):  # blocks that every query sees; then those along the diagonal
        for block in range(seen_by_all if edge else 0, blocks if edge else seen_by_all):
            weights, peak, total, shrink = _soften(scores, peak, total, block * BN + column, row, scale_log2, edge == 1)
            left = gl.convert_layout(weights.to(gl.bfloat16), LEFT)
            done = warpgroup_mma_wait(0, deps=[acc])
            async_copy.wait_group(1)
            fence_async_shared()
            done = done * gl.convert_layout(shrink, gl.SliceLayout(1, SUM))[:, None]
            after = (block + 1) % 3
            scores = warpgroup_mma(q, k_all.index(after).permute((1, 0)), zero, use_acc=False, is_async=True)
            scores = warpgroup_mma(qr, kr_all.index(after).permute((1, 0)), scores, is_async=True)
            acc = warpgroup_mma(left, v_all.index(block % 3), done, is_async=True)
            _fetch_block(block + 3, k_all, kr_all, v_all, keys, k_rope, values, k_rope_stride, seen, True, COPY)
            scores = warpgroup_mma_wait(1, deps=[scores])
    result = warpgroup_mma_wait(0, deps=[acc])
    result = result / gl.convert_layout(total, gl.SliceLayout(1, SUM))[:, None]
    m = m0 + gl.arange(0, BM, layout=gl.SliceLayout(1, SUM))
    v = gl.arange(0, V, layout=gl.SliceLayout(0, SUM))
    at = out + (sequence * tokens + m).to(gl.int64)[:, None] * out_stride + head * V + v[None, :]
    gl.store(at, result.to(gl.bfloat16), (m < tokens)[:, None])
