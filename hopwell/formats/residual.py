"""Residual columns: some input columns of a matrix have a second column, which holds what the first leaves.

y = Q x + R x[columns]: those columns have about twice the bits. The residual R is a matrix of small elements like Q, in
as fine blocks as four-bit elements come in. A label says how many bytes they take beside the matrix: `nvfp4+10%`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hopwell.formats.blocks import FORMATS, INT4_G32, BlockFormat, Quantized

SHARES = (5, 10, 20)
"""Percent of a matrix's bytes that residual columns are offered for."""


@dataclass(slots=True)
class HighLow:
    """A quantised matrix [out, in] and the residual of some of its columns."""

    high: Quantized
    low: Quantized
    """[out, columns], under the tensor scale of `high`."""
    columns: Tensor
    """int32 [columns], ascending."""

    @property
    def format(self) -> BlockFormat:
        """Of `high`."""
        return self.high.format

    @property
    def shape(self) -> torch.Size:
        return self.high.shape

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return high_low_bytes(self.format, self.shape, len(self.columns))

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The sum of both in float32, rounded once to `dtype`."""
        value = self.high.dequantize()
        value[:, self.columns.long()] += self.low.dequantize()
        return value.to(dtype)


def residual_format(fmt: BlockFormat) -> BlockFormat:
    """The format of a format's residuals."""
    return INT4_G32 if fmt.elements == "int4" else fmt


def high_low_bytes(fmt: BlockFormat, shape: tuple[int, ...] | torch.Size, columns: int) -> int:
    """Bytes on disk of a matrix [out, in] with so many residual columns and their int32 indices."""
    low = residual_format(fmt)
    shared = 4 * (low.scales == "e4m3")  # the tensor scale, of which `high` has the only copy
    return fmt.nbytes(shape) + low.nbytes((shape[0], columns)) - shared + 4 * columns


def column_count(fmt: BlockFormat, shape: tuple[int, ...] | torch.Size, percent: float) -> int:
    """How many residual columns take nearest to `percent` of the matrix's bytes: whole blocks of four
    bits or 16 columns of FP8, at least one and at most all."""
    block = residual_format(fmt).columns if fmt.bits == 4 else 16
    plain = fmt.nbytes(shape)
    a_block = high_low_bytes(fmt, shape, block) - plain
    return min(shape[1], block * max(1, round(plain * percent / 100 / a_block)))


def parse_label(label: str) -> tuple[BlockFormat, float]:
    """A format's label and the percent of bytes that its residual columns take: `nvfp4`, 0; `nvfp4+10%`, 10.

    Raises:
        ValueError: the format is unknown, or the percentage is none.
    """
    name, plus, share = label.partition("+")
    if name not in FORMATS:
        raise ValueError(f"format {name!r} is unknown; known: {', '.join(FORMATS)}")
    fmt = FORMATS[name]
    if not plus:
        return fmt, 0.0
    try:
        percent = float(share.removesuffix("%")) if share.endswith("%") else 0.0
    except ValueError:
        percent = 0.0
    if not 0 < percent <= 100:
        raise ValueError(f"{label}: give the bytes of the residual columns in percent, as {name}+10%")
    return fmt, percent
