"""Which format each tensor gets: a multiple-choice knapsack, solved along the convex hull of every tensor's choices.

Bytes against loss: each tensor's useful choices lie on a falling convex curve, and steps along all curves are taken in
order of loss saved per byte. That is the Lagrangian solution; it is optimal at every step it completes, and at a given
budget within the last, incomplete step of the linear relaxation's bound, which is returned beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hopwell.quantization.hessian import PrecisionError


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to store a tensor, or a group that must be stored alike."""

    label: str
    nbytes: int
    loss: float


@dataclass(frozen=True, slots=True)
class Allocation:
    """A choice for every item, with what it costs and what no allocation can undercut."""

    chosen: dict[str, Choice]
    nbytes: int
    loss: float
    bound: float
    """Of the quantity minimised: loss under a byte budget, bytes under a loss budget."""

    @classmethod
    def of(cls, chosen: dict[str, Choice], bound: float | None = None) -> Allocation:
        """Of a choice for every item; without a bound none could be smaller."""
        nbytes, loss = _total(chosen)
        return cls(chosen, nbytes, loss, float(nbytes) if bound is None else bound)


@dataclass(frozen=True, slots=True)
class _Step:
    item: str
    choice: Choice
    nbytes: int
    gain: float

    @property
    def rate(self) -> float:
        return self.gain / self.nbytes


def allocate_bytes(items: Mapping[str, Sequence[Choice]], budget: int) -> Allocation:
    """Least loss in at most `budget` bytes.

    Raises:
        PrecisionError: not even the smallest choices fit; the message says what they take.
    """
    chosen, steps = _start(items)
    used, loss = _total(chosen)
    if used > budget:
        raise PrecisionError(f"{budget:,} bytes are too few: the smallest formats take {used:,}; allow that or more")
    bound, blocked = loss, set()
    open_bound = True
    for step in steps:
        if open_bound:
            room = budget - used
            bound = loss - step.gain * min(1.0, room / step.nbytes)
            open_bound = step.nbytes <= room
        if step.item in blocked or step.nbytes > budget - used:
            blocked.add(step.item)  # later steps of this item start from the one that did not fit
            continue
        chosen[step.item], used, loss = step.choice, used + step.nbytes, loss - step.gain
    return Allocation.of(chosen, bound)


def allocate_loss(items: Mapping[str, Sequence[Choice]], budget: float) -> Allocation:
    """Fewest bytes with a total loss of at most `budget`.

    Raises:
        PrecisionError: not even the best choices reach it; the message says what they reach.
    """
    chosen, steps = _start(items)
    used, loss = _total(chosen)
    best = sum(min(choice.loss for choice in choices) for choices in items.values())
    if best > budget:
        raise PrecisionError(f"a loss of {budget:.3g} cannot be reached: the best of these formats reach {best:.3g}")
    bound = float(used)
    before: dict[str, tuple[Choice, _Step]] = {}
    for step in steps:
        if loss <= budget:
            break
        share = min(1.0, (loss - budget) / step.gain) if step.gain else 1.0
        bound = used + share * step.nbytes
        before[step.item] = (chosen[step.item], step)
        chosen[step.item], used, loss = step.choice, used + step.nbytes, loss - step.gain
    for item, (previous, step) in sorted(before.items(), key=lambda kv: -kv[1][1].nbytes):
        if loss + step.gain <= budget:  # the last steps may have made an earlier one needless
            chosen[item], used, loss = previous, used - step.nbytes, loss + step.gain
    return Allocation.of(chosen, bound)


def hull(choices: Sequence[Choice]) -> list[Choice]:
    """The choices on the lower convex hull of loss over bytes, smallest first."""
    kept: list[Choice] = []
    for choice in sorted(choices, key=lambda c: (c.nbytes, c.loss, c.label)):
        if kept and choice.loss >= kept[-1].loss:
            continue
        while len(kept) >= 2 and _slope(kept[-2], kept[-1]) <= _slope(kept[-1], choice):
            kept.pop()
        kept.append(choice)
    return kept


def steps_down(lines: Mapping[str, Sequence[Choice]], chosen: Mapping[str, Choice]) -> list[tuple[str, Choice]]:
    """Each item's next smaller choice on its `hull`, with the least loss for the bytes saved first."""
    found = []
    for item, line in lines.items():
        smaller = [c for c in line if c.nbytes < chosen[item].nbytes]
        if smaller:
            found.append((_slope(smaller[-1], chosen[item]), item, smaller[-1]))
    return [(item, choice) for _, item, choice in sorted(found, key=lambda f: f[:2])]


def _slope(a: Choice, b: Choice) -> float:
    return (a.loss - b.loss) / (b.nbytes - a.nbytes)


def _start(items: Mapping[str, Sequence[Choice]]) -> tuple[dict[str, Choice], list[_Step]]:
    chosen, steps = {}, []
    for item, choices in items.items():
        line = hull(choices)
        chosen[item] = line[0]
        steps.extend(_steps(item, line))
    # convexity keeps an item's own steps in order; ties go by name
    return chosen, sorted(steps, key=lambda s: (-s.rate, s.item, s.choice.nbytes))


def _steps(item: str, line: Sequence[Choice]) -> Iterator[_Step]:
    for a, b in pairwise(line):
        yield _Step(item, b, b.nbytes - a.nbytes, a.loss - b.loss)


def _total(chosen: Mapping[str, Choice]) -> tuple[int, float]:
    return sum(c.nbytes for c in chosen.values()), sum(c.loss for c in chosen.values())
