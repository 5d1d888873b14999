"""Products of many rows with weights packed in NVFP4 on Hopper, in Gluon: a warpgroup widens codes to bf16 in shared
memory while two others multiply.

`linear_persistent_gluon` has the ring of tiles, the multiplying warpgroups and the order of tiles; here the copying
warpgroup writes what it has decoded. `linear_packed_triton._product_packed`, `moe_packed_triton._up_packed` and
`_down_packed` compute the same and are the plain twins: there the warps that decode are those that multiply, in turns.
"""

# Gluon types what it is given at compile time as if it were given at run time
# pyright: reportArgumentType=false, reportCallIssue=false, reportAssignmentType=false, reportGeneralTypeIssues=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

from torch import Tensor
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import async_copy, fence_async_shared, mbarrier
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from hopwell.formats.packed import Packed
from hopwell.ops import packed_triton
from hopwell.ops.gluon_common import advance
from hopwell.ops.linear_choice import GROUP_M, PERSISTENT_OUT, PERSISTENT_ROWS, Tiling
from hopwell.ops.linear_persistent_gluon import DENSE, DOWN, OUT, ROWS, UP, _multiply, _tile
from hopwell.ops.moe_experts import Groups
from hopwell.ops.rows import Normed
from hopwell.ops.sizes import cdiv
from hopwell.ops.triton_common import launch, launch_device
from hopwell.ops.weight import Weight

VALUE, LAST, TO_PLACE = packed_triton.VALUE, packed_triton.LAST, packed_triton.TO_PLACE
TURN_1, TURN_2 = packed_triton.TURN_1, packed_triton.TURN_2
SCALE, ONES = packed_triton.NVFP4_SCALE, packed_triton.NVFP4_ONES
STRIP, WORDS, SCALES = gl.constexpr(64), gl.constexpr(1024), gl.constexpr(128)
"""Weights' rows whose words lie together; of those, words of a step of 128 columns, and words of scales."""
PERSISTENT = Tiling(PERSISTENT_OUT, PERSISTENT_ROWS, 1, 12, 4, persistent=True)
"""How the work is cut. Nothing chooses it as yet: `benchmarks.four_bits --search` times it beside its twins."""


@gluon.jit
def _turned(words, LEFT: gl.constexpr):
    return (words << LEFT) | (words >> (32 - LEFT))


@gluon.jit
def _half(words, HIGH: gl.constexpr):
    """One half of each word, in both."""
    return gl.inline_asm_elementwise(
        "prmt.b32 $0, $1, 0, 0x3232;" if HIGH else "prmt.b32 $0, $1, 0, 0x1010;", "=r,r", [words], gl.uint32, True, 1
    )


@gluon.jit
def _times(pair, scale):
    """Two bf16 values a word, times two."""
    return gl.inline_asm_elementwise("mul.bf16x2 $0, $1, $2;", "=r,r,r", [pair, scale], gl.uint32, True, 1)


@gluon.jit
def _values(words, scales):
    """The bf16 values of half a step, two a word: words [rows, 2, 4] of codes, scales [rows, 2] -> [rows, 32]."""
    low = _half(scales, False)[:, :, None].broadcast_to(words.shape)
    high = _half(scales, True)[:, :, None].broadcast_to(words.shape)
    first = _times(words & VALUE, low)
    second = _times(_turned(words, TURN_1) & VALUE, low)
    third = _times(_turned(words, TURN_2) & VALUE, high)
    fourth = _times(((words & LAST) * TO_PLACE) & VALUE, high)
    # row, c, t, pair's low and high bit -> row, c, high, low, t
    both = gl.join(gl.join(first, second), gl.join(third, fourth))
    return both.permute((0, 1, 4, 3, 2)).reshape([words.shape[0], 32])


