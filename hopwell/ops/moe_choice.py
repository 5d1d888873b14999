"""How a step's rows are grouped by expert, and which kernels multiply the groups."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple

import torch

from hopwell.formats.blocks import FP8_BLOCK
from hopwell.formats.packed import PACKABLE, STEP, STRIP
from hopwell.formats.plain import BF16
from hopwell.ops.device import Device
from hopwell.ops.linear_choice import (
    PERSISTENT_ROWS,
    SMALL_M,
    Tiling,
    fits_persistent,
    keeps_plain,
    packed_form,
    packed_splits,
    swap_ab,
)
from hopwell.ops.sizes import cdiv, next_power_of_2
from hopwell.ops.variant import Formats, Variant

Op = Literal["up", "down"]
"""The first product (gate and up projection) and the second."""

LEADERS_UP_TO = 16
"""Tokens up to which programs find their rows themselves; also the rows of a tile then."""
SMALL_M_BLOCKS = 4
"""Of 128 values, that a reduction of the small-M kernel may have: weights and rows of a program lie in shared memory as
a whole."""
SHORT = 4
"""Steps of 128 values, that packed weights' second product takes without a loop over them."""


@dataclass(frozen=True, slots=True)
class Grouping(Variant):
    """`leaders`: each program of the first product finds its own rows; `sort`: a kernel sorts pairs by expert first."""

    tile: int
    """Rows of one expert that a program multiplies, at most."""
    tile_count: int
    """Tiles that may have rows."""


class Shape(NamedTuple):
    """A grouped product: (token, slot) pairs in tiles of one expert each, times [experts, out, in]."""

    pairs: int
    experts: int
    tile: int
    tile_count: int
    width_out: int
    width_in: int


@dataclass(frozen=True, slots=True)
class MoeVariant(Variant):
    """`triton`, `packed_triton`, `small_m_gluon` or `persistent_gluon`, and the cut of the work that goes with it."""

    tiling: Tiling
    run: int
    """Tiles of weights' rows that a program handles one after the other."""
    swap_ab: bool


@lru_cache(maxsize=4096)
def choose(op: Op, shape: Shape, formats: Formats, device: Device) -> MoeVariant:
    """The variant for one of the experts' products, inside of the chain of kernels or outside."""
    if formats.weight in PACKABLE:
        tiling, run = cut_packed(op, shape, device)
        parts = f"{tiling.splits} split-K parts" if tiling.splits > 1 else f"{run} tiles a program"
        why = f"four bits become bf16 in registers, tiles of {tiling.rows} x {shape.tile}, {parts}"
        return MoeVariant("packed_triton", why, tiling, run, True)
    fp8 = formats.weight is FP8_BLOCK
    tiling, run = (cut_up(shape, fp8, device), 1) if op == "up" else cut_down(shape, fp8, device)
    if shape.tile == PERSISTENT_ROWS and fits_persistent(shape.width_in, formats, device):
        return MoeVariant("persistent_gluon", f"Hopper, tiles of {PERSISTENT_ROWS} rows", tiling, run, False)
    if op == "down" and (reason := suits_small_m(shape, formats, device)) is not None:
        return MoeVariant("small_m_gluon", reason, tiling, run, True)
    swapped = swap_ab(shape.tile, formats)
    side = "weights" if swapped else "rows"
    parts = f"{tiling.splits} split-K parts" if tiling.splits > 1 else f"{run} tiles a program"
    why = f"tiles of {tiling.rows} x {shape.tile}, {side} on the long side, {parts}"
    return MoeVariant("triton", why, tiling, run, swapped)


def choose_op(widths: tuple[int, int], formats: tuple[Formats, Formats], device: Device) -> Variant:
    """What serves `moe.moe` outside of the chain: `grouped` kernels, or `torch`, an expert at a time.

    Args:
        widths: inputs of the two products: hidden, and an expert's inner width.
        formats: of the two.
    """
    for width_in, each in zip(widths, formats, strict=True):
        if each.weight == BF16 and device.has_kernels and each.rows == torch.bfloat16:
            reason = f"{width_in} inputs are no multiple of 64" if width_in % 64 else None
        else:
            reason = keeps_plain(width_in, each, device)
        if reason is not None:
            return Variant("torch", reason)
    return Variant("grouped", "both products in whole steps")


