"""Where a request goes, of several places with a prefix cache each: whole copies of an engine, or ranks of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

BUSIER, MORE = 1.25, 4
"""A place with more sequences than so many times the idlest one's, and so many more, is given no further one."""


def best_place(known: Sequence[int], loads: Mapping[int, int], turn: int = 0) -> int:
    """The place that knows most of a prompt's beginning, unless it has much more to do than another; of equals the
    idlest, and of those in turns.

    Cache-aware routing with a guard on load, as SGLang's router has it: over 8 copies the hit rate of Mooncake's trace
    is then three times that of taking turns (docs/parallel.md).

    Args:
        known: pages of the prompt that each place knows, from the first on.
        loads: sequences at each place that can take it, at least one.
        turn: how many were placed before.
    """
    most = BUSIER * min(loads.values()) + MORE

    def worth(place: int) -> tuple[int, int, int]:
        return known[place], -loads[place], (place + turn) % len(known)

    return max((place for place, load in loads.items() if load <= most), key=worth)
