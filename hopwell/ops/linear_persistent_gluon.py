"""Products of many rows on Hopper, in Gluon: a warpgroup copies while two others multiply, each at its own pace.

`linear_triton._product` and `moe_up_triton._up` and `moe_down_triton._down` compute the same and are the plain twins,
for the interpreter, for Blackwell and for few rows. There all warps wait for a copy, multiply and add a block's sum
together, and the matrix unit idles while they add. Here one warpgroup's additions run beside the other's products, as
in DeepGEMM (DeepSeek, 2025): a copying warpgroup fills a ring of tiles and says so through barriers in shared memory.
Programs stay and take tile after tile, so that the ring is filled ahead across tiles.
"""

# Gluon types what it is given at compile time as if it were given at run time
# pyright: reportArgumentType=false, reportCallIssue=false, reportAssignmentType=false, reportGeneralTypeIssues=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

from torch import Tensor
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
from hopwell.ops.linear_choice import GROUP_M, PERSISTENT_OUT, PERSISTENT_ROWS
from hopwell.ops.moe_experts import Groups
from hopwell.ops.rows import Normed
from hopwell.ops.sizes import cdiv
from hopwell.ops.triton_common import launch, launch_device
from hopwell.ops.weight import Weight

ROWS = gl.constexpr(PERSISTENT_ROWS)
"""Of a tile: each multiplying warpgroup takes all of them, half of them at a time."""
OUT = gl.constexpr(PERSISTENT_OUT)
"""Of a tile, weights' rows: each multiplying warpgroup takes half of them."""
DENSE, UP, DOWN = gl.constexpr(0), gl.constexpr(1), gl.constexpr(2)


@gluon.jit
def _tile(index, tiles, rows, N: gl.constexpr, KIND: gl.constexpr, BAND: gl.constexpr):
    """Of a tile: its place among the weights' rows, its expert, first row and number of rows."""
    WIDE: gl.constexpr = (N + OUT - 1) // OUT
    if KIND == DENSE:  # programs that run together share what they read
        high = (rows + ROWS - 1) // ROWS
        first = index // (BAND * WIDE) * BAND
        height = gl.minimum(high - first, BAND)
        here = index % (BAND * WIDE)
        row = (first + here % height) * ROWS
        return here // height, 0, row, gl.minimum(rows - row, ROWS)
    else:
        at = tiles + index // WIDE * 3
        return index % WIDE, gl.load(at), gl.load(at + 1), gl.load(at + 2)


