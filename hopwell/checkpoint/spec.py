"""What a checkpoint of some config must hold, before there is one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor of a checkpoint to be checked, counted or written."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    part: str
    """Part of the model it belongs to: "attention", "routed_experts", "mtp", ... (see model/inventory.py)."""

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.numel * self.dtype.itemsize
