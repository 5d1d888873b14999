"""The number of drafts that pays, chosen from what steps took, on simulated loads and in the real engine."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray
from toy import ToyModel, ask, run, toy_answer, toy_engine

from hopwell.engine.draft_choice import DraftChoice

MOST = 3
HELD = (0.85, 0.7, 0.6)
"""Share of drafts that hold where those before do."""


def step_seconds(sequences: int, drafts: int) -> float:
    """A step bound by weights while it has few rows, by its rows when it has many; a draft has a head of its own."""
    rows = sequences * (1 + drafts)
    return 4e-3 + 5e-5 * max(rows - 24, 0) + drafts * (3e-4 + 2e-6 * sequences)


def gained(random: np.random.Generator, sequences: int, drafts: int) -> NDArray[np.int64]:
    """Drafts that held, of each."""
    return (random.random((sequences, drafts)) < np.array(HELD[:drafts])).cumprod(1).sum(1)


def seconds(levels: list[int], fixed: int | None, seed: int) -> float:
    """Of a load in which so many sequences at a time get 4,000 tokens each, with a fixed number of drafts or chosen
    ones."""
    random, choice = np.random.default_rng(seed), DraftChoice(MOST)
    total, drafts = 0.0, fixed or 0
    for sequences in levels:
        tokens = 0
        while tokens < 4000 * sequences:
            chosen = choice.choose(sequences) if fixed is None else fixed
            held = gained(random, sequences, drafts)
            took = step_seconds(sequences, drafts) * random.uniform(0.95, 1.05) * (8 if random.random() < 0.02 else 1)
            took *= 1.0 + 0.4 * np.sin(total)  # others want the machine too, for seconds at a time
            if fixed is None:
                if chosen == drafts:
                    choice.observe(sequences, drafts, took)
                choice.accepted(np.full(sequences, drafts), held)
            tokens, total, drafts = tokens + sequences + int(held.sum()), total + took, chosen
    return total


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.slow
def test_what_is_chosen_is_near_the_best_and_far_from_the_worst(seed: int) -> None:
    random = Random(seed)
    levels = [random.choice([1, 2, 4, 8, 30, 100, 250]) for _ in range(8)]
    fixed = [seconds(levels, drafts, seed) for drafts in range(MOST + 1)]
    chosen = seconds(levels, None, seed)
    assert chosen <= 1.02 * min(fixed) and 1.15 * chosen <= max(fixed)


def test_each_load_has_its_own_number() -> None:
    random, choice, found = np.random.default_rng(1), DraftChoice(MOST), {}
    for sequences in (1, 250):
        for _ in range(1000):
            drafts = choice.choose(sequences)
            choice.observe(sequences, drafts, step_seconds(sequences, drafts))
            choice.accepted(np.full(sequences, drafts), gained(random, sequences, drafts))
        found[sequences] = choice.choose(sequences)
    assert found[1] == MOST and found[250] == 0
    assert choice.tokens(1) == pytest.approx(1.85, abs=0.1)


def test_drafts_that_stop_holding_are_given_up() -> None:
    choice = DraftChoice(MOST)
    for held in (1, 0):
        for _ in range(2000):
            drafts = choice.choose(8)
            choice.observe(8, drafts, step_seconds(8, drafts))
            choice.accepted(np.full(8, drafts), np.full(8, min(drafts, held)))
        assert choice.choose(8) == held


@pytest.mark.parametrize("overlap", [False, True, "ahead"])
def test_no_number_changes_a_token(overlap: bool | str) -> None:
    """The engine changes its mind in the middle of answers, with prompts between."""
    model = ToyModel(skill=0.8)
    engine = toy_engine(model, drafts=MOST, adaptive_drafts=True, overlap=overlap, max_batch_tokens=300)
    random = Random(3)
    choice = engine.draft_choice
    assert choice is not None
    chosen: list[int] = []

    def choose(sequences: int) -> int:
        chosen.append(random.choice(range(MOST + 1)) if random.random() < 0.3 or not chosen else chosen[-1])
        return chosen[-1]

    choice.choose = choose  # type: ignore[method-assign]
    requests = [ask([9 + i] * random.randrange(1, 90), str(i), max_tokens=random.randrange(1, 200), ignore_eos=True)
                for i in range(24)]  # fmt: skip
    done = run(engine, requests)
    engine.close()
    for request in requests:
        assert done[request.request_id].answers[0].tokens == toy_answer(
            model, request.prompt, request.params.max_tokens or 0
        )
    assert set(chosen) == {0, 1, 2, 3} and engine.metrics.acceptance_length > 1.2
    assert model.positioned > 100 if overlap == "ahead" else not model.positioned
    assert choice.tokens(1) == pytest.approx(1.8, abs=0.1)


def test_unasked_the_engine_learns_what_pays() -> None:
    """Steps cost nothing in rows here, so that drafts always pay; the MTP layer is always right."""
    engine = toy_engine(ToyModel(skill=1.0), drafts=2, adaptive_drafts=True)
    run(engine, [ask([9] * 20, str(i), max_tokens=400, ignore_eos=True) for i in range(4)])
    assert engine.draft_choice is not None and engine.draft_choice.tokens(2) == pytest.approx(3.0)
    engine.close()
