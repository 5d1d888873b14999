"""The knapsack against enumeration, and its bound."""

from __future__ import annotations

import itertools
import random

import pytest

from hopwell.precision.allocate import Choice, allocate_bytes, allocate_loss, hull
from hopwell.precision.hessian import PrecisionError


def problem(seed: int, count: int = 6) -> dict[str, list[Choice]]:
    rng = random.Random(seed)
    return {f"t{i}": [Choice(f"c{j}", rng.randint(1, 60), rng.random() ** 3) for j in range(4)] for i in range(count)}


def every_combination(items: dict[str, list[Choice]]) -> list[tuple[int, float]]:
    return [(sum(c.nbytes for c in p), sum(c.loss for c in p)) for p in itertools.product(*items.values())]


@pytest.mark.parametrize("seed", range(20))
def test_bytes_and_loss_budgets_are_kept_and_bounded(seed: int) -> None:
    items = problem(seed)
    combinations = every_combination(items)
    smallest = sum(min(c.nbytes for c in choices) for choices in items.values())
    budget = smallest + 60
    best = min(loss for size, loss in combinations if size <= budget)
    found = allocate_bytes(items, budget)
    assert found.nbytes == sum(c.nbytes for c in found.chosen.values()) <= budget
    assert found.bound <= best + 1e-9 <= found.loss + 2e-9
    largest_step = max(
        (a.loss - b.loss for choices in items.values() for a, b in itertools.pairwise(hull(choices))), default=0.0
    )
    assert found.loss - found.bound <= largest_step + 1e-9
    limit = found.loss * 1.1 + 1e-9
    fewest = min(size for size, loss in combinations if loss <= limit)
    by_loss = allocate_loss(items, limit)
    assert by_loss.loss <= limit and by_loss.bound - 1e-6 <= fewest <= by_loss.nbytes


def test_hull_drops_what_no_budget_wants() -> None:
    a, b, c = Choice("a", 10, 1.0), Choice("b", 20, 0.9), Choice("c", 30, 0.0)
    assert hull([c, b, a, Choice("d", 25, 1.5)]) == [a, c]


def test_what_cannot_be_reached_says_what_can() -> None:
    items = {"t": [Choice("a", 10, 1.0), Choice("b", 20, 0.25)]}
    with pytest.raises(PrecisionError, match="take 10"):
        allocate_bytes(items, 9)
    with pytest.raises(PrecisionError, match=r"reach 0\.25"):
        allocate_loss(items, 0.1)
