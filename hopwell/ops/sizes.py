"""Sizes that cache, kernels and their choice share; no torch here, for the cache and the server have none."""

from __future__ import annotations

PAGE = 64
"""Tokens in a page of the latent cache."""
MAX_DRAFTS = 3
"""Of the MTP layer, a step."""


def cdiv(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def next_power_of_2(n: int) -> int:
    """The least power of two that is n or more."""
    return 1 << max(n - 1, 0).bit_length()
