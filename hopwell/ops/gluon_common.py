"""What the Gluon kernels for many rows share: the ring of tiles between the warps that copy and those that compute."""

from __future__ import annotations

from triton.experimental import gluon
from triton.experimental.gluon import language as gl


@gluon.jit
def advance(slot, phase, STAGES: gl.constexpr):
    """The next place in a ring, and the phase of its barriers, which turns with every round."""
    slot += 1
    if slot == STAGES:
        slot = 0
        phase ^= 1
    return slot, phase
