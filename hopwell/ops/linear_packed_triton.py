"""Matrix products for packed weights of four bits and bf16 rows, from one row to thousands."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from hopwell.formats.packed import STEP, Packed
from hopwell.ops.linear_choice import Tiling
from hopwell.ops.packed_triton import packed_product
from hopwell.ops.rows import Normed
from hopwell.ops.sizes import cdiv, next_power_of_2
from hopwell.ops.triton_common import inverse_rms, launch, let_next_start, store_product, wait_for_inputs
from hopwell.ops.weight import Weight


@triton.jit(do_not_specialize=["tokens"])
def _product_packed(
    x,
    w,
    w_scales,
    factors,
    sumsq,
    out,
    tokens,
    eps,
    K: tl.constexpr,
    N: tl.constexpr,
    FORMAT: tl.constexpr,
    ZEROS: tl.constexpr,
    SCALES: tl.constexpr,
    UNROLL: tl.constexpr,
    CHUNKS: tl.constexpr,  # 0: no rms outstanding
    CHUNKS_P2: tl.constexpr,
    SPLITS: tl.constexpr,
    BN: tl.constexpr,
    BT: tl.constexpr,
    BAND: tl.constexpr,
):
    """GEMM with split-K, swap-AB: bf16 rows [tokens, K] times packed weights [N, K] transposed.

    Grid and results as `linear_triton._product`; w, w_scales and factors as `formats.packed.Packed` has them.
    """
    STEPS: tl.constexpr = K // 128
    PER_SPLIT: tl.constexpr = (STEPS + SPLITS - 1) // SPLITS
    tile_n, tile_t, split = tl.program_id(0), tl.program_id(2), tl.program_id(1)
    if BAND > 1:  # programs that run together share what they read
        in_order = tile_n + tile_t * tl.num_programs(0)
        band = BAND * tl.num_programs(0)
        first = in_order // band * BAND
        height = tl.minimum(tl.num_programs(2) - first, BAND)
        tile_t = first + in_order % band % height
        tile_n = in_order % band // height
    rn = tile_n * BN + tl.arange(0, BN)
    wait_for_inputs()
    row = tile_t * BT + tl.arange(0, BT)
    valid = row < tokens
    let_next_start()
    begin = split * PER_SPLIT
    end = tl.minimum(begin + PER_SPLIT, STEPS)
    x_at = x + row[:, None].to(tl.int64) * K + tl.arange(0, 128)[None, :]
    factor = tl.load(factors + tl.minimum(rn, N - 1))  # ahead of the loop, as in `linear_triton`
    if CHUNKS > 0:
        rms = inverse_rms(sumsq, row, valid, K, CHUNKS, CHUNKS_P2, eps)
    acc = packed_product(
        w, w_scales, x_at, valid, tile_n * BN, begin, end, N, STEPS, BN, BT, FORMAT, ZEROS, SCALES, UNROLL
    )  # fmt: skip
    acc *= factor[:, None]
    if CHUNKS > 0:
        acc *= rms[None, :]
    store_product(out, acc, split * tokens + row, rn, valid, N, False)


def multiply(x: Normed, weight: Weight, out: Tensor, tiling: Tiling, eps: float = 0.0) -> None:
    """Writes x @ weight.T to `out`, as split-K partials that the reader adds.

    Args:
        x: values [rows, in]; an outstanding rms is applied with `eps`.
        weight: packed [out, in].
        out: float32 or bf16 [splits, rows, out].
    """
    stored, data = weight.stored, x.values
    assert isinstance(stored, Packed) and data is not None
    width_out, width_in = weight.shape
    chunks = 0 if x.sumsq is None else x.sumsq.shape[1]
    launch(
        _product_packed,
        (cdiv(width_out, tiling.rows), tiling.splits, cdiv(len(data), tiling.tokens)),
        data,
        stored.data,
        stored.scales,
        stored.factors,
        x.sumsq,
        out,
        len(data),
        eps,
        K=width_in,
        N=width_out,
        FORMAT=str(stored.kind.name),
        ZEROS=stored.zeros,
        SCALES=stored.scale_words,
        UNROLL=max(1, tiling.step // STEP),
        CHUNKS=chunks,
        CHUNKS_P2=next_power_of_2(max(chunks, 1)),
        SPLITS=tiling.splits,
        BN=tiling.rows,
        BT=tiling.tokens,
        BAND=tiling.group_m,
        registers=tiling.registers,
        warps=tiling.warps,
        stages=tiling.stages,
    )
