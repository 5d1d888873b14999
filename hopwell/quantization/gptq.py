"""Choosing codes together: GPTQ's error feedback and coordinate descent, both for fixed scales.

Both minimise tr((Q - W) H (Q - W)^T), H = E[x x^T]. GPTQ (Frantar et al., 2022) rounds columns one after another and
moves the rest to make up for each error; coordinate descent then revisits every code, given all others.

The loop over the columns of a block is a kernel on a GPU (`gptq_triton.py`), for launches would take all the time;
here it is in plain PyTorch, to which the kernels are held.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hopwell.formats.blocks import BlockFormat, Quantized
from hopwell.formats.elements import round_elements
from hopwell.ops.device import on_gpu
from hopwell.quantization.hessian import inverse_factor, inverse_factors
from hopwell.quantization.scales import neighbours
from hopwell.quantization.stages import stage

BLOCK = 128
"""Columns treated before the rest of the matrix is updated in one product."""
CACHE_BYTES = 1 << 20
"""Rows are treated so many at once that their candidates stay in a core's cache."""


class Rounder:
    """Rounds columns to the values that their scales allow."""

    def __init__(self, fmt: BlockFormat, scale: Tensor) -> None:
        self.fmt, self.scale, self.by_column = fmt, scale, scale.t().contiguous()

    def __call__(self, values: Tensor, columns: Tensor) -> Tensor:
        scale = self.by_column[columns].t()
        return round_elements(self.fmt.elements, values / scale) * scale

    def quantized(self, q: Tensor, scale: Tensor, tensor_scale: Tensor) -> Quantized:
        """Values that this rounder chose, as elements."""
        return Quantized(self.fmt, round_elements(self.fmt.elements, q / self.scale), scale, tensor_scale)


@stage("gptq")
def gptq(
    w: Tensor, moments: Tensor, order: Tensor, round_columns: Rounder, damp: float, factor: Tensor | None = None
) -> Tensor:
    """Representable values of W [out, in], rounded in `order` with error feedback.

    Args:
        moments: H, float32 [in, in].
        order: a permutation of the columns; those early are rounded best, those late carry the others' errors.
        damp: share of H's mean diagonal that is added to it.
        factor: `inverse_factor` of H in that order, if it is known.

    Raises:
        PrecisionError: H cannot be inverted at any damping.
    """
    if factor is None:
        factor = inverse_factor(moments[order][:, order], damp)
    rest, out = w[:, order].clone(), torch.empty_like(w)
    for start in range(0, w.shape[1], BLOCK):
        end = min(start + BLOCK, w.shape[1])
        columns = order[start:end]
        chosen, errors = _feed_back(rest[:, start:end], factor[start:end, start:end], columns, round_columns)
        out[:, columns] = chosen
        rest[:, end:] -= errors @ factor[start:end, end:]
    return out


def _feed_back(values: Tensor, factor: Tensor, columns: Tensor, round_columns: Rounder) -> tuple[Tensor, Tensor]:
    """GPTQ within a block of columns [out, columns]: what was chosen, and each column's error over the factor's
    diagonal."""
    if on_gpu(values):
        from hopwell.quantization import gptq_triton  # Triton is a GPU's dependency

        scale = round_columns.scale.index_select(1, columns)
        return gptq_triton.feed_back(values, scale, factor, round_columns.fmt.elements)
    block = values.t().contiguous()
    errors, chosen = torch.empty_like(block), torch.empty_like(block)
    for j in range(len(block)):
        chosen[j] = round_columns(block[j].unsqueeze(1), columns[j : j + 1]).squeeze(1)
        errors[j] = (block[j] - chosen[j]) / factor[j, j]
        block[j:] -= torch.outer(factor[j, j:], errors[j])
    return chosen.t(), errors.t()


@stage("descent")
def coordinate_descent(w: Tensor, q: Tensor, moments: Tensor, round_columns: Rounder, sweeps: int) -> Tensor:
    """Sweeps over all columns, moving each code to its best place given the others (QuantEase, Behdin et al., 2023)."""
    q = q.clone()
    every = torch.arange(w.shape[1], device=w.device)
    for _ in range(sweeps):
        before = q.clone()
        gradient = (q - w) @ moments
        for start in range(0, w.shape[1], BLOCK):
            end = min(start + BLOCK, w.shape[1])
            span = slice(start, end)
            moves = _descend(q[:, span], gradient[:, span], moments[span, span], every[span], round_columns)
            q[:, span] += moves
            gradient[:, end:] += moves @ moments[span, end:]
        if torch.equal(q, before):
            break
    return q


