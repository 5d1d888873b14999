"""RMSNorm (Zhang and Sennrich, 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

from hopwell.limits.cost import OpCost


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / rms(x) * weight along the last axis, in float32, returned in x's dtype: x [..., n], weight float32 [n]."""
    if x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32:  # the same bits, in one call
        return torch.nn.functional.rms_norm(x, weight.shape, weight, eps)
    x32 = x.float()
    scale = torch.rsqrt(x32.square().mean(dim=-1, keepdim=True) + eps)
    return (x32 * scale * weight).to(x.dtype)


def cost(tokens: int, width: int, residual: bool = False, itemsize: int = 2) -> OpCost:
    """`itemsize` bytes a value (bf16's) in and out; with `residual`, the sum is read and written too."""
    passes = 4 if residual else 2
    return OpCost(itemsize * passes * tokens * width + 2 * width, 4 * tokens * width, "fp32")
