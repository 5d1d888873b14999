"""Rotary position embedding with YaRN, on interleaved pairs as DeepSeek's checkpoints have them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RopeConfig:
    """RoPE (Su et al., 2021) over `dim` values, stretched by YaRN (Peng et al., 2023) when `factor` > 1."""

    dim: int
    theta: float = 10000.0
    factor: float = 1.0
    original_max_position_embeddings: int = 4096
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    """Whether the pairs between which YaRN interpolates are whole numbers."""
    table_mscale: float = 1.0
    """Multiplies cos and sin; 1 for every released model, whose mscale and mscale_all_dim are equal."""
    softmax_mscale: float = 1.0
    """YaRN's temperature; its square multiplies the softmax scale."""

    def inverse_frequencies(self) -> Tensor:
        """Radians per position of each pair, float32 [dim / 2]."""
        exponent = torch.arange(0, self.dim, 2, dtype=torch.float32) / self.dim
        plain = 1.0 / self.theta**exponent
        if self.factor <= 1.0:
            return plain

        def pair_with(rotations: float) -> float:
            """Index of the pair that turns `rotations` times over the original context."""
            wavelength = self.original_max_position_embeddings / (rotations * 2 * math.pi)
            return self.dim * math.log(wavelength) / (2 * math.log(self.theta))

        low, high = pair_with(self.beta_fast), pair_with(self.beta_slow)
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, self.dim - 1)
        ramp = (torch.arange(self.dim // 2, dtype=torch.float32) - low) / ((high - low) or 0.001)
        keep = 1.0 - ramp.clamp(0.0, 1.0)  # 1: turns often, left alone; 0: turns slowly, interpolated
        return plain / self.factor * (1.0 - keep) + plain * keep

    def table(self, length: int, device: torch.device | str = "cpu") -> Tensor:
        """cos and sin of every position up to `length`: float32 [length, dim / 2, 2]."""
        angles = torch.outer(torch.arange(length, dtype=torch.float32), self.inverse_frequencies())
        return (torch.stack((angles.cos(), angles.sin()), dim=-1) * self.table_mscale).to(device)


def apply_rope(x: Tensor, table: Tensor) -> Tensor:
    """Rotates the pairs (x[2i], x[2i+1]) of every token, in float32, and returns them in place of each other.

    Args:
        x: [tokens, heads, dim].
        table: cos and sin of each token's position, float32 [tokens, dim / 2, 2].

    Returns:
        [tokens, heads, dim] in x's dtype, pairs still interleaved.
    """
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)).contiguous())
    rotated = pairs * torch.view_as_complex(table).unsqueeze(1)
    return torch.view_as_real(rotated).flatten(-2).to(x.dtype)


def rotate(x: Tensor, turns: Tensor) -> None:
    """`apply_rope` in place.

    Args:
        x: [tokens, heads, dim], maybe a part of wider rows.
        turns: the table as complex numbers [tokens, 1, dim / 2].
    """
    in_pairs = not (x.storage_offset() | x.stride(0) | x.stride(1)) & 1
    if in_pairs and x.dtype == torch.float32 and x.device.type == "cpu":
        torch.view_as_complex(x.unflatten(-1, (-1, 2))).mul_(turns)
    else:
        x.copy_(apply_rope(x, torch.view_as_real(turns.squeeze(1))))