def group(
    tokens: int, slots: int, experts: int, device: Device, tile: int | None = None, packed: bool = False
) -> Grouping:
    """How the pairs of a step are grouped.

    Args:
        slots: experts that a token visits.
        tile: rows of a tile; default: as suits their number.
        packed: the experts are packed in four bits.
    """
    pairs = tokens * slots
    if tokens <= LEADERS_UP_TO:
        return Grouping("leaders", f"at most {LEADERS_UP_TO} tokens", LEADERS_UP_TO, pairs)
    tile = tile or tile_rows(pairs, experts, device, packed)
    why = f"tiles of {tile}, more rows than most experts get"
    return Grouping("sort", why, tile, experts + pairs // tile)


def tile_rows(pairs: int, experts: int, device: Device, packed: bool = False) -> int:
    """Rows of a tile: rather more than what an expert gets of `pairs` (token, slot) pairs, for a second tile reads the
    weights again. On Blackwell 128 would spill.

    Packed experts: the matrix unit is what is short from few rows on, so tiles are as full as can be; one of 128 rows
    takes as long as two of 64 (measured on an H200, `four-bits-*.json`).
    """
    an_expert = cdiv(pairs, experts)
    if packed:
        return 16 if an_expert <= 8 else 32 if an_expert <= 20 else 64
    most = 128 if device.capability < 100 else 64
    return 16 if an_expert <= 2 else max(32, min(most, next_power_of_2(an_expert + an_expert // 2)))


def suits_small_m(shape: Shape, formats: Formats, device: Device) -> str | None:
    """Why the second product's small-M kernel serves: on Hopper, for tiles of few rows in FP8, few blocks to reduce."""
    if not device.has_gluon or shape.tile > SMALL_M or formats.rows != torch.float8_e4m3fn:
        return None
    blocks, rest = divmod(shape.width_in, 128)
    if rest or blocks > SMALL_M_BLOCKS:
        return None
    return f"Hopper, tiles of at most {SMALL_M} rows, and all {blocks} blocks of weights fit into shared memory"


def cut_up(shape: Shape, fp8: bool, device: Device) -> Tiling:
    """How to cut the first product."""
    sms, tile = device.multiprocessors, shape.tile
    if tile >= 64:
        return Tiling(128, tile, 1, 8, 3)
    tiles = cdiv(shape.width_out, 64) * min(shape.pairs, shape.experts)
    steps = shape.width_in // 128
    at_once = (4 if fp8 else 2) * sms  # programs; of a few times as many, the last turn would leave most idle
    few, splits = tile == 16, 1
    while few and splits < 8 and steps // (splits * 2) >= 2:
        if not (tiles * splits < 2 * sms or at_once < tiles * splits < 4 * at_once):
            break
        splits *= 2
    if fp8:
        return Tiling(64, tile, splits, 4, 5 if few and tiles > 2 * sms else 4)
    step = 128 if shape.width_in % 128 == 0 else 64
    return Tiling(64, tile, splits, 4, 3 if tile > 16 else 4, step)


def cut_down(shape: Shape, fp8: bool, device: Device) -> tuple[Tiling, int]:
    """How to cut the second product, and the tiles of weights' rows that a program handles one after the other."""
    tile, width_in, used = shape.tile, shape.width_in, min(shape.tile_count, shape.experts)
    if tile >= 64:
        tiles = cdiv(shape.width_out, 128) * used
        run = max(1, min(16, tiles // (4 * device.multiprocessors), 4096 // width_in))
        return Tiling(128, tile, 1, 8, 4 if fp8 else 5), run
    many = cdiv(shape.width_out, 64) * used >= 4096
    run = 2 if many and width_in <= 512 else 1
    if fp8:  # of a long reduction with few rows, more steps ahead
        return Tiling(64, tile, 1, 4, 5 if tile == 16 and width_in > 512 else 3), run
    return Tiling(64, tile, 1, 4, 4, 128 if width_in % 128 == 0 else 64), run


def cut_packed(op: Op, shape: Shape, device: Device) -> tuple[Tiling, int]:
    """How to cut a product with packed experts, and tiles of weights' rows that a program of the second one handles one
    after the other. As `python -m benchmarks.four_bits --search` found it on an H200."""
    form, steps = packed_form(shape.tile), shape.width_in // STEP
    tiles = cdiv(shape.width_out, form.rows) * min(shape.tile_count, shape.experts)
    if op == "down":
        if form.rows != STRIP or steps > SHORT:
            return form, 1
        most = 4 if tiles < 1 << 14 else 8 if shape.tile == 16 else 16
        return form, min(most, 1 << max(1, tiles // (3 * device.multiprocessors)).bit_length() - 1)
    most = 8 if shape.tile <= 32 else 1
    return replace(form, splits=packed_splits(tiles, steps, most, form, device.multiprocessors)), 1
