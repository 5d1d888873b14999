"""Plain values as a format among the others: `PlainFormat` answers what `BlockFormat` answers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class PlainFormat:
    """A value a number, in one of PyTorch's dtypes."""

    dtype: torch.dtype

    @property
    def name(self) -> str:
        """The dtype's: bfloat16, float16 or float32."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def bytes_per_value(self) -> float:
        return float(self.dtype.itemsize)

    def nbytes(self, shape: tuple[int, ...] | torch.Size) -> int:
        """Bytes of a matrix [..., out, in]."""
        return math.prod(shape) * self.dtype.itemsize


BF16 = PlainFormat(torch.bfloat16)
