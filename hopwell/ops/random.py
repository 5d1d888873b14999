"""Noise that depends on nothing but seed, position and token: the same in any batch, on any device, in any order."""

from __future__ import annotations

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 2^64 / golden ratio, as a signed integer
_MIX1 = -4658895280553007687
_MIX2 = -7723592293110705685


def _shift_right(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)  # int64 shifts copy the sign; this one must not


def mix(x: Tensor) -> Tensor:
    """A bijection of 64-bit integers that looks random (the finaliser of SplitMix64; Steele et al., 2014)."""
    x = (x ^ _shift_right(x, 30)) * _MIX1
    x = (x ^ _shift_right(x, 27)) * _MIX2
    return x ^ _shift_right(x, 31)


def uniform(seeds: Tensor, positions: Tensor, tokens: Tensor) -> Tensor:
    """Numbers in (0, 1), float32, one for each (seed, position, token); arguments int64, broadcast together."""
    bits = mix(mix(seeds + positions * _GOLDEN) + tokens * _GOLDEN)
    return (_shift_right(bits, 40).float() + 0.5) * 2.0**-24


def gumbel(seeds: Tensor, positions: Tensor, tokens: Tensor) -> Tensor:
    """Standard Gumbel noise: argmax(log p + noise) is a draw from p (Gumbel, 1954)."""
    return -torch.log(-torch.log(uniform(seeds, positions, tokens)))