def _descend(values: Tensor, slope: Tensor, moments: Tensor, columns: Tensor, round_columns: Rounder) -> Tensor:
    """Coordinate descent within a block of columns: how far each value moves, [out, columns]."""
    if on_gpu(values):
        from hopwell.quantization import gptq_triton

        scale = round_columns.scale.index_select(1, columns)
        return gptq_triton.descend(values, slope, scale, moments, round_columns.fmt.elements)
    values, slope = values.t().contiguous(), slope.t().contiguous()
    read = (moments.diagonal() > 0).tolist()
    moves = torch.zeros_like(values)
    for j in range(len(values)):
        if not read[j]:
            continue
        target = values[j] - slope[j] / moments[j, j]
        new = round_columns(target.unsqueeze(1), columns[j : j + 1]).squeeze(1)
        moves[j] = new - values[j]
        slope += torch.outer(moments[j], moves[j])
    return moves.t()


@stage("joint")
def joint_descent(
    w: Tensor, q: Tensor, scale: Tensor, tensor_scale: Tensor, moments: Tensor, fmt: BlockFormat
) -> tuple[Tensor, Tensor]:
    """One sweep over blocks of columns, each given the best of several scales *with* the codes that go with it.

    A scale search alone judges a scale by plain rounding, which feedback never does. Here, for every candidate, the
    block's codes are rounded with error feedback inside the block, all other blocks fixed, and the change of the whole
    objective decides.

    Args:
        w, q: the matrix and its values so far [out, in].
        scale: block scales [out, blocks], as `fmt` stores them.

    Returns:
        New values and scales; the objective never rises.
    """
    q, scale = q.clone(), scale.clone()
    gradient = (q - w) @ moments
    tried = neighbours(fmt, scale.t().contiguous())  # [candidates, blocks, out]
    blocks = (scale.shape[1], fmt.columns)
    within = moments.unflatten(0, blocks).unflatten(2, blocks).diagonal(dim1=0, dim2=2).permute(2, 0, 1).contiguous()
    factors = inverse_factors(within, 1e-3).contiguous()
    inverses = factors.mT @ factors
    for block in range(scale.shape[1]):
        start, end = block * fmt.columns, (block + 1) * fmt.columns
        values, slope, local, factor = q[:, start:end], gradient[:, start:end], within[block], factors[block]
        # the block's best values were codes continuous: where the objective's slope vanishes
        target = values - slope @ inverses[block]
        move = _rescale(target, values, slope, tried[:, block], scale[:, block], tensor_scale, factor, local, fmt)
        values += move
        gradient[:, end:] += move @ moments[start:end, end:]
    return q, scale


def _rescale(
    target: Tensor, values: Tensor, slope: Tensor, tried: Tensor, scale: Tensor, tensor_scale: Tensor, factor: Tensor,
    moments: Tensor, fmt: BlockFormat,
) -> Tensor:  # fmt: skip
    """Gives each row's block the best of the scales `tried` [candidates, out] with the codes that go with it, if that
    lowers the objective: overwrites `scale` [out] and returns how far each value moves, [out, columns]."""
    if on_gpu(values):
        from hopwell.quantization import gptq_triton

        return gptq_triton.rescale(target, values, slope, tried, scale, tensor_scale, factor, moments, fmt.elements)
    move = torch.empty_like(target)
    at_once = max(16, CACHE_BYTES // (4 * fmt.columns * len(tried)))
    for start in range(0, len(target), at_once):
        some = slice(start, start + at_once)
        stored = tried[:, some]
        unit = stored * tensor_scale
        rest = target[some].t().unsqueeze(1).expand(-1, *stored.shape).clone()  # [columns, candidates, out]
        chosen = torch.empty_like(rest)
        for j in range(fmt.columns):
            chosen[j] = round_elements(fmt.elements, rest[j] / unit) * unit
            error = (rest[j] - chosen[j]) / factor[j, j]
            rest[j:] -= factor[j, j:, None, None] * error
        moves = (chosen - values[some].t().unsqueeze(1)).permute(1, 2, 0)  # [candidates, out, columns]
        change = ((moves @ moments) * moves).sum(-1) + 2 * (moves * slope[some]).sum(-1)
        least, index = change.min(0)
        rows = torch.arange(len(least), device=least.device)
        move[some] = torch.where((least < 0).unsqueeze(1), moves[index, rows], 0.0)
        scale[some] = torch.where(least < 0, stored[index, rows], scale[some])
    return move
