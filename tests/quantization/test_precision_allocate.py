"""The knapsack against enumeration, and its bound."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping

import pytest

from hopwell.quantization import search
from hopwell.quantization.allocate import Choice, allocate_bytes, allocate_loss, hull, steps_down
from hopwell.quantization.divergence import Divergence
from hopwell.quantization.hessian import PrecisionError
from hopwell.quantization.plan import Goal
from hopwell.quantization.search import Chooser, GroupRow, spread, without_columns


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


def group(name: str, part: str = "dense", **formats: tuple[int, float]) -> GroupRow:
    details = {k.replace("_", "+"): {"bytes": n, "kl": kl, "after": [kl]} for k, (n, kl) in formats.items()}
    return GroupRow(name, [name], 0, part, 100, 100, 100, 1.0, details)


def test_groups_decided_together_are_offered_what_all_have() -> None:
    rows = [group("a", "routed_experts", x=(50, 0.1), y=(60, 0.05)), group("b", "routed_experts", y=(70, 0.02))]
    chooser = Chooser(rows, True, lambda labels: None, lambda line: None)
    assert chooser.choose(Goal(nbytes=130), 200).labels == {"a": "y", "b": "y"}
    with pytest.raises(PrecisionError, match="the best is 130"):
        chooser.choose(Goal(nbytes=129), 200)


def test_a_kl_budget_is_used_up_by_measured_kl() -> None:
    """One group in eight costs far more than measured alone, the others hardly anything: their sum knows neither."""
    rng = random.Random(4)
    rows = [group(f"g{i:02}", four=(50, 1e-4 * rng.uniform(0.5, 1.5)), six=(75, 2e-5)) for i in range(40)]

    def truth(labels: Mapping[str, str]) -> Divergence:
        kl = sum(1e-5 if int(name[1:]) % 8 else 7e-4 for name, label in labels.items() if label == "four")
        return Divergence(1000, kl, 0.0, 0.0, 1.0, kl / 20)

    def bytes_with(refinements: int) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(search, "REFINEMENTS", refinements)
            lines: list[str] = []
            found = Chooser(rows, False, truth, lines.append).choose(Goal(kl=0.0008), 4000)
        assert len(lines) <= search.TRIALS + refinements and all("a fifth to spare" in line for line in lines)
        assert found.promised <= 0.0008 and found.kl == truth(found.labels).mean
        assert found.allocation.bound <= found.allocation.nbytes + 1e-6
        return found.allocation.nbytes

    assert bytes_with(search.REFINEMENTS) < 0.92 * bytes_with(0)
    assert bytes_with(100) == 35 * 50 + 5 * 75  # every group that costs hardly anything


def test_a_budget_that_nothing_keeps_is_refused_with_one_that_something_does() -> None:
    rows = [group(f"g{i}", four=(50, 2e-3 + 1e-4 * i)) for i in range(4)]

    def truth(labels: Mapping[str, str]) -> Divergence:
        return Divergence(1000, 3e-3 * sum(label == "four" for label in labels.values()), 0.0, 0.0, 1.0, 0.0)

    chooser = Chooser(rows, False, truth, lambda line: None)
    with pytest.raises(PrecisionError, match=r"^KL 0\.0001 cannot be kept with any linear .* best is 0\.0038: give"):
        chooser.choose(Goal(kl=1e-4), 400)
    found = chooser.choose(Goal(kl=0.0038), 400)
    assert sorted(found.labels.values()) == ["four", "source", "source", "source"] and found.promised <= 0.0038


def test_the_next_smaller_choices_are_told_cheapest_first() -> None:
    items = {"a": [Choice("s", 10, 0.4), Choice("m", 20, 0.1), Choice("l", 30, 0.0)], "b": [Choice("l", 9, 0.0)],
             "c": [Choice("s", 5, 0.05), Choice("l", 10, 0.0)]}  # fmt: skip
    lines = {name: hull(choices) for name, choices in items.items()}
    steps = steps_down(lines, {name: line[-1] for name, line in lines.items()})
    assert [(item, choice.label) for item, choice in steps] == [("a", "m"), ("c", "s")]  # slopes tie: by name
    assert steps_down(lines, {name: line[0] for name, line in lines.items()}) == []


def test_residual_columns_take_kl_from_the_format_they_widen() -> None:
    row = group("g", nvfp4=(50, 0.4), mxfp4=(48, 0.8))
    row.formats |= {"nvfp4+10%": {"bytes": 55, "after": [0.1]}, "mxfp4+5%": {"bytes": 50, "after": [0.0]}}
    assert sorted(without_columns(row)) == ["mxfp4", "nvfp4"]
    spread(row, {"nvfp4": 0.02, "mxfp4": 0.03})
    assert {k: d["kl"] for k, d in row.formats.items()} == {
        "nvfp4": 0.02, "mxfp4": 0.03, "nvfp4+10%": pytest.approx(0.005), "mxfp4+5%": 0.0
    }  # fmt: skip


def test_what_cannot_be_reached_says_what_can() -> None:
    items = {"t": [Choice("a", 10, 1.0), Choice("b", 20, 0.25)]}
    with pytest.raises(PrecisionError, match="take 10"):
        allocate_bytes(items, 9)
    with pytest.raises(PrecisionError, match=r"reach 0\.25"):
        allocate_loss(items, 0.1)
