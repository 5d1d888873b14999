"""Which candidate every group of linears gets, so that the goal is reached as *measured*, not as the sum predicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from hopwell.quantization.allocate import Allocation, Choice, allocate_bytes, allocate_loss, hull, steps_down
from hopwell.quantization.divergence import Divergence
from hopwell.quantization.hessian import PrecisionError
from hopwell.quantization.plan import Goal

SOURCE = "source"
"""The choice to keep a group as the source has it."""
MARGIN = 0.8
"""Of a KL budget that calibration may use up: fresh text of the same kind differs, of another kind more."""
DEVIATIONS = 3
"""Standard errors that the measured mean must stay below the budget: few tokens, or rare large KLs, promise less."""
HALF_DIGIT = 0.005
"""Bits a weight are told to two digits: NVFP4's scales of tensors and odd shapes take it a little above 4.5."""
OFFER = "give that, or --offer a smaller format"
SMALLER = "--offer a smaller one too, and the budget buys fewer bytes"
TRIALS = 7
"""Budgets of the sum that are tried until the measured KL is just within."""
REFINEMENTS = 14
"""Batches of smaller choices that are tried from there."""


@dataclass(slots=True)
class GroupRow:
    """One group of linears: what was tried, what it cost."""

    name: str
    modules: list[str]
    layer: int
    part: str
    tokens: int
    weights: int
    source_bytes: int
    input_peak: float
    formats: dict[str, dict[str, Any]]
    """By format: bytes, relative squared output error before and after, kept rungs, KL."""

    def error(self, label: str) -> float:
        """Mean relative squared output error of the group's matrices in a format; 0 as the source has them."""
        if label == SOURCE:
            return 0.0
        after = self.formats[label]["after"]
        return sum(after) / len(after)


def without_columns(row: GroupRow) -> list[str]:
    """One label of each format that a group was tried in, that with the fewest bytes."""
    first: dict[str, str] = {}
    for label in sorted(row.formats, key=lambda label: row.formats[label]["bytes"]):
        first.setdefault(label.partition("+")[0], label)
    return list(first.values())


