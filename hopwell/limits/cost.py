"""What an op must cost: the one source of truth for the benches, the live meter and the planner."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OpCost:
    """The least an op can do: bytes moved through device memory and floating-point operations.

    `bytes` counts every input read once and every output written once; `flops` counts a multiply-add as two;
    `format` names the matrix-unit rate that bounds it ("bf16", "fp8", "fp32", ...).
    """

    bytes: int
    flops: int
    format: str = "bf16"

    def __add__(self, other: OpCost) -> OpCost:
        """Sum of two ops run one after the other; the format is that of the one with more FLOPs."""
        fmt = self.format if self.flops >= other.flops else other.format
        return OpCost(self.bytes + other.bytes, self.flops + other.flops, fmt)
