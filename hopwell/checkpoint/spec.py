"""What a checkpoint of some config must hold, before there is one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from hopwell.formats.fp8 import SCALES


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor of a checkpoint to be checked, counted or written."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    part: str
    """Part of the model it belongs to: "attention", "routed_experts", "mtp", ... (see model/schema.py)."""
    quantisable: bool = False
    """Whether it is a matrix that may be in any layout of formats/stored.py; else it is plain."""
    deviation: float = 1.0
    """Of the values that a synthetic checkpoint holds; of scales, that of the matrix."""
    mean: float = 0.0
    """Of the same values."""
    values: tuple[float, ...] = ()
    """All that it holds, where that is known."""
    choices: tuple[float, ...] = ()
    """Of which a synthetic checkpoint's values are drawn, each as likely; of packed codes, bytes."""
    copy_of: str | None = None
    """The tensor of which it is a physical copy, never read."""

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.numel * self.dtype.itemsize

    @property
    def module(self) -> str:
        """The name without its last component."""
        return self.name.rpartition(".")[0]

    @property
    def is_scale(self) -> bool:
        """Whether it holds the scales of FP8 blocks."""
        return self.name.endswith(f".{SCALES}")
