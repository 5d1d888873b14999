"""Decode steps as the runner runs them: how long the sequences are, and that their random cache is read."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from parity import load

from hopwell.bench.steps import STEPS, DecodeSteps, page_table


@pytest.mark.parametrize("context", [3, 100])
def test_steps_lie_around_the_context(context: int, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny.tiny_config()
    model = load(config, tiny.random_tensors(config, 1))
    seen: list[list[int]] = []
    forward = type(model).forward

    def noted(self: object, batch: object, latent: torch.Tensor) -> torch.Tensor:
        seen.append(batch.seq_lens)  # type: ignore[attr-defined]
        return forward(self, batch, latent)  # type: ignore[arg-type]

    monkeypatch.setattr(type(model), "forward", noted)
    measured = DecodeSteps(model, 3, context)
    seconds, tokens, joules = measured.measure(2)
    assert seconds > 0 and tokens == 1 and (joules is None or joules > 0)
    rounds = len(seen) // (STEPS + 2)
    assert rounds == 2 and all(len(lens) == 2 for lens in seen), "a round to warm up, and one"
    timed = np.array(seen[-STEPS:])
    assert (np.diff(timed, axis=0) == 1).all()
    if context > STEPS:
        assert abs(timed.mean() - context) <= 1
    distinct = measured.distinct(2, model)
    assert 4 <= distinct <= 8, "of 16 experts each token chooses 4"
    measured.runner.close()


@pytest.mark.parametrize(("drafts", "acceptance"), [(1, 1.8), (3, 2.5)])
def test_steps_with_drafts_gain_what_is_accepted(drafts: int, acceptance: float) -> None:
    config = tiny.tiny_config()
    measured = DecodeSteps(load(config, tiny.random_tensors(config, 1)), 8, 100, drafts, acceptance)
    assert measured.measure(8, rounds=2).tokens == pytest.approx(acceptance, abs=0.2)
    measured.runner.close()


def test_sequences_take_turns_at_the_caches() -> None:
    table = page_table(5, 3, 2, 12, torch.arange)
    assert (table // 12).tolist() == [[0] * 3, [1] * 3, [0] * 3, [1] * 3, [0] * 3]
    assert len(set(table.flatten().tolist())) == table.size, "no page is two sequences'"
    assert sorted(page_table(4, 2, 1, 8, torch.randperm).flatten().tolist()) == [*range(8)]
