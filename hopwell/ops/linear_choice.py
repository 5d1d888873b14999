"""Which kernel multiplies rows with a matrix, and how its work is cut."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple

import torch

from hopwell.formats.blocks import FP8_BLOCK
from hopwell.formats.packed import PACKABLE, STEP
from hopwell.ops.device import Device
from hopwell.ops.sizes import cdiv
from hopwell.ops.variant import Formats, Variant, short

Op = Literal["linear", "product", "logits"]
"""`linear.linear` on rows of PyTorch's, a product in the chain of kernels, or one whose result must be complete."""

SWAP_AB_BELOW = 64
"""Rows of a tile below which the operands are swapped: weights on the matrix unit's long side, rows on the short."""
PERSISTENT_ROWS, PERSISTENT_OUT = 128, 256
"""Rows and weights' rows of a tile of the persistent GEMM."""
PERSISTENT_LEAST_REDUCTION = 1024
GROUP_M = 16
"""Tiles of rows that take turns on a tile of weights, so that they find it in L2, where there are many."""
SMALL_M = 32
"""Most rows of the small-M GEMM."""
SMALL_M_STEPS = 10
"""Of a program there: so many tiles of weights and rows lie in shared memory together, for at least two programs."""


class Shape(NamedTuple):
    """[rows, in] times [out, in] transposed."""

    rows: int
    width_out: int
    width_in: int


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a product is cut: rows of weights and tokens a program, parts of the reduction, warps, pipeline stages."""

    rows: int
    tokens: int
    splits: int
    warps: int
    stages: int
    step: int = 64
    """Of the reduction, values that a bf16 program takes at a time, or one with packed weights; FP8 takes a block of
    128."""
    group_m: int = 1
    """Tiles of tokens that take turns on a tile of weights; more than one only where the reduction is not cut."""
    registers: int | None = None
    """Of a thread at most; None: as the compiler likes."""


@dataclass(frozen=True, slots=True)
class LinearVariant(Variant):
    """`torch`, `triton`, `packed_triton`, `small_m_gluon` or `persistent_gluon`, and the cut of the work that goes with
    it."""

    tiling: Tiling
    swap_ab: bool

    @property
    def splits(self) -> int:
        """Split-K partials that the reader adds."""
        return self.tiling.splits


UNCUT = Tiling(0, 0, 1, 0, 0)
"""Of a product that PyTorch's libraries cut."""


@lru_cache(maxsize=4096)
def choose(op: Op, shape: Shape, formats: Formats, device: Device) -> LinearVariant:
    """The variant for a product.

    Args:
        formats: of the matrix and of the rows that meet it; for "linear", of the rows before they are rounded.
    """
    if op == "linear" and (reason := keeps_plain(shape.width_in, formats, device)) is not None:
        return LinearVariant("torch", reason, UNCUT, False)
    if formats.weight in PACKABLE:
        tiling = cut_packed(shape, device, whole=op == "logits")
        tiles = f"tiles of {tiling.rows} x {tiling.tokens}, {_parts(tiling.splits)}"
        reason = f"four bits become bf16 in registers, weights on the long side, {tiles}"
        return LinearVariant("packed_triton", reason, tiling, True)
    fp8 = formats.weight is FP8_BLOCK
    tiling = complete(shape) if op == "logits" else cut_dense(shape, fp8, device)
    if op == "linear":  # rows enter in FP8 or bf16 as the weight says; the cut is the same
        return LinearVariant("triton", "an FP8 matrix with whole blocks along the reduction", tiling, False)
    if op == "product" and (reason := suits_persistent(shape, formats, device)) is not None:
        return LinearVariant("persistent_gluon", reason, tiling, False)
    if op == "product" and (reason := suits_small_m(shape, formats, tiling.splits, device)) is not None:
        return LinearVariant("small_m_gluon", reason, tiling, True)
    swapped = swap_ab(tiling.tokens, formats)
    return LinearVariant("triton", _why_triton(op, tiling, swapped), tiling, swapped)


def keeps_plain(width_in: int, formats: Formats, device: Device) -> str | None:
    """Why a product outside of the chain stays with PyTorch's libraries; None: FP8 kernels serve."""
    if not device.has_kernels:
        return "no Hopper or Blackwell GPU"
    if formats.rows != torch.bfloat16:
        return f"rows are {short(formats.rows)}; kernels take bf16"
    if formats.weight is not FP8_BLOCK and formats.weight not in PACKABLE:
        return f"cuBLAS serves {formats.weight.name} matrices"
    return f"{width_in} inputs are no whole blocks of 128" if width_in % STEP else None


def suits_persistent(shape: Shape, formats: Formats, device: Device) -> str | None:
    """Why the persistent GEMM serves and pays: on Hopper, for rows in the weight's own format, enough for nearly every
    multiprocessor to have a tile, and a reduction long enough to hide what surrounds it."""
    if not fits_persistent(shape.width_in, formats, device) or shape.rows <= PERSISTENT_ROWS:
        return None
    tiles = cdiv(shape.rows, PERSISTENT_ROWS) * cdiv(shape.width_out, PERSISTENT_OUT)
    if 10 * tiles < 9 * device.multiprocessors:
        return None
    return f"Hopper, and nearly all of {device.multiprocessors} multiprocessors have a tile of {PERSISTENT_ROWS} rows"


def fits_persistent(width_in: int, formats: Formats, device: Device) -> bool:
    """Whether the persistent GEMM can serve, dense or grouped by expert."""
    long = width_in >= PERSISTENT_LEAST_REDUCTION and width_in % 128 == 0
    return device.has_gluon and long and in_own_format(formats)