@gluon.jit
def _copy(
    rows_to, weights_to, full, empty, x, w, pairs, tiles, rows, count,
    K: gl.constexpr, N: gl.constexpr, BK: gl.constexpr, KIND: gl.constexpr, SLOTS: gl.constexpr, BAND: gl.constexpr,
):  # fmt: skip
    """The copying warpgroup: a tile's rows and weights, BK of the reduction at a time, into the rings."""
    STAGES: gl.constexpr = rows_to.shape[0]
    EACH: gl.constexpr = 128 // x.dtype.element_ty.primitive_bitwidth
    LINE: gl.constexpr = BK // EACH
    COPY: gl.constexpr = gl.BlockedLayout([1, EACH], [32 // LINE, LINE], [4, 1], [1, 0])
    k = gl.arange(0, BK, layout=gl.SliceLayout(0, COPY))
    r = gl.arange(0, ROWS, layout=gl.SliceLayout(1, COPY))
    n = gl.arange(0, OUT, layout=gl.SliceLayout(1, COPY))
    slot = 0
    phase = 1
    for index in range(gl.program_id(0), count, gl.num_programs(0)):
        wide, expert, first, some = _tile(index, tiles, rows, N, KIND, BAND)
        if some > 0:
            row = first + r
            if KIND == UP:
                row = gl.load(pairs + row, r < some, 0) // SLOTS
            x_at = x + row[:, None].to(gl.int64) * K + k[None, :]
            w_at = w + (expert.to(gl.int64) * N + wide * OUT) * K + (n[:, None] * K + k[None, :])
            for step in range(0, K, BK):
                mbarrier.wait(empty.index(slot), phase)
                async_copy.async_copy_global_to_shared(rows_to.index(slot), x_at + step, (r < some)[:, None])
                if N % OUT == 0:
                    async_copy.async_copy_global_to_shared(weights_to.index(slot), w_at + step)
                else:
                    inside = (wide * OUT + n < N)[:, None]
                    async_copy.async_copy_global_to_shared(weights_to.index(slot), w_at + step, inside)
                async_copy.mbarrier_arrive(full.index(slot), increment_count=False)
                slot, phase = advance(slot, phase, STAGES)


@gluon.jit
def _reduce(
    rows_from, weights_from, full, empty, x_scales, w_scales, low, high, some, slot, phase,
    STEPS: gl.constexpr, FP8: gl.constexpr, HALF: gl.constexpr, BOTH: gl.constexpr,
):  # fmt: skip
    """The products of a tile's first 64 rows and, with BOTH, of its others, with half of the weights' rows."""
    STAGES: gl.constexpr = rows_from.shape[0]
    M: gl.constexpr = ROWS // 2
    W: gl.constexpr = OUT // 2
    ACC: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, W, 256 // rows_from.dtype.primitive_bitwidth])
    m = gl.arange(0, M, layout=gl.SliceLayout(1, ACC))
    zero = gl.zeros([M, W], gl.float32, ACC)
    acc0 = zero
    acc1 = zero
    if FP8:
        low_at, high_at = x_scales + low * STEPS, x_scales + high * STEPS
        b = gl.load(w_scales)
        a0 = gl.load(low_at, m < some, 0.0)
        a1 = gl.load(high_at, M + m < some, 0.0)
    for step in range(STEPS):
        mbarrier.wait(full.index(slot), phase)
        fence_async_shared()
        here = rows_from.index(slot)
        weights = weights_from.index(slot).slice(HALF * W, W, 0).permute((1, 0))
        if FP8:
            # one product a block of 128: the matrix unit keeps about 14 bits, float32 keeps the sum of blocks
            product = warpgroup_mma(here.slice(0, M, 0), weights, zero, use_acc=False, is_async=True)
            more = gl.minimum(step + 1, STEPS - 1)
            b_next = gl.load(w_scales + more)
            a0_next = gl.load(low_at + more, m < some, 0.0)
            if BOTH:
                a1_next = gl.load(high_at + more, M + m < some, 0.0)
            product = warpgroup_mma_wait(0, deps=[product])
            if not BOTH:
                mbarrier.arrive(empty.index(slot), count=1)
            acc0 += product * (a0 * b)[:, None]
            if BOTH:
                product = warpgroup_mma(here.slice(M, M, 0), weights, zero, use_acc=False, is_async=True)
                product = warpgroup_mma_wait(0, deps=[product])
                mbarrier.arrive(empty.index(slot), count=1)
                acc1 += product * (a1 * b)[:, None]
                a1 = a1_next
            b = b_next
            a0 = a0_next
        else:
            acc0 = warpgroup_mma(here.slice(0, M, 0), weights, acc0, is_async=True)
            if BOTH:
                acc1 = warpgroup_mma(here.slice(M, M, 0), weights, acc1, is_async=True)
                acc0, acc1 = warpgroup_mma_wait(0, deps=[acc0, acc1])
            else:
                acc0 = warpgroup_mma_wait(0, deps=[acc0])
            mbarrier.arrive(empty.index(slot), count=1)
        slot, phase = advance(slot, phase, STAGES)
    return acc0, acc1, slot, phase


@gluon.jit
def _multiply(
    rows_from, weights_from, full, empty, x_scales, w_scales, sumsq, pairs, tiles, out, rows, count, eps,
    K: gl.constexpr, N: gl.constexpr, BK: gl.constexpr, KIND: gl.constexpr, SLOTS: gl.constexpr, BAND: gl.constexpr,
    CHUNKS: gl.constexpr, FP8: gl.constexpr, HALF: gl.constexpr,
):  # fmt: skip
    """A multiplying warpgroup: half of a tile's weights' rows, tile after tile."""
    STEPS: gl.constexpr = K // BK
    BLOCKS: gl.constexpr = (N + 127) // 128
    M: gl.constexpr = ROWS // 2
    W: gl.constexpr = OUT // 2
    ACC: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, W, 256 // rows_from.dtype.primitive_bitwidth])
    m = gl.arange(0, M, layout=gl.SliceLayout(1, ACC))
    slot = 0
    phase = 0
    for index in range(gl.program_id(0), count, gl.num_programs(0)):
        wide, expert, first, some = _tile(index, tiles, rows, N, KIND, BAND)
        if some > 0:
            low, high = first + m, first + M + m
            if KIND == UP:
                low = gl.load(pairs + low, m < some, 0) // SLOTS
                high = gl.load(pairs + high, M + m < some, 0) // SLOTS
            at = wide * OUT + HALF * W
            block = gl.minimum(at // 128, BLOCKS - 1)
            scales = w_scales + (expert * BLOCKS + block) * STEPS if FP8 else w_scales
            if some > M:
                acc0, acc1, slot, phase = _reduce(
                    rows_from, weights_from, full, empty, x_scales, scales, low, high, some, slot, phase, STEPS, FP8,
                    HALF, True,
                )  # fmt: skip
            else:  # the last tile of an expert is half empty or more every other time
                acc0, acc1, slot, phase = _reduce(
                    rows_from, weights_from, full, empty, x_scales, scales, low, high, some, slot, phase, STEPS, FP8,
                    HALF, False,
                )  # fmt: skip
            _store(out, acc0, sumsq, pairs, first, low, some, at, eps, K, N, KIND, CHUNKS)
            if some > M:
                _store(out, acc1, sumsq, pairs, first + M, high, some - M, at, eps, K, N, KIND, CHUNKS)


@gluon.jit
def _store(
    out, acc, sumsq, pairs, first, row, some, column, eps,
    K: gl.constexpr, N: gl.constexpr, KIND: gl.constexpr, CHUNKS: gl.constexpr,
):  # fmt: skip
    """Writes a warpgroup's sums, times 1 / rms where one is outstanding, to rows in the order that KIND has."""
    M: gl.constexpr = acc.shape[0]
    W: gl.constexpr = acc.shape[1]
    if CHUNKS > 0:
        valid = gl.arange(0, M, layout=gl.SliceLayout(1, acc.type.layout)) < some
        squares = gl.load(sumsq + row * CHUNKS, valid, 1.0)
        for chunk in gl.static_range(1, CHUNKS):
            squares += gl.load(sumsq + row * CHUNKS + chunk, valid, 0.0)
        acc = acc * gl.rsqrt(squares / K + eps)[:, None]
    result = acc.to(out.dtype.element_ty)
    LINES: gl.constexpr = (
        gl.BlockedLayout([1, 8], [2, 16], [4, 1], [1, 0]) if out.dtype.element_ty == gl.bfloat16 else acc.type.layout
    )
    if out.dtype.element_ty == gl.bfloat16:  # in whole lines
        result = gl.convert_layout(result, LINES)
    m = gl.arange(0, M, layout=gl.SliceLayout(1, LINES))
    c = column + gl.arange(0, W, layout=gl.SliceLayout(0, LINES))
    place = first + m
    if KIND == DOWN:
        place = gl.load(pairs + place, m < some, 0)
    at = out + place.to(gl.int64)[:, None] * N + c[None, :]
    gl.store(at, result, (m < some)[:, None] & (c < N)[None, :])


@gluon.jit(do_not_specialize=["rows", "count"])
def _rows_by_weights(
    x, x_scales, w, w_scales, sumsq, pairs, tiles, out, rows, count, eps,
    K: gl.constexpr, N: gl.constexpr, FP8: gl.constexpr, KIND: gl.constexpr, SLOTS: gl.constexpr,
    CHUNKS: gl.constexpr, BAND: gl.constexpr, STAGES: gl.constexpr, COPY_REGS: gl.constexpr, REGS: gl.constexpr,
):  # fmt: skip
    """Persistent warp-specialised GEMM, dense or grouped by expert, rows [.., K] times w [experts, N, K] transposed,
    FP8 in 128 x 128 blocks (V3 report, 3.3.2: each block's product is added in float32) or bf16.

    Grid: programs that stay and share `count` tiles of 128 rows x 256 weights' rows. x, x_scales, sumsq as `_product`
    has them; pairs and tiles as `moe_experts.Groups`. KIND: DENSE; UP, rows are tokens and results in the order of
    experts; DOWN, the other way round. Writes out [rows, N] in float32 or bf16.
    """
    BITS: gl.constexpr = x.dtype.element_ty.primitive_bitwidth
    BK: gl.constexpr = 1024 // BITS
    SHARED: gl.constexpr = gl.NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=BITS, rank=2)
    rows_ring = gl.allocate_shared_memory(x.dtype.element_ty, [STAGES, ROWS, BK], SHARED)
    weights_ring = gl.allocate_shared_memory(x.dtype.element_ty, [STAGES, OUT, BK], SHARED)
    full = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    for stage in gl.static_range(STAGES):
        mbarrier.init(full.index(stage), count=128)
        mbarrier.init(empty.index(stage), count=2)
    gdc_wait()
    gdc_launch_dependents()
    gl.warp_specialize(
        [
            (_multiply, (rows_ring, weights_ring, full, empty, x_scales, w_scales, sumsq, pairs, tiles, out, rows,
                         count, eps, K, N, BK, KIND, SLOTS, BAND, CHUNKS, FP8, gl.constexpr(0))),
            (_multiply, (rows_ring, weights_ring, full, empty, x_scales, w_scales, sumsq, pairs, tiles, out, rows,
                         count, eps, K, N, BK, KIND, SLOTS, BAND, CHUNKS, FP8, gl.constexpr(1))),
            (_copy, (rows_ring, weights_ring, full, empty, x, w, pairs, tiles, rows, count, K, N, BK, KIND, SLOTS,
                     BAND)),
        ],
        [4, 4],
        [REGS, COPY_REGS],
    )  # fmt: skip


def multiply(
    x: Normed, weight: Weight, out: Tensor, eps: float = 0.0, groups: Groups | None = None, down: bool = False
) -> None:
    """Writes x @ weight.T to `out`, complete.

    Args:
        x: rows as `linear_choice.fits_persistent` wants them; an outstanding rms is applied with `eps`.
        weight: [out, in], or with groups [experts, out, in].
        out: float32 or bf16 [rows, out].
        groups: each row of `out` meets its expert's matrix. Rows of `out` are in the order of the experts and those of
            x are tokens; with `down` x is in the order of the experts and `out` in that of (token, slot) pairs.
    """
    fp8 = weight.is_fp8
    data = x.fp8 if fp8 else x.values
    assert data is not None
    width_out, width_in = weight.shape[-2:]
    tiles = (cdiv(len(data), ROWS.value) if groups is None else groups.tile_count) * cdiv(width_out, OUT.value)
    launch(
        _rows_by_weights,
        (min(tiles, launch_device(data.device).multiprocessors),),
        data,
        x.scales if fp8 else None,
        weight.data,
        weight.scale,
        x.sumsq,
        None if groups is None else groups.pairs,
        None if groups is None else groups.tiles,
        out,
        len(out),
        tiles,
        eps,
        K=width_in,
        N=width_out,
        FP8=fp8,
        KIND=DENSE.value if groups is None else DOWN.value if down else UP.value,
        SLOTS=1 if groups is None else groups.expert_ids.shape[1],
        CHUNKS=0 if x.sumsq is None else x.sumsq.shape[1],
        BAND=GROUP_M,
        STAGES=4,
        REGS=216,
        COPY_REGS=72,
    )