@gluon.jit
def _widen(
    rows_to, weights_to, full, empty, x, w, w_scales, pairs, tiles, rows, count,
    K: gl.constexpr, N: gl.constexpr, KIND: gl.constexpr, SLOTS: gl.constexpr, BAND: gl.constexpr,
):  # fmt: skip
    """The widening warpgroup: a tile's rows as they are and its weights in bf16, half a step of 128 columns at a time,
    into the rings. Words are read a step ahead."""
    STAGES: gl.constexpr = rows_to.shape[0]
    STEPS: gl.constexpr = K // 128
    STRIPS: gl.constexpr = (N + STRIP - 1) // STRIP
    COPY: gl.constexpr = gl.BlockedLayout([1, 8], [4, 8], [4, 1], [1, 0])
    CODES: gl.constexpr = gl.BlockedLayout([1, 1, 4], [16, 2, 1], [4, 1, 1], [2, 1, 0])
    SCALED: gl.constexpr = gl.SliceLayout(2, CODES)
    PAIRS: gl.constexpr = gl.NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=32, rank=2)
    k = gl.arange(0, 64, layout=gl.SliceLayout(0, COPY))
    r = gl.arange(0, ROWS, layout=gl.SliceLayout(1, COPY))
    n = gl.arange(0, OUT, layout=gl.SliceLayout(1, SCALED))
    c = gl.arange(0, 2, layout=gl.SliceLayout(0, SCALED))
    t = gl.arange(0, 4, layout=gl.SliceLayout(0, gl.SliceLayout(1, CODES)))
    slot = 0
    phase = 1
    for index in range(gl.program_id(0), count, gl.num_programs(0)):
        wide, expert, first, some = _tile(index, tiles, rows, N, KIND, BAND)
        if some > 0:
            row = first + r
            if KIND == UP:
                row = gl.load(pairs + row, r < some, 0) // SLOTS
            x_at = x + row[:, None].to(gl.int64) * K + k[None, :]
            strip = gl.minimum(wide * (OUT // STRIP) + n // STRIP, STRIPS - 1)
            tile = (expert * STRIPS + strip).to(gl.int64) * STEPS
            w_at = (w + tile * WORDS + n % STRIP * 16)[:, None] + c[None, :]
            w_at = w_at[:, :, None] + 4 * t[None, None, :]
            s_at = (w_scales + tile * SCALES + n % STRIP * 2)[:, None] + 0 * c[None, :]
            left = gl.load(w_at)
            right = gl.load(w_at + 2)
            left_scales = gl.load(s_at)
            right_scales = gl.load(s_at + 1)
            for step in range(STEPS):
                more = gl.minimum(step + 1, STEPS - 1)
                for half in gl.static_range(2):
                    words = left if half == 0 else right
                    scales = left_scales if half == 0 else right_scales
                    words = words.to(gl.uint32, bitcast=True)
                    scales = scales.to(gl.uint32, bitcast=True)
                    scales = (gl.where(c[None, :] == 0, scales, _turned(scales, 8)) & SCALE) | ONES
                    if half == 0:
                        left = gl.load(w_at + more * WORDS)
                        left_scales = gl.load(s_at + more * SCALES)
                    else:
                        right = gl.load(w_at + more * WORDS + 2)
                        right_scales = gl.load(s_at + more * SCALES + 1)
                    mbarrier.wait(empty.index(slot), phase)
                    at = x_at + (step * 128 + half * 64)
                    async_copy.async_copy_global_to_shared(rows_to.index(slot), at, (r < some)[:, None])
                    async_copy.mbarrier_arrive(full.index(slot), increment_count=False)
                    weights_to.index(slot)._reinterpret(gl.uint32, [OUT, 32], PAIRS).store(_values(words, scales))
                    fence_async_shared()
                    mbarrier.arrive(full.index(slot), count=1)
                    slot, phase = advance(slot, phase, STAGES)


@gluon.jit(do_not_specialize=["rows", "count"])
def _rows_by_packed(
    x, w, w_scales, factors, sumsq, pairs, tiles, out, rows, count, eps,
    K: gl.constexpr, N: gl.constexpr, KIND: gl.constexpr, SLOTS: gl.constexpr, CHUNKS: gl.constexpr,
    BAND: gl.constexpr, STAGES: gl.constexpr, WIDEN_REGS: gl.constexpr, REGS: gl.constexpr,
):  # fmt: skip
    """`linear_persistent_gluon._rows_by_weights` for bf16 rows and weights in NVFP4, packed as `formats/packed.py` has
    them: w int32 [experts, strips, steps * 1024], w_scales int32 [experts, strips, steps * 128], factors float32
    [experts, N].
    """
    SHARED: gl.constexpr = gl.NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=16, rank=2)
    rows_ring = gl.allocate_shared_memory(gl.bfloat16, [STAGES, ROWS, 64], SHARED)
    weights_ring = gl.allocate_shared_memory(gl.bfloat16, [STAGES, OUT, 64], SHARED)
    full = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    for stage in gl.static_range(STAGES):
        mbarrier.init(full.index(stage), count=128 + 1)  # each thread's copies, and the stores of all
        mbarrier.init(empty.index(stage), count=2)
    gdc_wait()
    gdc_launch_dependents()
    gl.warp_specialize(
        [
            (_multiply, (rows_ring, weights_ring, full, empty, x, factors, sumsq, pairs, tiles, out, rows, count, eps,
                         K, N, gl.constexpr(64), KIND, SLOTS, BAND, CHUNKS, gl.constexpr(False), gl.constexpr(0),
                         gl.constexpr(True))),
            (_multiply, (rows_ring, weights_ring, full, empty, x, factors, sumsq, pairs, tiles, out, rows, count, eps,
                         K, N, gl.constexpr(64), KIND, SLOTS, BAND, CHUNKS, gl.constexpr(False), gl.constexpr(1),
                         gl.constexpr(True))),
            (_widen, (rows_ring, weights_ring, full, empty, x, w, w_scales, pairs, tiles, rows, count, K, N, KIND,
                      SLOTS, BAND)),
        ],
        [4, 4],
        [REGS, WIDEN_REGS],
    )  # fmt: skip


def multiply(
    x: Normed, weight: Weight, out: Tensor, eps: float = 0.0, groups: Groups | None = None, down: bool = False
) -> None:
    """Writes x @ weight.T to `out`, complete: arguments as `linear_persistent_gluon.multiply` has them, x in bf16 and
    the weight packed in NVFP4."""
    data, stored = x.values, weight.stored
    assert data is not None and isinstance(stored, Packed)
    width_out, width_in = weight.shape[-2:]
    tiles = (cdiv(len(data), ROWS.value) if groups is None else groups.tile_count) * cdiv(width_out, OUT.value)
    launch(
        _rows_by_packed,
        (min(tiles, launch_device(data.device).multiprocessors),),
        data,
        stored.data,
        stored.scales,
        stored.factors,
        x.sumsq,
        None if groups is None else groups.pairs,
        None if groups is None else groups.tiles,
        out,
        len(out),
        tiles,
        eps,
        K=width_in,
        N=width_out,
        KIND=DENSE.value if groups is None else DOWN.value if down else UP.value,
        SLOTS=1 if groups is None else groups.expert_ids.shape[1],
        CHUNKS=0 if x.sumsq is None else x.sumsq.shape[1],
        BAND=GROUP_M,
        STAGES=4,
        REGS=176,
        WIDEN_REGS=152,
    )