def suits_small_m(shape: Shape, formats: Formats, splits: int, device: Device) -> str | None:
    """Why the small-M GEMM serves: on Hopper, for few rows in the weight's own format, a reduction in short parts."""
    if not device.has_gluon or shape.rows > SMALL_M or not in_own_format(formats):
        return None
    step = 128 // formats.rows.itemsize
    if shape.width_in % step or cdiv(shape.width_in // step, splits) > SMALL_M_STEPS:
        return None
    return f"Hopper, at most {SMALL_M} rows, and {splits} parts whose weights fit into shared memory"


def in_own_format(formats: Formats) -> bool:
    """Whether rows are what the weight holds: e4m3 before an FP8 one, bf16 before a plain one."""
    return formats.rows == (torch.float8_e4m3fn if formats.weight is FP8_BLOCK else torch.bfloat16)


def swap_ab(tile: int, formats: Formats) -> bool:
    """Whether the weight's rows, not the tokens of a tile, lie on the matrix unit's long side. Those of a weight that
    is widened always do: that side may come from registers, and bf16 rows have no scales to load."""
    return tile < SWAP_AB_BELOW or (formats.weight is FP8_BLOCK and formats.rows != torch.float8_e4m3fn)


def row_tile(rows: int) -> int:
    """Rows that a program multiplies."""
    return 16 if rows <= 16 else 32 if rows <= 32 else 64 if rows <= 64 else 128


def cut_dense(shape: Shape, fp8: bool, device: Device) -> Tiling:
    """How to cut a product for a class of shapes, as `benchmarks.gpu --part cuts` found it: enough programs to keep
    every multiprocessor's loads in flight, of parts long enough to be worth a start."""
    tokens, width_out, width_in = shape
    sms, tile = device.multiprocessors, row_tile(tokens)
    if tokens > 128:
        return Tiling(128, tile, 1, 8, 4, group_m=GROUP_M)
    long = fp8 and width_in >= 8192
    if tile == 128 and long:
        return Tiling(128, 128, 2, 8, 4)
    rows = cdiv(width_out, 64)
    if tile == 128 and (fp8 or 16 * rows < sms):
        tile = 64  # two programs share a tile of weights
    tiles = rows * cdiv(row_tile(tokens), tile)
    steps = cdiv(width_in, 128 if fp8 else 64)
    wanted = 3 * sms if long else 1.4 * sms if tokens <= 32 or fp8 else 0.85 * sms
    splits = 1
    while splits < 16 and tiles * splits < wanted and steps // (splits * 2) >= 2:
        splits *= 2
    return Tiling(64, tile, splits, 4, 6 if tokens > 64 and steps >= 14 * splits else 4)


def cut_packed(shape: Shape, device: Device, whole: bool = False) -> Tiling:
    """How to cut a product with packed weights. As `python -m benchmarks.four_bits --search` found it on an H200.

    Args:
        whole: nobody adds up parts.
    """
    tokens, width_out, width_in = shape
    sms, tile = device.multiprocessors, row_tile(tokens)
    if tokens > 128:
        return replace(packed_form(128), group_m=GROUP_M)
    form = packed_form(tile)
    most = 1 if whole else packed_splits(cdiv(width_out, form.rows), width_in // STEP, 16, form, sms)
    return replace(form, splits=most)


def packed_form(tile: int) -> Tiling:
    """The cut of a product of packed weights with tiles of so many rows, its reduction not cut. A step of 64 weights'
    rows is 4 KB of codes: enough of them are in flight where a multiprocessor has several programs."""
    if tile <= 32:
        return Tiling(64, tile, 1, 4, 3, 2 * STEP)
    return Tiling(128, tile, 1, 8, 3, STEP, registers=80 if tile == 64 else None)


def packed_splits(tiles: int, steps: int, most: int, form: Tiling, multiprocessors: int) -> int:
    """Parts of a reduction of so many steps, until every multiprocessor has some of the programs; each in whole turns
    of the loop, for a rest takes a loop of its own, and registers."""
    wanted, splits, turn = (6 if form.warps == 4 else 1.5) * multiprocessors, 1, form.step // STEP
    while splits < most and tiles * splits < wanted and steps >= 8 * splits and steps % (2 * splits * turn) == 0:
        splits *= 2
    return splits


def complete(shape: Shape) -> Tiling:
    """How to cut a product that nobody adds up after: the logits."""
    tile = row_tile(shape.rows)
    return Tiling(64, tile, 1, 4, 4, 128 if tile <= 32 and shape.width_in % 128 == 0 else 64)


def packing(dtype: torch.dtype, matrix: bool, bf16_products: bool, float16_products: bool) -> Variant:
    """Which of a CPU's libraries multiplies plain matrices.

    Args:
        matrix: one matrix, no stack of them.
        bf16_products, float16_products: what `ops/cpu.py` found.
    """
    if dtype == torch.bfloat16 and matrix and bf16_products:
        return Variant("onednn_bf16", "the CPU multiplies bf16")
    if dtype == torch.float16 and float16_products:
        return Variant("fbgemm_float16", "PyTorch has FBGEMM's products of float32 rows with float16 matrices")
    return Variant("torch", f"no packed product for {short(dtype)}{'' if matrix else ' stacks'} on this CPU")


def _why_triton(op: Op, tiling: Tiling, swapped: bool) -> str:
    side = "weights" if swapped else "rows"
    parts = "complete: nobody adds after" if op == "logits" else _parts(tiling.splits)
    return f"tiles of {tiling.rows} x {tiling.tokens}, {side} on the long side, {parts}"


def _parts(splits: int) -> str:
    return "one part" if splits == 1 else f"{splits} split-K parts"
