"""High and low: chosen input channels get a second column that holds what the first leaves, in the same format.

y = Q x + R x[columns] is one product with a few more columns. GPTQ takes those channels last, so that they, being
nearly exact, also make up for the errors of all others.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hopwell.formats.blocks import BlockFormat, Quantized, block_peaks, over_elements, quantize, round_scales
from hopwell.precision.compensate import Compensated
from hopwell.precision.feedback import Rounder, coordinate_descent, gptq
from hopwell.precision.hessian import Inputs, damping

HALF_GAP = {"e2m1": 1.0, "int4": 0.5, "e4m3": 16.0}
"""The largest rounding error, in elements."""


@dataclass(slots=True)
class HighLow:
    """A quantised matrix [out, in] and the residual of some of its columns."""

    high: Quantized
    low: Quantized
    """[out, channels]."""
    columns: Tensor
    """int32 [channels], ascending."""
    error: float
    """Squared output error on held-out rows, relative to the output's square."""

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The sum of both, rounded once to `dtype`."""
        value = self.high.dequantize()
        value[:, self.columns.long()] += self.low.dequantize()
        return value.to(dtype)

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return self.high.format.nbytes(self.high.shape) + self.low.format.nbytes(self.low.shape) + 4 * len(self.columns)


def high_low(w: Tensor, inputs: Inputs, start: Compensated, channels: int, sweeps: int = 3) -> HighLow:
    """Gives `channels` input channels a residual column, and fits all codes to that.

    Args:
        start: W compensated without; its scales are kept.
        channels: rounded up to whole blocks of a four-bit format, or to 16.
    """
    w, base = w.float(), start.quantized
    fmt, width = base.format, w.shape[1]
    whole = fmt.columns if fmt.bits == 4 else 16
    channels = min(width, -(-channels // whole) * whole)
    diagonal = inputs.moments.diagonal()
    loss = (quantize(w, fmt, base.scale, base.tensor_scale).dequantize() - w).square().sum(0) * diagonal
    columns = torch.argsort(loss, descending=True, stable=True)[:channels].sort().values
    unit = over_elements(fmt, base.scale * base.tensor_scale, w.shape)
    low_scale = _low_scales(fmt, unit[:, columns], base.tensor_scale)
    rounder = _TwoLevels(fmt, unit, over_elements(fmt, low_scale * base.tensor_scale, (len(w), channels)), columns)
    chosen = torch.zeros(width, dtype=torch.bool, device=w.device)
    chosen[columns] = True
    order = torch.argsort(diagonal - chosen * (diagonal.max() + 1) * 2, descending=True, stable=True)
    q = gptq(w, inputs.moments, order, rounder, damping(inputs.tokens, width))
    ridge = diagonal.mean() * damping(inputs.tokens, width) / 10
    q = coordinate_descent(w, q, inputs.moments + ridge * torch.eye(width, device=w.device), rounder, sweeps)
    high = rounder.quantized(q, base.scale, base.tensor_scale)
    low = quantize((q - high.dequantize())[:, columns], fmt, low_scale, base.tensor_scale)
    result = HighLow(high, low, columns.to(torch.int32), 0.0)
    signal = inputs.judge.error(w) or 1.0
    result.error = inputs.judge.error(result.dequantize() - w) / signal
    return result


def _low_scales(fmt: BlockFormat, unit: Tensor, tensor_scale: Tensor) -> Tensor:
    """Scales of the residual: its largest magnitude is half a gap of the coarsest column in the block."""
    return round_scales(fmt, block_peaks(fmt, unit) * (HALF_GAP[fmt.elements] / fmt.peak) / tensor_scale)


class _TwoLevels(Rounder):
    """A rounder that is two-level on some columns."""

    plain = False

    def __init__(self, fmt: BlockFormat, scale: Tensor, low_scale: Tensor, columns: Tensor) -> None:
        super().__init__(fmt, scale)
        self.low = {int(c): low_scale[:, i : i + 1].contiguous() for i, c in enumerate(columns)}

    def __call__(self, values: Tensor, columns: Tensor) -> Tensor:
        high = super().__call__(values, columns)
        low_scale = self.low.get(int(columns[0]))
        if low_scale is None:
            return high
        return high + Rounder(self.fmt, low_scale)(
            values - high, torch.zeros(1, dtype=torch.long, device=values.device)
        )
