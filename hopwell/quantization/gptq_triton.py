"""The loops over columns that choose codes together, as kernels; `quantization/gptq.py` holds their meaning, in plain
PyTorch.

There columns wait for one another, but no row for another: a program takes a few rows through a whole block of columns
in registers, where PyTorch launches some twenty kernels a column.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from hopwell.ops.sizes import cdiv, next_power_of_2
from hopwell.ops.triton_common import launch, to_e4m3, wait_for_inputs

ROWS = 4
"""Of a program in a block of 128 columns. Few: what takes time is one column's wait for the last, not the sums."""
TILE = 128
"""Values of a program in a block that shares a scale."""


def _by_row(x: Tensor) -> Tensor:
    """Itself if a row's values lie side by side, as in a view of a wider matrix; else a copy in which they do."""
    return x if x.stride(1) == 1 else x.contiguous()


@triton.jit
def _to_integer(x):
    """To nearest, ties to even, for magnitudes below 2^22: float32's unit at 1.5 * 2^23 is 1."""
    return (x + 12582912.0) - 12582912.0


@triton.jit
def _round(x, ELEMENTS: tl.constexpr):
    """As `formats.elements.round_elements`."""
    if ELEMENTS == "e4m3":
        return to_e4m3(x).to(tl.float32)
    elif ELEMENTS == "int4":
        return _to_integer(tl.minimum(tl.maximum(x, -8.0), 7.0))
    else:
        magnitude = tl.minimum(tl.abs(x), 6.0)
        gap = tl.where(magnitude < 2.0, 0.5, tl.where(magnitude < 4.0, 1.0, 2.0))
        per_gap = tl.where(magnitude < 2.0, 2.0, tl.where(magnitude < 4.0, 1.0, 0.5))
        magnitude = _to_integer(magnitude * per_gap) * gap
        sign = x.to(tl.uint32, bitcast=True) & 0x80000000
        return (magnitude.to(tl.uint32, bitcast=True) | sign).to(tl.float32, bitcast=True)


@triton.jit
def _nearest(x, unit, ELEMENTS: tl.constexpr):
    """The nearest value to x that an element under the scale `unit` has. hazard: Triton's / is not exact."""
    return _round(tl.div_rn(x, unit), ELEMENTS) * unit


@triton.jit
def _divide(x, by):
    """x [rows] / by, a scalar, rounded exactly."""
    return tl.div_rn(x, tl.broadcast_to(by, x.shape))


@triton.jit
def _column(tile, column, j):
    """Column j of a tile [rows, columns] in registers."""
    return tl.sum(tl.where(column[None, :] == j, tile, 0.0), axis=1)


@triton.jit
def _with_column(tile, column, j, values):
    """A tile with other values in column j."""
    return tl.where(column[None, :] == j, values[:, None], tile)


@triton.jit
def _feed_back(
    block, scale, factor, chosen, errors, rows, columns, block_stride, scale_stride,
    ELEMENTS: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """GPTQ within a block of columns (Frantar et al., 2022, algorithm 1): each column is rounded, and the rest make up.

    Grid (tiles of ROWS rows). block and scale float32 [rows, columns], factor float32 [columns, columns]. Writes chosen
    and errors, float32 [rows, columns].
    """
    row, column = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, BLOCK)
    inside, real = row < rows, column < columns
    mask, wide = inside[:, None] & real[None, :], row.to(tl.int64)
    wait_for_inputs()
    rest = tl.load(block + wide[:, None] * block_stride + column[None, :], mask=mask, other=0.0)
    picked = tl.zeros((ROWS, BLOCK), tl.float32)
    missed = tl.zeros((ROWS, BLOCK), tl.float32)
    for j in range(0, columns):
        unit = tl.load(scale + wide * scale_stride + j, mask=inside, other=1.0)
        later = tl.load(factor + j * columns + column, mask=real & (column >= j), other=0.0)
        value = _column(rest, column, j)
        nearest = _nearest(value, unit, ELEMENTS)
        error = _divide(value - nearest, tl.load(factor + j * columns + j))
        rest -= error[:, None] * later[None, :]
        picked = _with_column(picked, column, j, nearest)
        missed = _with_column(missed, column, j, error)
    at = wide[:, None] * columns + column[None, :]
    tl.store(chosen + at, picked, mask=mask)
    tl.store(errors + at, missed, mask=mask)