def spread(row: GroupRow, measured: Mapping[str, float]) -> None:
    """Fills in a group's KL in every format from that of `without_columns`.

    With residual columns the error is of the same kind and smaller: KL, of second order, falls as its square does.
    """
    of = {label.partition("+")[0]: label for label in measured}
    for label, detail in row.formats.items():
        base = of[label.partition("+")[0]]
        detail["kl"] = measured[base] * (row.error(label) / row.error(base) if row.error(base) else 1.0)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A format for every group."""

    labels: dict[str, str]
    allocation: Allocation
    """Where groups are decided together (a layer's experts), its items are those."""
    measured: Divergence | None
    """With all of it together, on calibration text that fitted nothing."""

    @property
    def kl(self) -> float | None:
        return None if self.measured is None else self.measured.mean

    @property
    def promised(self) -> float:
        """The KL that fresh text may be expected to keep."""
        assert self.measured is not None
        return max(self.measured.mean / MARGIN, self.measured.mean + DEVIATIONS * self.measured.standard_error)

    @property
    def mean_binds(self) -> bool:
        """Whether the mean's margin is what is promised, not its standard errors."""
        assert self.measured is not None
        return self.promised == self.measured.mean / MARGIN


@dataclass
class Chooser:
    """Solves the allocation over `rows`."""

    rows: Sequence[GroupRow]
    uniform_experts: bool
    """A layer's routed experts get one format."""
    joint_kl: Callable[[Mapping[str, str]], Divergence | None]
    """With the given format for every group; None where it is not measured."""
    say: Callable[[str], None]
    """Told of every trial."""
    _least_kl: float = field(default=math.inf, init=False)
    """Promised by any trial that converted something."""

    @cached_property
    def _weights(self) -> int:
        return sum(row.weights for row in self.rows)

    def choose(self, goal: Goal, source_bytes: int) -> Chosen:
        """
        Args:
            source_bytes: of all of the source's tensors; those that are no linears stay.

        Raises:
            PrecisionError: the goal cannot be reached; the message says what can.
        """
        if goal.format is not None:
            items = self._items()
            fixed = {k: next((c for c in v if c.label == goal.format), v[0]) for k, v in items.items()}
            return self._chosen(Allocation.of(fixed))
        if goal.kl is not None:
            return _converted(self._within(self._items(), goal.kl), f"KL {goal.kl:g}", self._least_kl)
        if goal.error is not None:
            items = self._items(by_error=True)
            losses = [c.loss for choices in items.values() for c in choices if c.label != SOURCE]
            found = self._chosen(allocate_loss(items, goal.error))
            return _converted(found, f"an error of {goal.error:g}", min(losses, default=math.inf))
        self.check(goal, source_bytes)
        return self._chosen(allocate_bytes(self._items(), self._budget(goal, source_bytes)))

    def check(self, goal: Goal, source_bytes: int) -> None:
        """Refuses a budget of bytes that no choice keeps, before anything is measured.

        Raises:
            PrecisionError: as `choose`.
        """
        if goal.bits is None and goal.nbytes is None:
            return
        least = sum(min(c.nbytes for c in choices) for choices in self._items().values())
        if least <= self._budget(goal, source_bytes):
            return
        if goal.bits is not None:
            best = f"{8 * least / self._weights:.4f}bpw"
            raise PrecisionError(f"{goal.bits:g}bpw cannot be reached; the best is {best}: {OFFER}")
        rest = self._rest(source_bytes)
        best = f"{least + rest:,}, of which {rest:,} are tensors that are not converted"
        raise PrecisionError(f"{goal.nbytes:,} bytes cannot be reached; the best is {best}: {OFFER}")

    def _rest(self, source_bytes: int) -> int:
        return source_bytes - sum(row.source_bytes for row in self.rows)

    def _budget(self, goal: Goal, source_bytes: int) -> int:
        """Bytes for the linears."""
        if goal.bits is not None:
            return int((goal.bits + HALF_DIGIT) * self._weights / 8)
        return (goal.nbytes or 0) - self._rest(source_bytes)

    def _items(self, by_error: bool = False) -> dict[str, list[Choice]]:
        together: dict[str, list[GroupRow]] = {}
        for row in self.rows:
            together.setdefault(self._key(row), []).append(row)
        return {key: self._choices(members, by_error) for key, members in together.items()}

    def _choices(self, members: Sequence[GroupRow], by_error: bool) -> list[Choice]:
        """What groups that are decided together can all be stored as; the source's format first."""
        found = [Choice(SOURCE, sum(row.source_bytes for row in members), 0.0)]
        for label in members[0].formats:
            if all(label in row.formats for row in members):
                nbytes = sum(row.formats[label]["bytes"] for row in members)
                found.append(Choice(label, nbytes, sum(self._loss(row, label, by_error) for row in members)))
        return found

    def _loss(self, row: GroupRow, label: str, by_error: bool) -> float:
        if by_error:
            return row.error(label) * row.weights / self._weights
        detail = row.formats[label]
        return detail.get("kl", sum(detail["after"]) * math.sqrt(row.tokens + 1))

    def _key(self, row: GroupRow) -> str:
        return f"layer {row.layer} experts" if self.uniform_experts and row.part == "routed_experts" else row.name

    def _within(self, items: dict[str, list[Choice]], limit: float) -> Chosen:
        """Fewest bytes whose *measured* KL, with its margins, is within `limit`.

        Single KLs add up only roughly, so the budget of the sum is adjusted until the whole is just within.
        """
        low, high, budget = 0.0, math.inf, limit * MARGIN
        best: Chosen | None = None
        for _ in range(TRIALS):
            found = self._tried(allocate_loss(items, budget), limit)
            allocation, kl = found.allocation, found.promised
            if kl <= limit:
                low = budget
                if best is None or allocation.nbytes < best.allocation.nbytes:
                    best = found
                if allocation.nbytes == sum(min(c.nbytes for c in v) for v in items.values()):
                    break
            else:
                high = budget
            budget = (low + high) / 2 if math.isfinite(high) else budget * min(4.0, limit / max(kl, limit / 4))
            if not math.isfinite(high) and kl > 0.93 * limit:
                break
        found = self._refined(items, best, limit) if best else self._chosen(allocate_loss(items, 0.0))
        if found.promised <= limit and found.allocation.nbytes == sum(min(c.nbytes for c in v) for v in items.values()):
            self.say(f"every linear has the smallest format offered, at {found.promised:.3g} of {limit:.3g}: {SMALLER}")
        return found

    def _refined(self, items: Mapping[str, Sequence[Choice]], best: Chosen, limit: float) -> Chosen:
        """Takes off bytes that the sum of single KLs would keep, as long as the measured KL stays within `limit`.

        Steps down, those first that save most bytes for their KL, are tried in batches: after one that keeps the budget
        twice as many, after one that breaks it half as many. A single step that breaks it is not tried again: it may
        cost more KL than all others together.
        """
        lines = {name: hull(choices) for name, choices in items.items()}
        batch, broke = max(1, len(items) // 32), set[tuple[str, str]]()
        for _ in range(REFINEMENTS):
            steps = [s for s in steps_down(lines, best.allocation.chosen) if (s[0], s[1].label) not in broke]
            if not steps:
                break
            chosen = best.allocation.chosen | dict(steps[:batch])
            found = self._tried(Allocation.of(chosen, best.allocation.bound), limit)
            if found.promised <= limit:
                best, batch = found, 2 * batch
            elif batch == 1:
                broke.add((steps[0][0], steps[0][1].label))
            else:
                batch //= 2
        # a choice that the steps found may take less than any that the first budget allowed
        least = allocate_loss(items, best.allocation.loss * (1 + 1e-9)).bound
        return replace(best, allocation=replace(best.allocation, bound=least))

    def _tried(self, allocation: Allocation, limit: float) -> Chosen:
        found = self._chosen(allocation)
        if set(found.labels.values()) != {SOURCE}:
            self._least_kl = min(self._least_kl, found.promised)
        binds = "a fifth to spare" if found.mean_binds else f"{DEVIATIONS} standard errors: more text narrows them"
        told = f"KL {found.kl:.3g}, so at most {found.promised:.3g} of {limit:.3g} ({binds})"
        self.say(f"sum of losses {allocation.loss:.3g}: {allocation.nbytes:,} bytes, {told}")
        return found

    def _chosen(self, allocation: Allocation) -> Chosen:
        labels = {row.name: allocation.chosen[self._key(row)].label for row in self.rows}
        return Chosen(labels, allocation, self.joint_kl(labels))


def _converted(found: Chosen, budget: str, least: float) -> Chosen:
    """`found`, which keeps a budget of error, unless it does by converting nothing.

    Args:
        least: the smallest budget known to convert something; infinite if nothing is offered.

    Raises:
        PrecisionError: everything stays as the source has it.
    """
    if set(found.labels.values()) != {SOURCE} or not 0 < least < math.inf:
        return found
    digit = 10.0 ** (math.floor(math.log10(least)) - 1)
    best = f"{math.ceil(least / digit) * digit:.2g}"
    raise PrecisionError(
        f"{budget} cannot be kept with any linear converted; the best is {best}: give that, or --offer a format nearer "
        "to the source's"
    )
