"""What a start took, phase by phase, beside what its bytes take at the least and the seconds that it should take.

A budget leaves nothing out: what the start checks and captures before `ready` would else fail or stall a request after
it. It has the limits measured, and says by phase where the time went and what would save some.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

SMALL = 0.05
"""Seconds above its limit that a phase is not blamed for."""


class Limit(msgspec.Struct, frozen=True):
    """The least that a phase can take."""

    nbytes: int
    rate: float
    """Bytes a second, measured just before."""
    source: str
    """Where they come from at that rate."""

    @property
    def seconds(self) -> float:
        return self.nbytes / self.rate

    def describe(self) -> str:
        """In words."""
        return f"{self.nbytes / 1e9:.3g} GB at {self.rate / 1e9:.2f} GB/s {self.source}, {self.seconds:.2f} s"


def phase_lines(phases: Mapping[str, float], limits: Mapping[str, Limit]) -> str:
    """Phases in a row, each with its limit where there is one."""
    least = {phase: f" (at least {limit.describe()})" for phase, limit in limits.items()}
    return ", ".join(f"{phase} {seconds:.2f} s{least.get(phase, '')}" for phase, seconds in phases.items())


def over_budget(
    budget: float, in_all: float, phases: Mapping[str, float], limits: Mapping[str, Limit], snapshot: bool
) -> str | None:
    """Which phases made a start pass its budget, by how much, and what would help; None: it did not.

    Args:
        in_all: seconds of the start; what the phases leave of it counts as one more, `processes`.
        phases: seconds of each, none within another.
        snapshot: whether weights came from a packed snapshot.
    """
    missing = in_all - budget
    if missing <= 0:
        return None
    spent = {**phases, "processes": in_all - sum(phases.values())}
    excess = {phase: took - (limits[phase].seconds if phase in limits else 0.0) for phase, took in spent.items()}
    told, covered = list[str](), 0.0
    for phase in sorted(excess, key=excess.__getitem__, reverse=True):
        if covered >= missing or excess[phase] < SMALL:
            break
        covered += excess[phase]
        least = f", {excess[phase]:.2f} s more than at least" if phase in limits else ""
        remedy = _remedy(phase, snapshot)
        told.append(f"{phase} {spent[phase]:.2f} s{least}" + (f" ({remedy})" if remedy else ""))
    if covered < missing and limits:
        told.append(f"the rest is bytes: {', '.join(f'{name} {limit.describe()}' for name, limit in limits.items())}")
    return f"{budget:g} s, passed by {missing:.2f} s: {'; '.join(told)}"


def _remedy(phase: str, snapshot: bool) -> str:
    if phase == "weights":
        return "" if snapshot else "hopwell pack MODEL OUT, once: a snapshot needs no conversion"
    return {
        "kernels": "hopwell warm MODEL, once",
        "graphs": "--no-graphs, or fewer --max-batch-tokens",
        "long steps": "fewer --max-batch-tokens",
        "ceilings": "--no-meter, without --energy",
    }.get(phase, "")
