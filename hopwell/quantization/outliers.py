"""High and low: input channels that lose most get a residual column (formats/residual.py), fitted with all others.

With the chosen inputs read twice, a matrix with residual columns is a plain one with more columns, [W, 0], so GPTQ and
coordinate descent apply as they are. GPTQ takes the chosen channels last, and their residuals after them: nearly exact,
they also make up for the errors of all others.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hopwell.formats.blocks import BlockFormat, Quantized, block_peaks, over_elements, quantize, round_scales
from hopwell.formats.residual import HighLow, residual_format
from hopwell.quantization.compensate import Compensated
from hopwell.quantization.gptq import Rounder, coordinate_descent, gptq, joint_descent
from hopwell.quantization.hessian import Inputs, damping

HALF_GAP = {"e2m1": 1.0, "int4": 0.5, "e4m3": 16.0}
"""The largest rounding error, in elements."""
SWEEPS = 3
"""Of coordinate descent."""


@dataclass(slots=True)
class WithColumns:
    """A matrix with residual columns and how it came about."""

    quantized: HighLow
    before: float
    """Relative squared error of plain rounding without residual columns, on held-out rows."""
    after: float
    """Of what was kept: never above that of the matrix without residual columns."""
    rung: str
    """`columns`: residuals of the codes as they were; `columns_descent`: all codes anew; `columns_joint`: scales too;
    `none`: nothing helped, the residuals are zeros."""


def high_low(w: Tensor, inputs: Inputs, start: Compensated, channels: int, fit: bool = True) -> WithColumns:
    """Gives `channels` input channels of W [out, in] a residual column, and fits all codes to that.

    Args:
        start: W without.
        channels: a multiple of the residual format's block.
        fit: choose all codes anew; else only the residuals are new.
    """
    w, base = w.float(), start.quantized
    fmt, second, width = base.format, base.tensor_scale, w.shape[1]
    low_fmt = residual_format(fmt)
    signal = inputs.judge.error(w) or 1.0
    # by the loss of plain rounding: feedback hides where the loss began
    loss = (quantize(w, fmt, base.scale, second).dequantize() - w).square().sum(0) * inputs.moments.diagonal()
    columns = torch.argsort(loss, descending=True, stable=True)[:channels].sort().values
    low_scale = _low_scales(low_fmt, over_elements(fmt, base.scale * second, w.shape)[:, columns], second)
    rest = (w - base.dequantize())[:, columns]
    empty = quantize(torch.zeros_like(rest), low_fmt, low_scale, second)
    result = WithColumns(HighLow(base, empty, columns.to(torch.int32)), start.before, start.after, "none")

    def offer(rung: str, high: Quantized, low: Quantized) -> None:
        both = HighLow(high, low, columns.to(torch.int32))
        error = inputs.judge.error(both.dequantize() - w) / signal
        if error < result.after:
            result.quantized, result.after, result.rung = both, error, rung

    def both(scale: Tensor, low_scale: Tensor) -> Rounder:
        """Of W's columns and their residuals beside."""
        high, low = (over_elements(f, s * second, v.shape) for f, s, v in ((fmt, scale, w), (low_fmt, low_scale, rest)))
        return Rounder(fmt, torch.cat((high, low), dim=1))

    def split(rung: str, rounder: Rounder, q: Tensor, scale: Tensor, low_scale: Tensor) -> None:
        elements = rounder.quantized(q, scale, second).elements
        high, low = (part.contiguous() for part in elements.split((width, channels), dim=1))
        offer(rung, Quantized(fmt, high, scale, second), Quantized(low_fmt, low, low_scale, second))

    offer("columns", base, quantize(rest, low_fmt, low_scale, second))
    if not fit:
        return result
    twice = torch.cat((torch.arange(width, device=w.device), columns))
    target, moments = torch.cat((w, torch.zeros_like(rest)), dim=1), inputs.moments[twice][:, twice]
    damp = damping(inputs.tokens, width)
    rounder = both(base.scale, low_scale)
    q = gptq(target, moments, _order(moments, columns, width), rounder, damp)
    damped = moments + inputs.moments.diagonal().mean() * damp / 10 * torch.eye(len(twice), device=w.device)
    q = coordinate_descent(target, q, damped, rounder, SWEEPS)
    split("columns_descent", rounder, q, base.scale, low_scale)
    if low_fmt is fmt and fmt.rows == 1 and fmt.columns:
        q, scale = joint_descent(target, q, torch.cat((base.scale, low_scale), dim=1), second, damped, fmt)
        high_scale, low_scale = scale.split((base.scale.shape[1], low_scale.shape[1]), dim=1)
        rounder = both(high_scale, low_scale)
        q = coordinate_descent(target, q, damped, rounder, SWEEPS)
        split("columns_joint", rounder, q, high_scale.contiguous(), low_scale.contiguous())
    return result


def _order(moments: Tensor, columns: Tensor, width: int) -> Tensor:
    """All columns, those with the largest E[x^2] first, but the chosen ones at the end and their residuals last."""
    rank = torch.zeros(len(moments), dtype=torch.int64, device=moments.device)
    rank[columns], rank[width:] = 1, 2
    by_size = torch.argsort(moments.diagonal(), descending=True, stable=True)
    return by_size[torch.argsort(rank[by_size], stable=True)]


def _low_scales(fmt: BlockFormat, unit: Tensor, tensor_scale: Tensor) -> Tensor:
    """Scales of the residual: its largest magnitude is half a gap of the coarsest column in the block."""
    return round_scales(fmt, block_peaks(fmt, unit) * (HALF_GAP[fmt.elements] / fmt.peak) / tensor_scale)
