"""What is measured of a step: seconds, bytes and FLOPs of its ops, beside the device's ceilings; and which steps are.

docs/limits.md defines every figure.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import ceil
from statistics import median

from hopwell.limits.cost import OpCost

LEAST, MOST = 8, 4096
"""Steps from one that is measured to the next."""
SHARE = 0.003
"""Of all steps' time, that measuring may take; beside it each step pays for marks that nobody hears."""
REMEMBERED = 15
"""Measured steps whose median decides how many are passed over: what interrupts one counts for nothing."""


@dataclass(frozen=True, slots=True)
class Rates:
    """A device's measured ceilings, as the meter holds ops to them."""

    device: str
    bytes_per_s: float
    flops_per_s: dict[str, float]
    """By format of the operands: "bf16", "fp8", ...; "" is for all others."""

    def seconds(self, cost: OpCost) -> tuple[float, float]:
        """What the bytes of an op take at least, and its FLOPs."""
        flops = self.flops_per_s.get(cost.format, self.flops_per_s[""])
        return cost.bytes / self.bytes_per_s, cost.flops / flops


@dataclass(slots=True)
class Sums:
    """Of one op in one layer, or in all, over measured steps."""

    seconds: float = 0.0
    bytes: float = 0.0
    flops: float = 0.0
    memory: float = 0.0
    """Seconds that the bytes take at the ceiling."""
    math: float = 0.0
    """Seconds that the FLOPs take at theirs."""
    floor: float = 0.0
    """Seconds of whichever was longer, op by op."""

    def add(self, other: Sums) -> None:
        self.seconds += other.seconds
        self.bytes += other.bytes
        self.flops += other.flops
        self.memory += other.memory
        self.math += other.math
        self.floor += other.floor


Key = tuple[int | None, str]
"""A layer and an op."""


class Reading(dict[Key, Sums]):
    """One measured step."""

    def put(self, layer: int | None, op: str, seconds: float, cost: OpCost | None, rates: Rates) -> None:
        """Adds one run of an op; `cost` None: it moves nothing that a ceiling would bind."""
        sums = self.setdefault((layer, op), Sums())
        sums.seconds += seconds
        if cost is not None:
            memory, math = rates.seconds(cost)
            sums.bytes += cost.bytes
            sums.flops += cost.flops
            sums.memory += memory
            sums.math += math
            sums.floor += max(memory, math)

    @property
    def seconds(self) -> float:
        return sum(sums.seconds for sums in self.values())


class Pace:
    """Which steps are measured: one in so many that measuring takes no more than a share of all steps' time."""

    def __init__(self, share: float = SHARE, least: int = LEAST) -> None:
        self.share, self.least, self.every = share, least, least
        self._left, self._cold = least, True
        self._seen: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)

    def due(self) -> bool:
        """Whether the step that begins is to be measured. Call it once a step."""
        self._left -= 1
        if self._left > 0:
            return False
        self._left = self.every
        return True

    def observe(self, step: float, extra: float) -> None:
        """
        Args:
            step: seconds of a measured step, without what measuring added.
            extra: seconds that it added. The first time is not held against it: it loads what the others find loaded.
        """
        if self._cold:
            self._cold = False
            return
        self._seen.append((extra, max(step, 1e-9)))
        self.every = min(max(self.least, ceil(self._added / self.share)), MOST)
        self._left = min(self._left, self.every)

    @property
    def _added(self) -> float:
        """What a measured step adds, of its own time."""
        return median(extra / step for extra, step in self._seen) if self._seen else 0.0

    @property
    def overhead(self) -> float:
        """Share of the time that measuring takes."""
        return self._added / self.every
