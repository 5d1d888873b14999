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

    @property
    def module(self) -> str:
        """The name without its last component."""
        return self.name.rpartition(".")[0]

    @property
    def is_scale(self) -> bool:
        """Whether it holds the scales of FP8 blocks."""
        return self.name.endswith("_scale_inv")