def feed_back(block: Tensor, scale: Tensor, factor: Tensor, elements: str) -> tuple[Tensor, Tensor]:
    """GPTQ within a block of columns.

    Args:
        block: values [out, columns].
        scale: of each value [out, columns].
        factor: this block of the upper Cholesky factor [columns, columns].
        elements: their kind.

    Returns:
        What was chosen, and each column's error over the factor's diagonal: [out, columns] each.
    """
    rows, columns = block.shape
    block, scale = _by_row(block), _by_row(scale)
    chosen, errors = (torch.empty(rows, columns, device=block.device) for _ in range(2))
    launch(
        _feed_back, (cdiv(rows, ROWS),), block, scale, factor.contiguous(), chosen, errors, rows, columns,
        block.stride(0), scale.stride(0), ELEMENTS=elements, ROWS=ROWS, BLOCK=next_power_of_2(columns), warps=1,
    )  # fmt: skip
    return chosen, errors


@triton.jit
def _descend(
    values, slope, scale, moments, moves, rows, columns, values_stride, slope_stride, scale_stride,
    ELEMENTS: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Coordinate descent within a block: each column's best value under the quadratic objective, given all others.

    Grid (tiles of ROWS rows). values, slope and scale float32 [rows, columns], moments float32 [columns, columns].
    Writes moves, float32 [rows, columns].
    """
    row, column = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, BLOCK)
    inside, real = row < rows, column < columns
    mask, wide = inside[:, None] & real[None, :], row.to(tl.int64)
    wait_for_inputs()
    slopes = tl.load(slope + wide[:, None] * slope_stride + column[None, :], mask=mask, other=0.0)
    moved = tl.zeros((ROWS, BLOCK), tl.float32)
    for j in range(0, columns):
        unit = tl.load(scale + wide * scale_stride + j, mask=inside, other=1.0)
        value = tl.load(values + wide * values_stride + j, mask=inside, other=0.0)
        local = tl.load(moments + j * columns + column, mask=real, other=0.0)
        curvature = tl.load(moments + j * columns + j)
        target = value - _divide(_column(slopes, column, j), tl.where(curvature > 0, curvature, 1.0))
        move = tl.where(curvature > 0, _nearest(target, unit, ELEMENTS) - value, 0.0)
        slopes += move[:, None] * local[None, :]
        moved = _with_column(moved, column, j, move)
    tl.store(moves + wide[:, None] * columns + column[None, :], moved, mask=mask)


def descend(values: Tensor, slope: Tensor, scale: Tensor, moments: Tensor, elements: str) -> Tensor:
    """Coordinate descent within a block of columns: how far each value moves, [out, columns].

    Args:
        values, slope: of the columns, with the objective's slope there [out, columns].
        scale: of each value [out, columns].
        moments: this block of the second moments [columns, columns]; columns without any stay.
        elements: their kind.
    """
    rows, columns = values.shape
    values, slope, scale = _by_row(values), _by_row(slope), _by_row(scale)
    moves = torch.empty(rows, columns, device=values.device)
    launch(
        _descend, (cdiv(rows, ROWS),), values, slope, scale, moments.contiguous(), moves, rows, columns,
        values.stride(0), slope.stride(0), scale.stride(0),
        ELEMENTS=elements, ROWS=ROWS, BLOCK=next_power_of_2(columns), warps=1,
    )  # fmt: skip
    return moves


@triton.jit
def _rescale(
    target, values, slope, tried, scale, tensor_scale, factor, moments, moves,
    rows, candidates, target_stride, values_stride, slope_stride, tried_stride, scale_stride,
    ELEMENTS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Tries several scales for each row's block, rounding under each by `_feed_back`'s rule, and keeps the best.

    Grid (tiles of ROWS rows). target, values and slope float32 [rows, COLUMNS], tried float32 [candidates, rows],
    factor and moments float32 [COLUMNS, COLUMNS]. Writes moves float32 [rows, COLUMNS], and scale float32 [rows] where
    one was better.
    """
    row, column = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    inside = row < rows
    mask = inside[:, None] & (column >= 0)[None, :]
    wide = row.to(tl.int64)[:, None]
    wait_for_inputs()
    start = tl.load(target + wide * target_stride + column[None, :], mask=mask, other=0.0)
    present = tl.load(values + wide * values_stride + column[None, :], mask=mask, other=0.0)
    slopes = tl.load(slope + wide * slope_stride + column[None, :], mask=mask, other=0.0)
    kept = tl.load(scale + row * scale_stride, mask=inside, other=1.0)
    least = tl.zeros((ROWS,), tl.float32)
    best = tl.zeros((ROWS, COLUMNS), tl.float32)
    whole = tl.load(tensor_scale)
    for candidate in range(0, candidates):
        stored = tl.load(tried + candidate * tried_stride + row, mask=inside, other=1.0)
        rest = start
        moved = tl.zeros((ROWS, COLUMNS), tl.float32)
        turned = tl.zeros((ROWS, COLUMNS), tl.float32)  # moved @ moments
        for j in range(0, COLUMNS):
            later = tl.load(factor + j * COLUMNS + column, mask=column >= j, other=0.0)
            local = tl.load(moments + j * COLUMNS + column)
            value = _column(rest, column, j)
            nearest = _nearest(value, stored * whole, ELEMENTS)
            error = _divide(value - nearest, tl.load(factor + j * COLUMNS + j))
            rest -= error[:, None] * later[None, :]
            move = nearest - _column(present, column, j)
            moved = _with_column(moved, column, j, move)
            turned += move[:, None] * local[None, :]
        change = tl.sum(turned * moved, axis=1) + 2.0 * tl.sum(moved * slopes, axis=1)
        better = change < least
        least, kept = tl.where(better, change, least), tl.where(better, stored, kept)
        best = tl.where(better[:, None], moved, best)
    tl.store(moves + wide * COLUMNS + column[None, :], best, mask=mask)
    tl.store(scale + row * scale_stride, kept, mask=inside)


def rescale(
    target: Tensor, values: Tensor, slope: Tensor, tried: Tensor, scale: Tensor, tensor_scale: Tensor, factor: Tensor,
    moments: Tensor, elements: str,
) -> Tensor:  # fmt: skip
    """Gives each row's block the best of several scales with the codes that go with it, if it lowers the objective.

    Args:
        target: the block's best values were codes continuous [out, columns].
        values, slope: the block's values so far, with the objective's slope there [out, columns].
        tried: scales to try [candidates, out].
        scale: of the block now [out]; overwritten.
        tensor_scale: a scalar.
        factor: the upper Cholesky factor of the block's inverse moments [columns, columns].
        moments: the block's second moments [columns, columns].
        elements: their kind.

    Returns:
        How far each value moves, [out, columns].
    """
    rows, columns = target.shape
    target, values, slope, tried = _by_row(target), _by_row(values), _by_row(slope), _by_row(tried)
    moves = torch.empty(rows, columns, device=target.device)
    share = max(1, TILE // columns)
    launch(
        _rescale, (cdiv(rows, share),), target, values, slope, tried, scale, tensor_scale, factor.contiguous(),
        moments.contiguous(), moves, rows, len(tried),
        target.stride(0), values.stride(0), slope.stride(0), tried.stride(0), scale.stride(0),
        ELEMENTS=elements, ROWS=share, COLUMNS=columns, warps=1,
    )  # fmt: skip
    return moves
