"""What the engine counts: plain numbers that a server exports in any format it likes."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import zip_longest
from typing import Any

from hopwell.limits.energy import EnergyTotals
from hopwell.limits.history import Totals
from hopwell.limits.pacing import PacingState
from hopwell.limits.thermal import ThermalState

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.08, 0.15, 0.3, 0.6, 1.0, 1.5, 2.0, 4.0, 8.0, 16.0, 60.0)
HOST_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.125, 1.0)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144)
AGES = (0.1, 1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)


@dataclass(slots=True)
class Histogram:
    """Observations counted by upper bound, Prometheus's way: `counts[i]` fell in (bounds[i - 1], bounds[i]]."""

    bounds: Sequence[float]
    counts: list[int] = field(default_factory=list)
    """One more than bounds: the last is unbounded."""
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        return sum(self.counts)


@dataclass(slots=True)
class Metrics:
    """Counters only grow; gauges are as of the last step."""

    # gauges
    running: int = 0
    waiting: int = 0
    pages_total: int = 0
    pages_free: int = 0
    """Neither used by a sequence nor kept for reuse."""
    pages_cached: int = 0
    """Kept for reuse, and given up when a sequence needs them."""

    # counters
    steps: int = 0
    prompt_tokens: int = 0
    """Of admitted requests."""
    generated_tokens: int = 0
    computed_tokens: int = 0
    """Rows that went through the model, recomputation and rejected drafts included."""
    preemptions: int = 0
    finished: dict[str, int] = field(default_factory=Counter)
    """Sequences, by finish reason."""
    faults: dict[str, int] = field(default_factory=Counter)
    """Sequences ended by a fault, by its kind."""

    # prefix cache
    cache_lookup_tokens: int = 0
    cache_hit_tokens: int = 0
    cache_evicted_pages: int = 0
    cache_recomputed_tokens: int = 0
    """Prompt tokens computed again although their page was once cached: what a larger cache would have saved."""
    eviction_age: Histogram = field(default_factory=lambda: Histogram(AGES))
    """Seconds since the last use of a page when it was given up."""

    # tiers below the pool
    host_pages: int = 0
    disk_pages: int = 0
    tier_hit_tokens: dict[str, int] = field(default_factory=Counter)
    """Prompt tokens that came from a tier, "host", "disk" or "store"; `cache_hit_tokens` are those of the pool."""
    tier_saved_pages: int = 0
    """Copied to host memory."""
    tier_written_pages: int = 0
    """To disk, or to the store in its place."""
    tier_unwritten_pages: int = 0
    """That it did not take: it was behind, or had failed."""
    tier_declined_pages: dict[str, int] = field(default_factory=Counter)
    """Known, but sooner computed than fetched, by tier."""
    tier_faults: dict[str, int] = field(default_factory=Counter)
    """Pages lost, by tier and kind: each was computed instead."""
    tier_page_seconds: dict[str, float] = field(default_factory=dict)
    """Gauge: what a page takes to "compute", to have in host memory from "host", "disk" or "store", over the "link"."""

    # speculation
    draft_steps: int = 0
    """Steps of a sequence that verified drafts."""
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    accepted_at: list[int] = field(default_factory=list)
    """Steps in which draft i was accepted: divided by `draft_steps`, the acceptance at that position."""

    # latency
    ttft: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    tpot: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    itl: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    """Between the steps that gave a sequence tokens: with drafts, several of them."""
    queue_time: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    e2e: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    step_time: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    host_time: Histogram = field(default_factory=lambda: Histogram(HOST_SECONDS))
    """Of a step, what the engine's own thread did: schedule, launch where steps are given ahead, stops, text, outputs.
    While it is less than the step itself, the device never waits."""
    prompt_length: Histogram = field(default_factory=lambda: Histogram(TOKENS))
    answer_length: Histogram = field(default_factory=lambda: Histogram(TOKENS))
    missed: dict[str, int] = field(default_factory=Counter)
    """Requests whose latency class was not honoured, by "class ttft" or "class tpot"."""
    classes: dict[str, int] = field(default_factory=Counter)
    """Finished requests, by latency class."""

    meter: Totals | None = None
    """Of the meter, where there is one, as of when these were asked for."""

    energy: EnergyTotals | None = None
    """Likewise, where there is an energy counter."""

    pacing: PacingState | None = None
    """Likewise, where the objective is not latency."""

    thermal: ThermalState | None = None
    """Likewise, where degrees have a limit."""

    @property
    def hit_rate(self) -> float:
        """Share of looked-up prompt tokens that the prefix cache held."""
        return self.cache_hit_tokens / self.cache_lookup_tokens if self.cache_lookup_tokens else 0.0

    @property
    def acceptance_length(self) -> float:
        """Mean tokens that a verifying step yields: 1 without any accepted draft."""
        return 1.0 + self.accepted_tokens / self.draft_steps if self.draft_steps else 1.0


APART = ("meter", "energy", "tier_page_seconds", "pacing", "thermal")
"""Of several engines' metrics, those that are not sums."""


def merged(each: Sequence[Metrics]) -> Metrics:
    """What several engines have counted together. Of what does not add up, the meter, a page's seconds and pacing, the
    first engine's; of heat the hottest's."""
    total = Metrics()
    for name in (one.name for one in fields(Metrics)):
        values = [getattr(metrics, name) for metrics in each]
        setattr(total, name, values[0] if name in APART else _sum(values))
    if hot := [metrics.thermal for metrics in each if metrics.thermal is not None]:
        held, times = sum(state.held for state in hot), sum(state.times for state in hot)
        total.thermal = replace(max(hot, key=lambda state: (state.hot, state.degrees or 0)), held=held, times=times)
    if paced := [metrics.pacing for metrics in each if metrics.pacing is not None]:
        seconds, prompts = (sum(getattr(state, name) for state in paced) for name in ("held_seconds", "prompt_seconds"))
        total.pacing = replace(paced[0], held_seconds=seconds, prompt_seconds=prompts)
    return total


def _sum(values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, Histogram):
        counts = [sum(parts) for parts in zip(*(value.counts for value in values), strict=True)]
        return Histogram(first.bounds, counts, sum(value.total for value in values))
    if isinstance(first, dict):
        return sum((Counter(value) for value in values), Counter())
    if isinstance(first, list):
        return [sum(parts) for parts in zip_longest(*values, fillvalue=0)]
    return sum(values)
