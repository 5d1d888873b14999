"""The policies by name."""

from __future__ import annotations

from hopwell.cache.arc import ARC
from hopwell.cache.policy import POLICY_NAMES, EvictionPolicy, LeafLRU
from hopwell.cache.rai import RAI


def new_policy(name: str, num_pages: int) -> EvictionPolicy:
    """A policy for a pool of so many pages.

    Args:
        name: one of `POLICY_NAMES`.
    """
    match name:
        case "lru":
            return LeafLRU()
        case "arc":
            return ARC(num_pages)
        case "rai":
            return RAI(num_pages)
        case _:
            raise ValueError(f"policy {name!r} is unknown; known: {', '.join(POLICY_NAMES)}")
