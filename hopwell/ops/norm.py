"""RMSNorm (Zhang and Sennrich, 2019)."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from hopwell.limits.cost import OpCost


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / rms(x) * weight along the last axis, in float32, returned in x's dtype: x [..., n], weight float32 [n]."""
    if x.device.type == "cpu" and x.dtype == torch.float32:  # the same in half as many ops
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = torch.addcmul(_number(eps), length, length, value=1 / x.shape[-1]).rsqrt_()
        return (x * scale).mul_(weight)
    x32 = x.float()
    scale = torch.rsqrt(x32.square().mean(dim=-1, keepdim=True) + eps)
    return (x32 * scale * weight).to(x.dtype)


@cache
def _number(value: float) -> Tensor:
    """A number as a tensor, for ops that take no other: as `rms_norm` has it, whatever a caller's defaults are."""
    return torch.tensor(value, dtype=torch.float32, device="cpu")


def cost(tokens: int, width: int, residual: bool = False, itemsize: int = 2) -> OpCost:
    """`itemsize` bytes a value (bf16's) in and out; with `residual`, the sum is read and written too."""
    passes = 4 if residual else 2
    return OpCost(itemsize * passes * tokens * width + 2 * width, 4 * tokens * width, "fp32")
